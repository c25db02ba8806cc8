"""Hides from the modules of ``pysubtask`` what Windows does not have; the standard library and other libraries keep it.

These modules get another ``import`` and another ``open``. They see ``sys.platform == "win32"``, modules without the names of
POSIX, and calls that refuse what Windows refuses: a folder that is opened, a descriptor of a folder, a file that is opened
without O_BINARY, a rename over a file, the removal or replacement of a file that this process has open, a sync of a file that was
opened to be read, signal 0. What only Windows has and pysubtask
uses is made of Linux: locked bytes, CTRL_BREAK, the times of a process. Not imitated: files that another process has open,
drive letters and backslashes, permissions, time stamps of 100 ns, pipes and consoles.
"""

import builtins
import contextlib
import ctypes
import errno
import fcntl
import importlib.abc
import importlib.machinery
import os
import signal
import socket
import struct
import subprocess
import sys
import types
from typing import Any

_O_BINARY = 1 << 30
_BREAK = signal.SIGUSR2
_GONE = ("fcntl", "grp", "pwd", "resource", "termios", "pty", "tty", "posix", "syslog")
_SYSTEMS = ("/proc/", "/sys/", "/dev/")
_OS = """
    chown chroot fchdir fchmod fchown fork forkpty getegid geteuid getgid getgrouplist getgroups getpgid getpgrp getresgid
    getresuid getsid getuid getxattr initgroups killpg lchown listxattr lockf major makedev memfd_create minor mkfifo mknod nice
    openpty pathconf pidfd_open posix_fadvise posix_fallocate posix_spawn pread preadv pwrite pwritev readv register_at_fork
    sched_setaffinity sched_getaffinity sendfile set_blocking setegid seteuid setgid setgroups setpgid setpriority setregid
    setresgid setresuid setreuid setsid setuid setxattr splice statvfs fstatvfs sync sysconf uname wait wait3 wait4 waitid writev
    copy_file_range O_ASYNC O_CLOEXEC O_DIRECT O_DIRECTORY O_DSYNC O_NDELAY O_NOATIME O_NOCTTY O_NOFOLLOW O_NONBLOCK O_PATH
    O_RSYNC O_SYNC O_TMPFILE P_PID P_PIDFD SEEK_DATA SEEK_HOLE ST_RDONLY WEXITED WNOHANG WNOWAIT MFD_CLOEXEC
"""
_SIGNALS_THERE = ("SIGABRT", "SIGFPE", "SIGILL", "SIGINT", "SIGSEGV", "SIGTERM", "SIG_DFL", "SIG_IGN")


class _Seen(types.ModuleType):
    """A module as it is seen: ``more`` stands in front of ``real``, and of that ``hidden`` is not there."""

    def __init__(self, real: types.ModuleType, hidden: set[str], **more: Any) -> None:
        super().__init__(real.__name__)
        self.__dict__.update(_real=real, _hidden=hidden, **more)

    def __getattr__(self, name: str) -> Any:
        if name in self._hidden:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r} on this system")
        return getattr(self._real, name)


def _no_folder_descriptors(call: Any) -> Any:
    def seen(*args: Any, **named: Any) -> Any:
        for key in ("dir_fd", "src_dir_fd", "dst_dir_fd"):
            if named.get(key) is not None:
                raise NotImplementedError(f"{key} unavailable on this platform")
        if args and isinstance(args[0], (str, bytes, os.PathLike)) and os.fsdecode(args[0]).startswith(_SYSTEMS):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), args[0])
        return call(*args, **named)

    return seen


def _open(path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
    if dir_fd is not None:
        raise NotImplementedError("dir_fd unavailable on this platform")
    if os.fsdecode(path).startswith(_SYSTEMS):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
    if os.path.isdir(path):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
    if not flags & _O_BINARY:
        raise AssertionError(f"{path} is opened without O_BINARY: its line ends would be changed")
    return os.open(path, flags & ~_O_BINARY, mode)


def _open_file(file: Any, *args: Any, **named: Any) -> Any:
    if isinstance(file, (str, bytes, os.PathLike)):
        if os.fsdecode(file).startswith(_SYSTEMS):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), file)
        if "opener" not in named and os.path.isdir(file):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), file)
    return builtins.open(file, *args, **named)


def _held(path: Any) -> bool:
    """Whether this process has the file open: there it can be neither removed nor replaced."""
    try:
        found = os.lstat(path)
    except OSError:
        return False
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            if os.path.samestat(os.fstat(int(number)), found):
                return True
    return False


def _not_held(call: Any) -> Any:
    def seen(*args: Any, **named: Any) -> Any:
        for path in args:
            if _held(path):
                raise PermissionError(errno.EACCES, "it is open (as Windows says)", path)
        return _no_folder_descriptors(call)(*args, **named)

    return seen


def _rename(source: Any, target: Any, **named: Any) -> None:
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), source, None, target)
    _not_held(os.rename)(source, target, **named)


def _fsync(handle: Any) -> None:
    number = handle if isinstance(handle, int) else handle.fileno()
    if fcntl.fcntl(number, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))
    os.fsync(number)


def _kill(pid: int, number: int) -> None:
    if number == 0:
        raise AssertionError("signal 0 is CTRL_C_EVENT there")
    os.kill(pid, number if number == _BREAK else signal.SIGKILL)


class _Popen(subprocess.Popen):  # type: ignore[type-arg]
    def send_signal(self, number: int) -> None:
        super().send_signal(number if number in (_BREAK, signal.SIGKILL) else signal.SIGKILL)

    def terminate(self) -> None:
        super().send_signal(signal.SIGKILL)


class _Kernel32:
    """The calls of kernel32 that tell a process's start; a handle is its pid."""

    class OpenProcess:
        restype: Any = None

        def __call__(self, access: int, inherit: bool, pid: int) -> int:
            return pid if self._fields(pid) else 0

        @staticmethod
        def _fields(pid: int) -> list[bytes]:
            try:
                with open(f"/proc/{pid}/stat", "rb") as file:
                    fields = file.read().rpartition(b")")[2].split()
            except OSError:
                return []
            return [] if fields[0] in (b"Z", b"X") else fields

    def __init__(self, *args: Any, **named: Any) -> None:
        self.OpenProcess = _Kernel32.OpenProcess()

    def GetExitCodeProcess(self, handle: Any, code: Any) -> int:
        code._obj.value = 259
        return 1

    def GetProcessTimes(self, handle: Any, created: Any, *rest: Any) -> int:
        created._obj.dwLowDateTime = int(_Kernel32.OpenProcess._fields(handle.value)[19])
        return 1

    def CloseHandle(self, handle: Any) -> int:
        return 1


def _dll(name: str | None, *args: Any, **named: Any) -> Any:
    if name is None:
        raise TypeError("there is no library without a name")
    return ctypes.CDLL(name, *args, **named)


def _locking(handle: int, mode: int, count: int) -> None:
    """Lock ``count`` bytes from the position on (fcntl(2), F_OFD_SETLK): like those of Windows they are the descriptor's."""
    kind = fcntl.F_UNLCK if mode == 0 else fcntl.F_WRLCK
    at = os.lseek(handle, 0, os.SEEK_CUR)
    fcntl.fcntl(handle, 37, struct.pack("hhqqi4x", kind, os.SEEK_SET, at, count, 0))


def _seen() -> dict[str, types.ModuleType]:
    calls = "stat lstat mkdir rmdir link readlink scandir listdir utime access chmod"
    seen_path = types.ModuleType("os.path")
    seen_path.__dict__.update(os.path.__dict__)
    for name in ("exists", "lexists", "isfile", "isdir"):
        seen_path.__dict__[name] = _never_of_the_system(getattr(os.path, name))
    seen_os = _Seen(
        os,
        set(_OS.split()),
        name="nt",
        O_BINARY=_O_BINARY,
        open=_open,
        rename=_rename,
        fsync=_fsync,
        kill=_kill,
        path=seen_path,
        supports_dir_fd=frozenset(),
        supports_follow_symlinks=frozenset({os.stat}),
        supports_fd=frozenset({os.stat}),
        **{name: _no_folder_descriptors(getattr(os, name)) for name in calls.split()},
        **{name: _not_held(getattr(os, name)) for name in ("unlink", "remove", "replace")},
    )
    hidden = {
        name for name in dir(signal) if name.startswith(("SIG", "pthread", "pidfd", "sig", "set")) and name not in _SIGNALS_THERE
    }
    hidden -= {"Signals", "signal", "set_wakeup_fd"}
    seen_signal = _Seen(signal, hidden, SIGBREAK=_BREAK, CTRL_BREAK_EVENT=_BREAK)
    msvcrt = types.ModuleType("msvcrt")
    msvcrt.__dict__.update(LK_UNLCK=0, LK_LOCK=1, LK_NBLCK=2, locking=_locking)
    import select
    from ctypes import wintypes

    return {
        "os": seen_os,
        "os.path": seen_path,
        "sys": _Seen(sys, {"getdlopenflags"}, platform="win32"),
        "signal": seen_signal,
        "msvcrt": msvcrt,
        "select": _Seen(select, {"poll", "epoll", "POLLIN", "POLLOUT", "POLLPRI", "POLLERR", "POLLHUP", "kqueue"}),
        "socket": _Seen(socket, {"AF_UNIX", "send_fds", "recv_fds", "SO_PEERCRED", "SCM_RIGHTS", "TCP_QUICKACK", "MSG_DONTWAIT"}),
        "subprocess": _Seen(subprocess, set(), Popen=_Popen),
        "ctypes": _Seen(ctypes, set(), CDLL=_dll, WinDLL=_Kernel32, get_last_error=lambda: 0, wintypes=wintypes),
    }


def _never_of_the_system(call: Any) -> Any:
    return lambda path: not (isinstance(path, str) and path.startswith(_SYSTEMS)) and call(path)


class _Loader(importlib.abc.Loader):
    """Runs a module with these builtins."""

    def __init__(self, loader: Any, names: dict[str, Any]) -> None:
        self._loader, self._names = loader, names

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def create_module(self, spec: Any) -> Any:
        return self._loader.create_module(spec)

    def exec_module(self, module: types.ModuleType) -> None:
        module.__dict__["__builtins__"] = self._names
        self._loader.exec_module(module)


class _Finder(importlib.abc.MetaPathFinder):
    def __init__(self, names: dict[str, Any]) -> None:
        self._names = names

    def find_spec(self, name: str, path: Any, target: Any = None) -> Any:
        if name.partition(".")[0] != "pysubtask" or name.startswith("pysubtask.testing"):
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader, self._names)
        return spec


def _importer(seen: dict[str, types.ModuleType]) -> Any:
    def importer(name: str, space: Any = None, local: Any = None, names: Any = (), level: int = 0) -> Any:
        if not level and name in _GONE:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        if not level and name in seen:
            return seen[name] if names or "." not in name else seen[name.partition(".")[0]]
        return builtins.__import__(name, space, local, names, level)

    return importer


def install() -> None:
    """Hide it from all modules of pysubtask that are imported from now on by this process."""
    import asyncio

    class Loop(asyncio.SelectorEventLoop):
        """The loop of Windows has no readers and writers of descriptors; those of asyncio itself go by other names."""

        def add_reader(self, *args: Any) -> None:
            raise NotImplementedError

        def add_writer(self, *args: Any) -> None:
            raise NotImplementedError

    class Policy(asyncio.DefaultEventLoopPolicy):
        _loop_factory = Loop

    asyncio.set_event_loop_policy(Policy())
    names = dict(vars(builtins))
    names.update(__import__=_importer(_seen()), open=_open_file)
    sys.meta_path.insert(0, _Finder(names))
