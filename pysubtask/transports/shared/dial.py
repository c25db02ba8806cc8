"""One connection to a server that has several addresses, as RFC 8305 has it ("happy eyeballs"): the next address is tried a
quarter of a second after the one before, the first that answers is taken, and all of them together have one time limit.

So an address that does not answer costs a quarter of a second and not the whole limit. The address that answered is
remembered for the life of this process and tried first. Blocking, for any thread.
"""

from __future__ import annotations

import contextlib
import errno
import os
import selectors
import socket
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

DELAY_SECS = 0.25
"""RFC 8305, section 5: the recommended Connection Attempt Delay."""
_SLICE_SECS = 0.1  # a thread that waits sees the end of its connection this soon
_GOING_ON = (0, errno.EINPROGRESS, errno.EWOULDBLOCK, errno.EALREADY)  # a connect(2) that is not over

Place = tuple[int, Any]
"""Family and socket address."""


class Failure(NamedTuple):
    """``address``: as text; ``error``: what connect(2) came to, a TimeoutError where no answer came."""

    address: str
    error: OSError


class NoAddressAnswers(OSError):
    """None of several addresses accepts a connection; ``failures`` has one entry for each. ``errno`` is that of a refused
    connection where there is one, else of the first failure."""

    def __init__(self, failures: Sequence[Failure]) -> None:
        self.failures = tuple(failures)
        errors = [one.error for one in failures]
        first = next((error for error in errors if isinstance(error, ConnectionRefusedError)), errors[0])
        super().__init__(first.errno or errno.ETIMEDOUT, first.strerror or os.strerror(errno.ETIMEDOUT))


class LastAddresses:
    """Which address of a server has answered last. For any thread."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._good: dict[tuple[str, int], Any] = {}

    def good(self, host: str, port: int) -> Any:
        """The socket address that answered last, None where none is known."""
        with self._guard:
            return self._good.get((host, port))

    def answered(self, host: str, port: int, address: Any) -> None:
        """Remember that this address has answered."""
        with self._guard:
            self._good[host, port] = address


LAST_ADDRESSES = LastAddresses()


def resolve(host: str, port: int, family: int = 0) -> list[Place]:
    """All addresses of a name. Raises socket.gaierror, UnicodeError."""
    found = socket.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM)
    return list(dict.fromkeys((int(kind), address) for kind, _, _, _, address in found))


def ordered(places: Iterable[Place], good: Any = None) -> list[Place]:
    """The order of the attempts: the ``good`` address first, then the families in turn (RFC 8305, section 4). Pure."""
    left = list(places)
    first = [place for place in left if place[1] == good][:1]
    left = [place for place in left if place not in first]
    families = list(dict.fromkeys(family for family, _ in left))
    by_family = [[place for place in left if place[0] == family] for family in families]
    most = max(map(len, by_family), default=0)
    return first + [row[number] for number in range(most) for row in by_family if number < len(row)]


def dial(
    places: Sequence[Place],
    until: float,
    *,
    adopt: Callable[[socket.socket], object] = bool,
    drop: Callable[[socket.socket], object] = socket.socket.close,
    over: Callable[[], bool] = bool,
) -> socket.socket:
    """A connection, blocking, to the first of these addresses that answers before ``until`` (monotonic).

    ``adopt`` is called with each socket before its use, ``drop`` closes a socket that is not used; ``over``: whether the caller has
    given up. Raises the OSError of the only address (TimeoutError without an answer), NoAddressAnswers for several;
    ConnectionAbortedError where ``over()`` is true.
    """
    waiting: dict[int, tuple[socket.socket, Any]] = {}
    failures: list[Failure] = []
    todo = list(places)
    selector = selectors.DefaultSelector()
    next_at = time.monotonic()
    try:
        while todo or waiting:
            now = time.monotonic()
            if over():
                raise ConnectionAbortedError("closed")
            if now >= until:
                break
            if todo and (now >= next_at or not waiting):
                place = todo.pop(0)
                try:
                    sock = _begin(place, adopt, drop)
                except OSError as exc:
                    failures.append(Failure(str(place[1][0]), exc))
                    next_at = now
                    continue
                waiting[sock.fileno()] = sock, place[1]
                selector.register(sock.fileno(), selectors.EVENT_WRITE)
                next_at = now + DELAY_SECS
            pause = min(until - now, _SLICE_SECS, next_at - now if todo else until - now)
            for key, _ in selector.select(max(0.0, pause)):
                sock, address = waiting.pop(key.fd)
                selector.unregister(key.fd)
                code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if not code:
                    sock.setblocking(True)
                    return sock
                drop(sock)
                failures.append(Failure(str(address[0]), OSError(code, os.strerror(code))))
                next_at = time.monotonic()  # RFC 8305, section 5: the next one at once
    finally:
        selector.close()
        for sock, _ in waiting.values():
            drop(sock)
    failures += [Failure(str(address[0]), TimeoutError()) for _, address in waiting.values()]
    failures += [Failure(str(address[0]), TimeoutError()) for _, address in todo]
    if not failures:
        raise OSError("no address")
    raise failures[0].error if len(failures) == 1 else NoAddressAnswers(failures)


def _begin(place: Place, adopt: Callable[[socket.socket], object], drop: Callable[[socket.socket], object]) -> socket.socket:
    sock = socket.socket(place[0], socket.SOCK_STREAM)
    try:
        adopt(sock)
        sock.setblocking(False)
        code = sock.connect_ex(place[1])
        if code not in _GOING_ON:
            raise OSError(code, os.strerror(code))
    except BaseException:
        with contextlib.suppress(OSError):
            drop(sock)
        raise
    return sock


def dial_name(
    host: str,
    port: int,
    secs: float,
    *,
    family: int = 0,
    memory: LastAddresses = LAST_ADDRESSES,
    places: Sequence[Place] | None = None,
    adopt: Callable[[socket.socket], object] = bool,
    drop: Callable[[socket.socket], object] = socket.socket.close,
    over: Callable[[], bool] = bool,
) -> socket.socket:
    """``dial`` for a name; the address that answers is remembered. ``secs``: limit for the lookup and the connection together.
    ``places``: the addresses, where they were looked up already. Raises as ``resolve`` and ``dial``."""
    until = time.monotonic() + secs
    found = ordered(resolve(host, port, family) if places is None else places, memory.good(host, port))
    sock = dial(found, until, adopt=adopt, drop=drop, over=over)
    with contextlib.suppress(OSError):  # the server may have closed the connection at once
        memory.answered(host, port, sock.getpeername())
    return sock
