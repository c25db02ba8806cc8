"""The record of alerts that were sent outlasts the process."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from pysubtask.common import registry
from pysubtask.control.alerts.incident import BEGINS, QUIET, Incident, Rules, due, observed, tried
from pysubtask.control.alerts.incidents import Incidents, name_of
from pysubtask.control.alerts.kinds import Seen

OPEN = Incident(True, 90.0, 95.0, None, 100.0, 101.0, 2)
KEY = ("ftp", "held")


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(registry.VARIABLE, str(tmp_path / "registry"))
    return tmp_path / "registry" / "alerts"


def test_it_is_taken_up_and_reported_no_more(place: Path):
    first = Incidents("x")
    first.set(*KEY, OPEN)
    first.set("dropbox", "silent", Incident(first=5.0, since=5.0))
    assert first.keep() and not first.problem
    found = Incidents("x").of(*KEY)
    assert found == OPEN._replace(first=90.0)
    assert due(found, Seen(True), 200.0, Rules(60, 86400)) == "" and Incidents("x").of("dropbox", "silent") == QUIET
    assert stat.S_IMODE((place / "x.json").stat().st_mode) == 0o600 and stat.S_IMODE(place.stat().st_mode) == 0o700
    assert Incidents("y").of(*KEY) == QUIET


def test_observations_that_tell_nothing_write_nothing(place: Path):
    one = Incidents("x")
    one.set(*KEY, OPEN)
    assert one.keep()
    before = os.stat(place / "x.json").st_ino
    for now in (200.0, 210.0, 220.0):
        one.set(*KEY, observed(one.of(*KEY), Seen(now != 210.0), now, Rules(60, 86400)))
        assert one.keep()
    assert os.stat(place / "x.json").st_ino == before


def test_what_is_closed_still_counts_its_returns(place: Path):
    one = Incidents("x")
    one.set(*KEY, Incident(begun=100.0, times=3))
    assert one.keep()
    again = tried(observed(Incidents("x").of(*KEY), Seen(True), 200.0, Rules(60, 86400)), BEGINS, 300.0, heard=True)
    assert again.times == 4


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"format": 2, "incidents": []}',
        '{"format": 1, "incidents": [{}]}',
        '{"format": 1, "incidents": [{"child": "ftp", "kind": "held", "open": true, "times": "x"}]}',
        '{"format": 1, "incidents": 7}',
        "[" * 100_000,
    ],
)
def test_a_damaged_file_is_none(place: Path, text: str):
    place.mkdir(parents=True, mode=0o700)
    (place.parent).chmod(0o700)
    (place / "x.json").write_text(text)
    one = Incidents("x")
    assert one.of(*KEY) == QUIET
    one.set(*KEY, OPEN)
    assert one.keep() and Incidents("x").of(*KEY).open


def test_a_folder_that_takes_nothing_is_reported_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(registry.VARIABLE, str(tmp_path / "file" / "below"))
    one = Incidents("x")
    assert one.problem
    one.set(*KEY, OPEN)
    assert not one.keep() and one.of(*KEY) == OPEN


def test_each_task_has_its_own_name(tmp_path: Path):
    (tmp_path / "link").symlink_to(tmp_path)
    assert name_of(str(tmp_path), "a") != name_of(str(tmp_path), "b") != name_of(str(tmp_path / "x"), "b")
    assert name_of(str(tmp_path / "link"), "a") == name_of(str(tmp_path), "a")
