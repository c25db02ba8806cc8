"""The number of handles or connections that a server allows at once: learned like a congestion window. Pure.

A refusal that names a limit, or looks like one, halves the number, and never leaves more than were open then. For each use that
works the number grows by one, up to the number open at the refusal; above that it grows by one only after many uses, so that few
requests are refused in the long run.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

BEYOND = 20
"""Uses that work before the number that was refused is tried again: each such trial may be refused, which costs a round trip."""


class Allowance:
    """``most``: what the settings, or the server, allow at all. ``limit``: how many may be open now; ``learned``: the server has
    refused one more than that, so ``limit`` is below ``most``. ``begin``: the first limit for a server of which nothing is known;
    it grows by one for each use that works, so it doubles with each round trip, and a low limit of the server refuses few."""

    def __init__(self, most: int, begin: int | None = None) -> None:
        self.most = max(1, most)
        self._good = float(self.most)
        self._limit = self._good if begin is None else float(min(self.most, begin))
        self._grown = 0
        self._full = False
        self._beyond = BEYOND

    @property
    def limit(self) -> int:
        """How many may be open now, at least 1."""
        return self.most if self._limit >= self.most else max(1, int(self._limit))

    @property
    def worth_asking(self) -> int:
        """How many uploads at once are useful: ``limit`` where it is learned, else ``most``, as the limit grows quickly then."""
        return self.limit if self.learned else self.most

    @property
    def learned(self) -> bool:
        """Whether the server has refused fewer than ``most``."""
        return self._good < self.most

    def refused(self, opened: int) -> None:
        """One more was refused while ``opened`` were open."""
        if opened >= self._good and self.learned:
            self._beyond = min(self._beyond * 2, 50 * BEYOND)
        self._good = float(max(1, min(opened, self.most)))
        self._limit = max(1.0, min(self._limit / 2, self._good))
        self._grown = 0

    def innocent(self, before: tuple[float, float]) -> None:
        """Undo the refusals since ``before`` (of ``checkpoint``), as they had another reason."""
        self._limit, self._good = max(self._limit, before[0]), max(self._good, before[1])

    def checkpoint(self) -> tuple[float, float]:
        """The present state, for ``innocent``."""
        return self._limit, self._good

    def worked(self, opened: int) -> None:
        """One was opened while ``opened``, itself among them, were open."""
        if opened > self._good:
            self._good, self._beyond = float(opened), BEYOND  # the server allows more than it did
        if self._limit < self._good:
            self._limit = min(self._limit + 1, self._good)
        elif self._limit < self.most:
            self._grown += 1
            self._full = self._full or opened >= self.limit
            if self._grown >= self._beyond and self._full:  # the limit was reached, so one more is a trial
                self._grown, self._full, self._limit = 0, False, self._limit + 1

    def try_again(self) -> None:
        """Let the next use try one more than the limit."""
        self._grown = self._beyond

    def line(self, kind: str) -> str:
        """One line for a person; ``kind`` as in 'open files'."""
        return f"of {kind} this server allows about {int(self._good)} at once: no more are used"

    def to_dict(self) -> dict[str, float]:
        """The learned state, for ``load``; empty where none is."""
        return {"good": self._good, "beyond": self._beyond} if self.learned else {}

    def load(self, kept: Mapping[str, Any]) -> None:
        """Restore the state of ``to_dict``. KeyError, TypeError or ValueError for another dict."""
        if kept:
            self._good = float(max(1, min(float(kept["good"]), self.most)))
            self._limit, self._beyond = self._good, int(kept["beyond"])
