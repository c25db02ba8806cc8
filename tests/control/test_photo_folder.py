"""A folder of photos that a config file names: no copies and no signal files of ours are seen in it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pysubtask.control.config.config_file import load
from pysubtask.subtask.snapshot.bak_folder import is_hidden, sweep_former

CONFIG = '[ftp]\nHost = "files.example.org"\n{more}\n[[watch]]\ndir = "photos"\nrecursive = true\n'


def plan_of(tmp_path: Path, more: str = ""):
    (tmp_path / "photos").mkdir(exist_ok=True)
    config = tmp_path / "station.toml"
    config.write_text(CONFIG.format(more=more))
    config.chmod(0o600)
    (task,) = load(str(config), {}).tasks
    return task


def test_copies_are_kept_where_no_gallery_shows_them(tmp_path: Path):
    task = plan_of(tmp_path)
    inside = os.path.relpath(str(task.plans[0].bak_dir), tmp_path / "photos")
    assert inside == ".upload/ftp"
    assert not task.entries[0].notify_files


@pytest.mark.parametrize(
    ("more", "folder"),
    [('BakToFolder = "copies"', "copies"), ('BakToFolder = "upload/ftp"', "upload/ftp"), ('[base]\nBakToFolder = "mine"', "mine")],
)
def test_a_folder_that_was_asked_for_is_taken(tmp_path: Path, more: str, folder: str):
    assert plan_of(tmp_path, more).plans[0].bak_dir == str(tmp_path / "photos" / folder)


def test_only_leftovers_of_an_earlier_version_are_removed(tmp_path: Path):
    former = tmp_path / "upload" / "ftp"
    former.mkdir(parents=True)
    for name in ("tag-1-a.jpg", "tag-2-b.jpg", ".tag-3-x", "holiday.jpg", "other-1-a.jpg"):
        (former / name).write_text("x")
    now = str(tmp_path / ".upload" / "ftp")
    sweep_former(str(tmp_path), ".upload/ftp", now, "tag", {str(former / "tag-2-b.jpg")})
    assert sorted(os.listdir(former)) == ["holiday.jpg", "other-1-a.jpg", "tag-2-b.jpg"]
    for name in os.listdir(former):
        if name != "tag-2-b.jpg":
            (former / name).unlink()
    sweep_former(str(tmp_path), ".upload/ftp", now, "tag", set())
    assert not (tmp_path / "upload").exists()


@pytest.mark.parametrize("setting", ["../upload", "./upload", ".", "upload/ftp"])
def test_a_path_with_dots_is_no_hidden_folder(setting: str):
    assert not is_hidden(setting)
