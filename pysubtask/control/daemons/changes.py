"""The changes of daemons as they come, a line for each."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

from ...common.text import clock, seconds
from ...daemon.following import Change, Follower
from ..terminal import say, say_json
from .words import asking, daemon, value

_BY = ("user", "command")


def follow(names: Sequence[str], items: Sequence[str], as_json: bool) -> None:
    """Print the items of these daemons, and then each change, until Ctrl-C. CommandError where one of them does not run."""
    changes: queue.SimpleQueue[tuple[str, Change]] = queue.SimpleQueue()
    with asking():
        followers = {name: daemon(name).follow() for name in names}
    for name, follower in followers.items():
        threading.Thread(target=_read, args=(name, follower, changes), daemon=True).start()
    while True:
        name, change = changes.get()
        if as_json:
            if not items or change.kind in ("page", "gone") or change.key in items:
                say_json({"daemon": name, **change._asdict()})
            continue
        say(lines(name if len(names) > 1 else "", change, items))


def _read(name: str, follower: Follower, changes: queue.SimpleQueue[tuple[str, Change]]) -> None:
    for change in follower:
        changes.put((name, change))


def lines(name: str, change: Change, items: Sequence[str]) -> Iterator[str]:
    """A change in words; nothing where it is of no item in ``items`` (empty: all)."""
    if change.kind == "page":
        for key, row in change.fields["items"].items():
            if not items or key in items:
                yield _line(name, time.time(), f"{key}  {value(row)}")
    elif change.kind == "item":
        if not items or change.key in items:
            by = change.fields.get("by")
            who = f"  by {' '.join(str(by.get(key, '')) for key in _BY)}" if isinstance(by, dict) else ""
            yield _line(name, seconds(change.at), f"{change.key}  {value(change.fields)}{who}")
    elif change.kind == "gone":
        yield _line(name, time.time(), "the daemon runs no more")
    elif change.kind == "silent":
        yield _line(name, time.time(), "the daemon lives and does not answer")
    elif not items:
        fields: dict[str, Any] = {key: found for key, found in change.fields.items() if key not in ("by", "id", "args")}
        words = ", ".join(f"{key} {found}" for key, found in fields.items())
        yield _line(name, seconds(change.at), f"{change.kind}  {words}")


def _line(name: str, at: float | None, text: str) -> str:
    return f"{clock(at, time.time()):>8}  {name + '  ' if name else ''}{text}"
