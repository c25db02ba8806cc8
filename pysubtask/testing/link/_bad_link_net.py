"""Network namespaces and TUN devices by system calls: no program is needed, and nothing has a name that could stay behind.

A namespace lives as long as a process is in it or a file of it is open. Source: unshare(2), netdevice(7),
user_namespaces(7), Linux' Documentation/networking/tuntap.rst.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import signal
import socket
import struct
import sys
import time
from collections.abc import Collection
from pathlib import Path

_CLONE_NEWUSER = 0x10000000
_CLONE_NEWNET = 0x40000000
_TUNSETIFF = 0x400454CA
_IFF_TUN, _IFF_NO_PI = 0x0001, 0x1000
_IFF_UP = 0x0001
_SIOCGIFFLAGS, _SIOCSIFFLAGS = 0x8913, 0x8914
_SIOCSIFADDR, _SIOCSIFDSTADDR, _SIOCSIFNETMASK, _SIOCSIFMTU = 0x8916, 0x8918, 0x891C, 0x8922
_KILL_SECS = 10.0


def new_user_namespace() -> None:
    """Move to a new user namespace in which this user keeps its ids, and so gets the right to create network namespaces."""
    if sys.platform == "win32":
        raise NotImplementedError
    user, group = os.geteuid(), os.getegid()
    _unshare(_CLONE_NEWUSER)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
    Path("/proc/self/gid_map").write_text(f"{group} {group} 1")


def new_network() -> int:
    """Move to a new network namespace, with its loopback up; return an open file that keeps the namespace."""
    _unshare(_CLONE_NEWNET)
    # IPv6 is off, so that the devices' own neighbour and router discovery is not counted as traffic. It is counted where this
    # sysctl may not be written.
    with contextlib.suppress(OSError):
        Path("/proc/sys/net/ipv6/conf/default/disable_ipv6").write_text("1")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
        _set_up(handle, "lo")
    return os.open("/proc/self/ns/net", os.O_RDONLY)


def new_tun(own: str, peer: str, mtu: int) -> int:
    """A point-to-point TUN device ``link0`` in this network namespace; its packets are read from and written to the file."""
    if sys.platform == "win32":
        raise NotImplementedError
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, _TUNSETIFF, struct.pack("16sH22x", b"link0", _IFF_TUN | _IFF_NO_PI))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
        for order, address in ((_SIOCSIFADDR, own), (_SIOCSIFDSTADDR, peer), (_SIOCSIFNETMASK, "255.255.255.255")):
            fcntl.ioctl(handle, order, struct.pack("16sHH4s16x", b"link0", socket.AF_INET, 0, socket.inet_aton(address)))
        fcntl.ioctl(handle, _SIOCSIFMTU, struct.pack("16si20x", b"link0", mtu))
        _set_up(handle, "link0")
    return device


def kill_all_in(networks: Collection[int]) -> None:
    """SIGKILL every other process in the network namespaces of these open files; return when none is left."""
    if sys.platform == "win32":
        raise NotImplementedError
    places = {_place(f"/proc/self/fd/{network}") for network in networks}
    deadline = time.monotonic() + _KILL_SECS
    while time.monotonic() < deadline:
        pids = [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if pid != os.getpid() and _is_in(pid, places)]
        if not pids:
            return
        for pid in pids:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.005)


def _is_in(pid: int, places: Collection[tuple[int, int]]) -> bool:
    # Gone meanwhile, a zombie, or another user's.
    try:
        return _place(f"/proc/{pid}/ns/net") in places
    except OSError:
        return False


def _place(path: str) -> tuple[int, int]:
    found = os.stat(path)
    return found.st_dev, found.st_ino


def _set_up(handle: socket.socket, name: str) -> None:
    if sys.platform == "win32":
        raise NotImplementedError
    got = fcntl.ioctl(handle, _SIOCGIFFLAGS, struct.pack("16sH22x", name.encode(), 0))
    flags = struct.unpack_from("16xH", got)[0]
    fcntl.ioctl(handle, _SIOCSIFFLAGS, struct.pack("16sH22x", name.encode(), flags | _IFF_UP))


def _unshare(flags: int) -> None:
    # os.unshare is there from Python 3.12 on.
    if ctypes.CDLL(None, use_errno=True).unshare(flags):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
