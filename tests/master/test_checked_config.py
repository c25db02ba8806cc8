"""The errors of an app's entries and config: everything in one error, whose text is that of the first problem."""

from __future__ import annotations

from pathlib import Path

import pytest

from pysubtask import DropboxTaskMaster, FTPTaskMaster, TaskMaster
from pysubtask.base import BaseMaster
from pysubtask.common.config import SECTIONS
from pysubtask.common.errors import ConfigError
from pysubtask.common.never_sent import of_task
from pysubtask.master.checked_config import entries_and_plans
from pysubtask.master.child_config import switched_on
from pysubtask.master.excluded_files import check_entries
from pysubtask.master.live_settings import checked

SECRET = "hunter2-zyx"
WATCH = [{"dir": "data", "settle_secs": -1, "colour": 1}, "b", {"file": "x/a", "as": "{hostnam}"}, {"file": "y", "as": "/y"}]
CONFIG = {
    "base": {"RetryCount": 0, "LogLevle": "info", "TaskName": "a/b", "StateFolder": "here"},
    "burst_mode": {"expire_milli": "long"},
    "ftp": {"Host": "h", "HostPort": 0, "UseTLS": "explicit", "Password": [SECRET], "HostPath": "{taks}"},
    "dropbox": {"AccessToken": f"{SECRET} b", "HostPath": "../x"},
    "alerts": {"Command": ""},
    "fpt": {},
}
OF_WATCH = ["watchfilesdirs[0].colour", "watchfilesdirs[0].settle_secs", "watchfilesdirs[1]", "watchfilesdirs[3].as"]
OF_CONFIG = [
    "config.fpt",
    "base.RetryCount",
    "base.LogLevle",
    "ftp.Password",
    "ftp.UseTLS",
    "ftp.HostPort",
    "base.TaskName",
    "ftp.StateFolder",
    "ftp.HostPath",
    "alerts.Command",
    "burst_mode.expire_milli",
    "dropbox.AccessToken",
    "dropbox.HostPath",
    "dropbox.StateFolder",
]


def test_an_app_gets_every_error_and_the_text_is_the_first():
    with pytest.raises(ConfigError) as caught:
        TaskMaster(WATCH, CONFIG, None, False)
    error = caught.value
    assert [one.key for one in error.problems] == [*OF_WATCH, *OF_CONFIG, "watchfilesdirs[2].as"]
    assert str(error) == str(error.problems[0])
    assert (error.key, error.remedy) == (OF_WATCH[0], error.problems[0].remedy)
    assert SECRET not in f"{error} {error!r} {error.problems!r} {error.lines()}"


@pytest.mark.parametrize(("kind", "section"), [(FTPTaskMaster, "ftp"), (DropboxTaskMaster, "dropbox")])
def test_a_master_of_one_destination_is_checked_for_that_alone(kind, section):
    with pytest.raises(ConfigError) as caught:
        kind(WATCH, CONFIG, None, False)
    keys = {one.key for one in caught.value.problems}
    assert set(OF_WATCH) < keys
    assert {key.partition(".")[0] for key in keys if not key.startswith("watch")} - {"base", "config", "alerts", "burst_mode"} == {
        section
    }


def test_a_master_with_a_plain_child_too():
    with pytest.raises(ConfigError) as caught:
        BaseMaster(WATCH, {"RetryCount": 0, "TaskName": ""}, LogFileName=None, LogToConsole=False)
    assert [one.key for one in caught.value.problems] == [*OF_WATCH, "base.RetryCount", "base.TaskName", "watchfilesdirs[2].as"]


def test_what_is_no_config_is_reported_with_the_entries():
    with pytest.raises(ConfigError) as caught:
        entries_and_plans(["b"], "ftp")
    assert [one.key for one in caught.value.problems] == ["watchfilesdirs[0]", "config"]


def test_a_missing_destination_is_reported_if_unexplained():
    with pytest.raises(ConfigError) as caught:
        switched_on({"base": {"RetryCount": 0}})
    assert [one.key for one in caught.value.problems] == ["base.RetryCount", "ftp.UseFTP"]
    for config in ({"ftp": {"Host": 7}}, {"fpt": {"Host": "h"}}):
        with pytest.raises(ConfigError) as caught:
            entries_and_plans([{"file": "a"}], config)
        assert len(caught.value.problems) == 1


def test_both_sides_of_a_clash_are_named_by_their_numbers(tmp_path: Path):
    watch = [{"file": "1/a"}, {"file": "bad", "as": ".."}, {"file": "2/a"}, {"file": "1/a"}, {"file": "b", "as": "a/b"}]
    with pytest.raises(ConfigError) as caught:
        entries_and_plans(watch, {"ftp": {"Host": "h"}}, cwd=str(tmp_path))
    assert [(one.key, one.problem.count("watchfilesdirs[0]")) for one in caught.value.problems] == [
        ("watchfilesdirs[1].as", 0),
        ("watchfilesdirs[3]", 1),
        ("watchfilesdirs[2]", 1),
        ("watchfilesdirs[4]", 1),
    ]


def test_every_entry_that_is_never_sent_is_named():
    entries, _ = entries_and_plans([{"file": "/d/a.log"}, {"file": "/d/b"}, {"file": "/d/c.log"}], {"ftp": {"Host": "h"}})
    own = of_task({"/d/a.log": "a log", "/d/c.log": "a log"}, entries, 0)
    with pytest.raises(ConfigError) as caught:
        check_entries(entries, own)
    assert [one.key for one in caught.value.problems] == ["watchfilesdirs[0].file", "watchfilesdirs[2].file"]


def test_all_settings_that_are_set_while_it_runs_are_checked(tmp_path: Path):
    _, plans = entries_and_plans([{"dir": str(tmp_path)}], {"ftp": {"Host": "h"}})
    with pytest.raises(ConfigError) as caught:
        checked(plans, {"RateLimit": "fast", "Colour": 1, "TaskName": "x", "RetryCount": 0})
    assert [one.key for one in caught.value.problems] == ["set.Colour", "set.TaskName", "ftp.RateLimit", "ftp.RetryCount"]


def test_the_sections_are_those_that_are_tried_here():
    assert set(CONFIG) - {"fpt"} == set(SECTIONS)
