"""What differs from station to station, in a config that many share."""

from __future__ import annotations

import socket

import pytest

from pysubtask import ConfigError, Section, TaskMaster
from pysubtask.common.entries import filled_in, read_entries
from pysubtask.common.placeholders import filled
from pysubtask.master.child_config import plan

HOST = socket.gethostname()


def section(**more):
    return type("config", (), {"ftp": Section("", Host="h", User="u", **more)})


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("plain", "plain"),
        ("in/{hostname}", f"in/{HOST}"),
        ("{hostname}/{task}", f"{HOST}/roof"),
        ("{task}_{task}", "roof_roof"),
        ("a{b}c", "a{b}c"),
        ("{}", "{}"),
        ("{2026}", "{2026}"),
        ("{", "{"),
        ("{hostname", "{hostname"),
    ],
)
def test_the_words_are_filled_in_and_other_braces_stay(given, expected):
    assert filled("ftp.HostPath", given, "roof") == expected


@pytest.mark.parametrize("given", ["{hostnam}", "{Hostname}", "{host_name}", "{tasks}"])
def test_a_word_that_is_nearly_one_is_a_mistake(given):
    with pytest.raises(ConfigError, match="Did you mean"):
        filled("ftp.HostPath", given, "roof")


def test_a_machine_without_a_name_is_reported(monkeypatch):
    monkeypatch.setattr(socket, "gethostname", lambda: "")
    with pytest.raises(ConfigError, match="this machine has no host name"):
        filled("ftp.HostPath", "{hostname}", "roof")


@pytest.mark.parametrize("key", ["HostPath", "HostSFTPPath", "HostFTPPath", "HeartbeatName"])
def test_each_setting_that_may_have_them(key, tmp_path):
    task_plan = plan(
        "ftp",
        "pysubtask.ftp",
        section(**{key: "x/{hostname}/{task}" if key != "HeartbeatName" else "{hostname}-{task}"}),
        str(tmp_path / "roof"),
    )
    assert task_plan.settings[key] == (f"x/{HOST}/roof" if key != "HeartbeatName" else f"{HOST}-roof")


def test_as_of_an_entry(tmp_path):
    (tmp_path / "roof").mkdir()
    entries = read_entries([{"dir": str(tmp_path / "roof"), "as": "{task}/{hostname}"}, {"file": str(tmp_path / "roof/x.csv")}])
    assert [entry.remote for entry in filled_in(entries, "roof")] == [f"roof/{HOST}", None]
    with pytest.raises(ConfigError, match=r"\[0\]\.as"):
        filled_in(read_entries([{"dir": str(tmp_path / "roof"), "as": "{taks}"}]), "roof")


def test_an_app_gets_the_error_before_anything_is_started(tmp_path):
    with pytest.raises(ConfigError, match=r"Did you mean \{hostname\}"):
        TaskMaster([{"dir": str(tmp_path)}], section(HostPath="{hostnme}"), LogFileName=None, LogToConsole=False)
    master = TaskMaster([{"dir": str(tmp_path), "as": "{hostname}"}], section(), LogFileName=None, LogToConsole=False)
    assert master._task.entries[0].remote == HOST
