"""How many bytes are sent in one call. Pure."""

from __future__ import annotations

LEAST = 64 * 1024
"""Bytes: below this, a call's own overhead costs more than its piece. The setting ``ChunkBytes`` is the most."""
QUICK_SECS = 5.0
"""A piece that took less is followed by a larger one, so that the overhead of the calls is a small part of the time."""
SLOW_SECS = 20.0
"""A piece that took longer is followed by a smaller one: a cut on the way costs the whole piece."""


def next_piece(piece: int, secs: float | None, most: int) -> int:
    """Bytes of the next piece after one of ``piece`` bytes took ``secs`` (None: the call was lost). ``most``: the setting
    ``ChunkBytes``.

    A lost call costs its whole piece, so a slow or failing link gets small pieces.
    """
    if secs is None or secs > SLOW_SECS:
        return max(LEAST, piece // 2)
    return min(most, piece * 2) if secs < QUICK_SECS else piece
