"""Drives the app of docs/frozen-apps.md, frozen: ``python -m tests.support.frozen_app PROGRAM``, where PROGRAM starts it.

It uploads to a loopback SFTP server, by key and by password; its child is killed, and the unpacker of a one-file child; the app
is stopped, and killed; at the end nothing runs and nothing is left among the temporary files. ``--write FOLDER`` writes what
is to be frozen: ``app.py``, and ``refused.py``, the same without the line for the child (``--refused PROGRAM``).
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pysubtask.common.status import read_status
from pysubtask.testing import sftp_server
from pysubtask.testing.servers.sftp import SFTPServer
from tests.support import pages
from tests.support.helpers import wait_until

PAGE = "frozen-apps.md"
# In place of the page's config: where the server is becomes known when it runs.
CONFIG = """import json
import os

from pysubtask import Section

ftp = Section(**json.loads(os.environ["STATION_FTP"]))
base = Section(TimerIntervalSecs=0.3, OrphanLingerSecs=5, RetryWaitSecs=0.2, Subtask_Log_FileName="child.log")
"""
SECS = float(os.environ.get("SECS", "120"))


def write(folder: Path) -> None:
    """The app of the page, with a config that takes its server from a variable."""
    pages.write(PAGE, folder)
    (folder / "my_config.py").write_text(CONFIG)
    lines = (folder / "app.py").read_text().splitlines(keepends=True)
    (folder / "refused.py").write_text("".join(line for line in lines if "freeze_support" not in line))


def running(word: str) -> dict[int, str]:
    """pid -> command line of the living processes with this word in their environment or command line."""
    found = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            words = (path / "cmdline").read_bytes()
            if int(path.name) != os.getpid() and word.encode() in words + (path / "environ").read_bytes() and words:
                found[int(path.name)] = words.replace(b"\0", b" ").decode("utf-8", "replace")
        except OSError:
            continue  # it has just ended
    return found


class App:
    """The program, running in a folder of its own."""

    def __init__(self, words: list[str], folder: Path, server: SFTPServer, settings: dict[str, Any]) -> None:
        self.folder, self.server = folder, server
        self.word = f"station-{folder.name}-{os.getpid()}"
        (folder / "data").mkdir(parents=True)
        (folder / "tmp").mkdir()
        ftp = json.dumps({**settings, "HostPath": folder.name})
        environment = {
            **os.environ,
            "STATION_FTP": ftp,
            "STATION": self.word,
            "TMPDIR": str(folder / "tmp"),
            "PYSUBTASK_REGISTRY": str(folder / "registry"),
            "LD_LIBRARY_PATH": "/users/own",
        }
        self.process = subprocess.Popen(words, cwd=folder, env=environment, start_new_session=True, stdin=subprocess.DEVNULL)

    def page(self) -> dict[str, Any]:
        return read_status(str(self.folder / "data/.pysubtask/main/ftp")) or {}

    def uploads(self) -> None:
        """Wait until what is written from now on is on the server."""
        there, here = Path(self.server.root) / self.folder.name / "today.csv", self.folder / "data/today.csv"
        size = here.stat().st_size if here.exists() else 0

        def arrived() -> bool:
            assert self.process.poll() is None, f"the app has ended with {self.process.returncode}"
            return there.exists() and there.stat().st_size > size and here.read_bytes().startswith(there.read_bytes())

        wait_until(arrived, SECS, "a new line on the server")

    def child(self) -> int:
        """The pid of the living child."""
        return int(wait_until(lambda: self.page().get("state") not in (None, "stopped") and self.page().get("pid"), SECS))

    def another_child(self, than: int) -> None:
        def another() -> bool:
            return self.child() != than and not Path(f"/proc/{than}").exists()

        wait_until(another, SECS, "another child")

    def nothing_left(self, *, unpacked: bool = False) -> None:
        """Nothing runs, and nothing was left among the temporary files (``unpacked``: but what a killed unpacker leaves)."""
        wait_until(lambda: not running(self.word), SECS, "no process left")
        left = [path.name for path in (self.folder / "tmp").iterdir()]
        assert unpacked or left == [], left

    def end(self) -> None:
        for pid in running(self.word):
            os.kill(pid, signal.SIGKILL)
        self.process.wait()


@contextmanager
def app(words: list[str], folder: Path, server: SFTPServer, settings: dict[str, Any]) -> Iterator[App]:
    running_app = App(words, folder, server, settings)
    try:
        yield running_app
    except BaseException:
        for pid, line in running(running_app.word).items():
            print(f"  [{pid}] {line}")
        for log in folder.glob("*.log"):
            print(log.read_text()[-3000:])
        raise
    finally:
        running_app.end()


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def ssh_of(pid: int) -> list[int]:
    below = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(one) for one in below if Path(f"/proc/{one}/comm").read_text().strip() == "ssh"]


def refuses(words: list[str], root: Path) -> None:
    """The same app without its line for the child: one error, no copy."""
    word = f"station-refused-{os.getpid()}"
    (root / "data").mkdir()
    environment = {**os.environ, "STATION_FTP": '{"Host": "127.0.0.1"}', "STATION": word}
    done = subprocess.run(
        words, cwd=root, env=environment, timeout=SECS, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done
    assert done.stderr.count("ConfigError: pysubtask.freeze_support()") == 1, done.stderr
    assert not running(word)
    assert not (root / "data" / ".pysubtask").exists()


def drive(words: list[str], root: Path) -> None:
    with sftp_server(root / "server") as server:
        with app(words, root / "one", server, server.settings()) as one:
            one.uploads()
            print("it uploads, by key")
            child = one.child()
            assert len([line for line in running(one.word).values() if "--pysubtask-child" in line]) <= 2, "more than one child"
            for ssh in ssh_of(child):
                environment = Path(f"/proc/{ssh}/environ").read_bytes().split(b"\0")
                assert b"LD_LIBRARY_PATH=/users/own" in environment, environment
                assert not [
                    word for word in environment if word.startswith((b"_PYI", b"_MEI", b"NUITKA", b"LD_LIBRARY_PATH_ORIG"))
                ], environment
            print("ssh has the environment of the user")
            os.kill(child, signal.SIGKILL)
            one.another_child(child)
            one.uploads()
            print("kill -9 of the child is survived")
            child, begun = one.child(), one.page()["started_at"]
            reset = [sys.executable, "-m", "pysubtask", "reset", "-t", str(one.folder / "data")]
            subprocess.run(reset, check=True, env={**os.environ, "PYSUBTASK_REGISTRY": str(one.folder / "registry")}, timeout=SECS)
            wait_until(lambda: one.page()["started_at"] != begun, SECS, "a new beginning")
            assert one.child() == child
            one.uploads()
            print("the child replaces itself")
            one.process.terminate()
            one.process.wait(SECS)
            one.nothing_left()
            print("SIGTERM of the app: the child has ended by itself, nothing is left")
        with app(words, root / "two", server, server.settings()) as two:
            two.uploads()
            child = two.child()
            unpacker = parent(child)
            if "--pysubtask-child" in running(two.word).get(unpacker, ""):
                os.kill(unpacker, signal.SIGKILL)
                two.another_child(child)
                two.uploads()
                print("kill -9 of the child's unpacker is survived")
            os.kill(two.process.pid, signal.SIGKILL)
            for pid, line in running(two.word).items():
                if "--pysubtask-child" not in line and "ssh" not in line:
                    os.kill(pid, signal.SIGKILL)  # the app behind its unpacker
            two.nothing_left(unpacked=True)
            print("kill -9 of the app: the child has ended by itself")
    with (
        sftp_server(root / "server2", password="a-secret") as server,
        app(words, root / "three", server, server.settings(password=True)) as three,
    ):
        three.uploads()
        print("it uploads, by password")
        three.process.send_signal(signal.SIGINT)
        three.process.wait(SECS)
        three.nothing_left()
        print("Ctrl-C of the app: nothing is left")


def main(argv: list[str]) -> int:
    if argv[0] == "--write":
        write(Path(argv[1]))
        return 0
    if argv[0] == "--refused":
        with tempfile.TemporaryDirectory(prefix="frozen-") as root:
            refuses([os.path.abspath(argv[1])], Path(root))
        print("without freeze_support() it is one error, and no copy of the app")
        return 0
    begin = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="frozen-") as root:
        drive([os.path.abspath(argv[0]), *argv[1:]], Path(root))
    print(f"all well, in {time.monotonic() - begin:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
