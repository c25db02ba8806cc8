"""Where a task's state belongs: decided from the folder, the setting, the environment, and where it was before."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pysubtask.common import registry, state_place
from pysubtask.common.registry import Record
from pysubtask.common.state_place import hash_of, make_outside, place, snapshots_in, tops, why_away

pytestmark = pytest.mark.skipif(not hasattr(os, "geteuid"), reason="a system without users and modes")


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(registry.VARIABLE, str(tmp_path / "registry"))
    folder = tmp_path / "data"
    folder.mkdir(mode=0o755)
    return folder


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"XDG_STATE_HOME": str(tmp_path / "xdg")}


def below(base: Path, data: Path) -> str:
    return str(base / hash_of(str(data)) / "main" / "ftp")


def queue_in(state_dir: str) -> None:
    os.makedirs(state_dir, exist_ok=True)
    Path(state_dir, "spool.db").touch()


def open_it(data: Path) -> None:
    data.chmod(0o1777)


def test_an_ordinary_folder_keeps_its_state(data: Path, environ: dict[str, str]):
    found = place(str(data), "main", "ftp", None, environ)
    assert found[:4] == (str(data / ".pysubtask" / "main" / "ftp"), "", "", "")


def test_in_the_users_home_where_others_may_write(data: Path, environ: dict[str, str], tmp_path: Path):
    open_it(data)
    found = place(str(data), "main", "ftp", None, environ)
    assert found.state_dir == below(tmp_path / "xdg" / "pysubtask" / "state", data)
    assert found.why.startswith(f"{data} may be written by others") and found.named_by == "$XDG_STATE_HOME"
    assert str(data / ".pysubtask" / "main" / "ftp") in found.others


def test_the_hash_is_of_the_real_path(data: Path, tmp_path: Path):
    (tmp_path / "link").symlink_to(data)
    assert hash_of(str(tmp_path / "link")) == hash_of(str(data)) and len(hash_of(str(data))) == 20


def test_systemds_folder_comes_before_the_home(data: Path, environ: dict[str, str], tmp_path: Path):
    open_it(data)
    environ["STATE_DIRECTORY"] = f"{tmp_path}/service:{tmp_path}/other"
    found = place(str(data), "main", "ftp", None, environ)
    assert (found.state_dir, found.named_by) == (below(tmp_path / "service", data), "$STATE_DIRECTORY")


def test_the_setting_comes_first_even_where_no_other_may_write(data: Path, environ: dict[str, str], tmp_path: Path):
    found = place(str(data), "main", "ftp", str(tmp_path / "mine"), {**environ, "STATE_DIRECTORY": str(tmp_path / "service")})
    assert (found.state_dir, found.named_by) == (below(tmp_path / "mine", data), "StateFolder") and "StateFolder" in found.why
    assert below(tmp_path / "service", data) in found.others and below(tmp_path / "xdg/pysubtask/state", data) in found.others


def test_the_home_of_a_root_is_one_like_any_other(data: Path, monkeypatch: pytest.MonkeyPatch):
    open_it(data)
    monkeypatch.setenv("HOME", "/root")
    assert place(str(data), "main", "ftp", None, {}).state_dir.startswith("/root/.local/state/pysubtask/state/")


def test_a_missing_folder_is_judged_by_the_one_it_will_be_in(tmp_path: Path, environ: dict[str, str], data: Path):
    """It will be this user's."""
    assert place(str(data / "new" / "er"), "main", "ftp", None, environ).why == ""
    open_it(data)
    assert place(str(data / "new"), "main", "ftp", None, environ).why == "", "sticky, as /tmp"
    data.chmod(0o777)
    assert "may be written by others" in place(str(data / "new"), "main", "ftp", None, environ).why


@pytest.mark.parametrize("where", ["xdg/pysubtask/state", "service"])
def test_a_queue_out_of_the_folder_stays_where_it_is(data: Path, environ: dict[str, str], tmp_path: Path, where: str):
    """The folder became safe, or what ran as a service is run by hand: there is no second queue."""
    queue_in(below(tmp_path / where, data))
    found = place(str(data), "main", "ftp", None, {**environ, "STATE_DIRECTORY": str(tmp_path / "service")})
    assert (found.state_dir, found.why) == (below(tmp_path / where, data), "it was kept there before")
    open_it(data)
    found = place(str(data), "main", "ftp", None, {**environ, "STATE_DIRECTORY": str(tmp_path / "service")})
    assert found.state_dir == below(tmp_path / where, data) and "may be written by others" in found.why


def test_the_record_tells_where_it_was(data: Path, environ: dict[str, str], tmp_path: Path):
    """StateFolder was set once, and is not any more."""
    there = below(tmp_path / "mine", data)
    queue_in(there)
    assert place(str(data), "main", "ftp", None, environ).why == "", "nobody knows of it"
    registry.announce(Record("main", "ftp", "sftp://h/", there, "data", str(data), ""))
    assert place(str(data), "main", "ftp", None, environ).state_dir == there
    # And where StateFolder names another place, it is moved from there.
    found = place(str(data), "main", "ftp", str(tmp_path / "other"), environ)
    assert found.state_dir == below(tmp_path / "other", data) and there in found.others


def test_the_note_that_a_move_leaves_tells_it_too(data: Path, environ: dict[str, str], tmp_path: Path):
    there, inside = below(tmp_path / "mine", data), data / ".pysubtask" / "main" / "ftp"
    queue_in(there)
    queue_in(str(inside))
    for folder in (inside, *inside.parents[:2]):
        folder.chmod(0o700)
    (inside / "moved_to").write_text(f"{there}\n")
    assert place(str(data), "main", "ftp", None, environ).state_dir == there


def test_a_record_of_the_version_before_names_the_folder(data: Path, environ: dict[str, str]):
    inside = str(data / ".pysubtask" / "main" / "ftp")
    queue_in(inside)
    registry.announce(Record("main", "ftp", "sftp://h/", inside))
    assert registry.known(inside) is not None
    open_it(data)
    found = place(str(data), "main", "ftp", None, environ)
    assert found.state_dir != inside and inside in found.others


def test_the_record_goes_by_the_folder_wherever_the_state_is(data: Path, tmp_path: Path):
    inside, there = str(data / ".pysubtask" / "main" / "ftp"), below(tmp_path / "mine", data)
    registry.announce(Record("main", "ftp", "sftp://h/", inside, "data", str(data), ""))
    record = Record("main", "ftp", "sftp://h/", there, "data", str(data), "", 5, 7)
    registry.announce(record)
    assert registry.known(inside) == record and len(os.listdir(tmp_path / "registry")) == 1
    os.makedirs(there)
    assert registry.records() == [record]
    registry.forget(record)
    assert os.listdir(tmp_path / "registry") == []


def test_a_state_whose_disk_is_not_there_is_reported(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    inside, there = str(data / ".pysubtask" / "main" / "ftp"), below(tmp_path / "usb" / "state", data)
    assert why_away(inside) == ""
    registry.announce(Record("main", "ftp", "sftp://h/", there, "data", str(data), "", None, None))
    assert "there is no folder" in why_away(inside) and there in why_away(inside)
    os.makedirs(tmp_path / "usb" / "state")
    assert why_away(inside) == "", "somebody has removed it from there"
    registry.announce(Record("main", "ftp", "sftp://h/", there, "data", str(data), "", None, os.makedev(240, 3)))
    assert "is not mounted" in why_away(inside), "an empty mount point"
    os.makedirs(there)
    assert why_away(inside) == ""


def test_what_is_created_is_private_and_says_what_it_is_of(data: Path, tmp_path: Path):
    there = below(tmp_path / "xdg" / "pysubtask" / "state", data)
    before = os.umask(0)
    try:
        for _ in range(2):
            make_outside(there, str(data))
    finally:
        os.umask(before)
    at = Path(there)
    while at != tmp_path:
        assert at.stat().st_mode & 0o777 == 0o700, at
        at = at.parent
    assert Path(there).parents[1].joinpath("folder").read_text() == f"{data}\n"
    assert state_place.path_beside(there) == str(data)


def test_only_the_default_folder_of_snapshots_goes_with_it(data: Path, tmp_path: Path):
    inside, there = str(data / ".pysubtask" / "main" / "ftp"), below(tmp_path / "mine", data)
    assert snapshots_in("upload/ftp", "upload/ftp", str(data), inside) == str(data / "upload" / "ftp")
    assert snapshots_in("upload/ftp", "upload/ftp", str(data), there) == f"{there}/snapshots"
    assert snapshots_in("mine", "upload/ftp", str(data), there) == str(data / "mine")
    assert snapshots_in(None, "upload/ftp", str(data), there) is None


def test_where_the_state_is_searched_without_a_record(data: Path, environ: dict[str, str], tmp_path: Path):
    assert tops(str(data), {**environ, "STATE_DIRECTORY": str(tmp_path / "service")}) == [
        str(data / ".pysubtask"),
        str(tmp_path / "service" / hash_of(str(data))),
        str(tmp_path / "xdg" / "pysubtask" / "state" / hash_of(str(data))),
    ]
