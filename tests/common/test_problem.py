"""The record of one thing that is wrong, and what collects such records."""

from __future__ import annotations

import pytest

from pysubtask.common.errors import ConfigError
from pysubtask.common.problem import (
    NOT_GIVEN,
    Problems,
    entry_at,
    entry_of,
    joined,
    key_of,
    known_keys,
    pair,
    path_of,
    spelt,
    type_of,
    written,
)
from pysubtask.control.config.toml_words import TOML


@pytest.mark.parametrize(
    ("part", "python", "toml"),
    [
        (spelt(None), "None", '"none"'),
        (spelt(True), "True", "true"),
        (spelt("a'b"), '"a\'b"', '"a\'b"'),
        (spelt(["a", 1.5]), "['a', 1.5]", '["a", 1.5]'),
        (type_of("x"), "of type str", "text"),
        (type_of({}), "of type dict", "a table"),
        (type_of(b""), "of type bytes", "of type bytes"),
        (pair("as", "x/y"), "'as': 'x/y'", 'as = "x/y"'),
        (entry_at(0), "watchfilesdirs[0]", "watch[1]"),
        (entry_of("dir"), "{'dir': path}", 'dir = "PATH"'),
        (entry_of("dir", "include"), "{'dir': ..., 'include': ...}", 'dir = "PATH" with include'),
        (known_keys(("a", "b")), "Known here: a, b.", "Known here: a, b."),
    ],
)
def test_a_part_is_written_as_the_front_end_has_it(part, python, toml):
    text = joined("it is ", (part, "."), "")
    assert written(text) == f"it is {python}."
    assert written(text, TOML) == f"it is {toml}."


def test_a_plain_text_stays_as_it_is():
    text = "{'file': path} is None, or watchfilesdirs[0] True"
    assert written(text) == written(text, TOML) == text


@pytest.mark.parametrize(
    ("key", "path"), [("ftp.Host", ("ftp", "Host")), ("config", ("config",)), ("/etc/x.toml", ("/etc/x.toml",)), ("-w", ("-w",))]
)
def test_a_dotted_key_has_parts_and_anything_else_is_one(key, path):
    assert path_of(key) == path
    assert key_of(path) == key


def test_an_entry_is_counted_as_its_reader_counts():
    path = ("tasks", "roof", "watch", 0, "as")
    assert (key_of(path), key_of(path, 1), key_of(())) == ("tasks.roof.watch[0].as", "tasks.roof.watch[1].as", "")


def test_an_error_for_one_problem_is_what_it_was():
    error = ConfigError("ftp.Host", "it is not set", "Give it.")
    assert (error.key, error.problem, error.remedy) == ("ftp.Host", "it is not set", "Give it.")
    assert str(error) == "ftp.Host: it is not set. Give it." == error.lines()[0]
    (one,) = error.problems
    assert (one.path, one.given, one.key) == (("ftp", "Host"), NOT_GIVEN, "ftp.Host")


def test_problems_are_collected_for_each_setting_the_first_one():
    found = Problems(doubtful=[("ftp", "User")])
    with found:
        raise ConfigError("ftp.Host", "first", "Do it.")
    found.add("ftp.Host", "second", "Do it.")
    found.add("ftp.User", "known before", "Do it.")
    assert found.result(7, lambda: 8) == 8

    def wrong() -> int:
        raise ConfigError.of([*ConfigError("a", "x", "Do.").problems, *ConfigError("b.c", "y", "Do.").problems])

    assert found.result(7, wrong) == 7
    assert [one.problem for one in found.found] == ["first", "x", "y"]
    assert found.doubts("ftp", "User") and found.doubts("b", "c") and not found.doubts("b", "d")
    with pytest.raises(ConfigError, match=r"^ftp\.Host: first\. Do it\.$") as caught:
        found.raise_all()
    assert [one.key for one in caught.value.problems] == ["ftp.Host", "a", "b.c"]
    Problems().raise_all()


def test_another_error_is_not_taken():
    found = Problems()
    with pytest.raises(ZeroDivisionError), found:
        raise ZeroDivisionError
    assert found.found == []


def test_a_section_that_is_not_known_makes_others_doubtful():
    for key in ("ftpp", "config.ftpp"):
        found = Problems()
        found.add(key, "this section is not known", "Did you mean 'ftp'?")
        assert found.doubts_a_section()
    found = Problems()
    found.add("watchfilesdirs", "it is empty", "Name one.")
    found.add("ftp.Host", "it is not set", "Give it.")
    assert not found.doubts_a_section()
