"""The display of a push: a bar for each file on a terminal, else a line for each finished file."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import NamedTuple

from ...common.plain import plain
from ...common.text import amount, bar, fit, pad, span
from ..terminal import Footer, say, width
from .outcome import Outcome

_REDRAW_SECS = 0.1
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
    """The display on a terminal: bars on stderr, below the lines. ``clock``: monotonic seconds."""

    def __init__(self, destination: str, words: Callable[[str], str] = str, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(destination, words)
        self._clock = clock
        self._footer = Footer()
        self._moving: dict[str, _Moving] = {}
        self._drawn_at = float("-inf")

    def __exit__(self, *error: object) -> None:
        self._footer.clear()

    def begin(self, name: str, size: int) -> None:
        """Draw a bar for the file, or start its bar from zero for another attempt."""
        self._moving[name] = _Moving(size, self._clock())
        self._draw()

    def progress(self, name: str, done: int) -> None:
        """Move the bar of the file."""
        if name in self._moving:
            self._moving[name] = self._moving[name]._replace(done=done)
            if self._clock() - self._drawn_at >= _REDRAW_SECS:
                self._draw()

    def end(self, outcome: Outcome) -> None:
        """Remove the bar of the file and print its line."""
        self._moving.pop(outcome.name, None)
        super().end(outcome)

    def clear(self) -> None:
        """Erase all bars and forget them."""
        self._footer.clear()
        self._moving.clear()

    def _draw(self) -> None:
        self._drawn_at = self._clock()
        self._footer.show(_bar_of(name, moving, self._drawn_at, width()) for name, moving in self._moving.items())

    def _delivered(self, line: str) -> None:
        self._footer.clear()
        super()._delivered(line)
        self._draw()

    def _report(self, line: str) -> None:
        self._footer.clear()
        super()._report(line)
        self._draw()


class _Moving(NamedTuple):
    """A file on its way: its ``size``, when its attempt was ``begun``, and the bytes ``done``."""

    size: int
    begun: float
    done: int = 0


def _bar_of(name: str, moving: _Moving, now: float, columns: int) -> str:
    """One line: name, bar, bytes, speed, seconds left."""
    secs = now - moving.begun
    rate = moving.done / secs if secs > 0 else 0.0
    left = span((moving.size - moving.done) / rate) if rate > 0 else "-"
    numbers = f"{amount(moving.done)}/{amount(moving.size)}  {amount(rate)}/s  {left}"
    room = max(10, columns - len(numbers) - 6)
    cells = max(4, room // 2)
    return f"{pad(fit(plain(name), room - cells), room - cells)}  {bar(moving.done, moving.size, cells)}  {numbers}"


def show_for(destination: str, words: Callable[[str], str] = str) -> Lines:
    """Bars where stderr is a terminal, else Lines. ``words``: rewrites the text of an error."""
    return Bars(destination, words) if sys.stderr.isatty() else Lines(destination, words)
