"""The named files of which any change counts, and when each is looked at though no event said so.

An event tells of a file that was closed after writing, made, or moved to its name. A program that keeps its file open has
none, and asking for an event of each write would cost a thousand a second: such a file is found by its time and size.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence

FEW = 100
"""So many files are looked at in each tick."""
ROUND_SECS = 10.0
"""Of more, each comes up once in this time at the latest."""
_TICK_SECS = 0.2
_SHARE = 25
"""Looking at many takes at most one part in so many of the time."""


class Changing:
    """``files``: the path of each, with the index of its entry. ``timer`` in seconds."""

    def __init__(self, files: Mapping[str, int], timer: Callable[[], float] = time.monotonic) -> None:
        self.files = dict(files)
        self._order = list(self.files)
        self._timer = timer
        self._at = 0
        self._last: float | None = None
        self._rest_until = float("-inf")

    def turn(self, now: float, everything: bool) -> Iterator[str]:
        """Those to be looked at, ``now`` in monotonic seconds: to be worked off one by one, for what that takes is the cost."""
        chosen = self._choose(now, everything)
        if not chosen:
            return
        begun = self._timer()
        yield from chosen
        if len(self._order) > FEW:
            self._rest_until = now + _SHARE * (self._timer() - begun)

    def _choose(self, now: float, everything: bool) -> Sequence[str]:
        count = len(self._order)
        if everything or count <= FEW:
            return self._order
        if self._last is None:
            self._last = now
        share = int(count * (now - self._last) / ROUND_SECS)
        if now - self._last >= _TICK_SECS:
            share = max(share, FEW)
        if share <= 0 or now < self._rest_until:
            return ()
        self._last = now
        if share >= count:
            return self._order
        begin, self._at = self._at, (self._at + share) % count
        return self._order[begin : begin + share] + self._order[: max(0, begin + share - count)]
