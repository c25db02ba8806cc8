"""The system's ssh as a child process whose stdin and stdout are the byte stream.

ssh runs in a session of its own, so it has no terminal to ask on and can be killed together with the processes it started
(ProxyCommand, askpass). ssh does not outlive this process for long: the kernel kills it (PR_SET_PDEATHSIG, by
setpriv), its stdin is closed, and the next connect kills a leftover process, known from the record of its
pid and start time.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from functools import cache

from ...common import own_files
from ...common.errors import LoginRefused, TransportError, TransportLost
from ...common.limits import REMEDY, is_limit, reached
from ...common.program import for_others
from ...common.state_files import SHELL_RECORD, SSH_RECORD
from ..shared.meter import Meter
from ..shared.reach import place
from ..shared.ssh_login import Login
from ..shared.standstill import MTU, of_login, tcp_state
from .askpass import Askpass
from .errors import NO_ACCOUNT, verdict
from .options import shell_argv, show_argv, ssh_argv
from .orphans import TAG, new_tag
from .process_record import end_leftover, kill_group, write_record
from .socket_handover import SocketHandover, with_a_shell
from .sockets import SSHSockets
from .stream import FdStream, never_block
from .tcp_latency import hasten

_PIPE_BYTES = 1024 * 1024  # the most that a user may ask for (pipe(7)): fewer changes between the two processes
_STDERR_KEPT = 8 * 1024  # bytes: the reason is in the last lines, and ``errors`` reads no more
_LAST_WORDS_SECS = 0.5  # ssh ends within milliseconds after its stdout; what holds stderr open for longer has no more to say
_GOODBYE_SECS = 0.7  # about a round trip on a slow link, so that the server sees a proper end
_KILL_SECS = 0.5  # with _GOODBYE_SECS, ``finish`` stays below 2 s
_POLL_SECS = 0.01  # only where there is no pidfd to wait for
_SHOW_SECS = 10.0  # for ``ssh -G`` and setpriv, which answer at once unless a Match exec hangs
_RECORD = SSH_RECORD
_SHELL_RECORD = SHELL_RECORD


class SSHStream(FdStream):
    """A running ssh. ``logged_in`` is set by ``login_done``, which the owner calls at the first packet of SFTP."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        fds: tuple[int, int, int],
        helpers: tuple[Askpass | None, SocketHandover | None],
        record: str,
        meter: Meter,
        where: str = "the server",
    ) -> None:
        read_fd, write_fd, stderr_fd = fds
        super().__init__(read_fd, write_fd)
        self._process = process
        self._stderr_fd = stderr_fd
        self._stderr = bytearray()
        self._askpass, self._hand_over = helpers
        self._record = record
        self._where = where
        self._sockets = SSHSockets(process.pid, meter)
        self._hastening = asyncio.ensure_future(hasten(process.pid))
        self._ending: asyncio.Task[None] | None = None
        self._exited = asyncio.Event()
        self._silent = asyncio.Event()  # stderr is at its end
        self._pidfd = -1
        self.logged_in = False
        self._acked_at_login: list[tuple[socket.socket, int]] = []
        self.swallowed = False
        """Whether the connection stands still after the login, and no large packet of it was ever acknowledged."""
        self.swallowed_before = False
        """``swallowed`` of the connection before this one: a link that merely died shows this symptom once, and not twice."""
        if sys.platform == "linux":  # elsewhere _wait polls
            with contextlib.suppress(AttributeError, OSError):
                self._pidfd = os.pidfd_open(process.pid)
                self._loop.add_reader(self._pidfd, self._exit_seen)
        never_block(stderr_fd)
        self._loop.add_reader(stderr_fd, self._hear)

    @property
    def pid(self) -> int:
        """The child's pid, which is also its process group and session."""
        return self._process.pid

    @property
    def stderr(self) -> str:
        """The last _STDERR_KEPT bytes that ssh wrote on stderr."""
        return self._stderr.decode("utf-8", "replace")

    def login_done(self) -> None:
        """The login has succeeded: forget the password, and end the scan for ssh's connections."""
        self.logged_in = True
        self._hastening.cancel()
        self._sockets.found()
        self._acked_at_login = [(sock, seen.acked) for sock in self._sockets.each() if (seen := tcp_state(sock)) is not None]
        _close_all(self._hand_over, self._askpass)

    def standstill(self) -> str:
        """See ``ByteStream.standstill``. After the login a reason is given only where the connection before had the same
        symptom."""
        if not self.logged_in:
            return next(filter(None, map(of_login, self._sockets.each())), "")
        self.swallowed = any(
            (seen := tcp_state(sock)) is not None and seen.swallows(before) for sock, before in self._acked_at_login
        )
        return MTU if self.swallowed and self.swallowed_before else ""

    def ended(self, why: str) -> None:
        """stdout is at its end: wait a moment for stderr and the exit status, which contain the reason."""
        self._ending = asyncio.ensure_future(self._last_words(why))

    async def _last_words(self, why: str) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LAST_WORDS_SECS):  # a ProxyCommand may hold stderr open for longer
                await self._silent.wait()
        await self._wait(_LAST_WORDS_SECS)
        if self._listener is not None:
            self._listener.stream_ended(self.verdict())

    def verdict(self) -> TransportError:
        """The reason why the connection ended: TransportLost, LoginRefused or ServerNotTrusted."""
        asked = self._askpass.refused if self._askpass is not None else None
        return verdict(self.stderr, self._process.poll(), asked, self.logged_in, self._where)

    def abort(self) -> None:
        """End ssh and what it started, at once."""
        if sys.platform == "win32":
            raise NotImplementedError
        super().abort()
        self._hastening.cancel()
        if self._process.returncode is None:  # else the pid may already belong to another process
            kill_group(self.pid, signal.SIGKILL)
        self._sockets.end()
        _close_all(self._hand_over, self._askpass)
        self._shut_stderr()

    async def finish(self, polite: bool) -> None:
        """End ssh, if ``polite`` after it had a moment to say goodbye, and reap it. Never raises; below 2 s."""
        try:
            if polite:
                self.end_input()
                await self._wait(_GOODBYE_SECS)
        finally:
            self.abort()
        await self._wait(_KILL_SECS)
        if self._pidfd >= 0:
            self._exit_seen()
        if self._process.poll() is not None:
            with contextlib.suppress(OSError):
                own_files.remove(*os.path.split(self._record))

    async def _wait(self, secs: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(secs):
                while self._pidfd >= 0 or self._process.poll() is None:
                    if self._pidfd >= 0:  # the process is reaped by _exit_seen and not earlier, so that its pid stays its own
                        await self._exited.wait()
                    else:
                        await asyncio.sleep(_POLL_SECS)

    def _exit_seen(self) -> None:
        if sys.platform == "win32":
            raise NotImplementedError
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        self._pidfd = -1
        if self._process.returncode is None:
            # ssh has ended and is not reaped yet, so its pid and its group are still its own: kill what is left of the group,
            # such as a child of the ProxyCommand.
            kill_group(self.pid, signal.SIGKILL)
        self._process.poll()
        self._sockets.end()
        self._exited.set()

    def _hear(self) -> None:
        try:
            block = os.read(self._stderr_fd, 65536)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            block = b""
        self._stderr += block
        del self._stderr[:-_STDERR_KEPT]
        if not block:
            self._shut_stderr()

    def _shut_stderr(self) -> None:
        if self._stderr_fd >= 0:
            self._loop.remove_reader(self._stderr_fd)
            os.close(self._stderr_fd)
            self._stderr_fd = -1
            self._silent.set()


async def start_ssh(
    program: str,
    login: Login,
    password: str | None,
    workdir: str,
    meter: Meter,
    *,
    shell: bool = False,
    sock: socket.socket | None = None,
) -> SSHStream:
    """Start ``program`` (a path) for a login, with ``shell`` not for SFTP but for a shell; it has not logged in yet. ``sock``: the
    connection that it uses, which is its own from here on; None has it make one.

    LoginRefused where its configuration cannot be read, TransportLost where it cannot be started.
    """
    record = os.path.join(workdir, _SHELL_RECORD if shell else _RECORD)
    end_leftover(record)
    argv = ssh_argv(program, login)
    # A password that came in an environment variable is not passed on to ssh.
    environment = {
        key: value
        for key, value in for_others().items()
        if not key.startswith("SSH_ASKPASS") and not (password and password in value)
    }
    environment[TAG] = new_tag()
    askpass: Askpass | None = None
    hand_over: SocketHandover | None = None
    try:
        prefix = await asyncio.to_thread(_dies_with_us)
        if password:
            user, host = await asyncio.to_thread(_asked_for, argv, environment)
            askpass = Askpass(password, user, host)
            environment |= askpass.environment()
            askpass.start(asyncio.get_running_loop())
        else:
            environment["SSH_ASKPASS_REQUIRE"] = "never"
        if sock is not None:
            hand_over = SocketHandover(sock, askpass.folder if askpass is not None else "")
            argv, environment = [argv[0], *hand_over.options, *argv[1:]], with_a_shell(environment)
            hand_over.start(asyncio.get_running_loop())
        return _start(
            [*prefix, *(shell_argv(argv) if shell else argv)],
            environment,
            (askpass, hand_over),
            record,
            meter,
            place(login.host, login.port),
        )
    except (OSError, RuntimeError) as exc:
        _close_all(askpass, hand_over, sock)
        if not is_limit(exc) and not isinstance(exc, OSError):
            raise
        if is_limit(exc):
            raise TransportLost(f"ssh cannot be started: {reached()}", REMEDY) from exc
        raise TransportLost(f"ssh cannot be started: {exc}") from exc
    except BaseException:
        _close_all(askpass, hand_over, sock)
        raise


def _close_all(*helpers: Askpass | SocketHandover | socket.socket | None) -> None:
    for helper in helpers:
        if helper is not None:
            helper.close()


def _start(
    argv: list[str],
    environment: Mapping[str, str],
    helpers: tuple[Askpass | None, SocketHandover | None],
    record: str,
    meter: Meter,
    where: str,
) -> SSHStream:
    ours: list[int] = []
    theirs: list[int] = []
    try:
        for write_is_ours in (True, False, False):
            read_fd, write_fd = os.pipe()
            ours.append(write_fd if write_is_ours else read_fd)
            theirs.append(read_fd if write_is_ours else write_fd)
        _enlarge(ours[0])
        # The forking thread must be the loop's own: PR_SET_PDEATHSIG watches the thread, not the process.
        process = subprocess.Popen(
            argv, stdin=theirs[0], stdout=theirs[1], stderr=theirs[2], env=environment, cwd="/", start_new_session=True
        )
    except BaseException:
        for fd in ours:
            os.close(fd)
        raise
    finally:
        for fd in theirs:
            os.close(fd)
    stream = SSHStream(process, (ours[1], ours[0], ours[2]), helpers, record, meter, where)
    try:
        write_record(
            record, process.pid, next((helper.folder for helper in helpers if helper is not None), ""), environment.get(TAG, "")
        )
    except OSError as exc:
        stream.abort()
        process.wait()
        raise TransportLost(f"the work folder cannot be written: {exc}") from exc
    return stream


def _enlarge(fd: int) -> None:
    if sys.platform != "linux":
        return
    try:
        import fcntl

        fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    except (ImportError, AttributeError, OSError):
        return  # not Linux, or the user's limit for pipes is reached: the default size is slower, not wrong


@cache
def _dies_with_us() -> tuple[str, ...]:
    """The command prefix that has the kernel kill a child when this thread ends (setpriv); empty where there is no setpriv."""
    program = shutil.which("setpriv")
    if program is None:
        return ()
    prefix = (program, "--pdeathsig", "KILL", "--")
    try:
        works = subprocess.run(
            [*prefix, "true"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_SHOW_SECS,
            check=False,
            env={"PATH": os.environ.get("PATH", os.defpath)},
        )
    except subprocess.TimeoutExpired:
        return ()
    except OSError as exc:
        if is_limit(exc):  # a limit of this moment, not a fault of the program: raised, so that the result is not cached
            raise
        return ()
    return prefix if works.returncode == 0 else ()


def _asked_for(argv: list[str], environment: Mapping[str, str]) -> tuple[str, str]:
    """The user and the host that ssh will name in its question for the password: its configuration may alter both. LoginRefused
    where that configuration cannot be read, TransportLost where ``ssh -G`` does not end in time."""
    try:
        finished = subprocess.run(
            show_argv(argv),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_SHOW_SECS,
            check=False,
            env=environment,
            start_new_session=True,
        )
    except subprocess.TimeoutExpired as exc:
        raise TransportLost(f"ssh -G did not end within {_SHOW_SECS:.0f} s") from exc
    if finished.returncode:
        stderr = finished.stderr.decode("utf-8", "replace")
        found = verdict(stderr, finished.returncode)
        raise found if re.search(NO_ACCOUNT, stderr) else LoginRefused(found.cause, found.remedy)
    words = dict(line.partition(" ")[::2] for line in finished.stdout.decode("utf-8", "replace").splitlines())
    return words.get("user", ""), words.get("hostkeyalias") or words.get("hostname", "")
