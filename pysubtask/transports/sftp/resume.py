"""How far an upload has come, in words that are kept; an upload that was cut goes on from them. The rest is pure."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import NamedTuple

LEAST = 1024 * 1024
"""Bytes: what is shorter is sent anew, and so much more must have arrived for another note."""
SECS = 0.3


class Half(NamedTuple):
    """The temporary file of ``size`` bytes to be holds the first ``offset``. ``named``: the server may have been asked to
    rename it, and may do so yet."""

    offset: int
    size: int
    named: bool = False

    def to_note(self) -> str:
        """As text, to be kept."""
        return json.dumps(self._asdict())


def half_of(note: str, size: int) -> Half | None:
    """What was noted, where a file of ``size`` bytes can go on from it."""
    if not note:
        return None
    try:
        half = Half(**json.loads(note))
        good = 0 < half.offset <= half.size == size and half.offset == int(half.offset)
    except (ValueError, TypeError, OverflowError):
        return None
    return half if good else None


class Notes:
    """Notes of one upload of ``size`` bytes that begins at ``offset``: a note costs a commit where it is kept, so there is
    one for each moment (SECS) in which a megabyte arrived, and one at the end. ``clock``: seconds, steady."""

    def __init__(self, note: Callable[[str], None], size: int, clock: Callable[[], float], offset: int = 0) -> None:
        self._note, self._size, self._clock = note, size, clock
        self._offset = self._noted = offset
        self._at = clock()

    @property
    def worth(self) -> bool:
        """Whether there is enough to go on from."""
        return self._offset >= LEAST

    def reached(self, offset: int) -> None:
        """The server has all below ``offset``."""
        self._offset = offset
        if offset - self._noted >= LEAST and self._clock() - self._at >= SECS:
            self.last()

    def last(self, named: bool = False) -> None:
        """Note where it is now."""
        if self.worth and (named or self._offset != self._noted):
            self._noted, self._at = self._offset, self._clock()
            self._note(Half(self._offset, self._size, named).to_note())

    def forget(self) -> None:
        """There is nothing to go on from any more."""
        if self._noted:
            self._offset = self._noted = 0
            self._note("")
