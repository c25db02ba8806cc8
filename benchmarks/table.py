"""A table of figures, as markdown and as data."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Any, NamedTuple


def percentile(values: Sequence[float], part: float) -> float:
    """The value that ``part`` (0 to 1) of the values do not exceed (nearest rank)."""
    ranked = sorted(values)
    return ranked[max(0, math.ceil(round(part * len(ranked), 9)) - 1)]


def median(values: Sequence[float]) -> float | None:
    return statistics.median(values) if values else None


def ratio(value: float | None, by: float | None) -> float | None:
    return value / by if value is not None and by else None


class Column(NamedTuple):
    """``key`` of a row's value, the column's ``title``, and how a number is shown."""

    key: str
    title: str
    form: str = ""


class Table:
    """Rows side by side. A row with ``problem`` shows that in the place of its figures."""

    def __init__(self, title: str, columns: Sequence[Column], rows: Sequence[dict[str, Any]], notes: Sequence[str]) -> None:
        self.title, self.columns, self.rows, self.notes = title, columns, rows, notes

    def data(self) -> dict[str, Any]:
        """For ``--json``."""
        return {"benchmark": self.title, "rows": self.rows, "notes": self.notes}

    def text(self, about: dict[str, Any]) -> str:
        """The table as markdown that can be read as it is, with what was measured where."""
        lines = [[column.title for column in self.columns]]
        for row in self.rows:
            cells = [_cell(row.get(column.key), column.form) for column in self.columns]
            if row.get("problem"):
                cells[1] = str(row["problem"])
            lines.append(cells)
        # What is said of a problem may run over the columns that are empty then.
        sized = [line for line, row in zip(lines, [{}, *self.rows], strict=True) if not row.get("problem")]
        widths = [max(len(line[index]) for line in sized) for index in range(len(self.columns))]
        widths[0] = max(widths[0], *(len(line[0]) for line in lines))
        out = [f"## {self.title}", ""]
        for number, line in enumerate(lines):
            texts = [index == 0 or not self.columns[index].form for index in range(len(line))]
            cells = [
                cell.ljust(width) if text else cell.rjust(width) for cell, width, text in zip(line, widths, texts, strict=True)
            ]
            out.append(f"| {' | '.join(cells)} |")
            if not number:
                rules = ["-" * width if text else "-" * (width - 1) + ":" for width, text in zip(widths, texts, strict=True)]
                out.append(f"| {' | '.join(rules)} |")
        out += ["", *(f"- {note}" for note in self.notes), ""]
        out += [
            f"{key}: {value if isinstance(value, str) else ', '.join(f'{a} {b}' for a, b in value.items())}"
            for key, value in about.items()
        ]
        return "\n".join(out)


def _cell(value: Any, form: str) -> str:
    if value is None:
        return "-" if form else ""
    return format(value, form) if form else str(value)
