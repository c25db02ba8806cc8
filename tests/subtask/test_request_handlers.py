"""Each request has a module of its name, as its command has; what they change reaches other threads as a new mapping."""

from __future__ import annotations

from importlib import util

import pytest

from pysubtask import ConfigError
from pysubtask.subtask.requests.live_settings import LiveSettings, defaults_of
from pysubtask.subtask.requests.request_handlers import HANDLERS


def test_each_request_is_carried_out_by_the_module_of_its_name():
    assert {name: handle.__module__.rpartition(".")[2] for name, handle in HANDLERS.items()} == {name: name for name in HANDLERS}
    missing = [name for name in HANDLERS if util.find_spec(f"pysubtask.control.commands.{name}") is None]
    assert missing == []


def test_a_change_makes_a_new_mapping():
    given = {**defaults_of("ftp"), "RateLimit": 10}
    settings = LiveSettings("ftp", given)
    before = settings.current
    given["RateLimit"] = 20
    assert [change.new for change in settings.change({"RateLimit": "50k"})] == [50_000]
    assert (before["RateLimit"], settings.current["RateLimit"]) == (10, 50_000)
    with pytest.raises(TypeError):
        settings.current["RateLimit"] = 1  # type: ignore[index]
    with pytest.raises(ConfigError):
        settings.change({"RateLimit": 1, "RetryCount": -1})
    assert settings.current["RateLimit"] == 50_000


def test_a_kept_value_is_recalled():
    first = LiveSettings("ftp", defaults_of("ftp"))
    first.change({"RetryCount": 7})
    again = LiveSettings("ftp", defaults_of("ftp"))
    before = again.current
    changes, overruled = again.recall(first.keep({"RetryCount": 7}))
    assert [(change.key, change.new) for change in changes] == [("RetryCount", 7)] and overruled == []
    assert again.current["RetryCount"] == 7 and before is not again.current
