"""Whose a data file is, by its path alone."""

from pysubtask.common.dirs import Dirs
from pysubtask.common.entries import Entry


def test_whose_a_file_is() -> None:
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
