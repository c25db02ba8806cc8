"""The upload session from which an upload that was cut is resumed. Pure."""

from __future__ import annotations

from typing import NamedTuple

from ..shared.resume_note import from_note

SESSION_SECS = 7 * 86400 - 3600
"""An upload session lives for seven days ("upload_session/start" in the Dropbox API reference); one hour is kept clear."""


class ResumePoint(NamedTuple):
    """An upload session that holds the first ``offset`` bytes. ``session``: its identifier. ``closed``: it takes no more bytes.
    ``at``: when it was begun, in seconds since the epoch."""

    session: str
    offset: int
    closed: bool
    at: float


def resume_point_of(note: str, size: int, now: float) -> ResumePoint | None:
    """The session that was noted, where a file of ``size`` bytes can resume with it at ``now`` (seconds since the epoch); else
    None."""

    def is_usable(point: ResumePoint) -> bool:
        fits = 0 <= point.offset <= size and (point.offset == size or not point.closed)
        return fits and bool(point.session) and point.at <= now < point.at + SESSION_SECS

    return from_note(note, ResumePoint, is_usable)
