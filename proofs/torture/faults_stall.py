"""Stalls of any kind: how long until the child leaves them. StallSecs and ConnectTimeoutSecs are 3."""

from __future__ import annotations

import datetime
import os
import socket
import time
from collections.abc import Callable

from pysubtask.common.events import read_events
from pysubtask.master.task_master import BaseMaster
from pysubtask.testing.link.relay import Relay

from .bench import Bench, Lab, Outcome
from .catalogue import fault
from .faults_network import mute, relayed
from .hanging import MARKER, SERVER

SECS = 3.0
_MARGIN = 5.0
_TIMES = 5
_SIZE = 40_000


def _left(bench: Bench, kind: str) -> float:
    """Seconds until the next event of this kind; far too many where none comes."""
    before, begun = bench.kinds()[kind], time.monotonic()
    came = bench.wait(lambda: bench.kinds()[kind] > before, 30)
    return time.monotonic() - begun if came else 999.0


def _epoch(bench: Bench) -> int:
    return max((event.epoch for event in read_events(str(bench.state))), default=0)


def _connect_failed(bench: Bench, after: int) -> float:
    """Seconds from the first thing in the queue to the failed connect, in the life of the child that follows epoch ``after``;
    by the times of its events, as it may fail before the first poll."""

    def times(kind: str) -> list[datetime.datetime]:
        events = [event for event in read_events(str(bench.state)) if event.epoch > after and event.kind == kind]
        return [datetime.datetime.fromisoformat(event.at) for event in events]

    if not bench.wait(lambda: times("connect_failed") and times("queued"), 40):
        return 999.0
    return (times("connect_failed")[0] - times("queued")[0]).total_seconds()


def _measured(lab: Lab, stall: Callable[[Bench, Relay], float]) -> Outcome:
    bench, relay = relayed(lab, StallSecs=SECS, ConnectTimeoutSecs=SECS)
    took = []
    for _ in range(_TIMES):
        took.append(stall(bench, relay))
        relay.heal()
        relay.cut_all()
        bench.write("b.csv", lab.chance.randbytes(100))
        bench.arrived("a.csv", "b.csv")
        bench.wait(bench.idle)
    in_time = sum(secs <= SECS + _MARGIN for secs in took)
    return bench.outcome(_TIMES, in_time, f"left after {min(took):.1f} to {max(took):.1f} s (allowed: {SECS + _MARGIN:.0f})")


@fault("stall", "connect")
def connect(lab: Lab) -> Outcome:
    """Nobody answers the first packet: the queue of a listener is full."""
    bench, _ = relayed(lab, StallSecs=SECS, ConnectTimeoutSecs=SECS)
    port, took = bench.ftp["HostPort"], []
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        fillers = [socket.socket() for _ in range(4)]
        for one in fillers:
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        for _ in range(3):
            epoch = _epoch(bench)
            bench.again(HostPort=full.getsockname()[1])
            bench.write("a.csv", lab.chance.randbytes(100))
            took.append(_connect_failed(bench, epoch))
            bench.again(HostPort=port)
            bench.arrived("a.csv")
        for one in fillers:
            one.close()
    in_time = sum(secs <= SECS + _MARGIN for secs in took)
    return bench.outcome(3, in_time, f"left after {min(took):.1f} to {max(took):.1f} s (allowed: {SECS + _MARGIN:.0f})")


@fault("stall", "greeting")
def greeting(lab: Lab) -> Outcome:
    """The connection is taken and no greeting comes."""
    with mute() as port:

        def stall(bench: Bench, relay: Relay) -> float:
            real, relay.target = relay.target, ("127.0.0.1", port)
            relay.cut_all()
            bench.write("a.csv", lab.chance.randbytes(100))
            try:
                return _left(bench, "connect_failed")
            finally:
                relay.target = real

        return _measured(lab, stall)


@fault("stall", "login")
def login(lab: Lab) -> Outcome:
    """The link stalls within the login."""

    def stall(bench: Bench, relay: Relay) -> float:
        relay.cut_all()
        relay.stall(after=lab.chance.randrange(100, 2500))
        bench.write("a.csv", lab.chance.randbytes(100))
        return _left(bench, "connect_failed")

    return _measured(lab, stall)


@fault("stall", "write")
def write(lab: Lab) -> Outcome:
    """The link stalls within an upload."""

    def stall(bench: Bench, relay: Relay) -> float:
        relay.stall("up", after=20_000 + lab.chance.randrange(100_000))
        bench.write("a.csv", lab.chance.randbytes(300_000))
        bench.wait(lambda: relay.stalled, 20)
        return _left(bench, "connection_lost")

    return _measured(lab, stall)


def _last(lab: Lab, direction: str, back: int) -> Outcome:
    """Stall the link so many bytes before the end of an upload on a warm connection."""

    def stall(bench: Bench, relay: Relay) -> float:
        counts = []
        for _ in range(2):
            before = relay.up, relay.down
            bench.write("a.csv", lab.chance.randbytes(_SIZE))
            bench.arrived("a.csv")
            bench.wait(bench.idle)
            counts.append((relay.up - before[0], relay.down - before[1]))
        total = counts[-1][0] if direction == "up" else counts[-1][1]
        for _ in range(10):
            relay.stall("up" if direction == "up" else "down", after=total - lab.chance.randrange(back, 2 * back))
            lost = bench.kinds()["connection_lost"]
            bench.write("a.csv", lab.chance.randbytes(_SIZE))
            begun = time.monotonic()
            # What a delivery takes varies by a few packets: one that was through before the stall is none.
            bench.wait(
                lambda lost=lost: bench.kinds()["connection_lost"] > lost or bench.receipted("a.csv"),  # type: ignore[misc]
                30,
            )
            if bench.kinds()["connection_lost"] > lost:
                return time.monotonic() - begun
            relay.heal()
            bench.arrived("a.csv")
        return 999.0

    return _measured(lab, stall)


@fault("stall", "rename: its request is held back")
def rename(lab: Lab) -> Outcome:
    """The link stalls before the last requests of an upload."""
    return _last(lab, "up", 60)


@fault("stall", "close and rename: their answers are held back")
def close(lab: Lab) -> Outcome:
    """The link stalls before the last answers of an upload."""
    return _last(lab, "down", 40)


@fault("stall", "disconnect")
def disconnect(lab: Lab) -> Outcome:
    """The link stalls when the child wants to disconnect for its rest."""
    bench, relay = relayed(lab, StallSecs=SECS, ConnectTimeoutSecs=SECS, DeadTimeMilli=1000)
    took = []
    for _ in range(3):
        bench.write("a.csv", lab.chance.randbytes(100))
        bench.arrived("a.csv")
        bench.wait(lambda: bench.idle() and bench.page().get("state") == "connected", 10)
        relay.stall()
        begun = time.monotonic()
        rested = bench.wait(lambda: bench.page().get("state") == "resting", 30)
        took.append(time.monotonic() - begun if rested else 999.0)
        relay.heal()
    in_time = sum(secs <= 1 + SECS + _MARGIN for secs in took)
    return bench.outcome(3, in_time, f"at rest after {min(took):.1f} to {max(took):.1f} s, DeadTimeMilli 1000")


@fault("stall", "a child that hangs in a library")
def hangs(lab: Lab) -> Outcome:
    """The courier's loop hangs: the child must replace itself."""
    data, server, marker = lab.root / "data", lab.root / "server", lab.root / "marker"
    data.mkdir()
    server.mkdir()
    path, there = data / "a.csv", server / "a.csv"
    base = {
        "TimerIntervalSecs": 0.2,
        "StallSecs": SECS,
        "RetryWaitSecs": 0.1,
        "LoginsPerMinute": 0,
        "ArchiveToFolder": None,
        "Subtask_Log_FileName": str(lab.root / "child.log"),
        "Master_Log_FileName": None,
    }
    os.environ.update({MARKER: str(marker), SERVER: str(server)})
    master = BaseMaster([{"file": str(path)}], {"base": base}, f"{__package__}.hanging", LogToConsole=False)
    took, survived = [], 0

    def wait(condition: Callable[[], bool], secs: float) -> bool:
        deadline = time.monotonic() + secs
        while not condition():
            if time.monotonic() > deadline:
                return False
            master.check_pending_notifications()
            time.sleep(0.02)
        return True

    for number in range(3):
        marker.touch()
        path.write_text(f"{number}\n")
        master.start()
        try:
            master.notify_file_by_index(0)
            wait(lambda: not marker.exists(), 20)
            begun = time.monotonic()
            well = wait(lambda: there.exists() and there.read_bytes() == path.read_bytes(), 30)
            took.append(time.monotonic() - begun)
            survived += well and took[-1] <= SECS + _MARGIN
        finally:
            master.stop(forcekill=True)
    return Outcome(
        3,
        survived,
        note=f"replaced itself by exec and delivered after {min(took):.1f} to {max(took):.1f} s (allowed: {SECS + _MARGIN:.0f})",
    )
