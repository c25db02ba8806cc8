"""Mistakes in a config, in the terms of its writer: file, line, key, and the expected value."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from ...common.config import MASK, Setting
from ...common.errors import ConfigError

_KINDS = {
    "str": "text",
    "int": "a whole number",
    "float": "a number with a fraction",
    "bool": "true or false",
    "list": "a list",
    "dict": "a table",
    "datetime": "a date",
    "date": "a date",
    "time": "a time of day",
}

_LONGEST_LIST = 200
"""A list of known settings that is longer, in characters, is replaced by a hint at 'pysubtask init'."""


class Where(NamedTuple):
    """Where a setting was written. ``place``: the path of a file, or the name of an environment variable; ``line``: the line in the
    file, counted from 1 (None: the file as a whole, or an environment variable)."""

    place: str
    line: int | None = None

    def __str__(self) -> str:
        return self.place if self.line is None else f"{self.place}:{self.line}"


class Problem(NamedTuple):
    """One mistake in a config. ``where`` it was written; ``key``: dotted, as ``ftp.Host`` ('' for the whole file); ``problem``:
    what is wrong, without a full stop; ``remedy``: what to do, as a sentence."""

    where: Where
    key: str
    problem: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.where}: {self.key + ': ' if self.key else ''}{self.problem}. {self.remedy}"


class ConfigProblems(ConfigError):
    """A config with mistakes, all of them in ``problems``; nothing was started or changed."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        first = self.problems[0]
        super().__init__(first.key, first.problem, first.remedy)
        count = "one problem" if len(self.problems) == 1 else f"{len(self.problems)} problems"
        self.args = ("\n  ".join([f"the config cannot be used ({count}):", *map(str, self.problems)]),)


def problem_of(where: Where, exc: ConfigError, *, key: str | None = None, value: Any = ...) -> Problem:
    """The problem for a ConfigError that the check of a setting has raised: its text names Python values, which are put into the
    words of a config file. ``key``: that of the error, unless given; ``value``: what was written (... : none, or a secret)."""
    problem = exc.problem
    found = re.fullmatch(r"(.*) is of type (\w+)", problem, re.DOTALL)
    if found:
        what = found[1] if value is ... or MASK in found[1] or found[1].endswith("it") else in_toml(value)
        problem = f"{what} is {_KINDS.get(found[2], 'of type ' + found[2])}"
    elif value is not ... and isinstance(value, (bool, str)):
        problem = problem.replace(repr(value), in_toml(value))
    remedy = in_file_words(exc.remedy)
    if remedy.startswith("Known here: ") and len(remedy) > _LONGEST_LIST:
        remedy = "No other setting of this section is nearly the same; 'pysubtask init -' shows them all."
    return Problem(where, exc.key if key is None else key, in_file_words(problem), remedy)


def in_toml(value: Any) -> str:
    """A value as it is written in a config file; None is the text "none"."""
    if value is None:
        return '"none"'
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(in_toml, value)) + "]"
    if isinstance(value, dict):
        return "{...}"
    return str(value)


def accepts(row: Setting) -> str:
    """The values that a setting accepts, in a few words: type, range, unit."""
    if row.choices:
        words = " or ".join(map(in_toml, row.choices))
    else:
        words = {bool: "true or false", int: "a whole number", float: "a number", str: "text", list: "a list of texts"}[row.kind]
    if row.low is not None:
        endless = row.high is None or row.high >= 2**60
        words += f", {row.low} or more" if endless else f", {row.low} to {row.high}"
    if row.unit:
        words += f" ({row.unit})"
    return words + (' or "none"' if row.optional else "")


def in_file_words(text: str) -> str:
    """A text about settings with Python's spelling of values and entries replaced by that of a config file."""
    text = re.sub(r"\{'(\w+)': path\}", r'\1 = "PATH"', text)
    text = re.sub(r"\{'dir': \.\.\., '(\w+)': \.\.\.\}", r'dir = "PATH" with \1', text)
    text = re.sub(r"'as': '([^']*)'", r'as = "\1"', text)
    text = re.sub(r"watchfilesdirs\[(\d+)\]", lambda found: f"watch[{int(found[1]) + 1}]", text)
    text = re.sub(r"\bTrue\b", "true", re.sub(r"\bFalse\b", "false", text))
    return re.sub(r"(?<![\w'\"])None\b(?=[\s,.;)]|$)", '"none"', text)
