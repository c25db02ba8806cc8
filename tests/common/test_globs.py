"""File name patterns, and which files they let through."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pysubtask.common.entries import Entry, selects
from pysubtask.common.globs import match_all_in


@pytest.mark.parametrize(
    ("include", "exclude", "through", "stopped"),
    [
        ((), (), ["a", "x/y/a", ".hidden"], []),
        (("*.csv",), (), ["a.csv", "x/y/a.csv", ".csv"], ["a.CSV", "a.csv.gz", "csv", "a.csv/b"]),
        ((), ("*.tmp",), ["a", "a.tmp2"], ["a.tmp", "x/y/a.tmp"]),
        (("*.csv", "*.xml"), ("old*",), ["a.csv", "x/a.xml", "x/bold.csv"], ["old.csv", "x/old.csv", "older/a.csv", "a.txt"]),
        (("*",), ("*",), [], ["a", "x/a"]),
        (("raw/*",), ("raw/*/*",), ["raw/a", "raw/.b"], ["a", "x/raw/a", "raw/x/a", "raw"]),
        (("**/*.csv",), (), ["a.csv", "x/a.csv", "x/y/a.csv"], ["a.txt"]),
        (("a/**/b",), (), ["a/b", "a/x/b", "a/x/y/b"], ["b", "a/x/c", "xa/b"]),
        (("[ab]?.csv",), (), ["a1.csv", "x/b2.csv"], ["c1.csv", "a.csv"]),
        (("[!a]*",), (), ["b", "x/b", "a/b"], ["a", "a/a"]),
        (("a\nb", "\udcff*"), (), ["a\nb", "\udcff\n"], ["ab"]),
        (("a.b+c(d)|e",), (), ["a.b+c(d)|e"], ["aXb+c(d)|e", "e"]),
    ],
)
def test_which_files_of_a_folder_count(include, exclude, through, stopped):
    entry = Entry("dir", "/x", include=include, exclude=exclude)
    assert [name for name in through if not selects(entry, name)] == []
    assert [name for name in stopped if selects(entry, name)] == []


def test_patterns_that_leave_out_a_whole_folder():
    assert match_all_in(("cache/*",), "cache") and match_all_in(("cache/*",), "cache/deep")
    assert match_all_in(("*.csv", "cac*"), "cache") and match_all_in(("**/cache/*",), "x/cache")
    for pattern in ("cache", "cache/*.csv", "x/cache/*", "cache/?", "*/cache", "[*]"):
        assert not match_all_in((pattern,), "cache"), pattern


_pieces = st.lists(st.sampled_from(["*", "?", "/", "a", "b", "ab", ".x", "**/", "[ab]", "[!b]"]), min_size=1, max_size=5)


@given(_pieces.map("".join), st.lists(st.sampled_from(["a", "b", "ab", "b.x"]), min_size=2, max_size=4))
def test_what_leaves_out_a_folder_leaves_out_every_file_in_it(pattern, parts):
    entry = Entry("dir", "/x", exclude=(pattern,))
    if match_all_in(entry.exclude, "/".join(parts[:-1])):
        assert not selects(entry, "/".join(parts))
