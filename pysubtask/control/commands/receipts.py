"""``pysubtask receipts``: proof of delivery."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Sequence

import click

from ...common.receipt_months import newest_kept
from ...common.receipts import Receipt, read_receipts
from ...common.text import amount, clock, plain, seconds, wrapped
from ..exit_status import FAILED, OK
from ..tasks.find import Task, find, names_here
from ..tasks.send_request import tasks_option
from ..terminal import line_width as width
from ..terminal import say, say_json

_HOW = {"size": "its size was compared", "hash": "its digest was compared", "hook": "process_notify returned"}


@click.command(short_help="Show what was delivered, when, where, and how that was verified.")
@tasks_option
@click.option("--json", "as_json", is_flag=True, help="A line of JSON for each, for scripts.")
@click.option("-n", "--last", type=click.IntRange(min=1), help="Only the last so many.")
@click.argument("files", nargs=-1, metavar="[FILE]...")
def command(tasks: tuple[str, ...], as_json: bool, last: int | None, files: tuple[str, ...]) -> int:
    """Show the receipts of these data files (paths or remote names), or of all, oldest first. A receipt is written when the
    server has the file, verified; it proves which content (size, time, SHA-256) stood where and when. The exit status is 1
    where one of the files has none.

    \b
    pysubtask receipts data/roof.csv
    pysubtask receipts -n 20
    """
    children = find(tasks)
    found: list[tuple[str, Receipt]] = [
        (name, receipt) for child, name in zip(children, names_here(children), strict=True) for receipt in _of(child, files)
    ]
    found.sort(key=lambda pair: pair[1].at)
    proven = {name for _, receipt in found for name in (receipt.path, receipt.name)}
    for label, receipt in found[-last:] if last else found:
        if as_json:
            say_json({"child": label, **receipt._asdict()})
        else:
            say(lines_of(label, receipt, width(), time.time()))
    if not found and not files and not as_json:
        click.echo("pysubtask: nothing was delivered yet; 'pysubtask status' says what goes on.", err=True)
    missing = [file for file in files if not {file, os.path.abspath(file)} & proven]
    for file in missing:
        text = f"{plain(file)}: no receipt, so it was not delivered yet; 'pysubtask queue' shows what waits."
        say([f"pysubtask: {text}"], error=True)
    return FAILED if missing else OK


def _of(child: Task, files: Sequence[str]) -> list[Receipt]:
    """The receipts of a child for these ``files`` (paths and remote names; none: all), read with the rights of its user. Of a file
    that is long gone the newest one is in the file of a month."""
    names = [{file, os.path.abspath(file)} for file in files]
    requested = set().union(*names)

    def found() -> list[Receipt]:
        present = [one for one in read_receipts(child.state_dir) if not files or {one.path, one.name} & requested]
        proven = {name for one in present for name in (one.path, one.name)}
        missing = set().union(*(both for both in names if not both & proven))
        with contextlib.suppress(OSError):  # a folder that cannot be read has no receipts to show
            present[:0] = newest_kept(child.state_dir, missing) if missing else []
        return present

    return [Receipt(*one) for one in child.ask(found)]


def lines_of(label: str, receipt: Receipt, columns: int, now: float) -> list[str]:
    """A receipt as lines for a person. ``columns``: the width; ``now``: seconds since the epoch."""
    where = f"{receipt.destination.rstrip('/')}/{receipt.name}"
    wire = "" if receipt.bytes_on_wire is None else f", {amount(receipt.bytes_on_wire)} on the wire"
    how = _HOW.get(receipt.verified, receipt.verified)
    texts = (
        f"{clock(seconds(receipt.at), now)}  {receipt.path}  ({label} #{receipt.seq})",
        f"to {where}",
        f"sha256 {receipt.digest}",
        f"{receipt.size} bytes, {amount(receipt.bytes_new)} new, {amount(receipt.bytes_sent)} sent{wire}; {how}",
    )
    return [line for at, text in enumerate(texts) for line in wrapped(text, columns, "    " if at else "", "      ")]
