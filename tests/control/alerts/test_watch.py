"""The loop that checks, decides, and runs the program: with clocks of the test's, and a program that is real."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pysubtask.common import registry
from pysubtask.common.alert_handoff import MODULE, AlertHandoff, Watched, write
from pysubtask.common.process import process_start
from pysubtask.control.alerts.watch import Watch
from tests.support.helpers import wait_until
from tests.support.task_statuses import NOW, task_status

QUIET: dict[str, Any] = {"state": "connected"}
HELD = {"state": "held", "why": "permission denied", "problem": {"text": "x", "remedy": "y"}}
LOG = {"LogFormat": "text", "LogMaxBytes": 0, "LogKeep": 1, "LogLevel": "debug"}


def handoff(folder: Path, *children: str, console: bool = False) -> AlertHandoff:
    settings = {"Command": [str(folder / "alert")], "SilentSecs": 3600, "SettleSecs": 60, "RepeatSecs": 86400, "TimeoutSecs": 60}
    watched = [Watched("main", name, f"/nowhere/{name}", "roof", str(folder), "") for name in children or ("ftp",)]
    me = os.getpid(), process_start(os.getpid()) or ""
    return AlertHandoff(settings, watched, str(folder / "log.txt"), console, LOG, *me, None)


class Fake:
    """Children whose pages the test writes, and both clocks."""

    def __init__(self, folder: Path, *children: str) -> None:
        self.folder, self.now = folder, NOW
        self.pages: dict[str, tuple[dict[str, Any], tuple[int, int, int]]] = {}
        self.heard = folder / "heard"
        self.program(f"cat >> {self.heard}")
        self.handoff = handoff(folder, *children)
        self.begin()

    def begin(self) -> None:
        self.watch = Watch(self.handoff, self._read_one, wall=lambda: self.now, clock=lambda: self.now)
        self.watch.begin()

    def _read_one(self, child: Watched, now: float) -> Any:
        page, queue = self.pages.get(child.extension, (QUIET, (0, 0, 0)))
        return task_status(f"roof/{child.extension}", "sftp://h/", page, queue)._replace(now=now)

    def program(self, text: str) -> None:
        (self.folder / "part").write_text(f"#!/bin/sh\n{text}\n")
        (self.folder / "part").chmod(0o755)
        (self.folder / "part").rename(self.folder / "alert")

    def goes(self, secs: float, step: float = 10.0) -> None:
        """Let so much time pass; every program that is started comes to its end."""
        for _ in range(int(secs / step)):
            self.now += step
            self.watch.observe()
            while self.watch.work():
                wait_until(lambda: not self.watch.work(), 60, "the end of the program")

    def alerts(self) -> list[tuple[str, str, str]]:
        lines = self.heard.read_text().splitlines() if self.heard.exists() else []
        return [(one["extension"], one["kind"], one["event"]) for one in map(json.loads, lines)]

    def log(self) -> str:
        return (self.folder / "log.txt").read_text()


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fake]:
    monkeypatch.setenv(registry.VARIABLE, str(tmp_path / "registry"))
    tmp_path.chmod(0o755)
    fake_ = Fake(tmp_path, "ftp", "dropbox")
    yield fake_
    fake_.watch.end()


def test_each_kind_of_each_child_is_reported_once_over_a_restart(fake: Fake):
    fake.pages = {"ftp": (HELD, (1, 0, 0)), "dropbox": ({**QUIET, "disk_low": True}, (0, 0, 2))}
    fake.goes(100)
    begun = {("ftp", "held", "begins"), ("dropbox", "parked", "begins"), ("dropbox", "disk low", "begins")}
    assert set(fake.alerts()) == begun and len(fake.alerts()) == 3
    fake.watch.end()
    fake.begin()
    fake.goes(600)
    assert len(fake.alerts()) == 3
    fake.goes(86400, 300)
    assert sorted(fake.alerts()[3:]) == sorted((child, kind, "lasts") for child, kind, _ in begun)
    fake.pages = {}
    fake.watch.end()
    fake.begin()
    fake.goes(200)
    assert sorted(fake.alerts()[6:]) == sorted((child, kind, "over") for child, kind, _ in begun)
    fake.goes(86400, 600)
    assert len(fake.alerts()) == 9


def test_a_failure_is_reported_once_and_retried_with_back_off(fake: Fake):
    fake.program(f"echo x >> {fake.folder}/tries; echo sorry; exit 1")
    fake.pages = {"ftp": (HELD, (1, 0, 0)), "dropbox": (HELD, (1, 0, 0))}
    fake.goes(2000)
    tries = (fake.folder / "tries").read_text().split()
    assert 4 <= len(tries) <= 7, "not for each look, and not for each trouble"
    log = fake.log()
    assert log.count("]: ERROR: ALERT: the program of alerts.Command has failed: its exit status was 1; it says: sorry") == 1
    fake.program(f"cat >> {fake.heard}")
    fake.goes(3700)
    assert sorted(fake.alerts()) == [("dropbox", "held", "begins"), ("ftp", "held", "begins")]
    assert "the program has taken it again" in fake.log()


def test_what_nobody_heard_is_reported_after_a_restart(fake: Fake):
    fake.program("exit 1")
    fake.pages = {"ftp": (HELD, (1, 0, 0))}
    fake.goes(100)
    fake.watch.end()
    fake.program(f"cat >> {fake.heard}")
    fake.begin()
    fake.goes(20)
    assert fake.alerts() == [("ftp", "held", "begins")]


def test_a_registry_that_cannot_be_written_is_reported_once(fake: Fake, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(registry.VARIABLE, str(fake.folder / "log.txt" / "below"))
    fake.watch.end()
    fake.begin()
    fake.pages = {"ftp": (HELD, (1, 0, 0)), "dropbox": (HELD, (1, 0, 0))}
    fake.goes(200)
    assert len(fake.alerts()) == 2 and fake.log().count("it may be alerted again after a restart") == 1


def test_a_programs_output_is_one_line_cut_and_without_escapes(fake: Fake):
    fake.program("printf 'a\\033[2Jb\\nc'; head -c 3000 /dev/zero | tr '\\0' x")
    fake.pages = {"ftp": (HELD, (1, 0, 0))}
    fake.goes(100)
    line = next(line for line in fake.log().splitlines() if "it says" in line)
    assert r"a\x1b[2Jb\nc" in line and line.endswith("xxx...") and len(line) < 800


@pytest.mark.slow
def test_a_second_process_for_a_task_waits_and_a_stop_ends_both(fake: Fake):
    """Two masters of one task, of which only one has the children."""
    (fake.folder / "console").mkdir()
    processes = []
    try:
        for number in range(2):
            fd = write(handoff(fake.folder)._replace(log_file=str(fake.folder / "console" / str(number))))
            processes.append(subprocess.Popen([sys.executable, "-m", MODULE, "--handoff", "--label=t"], stdin=fd))
            os.close(fd)
            log = fake.folder / "console" / str(number)
            wait_until(lambda log=log: log.exists() and "Alerts " in log.read_text(), 60, "its first line")
        logs = [(fake.folder / "console" / str(number)).read_text() for number in range(2)]
        assert "Alerts are given by" in logs[0] and "Alerts wait: " in logs[1] and "Alerts are given" not in logs[1]
        processes[0].send_signal(signal.SIGTERM)
        assert processes[0].wait(60) == 0
        wait_until(lambda: "Alerts are given by" in (fake.folder / "console" / "1").read_text(), 60, "that it takes over")
        processes[1].send_signal(signal.SIGTERM)
        assert processes[1].wait(60) == 0
    finally:
        for one in processes:
            one.kill()
            one.wait()


def test_by_hand_it_says_who_starts_it():
    done = subprocess.run([sys.executable, "-m", MODULE], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and "'pysubtask alerts test' tries the command" in done.stderr and "Traceback" not in done.stderr
