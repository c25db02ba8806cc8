"""What an incomplete push keeps, and what the next run of the same command makes of it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from pysubtask.control.push.file_state import FileState
from pysubtask.control.push.record import Record
from pysubtask.delivery_rules.remote_content import Known, already_there
from pysubtask.transports.base import RemoteStat

SAMPLE = Path(__file__).parent.parent / "recorded" / "e9b4668" / "push.json"
OLD, NEW = RemoteStat(3, 1_700_000_000), RemoteStat(10, 1_760_000_000)


def is_there(state: FileState, found: RemoteStat, digest: str = "d") -> bool:
    """Whether a file of ten bytes counts as delivered."""
    return state.may_have_arrived(digest) and already_there(state.known(), 10, 1_760_000_000 * 10**9, digest, found)


def test_the_record_of_an_earlier_version_is_taken_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PYSUBTASK_REGISTRY", str(tmp_path))
    names = ["a.csv", "big.bin"]
    first = Record("sftp://pi@station/in", names)
    first.close(keep=True)
    shutil.copy(SAMPLE, Path(first.folder) / "push.json")
    record = Record("sftp://pi@station/in", names)
    done, cut = record.states["a.csv"], record.states["big.bin"]
    sample = json.loads(SAMPLE.read_text())
    assert done.known() == Known(RemoteStat(2, 1_760_000_000), sample["a.csv"]["digest"])
    assert already_there(done.known(), 2, 0, done.digest, RemoteStat(2, 1_760_000_000))
    assert cut.known() == Known(RemoteStat(3, 1_700_000_000), "") and cut.may_have_arrived(cut.digest)
    temp, resume = cut.temp, cut.resume
    cut.begin("big.bin", cut.digest, RemoteStat(3, 1_700_000_000))
    assert (cut.temp, cut.resume, cut.stale) == (temp, resume, []) and json.loads(resume)["offset"] == 1_110_016
    # And an earlier version reads what this one writes.
    record.save()
    assert json.loads((Path(record.folder) / "push.json").read_text()) == sample
    record.close(keep=False)


@pytest.mark.parametrize("text", ["", "[]", "7", '{"a": 7}', '{"a": {"before": 7}}', '{"a": {"remote": [1]}}', '{"b": {}}'])
def test_a_record_that_cannot_be_read_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str):
    monkeypatch.setenv("PYSUBTASK_REGISTRY", str(tmp_path))
    first = Record("sftp://pi@station/in", ["a"])
    first.close(keep=True)
    (Path(first.folder) / "push.json").write_text(text)
    record = Record("sftp://pi@station/in", ["a"])
    assert record.states["a"].to_json() == FileState().to_json()
    record.close(keep=False)


def test_only_what_was_begun_can_be_there_already():
    state = FileState()
    assert not is_there(state, NEW)
    state.begin("a", "d", OLD)
    assert is_there(state, NEW) and not is_there(state, OLD) and not is_there(state, NEW, "other")
    state.start_over()
    assert not is_there(state, NEW), "it was refused"
    state.begin("a", "d", OLD)
    state.delivered(NEW._replace(mtime=5))
    assert is_there(state, NEW._replace(mtime=5)) and not is_there(state, NEW), "somebody else wrote it"


def test_an_earlier_file_of_the_same_size_and_second_is_no_proof():
    state = FileState()
    state.begin("a", "d", NEW)
    assert not is_there(state, NEW)


def test_an_attempt_without_resume_has_a_new_temporary_name():
    state = FileState()
    state.begin("dir/a", "d", None)
    first = state.temp
    state.begin("dir/a", "d", None)
    second = state.temp
    assert second != first and state.stale == [first]
    state.resume = "half"
    state.begin("dir/a", "d", None)
    assert (state.temp, state.resume, state.stale) == (second, "half", [first])
    state.begin("dir/a", "other content", None)
    assert state.temp not in (first, second) and state.resume == "" and state.stale == [first, second]
    state.delivered(NEW)
    assert (state.temp, state.stale) == ("", [])
