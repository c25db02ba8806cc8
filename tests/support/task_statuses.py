"""States of tasks as the views and the alerts get them, on a made-up clock."""

from __future__ import annotations

from pysubtask.common.events import utc
from pysubtask.common.remedy import says_more
from pysubtask.common.why import remedy, why
from pysubtask.control.alerts.message import message
from pysubtask.control.view.task_status import TaskStatus

NOW = 1_800_000_000.0


def task_status(label, destination, page, queue=(0, 0, 0), *, alive=True, ago=1.0, oldest=None):
    numbers = dict(zip(("waiting", "sending", "parked"), queue, strict=True))
    numbers["oldest"] = None if oldest is None else utc(NOW - oldest)
    page = {"pid": 7, "at": utc(NOW - ago), "queue": numbers, "why": "", **page}
    pid = 7 if alive else None
    more = says_more(page.get("config_file", ""))
    return TaskStatus(
        label,
        destination,
        page,
        pid,
        NOW - ago,
        NOW,
        numbers,
        why(page, pid=pid, last_sign=NOW - ago, now=NOW),
        remedy=remedy(page, pid=pid, queue=numbers, more=more),
    )


ALERT = message(
    "begins",
    "held",
    task_status("roof/ftp", "sftp://h/", {"state": "held", "why": "no\x1b[2J\nnews"}, (3, 0, 1), oldest=9),
    "roof7",
    NOW - 90,
    task="roof",
    extension="ftp",
)
