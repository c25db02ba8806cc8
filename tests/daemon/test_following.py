"""Following over restarts: the page, then each change behind it; and calls whose id is used once, through kill -9."""

from __future__ import annotations

import json
import os
import random
import signal
import threading
import time
from pathlib import Path

import pytest

import pysubtask
from pysubtask import Cancelled, Failed, NoAnswer, NoSuchDaemon
from pysubtask.common.events import read_events
from pysubtask.daemon import records
from pysubtask.daemon.journal import Journal, read_rows
from pysubtask.daemon.proxy import call
from tests.support.daemons import SECS, Program, get
from tests.support.helpers import wait_until

COUNTER = """
import os, sys
from pysubtask import Daemon, event, item, method

class Counter(Daemon):
    value = item(0)
    step = event(number=int)
    loop_secs = 0.001
    steady = item(True)

    def loop(self):
        if self.steady:
            self.value = self.value + 1
            if self.value % 7 == 0:
                self.tell("step", number=self.value)

    @method
    def many(self, count: int) -> int:
        for _ in range(count):
            self.value = self.value + 1
        return self.value

    @method
    def once(self, file: str, end: str = "") -> str:
        with open(file, "a") as found:
            found.write("ran\\n")
        if end == "die":
            os._exit(9)
        self.progress(0.5, "half")
        self.sleep(0.05)
        return "done"

    @method(single=True)
    def shared(self, file: str) -> str:
        with open(file, "a") as found:
            found.write("ran\\n")
        self.sleep(0.3)
        return "shared"

    @method
    def long(self) -> None:
        for part in range(1000):
            self.progress(part / 1000)
            self.sleep(0.05)

if __name__ == "__main__":
    raise SystemExit(Counter().run())
"""


@pytest.fixture(params=["socket", pytest.param("files", marks=pytest.mark.slow)])
def socket_or_files(request, place, monkeypatch):
    """With a socket, and with a path that is too long for one."""
    if request.param == "files":
        deep = place / ("d" * 90)
        deep.mkdir()
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(deep))


def lines_of(folder: str) -> dict[tuple[int, int], str]:
    """The daemon's own record: what it wrote, by (epoch, n)."""
    return {(one.epoch, one.n): one.kind for one in read_events(folder)}


def check(seen: list, folder: str) -> None:
    """No gap and none twice: behind each page come exactly the events that the daemon has written."""
    record, last = lines_of(folder), None
    for change in seen:
        here = (change.epoch, change.n)
        if change.kind == "gone":
            continue
        if change.kind == "page":
            assert last is None or here >= last
        else:
            assert last is not None and here == (last[0], last[1] + 1)
            assert record.get(here, change.kind) == change.kind
        last = here


@pytest.mark.slow
def test_kills_of_both_sides_leave_no_gap_and_no_repeat(place, socket_or_files):
    kills(place, 12, seed=3)


@pytest.mark.slow
def test_a_hundred_kills_of_both_sides(place):
    kills(place, 100, seed=4)


def kills(place: Path, count: int, seed: int) -> None:
    drawn, seen, folder, anew = random.Random(seed), [], "", 0
    program = Program(place, COUNTER, module="counter")
    try:
        follower = get("Counter").follow()
        for _ in range(count):
            until = time.monotonic() + drawn.random() * 0.1
            while time.monotonic() < until:
                change = follower.next(0.01)
                if change is not None:
                    seen.append(change)
            folder = records.read("Counter").folder
            if drawn.random() < 0.5:
                program.kill()
                program = Program(place, COUNTER, module="counter")
                get("Counter")
            else:
                position = follower.position
                follower.close()
                follower = pysubtask.follow("Counter", after=position)
                after = follower.next(SECS)
                assert after is not None
                # A page is for another run of the daemon, or where the file of events was rotated at that very moment.
                assert (after.epoch, after.n) >= position
                anew += after.kind == "page" and after.epoch == position[0]
                seen.append(after)
        follower.close()
        check(seen, folder)
        assert len(seen) > count and anew <= 1 + count // 50
    finally:
        program.kill()


@pytest.mark.slow
def test_a_follower_that_was_stopped_catches_up(place, socket_or_files):
    source = """
import sys, pysubtask
with pysubtask.follow("Counter") as follower:
    for change in follower:
        print(change.kind, change.epoch, change.n, flush=True)
        if change.key == "steady" and change.value is False:
            break
"""
    with Program(place, COUNTER, module="counter"), get("Counter").follow(), Program(place, source, module="follower") as follower:
        counter = get("Counter")
        wait_until(lambda: follower.text().count("\n") > 20, SECS, "the follower's first lines")
        follower.process.send_signal(signal.SIGSTOP)
        counter.many(30000)  # more than the files of events hold
        follower.process.send_signal(signal.SIGCONT)
        wait_until(lambda: follower.text().count("page") == 2, SECS, "the second page")
        counter.steady = False
        assert follower.wait() == 0, follower.text()
        rows = [line.split() for line in follower.text().splitlines()]
        last = None
        for kind, epoch, n in rows:
            here = (int(epoch), int(n))
            assert kind == "page" or here == (last[0], last[1] + 1)
            last = here


def test_a_follower_hears_that_the_daemon_is_gone_and_is_back(place, socket_or_files):
    with Program(place, COUNTER, module="counter") as program:
        counter = get("Counter")
        counter.steady = False
        follower = counter.follow()
        assert follower.next(SECS).kind == "page"
        program.kill()
        kinds = []
        while (change := follower.next(SECS)).kind != "gone":
            kinds.append(change.kind)
        assert "page" not in kinds
    with Program(place, COUNTER, module="counter"):
        assert follower.next(SECS).kind == "page"
        assert counter.value >= 0  # the same object
        follower.close()
        assert follower.next(1) is None


@pytest.mark.slow
def test_a_follower_says_that_a_daemon_is_silent(place, socket_or_files, monkeypatch):
    monkeypatch.setattr("pysubtask.daemon.following.CHECK_SECS", 0.3)
    with Program(place, COUNTER, module="counter") as program:
        counter = get("Counter")
        counter.steady = False
        with counter.follow() as follower:
            assert follower.next(SECS).kind == "page"
            assert follower.next(1) is None  # it was asked several times, and all is well
            program.process.send_signal(signal.SIGSTOP)
            assert follower.next(SECS).kind == "silent"
            assert follower.next(1) is None  # said once
            program.process.send_signal(signal.SIGCONT)
            counter.steady = True
            assert follower.next(SECS).kind == "item"


def test_closing_ends_an_iteration_that_waits(place, socket_or_files):
    with Program(place, COUNTER, module="counter"):
        counter = get("Counter")
        counter.steady = False
        follower = counter.follow()
        timer = threading.Timer(0.2, follower.close)
        timer.start()
        assert "page" in [change.kind for change in follower]


# ---- ids


def test_a_repeated_id_runs_once_and_has_the_same_answer(place):
    file = place / "ran"
    with Program(place, COUNTER, module="counter"):
        counter, id = get("Counter"), "01796049412963-1-abcdef01"
        assert [call(counter, "once", (str(file),), id=id) for _ in range(3)] == ["done"] * 3
        assert file.read_text() == "ran\n"
        assert counter.call_of(id).state()["state"] == "done"


def test_an_id_is_not_begun_again_after_kill_9_in_the_run(place):
    file, id = place / "ran", "01796049412963-1-abcdef02"
    with Program(place, COUNTER, module="counter"):
        counter = get("Counter")
        with pytest.raises(NoAnswer, match="ended before it answered"):
            call(counter, "once", (str(file), "die"), id=id)
    with Program(place, COUNTER, module="counter"):
        get("Counter")
        with pytest.raises(Failed, match="the daemon ended while it ran; whether it was done is not known"):
            call(counter, "once", (str(file), "die"), id=id)
        assert file.read_text() == "ran\n"


@pytest.mark.parametrize("step", ["before", "taken", "ran", "done"])
def test_kill_at_each_step_runs_an_id_once_at_most(place, step):
    """The daemon kills itself before its line of 'taken', behind it, behind the run, and behind the line of the result."""
    file, id = place / "ran", "01796049412963-1-abcdef03"
    patch = f"""
from pysubtask.daemon import journal
write = journal.Journal.write
def dies(self, row):
    if row["id"] == {id!r} and {step!r} == {{"taken": "before", "done": "ran"}}.get(row["state"]):
        os._exit(9)
    write(self, row)
    if row["id"] == {id!r} and {step!r} == row["state"]:
        os._exit(9)
if not os.path.exists("died"):
    open("died", "w").close()
    journal.Journal.write = dies
"""
    source = COUNTER.replace("class Counter", patch + "\nclass Counter")
    with Program(place, source, module="counter") as program:
        counter = get("Counter")
        with pytest.raises((NoAnswer, NoSuchDaemon)):
            call(counter, "once", (str(file),), id=id)
        program.wait()
    if step == "done":  # the result is there after the daemon's death
        state = counter.call_of(id).state()
        assert (state["state"], state["result"]) == ("done", "done") and counter.call_of(id).result() == "done"
    with Program(place, source, module="counter"):
        get("Counter")
        if step in ("before", "done"):
            assert call(counter, "once", (str(file),), id=id) == "done"
        else:
            with pytest.raises(Failed, match="whether it was done is not known"):
                call(counter, "once", (str(file),), id=id)
        assert (file.read_text() if file.exists() else "") == ("" if step == "taken" else "ran\n")


def test_a_journal_forgets_what_is_old_and_refuses_it(place):
    journal = Journal(str(place), rotate_bytes=2000)
    journal.load()
    for number in range(100):
        for state in ("taken", "done"):
            journal.write({"id": f"{number:014d}-1-aaaaaaaa", "state": state})
    assert journal.is_too_old(f"{0:014d}-1-aaaaaaaa") and not journal.is_too_old(f"{200:014d}-1-aaaaaaaa")
    assert f"{99:014d}-1-aaaaaaaa" in journal.rows and len(journal.rows) < 90
    again = Journal(str(place))
    assert again.load() == []
    assert set(again.rows) == set(journal.rows) == set(read_rows(str(place)))
    assert again.is_too_old(f"{0:014d}-1-aaaaaaaa")


def test_calls_that_are_shared_run_once(place):
    with Program(place, COUNTER, module="counter"):
        counter, file, found = get("Counter"), str(place / "ran"), []
        threads = [threading.Thread(target=lambda: found.append(counter.shared(file))) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(SECS)
        assert found == ["shared"] * 4
        assert (place / "ran").read_text() == "ran\n"


def test_a_call_is_followed_asked_about_and_cancelled_by_anybody(place):
    with Program(place, COUNTER, module="counter"):
        counter, other = get("Counter"), get("Counter")
        counter.steady = False
        handle = counter.begin("long")
        with other.follow() as follower:
            wait_until(lambda: other.call_of(handle.id).state().get("fraction", 0) > 0.001, SECS)
            assert other.call_of(handle.id).cancel()
            with pytest.raises(Cancelled):
                handle.result(SECS)
            states = []
            while (change := follower.next(SECS)) is not None:
                if change.kind == "call":
                    states.append(change.fields["state"])
                if states[-1:] == ["cancelled"]:
                    break
            assert set(states[:-1]) <= {"taken", "progress"}
        assert not other.call_of(handle.id).cancel()


def test_a_stopped_daemon_gives_no_answer_the_next_call_works(place):
    with Program(place, COUNTER, module="counter") as program:
        counter = get("Counter")
        program.process.send_signal(signal.SIGSTOP)
        wait_until(lambda: Path(f"/proc/{program.process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T", SECS)
        with pytest.raises(NoAnswer):
            call(counter, "many", (1,), timeout=0.3)
        program.process.send_signal(signal.SIGCONT)
        assert call(counter, "many", (1,)) > 0


@pytest.mark.slow
def test_a_daemon_that_begins_elsewhere_is_waited_for(place):
    """Its record is still that of the run before, which had another runtime folder."""
    with Program(place, COUNTER, module="counter") as program:
        counter = get("Counter")
        program.stop()
    other = place / "other"
    other.mkdir()
    os.environ["XDG_RUNTIME_DIR"] = str(other)
    source = COUNTER.replace("    def loop", "    def setup(self):\n        import time\n        time.sleep(1)\n    def loop", 1)
    with Program(place, source, module="counter"):
        wait_until(lambda: records.holder_of("Counter"), SECS)
        assert records.read("Counter").ended  # the old record
        assert counter.many(1) > 0
        assert str(other) in records.read("Counter").folder


@pytest.mark.slow
def test_an_idle_daemon_writes_nothing(place):
    with Program(place, COUNTER, module="counter"):
        counter = get("Counter")
        counter.steady = False
        folder = Path(records.read("Counter").folder)
        roots = [folder, Path(os.environ["PYSUBTASK_REGISTRY"])]

        def stamps() -> dict[str, tuple[int, int]]:
            return {str(path): (path.lstat().st_mtime_ns, path.lstat().st_ino) for root in roots for path in root.rglob("*")}

        wait_until(lambda: json.loads((folder / "status.json").read_text())["items"]["steady"]["value"] is False, SECS)
        before = stamps()
        time.sleep(1)
        assert stamps() == before


async def test_the_twins_for_asyncio(place):
    with Program(place, COUNTER, module="counter"):
        counter = await pysubtask.aget("Counter", wait=SECS)
        assert await counter.set(steady=False) == {"steady": False}
        before = await counter.get("value")
        assert await counter.call("many", 3) == before + 3
        assert (await counter.page())["items"]["value"]["value"] == before + 3
        changes = counter.follow()
        assert (await anext(changes)).kind == "page"
        await counter.call("many", count=1)
        assert (await anext(changes)).kind in ("call", "item")
        await changes.aclose()
        with pytest.raises(NoAnswer):
            await counter.call("long", timeout=0.1)
