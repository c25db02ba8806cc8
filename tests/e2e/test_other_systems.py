"""Master and child with what only POSIX has hidden from every module of pysubtask, in both processes: see ``posix_hidden``. On a
system that is not Linux nothing is hidden, and the same app shows how far that system is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import tests
from pysubtask.testing import dropbox_server, ftp_server, sftp_server

ROOT = Path(tests.__file__).parent.parent
APP = """
import json, os, signal, sys, time
from pysubtask import DropboxTaskMaster, TaskMaster
import pysubtask.common.lock as lock

if sys.argv[3] == "hidden":
    assert lock.sys.platform == "win32" and not hasattr(lock.os, "geteuid") and hasattr(lock, "msvcrt")
config, extension = json.loads(sys.argv[1]), sys.argv[2]
entries = [{"file": "data/a.csv"}, {"file": "data/log.csv", "append": True}, {"dir": "data/box"}]
os.makedirs("data/box")


def written(name, data, mode="ab"):
    with open("data/" + name, mode) as file:
        file.write(data)


def arrived(*names):
    end = time.monotonic() + 60
    for name in names:
        while not master.wait_delivered("data/" + name, 0.2):
            master.check_pending_notifications()
            assert time.monotonic() < end, (name, master.status())


make = DropboxTaskMaster if extension == "dropbox" else TaskMaster
for name in ("a.csv", "log.csv"):
    written(name, b"1\\r\\n\\x1a2\\n")  # what the text mode of a file there would change
master = make(entries, config, LogFileName="logs/master.txt", LogToConsole=False)
master.start()
written("box/photo.jpg", bytes(range(256)) * 20_000)
master.notify_all_files()
arrived("a.csv", "log.csv", "box/photo.jpg")
first = master.status().children[0].pid
for _ in range(3):
    written("log.csv", b"more\\r\\n")
    written("a.csv", b"more\\r\\n")
    master.notify_all_files()
    arrived("a.csv", "log.csv")
assert master.status().children[0].pid == first, "one child did it all"
os.kill(first, getattr(signal, "SIGKILL", signal.SIGTERM))
written("a.csv", b"after a kill\\n")
master.notify_file_by_index(0)
arrived("a.csv")
assert master.status().children[0].pid != first
written("a.csv", b"at the stop\\n")
master.notify_file_by_index(0)
begun = time.monotonic()
master.stop(forcekill=False)
print(json.dumps({"stopped": master.status().children[0].last_exit, "secs": time.monotonic() - begun}))
"""


def run(tmp_path: Path, config: dict[str, Any], extension: str = "ftp") -> None:
    base = {"TimerIntervalSecs": 0.3, "RetryWaitSecs": 0.2, "Subtask_Log_FileName": "logs/child.txt", "StopWaitSecs": 20}
    hidden = sys.platform == "linux"
    search = [*([str(ROOT / "tests/support/without_posix")] if hidden else []), str(ROOT)]
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            APP,
            json.dumps({**config, "base": base}, default=str),
            extension,
            "hidden" if hidden else "as it is",
        ],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(search), "PYSUBTASK_REGISTRY": str(tmp_path / "registry")},
        capture_output=True,
        text=True,
        timeout=110,
    )
    log = tmp_path / "logs/child.txt"
    output = log.read_text() if log.exists() else ""
    assert done.returncode == 0, f"{done.stderr}\n{done.stdout}\n{output[-6000:]}"
    assert json.loads(done.stdout)["stopped"] == "exit status 0", output[-6000:]
    assert "Traceback" not in output and "AssertionError" not in output, output[-6000:]


def same(tmp_path: Path, remote: Path) -> None:
    for name in ("a.csv", "log.csv", "box/photo.jpg"):
        assert (remote / os.path.basename(name)).read_bytes() == (tmp_path / "data" / name).read_bytes(), name


REFUSED = """
import os, sys
import pysubtask.common.own_files as module

there, folder = module.os, sys.argv[1]
path = os.path.join(folder, "a")
open(path, "w").close()
open(path + "2", "w").close()


def refused(call, *args):
    try:
        call(*args)
    except (OSError, AssertionError, NotImplementedError) as exc:
        return type(exc).__name__
    return "done"


read = there.open(path, there.O_RDONLY | there.O_BINARY)
print(
    hasattr(there, "fork"), hasattr(module, "fcntl"), there.name, there.open in there.supports_dir_fd,
    refused(there.open, folder, there.O_RDONLY | there.O_BINARY),
    refused(there.open, path, there.O_RDONLY),
    refused(there.fsync, read),
    refused(there.unlink, path),
    refused(there.replace, path + "2", path),
    refused(there.rename, path + "2", path),
    refused(there.kill, os.getpid(), 0),
    refused(module.__builtins__["open"], "/proc/self/stat"),
    refused(there.close, read), refused(there.unlink, path),
)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="POSIX is hidden on Linux only")
def test_what_is_hidden_is_refused(tmp_path: Path):
    """Else the tests below would show nothing."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "tests/support/without_posix"), str(ROOT)])}
    done = subprocess.run(
        [sys.executable, "-c", REFUSED, str(tmp_path)], env=env, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.split() == [
        *("False", "False", "nt", "False", "PermissionError", "AssertionError", "OSError", "PermissionError", "PermissionError"),
        *("FileExistsError", "AssertionError", "FileNotFoundError", "done", "done"),
    ], done.stderr


@pytest.mark.slow
def test_sftp_by_asyncssh_without_posix(tmp_path: Path):
    with sftp_server(tmp_path / "server") as server:
        run(tmp_path, {"ftp": server.settings(HostPath="in")})
        same(tmp_path, tmp_path / "server/in")


@pytest.mark.slow
def test_ftp_without_posix(tmp_path: Path):
    with ftp_server(tmp_path / "server") as server:
        run(tmp_path, {"ftp": server.settings(HostPath="in")})
        same(tmp_path, tmp_path / "server/in")


@pytest.mark.slow
def test_dropbox_without_posix(tmp_path: Path):
    with dropbox_server(tmp_path / "server") as server:
        run(tmp_path, {"dropbox": server.settings(HostPath="/in")}, "dropbox")
        same(tmp_path, server.folder / "in")
