"""The tables as they are printed, at 80 and 120 columns. After a change on purpose: read the test's output, and copy it here."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from pysubtask.common.events import Event, utc
from pysubtask.common.text import cells
from pysubtask.control.commands import queue, receipts
from pysubtask.control.view import status_view
from tests.support.task_statuses import NOW, task_status

PICTURES = Path(__file__).with_name("screens.txt")
AWKWARD = "\x1b[31m" + os.fsdecode(b"\xff") + "図形\n.csv"


def scene():
    """Tasks in many states."""
    moving = [
        {"name": AWKWARD, "size": 1_000_000, "done": 255_000},
        {"name": "pictures/2027/" + "long_" * 20 + ".jpg", "size": 40, "done": 40},
        {"name": "big.avi", "size": 9_000_000_000, "done": 8_999_999_999},
    ]
    return [
        task_status(
            "roof/ftp",
            "sftp://station@data.example.org:22/incoming/roof",
            {
                "state": "connected",
                "moving": moving,
                "rate": 123_456,
                "delivered": 1207,
                "bytes_sent": 5_300_000,
                "bytes_new": 5_100_000,
                "bytes_on_wire": 5_900_000,
            },
            (7, 3, 1),
            oldest=200,
        ),
        task_status(
            "cellar/dropbox",
            "dropbox://h5k2/a_folder_with_a_name/" + AWKWARD,
            {
                "state": "waiting",
                "why": "Connection refused",
                "problem": {"kind": "connect_failed", "text": "x", "remedy": "Is the server up, and is HostPort right?"},
                "next_try": utc(NOW + 30),
                "delivered": 0,
                "last_error": {
                    "at": utc(NOW - 3),
                    "kind": "connect_failed",
                    "text": "no connection to data.example.org port 22: \x1b]0;Connection refused",
                },
            },
            (12, 0, 0),
            oldest=90_000,
        ),
        task_status(
            "gone/ftp",
            "ftp://old.example.org:21/",
            {"state": "connected", "delivered": 3, "bytes_sent": 100},
            (2, 0, 0),
            alive=False,
            ago=4000,
            oldest=5000,
        ),
    ]


EVENTS = [
    (
        "roof/ftp",
        Event(3, 41, "2027-01-15T07:59:59.000Z", "queued", {"name": AWKWARD, "path": "/data/" + AWKWARD, "size": 1_000_000}),
    ),
    (
        "roof/ftp",
        Event(
            3,
            42,
            "2027-01-15T07:59:59.500Z",
            "setting_changed",
            {
                "key": "RateLimit",
                "old": 0,
                "new": 50000,
                "kept": True,
                "by": {"user": "ana", "pid": 7, "command": "pysubtask set RateLimit=50k", "host": "h"},
            },
        ),
    ),
]
ROWS = [
    {
        "name": AWKWARD,
        "path": "/d/x",
        "state": "parked",
        "size": 1000,
        "at": utc(NOW - 60),
        "attempts": 2,
        "reason": "permission denied\x1b[2J for this file, which the server says in many words",
        "next_try_secs": 55.2,
    },
    {
        "name": "a" * 90,
        "path": "/d/y",
        "state": "paused",
        "size": 20_000,
        "at": utc(NOW - 7200),
        "attempts": 0,
        "reason": "paused by ana (pid 7, pysubtask pause)",
        "next_try_secs": 0.0,
    },
    {
        "name": "next.csv",
        "path": "/d/z",
        "state": "waiting",
        "size": 5,
        "at": utc(NOW),
        "attempts": 0,
        "reason": "",
        "next_try_secs": 0.0,
    },
]


def screens():
    found = {}
    for width in (80, 120):
        found[f"status, {width} columns"] = status_view.status(scene(), width)
        found[f"watch, {width} columns"] = status_view.watch(scene()[:2], EVENTS, width, 40)
        found[f"queue, {width} columns"] = queue.lines_of("roof/ftp", ROWS, width, NOW, alive=True, limit=1000)
    found["queue of a dead child"] = queue.lines_of("roof/ftp", ROWS[2:], 80, NOW, alive=False, limit=1)
    receipt = receipts.Receipt(5, utc(NOW), "/data/" + AWKWARD, AWKWARD, "sftp://h:22/in/", 5, 1, "ab" * 32, 5, "hash", 5, 700)
    found["a receipt"] = receipts.lines_of("roof/ftp", receipt, 80, NOW)
    return found


@pytest.fixture(autouse=True)
def greenwich(monkeypatch):
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def test_the_screens_are_as_they_were():
    text = "".join(f"== {title}\n" + "".join(line + "\n" for line in lines) + "\n" for title, lines in screens().items())
    if os.environ.get("WRITE_SCREENS"):
        PICTURES.write_text(text, encoding="utf-8")
    assert text == PICTURES.read_text(encoding="utf-8")


def test_nothing_leaves_its_line_or_reaches_the_terminal_raw():
    for title, lines in screens().items():
        width = 120 if "120" in title else 80
        assert [line for line in lines if cells(line) > width or not line.isprintable()] == [], title


@pytest.mark.parametrize("height", [3, 8, 24])
def test_the_live_view_keeps_to_the_height(height):
    lines = status_view.watch(scene(), EVENTS * 30, 80, height)
    assert len(lines) <= height
    assert lines[0].startswith("TASK")
