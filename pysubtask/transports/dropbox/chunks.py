"""How much of a file goes up in one call, and what is remembered of a file that is half way up. Pure."""

from __future__ import annotations

import json
from typing import NamedTuple

LEAST = 64 * 1024
QUICK_SECS = 5.0
SLOW_SECS = 20.0
SESSION_SECS = 7 * 86400 - 3600
"""An upload session lives for seven days ("upload_session/start" in the Dropbox API reference); one hour is kept clear."""


def next_piece(piece: int, secs: float | None, most: int) -> int:
    """Bytes of the next piece after one of ``piece`` bytes took ``secs`` (None: it was lost on the way).

    A lost call costs its whole piece, so a link that breaks or crawls gets small ones.
    """
    if secs is None or secs > SLOW_SECS:
        return max(LEAST, piece // 2)
    return min(most, piece * 2) if secs < QUICK_SECS else piece


class Half(NamedTuple):
    """An upload session that holds the first ``offset`` bytes. ``closed``: it takes no more. ``at``: when it was
    begun, in seconds since the epoch."""

    session: str
    offset: int
    closed: bool
    at: float

    def to_note(self) -> str:
        """As text, to be kept."""
        return json.dumps(self._asdict())


def half_of(note: str, size: int, now: float) -> Half | None:
    """What was noted, where a file of ``size`` bytes can go on from it at ``now``."""
    try:
        half = Half(**json.loads(note))
        good = 0 <= half.offset <= size and half.at <= now < half.at + SESSION_SECS
    except (ValueError, TypeError):
        return None
    return half if good and half.session and (half.offset == size or not half.closed) else None
