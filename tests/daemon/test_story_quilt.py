"""The story of quilt_core: the helper for main, a config folder with drop-ins, hooks that leave by False, several objects."""

from __future__ import annotations

import os

import pytest

import pysubtask
from pysubtask import NoAnswer, NoSuchDaemon
from pysubtask.compat import QuiltConfig
from tests.support.daemons import SECS, Program, get, gone
from tests.support.helpers import wait_until

QUILT = """
from pysubtask.compat import QuiltConfig, QuiltDaemon
from pysubtask.daemon import item, main, method

class Master(QuiltDaemon):
    loop_secs = 0.02
    rounds = 0
    def OnRegisterEnd(self):
        print("registered", self.GetRegisteredName(), self.GetType())
    def OnEventLoopBegin(self):
        self.rounds += 1
        return self.rounds < self.settings.get("testing", "rounds", 10**9)
    @method
    def sleep_of(self) -> float:
        return self.settings.get("testing", "sleep", 0.5)

class Other(QuiltDaemon):
    loop_secs = 0.02
    wish = item("stay")
    def OnEventLoopEnd(self):
        if self.wish == "fail":
            raise OSError("the sensor is gone")
        return self.wish == "stay"

if __name__ == "__main__":
    raise SystemExit(main(Master, Other, settings=QuiltConfig))
"""


@pytest.fixture
def config(place, monkeypatch):
    folder = place / "quilt"
    (folder / "smd.d").mkdir(parents=True)
    (folder / "quilt.cfg").write_text("[registrar]\nhost = $QUILT_HOST\n[testing]\nsleep = 2\nincludes = a, b\n")
    (folder / "smd.d" / "one.cfg").write_text("[syslog]\npath = ${QUILT_HOST}/x\n")
    monkeypatch.setenv("QUILT_CFG_DIR", str(folder))
    monkeypatch.setenv("QUILT_HOST", "station")
    return folder


def test_values_are_typed_by_defaults_and_drop_ins_are_read(config):
    quilt = QuiltConfig()
    assert quilt.GetValue("registrar", "host", "localhost") == "station"
    assert quilt.GetValue("registrar", "port", None) is None
    assert quilt.GetValue("testing", "sleep", 0) == 2
    assert quilt.GetValue("testing", "sleep", 0, float) == 2.0
    assert quilt.get("testing", "includes", ["x"]) == ["a", "b"]
    assert quilt.get("syslog", "path", "") == "station/x"
    assert quilt.GetSourceManagers() == ["syslog"]
    (config / "smd.d" / "two.cfg").write_text("[mail]\npath = y\n[testing]\nsleep = much\n")
    assert QuiltConfig().GetSourceManagers() == ["syslog", "mail"]
    with pytest.raises(pysubtask.ConfigError, match=r"^testing.sleep: 'much' is no int"):
        QuiltConfig().GetValue("testing", "sleep", 0)


def test_a_folder_that_is_missing_costs_a_warning(monkeypatch, place, caplog):
    monkeypatch.setenv("QUILT_CFG_DIR", str(place / "none"))
    assert QuiltConfig().GetValue("testing", "sleep", 7) == 7
    assert "No config file" in caplog.text and "No drop-ins" in caplog.text


def test_two_objects_in_one_process_and_one_leaves_by_false(place, config):
    with Program(place, QUILT, module="quilt") as program:
        master, other = get("Master"), get("Other")
        assert master.sleep_of() == 2.0
        assert "registered Master Master" in program.text()
        other.wish = "leave"
        gone("Other")
        with pytest.raises((NoSuchDaemon, NoAnswer)):
            other.wish = "stay"
        assert master.sleep_of() == 2.0  # it goes on
        assert program.stop() == 0


def test_a_hook_that_raises_unregisters_and_its_error_stays(place, config):
    with Program(place, QUILT, module="quilt") as program:
        get("Master")
        get("Other").wish = "fail"
        gone("Other")
        found = {known.name: known for known in pysubtask.daemons(all=True)}
        assert "OnEventLoopEnd" not in found["Other"].error and "OSError: the sensor is gone" in found["Other"].error
        assert found["Master"].alive
        assert [known.name for known in pysubtask.daemons(type="Other")] == []
        assert program.stop() == 1  # of two one has failed


def test_all_leave_and_the_process_ends(place, config):
    (config / "quilt.cfg").write_text("[testing]\nrounds = 3\n")
    with Program(place, QUILT, module="quilt") as program:
        get("Other").wish = "leave"
        assert program.wait() == 0


@pytest.mark.slow
def test_second_start_log_and_pid_file(place, config):
    words = ("--log-file", str(place / "quilt.log"), "--pid-file", str(place / "quilt.pid"), "-l", "debug")
    with Program(place, QUILT, *words, module="quilt") as program:
        get("Other")
        assert int((place / "quilt.pid").read_text()) == program.process.pid
        assert os.path.realpath(f"/proc/{program.process.pid}/fd/0") == "/dev/null"
        with Program(place, QUILT, module="quilt") as second:
            assert second.wait() == 5
            assert second.text().strip().count("\n") == 0 and "'Master' is run already, by process" in second.text()
        with Program(place, QUILT, "--unique", module="quilt") as third:
            get("Master-2")
            assert third.stop() == 0
        assert program.stop() == 0
    assert not (place / "quilt.pid").exists()
    wait_until(lambda: "Ended" in (place / "quilt.log").read_text(), SECS)


def test_an_error_is_one_line_and_names_the_remedy(place, config):
    (config / "quilt.cfg").write_text("no section\n")
    with Program(place, QUILT, module="quilt") as program:
        assert program.wait() == 2
        assert "Traceback" not in program.text() and "quilt.cfg" in program.text()
        assert len(program.text().strip().splitlines()) == 1


PAIR = """
from pysubtask.daemon import Daemon, item, main

class A(Daemon):
    level = item(0)
    def cleanup(self):
        print("cleanup of A, level", self.level)

class B(Daemon):
    depth = item(0)
    def setup_final(self):
        if self.depth == 3:
            raise SystemExit(3)

if __name__ == "__main__":
    raise SystemExit(main(A, B))
"""


@pytest.mark.slow
def test_what_was_begun_is_ended_whatever_comes_up(place):
    with Program(place, PAIR, "--set", "depth=3", "--set", "level=7", module="pair") as program:
        assert program.wait() == 3
        assert program.text().count("cleanup of A, level 7") == 1
    assert [known.ended != "" for known in pysubtask.daemons(all=True)] == [True]
    with Program(place, PAIR, "--set", "height=3", module="pair") as program:
        assert program.wait() == 2
        assert "no daemon has an item 'height'" in program.text()
