import json
import os
import signal
import subprocess
import sys

import pytest

from pysubtask.common import lock as locks
from pysubtask.common.errors import AlreadyRunning
from pysubtask.common.lock import Holder, StateLock, is_alive, process_start
from tests.support.helpers import wait_until

HOLD = """
import os, signal, sys
from pysubtask.common.lock import Holder, StateLock, process_start
path, master, start, deaf = sys.argv[1:]
if deaf == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
lock = StateLock(path)
lock.acquire(Holder(os.getpid(), process_start(os.getpid()), int(master) if master else None, start or None))
print("held", flush=True)
sys.stdin.read()
if deaf == "releases":
    lock.release()
    print("released", flush=True)
    signal.pause()
"""


def me(master: int | None = None, start: str | None = None) -> Holder:
    return Holder(os.getpid(), process_start(os.getpid()) or "", master, start)


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "state" / "lock")


@pytest.fixture
def hold(path):
    """Start a process that takes the lock; it ends when its stdin does."""
    started = []

    def start(master="", master_start="", how=""):
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD, path, str(master), master_start, how],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stdout.readline() == "held\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


@pytest.fixture
def dead():
    """Identity of a process that is gone."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    start = process_start(process.pid)
    process.kill()
    process.communicate()
    return process.pid, start


def test_held_by_this_process_until_released(path):
    lock = StateLock(path)
    assert lock.holder() is None
    lock.acquire(me())
    assert StateLock(path).holder() == me()
    assert os.stat(path).st_mode & 0o777 == 0o600
    assert os.stat(os.path.dirname(path)).st_mode & 0o777 == 0o700
    with pytest.raises(AlreadyRunning):
        lock.acquire(me())
    with pytest.raises(AlreadyRunning, match=str(os.getpid())):
        StateLock(path).acquire(me())
    lock.release()
    lock.release()
    assert StateLock(path).holder() is None
    lock.acquire(me())
    lock.release()


def test_living_master_is_named_and_its_child_left_alone(path, hold):
    holder = hold(os.getpid(), process_start(os.getpid()))
    with pytest.raises(AlreadyRunning) as error:
        StateLock(path).acquire(me(), patience=0.2)
    assert str(holder.pid) in str(error.value)
    assert f"master {os.getpid()}" in str(error.value)
    assert holder.poll() is None
    assert StateLock(path).holder() == Holder(holder.pid, process_start(holder.pid), os.getpid(), process_start(os.getpid()))


def test_child_started_by_hand_is_left_alone(path, hold):
    holder = hold()
    with pytest.raises(AlreadyRunning, match="by hand"):
        StateLock(path).acquire(me(), patience=0.2)
    assert holder.poll() is None


@pytest.mark.slow
@pytest.mark.parametrize(("how", "ended_by"), [("", signal.SIGTERM), ("deaf", signal.SIGKILL)])
def test_child_of_a_dead_master_is_ended(path, hold, dead, how, ended_by):
    holder = hold(*dead, how)
    lock = StateLock(path)
    lock.acquire(me(), patience=0.5 if how else 30)
    assert holder.wait(30) == -ended_by
    assert lock.holder() == me()
    lock.release()


def test_master_whose_pid_is_anothers_by_now_counts_as_dead(path, hold):
    holder = hold(os.getpid(), "not this start")
    lock = StateLock(path)
    lock.acquire(me(), patience=30)
    assert holder.wait(30) == -signal.SIGTERM
    lock.release()


def test_record_left_by_a_killed_holder_fools_nobody(path, hold):
    holder = hold()
    holder.kill()
    holder.wait()
    with open(path) as file:
        assert json.load(file)["pid"] == holder.pid
    assert StateLock(path).holder() is None
    lock = StateLock(path)
    lock.acquire(me(), patience=0)
    lock.release()


def test_record_of_a_living_bystander_fools_nobody(path, dead):
    """A stale record may name a pid that lives again: without the lock it means nothing."""
    bystander = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        os.makedirs(os.path.dirname(path))
        with open(path, "w") as file:
            json.dump(Holder(bystander.pid, process_start(bystander.pid), *dead)._asdict(), file)
        assert StateLock(path).holder() is None
        lock = StateLock(path)
        lock.acquire(me(), patience=0)
        assert bystander.poll() is None
        lock.release()
    finally:
        bystander.kill()
        bystander.communicate()


@pytest.mark.parametrize("record", ["", "{", "[]", "null", '{"pid": "1", "start": 2, "master_pid": 3, "master_start": 4}'])
def test_a_lock_without_a_readable_record_is_refused(path, hold, record):
    holder = hold()
    with open(path, "w") as file:
        file.write(record)
    assert StateLock(path).holder() is None
    with pytest.raises(AlreadyRunning, match="cannot be identified"):
        StateLock(path).acquire(me(), patience=0.2)
    assert holder.poll() is None


def test_process_that_released_is_not_the_holder_though_it_lives(path, hold):
    holder = hold(how="releases")
    holder.stdin.close()
    assert holder.stdout.readline() == "released\n"
    assert StateLock(path).holder() is None
    lock = StateLock(path)
    lock.acquire(me())
    lock.release()
    assert holder.poll() is None


def test_reading_the_lock_does_not_keep_others_from_taking_it(path):
    looker = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys; from pysubtask.common.lock import StateLock; lock = StateLock(sys.argv[1]); print(1, flush=True)\n"
            "while True: lock.holder()",
            path,
        ],
        stdout=subprocess.PIPE,
    )
    try:
        looker.stdout.readline()
        for _ in range(200):
            lock = StateLock(path)
            lock.acquire(me(), patience=30)
            lock.release()
    finally:
        looker.kill()
        looker.communicate()


def test_folder_removed_under_the_holder_is_created_again(path):
    first = StateLock(path)
    first.acquire(me())
    os.unlink(path)
    second = StateLock(path)
    second.acquire(me())
    assert StateLock(path).holder() == me()
    first.release()
    assert StateLock(path).holder() == me()
    second.release()


def test_full_disk_does_not_keep_the_lock_from_being_taken(path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(locks.os, "write", full)
    lock = StateLock(path)
    lock.acquire(me())
    with pytest.raises(AlreadyRunning):
        StateLock(path).acquire(me(), patience=0.1)
    lock.release()


def test_forked_copy_does_not_give_the_lock_away(path):
    lock = StateLock(path)
    lock.acquire(me())
    pid = os.fork()
    if pid == 0:
        lock.release()
        os._exit(0)
    os.waitpid(pid, 0)
    assert StateLock(path).holder() == me()
    lock.release()


def test_process_identity():
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    start = process_start(process.pid)
    assert start
    assert process_start(process.pid) == start
    assert is_alive(process.pid, start)
    assert is_alive(process.pid, "")
    assert not is_alive(process.pid, start + "0")
    process.kill()
    # Not reaped yet: a zombie is dead.
    wait_until(lambda: process_start(process.pid) is None)
    assert not is_alive(process.pid, start)
    process.communicate()
    assert process_start(process.pid) is None
    assert process_start(0) is None
    assert process_start(-1) is None


@pytest.mark.skipif(not os.path.exists("/proc/self/comm"), reason="needs Linux's /proc")
def test_process_name_with_brackets_and_spaces_does_not_confuse(tmp_path):
    plain = process_start(os.getpid())
    with open("/proc/self/comm") as file:
        name = file.read()
    try:
        with open("/proc/self/comm", "w") as file:
            file.write(") S 1 (x) ")
        assert process_start(os.getpid()) == plain
    finally:
        with open("/proc/self/comm", "w") as file:
            file.write(name)


@pytest.mark.skipif(sys.platform == "win32", reason="exec makes another process there")
def test_a_program_that_replaces_itself_never_lets_go(path, tmp_path):
    again = (
        "import os, sys, time\nfrom pysubtask.common.lock import Holder, StateLock, process_start\n"
        "lock = StateLock(sys.argv[1])\nlock.acquire(Holder(os.getpid(), process_start(os.getpid()), None, None))\n"
        "left = int(sys.argv[2])\nprint('held', 'PYSUBTASK_KEPT_LOCK' in os.environ, flush=True)\n"
        "if left:\n    lock.keep_over_exec()\n"
        "    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:-1], str(left - 1)])\n"
        "sys.stdin.read()\nlock.release()\nprint('free', flush=True)\n"
        "time.sleep(60)"
    )
    script = tmp_path / "again.py"
    script.write_text(again)
    with subprocess.Popen([sys.executable, str(script), path, "5"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as it:
        assert it.stdin is not None and it.stdout is not None
        assert it.stdout.readline() == "held False\n"
        lock = StateLock(path)
        seen = set()
        for _ in range(2000):
            holder = lock.holder()
            seen.add(None if holder is None else holder.pid)
        assert [it.stdout.readline() for _ in range(5)] == ["held False\n"] * 5
        assert seen == {it.pid}
        it.stdin.close()
        assert it.stdout.readline() == "free\n"
        assert lock.holder() is None, "one release is enough: nothing else holds it"
        it.kill()


STRANGER = """
import fcntl, json, sys
lock, record = sys.argv[1:]
file = open(lock, "r+b")
fcntl.flock(file, fcntl.LOCK_EX)
file.write(record.encode().ljust(511) + b"\\n")
file.flush()
print("held", flush=True)
sys.stdin.read()
"""


def test_a_record_in_the_lock_is_no_reason_to_end_any_process(path):
    """Whoever may write the lock file could name any process of this user there, with a master that is dead."""
    victim = subprocess.Popen(["sleep", "600"])
    dead = subprocess.Popen(["true"])
    dead.wait()
    os.makedirs(os.path.dirname(path))
    open(path, "wb").close()
    record = json.dumps(Holder(victim.pid, process_start(victim.pid) or "", dead.pid, "0-1")._asdict())
    stranger = subprocess.Popen(
        [sys.executable, "-c", STRANGER, path, record], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert stranger.stdout.readline() == "held\n"
        with pytest.raises(AlreadyRunning, match="could not be ended"):
            StateLock(path).acquire(me(), patience=1.0)
        assert victim.poll() is None
    finally:
        for process in (victim, stranger):
            process.kill()
            process.wait()
        stranger.stdin.close()
        stranger.stdout.close()


def test_a_holder_that_cannot_be_seen_from_here(tmp_path):
    """In another container the pids are others: its child is not dead for that."""
    lock = StateLock(str(tmp_path / "lock"))
    lock.acquire(Holder(os.getpid(), process_start(os.getpid()), None, None))
    seen_from_here = StateLock(str(tmp_path / "lock"))
    assert seen_from_here.holder() is not None and not seen_from_here.is_held_elsewhere()
    locks._write(lock._fd, Holder(1, "of another boot", 1, "of another boot"))
    assert seen_from_here.holder() is None and seen_from_here.is_held_elsewhere()
    lock.release()
    assert not seen_from_here.is_held_elsewhere()
    with seen_from_here.briefly_held() as can:
        assert can and not StateLock(str(tmp_path / "lock")).is_held_elsewhere(), "who only looks is no child"
