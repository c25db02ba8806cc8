"""Contents that change while size and modification time stay the same: a rewrite whose time is set back (``cp -p``, ``rsync -t
--inplace``, ``touch -r``), or another file with the same inode number, size and time. The time of the last change of the inode
(ctime) shows such a change, as no program can set it. It also changes with permissions and names, so the content is read then,
and nothing is sent where it is the same."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from datetime import datetime
from typing import Any

from ...common.clock import is_plausible
from ...common.notify import Stamp, stat_of

_SECOND = 1_000_000_000
_SLACK_NS = 2 * _SECOND


class Seen(Stamp):
    """A stamp with ``ctime_ns``, which does not count in a comparison: two equal stamps may have different ctimes."""

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
    """The ctime in nanoseconds since the epoch; 0 where it is not known."""
    return seen.ctime_ns if isinstance(seen, Seen) else 0


def last_sign(page: Mapping[str, Any] | None) -> float | None:
    """When a child wrote this status page, in seconds since the epoch; None where the page does not say."""
    try:
        return datetime.fromisoformat(str((page or {}).get("at"))).timestamp()
    except (ValueError, OverflowError):
        return None


def missed_since(last_sign: float | None) -> int | None:
    """The ctime (nanoseconds) from which on a change may have been missed, given when the last child wrote its page (seconds
    since the epoch); None where that is not known, or the clock was wrong then."""
    return None if last_sign is None or not is_plausible(last_sign) else int(last_sign * _SECOND) - _SLACK_NS


def is_changed(
    times: MutableMapping[str, int], name: str, seen: Stamp, *, event: bool = False, since_ns: int | None = None
) -> bool:
    """Whether a file with the same stamp as its snapshot may have another content; notes its ctime in ``times``. ``event``: the
    system has reported that the file was written or created. ``since_ns``: where no ctime was noted before, a ctime after this
    one counts as a change."""
    ctime, before = ctime_of(seen), times.get(name)
    if not ctime:
        return False
    times[name] = ctime
    if before is None:
        return event or (since_ns is not None and ctime > since_ns)
    return ctime != before
