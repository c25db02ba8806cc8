"""``pysubtask watch``: a live view of tasks at work.

CommandError where no task is known, and where --item is given without a daemon.
"""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import click

from ...common.events import Event, utc
from ...common.text import fit
from ..daemons import complete
from ..daemons.changes import follow
from ..daemons.meant import daemons_meant
from ..exit_status import NO_TASK, OK, USAGE, CommandError
from ..tasks.feeds import Feeds
from ..tasks.find import NONE_KNOWN, Task, find, names_here
from ..terminal import colour, coloured, height, live, say, say_json, screen, width
from ..view.event_follower import EventFollower
from ..view.status_view import event, watch
from ..view.task_status import of_all, task_status
from .events import line_of

_POLL_SECS = 0.2
_SHOW_SECS = 0.5
"""Seconds after which the screen is drawn again even without an event, because ages and rates change."""
_RECENT = 100
"""Events kept for the screen: more than a terminal has lines."""
_LINE = 1000
"""The longest line of the output without a terminal, in characters: one event must not flood a log."""


@click.command(short_help="Watch tasks at work: a bar for each file on its way, and what happens.")
@click.option("--json", "as_json", is_flag=True, help="The state page once, then a line of JSON for each event, for scripts.")
@click.option("--item", "items", multiple=True, metavar="ITEM", help="Of a named daemon: only this item (may be given again).")
@click.argument("tasks", nargs=-1, metavar="[TASK|NAME]...", shell_complete=complete.names)
def command(as_json: bool, items: tuple[str, ...], tasks: tuple[str, ...]) -> int:
    """Watch these tasks, or all, until Ctrl-C: the table of 'pysubtask status', a bar for each file that is on its way, and the
    last events. Where the output is no terminal, events are printed line by line.

    With --json the first line of each child is its page ("kind": "page"), which is its state as of event (epoch, n), and then
    comes each event behind it: none is left out and none comes twice. A page comes again after a restart. A child that
    dies or comes back has a line, too ("kind": "gone" or "here"), which is no event and has no number.

    NAME is a named daemon: its items once, then a line for each change, also over its restarts.

    \b
    pysubtask watch
    pysubtask watch roof --json
    pysubtask watch Dome --item azimuth
    """
    if names := daemons_meant(tasks):
        follow(names, items, as_json)
        return OK
    if items:
        raise CommandError("--item is for named daemons: 'pysubtask list' shows them.", USAGE)
    found = find(tasks, missing=True)
    if not found:
        raise CommandError(NONE_KNOWN, NO_TASK)
    if as_json or not live():
        _lines(found, as_json)
    else:
        _live(found)
    return OK


def _lines(found: list[Task], as_json: bool) -> None:
    called = names_here(found)
    feeds = Feeds(found, _begin, _POLL_SECS)
    alive: dict[str, bool] = {}
    while True:
        for at, (lives, rows) in feeds.take():
            task, name = found[at], called[at]
            for row in rows:
                _print_update(task, name, _of_row(row), as_json)
            if alive.get(name, True) != lives:
                _print_life(task, name, lives, as_json)
            alive[name] = lives
        sys.stdout.flush()
        time.sleep(_POLL_SECS)


def _begin(task: Task) -> Callable[[], tuple[bool, list[list[Any]]]]:
    """A function that returns whether this child lives, and the pages and events since its last call."""
    follower = EventFollower(task.state_dir)

    def step() -> tuple[bool, list[list[Any]]]:
        # The lock is read before the events: what a child wrote before it died is then shown before its end.
        lives = task.lives()
        return lives, [["event", *one] if isinstance(one, Event) else ["page", one] for one in follower.read(time.monotonic())]

    return step


def _of_row(row: list[Any]) -> dict[str, Any] | Event:
    page: dict[str, Any] = row[1] if row[0] == "page" else {}
    return page if row[0] == "page" else Event(*row[1:])


def _print_update(task: Task, name: str, one: dict[str, Any] | Event, as_json: bool) -> None:
    if isinstance(one, Event):
        if as_json:
            say_json(line_of(name, one))
        else:
            say([event(one, _LINE, time.time(), name)])
    elif as_json:
        say_json({"child": name, "kind": "page", **one})
    else:
        say([_sentence(task, name)])


def _print_life(task: Task, name: str, lives: bool, as_json: bool) -> None:
    if as_json:
        sign = task.last_sign()
        last = None if sign is None else utc(sign)
        say_json({"child": name, "kind": "here" if lives else "gone", "at": utc(time.time()), "last_sign": last})
    elif not lives:
        say([_sentence(task, name)])


def _sentence(task: Task, name: str) -> str:
    return fit(f"{name}: {task_status(task, time.time()).why}", _LINE)


def _live(found: list[Task]) -> None:
    called = names_here(found)
    feeds = Feeds(found, _begin, _POLL_SECS)
    recent: deque[tuple[str, Event]] = deque(maxlen=_RECENT)
    with screen() as show:
        drawn_at = float("-inf")
        while True:
            now = time.monotonic()
            updates = [(called[at], _of_row(row)) for at, (_, rows) in feeds.take() for row in rows]
            recent.extend((name, one) for name, one in updates if isinstance(one, Event))
            if updates or now - drawn_at >= _SHOW_SECS:
                drawn_at = now
                task_statuses = of_all(found, time.time(), called)
                lines = watch(task_statuses, recent, width(), height())
                show([colour(line) for line in lines] if coloured() else lines)
            time.sleep(_POLL_SECS)
