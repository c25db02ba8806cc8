"""What a group may see of a task, and exactly that. As root, who may give a file to any group."""

import logging
import os
import stat
from pathlib import Path

import pytest

from pysubtask import ConfigError
from pysubtask.common import own_files, own_folders, registry, status_group
from pysubtask.common.own_folders import NotOurs
from pysubtask.common.status import read_shared_status, read_status, write_status
from pysubtask.defaults_config import SETTINGS
from pysubtask.master.child_config import plan
from tests.support.other_user import HIM, needs_root

GROUP = 23456
LOG = logging.getLogger("status_group")


@pytest.fixture
def state(tmp_path: Path) -> Path:
    folder = tmp_path / ".pysubtask" / "main" / "ftp"
    own_folders.make_folder(str(folder))
    return folder


def bits(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def in_groups(monkeypatch: pytest.MonkeyPatch, *groups: int) -> None:
    monkeypatch.setattr(os, "getgroups", lambda: list(groups))


@needs_root
def test_the_page_and_the_folders_of_ours_above_it(state: Path, tmp_path: Path):
    tmp_path.chmod(0o700)
    group = status_group.share(str(state), {"StatusGroup": str(GROUP)}, LOG)
    assert group == GROUP
    write_status(str(state), {"state": "idle"}, group)
    own_files.replace(str(state), "settings.json", b"{}")
    for folder in (state, state.parent, state.parent.parent):
        assert (bits(folder), folder.stat().st_gid) == (0o710, GROUP)
    assert (bits(state / "status.json"), (state / "status.json").stat().st_gid) == (0o640, GROUP)
    assert bits(state / "settings.json") == 0o600 and bits(tmp_path) == 0o700, "what is not ours stays as it is"
    assert own_files.read(str(state), "status.json"), "it is ours still"

    assert status_group.share(str(state), {"StatusGroup": None}, LOG) is None
    write_status(str(state), {"state": "idle"})
    assert bits(state) == 0o700 and bits(state / "status.json") == 0o600


@needs_root
def test_a_record_gets_the_group_and_loses_it_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: Path):
    place = tmp_path / "pysubtask" / "tasks"
    monkeypatch.setenv(registry.VARIABLE, str(place))
    record = registry.Record("main", "ftp", "ftp://h/", str(state), "roof", str(tmp_path))
    registry.announce(record, GROUP)
    (file,) = place.iterdir()
    assert (bits(file), file.stat().st_gid, bits(place), bits(place.parent)) == (0o640, GROUP, 0o750, 0o710)
    in_groups(monkeypatch, GROUP)
    assert registry.shared(str(place), 0) == [registry.completed(record)]
    assert registry.shared(str(place), HIM) == [], "of whom it is not, nothing is believed"
    registry.announce(record)
    assert bits(file) == 0o600 and registry.shared(str(place), 0) == []


@needs_root
@pytest.mark.parametrize(
    ("mode", "group", "uid"),
    [(0o644, GROUP, 0), (0o660, GROUP, 0), (0o600, GROUP, 0), (0o640, HIM, 0), (0o640, GROUP, HIM), (0o4640, GROUP, 0)],
)
def test_anything_else_is_not_believed(state: Path, monkeypatch: pytest.MonkeyPatch, mode: int, group: int, uid: int):
    write_status(str(state), {"state": "idle"}, GROUP)
    in_groups(monkeypatch, GROUP)
    assert read_shared_status(str(state), 0) == {"format": 1, "state": "idle"}
    os.chown(state / "status.json", uid, group)
    (state / "status.json").chmod(mode)
    assert read_shared_status(str(state), 0) is None
    with pytest.raises(NotOurs):
        own_files.read_shared(str(state), "status.json", 0)


@needs_root
def test_a_link_and_a_pipe_are_not_believed(state: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    in_groups(monkeypatch, GROUP)
    write_status(str(state), {"state": "idle"}, GROUP)
    (state / "status.json").rename(tmp_path / "page")
    (state / "status.json").symlink_to(tmp_path / "page")
    assert read_shared_status(str(state), 0) is None
    (state / "status.json").unlink()
    os.mkfifo(state / "status.json", 0o640)
    assert read_shared_status(str(state), 0) is None


def test_a_user_taken_out_of_the_group_has_his_page_all_the_same(state: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(*words: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "fchown", refuse)
    write_status(str(state), {"state": "idle"}, GROUP)
    assert read_status(str(state)) == {"format": 1, "state": "idle"} and bits(state / "status.json") == 0o600


@pytest.mark.parametrize(
    ("text", "problem"),
    [("no-group-of-this-name", "there is no group"), ("4294967295", "is no number of a group"), ("", "there is no group")],
)
def test_a_group_that_is_none(tmp_path: Path, text: str, problem: str):
    with pytest.raises(ConfigError, match=f"StatusGroup.*{problem}") as caught:
        plan("ftp", "pysubtask.ftp", {"base": {"StatusGroup": text}, "ftp": {"Host": "h"}}, str(tmp_path))
    assert caught.value.remedy


def test_the_highest_folder_that_keeps_the_group_out_is_named(tmp_path: Path, state: Path):
    for folder in (state, state.parent, state.parent.parent):
        folder.chmod(0o711)
    tmp_path.chmod(0o700)
    # Those of pytest above it are closed as well.
    closed = status_group.closed_above(str(state), GROUP)
    assert closed and str(state).startswith(closed) and not os.stat(closed).st_mode & 0o001
    assert status_group.closed_above("/usr/bin", GROUP) == ""


def test_it_is_off_by_default():
    (row,) = [row for row in SETTINGS["base"] if row.key == "StatusGroup"]
    assert row.default is None and not row.live
