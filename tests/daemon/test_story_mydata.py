"""The story of MyData's daemon and clients: jobs, events, and the state that is there already when a client connects."""

from __future__ import annotations

import logging
import re

import pytest

import pysubtask
from pysubtask import Refused
from pysubtask.daemon.proxy import set_items
from tests.support.daemons import SECS, Program, get
from tests.support.helpers import wait_until

DAEMON = '''
import threading
from pysubtask import Daemon, Refused, event, item, method

class MyData(Daemon):
    """Scans folders and uploads what is in them."""
    folder: str = item("/data")
    instrument: str = item("scope")
    uploads: list = item([], read_only=True)
    scanned = event(folders=int)

    def setup(self):
        self.proceed, self.ran = threading.Event(), []

    def validate_folder(self, value):
        if not value.startswith("/"):
            raise Refused("the folder must be an absolute path: write /data instead of data")
        return value

    @method
    def refresh_all(self) -> str:
        self.progress(0.0, "Validating settings...")
        rows = [{"name": f"file{n}", "percent": 50} for n in range(10)]
        self.uploads = rows
        while not self.proceed.is_set():
            self.sleep(0.01)
        for n in range(10):
            rows = [dict(row) for row in rows]
            rows[n]["percent"] = 100
            self.uploads = rows
        self.tell("scanned", folders=3)
        return "10 uploaded"

    @method
    def go(self) -> None:
        self.proceed.set()

    @method
    def job(self, client: str, number: int) -> int:
        self.ran.append([client, number])
        return len(self.ran)

    @method
    def jobs(self) -> list:
        return self.ran

if __name__ == "__main__":
    raise SystemExit(MyData().run())
'''
CLIENT = """
import sys, pysubtask
mydata = pysubtask.get("MyData", wait=30)
numbers = [mydata.job(sys.argv[1], number) for number in range(100)]
print("numbers", *numbers)
"""


def test_either_may_start_first_and_both_say_who_they_are(place, caplog):
    with Program(place, CLIENT, "early", module="early") as client:
        wait_until(lambda: client.process.poll() is None, SECS)
        with Program(place, DAEMON, module="mydata") as daemon, caplog.at_level(logging.DEBUG, "pysubtask.client"):
            assert client.wait() == 0, client.text()
            text = daemon.text()
            assert f"MyData (MyData), pysubtask {pysubtask.__version__}, PID {daemon.process.pid}" in text
            assert "Waiting for clients" in text
            with get("MyData").follow() as follower:
                assert follower.next(SECS).kind == "page"
            output = [record.getMessage() for record in caplog.records]
            assert any(re.fullmatch(rf"Follower \d+ of MyData \(PID {daemon.process.pid}\)", line) for line in output)
            assert "Handled event of type: page" in output


def test_a_client_in_the_middle_sees_all_then_each_step(place):
    with Program(place, DAEMON, module="mydata"):
        first, second = get("MyData"), get("MyData")
        job = first.begin("refresh_all")
        wait_until(lambda: len(first.uploads) == 10, SECS)
        with second.follow() as follower:
            page = follower.next(SECS)
            assert page.kind == "page"
            assert [row["percent"] for row in page.fields["items"]["uploads"]["value"]] == [50] * 10
            assert page.fields["calls"][0]["text"] == "Validating settings..."
            wait_until(lambda: [row["pid"] for row in first.followers], SECS)
            first.go()
            steps, numbers = [], [page.n]
            while (change := follower.next(SECS)) is not None:
                numbers.append(change.n)
                if change.key == "uploads":
                    steps.append(sum(row["percent"] == 100 for row in change.value))
                if change.kind == "scanned":
                    assert change.fields == {"folders": 3}
                if change.kind == "call" and change.fields["method"] == "refresh_all" and change.fields["state"] == "done":
                    break
            assert steps == list(range(1, 11))
            assert numbers == list(range(page.n, page.n + len(numbers)))
        assert job.result(SECS) == "10 uploaded"


def test_a_setting_is_refused_at_both_ends_by_its_name(place):
    with Program(place, DAEMON, module="mydata"):
        mydata = get("MyData")
        with pytest.raises(Refused, match=r"^MyData.folder: 3 is a int, and no str$"):
            mydata.folder = 3
        with pytest.raises(Refused, match=r"^MyData.folder: the folder must be an absolute path: write /data instead of data$"):
            mydata.folder = "data"
        with pytest.raises(Refused, match="absolute path"):
            set_items(mydata, {"instrument": "other", "folder": "data"})
        assert (mydata.folder, mydata.instrument) == ("/data", "scope")
        # A client that checks nothing is refused by the daemon in the same words.
        with pytest.raises(Refused, match=r"^MyData.folder: 3 is a int, and no str$"):
            mydata._connection.ask("set", {"values": {"folder": 3}})


@pytest.mark.slow
def test_two_clients_at_once_each_job_runs_once_in_order(place):
    with (
        Program(place, DAEMON, module="mydata"),
        Program(place, CLIENT, "a", module="a") as a,
        Program(place, CLIENT, "b", module="b") as b,
    ):
        assert (a.wait(), b.wait()) == (0, 0), a.text() + b.text()
        mydata = get("MyData")
        ran = mydata.jobs()
        assert sorted(map(tuple, ran)) == sorted((client, number) for client in "ab" for number in range(100))
        for client in "ab":
            assert [number for who, number in ran if who == client] == list(range(100))
        assert sorted(int(word) for one in (a, b) for word in one.text().split()[1:]) == list(range(1, 201))
        assert mydata.requested == mydata.handled == 201
