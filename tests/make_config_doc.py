"""The generated parts of docs/config.md and docs/commands.md: ``python -m tests.make_config_doc`` rewrites them.

A part stands between ``<!-- made: NAME -->`` and ``<!-- end -->``.
"""

from __future__ import annotations

import argparse
import inspect
import re
from importlib import import_module
from pathlib import Path

import click

from pysubtask.common.config import Setting
from pysubtask.control import commands as package
from pysubtask.control.cli import commands
from pysubtask.control.exit_status import MEANINGS
from pysubtask.defaults_config import SETTINGS
from pysubtask.subtask.engine.cli import make_parser

DOCS = Path(__file__).resolve().parent.parent / "docs"
PAGES = ("config.md", "commands.md")
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
        option = ", ".join(f"`{flag}`" for flag in action.option_strings)
        metavar = action.metavar if isinstance(action.metavar, str) else ""
        if metavar:
            option += f" {metavar}" + (" ..." if action.nargs == "+" else "")
        sets = f"`{action.dest}`" if action.dest[0].isupper() else ""
        lines.append("| " + " | ".join(map(_cell, (option, sets, action.help or ""))) + " |")
    return "\n".join(lines) + "\n"


def command_named(name: str) -> click.Command:
    """A command of the command line."""
    found = import_module(f".{name}", package.__name__).command
    assert isinstance(found, click.Command)
    return found


def options_of(command: click.Command) -> list[tuple[str, str]]:
    """(how it is written, what it does) for each option."""
    found = []
    for option in command.params:
        if isinstance(option, click.Option):
            names = ", ".join(f"`{name}`" for name in [*option.opts, *option.secondary_opts])
            value = "" if option.is_flag else f" {option.make_metavar(click.Context(command))}"
            found.append((names + value, option.help or ""))
    return found


def command_part(name: str) -> str:
    """One command: how it is called, what it does, its options, examples."""
    command = command_named(name)
    usage = " ".join(command.collect_usage_pieces(click.Context(command)))
    lines = ["```text", f"pysubtask {name} {usage}".rstrip(), "```", ""]
    examples: list[str] = []
    for paragraph in re.split(r"\n\s*\n", inspect.cleandoc(command.help or "")):
        if paragraph.startswith("\b"):
            examples += [line.strip() for line in paragraph.removeprefix("\b").strip("\n").splitlines()]
        else:
            lines += [_prose(paragraph), ""]
    if options := options_of(command):
        rows = [f"| {_cell(names)} | {_cell(meaning)} |" for names, meaning in options]
        lines += ["| option | meaning |", "|---|---|", *rows, ""]
    return "\n".join([*lines, "```text", *examples, "```"]) + "\n"


def _prose(text: str) -> str:
    return "\n".join(line.strip() for line in text.splitlines()).replace("<", "&lt;").replace("*", "\\*")


def list_part(which: str) -> str:
    """All commands, or all exit statuses, as a table."""
    if which == "commands":
        rows = [f"| [`{name}`](#{name}) | {_cell(command_named(name).short_help or '')} |" for name in commands()]
        return "\n".join(["| command | |", "|---|---|", *rows]) + "\n"
    return "\n".join(["| status | meaning |", "|---|---|", *(f"| {at} | {_cell(text)} |" for at, text in MEANINGS.items())]) + "\n"


def part(name: str) -> str:
    """The text of one part by its name: 'settings base', 'flags ftp', 'command push' and so on. KeyError for any other."""
    kind, _, which = name.partition(" ")
    return {"settings": settings_table, "flags": flags_table, "command": command_part, "list": list_part}[kind](which)


def rewritten(text: str) -> str:
    """The page with every generated part as it has to be."""
    return _PART.sub(lambda found: found[1] + part(found[2]) + found[3], text)


def parts(text: str) -> list[str]:
    """The names of the generated parts of a page."""
    return [found[2] for found in _PART.finditer(text)]


if __name__ == "__main__":
    for page in PAGES:
        (DOCS / page).write_text(rewritten((DOCS / page).read_text(encoding="utf-8")), encoding="utf-8")
