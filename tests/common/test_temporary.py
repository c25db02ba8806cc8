"""Temporary names of other programs: which names those are, and that an entry of a config file leaves them out."""

from __future__ import annotations

from pathlib import Path

import pytest

from pysubtask.common.entries import CONFIG_FILE_DEFAULTS, left_out, read_entries
from pysubtask.common.temporary import is_temporary
from tests.support.watched_world import World

TEMPORARY = [
    ".photo.jpg.Ab12C7",
    "x/.photo.jpg.Zz09aQ",
    "film.mp4.part",
    "film.mp4.crdownload",
    "a.filepart",
    ".goutputstream-XY7Z12",
    "a.tmp",
    ".a.csv.swp",
    ".a.csv.swo",
    "4913",
    "a.csv~",
    ".#a.csv",
    "#a.csv#",
    ".~lock.a.ods#",
    "~$a.xlsx",
    "Thumbs.db",
    ".DS_Store",
    "._a.jpg",
    ".nfs000000000123",
    ".fuse_hidden000a",
    ".syncthing.a.csv.tmp",
    ".in.a.csv.",
    ".pureftpd-upload.5f1",
    "x/.~tmp~/a.csv",
    "a.aria2",
    "w.db-wal",
    "x/w.sqlite-shm",
    "w.db-journal",
]
DATA = [
    "a.csv",
    "a.csv.1",
    "party.jpg",
    "part",
    "tmp",
    "a.tmp.csv",
    "a.temperature",
    ".hidden",
    ".hidden.csv",
    "x.part.gz",
    "49130",
    "a-wal",
    "w.db",
    "a.db-wall",
    "a.log.old",
    "photo.Ab12C7",
    "DS_Store",
    "$a",
    "a#",
    "a.swap",
    "download.bin",
]


@pytest.mark.parametrize("name", TEMPORARY)
def test_a_name_of_an_unfinished_file(name: str):
    assert is_temporary(name)


@pytest.mark.parametrize("name", DATA)
def test_a_name_of_data(name: str):
    assert not is_temporary(name)


def world(folder: Path, **more: object) -> World:
    return World(str(folder), [{"dir": ".", **CONFIG_FILE_DEFAULTS["dir"], "on_change": True, "settle_secs": 0, **more}])


def test_a_found_temporary_file_is_left_out_its_final_name_sent(tmp_path: Path):
    (tmp_path / "before.part").write_text("half")
    one = world(tmp_path)
    assert one.round() == []
    (tmp_path / "photo.jpg.part").write_text("half")
    assert one.round() == []
    (tmp_path / "photo.jpg.part").rename(tmp_path / "photo.jpg")
    assert one.round() == [("photo.jpg", "new")]


def test_what_is_notified_is_sent_whatever_it_is_called(tmp_path: Path):
    one = world(tmp_path)
    one.quiet()
    one.write("a.part", b"whole")
    assert one.round() == []
    one.touch("a.part")
    assert one.round() == [("a.part", "notify")]


@pytest.mark.parametrize("more", [{"default_exclude": False}, {"include": ["*.part"]}, {"include": "*"}])
def test_a_config_can_have_them_sent(tmp_path: Path, more: dict[str, object]):
    one = world(tmp_path, **more)
    one.quiet()
    one.write("a.part", b"whole")
    assert one.round() == [("a.part", "new")]


def test_from_python_nothing_is_left_out_unless_it_is_asked_for(tmp_path: Path):
    plain, asked = read_entries([{"dir": str(tmp_path / "a")}, {"dir": str(tmp_path / "b"), "default_exclude": True}])
    assert not left_out(plain, "a.part")
    assert left_out(asked, "a.part")


def test_a_file_named_by_the_sign_alone_is_no_backup():
    assert not is_temporary("~") and is_temporary("a~") and is_temporary("day/a~")
