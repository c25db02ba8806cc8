"""A station that is run by ``pysubtask run``: a config, a folder of data, a real sshd, and the command as a process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pysubtask.common.receipts import Receipt, read_receipts
from pysubtask.common.status import read_status
from pysubtask.control.config.toml_words import in_toml
from pysubtask.testing.servers.sshd import OpenSSHServer
from tests.support.helpers import wait_until

ROOT = Path(__file__).resolve().parents[2]


def login(server: OpenSSHServer, path: str = "", **more: Any) -> str:
    """The lines of an [ftp] section for this server."""
    values = {
        "Host": server.host,
        "HostPort": server.port,
        "User": server.user,
        "KeyFile": str(server.key_file),
        "HostPath": path,
        "KnownHostsFile": str(server.known_hosts),
        "SSHConfigFile": "none",
        "TimerIntervalSecs": 0.3,
        **more,
    }
    return "".join(f"{key} = {in_toml(value)}\n" for key, value in values.items())


class Run:
    """``pysubtask run`` of ``config`` in ``folder``."""

    def __init__(self, folder: Path, config: Path | None, *words: str, **environ: str) -> None:
        self.folder = folder
        self.environ = environment(folder, **environ)
        self.output = folder / "output.txt"
        with open(self.output, "ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "pysubtask", "run", *([str(config)] if config else []), *words],
                cwd=folder,
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    def text(self) -> str:
        """Its output so far."""
        return self.output.read_text()

    def says(self, words: str, count: int = 1) -> None:
        """Wait until its output has these words."""

        def is_written() -> bool:
            assert self.process.poll() is None or self.text().count(words) >= count, self.text()
            return self.text().count(words) >= count

        wait_until(is_written, 40, f"the words {words!r}")

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def status(self) -> int:
        """The exit status, when it has ended."""
        return self.process.wait(40)

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Another command of the same user."""
        return command(self.folder, *words, **self.environ)


def end_all(runs: Iterable[Run]) -> None:
    """End those that still run, politely, then what they have open."""
    for run in runs:
        if run.process.poll() is None:
            run.signal(TERM)
            run.process.wait(60)
        run.end()


def environment(folder: Path, **more: str) -> dict[str, str]:
    """That of a user who has ``folder`` for everything."""
    return {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "PYSUBTASK_REGISTRY": str(folder / "registry"),
        "HOME": str(folder),
        "XDG_CONFIG_HOME": str(folder / "config"),
        "PYSUBTASK_CONFIG_DIR": str(folder / "etc"),
        **more,
    }


def command(folder: Path, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """A command run to its end."""
    return subprocess.run(
        [sys.executable, "-m", "pysubtask", *words],
        cwd=folder,
        env=environment(folder, **environ),
        capture_output=True,
        text=True,
        timeout=60,
    )


def state_dir(data: Path, task: str = "main", extension: str = "ftp") -> Path:
    return data / ".pysubtask" / task / extension


def receipts(data: Path, task: str = "main") -> list[Receipt]:
    return list(read_receipts(str(state_dir(data, task))))


def child(data: Path, task: str = "main") -> int:
    """The pid of the living child."""

    def pid() -> int:
        page = read_status(str(state_dir(data, task))) or {}
        found = page.get("pid", 0)
        return found if found and page.get("state") != "stopped" and os.path.exists(f"/proc/{found}") else 0

    return wait_until(pid, 40, "a child")


def setting(data: Path, key: str, task: str = "main") -> Any:
    """What the child says of a setting."""
    return json.loads((state_dir(data, task) / "settings.json").read_text())["settings"][key]


TERM, HUP, INT = signal.SIGTERM, signal.SIGHUP, signal.SIGINT
