"""Commands that give orders, to a real child, as a person types them."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from pysubtask.common import registry
from pysubtask.control import exit_status
from pysubtask.control.cli import main
from tests.support.helpers import wait_until
from tests.support.station import Station


@pytest.fixture(scope="module")
def _registry_of_its_own():
    """The tests look for what the module's own fixture starts: one registry is for all of them."""
    yield


@pytest.fixture(scope="module")
def station(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        root = tmp_path_factory.mktemp("steer")
        patch.setenv(registry.VARIABLE, str(root / "registry"))
        one = Station(root)
        one.master.start()
        one.pid()
        yield one
        one.master.stop()


@pytest.fixture
def run(station, capsys, monkeypatch):
    """Run a command line: (exit status, what stood on stdout, on stderr)."""

    def run(*argv):
        monkeypatch.setattr(sys, "argv", ["pysubtask", *argv])
        status = main(list(argv))
        found = capsys.readouterr()
        return status, found.out, found.err

    return run


def test_set_says_what_it_changed_and_get_shows_it(station, run):
    assert run("set", "RateLimit=64k", "--keep") == (0, "data/folder_child: RateLimit = 64000 (was 0), kept over restarts\n", "")
    status, out, _ = run("get", "RateLimit", "RetryCount")
    assert status == 0
    assert out.splitlines() == [
        "data/folder_child",
        "  RateLimit   64000 bytes per second (kept by 'set --keep')",
        "  RetryCount  5 tries",
    ]
    assert run("set", "RateLimit=64k")[1] == "data/folder_child: nothing changed: the values were these already\n"
    found = json.loads(run("get", "--json", "--all")[1])["data/folder_child"]
    assert found["RateLimit"] == 64000 and found["Password"] in (None, "********")
    assert run("set", "RateLimit=0", "--keep")[0] == 0


@pytest.mark.parametrize(
    ("argv", "status", "words"),
    [
        (["set", "RateLimit"], exit_status.USAGE, "write it as KEY=VALUE"),
        (["set", "RateLimt=5"], exit_status.FAILED, "Did you mean 'RateLimit'?"),
        (["set", "RateLimit=-5"], exit_status.FAILED, "out of range"),
        (["set", "TaskName=x"], exit_status.FAILED, "a running child does not take it"),
        (["set"], exit_status.USAGE, "Missing argument"),
        (["get", "RateLimt"], exit_status.USAGE, "Did you mean 'RateLimit'?"),
        (["pause", "nothing.csv"], exit_status.FAILED, "neither in the queue nor paused"),
        (["pause", "-t", "mian"], exit_status.NO_TASK, "Did you mean 'main'?"),
        (["paus"], exit_status.USAGE, "Did you mean 'pause'?"),
        (["notify", "/etc/passwd"], exit_status.FAILED, "does not watch"),
        (["pause", "--frob"], exit_status.USAGE, "--frob"),
        (["stop", "roof"], exit_status.USAGE, "A task is named with -t: pysubtask stop -t roof"),
        (["start", "roof", "tower"], exit_status.USAGE, "pysubtask start -t roof -t tower"),
        (["reload", "roof"], exit_status.USAGE, "pysubtask reload -t roof"),
        (["doctor", "a.toml", "b.toml"], exit_status.USAGE, "unexpected extra argument (b.toml)\n"),
    ],
)
def test_what_is_wrong_has_a_remedy_and_no_traceback(run, argv, status, words):
    found, out, err = run(*argv)
    assert found == status
    assert words in err and "Traceback" not in err and out == ""


def test_pause_resume_and_notify(station, run):
    assert run("pause") == (0, "data/folder_child: paused everything\n", "")
    station.write("a.csv", "1\n")
    assert run("notify", str(station.data / "a.csv"))[0] == 0
    wait_until(lambda: station.page().get("queue", {}).get("waiting") == 1)
    assert not (station.server / "a.csv").exists()
    status, output, err = run("resume", "-t", "data/folder_child")
    # A connection of the test before may still rest.
    assert (status, output.replace("connecting now; ", ""), err) == (0, "data/folder_child: resumed everything\n", "")
    station.arrived("a.csv")
    assert run("resume")[1] == "data/folder_child: resumed nothing\n"


def test_a_folder_names_a_task_that_nobody_announced(station, run, monkeypatch, tmp_path):
    monkeypatch.setenv(registry.VARIABLE, str(tmp_path / "empty"))
    assert run("get", "RetryCount")[0] == exit_status.NO_TASK
    assert run("get", "-t", str(station.data), "RetryCount")[0] == 0


def test_a_dead_child_keeps_the_order(station, run):
    station.master.stop()
    try:
        status, _, err = run("set", "RetryCount=8")
        assert status == exit_status.NO_ANSWER and "The order stays" in err
    finally:
        station.master.start()
    wait_until(lambda: "8 tries" in run("get", "RetryCount")[1])


@pytest.mark.slow
def test_stop_and_start(station, run):
    assert run("stop") == (0, "data/folder_child: stopping\n", "")
    wait_until(lambda: station.master.status().children[0].last_exit == "stopped by an order")
    command = [sys.executable, "-m", "pysubtask", "start"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ}) as process:
        wait_until(lambda: station.master.check_pending_notifications() or process.poll() is not None)
        assert process.stdout is not None
        assert process.stdout.read() == "data/folder_child: running\n"
    assert process.returncode == 0
    station.pid()


def test_reading_costs_no_table_library():
    code = "import sys; from pysubtask.control.cli import main; main(['get']); print({'asyncio'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "set()"
