"""What the command prints: one function for all of it, through which nothing foreign steers a terminal or tells a secret."""

from __future__ import annotations

import ast
import io
import os
import sys
from pathlib import Path

import click
import pytest

import pysubtask.control
from pysubtask.common.errors import ConfigError
from pysubtask.common.redact import MASK, know
from pysubtask.control import cli
from pysubtask.control.terminal import colour, say
from pysubtask.testing.servers.hostile_sftp import WORDS

_CONTROL = Path(pysubtask.control.__file__).parent
_PRINTERS = {"echo", "secho", "echo_via_pager", "print", "pprint", "style", "confirm", "prompt", "progressbar"}


def prints(tree: ast.AST) -> list[int]:
    """The lines that print something that is not written down there."""
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        function = node.func
        name = function.attr if isinstance(function, ast.Attribute) else function.id if isinstance(function, ast.Name) else ""
        owner = ast.unparse(function.value) if isinstance(function, ast.Attribute) else ""
        fixed = all(isinstance(one, ast.Constant) or ast.unparse(one).startswith(("plain(", "safe(")) for one in node.args)
        if (name in _PRINTERS and owner.rpartition(".")[2] in ("", "click", "console") and not fixed) or (
            name in ("write", "writelines") and owner in ("sys.stdout", "sys.stderr", "sys.__stdout__", "sys.stdout.buffer")
        ):
            found.append(node.lineno)
    return found


def test_the_search_finds_what_prints():
    for line in (
        "click.echo(name)",
        "print(f'{x}')",
        "click.secho(x, fg='red')",
        "sys.stderr.write(x)",
        "print('a', x)",
        "echo(x)",
        "self._bars.console.print(x)",
        "click.prompt(f'{x}')",
    ):
        assert prints(ast.parse(line)), line
    for line in (
        "click.echo('fixed')",
        "print('fixed', file=sys.stderr)",
        "say([x])",
        "file.write(x)",
        "self._console.log(x)",
        "console.print(safe(x, sys.stderr))",
        "click.prompt(plain(x), default=y)",
    ):
        assert not prints(ast.parse(line)), line


def test_nothing_but_terminal_prints_what_is_foreign():
    found = {}
    for path in sorted(_CONTROL.rglob("*.py")):
        if path != _CONTROL / "terminal.py" and (lines := prints(ast.parse(path.read_text(encoding="utf-8")))):
            found[str(path.relative_to(_CONTROL))] = lines
    assert not found, f"these print by themselves: {found}. Call terminal.say"


@pytest.mark.parametrize("error", [False, True])
@pytest.mark.parametrize(
    "sign", ["\n", "\r", "\x1b[2J", "\x1b]0;T\x07", "\x9b2J", "\u202e", "\u2028", "\x0c", "\x85", "\udcff", "\x00"]
)
def test_a_line_is_one_line_and_steers_nothing(sign, error, capsys):
    say([f"a{sign}b.csv", WORDS], error=error)
    out, err = capsys.readouterr()
    assert (out if error else err) == ""
    lines = (err if error else out).split("\n")
    assert len(lines) == 3 and lines[2] == ""
    assert all(line.isprintable() for line in lines)


def test_colours_of_ours_pass_and_those_of_a_name_do_not(monkeypatch, capsys):
    line = colour("main/ftp  idle  \x1b[31mred\x1b[0m\x1b[2J")
    say([line])
    output = capsys.readouterr().out
    assert "\\x1b[31mred\\x1b[0m\\x1b[2J" in output and "\x1b[2J" not in output
    if os.environ.get("NO_COLOR") is None:
        assert click.style("idle", fg="green") in line
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stdout", stream)
    say(["x\x1b[2J"], fg="red", dim=True)
    assert "\x1b[2J" not in stream.getvalue()


def test_what_the_encoding_lacks_is_escaped(monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    say(["grün ✓"])
    sys.stdout.flush()
    assert raw.getvalue() == b"gr\\xfcn \\u2713\n"


def test_an_error_has_no_secrets_and_no_control_characters(capsys):
    know(["hunter2-x"])
    assert cli._failed(ConfigError("ftp.Host", "\x1b]0;T\x07 with hunter2-x", "Mend it.")) == 2
    errors = capsys.readouterr().err
    assert MASK in errors and "hunter2" not in errors and "\x1b" not in errors
    assert cli._failed(ValueError("hunter2-x\nb")) == 1
    errors = capsys.readouterr().err
    assert "hunter2" not in errors and errors.count("\n") == 2


def test_a_wrong_name_on_the_command_line_steers_nothing(capsys):
    assert cli.main(["stat\x1b[2Jus\u202e"]) == 2
    errors = capsys.readouterr().err
    assert "\x1b" not in errors and "\u202e" not in errors and "\\x1b[2J" in errors
