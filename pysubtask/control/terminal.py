"""Onto the terminal, or wherever the output goes: the only place of this package that prints, so that nothing foreign is printed as
it is. Names of files and words of servers come from anywhere."""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import click

from ..common.plain import plain
from ..common.redact import redacted

_COLOURS = {
    "sending": "green",
    "idle": "green",
    "resting": "green",
    "connecting": "yellow",
    "starting": "yellow",
    "waiting": "yellow",
    "stopping": "yellow",
    "paused": "yellow",
    "held": "red",
    "dead": "red",
    "frozen": "red",
    "failed": "red",
    "stalled": "red",
    "disk low": "red",
    "missing": "red",
    "unreadable": "red",
    "parked": "red",
}
_STATE = re.compile(rf" ({'|'.join(_COLOURS)}) ")


def width() -> int:
    """Of the terminal, or 80; ``COLUMNS`` says otherwise."""
    import shutil

    return max(40, shutil.get_terminal_size((80, 24)).columns)


def line_width(*, unlimited: bool = False) -> int:
    """Of a line that is cut or wrapped on a terminal: there its width. Elsewhere, and where that is wanted, no line has an end."""
    return sys.maxsize if unlimited or not sys.stdout.isatty() else width()


def height() -> int:
    """Of the terminal, or 24; ``LINES`` says otherwise."""
    import shutil

    return max(5, shutil.get_terminal_size((80, 24)).lines)


def live() -> bool:
    """Whether the output is a terminal on which a picture can be drawn again and again."""
    return sys.stdout.isatty() and os.environ.get("TERM", "") not in ("", "dumb")


@contextlib.contextmanager
def screen() -> Iterator[Callable[[Iterable[str]], None]]:
    """A screen of its own (ECMA-48 and the alternate one of xterm); what was there is back at the end. The function draws
    lines, each of which must fit."""

    def show(lines: Iterable[str]) -> None:
        text = _encodable("\x1b[K\r\n".join(map(_escaped, lines)), sys.stdout)
        sys.stdout.write(f"\x1b[H{text}\x1b[K\x1b[J")
        sys.stdout.flush()

    sys.stdout.write("\x1b[?1049h\x1b[?25l")
    try:
        yield show
    finally:
        sys.stdout.write("\x1b[?25h\x1b[?1049l")
        sys.stdout.flush()


def coloured() -> bool:
    """Whether colours are wanted: on a terminal, unless NO_COLOR is set (no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


class _Painted(str):
    """A line with colours of ours, made of one that is safe to show."""

    __slots__ = ()


def colour(line: str) -> str:
    """The state of a task in the table stands out."""
    line = plain(line)
    if line.startswith(" "):
        return line
    return _Painted(_STATE.sub(lambda found: f" {click.style(found[1], fg=_COLOURS[found[1]])} ", line, count=1))


def say(lines: Iterable[str], *, error: bool = False, fg: str | None = None, dim: bool = False) -> None:
    """Print lines, with ``error`` to stderr. What would steer a terminal or forge a line becomes an escape, and so does what the
    output's encoding lacks; a secret that is known here is masked on stderr. ``fg``, ``dim``: how they look on a terminal."""
    stream = sys.stderr if error else sys.stdout
    for line in lines:
        text = safe(redacted(line) if error else line, stream)
        click.echo(click.style(text, fg=fg, dim=dim) if fg or dim else text, err=error)


def safe(line: str, stream: Any) -> str:
    """A line as ``say`` shows it on this stream, for whoever draws by other means."""
    return _encodable(_escaped(line), stream)


def _escaped(line: str) -> str:
    return line if isinstance(line, _Painted) else plain(line)


def _encodable(text: str, stream: Any) -> str:
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def say_json(found: Any) -> None:
    """Print one line of JSON, in plain ASCII, at once."""
    click.echo(json.dumps(found))
    sys.stdout.flush()
