"""How a config file in TOML spells what Python spells otherwise: values, types, watch entries."""

from __future__ import annotations

import json
import re
from typing import Any

from ...common.config import Setting
from ...common.problem import PYTHON, Spelling

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


def _example(content: tuple[str, str]) -> str:
    kind, key = content
    return f'{kind} = "PATH"' + (f" with {key}" if key else "")


def _known(names: tuple[str, ...]) -> str:
    text = PYTHON["known"](names)
    hint = "No other setting of this section is nearly the same; 'pysubtask init -' shows them all."
    return text if len(text) <= _LONGEST_LIST else hint


TOML: Spelling = {
    "value": in_toml,
    "type": lambda name: _KINDS.get(name, f"of type {name}"),
    "pair": lambda content: f"{content[0]} = {in_toml(content[1])}",
    "entry": lambda index: f"watch[{index + 1}]",
    "example": _example,
    "known": _known,
}
"""The spelling of the texts of :mod:`pysubtask.common.problem`."""


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
    """Prose for users of both kinds of config (a setting's meaning, a remedy of the doctor) with TOML's names of values."""
    text = re.sub(r"\bTrue\b", "true", re.sub(r"\bFalse\b", "false", text))
    return re.sub(r"(?<![\w'\"])None\b(?=[\s,.;)]|$)", '"none"', text)
