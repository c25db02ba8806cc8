"""What came out, as rows of one table."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Row(NamedTuple):
    """One kind of fault: how often it was ``tried``, how often all was well afterwards (``survived``), how many contents were
    ``lost``, ``torn``, ``left`` behind or sent ``twice``; ``note`` is what happened in plain words, or the reason why nothing
    was tried."""

    fault: str
    tried: int
    survived: int
    lost: int = 0
    torn: int = 0
    left: int = 0
    twice: int = 0
    note: str = ""

    @property
    def ok(self) -> bool:
        """Whether every try survived, and nothing was lost, torn or left behind."""
        return self.survived == self.tried and not (self.lost or self.torn or self.left)


_HEADS = ("fault", "tried", "survived", "lost", "torn", "left over", "sent twice", "what came out")


def table(rows: Iterable[Row]) -> str:
    """The rows as a table of Markdown that can be read as it is."""
    cells = [_HEADS, *(tuple(f"{value:,}" if isinstance(value, int) else str(value) for value in row) for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(_HEADS) - 1)]
    lines = [_line(line, widths) for line in cells]
    rule = "|".join(["", *("-" * (width + 1) + ("-" if column == 0 else ":") for column, width in enumerate(widths)), "---", ""])
    return "\n".join([lines[0], rule, *lines[1:]])


def _line(cells: tuple[str, ...], widths: list[int]) -> str:
    padded = [cells[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(cells[1:-1], widths[1:], strict=True))]
    return "| " + " | ".join([*padded, cells[-1]]) + " |"
