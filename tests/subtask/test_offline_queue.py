"""The queue of a dead child, read without changing a byte of it."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time

import pytest

from pysubtask.common.errors import AlreadyRunning
from pysubtask.common.lock import Holder, StateLock, process_start
from pysubtask.subtask.offline.offline_queue import read_queue
from tests.support.helpers import wait_until

CHILD = textwrap.dedent("""
    import os, signal, sys
    from pysubtask.common.lock import Holder, StateLock, process_start
    from pysubtask.common.notify import Stamp
    from pysubtask.subtask.spool.jobs import QueuedSnapshot
    from pysubtask.subtask.spool.spool import Spool
    folder, end = sys.argv[1:]
    StateLock(os.path.join(folder, "lock")).acquire(Holder(os.getpid(), process_start(os.getpid()), None, None))
    spool = Spool(os.path.join(folder, "spool.db"), "sftp://h", 0.0)
    names = ["one", "two", "three", os.fsdecode(b"\\xff\\x1b")]
    spool.queue.enqueue([
        QueuedSnapshot(name, "/d/" + name, "/s/" + name, False, 10, 5, name.encode("utf-8", "replace").hex(), 100.0 + at,
                       Stamp(5, 10, at)) for at, name in enumerate(names)])
    (version,) = spool.queue.claim(1, 0.0, 0.0)
    spool.queue.give_back(version.id, "permission denied", 50.0, park=True)
    spool.queue.claim(1, 0.0, 0.0)
    spool.queue_admin.pause(["one"], "ana (pid 7, a test)", "now")
    print(version.name.encode("utf-8", "surrogateescape").hex(), flush=True)
    if end == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if end == "close":
        spool.close()
        sys.exit()
    sys.stdin.read()
""")


def child(folder, end):
    return subprocess.Popen([sys.executable, "-c", CHILD, str(folder), end], stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def contents(folder):
    return {name: (folder / name).read_bytes() for name in sorted(os.listdir(folder))}


@pytest.mark.parametrize("end", ["kill", "close"])
def test_a_query_lists_what_is_queued_and_changes_nothing(tmp_path, end):
    process = child(tmp_path, end)
    parked = bytes.fromhex(process.communicate()[0].decode()).decode("utf-8", "surrogateescape")
    before = contents(tmp_path)
    assert ("spool.db-wal" in before) == (end == "kill")
    for _ in range(2):
        found = read_queue(str(tmp_path))
        states = {row.name: row.state for row in found.rows}
        assert set(states) == {"one", "two", "three", os.fsdecode(b"\xff\x1b")}
        assert states.pop("one") == "paused"
        assert states.pop(parked) == "parked"
        assert set(states.values()) == {"waiting"}
        assert found.counts == (3, 0, 1, 40, 100.0)
        assert found.paused == {"one": "ana (pid 7, a test)"}
    assert len(read_queue(str(tmp_path), 2).rows) == 2
    assert contents(tmp_path) == before


@pytest.mark.slow
def test_reading_the_queue_and_a_living_child_exclude_each_other(tmp_path):
    process = child(tmp_path, "stay")
    process.stdout.readline()
    assert read_queue(str(tmp_path)) is None
    process.kill()
    process.wait()
    lock = StateLock(str(tmp_path / "lock"))
    with lock.briefly_held() as alone:
        assert alone
        assert read_queue(str(tmp_path)) is None
        assert lock.holder() is None
        me = Holder(os.getpid(), process_start(os.getpid()), None, None)
        with pytest.raises(AlreadyRunning, match="cannot be identified"):
            StateLock(lock.path).acquire(me, patience=0.1)
        next_one = child(tmp_path, "kill")
        time.sleep(0.3)
        assert next_one.poll() is None
    wait_until(lambda: next_one.poll() is not None, what="the child that waited for the look")
    assert next_one.stdout.readline(), "it has opened the queue"
    next_one.stdin.close()
    next_one.stdout.close()
    assert read_queue(str(tmp_path)) is not None


def test_what_is_no_queue_is_none(tmp_path):
    assert read_queue(str(tmp_path / "nowhere")) is None
    (tmp_path / "lock").touch()
    assert read_queue(str(tmp_path)) is None
    (tmp_path / "spool.db").write_bytes(b"garbage" * 1000)
    assert read_queue(str(tmp_path)) is None
    assert sorted(os.listdir(tmp_path)) == ["lock", "spool.db"]
