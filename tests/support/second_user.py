"""A second user who means harm, before the command ``pysubtask run`` of root or of another user: what the proofs share."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from pysubtask.testing.servers.ftp import FTPServer
from tests.support.other_user import HIM, give_him, his_python

ROOT = Path(__file__).resolve().parents[2]
CANARY = "root-only-canary-42"
PRIVATE = "private-of-bob-0123456789"
OTHER = HIM + 1
"""One more ordinary user: he means harm to the one who runs a task."""
SHARED_GROUP = 42424


def as_other(action: Callable[[], object]) -> None:
    """Call something as the third user, who is in the shared group."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.setgroups([SHARED_GROUP])
            os.setgid(OTHER)
            os.setuid(OTHER)
            action()
            status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def config(place: Path, server: FTPServer, watch: str = 'dir = "data"\nsettle_secs = 0.1', base: str = "") -> Path:
    path = place / "station.toml"
    path.write_text(
        f"[base]\nRetryWaitSecs = 0.2\nRetryLongWaitSecs = 0.5\nStopWaitSecs = 1\n{base}\n[ftp]\nUseSFTP = false\n"
        f'Host = "{server.host}"\nHostPort = {server.port}\nUser = "{server.user}"\nPassword = "{server.password}"\n'
        f'HostPath = "{place.name}"\nTimerIntervalSecs = 0.2\n[[watch]]\n{watch}\n'
    )
    path.chmod(0o600)
    return path


class Run:
    """``pysubtask run`` of root's, or of that user's."""

    def __init__(self, place: Path, path: Path, *, of_him: bool = False) -> None:
        self.output = place / "output.txt"
        program, environ = his_python() if of_him else (sys.executable, {**os.environ, "PYTHONPATH": str(ROOT)})
        home = place / "home"
        home.mkdir(exist_ok=True)
        user = {"user": HIM, "group": HIM, "extra_groups": [SHARED_GROUP]} if of_him else {}
        if of_him:
            give_him(home)
            os.chown(path, HIM, HIM)
        with open(self.output, "ab") as output:
            self.process = subprocess.Popen(
                [program, "-P", "-m", "pysubtask", "run", str(path)],
                cwd=home,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={
                    **environ,
                    "PYSUBTASK_REGISTRY": str(home / "registry"),
                    "HOME": str(home),
                    "XDG_STATE_HOME": str(home / "state"),
                },
                **user,
            )  # type: ignore[call-overload]

    def until(self, done: Callable[[], object], secs: float = 30) -> None:
        """Wait for it, or for the end of the run, or so long: what must not happen has had its time then."""
        end = time.monotonic() + secs
        while not done() and self.process.poll() is None and time.monotonic() < end:
            time.sleep(0.1)

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def text(self) -> str:
        return self.output.read_text(errors="replace")


def leaked(word: str, *folders: Path) -> list[str]:
    """The files that hold a word, seen as root and without following links."""
    found = []
    for folder in folders:
        for path in folder.rglob("*"):
            if path.is_file() and not path.is_symlink() and word in path.read_text(errors="replace"):
                found.append(str(path))
    return found


def arrived(server: FTPServer, place: Path, name: str) -> bool:
    return f"{place.name}/{name}" in server.names()


def refused_or(run: Run, came: bool) -> bool:
    """Whether it ended well: it went on working, or it named the owner of the folder that it does not trust."""
    return came or "another user" in run.text() or "others may write" in run.text() or "may be written by" in run.text()
