"""``pysubtask queue``: the files that wait, and why."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from typing import Any

import click

from ...common.text import amount, files, plain, seconds, span, table, wrapped
from ...common.why import not_queued
from ..exit_status import OK, CommandError
from ..tasks.find import Task, names_here
from ..tasks.send_request import command_line, tasks_option
from ..tasks.task_choice import meant
from ..terminal import line_width as width
from ..terminal import say, say_json


@click.command(short_help="Show what waits, and why: refused and paused files with their reason.")
@tasks_option
@click.option("-n", "--limit", type=click.IntRange(min=1), default=1000, show_default=True, help="At most so many files.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, for scripts.")
def command(tasks: tuple[str, ...], limit: int, as_json: bool) -> int:
    """Show the files in the queue of a task, oldest first: those that wait, those on their way, those that the server refuses
    (parked) with its reason, and paused ones with who did that. Works when the child is dead, too.

    'pysubtask retry' offers refused files again at once, 'pysubtask drop' takes files out.

    \b
    pysubtask queue -t roof
    """
    children = meant(tasks)
    called = zip(children, names_here(children), strict=True)
    found = [(name, with_gone(child, queue_of(child, limit, name))) for child, name in called]
    if as_json:
        say_json([{"child": name, "alive": alive, "queue": rows} for name, (rows, alive) in found])
        return OK
    for child, (name, (rows, alive)) in zip(children, found, strict=True):
        now = time.time()
        page = (child.page() or {}) if alive else {}
        say(lines_of(name, rows, width(), now, alive=alive, limit=limit, also=not_queued(page, now), wait=connects_in(page, now)))
    return OK


def queue_of(child: Task, limit: int, name: str) -> tuple[Sequence[Mapping[str, Any]], bool]:
    """The rows of the queue of ``child``, and whether a living child gave them (else they were read from the state folder).
    ``limit``: the most rows; ``name``: of the child, for errors. CommandError where neither is possible."""
    if not child.lives():
        left = child.ask(lambda: _left(child.state_dir, limit))
        if left is not None:
            return left, False
        if not child.lives():
            raise CommandError(
                f"{name}: no child runs and its queue cannot be read (perhaps it has none, or is another user's); "
                "'pysubtask status' shows what is known."
            )
    reply = child.request("queue", {"limit": limit}, command_line(), name=name)
    if not reply.ok:
        raise CommandError(f"{name}: {reply.error}")
    return reply.result, True


def _left(state_dir: str, limit: int) -> list[dict[str, Any]] | None:
    """The rows of the queue that a dead child left; None where the queue cannot be read."""
    from ...subtask.offline.offline_queue import read_queue

    found = read_queue(state_dir, limit)
    if found is None:
        return None
    return [{key: value for key, value in row._asdict().items() if key != "due"} | {"next_try_secs": None} for row in found.rows]


def with_gone(child: Task, queue: tuple[Sequence[Mapping[str, Any]], bool]) -> tuple[Sequence[Mapping[str, Any]], bool]:
    """The rows with one more key, ``gone``: whether the data file was deleted here, so that only its snapshot is left to be
    sent."""
    rows, alive = queue
    gone = child.ask(lambda: [not os.path.lexists(str(row.get("path"))) for row in rows])
    return [{**row, "gone": one} for row, one in zip(rows, gone, strict=True)], alive


def lines_of(
    label: str,
    rows: Sequence[Mapping[str, Any]],
    columns: int,
    now: float,
    *,
    alive: bool,
    limit: int,
    also: Sequence[str] = (),
    wait: float = 0.0,
) -> list[str]:
    """The queue as lines for a person. ``columns``: the width; ``now``: seconds since the epoch; ``also``: files that ought to be
    in the queue and are not, with the reason; ``wait``: seconds until the next connection."""
    missed = [line for words in also for line in wrapped(f"not in it: {words}", columns, "  ", "    ")]
    if not rows:
        return [f"{plain(label)}: nothing is queued" + ("" if alive else "; no child runs"), *missed]
    cells = []
    for row in rows:
        at = seconds(row["at"])
        cells.append(
            [
                row["state"],
                span(None if at is None else now - at),
                amount(row["size"]),
                str(row["attempts"]),
                _next(row, alive, wait),
                row["name"],
            ]
        )
    head = ["STATE", "AGE", "SIZE", "TRIES", "NEXT TRY", "NAME"]
    lines = table(head, cells, columns, numbers=(1, 2, 3, 4), give=5)
    found = [
        f"{plain(label)}: {files(len(rows))}"
        + (" or more" if len(rows) >= limit else "")
        + ("" if alive else "; no child runs, they are sent when one starts"),
        lines[0],
    ]
    for row, line in zip(rows, lines[1:], strict=True):
        found.append(line)
        if row["reason"]:
            found += wrapped(row["reason"], columns, "    ", "    ")
        if row.get("gone"):
            found += wrapped("deleted here since; its copy is sent all the same", columns, "    ", "    ")
    return found + missed


def connects_in(page: Mapping[str, Any], now: float) -> float:
    """The seconds until a child connects again after a refused login or a failed connection, 0 where it does not wait. ``page``:
    its status page; ``now``: seconds since the epoch."""
    at = seconds(page.get("next_try")) if page.get("state") in ("held", "waiting") else None
    return 0.0 if at is None else max(0.0, at - now)


def _next(row: Mapping[str, Any], alive: bool, wait: float) -> str:
    if row["state"] in ("sending", "paused"):
        return "-"
    if not alive or row["next_try_secs"] is None:
        return "at start"
    secs = max(row["next_try_secs"], wait)
    return span(secs) if secs > 0 else "now"
