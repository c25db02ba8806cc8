"""``pysubtask events``: the events of tasks, past and (``-f``) as they come."""

from __future__ import annotations

import time
from collections.abc import Callable

import click

from ...common.events import Event, Tail
from ...common.text import seconds
from ..exit_status import OK, USAGE, CommandError
from ..tasks.feeds import Feeds
from ..tasks.find import Task, find, names_here
from ..terminal import line_width, say, say_json
from ..view.status_view import event

_POLL_SECS = 0.2
"""Seconds between two reads of an event file: short enough to look live, and a stat of a file costs little."""
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@click.command(short_help="Show what happened, and with -f what happens.")
@click.option("-f", "--follow", is_flag=True, help="Go on showing what happens, until Ctrl-C.")
@click.option(
    "--since",
    metavar="N|TIME",
    help=("Only what came after event N of this epoch, or since a time: 14:30, 2026-11-21T14:30, or 10m, 2h, 3d ago."),
)
@click.option("-w", "--wide", is_flag=True, help="Cut nothing: a line may be longer than the terminal is wide.")
@click.option("--json", "as_json", is_flag=True, help="A line of JSON for each, for scripts.")
@click.argument("tasks", nargs=-1, metavar="[TASK]...")
def command(follow: bool, since: str | None, wide: bool, as_json: bool, tasks: tuple[str, ...]) -> int:
    """Show the events of these tasks, or all, as far back as they are kept (one to two megabytes), oldest first. On a terminal
    each has one line, and what is too long for it is cut in its middle; elsewhere nothing is cut.

    \b
    pysubtask events --since 2h
    pysubtask events -f roof
    pysubtask events --wide | grep refused
    """
    found = find(tasks)
    after = Since(since, time.time())
    called = names_here(found)
    feeds = Feeds(found, _begin, _POLL_SECS)
    while True:
        events = [(found[at], called[at], Event(*row)) for at, rows in feeds.take() for row in rows]
        for task, name, one in sorted(events, key=lambda row: row[2].at):
            if not after.wants(one, task):
                continue
            if as_json:
                say_json(line_of(name, one))
            else:
                say([event(one, line_width(unlimited=wide), time.time(), name if len(found) > 1 else "")])
        if not follow:
            return OK
        time.sleep(_POLL_SECS)


def line_of(label: str, found: Event) -> dict[str, object]:
    """An event as a JSON object: the fields that the child wrote, and ``child``, its name."""
    return {"child": label, "epoch": found.epoch, "n": found.n, "at": found.at, "kind": found.kind, **found.fields}


def _begin(task: Task) -> Callable[[], list[Event]]:
    tail = Tail(task.state_dir, after=(0, 0))
    return lambda: _all(tail)


def _all(tail: Tail) -> list[Event]:
    found: list[Event] = []
    while batch := tail.read():
        found += batch
    return found


class Since:
    """The point behind which events are shown: an event number of the current epoch, or a time. CommandError for any other text.

    ``now``: seconds since the epoch, for a time of day and for ``10m``, ``2h``, ``3d``.
    """

    def __init__(self, text: str | None, now: float) -> None:
        self._number = int(text) if text and text.isdigit() else None
        self._time = None if text is None or self._number is not None else _time_of(text, now)

    def wants(self, found: Event, task: Task) -> bool:
        """Whether an event of this task is behind the point, or (with no point given) in any case."""
        if self._number is not None:
            page = task.page() or {}
            return (found.epoch, found.n) > (page.get("epoch", found.epoch), self._number)
        return self._time is None or (seconds(found.at) or 0.0) >= self._time


def _time_of(text: str, now: float) -> float:
    number, unit = text[:-1], text[-1:]
    if unit in _UNITS and number.isdigit():
        return now - int(number) * _UNITS[unit]
    day = time.strftime("%Y-%m-%dT", time.localtime(now))
    try:
        from datetime import datetime

        return datetime.fromisoformat(day + text if ":" in text[:3] and "-" not in text else text).timestamp()
    except ValueError:
        raise CommandError(
            f"--since {text!r}: neither the number of an event nor a time. Write 120, 10m, 2h, 3d, 14:30 or 2026-11-21T14:30.",
            USAGE,
        ) from None
