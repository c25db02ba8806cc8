"""Whether this machine's own clock can be believed: boards without one start in 1970, or at a date of their own. Pure."""

from __future__ import annotations

import sys
import time

EARLIEST = 1_704_067_200
"""2024: no clock that is right says less, as this program was made later. Seconds since the epoch, as all times here."""
LATEST = 4_102_444_800
"""2100."""
JUMP_SECS = 3600.0  # a clock set by more was wrong before; a drift is corrected in smaller steps


def is_plausible(at: float) -> bool:
    """Whether a time may be right."""
    return EARLIEST <= at < LATEST


def reading(now: float) -> str:
    """What the clock says, in words: ``this machine's clock says 1970-01-01 00:00 UTC``."""
    try:
        text = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(now))
    except (OverflowError, ValueError, OSError):
        text = "nonsense"
    return f"this machine's clock says {text}"


def blame(now: float) -> str:
    """``reading`` where the clock cannot be right, else ''."""
    return "" if is_plausible(now) else reading(now)


def since_boot() -> float:
    """Seconds since the machine was started, those of sleep too; for comparing with the wall clock."""
    kind = getattr(time, "CLOCK_BOOTTIME", None)
    if kind is None or sys.platform == "win32":
        return time.monotonic()
    return time.clock_gettime(kind)


class Steps:
    """The spans of wall-clock time since the start of the machine that were wrong, as the clock was put forward later.

    ``wall`` and ``boot``: the clock and ``since_boot`` at the same moment.
    """

    def __init__(self, wall: float, boot: float) -> None:
        self._began = wall - boot
        self._last = wall
        self._wrong: list[tuple[float, float]] = []

    def note(self, wall: float, boot: float) -> None:
        """Read both clocks."""
        began = wall - boot
        if began > self._began + JUMP_SECS:
            self._wrong.append((self._began, self._last + JUMP_SECS))
        self._began, self._last = began, wall

    def is_doubtful(self, at: float) -> bool:
        """Whether a time may have been written down by a clock that was wrong."""
        return not is_plausible(at) or any(first <= at <= last for first, last in self._wrong)
