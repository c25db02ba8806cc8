"""One child process: everything that differs between platforms is in this module.

A child is started, polled, signalled and reaped. ``poll`` never waits; ``wait`` and ``kill`` do, with
a limit. ``Restarts`` in ``common/`` decides when to start it again, ``guard.py`` has what does so while the app sleeps.
"""

import contextlib
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from typing import IO, TYPE_CHECKING, NamedTuple

from ..common.errors import ConfigError
from ..common.logs import is_output
from ..common.process import process_start
from ..common.program import HOW, Host, for_child, here, start_words

if TYPE_CHECKING:
    from .guard import Guard, Master

_POLL_SECS = 0.02  # where the system has no descriptor to wait for
_UNKNOWN = "unknown exit status"
_PACKAGE_FOLDERS = ("site-packages", "dist-packages")


class Launch(NamedTuple):
    """How a child is started: ``python -P -m module --handoff --label=LABEL`` with these folders added to PYTHONPATH.

    A frozen app is started itself instead (see :mod:`pysubtask.common.program`). ``cwd`` is where the child works
    if it still exists and this user may enter it; else it inherits the working folder. Without ``console`` its output goes to
    ``log_file``, or nowhere. ``label`` tells the children of several tasks apart in a list of processes. ``guarded_for``: the
    master whose guard starts the child and starts it again; None: no guard.
    """

    module: str
    folders: tuple[str, ...]
    cwd: str
    console: bool
    log_file: str | None
    label: str = ""
    guarded_for: "Master | None" = None


@contextlib.contextmanager
def _stop_held(found: Host) -> Iterator[None]:
    """A child that is started in here inherits SIGTERM blocked: a stop before the child has its handler stays pending.

    Not in a frozen program: the process that unpacks it would never get a stop. Notified files stay for the next child.
    """
    if found.frozen or sys.platform == "win32":
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class Child:
    """A started child, or the guard of one. The process that started it owns it: in a forked copy of that process no method
    acts."""

    def __init__(self, launch: Launch, handoff: int) -> None:
        """Start it, with the descriptor ``handoff`` as its stdin. OSError where that fails."""
        found = here()
        try:
            words = start_words(launch.module)
        except ConfigError as exc:  # the master's constructor has found it right: it has changed since
            raise OSError(str(exc)) from exc
        self._unpacks = bool(found.frozen)
        self.guard = None if launch.guarded_for is None or self._unpacks else _guard_of(launch.guarded_for)
        """The guard, where the process is one."""
        words = [*words, "--handoff", f"--label={launch.label}"]
        self._process = self._popen(words if self.guard is None else self.guard.words(words), launch, handoff)
        self._pid = self._process.pid
        self.exit: str | None = None
        self._owner = os.getpid()
        self._reaping = threading.Lock()  # one thread reaps: for a second one the exit status would be gone
        self._start = process_start(self._pid)
        self._pidfd_kept: int | None = None
        self._pidfd_stat: os.stat_result | None = None
        self._open_pidfd()
        if self._pidfd_kept is not None:
            # Popen must never look for it itself: by then its pid may be another process's.
            self._process.returncode = 0
        if self.guard is not None:
            self.guard.wait_for_pid()

    def _popen(self, words: list[str], launch: Launch, handoff: int) -> subprocess.Popen[bytes]:
        found = here()
        # A run that root began in a folder of root's own, and that has another user's rights since, may not enter that folder.
        cwd = launch.cwd if os.path.isdir(launch.cwd) and os.access(launch.cwd, os.X_OK) else None
        given = launch.console and is_output(1) and is_output(2)
        sink = None if given else _sink(launch.log_file)
        output = None if given else subprocess.DEVNULL if sink is None else sink
        try:
            with _stop_held(found) if self.guard is None else contextlib.nullcontext():
                return subprocess.Popen(
                    words,
                    stdin=handoff,
                    stdout=output,
                    stderr=output,
                    cwd=cwd,
                    env=for_child(found, os.environ, launch.folders),
                    close_fds=True,
                    pass_fds=() if self.guard is None else (self.guard.fd,),
                    # A session of its own: Ctrl-C in the app's terminal reaches the app alone.
                    start_new_session=sys.platform != "win32",
                    creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
                )
        finally:
            if sink is not None:
                sink.close()

    def __del__(self) -> None:
        # Only here, so that no other thread is just about to use it.
        if hasattr(self, "_pidfd_stat") and self._pidfd_is_mine() and self._pidfd_kept is not None:
            os.close(self._pidfd_kept)
        if (guard := getattr(self, "guard", None)) is not None:
            guard.close()

    @property
    def pid(self) -> int:
        """The process id of the child; that of its guard where it has one and the child does not run."""
        return self._pid if self.guard is None else self.guard.record().pid or self._pid

    def _open_pidfd(self) -> None:
        """Open a descriptor of the process (pidfd_open(2)), where the system has such: unlike the pid it is never used again."""
        self._pidfd_kept = None
        if hasattr(os, "pidfd_open"):
            try:
                self._pidfd_kept = os.pidfd_open(self._pid)
                self._pidfd_stat = os.fstat(self._pidfd_kept)
            except OSError:
                pass  # an old kernel, a sandbox, or already reaped: Popen's own means remain

    def _pidfd_is_mine(self) -> bool:
        try:
            found = os.fstat(self._pidfd_kept) if self._pidfd_kept is not None else None
        except OSError:
            return False
        return found is not None and self._pidfd_stat is not None and os.path.samestat(found, self._pidfd_stat)

    @property
    def pidfd(self) -> int | None:
        """A descriptor of the process, None where there is none. An app that turns into a daemon, or closes all it has, closes this
        one too, and the number may be a file of its own by then: that one is left alone, and another descriptor is opened."""
        if self._pidfd_kept is not None and not self._pidfd_is_mine():
            self._pidfd_kept = None
            if os.getpid() == self._owner and self._start is not None and process_start(self._pid) == self._start:
                self._open_pidfd()
        return self._pidfd_kept

    def poll(self) -> str | None:
        """None while the child runs; once it is dead and reaped, how it ended, in words. Never waits."""
        if self.exit is None and os.getpid() == self._owner and self._reaping.acquire(blocking=False):
            try:
                if self.exit is None:
                    self.exit = self._reap()
            finally:
                self._reaping.release()
        return self.exit

    def terminate(self) -> None:
        """Ask it to stop."""
        if sys.platform == "win32":
            self._send(signal.CTRL_BREAK_EVENT)
        else:
            self._send(signal.SIGTERM)

    def kill(self) -> None:
        """End it without asking, and its guard."""
        if sys.platform == "win32":
            self._send(signal.SIGTERM)
        elif self.guard is not None:
            # It reaps the child before it ends. SIGCONT for one that was stopped.
            from .guard import KILL

            self._send(KILL)
            self._send(signal.SIGCONT)
        else:
            self._send(signal.SIGKILL)

    def _send(self, number: int) -> None:
        if os.getpid() != self._owner or self.poll() is not None:
            return
        try:
            worker = unpacked(self._pid) if self._unpacks else self._pid
            if worker != self._pid:
                os.kill(worker, number)
            elif sys.platform == "linux" and (fd := self.pidfd) is not None:
                signal.pidfd_send_signal(fd, number)
            else:
                self._process.send_signal(number)
        except OSError:
            pass  # it has just ended: the next poll returns that

    def _reap(self) -> str | None:
        fd = self.pidfd
        if sys.platform != "linux" or fd is None:
            if self._pidfd_stat is not None:
                return _UNKNOWN  # its descriptor was closed by the app, and there is no such process any more
            code = self._process.poll()
            return self._ending(code) if code is not None else None
        try:
            found = os.waitid(os.P_PIDFD, fd, os.WEXITED | os.WNOHANG)
        except OSError:
            # The app ignores SIGCHLD or has reaped it itself; the descriptor still knows whether it lives.
            return _UNKNOWN if _readable(fd) else None
        if found is None:
            return None
        return self._ending(found.si_status if found.si_code == os.CLD_EXITED else -found.si_status)

    def _ending(self, code: int) -> str:
        return ending(shell_code(code) if self.guard is not None else code)


def wait(children: Iterable[Child], limit: float) -> list[Child]:
    """Wait until all have ended, at most ``limit`` seconds; those that still live."""
    until = time.monotonic() + limit
    while True:
        living = [child for child in children if child.poll() is None]
        left = until - time.monotonic()
        if not living or left <= 0:
            return living
        fd = living[0].pidfd
        if fd is None or not hasattr(select, "poll"):
            time.sleep(min(_POLL_SECS, left))
        else:
            _readable(fd, min(left, 0.5))


def can_be_started(module: str) -> None:
    """ConfigError where no child that runs ``module`` can be started from this program."""
    start_words(module)
    if not here().frozen:
        return
    from importlib.util import find_spec

    for name in dict.fromkeys([module, "pysubtask.subtask.engine.cli"]):
        try:
            there = find_spec(name)
        except (ImportError, ValueError):
            there = None
        if there is None:
            remedy = f"--hidden-import {name} (PyInstaller), --include-module={name} (Nuitka)"
            if name.startswith("pysubtask."):
                remedy = "--collect-submodules pysubtask (PyInstaller), --include-package=pysubtask (Nuitka)"
            problem = f"the child's module {name!r} is not in this frozen program"
            raise ConfigError("SubtaskModuleName", problem, f"Name it when you build: {remedy}; see {HOW}.")


def unpacked(pid: int) -> int:
    """The process that works behind ``pid``, where a one-file program has unpacked itself: its child in the same session.

    Else ``pid`` itself. Signals go to that process: the unpacker notices its end, removes its files and ends as well.
    """
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
            below = [int(word) for word in file.read().split()]
        return next((one for one in below if sys.platform != "win32" and os.getsid(one) == pid), pid)
    except (OSError, ValueError):
        return pid  # not Linux, or just ended


def folders_for(module: str, package_file: str, path: Iterable[str]) -> tuple[str, ...]:
    """The folders a child needs on its PYTHONPATH to find this package, and a module of the app's own.

    ``package_file`` is this package's ``__init__``, ``path`` what the app searches. Folders that every
    interpreter of this environment searches anyway are left out. A frozen program has everything in it.
    """
    if here().frozen:
        return ()
    package = os.path.dirname(os.path.abspath(package_file))
    own = module.partition(".")[0] != os.path.basename(package)
    folders = dict.fromkeys([os.path.dirname(package), *(os.path.abspath(folder) for folder in path if own)])
    return tuple(folder for folder in folders if not _is_standard(folder))


def _is_standard(folder: str) -> bool:
    source = getattr(os, "__file__", None)  # a library without files knows no place
    if source is None:
        return os.path.basename(folder) in _PACKAGE_FOLDERS
    standard = os.path.dirname(os.path.abspath(source))
    zipped = os.path.join(os.path.dirname(standard), "python{}{}.zip".format(*sys.version_info))
    name = os.path.basename(folder)
    return folder == zipped or name in _PACKAGE_FOLDERS or f"{folder}{os.sep}".startswith(f"{standard}{os.sep}")


def _sink(log_file: str | None) -> IO[bytes] | None:
    """The file for output of a child without a console that no log call catches (a traceback of the interpreter)."""
    if log_file is None:
        return None
    try:
        from ..common.log_place import open_log

        return os.fdopen(open_log(os.path.abspath(log_file)), "ab", buffering=0)
    except OSError:
        return None


def _guard_of(master: "Master") -> "Guard | None":
    from .guard import Guard, is_possible

    if not is_possible():
        return None
    try:
        return Guard(master)
    except OSError:
        return None  # no memory for its record: the child is started without, which matters more


def _readable(fd: int, secs: float = 0.0) -> bool:
    if sys.platform == "win32":
        raise NotImplementedError
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(int(secs * 1000)))


def shell_code(status: int) -> int:
    """An exit status as a shell tells it: 128 and a number stand for a signal, which is negative here."""
    return 128 - status if status > 128 else status


def ending(code: int) -> str:
    """How a process ended, in words: ``code`` is its exit status, or negative the signal."""
    if code >= 0:
        return f"exit status {code}"
    try:
        return f"signal {signal.Signals(-code).name}"
    except ValueError:
        return f"signal {-code}"
