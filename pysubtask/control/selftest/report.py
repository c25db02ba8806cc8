"""The result of a selftest. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

from ...common.receipts import Receipt
from ..doctor.finding import size
from .trouble import WORDS, KeyFault


class Report(NamedTuple):
    """``destination``: the server's URL. ``secs``: how long the test ran. ``files``: how many files were written;
    ``new_bytes``: their bytes. ``troubles``: the kinds of the troubles, in their order. ``lost``: names that did not arrive
    whole. ``torn``: names whose bytes, when read while the test ran, were those of no version. ``looks``: how many times a
    file was read while the test ran. ``twice``: deliveries of content that the server had already. ``left``: temporary files
    that cut uploads left. ``on_link``: bytes that crossed the link, None where they were not counted; ``counted_by``: who
    counted them. ``not_cleaned``: paths that could not be removed. ``notes``: sentences for the user."""

    destination: str
    secs: float
    files: int
    new_bytes: int
    troubles: tuple[str, ...]
    lost: tuple[str, ...]
    torn: tuple[str, ...]
    looks: int
    twice: int
    left: tuple[str, ...]
    on_link: int | None
    counted_by: str
    not_cleaned: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether no file was lost, torn or left behind."""
        return not (self.lost or self.torn or self.left or self.not_cleaned)

    def as_json(self) -> dict[str, Any]:
        """The object for ``pysubtask selftest --json``: the fields, ``passed`` and ``on_link_per_new_byte``."""
        per_byte = None if self.on_link is None else round(self.on_link / max(1, self.new_bytes), 3)
        return {**self._asdict(), "passed": self.passed, "on_link_per_new_byte": per_byte}


def delivered_twice(receipts: Iterable[Receipt]) -> int:
    """The number of deliveries that sent bytes though an earlier delivery had the same name and content."""
    seen, twice = set(), 0
    for receipt in receipts:
        delivery = (receipt.name, receipt.size, receipt.digest)
        twice += delivery in seen and receipt.bytes_sent > 0
        seen.add(delivery)
    return twice


def lines(report: Report) -> list[str]:
    """The report as lines for people."""
    troubles = Counter(report.troubles)
    what = ", ".join(f"{count} x {WORDS[kind]}" for kind, count in troubles.items()) or "none"
    new = max(1, report.new_bytes)
    link = "not counted"
    if report.on_link is not None:
        link = f"{size(report.on_link)}, {report.on_link / new:.2f} for each new byte   ({report.counted_by})"

    def listed(names: tuple[str, ...]) -> str:
        return f"{len(names)}" + (f" ({', '.join(names[:5])}{', ...' if len(names) > 5 else ''})" if names else "")

    return [
        report.destination,
        f"  made         {report.files} files, {size(report.new_bytes)} in {report.secs:.0f} s",
        f"  troubles     {what}",
        f"  lost         {listed(report.lost)}   (every file read back and compared byte for byte)",
        f"  torn         {listed(report.torn)}   (in {report.looks} readings while it ran)",
        f"  twice        {report.twice} deliveries of what was there already",
        f"  left over    {listed(report.left)}",
        f"  on the link  {link}",
        *(f"  not removed  {name}" for name in report.not_cleaned),
        *(f"  note         {note}" for note in report.notes),
        f"  {'PASSED' if report.passed else 'FAILED'}",
    ]


def kinds(troubles: Iterable[KeyFault]) -> tuple[str, ...]:
    """The kinds of the troubles, in their order."""
    return tuple(trouble.kind for trouble in troubles)
