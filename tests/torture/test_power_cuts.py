"""A sample of power cuts, and proof that the replay finds a child that does not sync."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from proofs.crash.disk import Disk, Op, Recording

pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="there is no strace here (apt-get install strace)")

_UNSYNCED = """
import tempfile
from proofs.crash.explore import Explorer
from proofs.crash.power import PowerCuts
with tempfile.TemporaryDirectory() as folder:
    cuts = PowerCuts(Explorer(folder))
    record = cuts.record
    cuts.record = lambda *args: [op for op in record(*args) if op.what != "sync" or "/bak" not in op.path]
    found = [found for found in cuts.cuts("{kind}", "{change}", 0, 60) if found.problem]
    print(sorted({{one.problem.split(":")[0] for one in found}}))
"""


def command(*words):
    return subprocess.run([sys.executable, *words], capture_output=True, text=True, timeout=110)


@pytest.mark.slow
def test_a_sample_of_power_cuts_loses_nothing():
    done = command("-m", "proofs.crash", "--power", "--sample", "12", "--kind", "atomic replace", "--change", "grown")
    assert done.returncode == 0, done.stdout + done.stderr
    assert [line.split()[1:3] for line in done.stdout.splitlines() if line.startswith("all ")] == [["12", "0"]]


@pytest.mark.slow
def test_a_state_is_moved_through_any_power_cut():
    done = command("-m", "proofs.crash", "--power", "--sample", "60", "--kind", "moved state")
    assert done.returncode == 0, done.stdout + done.stderr
    assert [line.split()[1:3] for line in done.stdout.splitlines() if line.startswith("all ")] == [["60", "0"]]


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "change"), [("atomic replace", "grown"), ("growing file", "growing")])
def test_a_child_that_does_not_sync_its_snapshots_is_found_out(kind, change):
    done = command("-c", _UNSYNCED.format(kind=kind, change=change))
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() not in ("", "[]"), "no cut has shown that the snapshot was not safe"


# ---- the disk


@pytest.fixture
def root(tmp_path):
    (tmp_path / "disk" / "sub").mkdir(parents=True)
    (tmp_path / "disk" / "old").write_bytes(b"old")
    return tmp_path / "disk"


def after(root, *ops, elsewhere="elsewhere"):
    """What is found without anything unsafe: path -> content."""
    disk = Disk(str(root), str(root / elsewhere))
    for op in ops:
        disk.do(op._replace(path=str(root / op.path), other=str(root / op.other) if op.other else ""))
    target = root.parent / "found"
    shutil.rmtree(target, ignore_errors=True)
    disk.found(str(target), None)
    return {
        os.path.relpath(os.path.join(folder, name), target): open(os.path.join(folder, name), "rb").read()
        for folder, _, names in os.walk(target)
        for name in names
    }


def test_a_files_sync_saves_bytes_and_a_folders_sync_names(root):
    make, write = Op("make", "sub/new"), Op("write", "sub/new", 0, b"abc")
    assert after(root, make, write) == {"old": b"old"}
    assert after(root, make, write, Op("sync", "sub/new")) == {"old": b"old"}
    assert after(root, make, write, Op("sync", "sub")) == {"old": b"old", "sub/new": b""}
    synced = (make, write, Op("sync", "sub/new"), Op("sync", "sub"))
    assert after(root, *synced, Op("write", "sub/new", 3, b"d")) == {"old": b"old", "sub/new": b"abc"}
    assert after(root, *synced, Op("rename", "sub/new", other="old")) == {"old": b"old", "sub/new": b"abc"}
    assert after(root, *synced, Op("rename", "sub/new", other="sub/name"), Op("sync", "sub")) == {"old": b"old", "sub/name": b"abc"}
    assert after(root, Op("unlink", "old")) == {"old": b"old"}
    assert after(root, Op("mkdir", "made"), Op("make", "made/x"), Op("sync", "made")) == {"old": b"old", "made/x": b""}


def test_another_machine_keeps_what_it_was_sent(root):
    assert after(root, Op("make", "sub/x"), Op("write", "sub/x", 2, b"z"), elsewhere="sub") == {"old": b"old", "sub/x": b"\0\0z"}


def test_strace_is_understood(root):
    def hexed(text):
        return "".join(f"\\x{byte:02x}" for byte in os.fsencode(str(text)))

    path, new = root / "sub" / "f", root / "sub" / "g"
    lines = [
        f'openat(AT_FDCWD<{hexed(root)}>, "{hexed(path)}", O_WRONLY|O_CREAT|O_APPEND|O_CLOEXEC, 0600) = 5<{hexed(path)}>',
        f'12 write(5<{hexed(path)}>, "{hexed("abc")}", 3) = 3',
        f'12 write(5<{hexed(path)}>, "{hexed("de")}", 2) = 1',
        f'12 pwrite64(5<{hexed(path)}>, "{hexed("X")}", 1, 1) = 1',
        f"12 fdatasync(5<{hexed(path)}>) = 0",
        f'12 rename("{hexed(path)}", "{hexed(new)}") = 0',
        f'12 unlink("{hexed(root / "missing")}") = -1 ENOENT (No such file or directory)',
        f'12 write(1<{hexed("/dev/null")}>, "{hexed("not ours")}", 8) = 8',
        f"12 ftruncate(5<{hexed(new)}>, 2) = 0",
    ]
    disk = Disk(str(root), str(root / "elsewhere"))
    ops = []
    for op in Recording(disk, str(root)).ops(lines):
        disk.do(op)
        ops.append(op)
    assert ops == [
        Op("make", str(path)),
        Op("write", str(path), 0, b"abc"),
        Op("write", str(path), 3, b"d"),
        Op("write", str(path), 1, b"X"),
        Op("sync", str(path)),
        Op("rename", str(path), other=str(new)),
        Op("cut", str(new), 2),
    ]
    with pytest.raises(ValueError, match="two threads"):
        list(Recording(disk, str(root)).ops(["12 write(5<unfinished ...>"]))
