"""Tasks that are no more, off the list; and a monitoring system's question, with real children."""

from __future__ import annotations

import json
import os
import signal

import pytest

from pysubtask.common import registry
from tests.support.cli import command
from tests.support.helpers import wait_until
from tests.support.station import Station


@pytest.fixture
def station(tmp_path, monkeypatch):
    monkeypatch.setenv(registry.VARIABLE, str(tmp_path / "registry"))
    one = Station(tmp_path, TimerIntervalSecs=0.1)
    yield one
    one.master.stop()


def tasks():
    return json.loads(command("status", "--json").stdout)["tasks"]


def begun(station):
    station.master.start()
    wait_until(lambda: tasks() and tasks()[0]["alive"] and tasks()[0]["page"].get("state") == "watching", what="the child")


def ended(station):
    station.master.stop(forcekill=False)
    wait_until(lambda: not tasks()[0]["alive"] and tasks()[0]["page"].get("state") == "stopped", what="its end")


@pytest.mark.slow
def test_a_task_that_runs_stays_and_one_that_does_not_goes(station):
    begun(station)
    (child,) = tasks()
    state_dir = registry.records()[0].state_dir
    found = command("forget", child["child"])
    assert found.returncode == 1 and "runs: 'pysubtask stop' ends it" in found.stderr
    assert command("forget", "--dead").returncode == 0 and len(tasks()) == 1
    assert command("status", "--check").stdout.startswith("PYSUBTASK OK - 1 task, nothing to send | ")

    ended(station)
    checked = command("status", "--check")
    assert checked.returncode == 1 and "(stopped): The child was stopped" in checked.stdout
    found = command("forget", child["child"])
    assert found.returncode == 0 and f"forgotten; its state stays in {state_dir}" in found.stdout
    assert tasks() == [] and os.path.exists(os.path.join(state_dir, "spool.db"))
    checked = command("status", "--check")
    assert checked.returncode == 3 and checked.stdout.startswith("PYSUBTASK UNKNOWN - no task")
    assert command("status", "--check", "roof").stdout.startswith("PYSUBTASK UNKNOWN - There is no task 'roof'")
    # Started again, it is there again.
    begun(station)


def test_a_killed_child_is_critical_and_its_app_restarts_it(station):
    begun(station)
    (child,) = tasks()
    os.kill(child["pid"], signal.SIGKILL)
    wait_until(lambda: not tasks()[0]["alive"], what="its end")
    assert command("status", "--check").returncode == 2
    found = command("forget", child["child"])
    assert found.returncode == 1 and "belongs to an app that runs" in found.stderr


@pytest.mark.slow
def test_dead_tasks_with_queued_files_are_forgotten_only_by_name(station):
    begun(station)
    command("pause")
    station.write("a.csv", "1\n")
    station.notify("a.csv")
    wait_until(lambda: tasks()[0]["queue"].get("waiting"), what="the file in the queue")
    ended(station)
    assert command("forget", "--dead").stdout == "" and len(tasks()) == 1
    found = command("forget", tasks()[0]["child"])
    assert found.returncode == 0 and "with 1 queued file stays" in found.stdout


@pytest.mark.parametrize("words", [(), ("roof", "--dead")])
def test_who_is_meant_has_to_be_named(station, words):
    found = command("forget", *words)
    assert found.returncode == 2 and "or give --dead" in found.stderr


@pytest.mark.parametrize("words", [("--max-age", "1h"), ("--check", "--max-age", "soon"), ("--check", "--json")])
def test_options_that_make_no_sense_together(station, words):
    assert command("status", *words).returncode == 2
