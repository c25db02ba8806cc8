"""Whose a data file is, and what an app may notify by its path."""

from __future__ import annotations

import os

import pytest

from pysubtask.common.entries import Entry, read_entries
from pysubtask.common.errors import ConfigError
from pysubtask.common.watched import Dirs, Watched
from pysubtask.master.child_config import plan
from pysubtask.master.task_plan import closed_paths


def test_whose_a_file_is():
    flat, tree = Entry("dir", "/d"), Entry("dir", "/t", include=("*.csv",), exclude=("x/*",), recursive=True)
    inner, leaf = Entry("dir", "/t/own"), Entry("file", "/f/a")
    dirs = Dirs([leaf, flat, tree, inner], {"/t/bak", "/t/log.csv"})
    assert dirs.owner("/d/a") is flat and dirs.owner("/t/a.csv") is tree and dirs.owner("/t/y/z/a.csv") is tree
    assert dirs.owner("/t/own/a") is inner
    for path in ("/f/a", "/d/y/a", "/t/a", "/t/x/a.csv", "/t/own/y/a.csv", "/t/bak/a.csv", "/t/bak/y/a.csv", "/tt/a.csv", "/"):
        assert dirs.owner(path) is None, path
    for path in ("/t/.pysubtask/a.csv", "/t/y/.pysubtask/main/a.csv", "/d/a.notify", "/t/a.csv.hold", "/d/.a.part"):
        assert dirs.owner(path) is None, path
    assert dirs.covers("/t/x") is tree and dirs.covers("/t/own/y") is None and dirs.covers("/d/y") is None
    assert Dirs([Entry("dir", "/", recursive=True)]).owner("/a/b") is not None


@pytest.fixture
def watched(tmp_path) -> Watched:
    for name in ("flat/sub", "tree/a/b", "tree/own", "out"):
        (tmp_path / name).mkdir(parents=True)
    entries = [
        {"file": "tree/a/named.txt", "burstmode": True},
        {"dir": "flat", "include": "*.csv"},
        {"dir": "tree", "recursive": True, "exclude": ["*.txt", "cache/*"], "burstmode": True},
        {"dir": "tree/own"},
    ]
    return Watched(read_entries(entries, cwd=str(tmp_path)), {str(tmp_path / "tree" / "upload")})


@pytest.mark.parametrize(
    ("path", "bursts"),
    [
        ("tree/a/named.txt", True),
        ("flat/x.csv", False),
        ("tree/x", True),
        ("tree/a/b/x.csv", True),
        ("tree/not/there/yet", True),
        ("tree/own/x.txt", False),
    ],
)
def test_what_is_watched(watched, tmp_path, path, bursts):
    notify = watched.notify_of(str(tmp_path / path))
    assert notify == str(tmp_path / path) + ".notify"
    assert watched.bursts(notify) == bursts
    assert watched.has(str(tmp_path / path))


@pytest.mark.parametrize(
    "path",
    [
        "flat/x.txt",
        "flat/sub/x.csv",
        "tree/a/other.txt",
        "tree/cache/x",
        "tree/upload/x",
        "tree/own/sub/x",
        "tree/.pysubtask/x",
        "tree/a/x.notify",
        "tree/a/.x.part",
        "tree",
        "out/x",
        "/",
        "",
    ],
)
def test_what_is_not_watched(watched, tmp_path, path):
    assert watched.notify_of(os.path.join(tmp_path, path)) is None


def test_links(watched, tmp_path):
    (tmp_path / "link").symlink_to("tree")
    (tmp_path / "tree" / "inner").symlink_to("a")
    (tmp_path / "tree" / "escape").symlink_to("../out")
    (tmp_path / "tree" / "a" / "cache").symlink_to("../cache")
    (tmp_path / "tree" / "cache").mkdir()
    notify = str(tmp_path / "tree" / "a" / "x.notify")
    for path in ("tree/a/x", "link/a/x", "tree/inner/x", "link/inner/x"):
        assert watched.notify_of(str(tmp_path / path)) == notify, path
    for path in ("tree/escape/x", "link/escape/x", "tree/a/cache/x", "link/cache/x", "link/a/x.txt"):
        assert watched.notify_of(str(tmp_path / path)) is None, path


def test_what_is_left_out_inside_recursive_folders(tmp_path):
    entries = read_entries([{"dir": "t", "recursive": True}], cwd=str(tmp_path))
    first = str(tmp_path / "t")

    def closed(**base: object) -> tuple[str, ...]:
        return closed_paths(entries, [plan("base", "pysubtask.base", {"base": base}, first)], ["/logs/a.txt", "/logs/b.txt"])

    assert closed() == (f"{first}/upload", f"{first}/archive", "/logs/a.txt", "/logs/b.txt", "/logs")
    assert closed(BakToFolder=None, ArchiveToFolder=None) == ("/logs/a.txt", "/logs/b.txt", "/logs")
    with pytest.raises(ConfigError, match=r"base\.ArchiveToFolder"):
        closed(ArchiveToFolder=".")
