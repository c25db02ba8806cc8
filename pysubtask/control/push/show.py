"""The display of a push: a bar for each file on a terminal, else a line for each finished file."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from ...common.text import amount, plain
from ..terminal import safe, say
from .outcome import Outcome

_HOW = {"size": "size", "hash": "digest"}


def line_of(outcome: Outcome, destination: str) -> str:
    """The line of a delivered file."""
    assert outcome.sent is not None
    how = f"{_HOW.get(outcome.sent.verified, outcome.sent.verified)} compared"
    what = "was there already" if outcome.there else f"{amount(outcome.sent.bytes_sent)} sent"
    return plain(f"{outcome.path} -> {destination.rstrip('/')}/{outcome.name}  ({outcome.sent.remote.size} bytes, {what}, {how})")


class Lines:
    """The display without a terminal: delivered files on stdout, everything else on stderr."""

    def __init__(self, destination: str, words: Callable[[str], str] = str) -> None:
        self._destination = destination
        self._words = words

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *error: object) -> None:
        return None

    def begin(self, name: str, size: int) -> None:
        """Nothing is printed: a line comes when the file is done."""
        return None

    def progress(self, name: str, done: int) -> None:
        """Nothing is printed."""
        return None

    def end(self, outcome: Outcome) -> None:
        """A delivered file on stdout, a file that is given up on stderr."""
        if outcome.sent is not None:
            self._delivered(line_of(outcome, self._destination))
        else:
            self._report(f"pysubtask: {plain(outcome.path)}: not delivered: {plain(self._words(outcome.error))}")

    def note(self, text: str) -> None:
        """On stderr."""
        self._report(f"pysubtask: {plain(self._words(text))}")

    def clear(self) -> None:
        """Leave the terminal to a question: no bar is drawn until the next file begins."""

    def _delivered(self, line: str) -> None:
        say([line])

    def _report(self, line: str) -> None:
        say([line], error=True)


class Bars(Lines):
    """The display on a terminal: bars on stderr, below the lines."""

    def __init__(self, destination: str, words: Callable[[str], str] = str) -> None:
        super().__init__(destination, words)
        self._bars = _new_bars()
        self._tasks: dict[str, Any] = {}

    def __exit__(self, *error: object) -> None:
        self._bars.stop()

    def begin(self, name: str, size: int) -> None:
        """Draw a bar for the file, or start its bar from zero for another attempt."""
        self._bars.start()
        if name in self._tasks:
            self._bars.update(self._tasks[name], total=size)
        else:
            self._tasks[name] = self._bars.add_task(plain(name), total=size)

    def progress(self, name: str, done: int) -> None:
        """Move the bar of the file."""
        if name in self._tasks:
            self._bars.update(self._tasks[name], completed=done)

    def end(self, outcome: Outcome) -> None:
        """Remove the bar of the file and print its line."""
        if outcome.name in self._tasks:
            self._bars.remove_task(self._tasks.pop(outcome.name))
        super().end(outcome)

    def clear(self) -> None:
        """Erase all bars and forget them."""
        self._bars.stop()
        # A new Progress: the old one, started again, would erase the text that was printed above in the meantime.
        self._bars = _new_bars()
        self._tasks.clear()

    def _delivered(self, line: str) -> None:
        if sys.stdout.isatty():
            self._above(line)
        else:
            super()._delivered(line)

    def _report(self, line: str) -> None:
        self._above(line)

    def _above(self, line: str) -> None:
        """Print a line above the bars. rich has to print it, since text by other means appears beside a bar."""
        self._bars.console.print(safe(line, sys.stderr), markup=False, highlight=False, emoji=False, soft_wrap=True)


def _new_bars() -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )


def show_for(destination: str, words: Callable[[str], str] = str) -> Lines:
    """Bars where stderr is a terminal, else Lines. ``words``: rewrites the text of an error."""
    return Bars(destination, words) if sys.stderr.isatty() else Lines(destination, words)
