"""Alerts of a real station: a real child, a real sshd, and a program that writes down what it gets."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pysubtask.common.process import is_alive
from pysubtask.control.config.toml_words import in_toml
from pysubtask.testing.servers.sshd import OpenSSHServer
from tests.support.helpers import wait_until
from tests.support.run_station import TERM, Run, child, command, end_all, login

SETTLE = 0.6


class Station:
    """One task. ``alerts`` are what its program got, without what differs each time."""

    def __init__(self, folder: Path, server: OpenSSHServer) -> None:
        self.folder, self.server = folder, server
        self.data, self.config, self.heard = folder / "data", folder / "station.toml", folder / "heard.jsonl"
        self.remote = server.files / folder.name
        self.data.mkdir()
        folder.chmod(0o755)
        self.runs: list[Run] = []
        self.program(f"cat >> {self.heard}")

    def program(self, text: str) -> None:
        """What its program does."""
        path = self.folder / "alert"
        path.with_suffix(".part").write_text(f"#!/bin/sh\n{text}\n")
        path.with_suffix(".part").chmod(0o755)
        path.with_suffix(".part").rename(path)

    def write(self, *, base: str = "", alerts: str = "", **ftp: Any) -> None:
        values = {"SilentSecs": 3600, "SettleSecs": SETTLE, "Command": ["./alert", "someone"]}
        lines = "".join(f"{key} = {in_toml(value)}\n" for key, value in values.items() if key not in alerts)
        always = "RetryWaitSecs = 0.2\nRetryLongWaitSecs = 0.5\nLoginsPerMinute = 0\nStopWaitSecs = 1\n"
        self.config.write_text(
            f"[base]\n{always}{base}\n"
            f"[ftp]\n{login(self.server, self.folder.name, **ftp)}\n[alerts]\n{lines}{alerts}\n"
            f'[[watch]]\ndir = "data"\nsettle_secs = 0.1\n'
        )
        self.config.chmod(0o600)

    def run(self) -> Run:
        started = Run(self.folder, self.config)
        self.runs.append(started)
        return started

    def alerts(self) -> list[tuple[str, str]]:
        """(event, kind) of all, in order; each of them whole."""
        lines = self.heard.read_text().splitlines() if self.heard.exists() else []
        return [(one["event"], one["kind"]) for one in map(json.loads, lines)]

    def hears(self, *events: tuple[str, str]) -> None:
        """Wait until it got this and no more."""
        try:
            wait_until(lambda: self.alerts() == list(events), 60)
        except AssertionError as exc:
            raise AssertionError(f"told {self.alerts()}, not {events}: {self.text()}") from exc
        # It is written down before another process may have to know it.
        wait_until(lambda: not self.runs or self.text().count("the program has taken it") >= len(events), 60)

    def last(self) -> dict[str, Any]:
        return json.loads(self.heard.read_text().splitlines()[-1])

    def text(self) -> str:
        return self.runs[-1].text() if self.runs else ""

    def alerter(self) -> int:
        """The pid of the process that alerts, when it is at work."""

        def found() -> int:
            pids = re.findall(r"\[alerts\.\S+\.(\d+)\]: INFO: Alerts are given", self.text())
            return int(pids[-1]) if pids and is_alive(int(pids[-1]), "") else 0

        return wait_until(found, 60, "what alerts")


@pytest.fixture
def station(tmp_path: Path, shared_sshd: OpenSSHServer) -> Iterator[Station]:
    started = Station(tmp_path, shared_sshd)
    yield started
    end_all(started.runs)


pytestmark = pytest.mark.slow


def test_a_refused_login_is_reported_once_over_a_restart(station: Station):
    station.write(HostKey="SHA256:" + "A" * 43)
    (station.data / "a.csv").write_text("1\n")
    run = station.run()
    station.hears(("begins", "held"))
    alert = station.last()
    assert alert["task"] == "station" and alert["extension"] == "ftp" and alert["counts"]["waiting"] == 1
    assert "host key" in alert["why"].lower() and alert["remedy"] and str(station.server.port) in alert["destination"]
    # Neither a killed process nor a restart of everything tells it again.
    before = station.alerter()
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: station.alerter() != before, 60, "another process that alerts")
    run.signal(TERM)
    assert run.status() == 0
    wait_until(lambda: not is_alive(before, ""), 60)
    station.run()
    station.alerter()
    # That it checks again is seen by another incident.
    pid = child(station.data)
    wait_until(lambda: '"held"' in (station.data / ".pysubtask/main/ftp/status.json").read_text(), 60, "held again")
    station.write(HostKey="SHA256:" + "A" * 43, base="MinFreeBytes = 1000000000000000")
    assert station.runs[-1].command("reload").returncode == 0
    (station.data / "b.csv").write_text("1\n")
    station.hears(("begins", "held"), ("begins", "disk low"))
    assert is_alive(pid, "") and station.text().count("ALERT: pysubtask on") == 2
    # The key that is right, and room: both are over.
    station.write()
    assert station.runs[-1].command("reload").returncode == 0
    wait_until(lambda: sorted(station.alerts()[2:]) == [("over", "disk low"), ("over", "held")], 90, "the end of both")
    wait_until(lambda: (station.remote / "b.csv").exists(), 60)


def test_a_parked_file_and_a_child_that_was_stopped_are_reported(station: Station):
    (station.remote / "taken.csv" / "x").mkdir(parents=True)
    station.write(alerts="SilentSecs = 1.5")
    run = station.run()
    (station.data / "taken.csv").write_text("1\n")
    station.hears(("begins", "parked"))
    assert station.last()["counts"]["parked"] == 1 and "the server refuses 1 file" in station.last()["why"]
    assert station.last()["subject"].endswith(": station/ftp: parked")
    pid = child(station.data)
    os.kill(pid, signal.SIGSTOP)
    try:
        station.hears(("begins", "parked"), ("begins", "silent"))
        assert f"kill -CONT {pid}" in station.last()["why"]
    finally:
        os.kill(pid, signal.SIGCONT)
    station.hears(("begins", "parked"), ("begins", "silent"), ("over", "silent"))
    (station.remote / "taken.csv" / "x").rmdir()
    (station.remote / "taken.csv").rmdir()
    assert run.command("retry").returncode == 0
    station.hears(("begins", "parked"), ("begins", "silent"), ("over", "silent"), ("over", "parked"))


def test_a_link_that_is_down_is_reported_when_a_file_waits_long(station: Station):
    station.write(alerts="SilentSecs = 1", HostPort=1)
    station.run()
    child(station.data)
    time.sleep(3 * SETTLE)
    assert station.alerts() == [], "nothing waits"
    (station.data / "a.csv").write_text("1\n")
    station.hears(("begins", "silent"))
    assert "Connection refused" in station.last()["why"]


APP = """
import os, sys, time
from pysubtask import TaskMaster
folder = sys.argv[1]
config = {
    "ftp": {"Host": "127.0.0.1", "HostPort": 1, "UseSFTP": False, "Subtask_Log_FileName": None},
    "base": {"Guard": False},
    "alerts": {"Command": [os.path.join(folder, "alert")], "SilentSecs": 1.5, "SettleSecs": 0.6},
}
master = TaskMaster([{"dir": os.path.join(folder, "data")}], config, os.path.join(folder, "output.txt"), False)
master.start()
print(master.status().children[0].pid, flush=True)
sys.stdin.read()
"""


def test_a_dead_child_of_an_app_that_hangs_is_reported(station: Station):
    """The app calls nothing any more and the child has no guard, so nobody starts it again; and nobody of the app's is left
    when it is dead."""
    environ = {**os.environ, "PYSUBTASK_REGISTRY": str(station.folder / "registry")}
    app = subprocess.Popen(
        [sys.executable, "-c", APP, str(station.folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environ, text=True
    )
    try:
        assert app.stdout is not None
        pid = int(app.stdout.readline())
        wait_until(lambda: (station.data / ".pysubtask/main/ftp/status.json").exists(), 60, "its page")
        os.kill(pid, signal.SIGKILL)
        station.hears(("begins", "silent"))
        assert "The child is dead" in station.last()["why"]
        log = (station.folder / "output.txt").read_text()
        alerter = int(re.findall(r"\[alerts\.\S+\.(\d+)\]", log)[-1])
        app.kill()
        wait_until(lambda: not is_alive(alerter, ""), 60, "the end of what alerts")
    finally:
        app.kill()
        app.communicate()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "echo begun; echo $$ >> {folder}/pids; exec sleep 1000",
            "it took longer than 1 s (TimeoutSecs) and was ended; it says: begun",
        ),
        ("echo 'no route'; exit 7", "its exit status was 7; it says: no route"),
        ("yes token-of-mine-0123456789", "it took longer than 1 s (TimeoutSecs) and was ended"),
        ("", "there is no file {folder}/alert"),
    ],
)
def test_a_failing_program_is_reported_once_and_delays_no_upload(station: Station, text: str, problem: str):
    folder = str(station.folder)
    station.program(text.format(folder=folder))
    if not text:
        (station.folder / "alert").unlink()
    (station.remote / "taken.csv" / "x").mkdir(parents=True)
    station.write(alerts='TimeoutSecs = 1\nCommand = ["./alert", "token-of-mine-0123456789"]')
    run = station.run()
    (station.data / "taken.csv").write_text("1\n")
    run.says("ALERT: pysubtask on")
    # It is at work, and everything else goes on.
    (station.data / "b.csv").write_text("1\n")
    wait_until(lambda: (station.remote / "b.csv").exists(), 60, "the next file")
    run.says("the program of alerts.Command has failed: " + problem.format(folder=folder))
    run.says("It is tried again, next in 60 s; further failures are not told")
    assert "token-of-mine" not in run.text() and max(map(len, run.text().splitlines())) < 1100
    for pid in (station.folder / "pids").read_text().split() if (station.folder / "pids").exists() else ():
        assert not is_alive(int(pid), "")
    run.signal(TERM)
    assert run.status() == 0
    # An alert that no program got is sent after the next start.
    station.program(f"cat >> {station.heard}")
    station.run()
    station.hears(("begins", "parked"))


def test_a_stop_ends_the_program_and_the_next_start_reports_it(station: Station):
    station.program(f"echo $$ > {station.folder}/pid.part; mv {station.folder}/pid.part {station.folder}/pid; exec sleep 1000")
    station.write(HostKey="SHA256:" + "A" * 43)
    (station.data / "a.csv").write_text("1\n")
    run = station.run()
    pid = int(wait_until(lambda: (station.folder / "pid").exists() and (station.folder / "pid").read_text(), 60, "the program"))
    assert os.getsid(pid) == pid, "it is in a session of its own"
    run.signal(TERM)
    run.signal(TERM)
    assert run.status() == 0
    assert not is_alive(pid, "")
    station.program(f"cat >> {station.heard}")
    station.run()
    station.hears(("begins", "held"))


def test_a_reload_takes_up_the_alerts_and_leaves_the_children(station: Station):
    station.write(alerts='Command = "none"')
    run = station.run()
    pid = child(station.data)
    station.write()
    done = run.command("reload")
    assert (done.returncode, done.stdout) == (0, "station: the alerts are taken up\n"), done.stderr
    first = station.alerter()
    assert run.command("reload").stdout == "station: nothing changed\n"
    assert child(station.data) == pid and station.alerter() == first
    (station.folder / "alert").chmod(0o777)
    done = run.command("reload")
    assert done.returncode != 0 and "alerts.Command: others may write" in done.stderr
    (station.folder / "alert").chmod(0o755)
    station.write(alerts='Command = "none"')
    assert run.command("reload").stdout == "station: the alerts are taken up\n"
    assert not is_alive(first, "") and child(station.data) == pid


def test_a_program_that_others_may_write_is_refused_at_the_start(station: Station):
    station.write()
    (station.folder / "alert").chmod(0o757)
    run = station.run()
    assert run.status() == 2
    assert f"alerts.Command: others may write {station.folder}/alert (mode 0757). Let nobody but its owner write it" in run.text()
    assert not (station.data / ".pysubtask").exists(), "nothing was begun"


def test_check_shows_it_and_a_test_alert_runs_it(station: Station):
    station.write()
    found = command(station.folder, "check", "station.toml")
    assert found.returncode == 0 and f"alerts by running {station.folder}/alert someone when it is held" in found.stdout
    done = command(station.folder, "alerts", "test", "station.toml", "--kind", "disk low")
    assert (done.returncode, done.stderr) == (0, "") and "main: taken, in " in done.stdout
    assert station.last()["event"] == "test" and station.last()["kind"] == "disk low" and station.last()["task"] == "station"
    assert station.last()["destination"].startswith("sftp://"), "a URL, as in any alert"
    assert not (station.data / ".pysubtask").exists()
    station.program("echo 'no such mailbox'; exit 5")
    done = command(station.folder, "alerts", "test", "station.toml")
    assert done.returncode == 1 and "  no such mailbox\n" in done.stdout
    assert done.stderr == "main: failed: its exit status was 5\n"
    (station.folder / "alert").chmod(0o777)
    found, done = command(station.folder, "check", "station.toml"), command(station.folder, "alerts", "test", "station.toml")
    assert found.returncode == 1 and "alerts.Command: others may write" in found.stdout
    assert done.returncode == 2 and "alerts.Command: others may write" in done.stderr
    (station.folder / "alert").unlink()
    found, done = command(station.folder, "check", "station.toml"), command(station.folder, "alerts", "test", "station.toml")
    assert found.returncode == 1 and f"alerts.Command: there is no file {station.folder}/alert. Install it" in found.stdout
    assert done.returncode == 1 and "there is no file" in done.stderr
    station.write(alerts='Command = "none"')
    done = command(station.folder, "alerts", "test", "station.toml")
    assert done.returncode == 1 and done.stderr == "main: no program is named: set Command in [alerts]\n"


def test_a_test_alert_of_a_python_config(station: Station):
    text = "from pysubtask import Section\nftp = Section('', Host='h')\nwatchfilesdirs = [{'dir': 'data'}]\n"
    (station.folder / "config.py").write_text(text + "alerts = Section('', Command='./alert me')\n")
    (station.folder / "config.py").chmod(0o644)
    for word in ("config.py", "config"):
        done = command(station.folder, "alerts", "test", word)
        assert done.returncode == 0, done.stderr
    assert station.alerts() == [("test", "held")] * 2
