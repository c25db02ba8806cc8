"""The status of tasks as lines of text. No function here needs a terminal."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from ...common.events import Event
from ...common.text import amount, bar, clock, files, fit, pad, seconds, share, span, table, wrapped
from ...common.why import standing, word
from .task_status import TaskStatus

WIDE = 110
"""From this width in columns on, the destination and all amounts have a column each; on a narrower terminal they have lines."""
FORGOTTEN_SECS = 86400.0
"""Seconds for which an error is shown after it is over."""
_NAMES = 3
_BARE = frozenset(("name", "path", "reason", "key", "names", "files"))
_BYTES = frozenset(("size", "bytes_sent"))
_LEFT_OUT = frozenset(("bytes_new", "bytes_on_wire", "receipt"))


def state_of(task_status: TaskStatus) -> str:
    """The state of a child, in one word or two."""
    return word(
        task_status.page,
        pid=task_status.pid,
        now=task_status.now,
        queue=task_status.queue,
        frozen=task_status.frozen,
        missing=task_status.missing,
        stale=task_status.stale,
        elsewhere=task_status.elsewhere,
    )


def status(task_statuses: Sequence[TaskStatus], width: int, *, bars: bool = False) -> list[str]:
    """The table of all tasks, each with the reason of its state and its last error below it. ``width``: in columns; ``bars``: with
    a bar for each file that is being uploaded, in place of the watched entries."""
    wide = width >= WIDE
    head = [
        "TASK",
        *(["DESTINATION"] if wide else []),
        "STATE",
        "QUEUED",
        "OLDEST",
        "MOVING",
        "RATE",
        "DELIVERED",
        *(["NEW", "SENT", "ON WIRE"] if wide else ["SENT"]),
    ]
    numbers = [at for at, name in enumerate(head) if name not in ("TASK", "DESTINATION", "STATE")]
    lines = table(head, [_row(task_status, wide) for task_status in task_statuses], width, numbers=numbers, give=1 if wide else 0)
    output = [lines[0]]
    for task_status, line in zip(task_statuses, lines[1:], strict=True):
        output += [line, *_below(task_status, width, wide), *(_bars(task_status, width) if bars else _watched(task_status, width))]
    return output


def _row(task_status: TaskStatus, wide: bool) -> list[str]:
    page, queue = task_status.page, task_status.queue
    oldest = seconds(queue.get("oldest"))
    # Where the folder is missing, so is the page with the counts.
    away = bool(task_status.missing) and not page
    left = sum(int(queue.get(key) or 0) for key in ("waiting", "sending", "parked")) + int(page.get("not_copied") or 0)
    return [
        task_status.label,
        *([task_status.destination] if wide else []),
        state_of(task_status),
        "-" if away and not left else str(left),
        span(None if oldest is None else task_status.now - oldest),
        _moving(page.get("moving") or []),
        _rate(task_status),
        "-" if away else str(page.get("delivered") or 0),
        *([amount(page.get("bytes_new"))] if wide else []),
        amount(page.get("bytes_sent")),
        *([amount(page.get("bytes_on_wire"))] if wide else []),
    ]


def _moving(rows: Sequence[Mapping[str, Any]]) -> str:
    if not rows:
        return "-"
    return f"{len(rows)} ({share(sum(row['done'] for row in rows), sum(row['size'] for row in rows))})"


def _rate(task_status: TaskStatus) -> str:
    if task_status.pid is None or not task_status.page.get("moving"):
        return "-"
    return "0 B/s" if standing(task_status.page, task_status.now) is not None else f"{amount(task_status.page.get('rate'))}/s"


def _below(task_status: TaskStatus, width: int, wide: bool) -> list[str]:
    page = task_status.page
    lines = []
    if not wide:
        lines.append(f"  to {fit(task_status.destination, width - 5)}")
        lines.append(
            f"  new {amount(page.get('bytes_new'))}, sent {amount(page.get('bytes_sent'))}, "
            f"on the wire {amount(page.get('bytes_on_wire'))}"
        )
    lines += wrapped(task_status.why, width, "  ", "    ")
    lines += wrapped(task_status.remedy, width, "  ", "    ") if task_status.remedy else []
    for text in where_kept(page):
        lines += wrapped(text, width, "  ", "    ")
    error = last_error(task_status)
    if error:
        lines += wrapped(error, width, "  ", "    ")
    server = page.get("server")
    for text in server if isinstance(server, list) else []:
        lines += wrapped(f"Note: {text}", width, "  ", "    ")
    return lines


def where_kept(page: Mapping[str, Any]) -> list[str]:
    """Lines about the state folder and the snapshots, where they are not in their usual place."""
    found = []
    if page.get("state_why"):
        found.append(f"State kept in {page.get('state_folder')}: {page['state_why']}")
    if page.get("snapshots_elsewhere"):
        found.append(f"Snapshots kept in {page.get('snapshots')}, on another disk than the data: MinFreeBytes counts there")
    return found


def _watched(task_status: TaskStatus, width: int) -> list[str]:
    """A line for each entry with the events upon which its files are sent, and lines about files that are left out."""
    rows = [row for row in task_status.page.get("watched") or [] if isinstance(row, Mapping)]
    lines = [line for row in rows for line in wrapped(f"{row.get('path')}: {row.get('when')}", width, "  ", "    ")]
    left = int(task_status.page.get("watched_more") or 0)
    if left:
        lines.append(f"  and {left} more entries")
    for text in left_out(task_status.page):
        lines += wrapped(text, width, "  ", "    ")
    return lines


def left_out(page: Mapping[str, Any]) -> list[str]:
    """A line about the files in watched folders that are not sent, with the reasons; empty where there are none."""
    rows = [row for row in page.get("excluded") or [] if isinstance(row, Mapping)]
    count = len(rows) + int(page.get("excluded_more") or 0)
    if not rows:
        return []
    names: dict[str, list[str]] = {}
    for row in rows:
        names.setdefault(str(row.get("why")), []).append(os.path.basename(str(row.get("path"))))
    grouped = "; ".join(
        f"{', '.join(found[:_NAMES])}{' ...' if len(found) > _NAMES else ''} ({why})" for why, found in names.items()
    )
    more = f"; {count - len(rows):,} more" if count > len(rows) else ""
    return [f"Left out: {files(count)}: {grouped}{more} ('pysubtask check' lists all)"]


def last_error(task_status: TaskStatus) -> str:
    """The newest error of any kind, with its age; '' where there is none, or the last one has been over for a day."""
    error = task_status.page.get("last_error")
    if not error:
        return ""
    at = seconds(error.get("at"))
    age = None if at is None else task_status.now - at
    if error.get("over") and age is not None and age > FORGOTTEN_SECS:
        return ""
    head = "Last error, over now" if error.get("over") else "Last error"
    return f"{head}: {'' if age is None else f'{span(age)} ago: '}{error.get('text')}"


def _bars(task_status: TaskStatus, width: int) -> list[str]:
    """A line with a bar for each file that is being uploaded."""
    rows = task_status.page.get("moving") or [] if task_status.pid is not None else []
    if not rows:
        return []
    long = max(10, min(30, width // 4))
    name = max(8, width - long - 24)
    lines = []
    for row in rows:
        done, size = row["done"], row["size"]
        lines.append(f"  {pad(row['name'], name)}  {bar(done, size, long)} {share(done, size):>4}  {amount(size):>9}")
    return [fit(line, width) for line in lines]


def event(found: Event, width: int, now: float, label: str = "") -> str:
    """An event as one line of ``width`` columns: time, child, kind, fields. ``now``: seconds since the epoch."""
    fields: Mapping[str, Any] = found.fields
    left_out = _LEFT_OUT | ({"path"} if "name" in fields else set())
    visible = [(key, value) for key, value in fields.items() if value is not None and key not in left_out]
    words = [
        _value(value)
        if key in _BARE
        else f"{key.replace('_', ' ')} {amount(value)}"
        if key in _BYTES
        else f"{key.replace('_', ' ')} {_value(value)}"
        for key, value in visible
    ]
    line = f"{clock(seconds(found.at), now):>8}  {label + '  ' if label else ''}{found.kind.replace('_', ' ')}  {', '.join(words)}"
    return fit(line.rstrip(), width)


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"{value.get('user')} ({value.get('command')})" if "user" in value else ", ".join(map(str, value.values()))
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def watch(task_statuses: Sequence[TaskStatus], recent: Sequence[tuple[str, Event]], width: int, height: int) -> list[str]:
    """The live view: the table with bars, and below it as many of the last events as there is room for, the newest at the
    bottom."""
    lines = status(task_statuses, width, bars=True)
    room = height - len(lines) - 2
    if len(lines) > height:
        # The table fills the screen: its remaining lines are counted, and no event is shown.
        lines = [*lines[: height - 1], fit(f"  … {len(lines) - height + 1} more lines", width)]
    elif room > 0 and recent:
        several = len(task_statuses) > 1
        lines += [
            "",
            *(event(found, width, task_statuses[0].now, label if several else "") for label, found in list(recent)[-room:]),
        ]
    return lines
