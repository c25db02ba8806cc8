"""Words for a terminal: whatever a file is called, it cannot steer the terminal nor break a table."""

from __future__ import annotations

import os
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pysubtask.common.text import amount, bar, cells, clock, fit, pad, plain, seconds, share, span, table, wrapped

NAMES = st.text(max_size=60) | st.binary(max_size=40).map(os.fsdecode)


@pytest.mark.slow
@given(NAMES)
@example("a\x1b]0;owned\x07b\u202egnp.exe")
def test_nothing_that_steers_a_terminal_gets_through(name):
    text = plain(name)
    assert all(unicodedata.category(character)[0] != "C" for character in text)
    text.encode("utf-8")


@given(NAMES, st.integers(1, 50))
def test_a_text_fits_into_its_cells(name, width):
    assert cells(fit(name, width)) <= width
    assert cells(pad(name, width)) == width
    assert all(cells(line) <= max(width, 6) for line in wrapped(name, max(width, 6), " ", "  "))


@given(st.lists(st.tuples(NAMES, NAMES), min_size=1, max_size=4), st.integers(20, 60))
def test_a_table_keeps_to_its_width(rows, width):
    assert all(cells(line) <= width for line in table(["NAME", "WHY"], rows, width, give=1))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain.csv", "plain.csv"),
        ("two\nlines\t", "two\\x0alines\\x09"),
        (os.fsdecode(b"\xff\xfe.csv"), "\\xff\\xfe.csv"),
        ("\x1b[31mred\x9b", "\\x1b[31mred\\x9b"),
        ("gpj.\u202eexe", "gpj.\\u202eexe"),
        ("Größe 図.csv", "Größe 図.csv"),
    ],
)
def test_plain(text, expected):
    assert plain(text) == expected


def test_widths():
    assert (cells("図形"), cells("e\u0301"), cells("abc")) == (4, 1, 3)
    assert fit("a_long_name_of_a_file.csv", 12) == "a_long…e.csv"
    assert fit("図図図図図図", 6) == "図…図"
    assert wrapped("one two three", 9, "  ", "    ") == ["  one two", "    three"]
    assert wrapped("x" * 12, 6) == ["xxxxxx", "xxxxxx"]


def test_numbers():
    counts = (None, 0, 999, 1500, 123_456, 5_000_000_000)
    assert [amount(count) for count in counts] == ["-", "0 B", "999 B", "1.5 KB", "123 KB", "5.0 GB"]
    assert [span(secs) for secs in (None, -5, 59, 120, 3600 * 5, 86400 * 9)] == ["-", "0 s", "59 s", "2 min", "5.0 h", "9 d"]
    assert [share(done, 1000) for done in (0, 455, 999, 1000)] == ["0%", "45%", "99%", "100%"]
    assert share(0, 0) == "100%"
    assert (bar(0, 10, 4), bar(5, 10, 4), bar(10, 10, 4), bar(0, 0, 2)) == ("░░░░", "██░░", "████", "██")
    assert seconds("1970-01-01T00:01:00.500Z") == 60.5
    assert [seconds(at) for at in (None, "", "yesterday", 7)] == [None] * 4
    assert clock(None, 0.0) == "-" and clock(0.0, 1e9).startswith("19")
