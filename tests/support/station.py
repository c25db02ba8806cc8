"""A made-up station: an app's folder, a master with a real child, and a server's folder."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

from pysubtask import BaseMaster, DropboxTaskMaster, Section, TaskMaster
from pysubtask.common.events import read_events
from pysubtask.common.receipts import read_receipts
from pysubtask.common.status import read_status
from tests.support.helpers import wait_until


class Station:
    """``data`` is watched, ``server`` is where files must arrive. ``folder_child`` instead of a config uses a folder
    as server."""

    extension = "folder_child"

    def __init__(self, root: Path, entries: list[dict[str, Any]] | None = None, **base: Any) -> None:
        self.root = root
        self.data, self.server = root / "data", root / "server"
        self.data.mkdir(exist_ok=True)
        self.server.mkdir(exist_ok=True)
        self.entries = entries or [{"file": str(self.data / "a.csv")}, {"dir": str(self.data / "box")}]
        (self.data / "box").mkdir(exist_ok=True)
        self.base = {
            "TimerIntervalSecs": 0.3,
            "RetryWaitSecs": 0.1,
            "LoginsPerMinute": 0,
            "RetryLongWaitSecs": 0.5,
            "Subtask_Log_FileName": str(root / "logs" / "child.txt"),
            "Master_Log_FileName": str(root / "logs" / "master.txt"),
            **base,
        }
        self.master = self.make()

    def make(self) -> BaseMaster:
        os.environ["TEST_SERVER_FOLDER"] = str(self.server)
        return BaseMaster(self.entries, Section("", **self.base), "tests.support.folder_child", LogToConsole=False)

    def write(self, name: str, data: str | bytes, mode: str = "w") -> Path:
        path = self.data / name
        with open(path, mode + "b") as file:
            file.write(data.encode() if isinstance(data, str) else data)
        return path

    def notify(self, name: str) -> None:
        assert self.master.notify_file(str(self.data / name))

    def arrived(self, *names: str, secs: float = 60) -> None:
        """Wait until these files of the data folder stand on the server byte for byte."""
        for name in names:
            local, remote = self.data / name, self.server / os.path.basename(name)

            def same(local: Path = local, remote: Path = remote) -> bool:
                self.master.check_pending_notifications()
                if not remote.exists() or remote.stat().st_size != local.stat().st_size:
                    return False
                return remote.read_bytes() == local.read_bytes()

            wait_until(same, secs, what=f"{name} on the server")

    @property
    def state(self) -> Path:
        return self.data / ".pysubtask" / "main" / self.extension

    def page(self) -> dict[str, Any]:
        return read_status(str(self.state)) or {}

    def pid(self) -> int:
        """Of the living child, once its status page is there."""

        def living() -> int:
            self.master.check_pending_notifications()
            pid = self.page().get("pid", 0)
            return pid if pid and self.page().get("state") != "stopped" and os.path.exists(f"/proc/{pid}") else 0

        return wait_until(living, what="a living child")

    def kill(self) -> None:
        os.kill(self.pid(), signal.SIGKILL)

    def kinds(self) -> list[str]:
        return [event.kind for event in read_events(str(self.state))]

    def wait_kind(self, kind: str, count: int = 1) -> None:
        wait_until(lambda: self.kinds().count(kind) >= count, what=f"{count} events {kind}")

    def sent(self) -> list[str]:
        """Names of what was really sent, in order."""
        return [receipt.name for receipt in read_receipts(str(self.state)) if receipt.bytes_sent]

    def log(self) -> str:
        return (self.root / "logs" / "child.txt").read_text()

    def handled(self) -> dict[str, Any]:
        return json.loads((self.state / "handled.json").read_text())

    def idle(self) -> None:
        """Wait until the page has seen the last event and nothing is queued."""

        def idle() -> bool:
            page, last = self.page(), max((event.epoch, event.n) for event in read_events(str(self.state)))
            return (page["epoch"], page["n"]) == last and page["queue"]["waiting"] == page["queue"]["sending"] == 0

        wait_until(idle, what="idle")

    def close(self) -> None:
        self.master.stop(forcekill=True)

    def leftovers(self) -> list[str]:
        """Files of ours on the server that should not be there, and snapshots that stayed."""
        return [str(path) for path in self.server.rglob(".pysubtask-*")] + self._in_bak(self.base.get("BakToFolder", "upload"))

    def _in_bak(self, name: str) -> list[str]:
        bak = self.data / name
        return [str(path) for path in bak.iterdir()] if bak.is_dir() else []


class SFTPStation(Station):
    """The same with a TaskMaster and SFTP; ``ftp`` holds the section's values."""

    extension = "ftp"

    def __init__(self, root: Path, server: Path, ftp: dict[str, Any], entries: list[dict[str, Any]] | None = None, **base: Any):
        self.ftp = ftp
        super().__init__(root, entries, **base)
        self.server = server

    def make(self) -> BaseMaster:
        config = type("config", (), {"base": Section("", **self.base), "ftp": Section("", **self.ftp)})
        self.ftp.setdefault("Subtask_Log_FileName", str(self.root / "logs" / "child.txt"))
        self.ftp.setdefault("TimerIntervalSecs", self.base["TimerIntervalSecs"])
        return TaskMaster(self.entries, config, LogFileName=str(self.root / "logs" / "master.txt"), LogToConsole=False)

    def leftovers(self) -> list[str]:
        return [str(path) for path in self.server.rglob(".pysubtask-*")] + self._in_bak("upload/ftp")


class DropboxStation(Station):
    """The same with Dropbox; ``box`` holds the section's values, ``ftp`` those of a second destination."""

    extension = "dropbox"

    def __init__(
        self,
        root: Path,
        server: Path,
        box: dict[str, Any],
        entries: list[dict[str, Any]] | None = None,
        *,
        ftp: dict[str, Any] | None = None,
        **base: Any,
    ):
        # These belong into the base section.
        shared = {key: box[key] for key in ("StallSecs", "ConnectTimeoutSecs") if key in box}
        self.box = {key: value for key, value in box.items() if key not in shared}
        self.ftp = ftp
        super().__init__(root, entries, **shared, **base)
        self.server = server

    def make(self) -> BaseMaster:
        for key in ("Subtask_Log_FileName", "TimerIntervalSecs"):
            self.box.setdefault(key, self.base[key])
        config = {"base": Section("", **self.base), "dropbox": Section("", **self.box)}
        log = str(self.root / "logs" / "master.txt")
        if self.ftp is None:
            return DropboxTaskMaster(self.entries, config, LogFileName=log, LogToConsole=False)
        return TaskMaster(self.entries, {**config, "ftp": Section("", **self.ftp)}, LogFileName=log, LogToConsole=False)

    def leftovers(self) -> list[str]:
        return self._in_bak("upload/dropbox")


def pause(secs: float) -> None:
    """Let time go by where nothing may happen."""
    time.sleep(secs)
