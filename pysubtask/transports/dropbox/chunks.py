"""How many bytes are sent in one call, and what is noted of a file whose upload is half done. Pure."""

from __future__ import annotations

import json
from typing import NamedTuple

LEAST = 64 * 1024
QUICK_SECS = 5.0
SLOW_SECS = 20.0
SESSION_SECS = 7 * 86400 - 3600
"""An upload session lives for seven days ("upload_session/start" in the Dropbox API reference); one hour is kept clear."""


def next_piece(piece: int, secs: float | None, most: int) -> int:
    """Bytes of the next piece after one of ``piece`` bytes took ``secs`` (None: the call was lost). ``most``: the setting
    ``ChunkBytes``.

    A lost call costs its whole piece, so a slow or failing link gets small pieces.
    """
    if secs is None or secs > SLOW_SECS:
        return max(LEAST, piece // 2)
    return min(most, piece * 2) if secs < QUICK_SECS else piece


class Half(NamedTuple):
    """An upload session that holds the first ``offset`` bytes. ``session``: its identifier. ``closed``: it takes no more bytes.
    ``at``: when it was begun, in seconds since the epoch."""

    session: str
    offset: int
    closed: bool
    at: float

    def to_note(self) -> str:
        """The text to keep over restarts."""
        return json.dumps(self._asdict())


def half_of(note: str, size: int, now: float) -> Half | None:
    """The session that was noted, where a file of ``size`` bytes can resume with it at ``now`` (seconds since the epoch); else
    None."""
    try:
        half = Half(**json.loads(note))
        good = 0 <= half.offset <= size and half.at <= now < half.at + SESSION_SECS
    except (ValueError, TypeError):
        return None
    return half if good and half.session and (half.offset == size or not half.closed) else None
