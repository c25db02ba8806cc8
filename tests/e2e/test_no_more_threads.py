"""A child on a system that starts no more threads or processes (EAGAIN): it says so, waits, and loses nothing."""

from __future__ import annotations

import errno
import os
import subprocess
import threading

import pytest

from pysubtask import BaseMaster, Section
from pysubtask.common.errors import TransportLost
from pysubtask.common.limits import is_limit
from pysubtask.common.status import read_status
from pysubtask.subtask.delta.signature_cache import Growing
from pysubtask.subtask.snapshot.one_task_thread import OneTaskThread
from pysubtask.subtask.spool.spool_thread import SpoolThread
from pysubtask.transports.shared.meter import Meter
from pysubtask.transports.shared.ssh_login import login_of
from pysubtask.transports.ssh import process
from tests.support.helpers import wait_until
from tests.support.station import Station


class Crowded(Station):
    extension = "crowded_child"

    def make(self) -> BaseMaster:
        os.environ["TEST_SERVER_FOLDER"] = str(self.server)
        return BaseMaster(self.entries, Section("", **self.base), "tests.support.crowded_child", LogToConsole=False)


@pytest.mark.slow
def test_it_waits_says_why_and_goes_on_by_itself(tmp_path, monkeypatch):
    crowded = tmp_path / "crowded"
    crowded.touch()
    monkeypatch.setenv("TEST_CROWDED", str(crowded))
    station = Crowded(tmp_path)
    try:
        station.write("a.csv", "1\n")
        station.notify("a.csv")
        station.master.start()
        problem = wait_until(lambda: (read_status(str(station.state)) or {}).get("problem"), 40, "a page that says so")
        page = station.page()
        assert problem["kind"] == "process_limit" and "starts no more processes or threads" in problem["text"]
        assert page["state"] == "starting" and "TasksMax" in page["why"]
        assert station.log().count("Waiting to start") == 1 and "Traceback" not in station.log()
        pid = page["pid"]
        assert os.path.exists(f"/proc/{pid}")
        crowded.unlink()
        station.arrived("a.csv", secs=60)
        assert station.pid() == pid  # it did not die of it
        assert station.page().get("problem") is None
        # And again in the midst of work.
        crowded.touch()
        station.write("box/b.csv", "2\n")
        station.write("a.csv", "2\n", "a")
        station.notify("a.csv")
        there = lambda: (station.server / "a.csv").read_bytes() == b"1\n2\n"  # noqa: E731 - threads that rest can be used again
        wait_until(lambda: there() or "starts no more processes or threads" in str(station.page().get("last_error")), 60, "a word")
        crowded.unlink()
        station.arrived("a.csv", secs=60)
        assert station.pid() == pid and "Traceback" not in station.log()
    finally:
        station.close()


def test_a_stop_ends_the_waiting(tmp_path, monkeypatch):
    crowded = tmp_path / "crowded"
    crowded.touch()
    monkeypatch.setenv("TEST_CROWDED", str(crowded))
    station = Crowded(tmp_path)
    station.master.start()
    wait_until(lambda: station.page().get("problem"), 40, "a page that says so")
    pid = station.page()["pid"]
    station.master.stop()
    wait_until(lambda: not os.path.exists(f"/proc/{pid}"), 40, "its end")
    assert "Traceback" not in station.log()


@pytest.fixture
def no_threads(monkeypatch):
    def refuse(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)


def test_what_a_thread_would_do_is_done_without_one(tmp_path, no_threads):
    done = []
    one_task_thread = OneTaskThread(lambda: done.append("woken"))
    one_task_thread.begin("key", lambda: 7)
    found = one_task_thread.fetch()
    assert found is not None and found[1].result() == 7 and done == ["woken"]
    growing = Growing(10, 4)
    with growing.signing(str(tmp_path / "x")):
        pass
    assert growing.outcome() is None


def test_snapshots_are_removed_all_the_same(tmp_path, monkeypatch):
    dropped = []
    spool_thread = SpoolThread(str(tmp_path), "x://", lambda *paths: dropped.extend(paths))
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", lambda self: (_ for _ in ()).throw(RuntimeError("can't start new thread")))
        spool_thread.drop(["a", "b"])
    spool_thread.close()
    assert set(dropped) == {"a", "b"}


async def _start(tmp_path):
    return await process.start_ssh("ssh", login_of({"Host": "127.0.0.1", "HostPort": 9}), None, str(tmp_path), Meter())


@pytest.mark.parametrize(
    "error", [BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable"), RuntimeError("can't start new thread")]
)
def test_an_ssh_that_cannot_start_names_the_limit_and_is_retried(tmp_path, monkeypatch, error):
    import asyncio

    assert is_limit(error)
    process._dies_with_us.cache_clear()

    def refuse(*words, **more):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(
            process.subprocess if isinstance(error, OSError) else process.asyncio,
            "Popen" if isinstance(error, OSError) else "to_thread",
            refuse,
        )
        with pytest.raises(TransportLost, match=r"starts no more processes or threads: .*TasksMax"):
            asyncio.run(_start(tmp_path))
    # What could not be asked then is asked again: without its answer ssh would outlive a killed child.
    assert process._dies_with_us() != () or subprocess.run(["sh", "-c", "command -v setpriv"], capture_output=True).returncode


def test_other_errors_are_no_limit():
    for error in (RuntimeError("x"), OSError(errno.ENOENT, "x"), ValueError()):
        assert not is_limit(error)
