"""The types of all settings, from the table of settings: ``python -m tests.make_settings_types`` writes them."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable
from pathlib import Path

import pysubtask
from pysubtask.common.config import CommandSetting, Setting
from pysubtask.defaults_config import SETTINGS

FOLDER = Path(pysubtask.__file__).parent / "common"
COMMAND = "python -m tests.make_settings_types"
_NAMES = {
    "base": "BaseSettings",
    "burst_mode": "BurstSettings",
    "ftp": "FTPSettings",
    "dropbox": "DropboxSettings",
    "alerts": "AlertSettings",
}
_HEAD = '''"""{title}. Made from ``defaults_config`` by ``{command}``.

{text} No app loads this unless it asks for it.
"""

from typing import Literal, TypedDict
'''
_TEXT = """For a config that is made of dicts: ``ftp: FTPSettings = {'Host': 'files.example.org'}``. Every setting of ``base`` may
also stand in ``ftp`` and ``dropbox``. docs/config.md has the defaults, too."""
_REST = """
from .any_settings_types import AnySettings as AnySettings
from .section_attributes_types import SectionAttributes as SectionAttributes
"""
_MEANINGS = {
    "base": "Section ``base``: every child.",
    "burst_mode": "Section ``burst_mode``: when the master holds notifies back.",
    "ftp": "Section ``ftp``: SFTP, FTP and FTPS; also all of ``base``.",
    "dropbox": "Section ``dropbox``; also all of ``base``.",
    "alerts": "Section ``alerts``: the program that is run when a task is held, has parked files, lacks disk or is silent.",
}


def kind_of(row: Setting) -> str:
    """The type of a setting, as it is written in Python."""
    if row.choices:
        word = f"Literal[{', '.join(map(repr, row.choices))}]".replace("'", '"')
    else:
        word = "list[str]" if row.kind is list else row.kind.__name__
    if isinstance(row, CommandSetting):
        word = f"str | {word}"  # it is split as a shell does
    return f"{word} | None" if row.optional else word


def meaning_of(row: Setting, *, short: bool = False) -> str:
    """What a setting means, with its unit, as a docstring below the field; ``short``: the first sentence alone."""
    text = re.split(r"(?<=\.) ", row.meaning, maxsplit=1)[0] if short else row.meaning
    text = (text + (f" Unit: {row.unit}." if row.unit else "")).replace("\\", "\\\\")
    lines = textwrap.wrap(text, 120, initial_indent='    """', subsequent_indent="    ", break_on_hyphens=False)
    return "\n".join(lines) + '"""'


def _fields(rows: Iterable[Setting], *, short: bool = False) -> list[str]:
    return [line for row in rows for line in (f"    {row.key}: {kind_of(row)}", meaning_of(row, short=short))]


def _dict(name: str, meaning: str, base: str, rows: Iterable[Setting], *, short: bool = False) -> str:
    return "\n".join([f"class {name}({base}, total=False):", f'    """{meaning}"""', "", *_fields(rows, short=short)])


def every() -> dict[str, Setting]:
    """Each setting of any section, by its name; in two sections it has one type."""
    found: dict[str, Setting] = {}
    for rows in SETTINGS.values():
        for row in rows:
            if kind_of(found.setdefault(row.key, row)) != kind_of(row):
                raise ValueError(f"{row.key} has two types: {kind_of(found[row.key])} and {kind_of(row)}")
    return found


def _module(title: str, text: str, *classes: str, rest: str = "") -> str:
    head = _HEAD.format(title=title, command=COMMAND, text=text) + rest
    return "\n\n\n".join([head.rstrip("\n"), *classes]) + "\n"


def _sections() -> str:
    """The module with a class for each section, and one for what a running child takes."""
    classes = []
    base = {row.key for row in SETTINGS["base"]}
    for section, rows in SETTINGS.items():
        inherits = section in ("ftp", "dropbox")
        own = [row for row in rows if not (inherits and row.key in base)]
        classes.append(_dict(_NAMES[section], _MEANINGS[section], _NAMES["base"] if inherits else "TypedDict", own))
    live: dict[str, Setting] = {}
    for row in (row for rows in SETTINGS.values() for row in rows if row.live):
        live.setdefault(row.key, row)
    meaning = "What a running child takes anew: ``master.set(RateLimit=50_000)``."
    classes.append(_dict("LiveSettings", meaning, "TypedDict", live.values(), short=True))
    return _module("What each setting takes, for type checkers", _TEXT, *classes, rest=_REST)


def _any() -> str:
    """The module of the class with every setting."""
    meaning = "Every setting of any section: what ``Section(...)`` takes."
    title = "The settings of all sections in one, for type checkers"
    return _module(
        title, "docs/config.md has the defaults, too.", _dict("AnySettings", meaning, "TypedDict", every().values(), short=True)
    )


def _attributes() -> str:
    """The module of the class with every setting as an attribute."""
    meaning = '    """The attributes of a ``Section``, for type checkers alone."""'
    attributes = "\n".join(["class SectionAttributes:", meaning, "", *_fields(every().values(), short=True)])
    text = _module("The attributes of a section, for type checkers", "docs/config.md has the defaults, too.", attributes)
    return text.replace("from typing import Literal, TypedDict", "from typing import Literal")


def texts() -> dict[Path, str]:
    """Each module that is made, by its path."""
    return {
        FOLDER / "settings_types.py": _sections(),
        FOLDER / "any_settings_types.py": _any(),
        FOLDER / "section_attributes_types.py": _attributes(),
    }


if __name__ == "__main__":
    for path, text in texts().items():
        path.write_text(text, encoding="utf-8")
