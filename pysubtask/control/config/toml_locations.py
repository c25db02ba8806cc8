"""The line of each key of a TOML file, which tomllib does not report.

Only for a text that tomllib has accepted: this parser reads the structure of TOML 1.0 (toml.io/en/v1.0.0) and skips values.
"""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_left
from collections.abc import Iterator

Path = tuple[str | int, ...]
"""The parts of a key: ``('ftp', 'Host')``, or ``('watch', 0, 'dir')`` with the index of the table in its array."""

_SPACE = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_BLANK = re.compile(r"[ \t]*")
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_PLAIN = re.compile(r"[^,\]}\n#]+")
_STRINGS = (
    re.compile(r'"""(?:\\.|[^\\])*?"{3,5}(?!")', re.DOTALL),
    re.compile(r"'''.*?'{3,5}(?!')", re.DOTALL),
    re.compile(r'"(?:\\.|[^"\\\n])*"'),
    re.compile(r"'[^'\n]*'"),
)


def key_lines(text: str) -> dict[Path, int]:
    """The line, counted from 1, of each key and each table of ``text``. A key that several headers repeat (``tasks.a`` in
    ``[tasks.a.ftp]`` and ``[tasks.a.base]``) has the line of the first."""
    return _Reader(text).lines


def line_of(lines: dict[Path, int], path: Path) -> int | None:
    """The line of a key, or of the nearest table around it; None where the file has neither."""
    while path:
        if path in lines:
            return lines[path]
        path = path[:-1]
    return None


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self.lines: dict[Path, int] = {}
        self._counts: dict[Path, int] = {}
        self._ends = [found.start() for found in re.finditer("\n", text)]
        table: Path = ()
        while self._skip(_SPACE) < len(text):
            if text.startswith("[", self._at):
                table = self._header()
            else:
                self._pair(table)

    def _header(self) -> Path:
        line, double = self._line(), self._text.startswith("[[", self._at)
        self._at += 2 if double else 1
        keys = list(self._keys())
        self._at += 2 if double else 1
        path: Path = ()
        for number, key in enumerate(keys):
            path = (*path, key)
            self.lines.setdefault(path, line)
            last = number == len(keys) - 1
            if last and double:
                self._counts[path] = self._counts.get(path, -1) + 1
            if path in self._counts:
                # A header below an array of tables means the array's newest one.
                path = (*path, self._counts[path])
                self.lines.setdefault(path, line)
        return path

    def _pair(self, table: Path) -> None:
        line, path = self._line(), table
        for key in self._keys():
            path = (*path, key)
            self.lines.setdefault(path, line)
        self._at += 1  # the equals sign
        self._skip(_BLANK)
        self._value(path)

    def _keys(self) -> Iterator[str]:
        while True:
            self._skip(_BLANK)
            start = self._at
            if self._text[start] in "\"'":
                self._skip(_STRINGS[2] if self._text[start] == '"' else _STRINGS[3])
                yield str(tomllib.loads(f"x={self._text[start : self._at]}")["x"])
            else:
                self._skip(_BARE)
                yield self._text[start : self._at]
            self._skip(_BLANK)
            if not self._text.startswith(".", self._at):
                return
            self._at += 1

    def _value(self, path: Path) -> None:
        opener = self._text[self._at]
        if opener not in "[{":
            for pattern in _STRINGS:
                if pattern.match(self._text, self._at):
                    self._skip(pattern)
                    return
            self._skip(_PLAIN)
            return
        self._at += 1
        number = 0
        while True:
            self._skip(_SPACE)
            if self._text[self._at] in "]}":
                self._at += 1
                return
            if self._text[self._at] == ",":
                self._at += 1
            elif opener == "{":
                self._pair(path)
            else:
                self.lines.setdefault((*path, number), self._line())
                self._value((*path, number))
                number += 1

    def _skip(self, pattern: re.Pattern[str]) -> int:
        found = pattern.match(self._text, self._at)
        if found is not None:
            self._at = found.end()
        return self._at

    def _line(self) -> int:
        return bisect_left(self._ends, self._at) + 1
