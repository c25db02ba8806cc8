"""Times in listings of servers: rounded to two seconds (FAT) or to whole minutes, local ones, and times that are shifted by an hour
when summer time begins. Pure."""

from __future__ import annotations

_ZONE_SECS = 15 * 60  # zones of the world differ by multiples of a quarter of an hour
_MOST_SECS = 26 * 3600  # zones span UTC-12 to UTC+14
_STEPS = (2, 60)  # FAT, and listings with minutes (LIST of FTP)


def is_same_time(left: int | None, listed: int | None) -> bool:
    """Whether ``listed`` (seconds since the epoch) may be what a server makes of the time ``left`` of a file that nobody has
    changed. Of two unlike times about one pair in 300 is taken for such: a caller has to compare something else, too."""
    if left is None or listed is None:
        return left is listed
    off = listed - left
    rest = off - round(off / _ZONE_SECS) * _ZONE_SECS
    if abs(off) > _MOST_SECS:
        return False
    return rest == 0 or any(abs(rest) < step and listed % step == 0 for step in _STEPS)
