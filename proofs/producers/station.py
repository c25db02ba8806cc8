"""The two tasks, the server they send to and the link between them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pysubtask.common.entry_types import WatchEntry
from pysubtask.common.events import Tail
from pysubtask.common.status import read_status
from pysubtask.control.config.toml_words import in_toml
from pysubtask.master.task_master import TaskMaster
from pysubtask.testing.link.ftp_relay import FTPRelay
from pysubtask.testing.link.relay import Relay
from pysubtask.testing.servers import vsftpd
from pysubtask.testing.servers.ftp import FTPServer, ftp_server
from pysubtask.testing.servers.sshd import dies_with_us, openssh_server

from ..torture.processes import is_running, send
from .program import Place

SETTLE, QUICK = 1.0, 0.6
_STALL_SECS, _STOP_SECS = 5, 60.0
_DEAD_SETTINGS = (
    "HostSFTPPath",
    "HostFTPPath",
    "SSHProgram",
    "KnownHostsFile",
    "TLSFingerprint",
    "CAFile",
    "UseTLS",
    "KeepAliveSecs",
    "KeepAliveCount",
)
_BASE = {
    "RetryWaitSecs": 0.3,
    "RetryLongWaitSecs": 2,
    "ParkedRetrySecs": 3,
    "LoginsPerMinute": 0,
    "ArchiveToFolder": None,
    "TimerIntervalSecs": 0.5,
    "StopWaitSecs": 2,
}


class Station:
    """The two tasks with a folder of their own, ``root``. ``login``: settings of the server as it is reached through ``relay``;
    ``server``: the folder in which every data file must arrive."""

    def __init__(self, root: Path, login: dict[str, Any], relay: Relay, server: Path) -> None:
        self.root, self.relay, self.server = root, relay, server
        self.watched, self.app = root / "watched", root / "app"
        self._scratch = root / "scratch"
        for name in ("camera", "logs", "day", "named"):
            (self.watched / name).mkdir(parents=True)
        for folder in (self.app / "box", self._scratch, root / "home"):
            folder.mkdir(parents=True)
        self._login = login
        self.process: subprocess.Popen[bytes] | None = None
        self.starts = 0
        self._guard = threading.Lock()
        self._queued: set[tuple[str, int]] = set()
        self._tails: list[Tail] = []
        self._holders = 0
        self._write_config()
        self.master = self._make_master()

    # ---- places

    def place(self, folder: str, prefix: str, settle: float = SETTLE) -> Place:
        """A watched folder, below ``root``."""
        return Place(str(self.root / folder), prefix, settle, str(self._scratch))

    @property
    def states(self) -> list[Path]:
        """The state folders of both tasks."""
        return [self.watched / "camera" / ".pysubtask" / "main" / "ftp", self.app / ".pysubtask" / "main" / "ftp"]

    @property
    def copies(self) -> list[Path]:
        """Their folders of snapshots."""
        return [self.watched / "camera" / "upload" / "ftp", self.app / "upload" / "ftp"]

    def data(self) -> dict[str, Path]:
        """Each data file that must be on the server, by its name there."""
        watched, app = self.watched, self.app
        found: dict[str, Path] = {}
        for folder, prefix, dated in (
            (watched / "camera", "camera/", False),
            (watched / "logs", "logs/", False),
            (watched / "day" / "days", "days/", True),
            (app / "box", "box/", False),
        ):
            found.update(_data_of(folder, prefix, dated))
        names = {
            watched / "day" / "today.log": "today.log",
            watched / "named" / "image.jpg": "image.jpg",
            watched / "named" / "table.csv": "table.csv",
        }
        names |= {app / name: name for name in ("grow.csv", "event.log", "probe.csv", "result.bin", "report.txt", "fast.csv")}
        found.update({name: path for path, name in names.items() if path.exists()})
        return found

    # ---- the task of a config

    def _write_config(self) -> None:
        watched = self.watched
        (watched / "day" / "days").mkdir()
        entries: list[WatchEntry] = [
            {"dir": str(watched / "camera"), "as": "camera"},
            {"dir": str(watched / "logs"), "as": "logs", "recursive": True, "on_change": True, "settle_secs": QUICK},
            {"dir": str(watched / "day" / "days"), "as": "days", "on_change": True, "include": ["*_*.log"], "settle_secs": QUICK},
            {"file": str(watched / "day" / "today.log"), "append": True, "settle_secs": QUICK},
            {"file": str(watched / "named" / "image.jpg"), "settle_secs": SETTLE},
            {"file": str(watched / "named" / "table.csv"), "settle_secs": QUICK},
        ]
        base = {
            **_BASE,
            "ArchiveToFolder": "none",
            "Subtask_Log_FileName": str(self.root / "run-child.log"),
            "Master_Log_FileName": str(self.root / "run-master.log"),
        }
        lines = ["[base]", *(f"{key} = {in_toml(value)}" for key, value in base.items() if value is not None)]
        lines += ["", "[ftp]", *(f"{key} = {in_toml(value)}" for key, value in self._login.items())]
        for entry in entries:
            lines += ["", "[[watch]]", *(f"{key} = {in_toml(value)}" for key, value in entry.items())]
        self.config = self.root / "station.toml"
        handle = os.open(self.config, os.O_WRONLY | os.O_CREAT, 0o600)  # a password may be in it
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")

    def start_run(self) -> None:
        """Start ``pysubtask run`` where none lives."""
        if self.process is not None and self.process.poll() is None:
            return
        self.starts += 1
        words = [*dies_with_us(), sys.executable, "-m", f"{__package__}.quick_run", "run", str(self.config)]
        with open(self.root / "run.txt", "ab") as output:
            self.process = subprocess.Popen(
                words, cwd=self.root, env=self._environment(), stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )

    def stop_run(self) -> None:
        """End ``pysubtask run`` in order."""
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(_STOP_SECS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def reload(self) -> None:
        """SIGHUP to ``pysubtask run``: it reads its config file again."""
        if sys.platform == "win32":
            raise NotImplementedError
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGHUP)

    def _environment(self) -> dict[str, str]:
        above = str(Path(__file__).resolve().parents[2])
        paths = os.pathsep.join(filter(None, (above, os.environ.get("PYTHONPATH", ""))))
        home = str(self.root / "home")
        return {**os.environ, "PYTHONPATH": paths, "HOME": home, "XDG_CONFIG_HOME": home, "PYSUBTASK_CONFIG_DIR": home}

    # ---- the task of an app

    def _make_master(self) -> TaskMaster:
        entries: list[WatchEntry] = [
            {"file": str(self.app / "grow.csv"), "append": True},
            {"file": str(self.app / "event.log")},
            {"file": str(self.app / "probe.csv"), "append": True},
            {"file": str(self.app / "result.bin")},
            {"file": str(self.app / "report.txt")},
            {"file": str(self.app / "fast.csv"), "burstmode": True, "append": True},
            {"dir": str(self.app / "box"), "as": "box"},
        ]
        ftp = {**self._login, "Subtask_Log_FileName": str(self.root / "app-child.log")}
        log = str(self.root / "app-master.log")
        return TaskMaster(entries, {"base": dict(_BASE), "ftp": ftp}, LogFileName=log, LogToConsole=False)

    def notify(self, path: str) -> None:
        """Notify a file; it may be called from any program's thread."""
        with self._guard:
            self.master.notify_file(path)

    def poll(self) -> None:
        """Poll the master, as an app does on a timer, and start a run again that has ended."""
        with self._guard:
            self.master.check_pending_notifications()
        self.start_run()

    def start_again(self, forcekill: bool) -> None:
        """Stop the app's master, and start it again."""
        with self._guard:
            self.master.stop(forcekill=forcekill)
            self.master.start()

    # ---- children

    def pages(self) -> list[dict[str, Any]]:
        """The status pages of both children, empty where there is none."""
        return [read_status(str(state)) or {} for state in self.states]

    def children(self) -> list[int]:
        """The pids of the children that live."""
        pids = [int(page.get("pid") or 0) for page in self.pages()]
        return [pid for pid in pids if pid and is_running(pid)]

    def kill(self, index: int) -> bool:
        """SIGKILL one child; whether there was one."""
        living = self.children()
        return bool(living) and send(living[index % len(living)])

    # ---- the link and the queue, as programs see them

    def hold(self) -> None:
        """Stall the link until ``free`` has been called as often as this."""
        with self._guard:
            self._holders += 1
        self.relay.stall()

    def free(self) -> None:
        """The counterpart of ``hold``; the last one lets the link pass again."""
        with self._guard:
            self._holders -= 1
            last = self._holders == 0
        if last:
            self.relay.thaw()

    @property
    def held(self) -> bool:
        """Whether anybody holds the link."""
        return self._holders > 0

    def queued(self, name: str, size: int) -> bool:
        """Whether a version of so many bytes was ever queued under this name."""
        with self._guard:
            self._tails = self._tails or [Tail(str(state), (0, 0)) for state in self.states]
            for tail in self._tails:
                while events := tail.read():
                    self._queued |= {
                        (event.fields.get("name", ""), event.fields.get("size", -1)) for event in events if event.kind == "queued"
                    }
            return (name, size) in self._queued

    def close(self) -> None:
        """End everything, at once."""
        with contextlib.suppress(Exception):
            self.master.stop(forcekill=True)
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for pid in self.children():
            send(pid)


def _data_of(folder: Path, prefix: str, dated: bool) -> Iterator[tuple[str, Path]]:
    from pysubtask.common.notify import is_signal_file
    from pysubtask.common.temporary import is_temporary

    for path in folder.rglob("*"):
        relative = path.relative_to(folder)
        own = relative.parts[0] in (".pysubtask", "upload")
        if own or not path.is_file() or is_signal_file(path.name) or is_temporary(str(relative)):
            continue
        if not dated or "_" in path.name:
            yield prefix + str(relative), path


@contextlib.contextmanager
def station_of(server: str, root: Path) -> Iterator[Station]:
    """A station with a server of this kind: 'sftp' is OpenSSH, 'ftp' vsftpd, or pyftpdlib where that is not installed."""
    with contextlib.ExitStack() as stack:
        relay: Relay
        if server == "sftp":
            sshd = stack.enter_context(openssh_server(root / "server"))
            relay = stack.enter_context(Relay("127.0.0.1", sshd.port))
            settings, files = sshd.settings(HostKey=sshd.host_key, UseSFTP=True), sshd.files
        else:
            ftp: FTPServer | vsftpd.VsftpdServer
            if vsftpd.missing():
                ftp = stack.enter_context(ftp_server(root / "server"))
            else:
                ftp = stack.enter_context(vsftpd.vsftpd_server(root / "server"))
            relay = stack.enter_context(FTPRelay(ftp.port, ftp.data_ports))
            settings, files = ftp.settings(), ftp.files
        (files / "in").mkdir()
        login = {key: value for key, value in settings.items() if value is not None and key not in _DEAD_SETTINGS}
        login |= {
            "Host": relay.host,
            "HostPort": relay.port,
            "HostPath": os.path.join(settings["HostPath"], "in"),
            "StallSecs": _STALL_SECS,
            "ConnectTimeoutSecs": 8,
        }
        station = Station(root / "station", login, relay, files / "in")
        try:
            yield station
        finally:
            station.close()
