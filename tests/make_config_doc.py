"""The generated parts of docs/config.md: ``python -m tests.make_config_doc`` rewrites them.

A part stands between ``<!-- made: NAME -->`` and ``<!-- end -->``.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from pysubtask.common.config import Setting
from pysubtask.defaults_config import SETTINGS
from pysubtask.subtask.command import make_parser

PAGE = Path(__file__).resolve().parent.parent / "docs" / "config.md"
COMMAND = "python -m tests.make_config_doc"

_PART = re.compile(r"(<!-- made: ([a-z_ ]+) -->\n).*?(<!-- end -->)", re.DOTALL)
_KINDS = {bool: "`True` or `False`", int: "whole number", float: "number", str: "text", list: "list of texts"}


_ENDLESS = 2**60


def _cell(text: str) -> str:
    text = text.replace("|", "\\|")
    # Outside of code, a page shows <name> as nothing at all.
    return text if text.startswith("`") else text.replace("<", "&lt;")


def _range(row: Setting) -> str:
    if row.choices:
        words = " or ".join(f"`{word!r}`" for word in row.choices)
    else:
        words = _KINDS[row.kind]
        if row.low is not None and row.high is not None and row.high < _ENDLESS:
            words += f", {row.low} to {row.high}"
        elif row.low is not None:
            words += f", {row.low} or more"
        if row.unit:
            words += f" ({row.unit})"
    return words + (" or `None`" if row.optional else "")


def settings_table(section: str) -> str:
    """One section as a table."""
    lines = ["| setting | default | takes | live | meaning |", "|---|---|---|---|---|"]
    for row in SETTINGS[section]:
        meaning = row.meaning + (" **Secret.**" if row.secret else "")
        cells = [f"`{row.key}`", f"`{row.default!r}`", _range(row), "yes" if row.live else "", meaning]
        lines.append("| " + " | ".join(map(_cell, cells)) + " |")
    return "\n".join(lines) + "\n"


def flags_table(extension: str) -> str:
    """The options of one child's command line as a table."""
    lines = ["| option | sets | meaning |", "|---|---|---|"]
    for action in make_parser(extension)._actions:
        if action.help == argparse.SUPPRESS:
            continue
        shown = ", ".join(f"`{flag}`" for flag in action.option_strings)
        metavar = action.metavar if isinstance(action.metavar, str) else ""
        if metavar:
            shown += f" {metavar}" + (" ..." if action.nargs == "+" else "")
        sets = f"`{action.dest}`" if action.dest[0].isupper() else ""
        lines.append("| " + " | ".join(map(_cell, (shown, sets, action.help or ""))) + " |")
    return "\n".join(lines) + "\n"


def part(name: str) -> str:
    """The text of one part by its name: 'settings base', 'flags ftp' and so on. KeyError for any other."""
    kind, _, which = name.partition(" ")
    return {"settings": settings_table, "flags": flags_table}[kind](which)


def rewritten(text: str) -> str:
    """The page with every generated part as it has to be."""
    return _PART.sub(lambda found: found[1] + part(found[2]) + found[3], text)


def parts(text: str) -> list[str]:
    """The names of the generated parts of a page."""
    return [found[2] for found in _PART.finditer(text)]


if __name__ == "__main__":
    PAGE.write_text(rewritten(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
