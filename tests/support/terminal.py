"""A command on a terminal of its own (its controlling one, as getpass wants it), what it shows, and answers typed into it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path

from tests.support.run_station import environment

_CONTROL = re.compile(r"\x1b\[([?0-9;]*)([A-Za-z])|([\r\n])|([^\x1b\r\n]+)|\x1b.?")


class Terminal:
    """``pysubtask *words`` in ``folder``, with all three of its files on one terminal."""

    def __init__(self, folder: Path, *words: str, **environ: str) -> None:
        self._main, end = pty.openpty()
        self.raw = b""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "pysubtask", *words],
            cwd=folder,
            stdin=end,
            stdout=end,
            stderr=end,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
            env=environment(folder, **{"TERM": "xterm", "COLUMNS": "200", "LINES": "50", "PYTHONIOENCODING": "utf-8", **environ}),
        )
        os.close(end)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *error: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        os.close(self._main)

    def _read(self, secs: float) -> bool:
        """Some more of what it says; False at its end."""
        if not select.select([self._main], [], [], secs)[0]:
            return True
        try:
            piece = os.read(self._main, 65536)
        except OSError:  # how Linux tells that the other end is closed
            piece = b""
        self.raw += piece
        return bool(piece)

    def answer(self, question: str, line: str, *, echo: bool) -> None:
        """Wait for a question that was not answered yet, check whether the terminal would show the answer, and type it."""
        deadline = time.monotonic() + 60
        while question not in self._text_after_answers() or self._echoes() is not echo:
            going_on = self._read(0.05)
            assert going_on and time.monotonic() < deadline, f"no question {question!r}, echo {self._echoes()}: {self.raw.decode()}"
        self._answered = len(self.raw)
        os.write(self._main, line.encode() + b"\n")

    _answered = 0

    def _text_after_answers(self) -> str:
        return self.raw[self._answered :].decode(errors="replace")

    def _echoes(self) -> bool:
        return bool(termios.tcgetattr(self._main)[3] & termios.ECHO)

    def end(self) -> tuple[int, str]:
        """The exit status, and the lines as they stand on the screen at the end."""
        deadline = time.monotonic() + 60
        while self._read(0.2):
            assert time.monotonic() < deadline, self.raw.decode()
        return self.process.wait(60), screen(self.raw.decode())


def screen(text: str) -> str:
    """What stands on a screen that is wide and high enough, after the cursor movements and erasures (ECMA-48) in ``text``."""
    lines, row, column = [""], 0, 0
    for found in _CONTROL.finditer(text):
        number, command, line_end, plain = found.groups()
        if plain:
            lines[row] = lines[row].ljust(column)[:column] + plain + lines[row][column + len(plain) :]
            column += len(plain)
        elif line_end == "\r":
            column = 0
        elif line_end == "\n":
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif command == "A":
            row = max(0, row - int(number or 1))
        elif command == "K":
            lines[row] = "" if number == "2" else lines[row][:column]
    return "\n".join(line.rstrip() for line in lines)
