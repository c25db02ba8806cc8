"""Less latency while ssh logs in.

ssh sets no option of its socket until the session is open: a small write waits until the server has acknowledged
the write before (Nagle, RFC 896), and the server's system may delay that acknowledgement by up to 40 ms (RFC 1122, 4.2.3.2), to
send it together with data. Both meet twice in a login, which costs 80 ms. So the two options of tcp(7) against these delays are
set on that socket from outside, by a duplicate of its descriptor (pidfd_getfd(2), Linux 5.6): only on that of an own child, and
nothing else is done with the descriptor.

Where this is not possible (another system, a ProxyCommand or ProxyJump that has the socket, a kernel that forbids it) the login
keeps its delays.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import errno
import os
import socket
import sys

_PIDFD_GETFD = 438  # on every architecture but alpha
_POLL_SECS = 0.002  # at first, as each moment before the option is set may cost an acknowledgement's delay
_LATER_POLL_SECS = 0.01  # then the server is far, and a hundred looks a second are enough
_EAGER_SECS = 0.3  # ssh has connected to a near server by then
_LIMIT_SECS = 30.0  # a login that takes longer is held up by something else


ALLOWED = "PYSUBTASK_PIDFD_GETFD"
"""Environment variable: any value says that a filter of system calls lets pidfd_getfd(2) pass. pysubtask's own systemd unit sets
it."""


def possible() -> bool:
    """Whether pidfd_getfd(2) may be called. A filter of system calls (seccomp) could kill the caller, unless ``ALLOWED`` is set."""
    if sys.platform != "linux" or os.uname().machine == "alpha" or not hasattr(os, "pidfd_open"):
        return False
    if os.environ.get(ALLOWED):
        return True
    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as file:
            return any(line.split() == ["Seccomp:", "0"] for line in file)
    except OSError:
        return False


async def hasten(pid: int) -> None:
    """Keep the TCP socket of ssh ``pid``, a child that has not been waited for, from waiting; cancel it when the login is done
    or over. Raises nothing."""
    if sys.platform != "linux" or not possible():
        return
    loop = asyncio.get_running_loop()
    begun = loop.time()
    found: socket.socket | None = None
    try:
        while (passed := loop.time() - begun) < _LIMIT_SECS:
            if found is None:
                found = _socket_of(pid)
            if found is not None:
                # The kernel resets TCP_QUICKACK after a while (tcp(7)), so it is set again at each poll.
                found.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
            await asyncio.sleep(_POLL_SECS if passed < _EAGER_SECS else _LATER_POLL_SECS)
    except (OSError, AttributeError):
        return  # forbidden, or ssh has ended, which its stream reports
    finally:
        if found is not None:
            found.close()


def _socket_of(pid: int) -> socket.socket | None:
    """A duplicate of a process's TCP socket, with TCP_NODELAY set; None where it has none yet. Raises OSError."""
    for number in os.listdir(f"/proc/{pid}/fd"):
        try:
            if not os.readlink(f"/proc/{pid}/fd/{number}").startswith("socket:"):
                continue
        except FileNotFoundError:
            continue
        copy = duplicate(pid, int(number))
        with contextlib.ExitStack() as unless_good:
            unless_good.callback(copy.close)
            if copy.family in (socket.AF_INET, socket.AF_INET6) and copy.type == socket.SOCK_STREAM:
                copy.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                unless_good.pop_all()
                return copy
    return None


def duplicate(pid: int, number: int) -> socket.socket:
    """A socket of another process, by its descriptor there. Raises OSError."""
    if sys.platform != "linux":
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    handle = os.pidfd_open(pid)
    try:
        fd = ctypes.CDLL(None, use_errno=True).syscall(_PIDFD_GETFD, handle, number, 0)
        if fd < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    finally:
        os.close(handle)
    return socket.socket(fileno=fd)
