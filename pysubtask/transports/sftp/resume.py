"""The note of an upload's progress, from which an upload that was cut is resumed. Pure, but for the callback that stores it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from ..shared.resume_note import from_note, to_note

LEAST = 1024 * 1024
"""Bytes: a shorter part is sent again rather than resumed, and this many more must have arrived for the next note."""
SECS = 0.3
"""Between two notes at least: each is a commit with a sync, which a slow disk takes a tenth of a second for."""


class ResumePoint(NamedTuple):
    """The temporary file of a version of ``size`` bytes holds the first ``offset``. ``named``: its rename may have been requested,
    and a frozen server may still carry it out."""

    offset: int
    size: int
    named: bool = False


def resume_point_of(note: str, size: int) -> ResumePoint | None:
    """The resume point in the note, where an upload of ``size`` bytes can be resumed from it, else None."""
    return from_note(note, ResumePoint, lambda point: 0 < point.offset <= point.size == size and point.offset == int(point.offset))


class ProgressNotes:
    """The notes of one upload of ``size`` bytes that begins at ``offset``. Each note costs the caller a commit to its database, so
    there is at most one per SECS and per LEAST bytes, and one at the end. ``clock``: monotonic seconds."""

    def __init__(self, note: Callable[[str], None], size: int, clock: Callable[[], float], offset: int = 0) -> None:
        self._note, self._size, self._clock = note, size, clock
        self._offset = self._noted = offset
        self._at = clock()

    @property
    def worth(self) -> bool:
        """Whether enough bytes have arrived to resume."""
        return self._offset >= LEAST

    def reached(self, offset: int) -> None:
        """The server has all below ``offset``."""
        self._offset = offset
        if offset - self._noted >= LEAST and self._clock() - self._at >= SECS:
            self.last()

    def last(self, named: bool = False) -> None:
        """Write a note of the present offset."""
        if self.worth and (named or self._offset != self._noted):
            self._noted, self._at = self._offset, self._clock()
            self._note(to_note(ResumePoint(self._offset, self._size, named)))

    def forget(self) -> None:
        """Delete the note: the upload cannot be resumed any more."""
        if self._noted:
            self._offset = self._noted = 0
            self._note("")
