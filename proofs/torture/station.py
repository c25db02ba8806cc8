"""The station under torture: its folders, its app, the real server and the relay between them."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from pysubtask.common.status import read_status
from pysubtask.testing.link.relay import Relay
from pysubtask.testing.servers.sshd import OpenSSHServer, descendants, dies_with_us

from ..profiles import ServerProfile
from .compare import Difference, Digests, compare, data_files, without_reported
from .plan import settings
from .processes import is_guard, is_running, name, send
from .quirk_daemon import QuirkDaemon
from .reader import Reader

_RATE = 20_000_000
_QUIET_SECS = 90.0
_STEP_SECS = 0.05
_CHILD = b"pysubtask.ftp"


class TortureStation:
    """``root`` is a folder of its own for everything; the server must run. ``profile``: the requests that the server refuses,
    None for OpenSSH."""

    def __init__(self, root: Path, sshd: OpenSSHServer | QuirkDaemon, relay: Relay, seed: int) -> None:
        self.root, self.sshd, self.relay, self.seed = root, sshd, relay, seed
        self.profile: ServerProfile | None = sshd.profile if isinstance(sshd, QuirkDaemon) else None
        self.data, self.box, self._scratch = root / "data", root / "data" / "box", root / "scratch"
        self.server = sshd.files / "in"
        for folder in (self.data, self.box, self._scratch, self.server):
            folder.mkdir()
        self.state = self.data / ".pysubtask" / "main" / "ftp"
        self.bak = self.data / "upload" / "ftp"
        self.reader = Reader(str(self.server), str(self.state), gap=self.profile is not None and self.profile.gap)
        self.litter = 0
        self.lives = 0
        self.app: subprocess.Popen[bytes] | None = None
        self._digests = Digests()
        self._quiet = root / "quiet"

    def heal(self) -> None:
        """The link as it is between faults: no fault, but a rate, so that uploads take a while."""
        self.relay.heal()
        self.relay.throttle(_RATE, "up")

    def start_app(self) -> None:
        """Start the app where none lives, with the settings of its next life."""
        if self.app is not None and self.app.poll() is None:
            return
        described = self.root / "app.json"
        described.write_text(
            json.dumps(
                {
                    "root": str(self.root),
                    "data": str(self.data),
                    "box": str(self.box),
                    "scratch": str(self._scratch),
                    "seed": f"{self.seed} {self.lives}",
                    **self._config(),
                }
            )
        )
        with open(self.root / "app.err", "ab") as errors:
            words = [*dies_with_us(), sys.executable, "-m", f"{__package__}.app", str(described)]
            self.app = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=errors, stderr=errors, env={**os.environ, "PYTHONPATH": _import_path()}
            )
        self.lives += 1

    def _config(self) -> dict[str, Any]:
        entries: list[dict[str, Any]] = [{"file": str(self.data / "grow-a.csv"), "append": True}]
        entries += [{"file": str(self.data / name)} for name in ("grow-b.csv", "whole-a.bin", "whole-b.bin")]
        entries.append({"dir": str(self.box), "settle_secs": 0.1})
        login = self.sshd.settings(HostPath="in")
        ftp = {key: value for key, value in login.items() if key not in ("HostSFTPPath", "Password", "SSHProgram")}
        ftp |= {
            "HostPort": self.relay.port,
            "HostKey": self.sshd.host_key,
            "KnownHostsFile": None,
            "StallSecs": 2,
            "ConnectTimeoutSecs": 5,
            "DeadTimeMilli": 500,
            "TimerIntervalSecs": 0.3,
            "Subtask_Log_FileName": str(self.root / "child.log"),
            **settings(self.seed, self.lives),
        }
        base = {
            "RetryWaitSecs": 0.1,
            "RetryLongWaitSecs": 0.5,
            "ParkedRetrySecs": 1,
            "StopWaitSecs": 1,
            "OrphanLingerSecs": 5,
            "LoginsPerMinute": 0,
            "ArchiveToFolder": None,
        }
        return {"entries": entries, "base": base, "ftp": ftp}

    # ---- who lives

    def child(self) -> int:
        """The pid of the app's child, 0 where none is to be found."""
        candidates = descendants(self.app.pid) if self.app is not None else []
        candidates.append((read_status(str(self.state)) or {}).get("pid", 0))
        return next((pid for pid in candidates if pid and self._is_ours(pid)), 0)

    def guard(self) -> int:
        """The pid of the guard of the app's child, 0 where there is none."""
        below = descendants(self.app.pid) if self.app is not None else []
        return next((pid for pid in below if is_guard(pid) and is_running(pid)), 0)

    def ssh(self) -> int:
        """The pid of the child's ssh, 0 where it has none."""
        child = self.child()
        return next((pid for pid in descendants(child) if name(pid) == "ssh"), 0) if child else 0

    def _is_ours(self, pid: int) -> bool:
        try:
            line, around = Path(f"/proc/{pid}/cmdline").read_bytes(), Path(f"/proc/{pid}/environ").read_bytes()
        except OSError:
            return False
        registry = f"PYSUBTASK_REGISTRY={os.environ['PYSUBTASK_REGISTRY']}\0".encode()
        return _CHILD in line and registry in around and is_running(pid) and not is_guard(pid)

    def server_pids(self) -> list[int]:
        """The process of a server that is one."""
        return self.sshd.server_pids() if isinstance(self.sshd, QuirkDaemon) else []

    # ---- the calm between the rounds

    def calm(self) -> tuple[Difference, dict[str, Any]]:
        """Stop the app's writing and wait until everything has arrived and the child has nothing to do; the differences after
        the longest wait, and the child's page."""
        deadline = time.monotonic() + _QUIET_SECS
        self._quiet.touch()
        done = self._quiet.with_suffix(".done")
        last = Difference(["nothing was compared"], [], [])
        page: dict[str, Any] = {}
        while time.monotonic() < deadline:
            self.start_app()
            assert self.app is not None
            page = read_status(str(self.state)) or {}
            if done.exists() and done.read_text() == str(self.app.pid) and self._idle(page):
                last = compare(
                    data_files([str(self.data), str(self.box)]), str(self.server), str(self.bak), str(self.state), self._digests
                )
                if self.profile is not None and self.profile.litter:
                    last, litter = without_reported(last, page, self.profile.crowd)
                    self.litter = max(self.litter, litter)
                if last.none:
                    break
            time.sleep(_STEP_SECS)
        return last, page

    def resume(self) -> None:
        """End ``calm``: delivered files of the box are removed on both sides, and the app writes again."""
        dropped = sorted(path.name for path in self.box.iterdir() if not path.name.endswith((".notify", ".hold")))
        rotated = [one for one in dropped if one.startswith("rot-")]
        # The newest one tells the app which number comes next.
        gone = [one for one in dropped if one not in rotated[-1:]]

        def remove() -> list[str]:
            for one in gone:
                for path in (self.box / one, self.box / f"{one}.notify", self.server / one):
                    path.unlink(missing_ok=True)
            return gone

        self.reader.removing(remove)
        self._quiet.with_suffix(".done").unlink(missing_ok=True)
        self._quiet.unlink(missing_ok=True)

    def _idle(self, page: dict[str, Any]) -> bool:
        queue = page.get("queue") or {}
        busy = any(queue.get(state) for state in ("waiting", "sending", "parked"))
        at_rest = bool(queue) and not busy and page.get("state") in ("resting", "watching", "connected")
        return at_rest and self._is_ours(page.get("pid", 0))

    def close(self) -> None:
        """End the app and its children, at once."""
        child = self.child()
        if self.app is not None:
            self.app.kill()
            self.app.wait()
        for pid in {child, self.child()} - {0}:
            send(pid)
        with contextlib.suppress(RuntimeError):
            self.reader.stop()


def _import_path() -> str:
    above = str(Path(__file__).resolve().parents[2])
    return os.pathsep.join(filter(None, (above, os.environ.get("PYTHONPATH", ""))))
