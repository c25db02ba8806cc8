"""Root does something in the place of another user with no more rights than that user has.

What lies in a user's folders is his: he may put a link there at any time, between the check by root and the next step of root. So
root forks a process that becomes the user, and the kernel refuses there whatever the user himself may not do. The user cannot look
into that process: a process that changed its user is not traced, and leaves no core, unless root says so (prctl(2),
PR_SET_DUMPABLE). He can end it, which is reported as an error.
"""

import errno
import json
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

MOST_SECS = 20.0
"""Seconds that root waits for the process of the user, who may stop it."""
MOST_BYTES = 64 * 1024 * 1024
"""Bytes that root takes from such a process, so that no file of a user fills the memory of root."""
_PIECE = 65536  # bytes of one read: the size of a pipe on Linux (pipe(7))
_NO_GROUP = 65534  # nogroup: what the kernel itself uses for an unmapped id


def _fork() -> int:
    if sys.platform == "win32":
        raise NotImplementedError
    return os.fork()


def is_needed(uid: int) -> bool:
    """Whether this process is root's and the files at hand belong to another user."""
    return hasattr(os, "geteuid") and os.geteuid() == 0 and uid != 0


def run(uid: int, action: Callable[[], None]) -> None:
    """Call ``action`` in a process of the user ``uid``, with his groups, and wait for it. Only root may.

    What it raises comes back as an OSError with the same errno and file, or as a ValueError with the same text.
    """

    def done() -> None:
        action()

    ask(uid, done)


def ask(uid: int, question: Callable[[], Any], *, patience: float = MOST_SECS) -> Any:
    """What ``question`` returns in a process of the user ``uid``, with his groups: a value of JSON. Only root may ask.

    Raises as :func:`run`; an OSError, too, where no answer came within ``patience`` seconds, or one of more than ``MOST_BYTES``.
    """
    if sys.platform == "win32":
        raise NotImplementedError
    gid, groups = _groups(uid)
    source, sink = os.pipe()
    pid = _fork()
    if pid == 0:
        os.close(source)
        _child(uid, gid, groups, question, sink)
    os.close(sink)
    try:
        answer = _hear(source, until=time.monotonic() + patience)
    finally:
        os.close(source)
        os.kill(pid, signal.SIGKILL)  # one that is done has answered
        os.waitpid(pid, 0)
    if not answer:
        raise OSError(errno.EIO, f"the process that acts as user {uid} was ended, or gave no answer in time")
    return _result(json.loads(answer))


def _child(uid: int, gid: int, groups: list[int], question: Callable[[], Any], sink: int) -> None:
    """Never returns: nothing of the caller's may happen a second time."""
    if sys.platform == "win32":
        raise NotImplementedError
    try:
        try:
            os.setgroups(groups)
            os.setgid(gid)
            os.setuid(uid)
            answer = json.dumps(["done", question()])
        except OSError as exc:
            named = os.fsdecode(exc.filename) if isinstance(exc.filename, (str, bytes)) else None
            answer = json.dumps(["OSError", exc.errno or errno.EIO, exc.strerror or str(exc), named])
        except ValueError as exc:
            answer = json.dumps(["ValueError", str(exc)])
        except Exception as exc:  # noqa: BLE001 - the parent process reports the error
            answer = json.dumps(["OSError", errno.EIO, f"{type(exc).__name__}: {exc}", None])
        _write(sink, answer.encode("ascii"))
    finally:
        os._exit(0)


def _hear(source: int, until: float) -> bytes:
    """All that comes until the process ends; nothing where it does not end in time, or where it is too much."""
    if sys.platform == "win32":
        raise NotImplementedError
    pieces: list[bytes] = []
    size = 0
    ears = select.poll()
    ears.register(source, select.POLLIN)
    while (left := until - time.monotonic()) > 0 and size <= MOST_BYTES and ears.poll(left * 1000):
        more = os.read(source, _PIECE)
        if not more:
            return b"".join(pieces)
        pieces.append(more)
        size += len(more)
    return b""


class Stream:
    """What an iterator yields, value by value (of JSON), in a process of the user ``uid`` that lives until it ends or is closed.
    Only root may make one."""

    def __init__(self, uid: int, begin: Callable[[], Iterator[Any]]) -> None:
        gid, groups = _groups(uid)
        self._source, sink = os.pipe()
        self._pid = _fork()
        if self._pid == 0:
            os.close(self._source)
            _yielding(uid, gid, groups, begin, sink)
        os.close(sink)
        self._rest = b""
        self.ended = False

    def take(self, patience: float = 0.0) -> list[Any]:
        """The values that came since; of those that come within ``patience`` seconds at least one. None any more where it has
        ``ended``."""
        if sys.platform == "win32":
            raise NotImplementedError
        until = time.monotonic() + patience
        ears = select.poll()
        ears.register(self._source, select.POLLIN)
        found: list[Any] = []
        while not self.ended and ears.poll(0 if found else max(0.0, until - time.monotonic()) * 1000):
            more = os.read(self._source, _PIECE)
            self._rest += more
            if not more or len(self._rest) > MOST_BYTES:
                self.close()
                break
            *lines, self._rest = self._rest.split(b"\n")
            found += map(json.loads, lines)
        return found

    def close(self) -> None:
        """End the process; harmless where that is so already."""
        if sys.platform == "win32":
            raise NotImplementedError
        if not self.ended:
            self.ended = True
            os.close(self._source)
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)


def _yielding(uid: int, gid: int, groups: list[int], begin: Callable[[], Iterator[Any]], sink: int) -> None:
    """Never returns."""
    if sys.platform == "win32":
        raise NotImplementedError
    try:
        os.setgroups(groups)
        os.setgid(gid)
        os.setuid(uid)
        for value in begin():
            _write(sink, json.dumps(value).encode("ascii") + b"\n")
    finally:
        os._exit(0)


def _write(sink: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(sink, rest) :]


def _result(answer: list[Any]) -> Any:
    match answer:
        case ["done", value]:
            return value
        case ["OSError", int(number), str(text), str(name)]:
            raise OSError(number, text, name)
        case ["OSError", int(number), str(text), _]:
            raise OSError(number, text)
        case ["ValueError", str(text)]:
            raise ValueError(text)
    raise OSError(errno.EIO, "the answer cannot be understood")


def _groups(uid: int) -> tuple[int, list[int]]:
    """The user's own group and all of his groups; no group of anybody's where the system has no entry for him."""
    if sys.platform == "win32":
        raise NotImplementedError
    import pwd

    try:
        user = pwd.getpwuid(uid)
    except KeyError:
        return _NO_GROUP, []
    return user.pw_gid, os.getgrouplist(user.pw_name, user.pw_gid)
