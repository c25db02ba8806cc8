"""Whether a server has a content already, given what is known of an earlier delivery. Pure."""

from __future__ import annotations

from typing import NamedTuple

from ..common.remote_times import is_same_time
from ..transports.base import RemoteStat


class Known(NamedTuple):
    """What the server showed after our last delivery under a name (``remote``), and the ``digest`` of the content delivered.

    ``reach``: size and digest of the content up to which that was to be appended since, where such an append was begun
    and is not known to have ended.
    """

    remote: RemoteStat
    digest: str
    reach: tuple[int, str] | None = None


def was_left(former: Known, size: int, digest: str, remote: RemoteStat | None) -> bool:
    """Whether the server shows the file that was delivered over another protocol (``former``), with this very content. An append
    that was only begun is not trusted, nor a file with another time where both protocols show times."""
    if remote is None or former.reach is not None or former.digest != digest:
        return False
    times = (former.remote.mtime, remote.mtime)
    return size == former.remote.size == remote.size and (None in times or is_same_time(*times))


def already_there(
    known: Known | None,
    size: int,
    mtime_ns: int,
    digest: str,
    remote: RemoteStat | None,
    local_hash: str = "",
    *,
    sure: bool = False,
) -> bool:
    """Whether the server has this content already, so that nothing needs to be sent.

    Yes when the same content was delivered before and the server shows the same as then. Yes, too, when an upload was cut
    before its reply came and the server now shows the size and time that the upload would have left; but not when the version
    before it had the same size and second, for then the two cannot be told apart. Where the server gives a hash and
    ``local_hash`` is that of the local content, these two alone decide.
    Times that a server shows otherwise than before (:mod:`pysubtask.common.remote_times`) count as equal where no other upload of
    this program can have been there meanwhile (``sure``), or none had that size.
    """
    if remote is None:
        return False
    if remote.hash and local_hash:
        return remote.hash == local_hash
    if known is not None and known.digest == digest:
        return remote == known.remote or (
            sure and remote._replace(mtime=known.remote.mtime) == known.remote and is_same_time(known.remote.mtime, remote.mtime)
        )
    left = (size, mtime_ns // 1_000_000_000)
    if remote[:2] == left:
        return known is None or known.remote[:2] != left
    return remote.size == size and (known is None or known.remote.size != size) and is_same_time(left[1], remote.mtime)
