"""Whose a remote name is: remembered for files that are there, not for every file that ever was."""

from __future__ import annotations

import os

import pytest

from pysubtask.common.events import read_events
from pysubtask.subtask.engine.task_names import TaskNames
from tests.support.helpers import wait_until
from tests.support.station import Station


def test_a_name_is_free_when_its_file_is_gone():
    names = TaskNames([], case_sensitive=True)
    names._claims = {"a": "/x/a", "b": "/y/b"}
    names._claimed = {"/x/a": "a", "/y/b": "b"}
    names.release(["/x/a", "/x/never"])
    assert (names._claims, names._claimed) == ({"b": "/y/b"}, {"/y/b": "b"})
    names._claims["b"] = "/z/b"  # another file has taken the name over since
    names.release(["/y/b"])
    assert (names._claims, names._claimed) == ({"b": "/z/b"}, {})


@pytest.mark.slow
def test_a_restarted_child_knows_only_names_of_existing_files(tmp_path):
    for name in ("one", "two"):
        (tmp_path / "data" / name).mkdir(parents=True)
    one = Station(tmp_path, [{"dir": str(tmp_path / "data" / name)} for name in ("one", "two")])
    try:
        one.write("one/kept", "1")
        one.write("one/gone", "1")
        one.master.start()
        one.arrived("one/kept", "one/gone")
        one.master.stop()
        os.unlink(one.data / "one" / "gone")
        one.master.start()
        one.write("two/gone", "another file of that name")
        one.write("two/kept", "stays out, for its name is another file's")
        one.arrived("two/gone")
        state = str(tmp_path / "data" / "one" / ".pysubtask" / "main" / "folder_child")
        wait_until(lambda: any(event.kind == "clash" for event in read_events(state)))
        assert (one.server / "kept").read_text() == "1"
    finally:
        one.master.stop()
