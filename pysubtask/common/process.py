"""Which process is meant: a pid alone is used again by the system, a pid with its start is not."""

from __future__ import annotations

import contextlib
import os
import select
import sys
from collections.abc import Callable

EXIT_STOPPED = 4
"""Exit status of a child that was stopped by an order: its master does not start it again by itself."""

_BOOT_ID = "/proc/sys/kernel/random/boot_id"


def process_start(pid: int) -> str | None:
    """What tells this process from any other that had or will have its pid; None when it is dead.

    On Linux the boot's id and the start in clock ticks since then (proc(5), /proc/pid/stat field 22):
    the ticks alone come out the same after every boot of a machine that starts its daemons in one
    order. A zombie counts as dead. Where the system does not tell the start, a living process has ''.
    """
    if pid <= 0:
        return None
    if sys.platform == "win32":
        return _windows_start(pid)
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            stat = file.read()
    except (FileNotFoundError, ProcessLookupError):
        return None if os.path.exists("/proc/self/stat") else _start_untold(pid)
    except OSError:
        return _start_untold(pid)
    # The second field is the name in brackets and may itself hold brackets and spaces.
    fields = stat[stat.rfind(b")") + 2 :].split()
    if len(fields) < 20 or fields[0] in (b"Z", b"X", b"x"):
        return None
    return f"{_boot()}-{fields[19].decode('ascii')}"


def is_alive(pid: int, start: str) -> bool:
    """Whether the process that had this pid and this start lives. '' as start matches any."""
    now = process_start(pid)
    return now is not None and (now == start or not now or not start)


class WatchedProcess:
    """A process that is asked for often whether it lives. The system tells by a descriptor of it where it has such
    (pidfd_open(2), Linux 5.3), at the cost of one call; else pid and start are compared each time."""

    def __init__(self, pid: int, start: str) -> None:
        self.pid = pid
        self._start = start
        self._poll: Callable[[int], object] | None = None
        if sys.platform == "linux" and hasattr(os, "pidfd_open"):
            with contextlib.suppress(OSError):
                poll = select.poll()
                self._handle = os.pidfd_open(pid)
                # It can be read once the process has ended.
                poll.register(self._handle, select.POLLIN)
                self._poll = poll.poll
        # Compared after the descriptor was opened: what it stands for is that very process, or is none.
        self._is_it = is_alive(pid, start)

    def is_alive(self) -> bool:
        """Whether it lives."""
        if self._poll is None:
            return is_alive(self.pid, self._start)
        self._is_it = self._is_it and not self._poll(0)
        return self._is_it


def _boot() -> str:
    try:
        with open(_BOOT_ID, "rb") as file:
            return file.read(8).decode("ascii", "replace")
    except OSError:
        return ""


def _start_untold(pid: int) -> str | None:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except OSError:
        pass  # it is there, but another user's
    return ""


if sys.platform == "win32":

    def _windows_start(pid: int) -> str | None:
        import ctypes
        from ctypes import wintypes

        kernel = ctypes.WinDLL("kernel32", use_last_error=True)
        kernel.OpenProcess.restype = wintypes.HANDLE
        query_limited_information, access_denied, still_active = 0x1000, 5, 259
        handle = kernel.OpenProcess(query_limited_information, False, pid)
        if not handle:
            return "" if ctypes.get_last_error() == access_denied else None
        try:
            code = wintypes.DWORD()
            times = [wintypes.FILETIME() for _ in range(4)]
            process = wintypes.HANDLE(handle)
            if kernel.GetExitCodeProcess(process, ctypes.byref(code)) and code.value != still_active:
                return None
            if not kernel.GetProcessTimes(process, *(ctypes.byref(time) for time in times)):
                return ""
            return str(times[0].dwHighDateTime << 32 | times[0].dwLowDateTime)
        finally:
            kernel.CloseHandle(wintypes.HANDLE(handle))
