"""Files and machines as they are now and then: times that cannot be, a file in a lower layer, a folder shared by two containers."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pysubtask.common.lock import StateLock
from pysubtask.common.receipts import read_receipts
from pysubtask.testing.servers.sshd import OpenSSHServer
from tests.support.helpers import wait_until
from tests.support.station import SFTPStation, pause

pytestmark = pytest.mark.slow
TIMES = {"zero.csv": 0, "before.csv": -86400, "late.csv": 4102444800, "beyond.csv": 5000000000}


def place_on(server: OpenSSHServer, root: Path) -> tuple[Path, dict[str, Any]]:
    """A folder of its own on the server, and the settings for it."""
    folder = server.files / root.name
    folder.mkdir()
    return folder, {**server.settings(HostPath=folder.name), "HostKey": server.host_key, "KnownHostsFile": None}


def test_files_of_impossible_times_go_once_and_then_their_growth(shared_sshd, tmp_path: Path):
    entry = {"dir": str(tmp_path / "data"), "on_change": True, "append": True, "settle_secs": 0.2}
    one = SFTPStation(tmp_path, *place_on(shared_sshd, tmp_path), [entry])
    try:
        for name, at in TIMES.items():
            os.utime(one.write(name, "x,y\n" * 2000), (at, at))
        one.master.start()
        one.arrived(*TIMES)
        one.idle()
        one.master.stop(forcekill=False)
        one.master = one.make()
        one.master.start()
        one.pid()
        one.idle()
        pause(1.5)
        assert sorted(one.sent()) == sorted(TIMES), "each once, a restart sends nothing"
        before = len(list(read_receipts(str(one.state))))
        for name, at in TIMES.items():
            os.utime(one.write(name, "more\n", "a"), (at + 5, at + 5))
        one.arrived(*TIMES)
        one.idle()
        later = list(read_receipts(str(one.state)))[before:]
        assert sorted(receipt.name for receipt in later) == sorted(TIMES) and all(receipt.bytes_sent <= 5 for receipt in later)
    finally:
        one.close()


def overlay(root: Path, merged: Path) -> None:
    """Mount one over ``root``'s layers at ``merged``; a skip where that cannot be."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        pytest.skip("a file system is mounted: needs root")
    layers = [root / name for name in ("lower", "upper", "work")]
    options = "lowerdir={},upperdir={},workdir={}".format(*layers)
    words = ["mount", "-t", "overlay", "overlay", "-o", options, str(merged)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no overlay can be mounted here: {done.stderr.strip()}")


def test_a_file_of_a_lower_layer_goes_once_and_then_its_growth(shared_sshd, tmp_path: Path):
    """With its first line it is copied up, and is another inode from then on."""
    for name in ("lower", "upper", "work", "data"):
        (tmp_path / name).mkdir()
    (tmp_path / "lower" / "log.csv").write_bytes(b"a,line,of,the,image\n" * 2000)
    overlay(tmp_path, tmp_path / "data")
    try:
        entry = {"file": str(tmp_path / "data" / "log.csv"), "on_change": True, "append": True}
        one = SFTPStation(tmp_path, *place_on(shared_sshd, tmp_path), [entry])
        try:
            one.master.start()
            one.arrived("log.csv")
            for number in range(5):
                one.write("log.csv", f"{number},line\n", "a")
                one.arrived("log.csv")
            one.idle()
            whole = [receipt for receipt in read_receipts(str(one.state)) if receipt.bytes_sent > 10_000]
            assert len(whole) <= 2, "at most once more, for the new inode"
        finally:
            one.close()
    finally:
        subprocess.run(["umount", "-l", str(tmp_path / "data")], check=False)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0 or not shutil.which("unshare"), reason="needs root and unshare")
def test_a_child_in_another_container_is_not_dead_or_doubled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PYSUBTASK_REGISTRY", str(tmp_path / "registry"))
    (tmp_path / "data").mkdir()
    (tmp_path / "out").mkdir()
    config = tmp_path / "station.toml"
    config.write_text(
        '[ftp]\nHost = "127.0.0.1"\nHostPort = 9\nUser = "x"\nPassword = "y"\nUseSFTP = false\n'
        f'[[watch]]\ndir = "{tmp_path}/data"\n'
    )
    config.chmod(0o600)
    run = [sys.executable, "-m", "pysubtask", "run", str(config)]
    inside = ["unshare", "-p", "-f", "--mount-proc", "--kill-child", "--"]
    with open(tmp_path / "run.log", "wb") as log:
        first = subprocess.Popen([*inside, *run], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        lock = tmp_path / "data" / ".pysubtask" / "main" / "ftp" / "lock"
        wait_until(lambda: lock.exists() and StateLock(str(lock)).is_held_elsewhere(), what="the child in its container")
        for words in (run, [*inside, *run]):
            second = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
            assert second.returncode == 5 and "is run already" in second.stderr, second.stderr
        words = [sys.executable, "-m", "pysubtask", "status", str(tmp_path / "data")]
        status = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
        assert "elsewhere" in status.stdout and "another container" in status.stdout, status.stdout
        assert "dead" not in status.stdout
    finally:
        first.kill()  # and with it all of its container
        first.wait()
