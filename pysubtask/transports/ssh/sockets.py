"""The connections of an ssh program, to be counted: each of its sockets is shared with it, by pidfd_getfd(2) of Linux 5.6.

A shared connection ends only when both processes have closed it; nothing else changes. Sharing with an own child needs no
privilege. Where it is not possible (see ``tcp_latency.possible``), the byte counts are unknown.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Iterator

from ..shared.meter import Meter
from .tcp_latency import duplicate, possible

_FIRST_SCAN_SECS = 0.01  # ssh's connection exists a few milliseconds after its start
_SLOWER = 1.4  # each pause is longer by this: about 14 scans up to the slowest
_SLOWEST_SECS = 1.0  # a name server may take many seconds; a scan a second costs nothing


class SSHSockets:
    """Scans for the TCP connections of ``pid`` and of its descendants (a ProxyCommand has them then), from its start until
    ``found`` or ``end``, at growing intervals. A connection that ends before the first scan sees it, within some 10 ms, is not
    counted."""

    def __init__(self, pid: int, meter: Meter) -> None:
        self._pid = pid
        self._meter = meter
        self._held: dict[int, socket.socket] = {}  # by inode
        self._loop = asyncio.get_running_loop()
        self._pause = _FIRST_SCAN_SECS
        self._possible = possible()
        self._timer: asyncio.TimerHandle | None = self._loop.call_later(self._pause, self._again) if self._possible else None

    def found(self) -> None:
        """The login has succeeded, so the connections exist and stay: scan for the last time."""
        self._stop()
        if self._possible:
            self._scan()
        if not self._held:
            self._meter.blind()

    def each(self) -> list[socket.socket]:
        """The sockets that are known now, for reading their state; the caller must not close or use them."""
        return list(self._held.values())

    def end(self) -> None:
        """ssh has ended or is about to: take the last counts and close the duplicates. May be called twice."""
        self._stop()
        for inode in list(self._held):
            self._let_go(inode)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _again(self) -> None:
        self._scan()
        self._pause = min(self._pause * _SLOWER, _SLOWEST_SECS)
        self._timer = self._loop.call_later(self._pause, self._again)

    def _scan(self) -> None:
        there: set[int] = set()
        for pid in _family(self._pid):
            for fd, inode in _sockets(pid):
                there.add(inode)
                if inode not in self._held and (sock := _shared(pid, fd, inode)) is not None:
                    self._held[inode] = sock
                    self._meter.add(sock)
        for inode in self._held.keys() - there:  # a connection attempt that ssh gave up for another address
            self._let_go(inode)

    def _let_go(self, inode: int) -> None:
        sock = self._held.pop(inode)
        self._meter.end(sock)
        sock.close()


def _family(pid: int) -> Iterator[int]:
    """A process and its children, grandchildren and so on."""
    yield pid
    with contextlib.suppress(OSError):  # the process has ended, or this kernel does not list children
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
            children = file.read().split()
        for child in children:
            yield from _family(int(child))


def _sockets(pid: int) -> list[tuple[int, int]]:
    """The descriptors of a process that are sockets, each with its inode."""
    found = []
    with contextlib.suppress(OSError):
        for fd in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                kind, _, inode = os.readlink(f"/proc/{pid}/fd/{fd}").partition(":")
                if kind == "socket":
                    found.append((int(fd), int(inode.strip("[]"))))
    return found


def _shared(pid: int, fd: int, inode: int) -> socket.socket | None:
    """A duplicate of a TCP socket of another process; None for a socket of another kind, or where duplication is forbidden."""
    try:
        sock = duplicate(pid, fd)
    except OSError:
        return None
    same = os.fstat(sock.fileno()).st_ino == inode  # the descriptor may have been closed and reused meanwhile
    if same and sock.family in (socket.AF_INET, socket.AF_INET6) and sock.proto == socket.IPPROTO_TCP:
        return sock
    sock.close()
    return None
