"""Looking at a real child from other processes: alive, at work, killed."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import resource
import select
import signal
import subprocess
import sys
import threading
import time

import pytest

from pysubtask.common import registry
from pysubtask.common.events import Event, read_events
from pysubtask.common.receipts import read_receipts
from pysubtask.control.view.event_follower import EventFollower
from tests.support.cli import command
from tests.support.helpers import wait_until
from tests.support.station import Station
from tests.support.terminal import Terminal

COUNT = 200
ARRIVED = ("delivered", "unchanged")


@pytest.fixture
def station(tmp_path, monkeypatch):
    monkeypatch.setenv(registry.VARIABLE, str(tmp_path / "registry"))
    monkeypatch.setenv("COLUMNS", "80")
    one = Station(tmp_path, TimerIntervalSecs=0.1)
    yield one
    one.master.stop()


def status():
    (found,) = json.loads(command("status", "--json").stdout)["tasks"]
    return found


@contextlib.contextmanager
def watching():
    """``pysubtask watch --json`` at work; its lines as they come."""
    process = subprocess.Popen([sys.executable, "-m", "pysubtask", "watch", "--json"], stdout=subprocess.PIPE, text=True)
    lines: list[dict[str, object]] = []

    def read():
        for line in iter(process.stdout.readline, ""):
            lines.append(json.loads(line))

    reader = threading.Thread(target=read)
    reader.start()
    try:
        yield lines
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
        reader.join()
        process.stdout.close()


def on_a_terminal(*words):
    """What a command shows on a terminal of 100 columns and 40 lines when it has drawn twice; it is ended by Ctrl-C."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ |= {"TERM": "xterm", "NO_COLOR": "1", "COLUMNS": "100", "LINES": "40", "PYTHONIOENCODING": "utf-8"}
        os.execv(sys.executable, [sys.executable, "-m", "pysubtask", *words])
    found = b""
    try:
        while found.count(b"\x1b[J") < 2:
            assert select.select([terminal], [], [], 30)[0], found
            found += os.read(terminal, 65536)
        os.write(terminal, b"\x03")
        with contextlib.suppress(OSError):  # its end
            while data := os.read(terminal, 65536):
                found += data
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        os.close(terminal)
    assert status == 130 and found.startswith(b"\x1b[?1049h") and b"\x1b[?1049l" in found, "the screen is given back"
    picture = found.split(b"\x1b[H")[1].split(b"\x1b[J")[0].replace(b"\x1b[K", b"").replace(b"\r", b"")
    return picture.decode()


@pytest.mark.slow
def test_whoever_joins_whenever_finds_no_gap_and_no_repeat(station):
    """A page is the state as of its event: what it counts and what comes after it make up all receipts, each once."""
    station.master.start()
    station.pid()
    state, writing = str(station.state), True
    stories: list[list[dict | Event]] = []

    def write():
        for turn in range(COUNT // 10):
            for at in range(10):
                station.write(f"box/{turn}-{at}", f"{turn} {at}\n")
                station.notify(f"box/{turn}-{at}")
            time.sleep(0.15)

    writer = threading.Thread(target=write)
    writer.start()
    followers: list[EventFollower] = []
    while writing:
        followers.append(EventFollower(state))
        stories.append([])
        for follower, story in zip(followers, stories, strict=True):
            story += follower.read(time.monotonic())
        writing = writer.is_alive() or station.page()["delivered"] < COUNT
        station.master.check_pending_notifications()
        time.sleep(0.1)
    station.idle()
    for follower, story in zip(followers, stories, strict=True):
        story += follower.read(time.monotonic())

    receipts = [receipt.seq for receipt in read_receipts(state)]
    events = list(read_events(state))
    assert receipts == list(range(1, len(receipts) + 1)) and len(receipts) >= COUNT
    assert [event.n for event in events] == list(range(1, len(events) + 1))
    queued = [event.fields["name"] for event in events if event.kind == "queued"]
    twice = len(queued) - COUNT  # a touch that was seen in two steps
    joined = set()
    for story in stories:
        page, *followed = story
        assert isinstance(page, dict)
        assert followed == events[page["n"] :], "one page, and then each event behind it"
        before = events[: page["n"]]
        arrived = [event for event in followed if event.kind in ARRIVED]
        assert [event.fields["receipt"] for event in arrived] == receipts[page["receipt"] :]
        assert page["delivered"] == sum(event.kind == "delivered" for event in before)
        left = sum(event.kind == "queued" for event in before) - sum(event.kind in ARRIVED for event in before)
        assert abs(page["queue"]["waiting"] + page["queue"]["sending"] - left) <= twice
        assert len(page["moving"]) == page["queue"]["sending"]
        moving = {row["name"] for row in page["moving"]}
        assert moving <= {event.fields["name"] for event in before if event.kind == "queued"}
        assert moving <= {event.fields["name"] for event in arrived}
        joined.add(page["n"])
    assert len(joined) >= 4, "they have joined at different moments"


@pytest.mark.slow
def test_a_watch_that_joins_amid_ten_uploads_shows_all_ten(station):
    size = 600_000
    station.base |= {"RateLimit": 300_000}
    station.master = station.make()
    station.master.start()
    station.pid()
    for at in range(10):
        station.write(f"box/{at}.bin", os.urandom(size))
        station.notify(f"box/{at}.bin")

    def half_sent():
        moving = station.page().get("moving", [])
        return len(moving) == 10 and sum(row["done"] for row in moving) > size / 2

    wait_until(half_sent, 60, "ten on their way")
    with watching() as lines:
        page = wait_until(lambda: lines and lines[0], 30, "the page")
        assert page["kind"] == "page" and sorted(row["name"] for row in page["moving"]) == [f"{at}.bin" for at in range(10)]
        seen = command("status").stdout
        assert "10 (" in seen and "B/s" in seen and "Sending 10 files, at most 300 KB/s (RateLimit)" in seen
        for row in page["moving"]:
            # What the server has of a file is its temp file; it grows on while the test reads.
            assert row["size"] == size and 0 <= row["done"] <= size
        parts = sum(path.stat().st_size for path in station.server.rglob("*") if path.is_file())
        assert sum(row["done"] for row in page["moving"]) <= parts
        assert 50_000 < page["rate"] < 900_000
        picture = on_a_terminal("watch")
        assert [at for at in range(10) if f"  {at}.bin " not in picture] == []
        assert picture.startswith("TASK") and picture.count("600 KB\n") >= 9 and "░" in picture
        assert command("set", "RateLimit=0").returncode == 0
        station.arrived(*[f"box/{at}.bin" for at in range(10)], secs=60)
        wait_until(lambda: [line["kind"] for line in lines].count("delivered") == 10, 30, "ten events")
        numbers = [line["n"] for line in lines]
        assert numbers == list(range(page["n"], page["n"] + len(lines))), "one page, then events without a gap"
        assert {line["name"] for line in lines if line["kind"] == "delivered"} == {f"{at}.bin" for at in range(10)}


@pytest.mark.slow
def test_the_truth_after_kill_9(station):
    station.master.start()
    pid = station.pid()
    found = wait_until(lambda: (now := status())["why"] == "Nothing to send." and now, what="rest")
    assert found["alive"] and found["pid"] == pid
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: "stopped by a signal" in status()["why"], what="a frozen child")
    os.kill(pid, signal.SIGCONT)
    assert command("pause").returncode == 0
    with watching() as lines:
        wait_until(lambda: lines, 30, "the page")
        for name in ("one", "two", "three"):
            station.write(f"box/{name}", name)
            station.notify(f"box/{name}")
        wait_until(lambda: [line["kind"] for line in lines].count("queued") == 3, what="three events")
        os.kill(pid, signal.SIGKILL)
        gone = wait_until(lambda: [line for line in lines if line["kind"] == "gone"], 30, "a line of its end")
        assert gone[0]["last_sign"] <= gone[0]["at"]
    before = {path.name: path.read_bytes() for path in station.state.iterdir() if path.is_file()}
    found = status()
    assert not found["alive"] and found["queue"]["waiting"] == 3
    assert found["why"].startswith("The child is dead; its last sign came ") and "3 files are queued" in found["why"]
    words = [sys.executable, "-m", "pysubtask", "status"]
    table = subprocess.run(words, capture_output=True, text=True, timeout=60).stdout.splitlines()
    assert table[1].split()[:3] == ["data/folder_child", "dead", "3"]
    output = command("queue").stdout
    assert "no child runs" in output and output.count("paused by") == 3 and {"one", "two", "three"} <= set(output.split())
    rows = json.loads(command("queue", "--json").stdout)[0]
    assert not rows["alive"] and [row["state"] for row in rows["queue"]] == ["paused"] * 3
    assert {path.name: path.read_bytes() for path in station.state.iterdir() if path.is_file()} == before, "a look changes nothing"

    # The next child has lost nothing, and a page of its own.
    wait_until(lambda: station.master.check_pending_notifications() or station.page()["pid"] != pid)
    wait_until(lambda: status()["alive"] and status()["queue"]["waiting"] == 3, what="a new child")
    assert command("drop", "two").stdout == "data/folder_child: dropped two\n"
    assert command("retry").stdout == (
        "data/folder_child: the task is paused, 'pysubtask resume' lets it go on; 2 files offered again\n"
    )
    assert json.loads(command("queue", "--json").stdout)[0]["alive"]
    assert command("resume").returncode == 0
    station.arrived("box/one", "box/three")
    station.idle()
    assert command("queue").stdout == "data/folder_child: nothing is queued\n"

    proof = command("receipts", str(station.data / "box" / "one"), "three")
    assert proof.returncode == 0 and proof.stdout.count("sha256") == 2
    (line,) = map(json.loads, command("receipts", "--json", "one").stdout.splitlines())
    assert (line["path"], line["size"], line["verified"]) == (str(station.data / "box" / "one"), 3, "size")
    none = command("receipts", "two")
    assert (none.returncode, none.stdout) == (1, "") and "two: no receipt" in none.stderr

    everything = [json.loads(line) for line in command("events", "--json").stdout.splitlines()]
    assert [line["kind"] for line in everything].count("started") == 2
    later = [json.loads(line) for line in command("events", "--json", "--since", "1").stdout.splitlines()]
    assert {line["epoch"] for line in later} == {2} and later[0]["n"] == 2
    assert command("events", "--since", "14:77").returncode == 2


@pytest.mark.slow
def test_events_are_cut_on_a_terminal_alone_and_not_when_wide(station):
    name = f"{'long-' * 30}name.csv"
    station.write(f"box/{name}", "1\n")
    station.master.start()
    station.arrived(f"box/{name}")
    station.idle()

    def on_screen(*words):
        with Terminal(station.data, "events", *words, PYSUBTASK_REGISTRY=os.environ[registry.VARIABLE], COLUMNS="80") as terminal:
            return terminal.end()[1]

    piped = subprocess.run([sys.executable, "-m", "pysubtask", "events"], capture_output=True, text=True, check=True).stdout
    for whole in (command("events").stdout, piped, on_screen("--wide")):
        assert re.search(rf"queued  {name}.*\n", whole) and "…" not in whole, whole
    assert str(station.data / "box" / name) in command("receipts").stdout, "nor is it wrapped"
    cut = on_screen()
    assert name not in cut and "…" in cut and max(map(len, cut.splitlines())) <= 80, cut
    assert command("pause").returncode == 0
    station.write(f"box/2-{name}", "2\n")
    wait_until(lambda: status()["queue"]["waiting"] == 1, what="a queued file")
    assert f"2-{name}" in command("queue").stdout


@pytest.mark.slow
def test_a_status_command_costs_little(station):
    """Against the start of a bare interpreter, in processor time, so that a busy machine does not matter: a tenth of a second for
    the command where python itself takes 30 ms."""
    station.master.start()
    os.kill(station.pid(), signal.SIGKILL)

    def cost(*words):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, *words], check=True, stdout=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    cost("-m", "pysubtask", "status")  # compiled
    status_cost = min(cost("-m", "pysubtask", "status") for _ in range(3))
    bare = min(cost("-c", "pass") for _ in range(5))
    assert status_cost < 8 * bare, (status_cost, bare)
    words = [sys.executable, "-X", "importtime", "-m", "pysubtask", "status"]
    loaded = subprocess.run(words, capture_output=True, text=True).stderr
    for heavy in ("asyncio", "concurrent.futures", "pysubtask.subtask.spool.queue", "pysubtask.defaults_config"):
        assert f" {heavy}\n" not in loaded, heavy
