"""Output to the terminal, or to the file or pipe in its place. No other module of this package prints, so that every line is
escaped here: file names and the texts of servers may hold control characters."""

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
from ..common.text import fit

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
    """The width of the terminal in columns (80 where there is none), or that of ``COLUMNS``; 40 at least."""
    import shutil

    return max(40, shutil.get_terminal_size((80, 24)).columns)


def line_width(*, unlimited: bool = False) -> int:
    """The width at which lines are cut or wrapped: that of a terminal, and no limit for a file, a pipe, or with ``unlimited``."""
    return sys.maxsize if unlimited or not sys.stdout.isatty() else width()


def height() -> int:
    """The height of the terminal in lines (24 where there is none), or that of ``LINES``; 5 at least."""
    import shutil

    return max(5, shutil.get_terminal_size((80, 24)).lines)


def live() -> bool:
    """Whether the output is a terminal that can be redrawn: one that knows escape sequences."""
    return sys.stdout.isatty() and os.environ.get("TERM", "") not in ("", "dumb")


@contextlib.contextmanager
def screen() -> Iterator[Callable[[Iterable[str]], None]]:
    """Switch to the alternate screen of xterm and back at the end, with the cursor hidden (sequences of ECMA-48).

    The function that is yielded redraws the screen with lines, none of which may be wider than the terminal.
    """

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


class Footer:
    """Lines below the output on a terminal that are redrawn in their place, on stderr (sequences of ECMA-48)."""

    def __init__(self) -> None:
        self._count = 0

    def show(self, lines: Iterable[str]) -> None:
        """Redraw with these lines, each cut to the width of the terminal; those that have no room are counted in the last."""
        fitting, room = list(lines), height() - 1
        if len(fitting) > room:
            fitting = [*fitting[: room - 1], f"... {len(fitting) - room + 1} more"]
        texts = [_encodable(fit(plain(line), width() - 1), sys.stderr) for line in fitting]
        self.clear()
        sys.stderr.write("\r\n".join(texts))
        sys.stderr.flush()
        self._count = len(texts)

    def clear(self) -> None:
        """Erase the lines; the cursor is where the first one began."""
        if self._count:
            sys.stderr.write("\r\x1b[K" + "\x1b[A\x1b[K" * (self._count - 1))
            sys.stderr.flush()
            self._count = 0


def coloured() -> bool:
    """Whether lines are coloured: on a terminal, unless NO_COLOR is set (no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


class _Painted(str):
    """A line that is escaped already and has colour sequences of this module in it, so that it is not escaped again."""

    __slots__ = ()


def colour(line: str) -> str:
    """A line of the status table with the state of its task coloured; an indented line has no state and stays plain."""
    line = plain(line)
    if line.startswith(" "):
        return line
    return _Painted(_STATE.sub(lambda found: f" {click.style(found[1], fg=_COLOURS[found[1]])} ", line, count=1))


def say(lines: Iterable[str], *, error: bool = False, fg: str | None = None, dim: bool = False) -> None:
    """Print lines, with ``error`` to stderr. Control characters and line breaks inside a line are escaped, and so are characters
    that the encoding of the output lacks; secrets that this process knows are masked on stderr. ``fg``, ``dim``: colour and
    brightness on a terminal."""
    stream = sys.stderr if error else sys.stdout
    for line in lines:
        text = safe(redacted(line) if error else line, stream)
        click.echo(click.style(text, fg=fg, dim=dim) if fg or dim else text, err=error)


def safe(line: str, stream: Any) -> str:
    """A line as ``say`` prints it on this stream, for a caller that writes to the stream itself."""
    return _encodable(_escaped(line), stream)


def _escaped(line: str) -> str:
    return line if isinstance(line, _Painted) else plain(line)


def _encodable(text: str, stream: Any) -> str:
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def say_json(found: Any) -> None:
    """Print one line of JSON, in ASCII, and flush it: a script that follows must see each line when it is written."""
    click.echo(json.dumps(found))
    sys.stdout.flush()
