"""The clocks of file systems are coarse: when a file must be checked once more. Pure.

Two changes within the same tick of that clock leave the same modification time: a second touch right after the snapshot cannot be
seen then, nor a rewrite of the same size. So a file that was copied within the tick of its stamp, or of its own modification
time, is checked again when the tick is over.

FAT counts in 2 s, ext3 and HFS+ in 1 s; their times are whole seconds. Others count finely but read the kernel's clock, which
moves every 1 to 10 ms.
"""

from __future__ import annotations

from typing import NamedTuple

from ...common.notify import Stamp

_SECOND = 1_000_000_000
GRANULARITY_NS = 2 * _SECOND
FINE_NS = _SECOND // 20
DOUBT_NS = 600 * _SECOND
FINE_DOUBT_NS = 10 * _SECOND


class Again(NamedTuple):
    """Check the file again ``in_ns`` nanoseconds from now; ``unseen``: the content may differ though the stat is the same."""

    in_ns: int
    unseen: bool


def tick_ns(mtime_ns: int) -> int:
    """The longest tick, in nanoseconds, of a file system's clock that can give this time."""
    return FINE_NS if mtime_ns % _SECOND else GRANULARITY_NS


def again(stamp: Stamp | None, source: Stamp | None, since_ns: int, now_ns: int, *, alone: bool) -> Again | None:
    """Whether a file has to be checked again, and when.

    ``stamp`` of its notify file and ``source`` (stamp of the data) are those of the snapshot, or None; ``since_ns`` is the wall
    clock when the file was found due, before the snapshot; ``now_ns`` is the wall clock now. ``alone``: a young source is reason
    enough; otherwise only a touch that may have been missed is.
    """
    young_stamp, young_source = _young(stamp, since_ns), _young(source, since_ns)
    if not young_stamp and not (young_source and alone):
        return None
    waits = []
    for found, young in ((stamp, young_stamp), (source, young_source)):
        if found is not None and young:
            tick = tick_ns(found.mtime_ns)
            # A time in the future says nothing about the tick, so the wait is one tick at most.
            waits.append(min(max(0, found.mtime_ns + tick - now_ns), tick))
    return Again(max(waits), young_source)


def _young(found: Stamp | None, since_ns: int) -> bool:
    return found is not None and found.mtime_ns + tick_ns(found.mtime_ns) > since_ns


def undecided(source: Stamp, now_ns: int) -> Again | None:
    """Whether a file with the same stamp as its snapshot, which was made at an unknown time, may have changed since.

    Only for files of the last minutes on a coarse clock, of the last seconds on a fine one, where a change hides far less often:
    reading every file at each start would cost too much.
    """
    if now_ns - source.mtime_ns > (DOUBT_NS if tick_ns(source.mtime_ns) == GRANULARITY_NS else FINE_DOUBT_NS):
        return None
    return again(None, source, source.mtime_ns, now_ns, alone=True)
