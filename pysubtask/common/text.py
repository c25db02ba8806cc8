"""Words, numbers and names for a terminal. Everything here is pure.

Names of files come from anywhere: what would steer the terminal, turn the writing direction or cannot be shown is
written as an escape; width counts cells, of which wide characters take two.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from datetime import UTC, datetime

from .plain import plain as plain


def cells(text: str) -> int:
    """How many cells of a terminal the text takes."""
    return len(text) if text.isascii() else sum(map(_cells_of, text))


def _cells_of(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def fit(text: str, width: int) -> str:
    """The text, safe to show, in at most ``width`` cells: a longer one keeps its beginning and its end."""
    text = plain(text)
    if cells(text) <= width:
        return text
    if width < 1:
        return ""
    tail = _taken(text[::-1], (width - 1) // 2)[::-1]
    return _taken(text, width - 1 - cells(tail)) + "…" + tail


def _taken(text: str, width: int) -> str:
    taken = 0
    for index, character in enumerate(text):
        taken += _cells_of(character)
        if taken > width:
            return text[:index]
    return text


def pad(text: str, width: int, *, right: bool = False) -> str:
    """The text in just ``width`` cells."""
    text = fit(text, width)
    space = " " * (width - cells(text))
    return space + text if right else text + space


def wrapped(text: str, width: int, first: str = "", rest: str = "") -> list[str]:
    """The text, safe to show, in lines of at most ``width`` cells; the first begins with ``first``, others with ``rest``."""
    lines, line, empty = [], first, True
    for word in plain(text).split(" "):
        if not empty and cells(line) + 1 + cells(word) <= width:
            line += " " + word
            continue
        if not empty:
            lines.append(line)
            line = rest
        while cells(line) + cells(word) > width:
            piece = _taken(word, max(2, width - cells(line)))
            lines.append(line + piece)
            line, word = rest, word[len(piece) :]
        line, empty = line + word, False
    return [*lines, line]


def amount(count: float | None) -> str:
    """Bytes for people: ``1.2 MB``; ``-`` where it is not known."""
    if count is None:
        return "-"
    for unit in ("B", "KB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 99.95 else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def span(secs: float | None) -> str:
    """Seconds for people: ``45 s``, ``12 min``, ``3.5 h``, ``2 d``; ``-`` where they are not known."""
    if secs is None:
        return "-"
    secs = max(0.0, secs)
    if secs < 99.5:
        return f"{secs:.0f} s"
    if secs < 99.5 * 60:
        return f"{secs / 60:.0f} min"
    return f"{secs / 3600:.1f} h" if secs < 48 * 3600 else f"{secs / 86400:.0f} d"


def share(done: float, size: float) -> str:
    """How much of it: ``45%``, never 100% before it is all."""
    return f"{min(99 if done < size else 100, int(100 * done / size)) if size > 0 else 100}%"


def bar(done: float, size: float, width: int) -> str:
    """A bar of ``width`` cells."""
    full = min(width, int(width * done / size)) if size > 0 else width
    return "█" * full + "░" * (width - full)


def seconds(at: object) -> float | None:
    """A time as the state folder writes it (``2026-11-21T20:37:10.205Z``) in seconds since the epoch; None for anything else."""
    if not isinstance(at, str):
        return None
    try:
        found = datetime.fromisoformat(at)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def clock(wall: float | None, now: float) -> str:
    """A time of day here, with the day where that is not today; ``-`` where it is not known."""
    if wall is None:
        return "-"
    at, today = datetime.fromtimestamp(wall), datetime.fromtimestamp(now)
    return at.strftime("%H:%M:%S" if at.date() == today.date() else "%Y-%m-%d %H:%M:%S")


def files(count: int) -> str:
    """``1 file``, ``3 files``."""
    return f"{count} file" if count == 1 else f"{count} files"


def table(
    head: Sequence[str], rows: Sequence[Sequence[str]], width: int, *, numbers: Sequence[int] = (), give: int = 0
) -> list[str]:
    """Lines of at most ``width`` cells; columns in ``numbers`` stand right, column ``give`` is the one that is cut."""
    plain_rows = [[plain(cell) for cell in row] for row in rows]
    widths = [max(map(cells, column)) for column in zip(head, *plain_rows, strict=True)]
    over = sum(widths) + 2 * (len(widths) - 1) - width
    if over > 0:
        widths[give] = max(8, widths[give] - over)
    lines = []
    for row in [list(head), *plain_rows]:
        line = "  ".join(pad(cell, wide, right=at in numbers) for at, (cell, wide) in enumerate(zip(row, widths, strict=True)))
        lines.append(_taken(line.rstrip(), width))
    return lines
