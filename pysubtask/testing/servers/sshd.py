"""A real OpenSSH sshd on loopback, as the user who runs the test: own host keys, own login key, own log.

::

    with openssh_server(tmp_path) as server:
        transport = SFTPTransport(server.settings(HostPath="in"), workdir)

Needs openssh-server (``sshd`` and ``sftp-server``) and openssh-client; ``missing()`` says what is not there.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from . import _processes
from ._processes import descendants as descendants
from ._processes import dies_with_us as dies_with_us
from ._settings import login_settings
from ._ssh_keys import find_program as find_program  # a test may import these from here
from ._ssh_keys import fingerprint as fingerprint
from ._ssh_keys import login_by_key as login_by_key
from ._ssh_keys import make_key as make_key
from ._ssh_keys import write_known_hosts
from .ports import OwnPorts

_START_SECS = 20.0
_END_SECS = 10.0


def missing() -> str | None:
    """The reason why no sshd can be started here; None when it can."""
    for name in ("sshd", "sftp-server", "ssh", "ssh-keygen"):
        if find_program(name) is None:
            return f"{name} is not installed (apt-get install openssh-server openssh-client)"
    return None


class OpenSSHServer(OwnPorts):
    """A running sshd at ``host``:``port``. ``files`` is the folder that a login starts in; ``host_key`` its ed25519
    fingerprint."""

    def __init__(
        self,
        root: Path,
        *,
        internal: bool,
        deny: tuple[str, ...],
        file_limit: int | None,
        max_sessions: int,
        host: str,
        within: Sequence[str],
        subsystem: str = "",
        lines: tuple[str, ...] = (),
    ) -> None:
        self.root = root
        self._subsystem, self._lines = subsystem, lines
        self.host = host
        self._within = list(within)
        self.files = root / "files"
        self.user = getpass.getuser()
        self.port = 0
        self.key_file = root / "id_ed25519"
        self.known_hosts = root / "known_hosts"
        self._internal, self._deny, self._file_limit, self._max_sessions = internal, deny, file_limit, max_sessions
        self._process: subprocess.Popen[bytes] | None = None
        self._logs = root / "log"
        for folder in (self.files, self._logs):
            folder.mkdir(parents=True, exist_ok=True)
        for key in ("host_ed25519", "host_ecdsa", "id_ed25519"):
            make_key(root / key, key.rpartition("_")[2])
        shutil.copy(root / "id_ed25519.pub", root / "authorized_keys")
        self.host_key = fingerprint(root / "host_ed25519.pub")

    def settings(self, **more: Any) -> dict[str, Any]:
        """Settings of a transport that logs in here, with the host key from known_hosts and no user's ssh configuration."""
        return {**login_settings(self.host, self.port, self.user), **login_by_key(self.key_file, self.known_hosts), **more}

    def start(self) -> None:
        """Start sshd; the second time on the port it had. RuntimeError where it does not answer."""
        if sys.platform == "win32":
            raise NotImplementedError
        if os.getuid() == 0:
            os.makedirs("/run/sshd", mode=0o755, exist_ok=True)  # sshd wants it for its unprivileged child
        for _ in range(5):
            port = self._take_ports(1)[0]
            self._write_config(port)
            sshd = find_program("sshd")
            assert sshd is not None
            with open(self._logs / "sshd.log", "ab") as log:
                log_offset = log.tell()
                words = [*self._within, *dies_with_us(), sshd, "-D", "-e", "-f", str(self.root / "sshd_config")]
                self._process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
            if self._answers(port, log_offset):
                self.port = port
                write_known_hosts(
                    self.known_hosts, self.host, self.port, self.root / "host_ed25519.pub", self.root / "host_ecdsa.pub"
                )
                return
            self.kill()
            if not self.port:
                self._leave_ports()
        raise RuntimeError(f"sshd does not start: {self.log()[-2000:]}")

    def stop(self) -> None:
        """End sshd and every session it serves; processes that ``freeze`` stopped are thawed first. ``start`` works again."""
        self.thaw()
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End sshd and every session it serves with SIGKILL, at once."""
        if sys.platform == "win32":
            raise NotImplementedError
        self._end(signal.SIGKILL)

    @property
    def pid(self) -> int:
        """The pid of the listening sshd."""
        assert self._process is not None
        return self._process.pid

    def session_pids(self) -> list[int]:
        """Every living process of sshd's sessions: its own helpers and the sftp-servers."""
        return descendants(self._process.pid) if self._process is not None else []

    def sftp_pids(self) -> list[int]:
        """The sftp-server processes that live (with ``internal``: the sshd processes that serve sftp)."""
        if not self._internal:
            return self._strays(("sftp-server",))
        pids = self.session_pids()
        return [pid for pid in pids if not descendants(pid)]

    def _strays(self, names: tuple[str, ...]) -> list[int]:
        """Processes of this server's sessions by their command lines: they may have outlived their sshd."""
        needles = (f"{self.root}/sftp.sh".encode(), f"-d\0{self.files}\0".encode())
        found = []
        for entry in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                words = Path(f"/proc/{entry}/cmdline").read_bytes()
                if (
                    any(needle in words for needle in needles)
                    and _processes.name(int(entry)) in names
                    and _processes.is_running(int(entry))
                ):
                    found.append(int(entry))
        return found

    def freeze(self) -> list[int]:
        """SIGSTOP the sftp-server processes: the server takes requests and does not answer. Their pids."""
        if sys.platform == "win32":
            raise NotImplementedError
        pids = self.sftp_pids()
        for pid in pids:
            _processes.send(pid, signal.SIGSTOP)
        return pids

    def thaw(self, pids: list[int] | None = None) -> None:
        """SIGCONT the sftp-server processes: queued requests are carried out."""
        if sys.platform == "win32":
            raise NotImplementedError
        for pid in self.sftp_pids() if pids is None else pids:
            _processes.send(pid, signal.SIGCONT)

    def log(self) -> str:
        """Everything logged so far: sshd's own log, then one after the other those of the sftp-servers."""
        return "".join(path.read_text("utf-8", "replace") for path in sorted(self._logs.iterdir(), key=_age))

    def events(self) -> list[str]:
        """The lines of sftp-server that tell of opens, closes, renames and removals, each server's in their order:
        ``open "in/.a.tmp" flags ...``, ``close "in/.a.tmp" bytes read 0 written 10``, ``posix-rename old "..." new "..."``,
        ``remove name "..."``, ``mkdir name "..."``, ``sent status ...``. Not with ``internal``."""
        words = re.compile(r"\b((?:open|close|rename|posix-rename|remove|mkdir|sent status) .*)")
        return [found.group(1) for line in self.log().splitlines() if (found := words.search(line))]

    def _write_config(self, port: int) -> None:
        if self._subsystem:
            subsystem = self._subsystem
        elif self._internal:
            if " " in str(self.root):
                raise ValueError("internal-sftp takes no folder with a space in its name")
            denied = f" -P {','.join(self._deny)}" if self._deny else ""
            subsystem = f"internal-sftp -l VERBOSE -d {self.files}{denied}"
        else:
            subsystem = f"\"/bin/sh '{self._write_wrapper()}'\""
        lines = [
            *self._lines,  # of a keyword that is there twice the first counts
            f"Port {port}",
            f"ListenAddress {self.host}",
            f'HostKey "{self.root}/host_ed25519"',
            f'HostKey "{self.root}/host_ecdsa"',
            f'AuthorizedKeysFile "{self.root}/authorized_keys"',
            "StrictModes no",
            "UsePAM no",
            "PidFile none",
            "PasswordAuthentication no",
            "KbdInteractiveAuthentication no",
            "PermitRootLogin yes",
            "LogLevel VERBOSE",
            "PrintMotd no",
            "UseDNS no",
            "MaxStartups 100",
            f"MaxSessions {self._max_sessions}",
            f"Subsystem sftp {subsystem}",
            "SetEnv SHLVL=2",  # bash then reads no ~/.bashrc, which may be slow, wait for a lock, or print
            "KexAlgorithms curve25519-sha256,curve25519-sha256@libssh.org",  # the default ones cost a tenth of a second each time
        ]
        (self.root / "sshd_config").write_text("\n".join(lines) + "\n")

    def _write_wrapper(self) -> Path:
        """sftp-server with a log of its own (its stderr would go to the client) and its limit of file size."""
        program = find_program("sftp-server")
        limit = ""
        if self._file_limit is not None:
            # Ignored, SIGXFSZ becomes EFBIG: what a full disk looks like. The unit is 512 bytes (POSIX ulimit).
            limit = f"trap '' XFSZ\nulimit -f {max(1, self._file_limit // 512)}\n"
        denied = f" -P {','.join(self._deny)}" if self._deny else ""
        path = self.root / "sftp.sh"
        command = f"exec '{program}' -e -l VERBOSE -d '{self.files}'{denied} 2>>'{self._logs}'/sftp.$$.log"
        path.write_text(f"cd '{self.files}'\n{limit}{command}\n")
        return path

    def _answers(self, port: int, log_offset: int) -> bool:
        assert self._process is not None
        log = self._logs / "sshd.log"
        deadline = time.monotonic() + _START_SECS
        while time.monotonic() < deadline and self._process.poll() is None:
            if self._within:
                # Not to be reached from here.
                if b"Server listening on" in log.read_bytes()[log_offset:]:
                    return True
                time.sleep(0.01)
                continue
            with contextlib.suppress(OSError), socket.create_connection((self.host, port), timeout=2) as probe:
                if probe.recv(4) == b"SSH-":
                    # Another server may have had the port first; this process would have ended then.
                    return self._process.poll() is None
            time.sleep(0.01)
        return False

    def _end(self, number: int) -> None:
        if sys.platform == "win32":
            raise NotImplementedError
        process, self._process = self._process, None
        if process is None:
            return
        sessions = {*descendants(process.pid), *self._strays(("sftp-server", "sh", "bash", "dash"))}
        for pid in [process.pid, *sessions]:
            _processes.send(pid, number)
        try:
            process.wait(_END_SECS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        deadline = time.monotonic() + _END_SECS
        while any(_processes.is_running(pid) for pid in sessions):
            if time.monotonic() > deadline:
                for pid in sessions:
                    _processes.send(pid, signal.SIGKILL)
                return
            time.sleep(0.005)


@contextlib.contextmanager
def openssh_server(
    root: str | os.PathLike[str],
    *,
    internal: bool = False,
    deny: tuple[str, ...] = (),
    file_limit: int | None = None,
    max_sessions: int = 100,
    host: str = "127.0.0.1",
    within: Sequence[str] = (),
    subsystem: str = "",
    lines: tuple[str, ...] = (),
) -> Iterator[OpenSSHServer]:
    """A running sshd whose files are in ``root``/files; ended with everything it serves at the end.

    ``internal``: internal-sftp in the place of sftp-server; it logs to syslog, so ``events`` stays empty. ``deny``: SFTP
    requests it shall not know (``"posix-rename"``, ``"fsync"``, ``"limits"``...). ``file_limit``: bytes a file may have at most
    (RLIMIT_FSIZE; not with ``internal``), which fails like a full disk. ``within``: words in front of sshd's command line that
    run it in another place of the same machine, such as ``BadLink.far``; ``host`` is its address there. ``subsystem``: a
    command line in the place of sftp-server, such as ``hostile_sftp.command``; it speaks over stdin and stdout. ``lines``: of
    sshd_config, in the place of what is there by default (``"MaxAuthTries 3"``). ValueError for ``file_limit`` with
    ``internal``.
    """
    if internal and file_limit is not None:
        raise ValueError("file_limit needs sftp-server: internal=False")
    server = OpenSSHServer(
        Path(root).absolute(),
        internal=internal,
        deny=deny,
        file_limit=file_limit,
        max_sessions=max_sessions,
        host=host,
        within=within,
        subsystem=subsystem,
        lines=lines,
    )
    try:
        server.start()
        yield server
    finally:
        server.close()


def _age(path: Path) -> tuple[bool, float]:
    return path.name != "sshd.log", path.stat().st_mtime
