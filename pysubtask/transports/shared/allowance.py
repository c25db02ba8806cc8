"""How many of something a server lets us have open at once (handles, connections): learned like a congestion window. Pure.

A refusal that names or smells of a limit halves it, and never leaves more than were open then. It grows back to that number by one
for each use that works, and beyond it by one in many uses only, so that few requests are refused for ever.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

BEYOND = 20
"""Uses that work before one more than was ever refused is tried."""


class Allowance:
    """``most``: what the settings, or the server, allow at all. ``limit``: how many may be open now; ``learned``: the server has
    refused one more than that, so ``limit`` is below ``most``. ``begin``: of a server that nothing is known of, so many at first,
    and one more for each that works: it doubles with each round trip, and a low limit refuses few."""

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
        """How many are of use to whoever has many to open: those that are to be tried soon are among them."""
        return self.limit if self.learned else self.most

    @property
    def learned(self) -> bool:
        """Whether the server has refused fewer than ``most``."""
        return self._good < self.most

    def refused(self, opened: int) -> None:
        """One more was refused while so many were open."""
        if opened >= self._good and self.learned:
            self._beyond = min(self._beyond * 2, 50 * BEYOND)
        self._good = float(max(1, min(opened, self.most)))
        self._limit = max(1.0, min(self._limit / 2, self._good))
        self._grown = 0

    def innocent(self, before: tuple[float, float]) -> None:
        """The refusals since ``before`` (of ``checkpoint``) had another reason."""
        self._limit, self._good = max(self._limit, before[0]), max(self._good, before[1])

    def checkpoint(self) -> tuple[float, float]:
        """To come back to."""
        return self._limit, self._good

    def worked(self, opened: int) -> None:
        """One was opened while ``opened``, itself among them, were open."""
        if opened > self._good:
            self._good, self._beyond = float(opened), BEYOND  # the server takes more than it did
        if self._limit < self._good:
            self._limit = min(self._limit + 1, self._good)
        elif self._limit < self.most:
            self._grown += 1
            self._full = self._full or opened >= self.limit
            if self._grown >= self._beyond and self._full:  # as many as may be were open: one more would show something
                self._grown, self._full, self._limit = 0, False, self._limit + 1

    def try_again(self) -> None:
        """Try one more with the next use."""
        self._grown = self._beyond

    def line(self, kind: str) -> str:
        """For a person."""
        return f"of {kind} this server allows about {int(self._good)} at once: no more are used"

    def to_dict(self) -> dict[str, float]:
        """To be kept."""
        return {"good": self._good, "beyond": self._beyond} if self.learned else {}

    def load(self, kept: Mapping[str, Any]) -> None:
        """Go on from there."""
        if kept:
            self._good = float(max(1, min(float(kept["good"]), self.most)))
            self._limit, self._beyond = self._good, int(kept["beyond"])
