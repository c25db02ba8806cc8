"""Contents that change while size and modification time stand still: a rewrite whose time is put back (``cp -p``, ``rsync -t
--inplace``, ``touch -r``), or another file with the same number, size and time. What tells of them is the time of the last change
of anything of the file (ctime), which no program can set. It changes with permissions and names, too, so the content is read then,
and nothing is sent where that is what it was.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from datetime import datetime
from typing import Any

from ...common.clock import is_plausible
from ...common.notify import Stamp, stat_of

_SECOND = 1_000_000_000
_SLACK_NS = 2 * _SECOND


class Seen(Stamp):
    """A stamp with ``ctime_ns``, which is no part of it: two that are equal may differ in that."""

    ctime_ns: int = 0


def read_seen(path: str) -> Seen | None:
    """As :func:`pysubtask.common.notify.read_stamp`."""
    found = stat_of(path)
    if found is None:
        return None
    seen = Seen(found.st_mtime_ns, found.st_size, found.st_ino)
    seen.ctime_ns = found.st_ctime_ns
    return seen


def ctime_of(seen: Stamp) -> int:
    """0 where it is not known."""
    return seen.ctime_ns if isinstance(seen, Seen) else 0


def last_sign(page: Mapping[str, Any] | None) -> float | None:
    """When a child wrote this page, in seconds since the epoch; None where it does not tell."""
    try:
        return datetime.fromisoformat(str((page or {}).get("at"))).timestamp()
    except (ValueError, OverflowError):
        return None


def missed_since(last_sign: float | None) -> int | None:
    """From which ctime on (nanoseconds) a change may have been missed, from when a child wrote its page last (seconds since the
    epoch); None where that is not known, or the clock was wrong then."""
    return None if last_sign is None or not is_plausible(last_sign) else int(last_sign * _SECOND) - _SLACK_NS


def is_changed(
    times: MutableMapping[str, int], name: str, seen: Stamp, *, event: bool = False, since_ns: int | None = None
) -> bool:
    """Whether the content of a file that looks as it did when it was copied may be another one, and note its ctime in ``times``.
    ``event``: the system has told that it was written, or made. ``since_ns``: where nothing was noted before, a change after that
    is news."""
    ctime, before = ctime_of(seen), times.get(name)
    if not ctime:
        return False
    times[name] = ctime
    if before is None:
        return event or (since_ns is not None and ctime > since_ns)
    return ctime != before
