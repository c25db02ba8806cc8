"""Root does something in the place of another user with no more rights than that user has.

What lies in a user's folders is his: he may put a link there at any time, between a look of root's and what root does next. So
root forks a process that becomes the user, and the kernel refuses there whatever the user himself may not do. The user cannot look
into that process: a process that changed its user is not traced, and leaves no core, unless root says so (prctl(2),
PR_SET_DUMPABLE). He can end it, which is told as an error.
"""

import errno
import json
import os
import select
import signal
import time
from collections.abc import Callable

MOST_SECS = 20.0
"""Who stops the process of his own gets no more of root's time than this."""
_MOST_BYTES = 65536
_NO_GROUP = 65534


def is_needed(uid: int) -> bool:
    """Whether this process is root's and the files at hand belong to another user."""
    return hasattr(os, "geteuid") and os.geteuid() == 0 and uid != 0


def run(uid: int, action: Callable[[], None]) -> None:
    """Call ``action`` in a process of the user ``uid``, with his groups, and wait for it. Only root may.

    What it raises comes back as an OSError with the same errno and file, or as a ValueError with the same text.
    """
    gid, groups = _groups(uid)
    source, sink = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(source)
        _child(uid, gid, groups, action, sink)
    os.close(sink)
    try:
        said = _hear(source, until=time.monotonic() + MOST_SECS)
    finally:
        os.close(source)
        os.kill(pid, signal.SIGKILL)  # one that is done has said so
        os.waitpid(pid, 0)
    if not said:
        raise OSError(errno.EIO, f"the process that acts as user {uid} was ended")
    _raise(json.loads(said))


def _child(uid: int, gid: int, groups: list[int], action: Callable[[], None], sink: int) -> None:
    """Never returns: nothing of the caller's may happen a second time."""
    try:
        said: list[object] = ["done"]
        try:
            os.setgroups(groups)
            os.setgid(gid)
            os.setuid(uid)
            action()
        except OSError as exc:
            named = os.fsdecode(exc.filename) if isinstance(exc.filename, (str, bytes)) else None
            said = ["OSError", exc.errno or errno.EIO, exc.strerror or str(exc), named]
        except ValueError as exc:
            said = ["ValueError", str(exc)]
        except Exception as exc:  # noqa: BLE001 - it is told by the process that has somebody to tell
            said = ["OSError", errno.EIO, f"{type(exc).__name__}: {exc}", None]
        os.write(sink, json.dumps(said).encode("ascii"))
    finally:
        os._exit(0)


def _hear(source: int, until: float) -> bytes:
    """All that is said until the process ends; nothing where it does not say it in time."""
    said = b""
    ears = select.poll()
    ears.register(source, select.POLLIN)
    while (left := until - time.monotonic()) > 0 and ears.poll(left * 1000):
        more = os.read(source, _MOST_BYTES)
        if not more:
            return said
        said += more
    return b""


def _raise(said: list[object]) -> None:
    match said:
        case ["OSError", int(number), str(text), str(name)]:
            raise OSError(number, text, name)
        case ["OSError", int(number), str(text), _]:
            raise OSError(number, text)
        case ["ValueError", str(text)]:
            raise ValueError(text)


def _groups(uid: int) -> tuple[int, list[int]]:
    """The user's own group and all of his groups; no group of anybody's where the system has no entry for him."""
    import pwd

    try:
        user = pwd.getpwuid(uid)
    except KeyError:
        return _NO_GROUP, []
    return user.pw_gid, os.getgrouplist(user.pw_name, user.pw_gid)
