"""A page as it would be now: what the child last wrote, with its events since. Pure but for one read."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

from . import own_files
from .events import FILE, Event, parse

_PIECE = 64 * 1024  # bytes read from the end at first: mostly there are a few events behind the page
_MOST = 1024 * 1024  # bytes; a page is never further behind than one file of events
_AT_THE_END = ("stopping", "stopped", "failed")
_GONE = ("delivered", "unchanged", "parked", "dropped")
"""With these a file has left what waits or is being sent."""


def followed(state_dir: str, page: dict[str, Any]) -> dict[str, Any]:
    """The page with the events of this child after it, as far as the file reaches back."""
    epoch, n = page.get("epoch"), page.get("n")
    if not (isinstance(epoch, int) and isinstance(n, int)):
        return page
    return brought_up(page, [event for event in last_events(state_dir, (epoch, n)) if event.epoch == epoch])


def last_events(state_dir: str, after: tuple[int, int]) -> list[Event]:
    """The events behind (epoch, n), oldest first, read from the end of the file: mostly a few."""
    try:
        with os.fdopen(own_files.open_read(state_dir, FILE, any_owner=True), "rb") as file:
            size, back = file.seek(0, os.SEEK_END), _PIECE
            while True:
                file.seek(max(0, size - back))
                events, whole = _behind(file.read(back), after)
                if whole or back >= min(size, _MOST):
                    return events
                back *= 4
    except OSError:
        return []


def _behind(data: bytes, after: tuple[int, int]) -> tuple[list[Event], bool]:
    """The events behind ``after`` in these last bytes of the file, and whether no earlier ones are needed."""
    found: list[Event] = []
    for line in reversed(data[: data.rfind(b"\n") + 1].splitlines()):
        event = parse(line)
        if event is None:
            continue
        if (event.epoch, event.n) <= after:
            return found[::-1], True
        found.append(event)
    return found[::-1], False


def brought_up(page: dict[str, Any], events: Iterable[Event]) -> dict[str, Any]:
    """The page after these events of its child, oldest first. The queue's counts are those of the page with what came and went
    since."""
    page = dict(page)
    for event in events:
        fields: Mapping[str, Any] = event.fields
        name = fields.get("name")
        if event.kind == "queued" and not fields.get("replaced"):
            _count(page, waiting=1, bytes=fields.get("size") or 0)
        elif event.kind in _GONE:
            _take_out(page, name, fields.get("size") or 0)
            if event.kind == "parked":
                _count(page, parked=1)
        elif event.kind == "connected":
            _enter(page, "connected", event.at)
            page |= {"problem": None, "problem_since": None, "next_try": None}
        elif event.kind == "resting":
            _enter(page, "resting", event.at)
        if event.kind in ("delivered", "unchanged") and isinstance(fields.get("receipt"), int):
            page["receipt"] = fields["receipt"]
        if event.kind == "delivered":
            page["delivered"] = (page.get("delivered") or 0) + 1
            for key in ("bytes_sent", "bytes_new"):
                page[key] = (page.get(key) or 0) + (fields.get(key) or 0)
            page["last_delivery"] = {"at": event.at, "name": name, "size": fields.get("size")}
        page |= {"n": event.n, "at": event.at}
    return page


def _enter(page: dict[str, Any], state: str, at: str) -> None:
    if page.get("state") not in _AT_THE_END:
        page |= {"state": state, "why": "", "state_since": at}


def _take_out(page: dict[str, Any], name: object, size: int) -> None:
    """A file has left what waits or is being sent."""
    moving = list(page.get("moving") or [])
    page["moving"] = [row for row in moving if not (isinstance(row, Mapping) and row.get("name") == name)]
    queue = page.get("queue") or {}
    sending = int(queue.get("sending") or 0)
    if sending and (len(page["moving"]) < len(moving) or not queue.get("waiting")):
        _count(page, sending=-1, bytes=-size)
    else:
        _count(page, waiting=-1, bytes=-size)


def _count(page: dict[str, Any], **steps: int) -> None:
    queue = dict(page.get("queue") or {})
    for key, step in steps.items():
        queue[key] = max(0, int(queue.get(key) or 0) + step)
    if not (queue.get("waiting") or queue.get("sending")):
        queue["bytes"] = queue["bytes"] if queue.get("parked") else 0
        queue["oldest"] = queue.get("oldest") if queue.get("parked") else None
    page["queue"] = queue
