"""What a monitoring system gets: one line, and the statuses of the Monitoring Plugins."""

from __future__ import annotations

import re

import pytest

from pysubtask.control.view.health import CRITICAL, OK, SILENT_SECS, UNKNOWN, WARNING, verdict
from tests.support.task_statuses import task_status

QUIET = {"state": "connected"}


def of(*states, most_age=None):
    return verdict(
        [task_status(f"t{number}/ftp", "sftp://h/", *state[0], **state[1]) for number, state in enumerate(states)], most_age
    )


def one(page, queue=(0, 0, 0), most_age=None, **more):
    return verdict([task_status("roof/ftp", "sftp://h/", page, queue, **more)], most_age)


PROBLEM = {"kind": "connect_failed", "text": "x", "remedy": "Is the server up?"}


@pytest.mark.parametrize(
    ("page", "queue", "more", "level"),
    [
        (QUIET, (0, 0, 0), {}, OK),
        (QUIET, (5, 0, 0), {"oldest": 20}, OK),
        ({"state": "resting"}, (0, 0, 0), {}, OK),
        ({"state": "connecting"}, (5, 0, 0), {"oldest": 20}, OK),
        ({"state": "starting"}, (0, 0, 0), {}, OK),
        ({"state": "waiting", "why": "Connection refused", "problem": PROBLEM}, (5, 0, 0), {"oldest": 20}, WARNING),
        ({"state": "held", "why": "permission denied", "problem": PROBLEM}, (5, 0, 0), {"oldest": 20}, CRITICAL),
        (QUIET, (0, 0, 2), {}, WARNING),
        ({**QUIET, "paused": [{"name": None, "who": "ana", "at": ""}]}, (3, 0, 0), {"oldest": 9}, WARNING),
        ({**QUIET, "disk_low": True}, (0, 0, 0), {}, CRITICAL),
        ({**QUIET, "missing": [{"path": "/d", "reason": "gone"}]}, (0, 0, 0), {}, CRITICAL),
        ({**QUIET, "cannot_read": [{"path": "/d/x", "kind": "read", "reason": "no"}], "unreadable": 1}, (0, 0, 0), {}, WARNING),
        (QUIET, (0, 0, 0), {"alive": False}, CRITICAL),
        ({"state": "stopped"}, (0, 0, 0), {"alive": False}, WARNING),
        ({"state": "failed", "why": "no room"}, (0, 0, 0), {"alive": False}, CRITICAL),
    ],
)
def test_each_state_has_its_status(page, queue, more, level):
    assert one(page, queue, **more).level == level


def test_a_child_that_writes_nothing_any_more_is_critical():
    busy = {**QUIET, "moving": [{"name": "a", "size": 9, "done": 1}]}
    assert one(QUIET, ago=10 * SILENT_SECS).level == OK, "one that has nothing to do writes nothing"
    assert one(busy, ago=SILENT_SECS - 1).level == WARNING
    found = one(busy, ago=SILENT_SECS + 1)
    assert found.level == CRITICAL and "written nothing for 5 min" in found.line


def test_with_a_greatest_age_a_bad_link_counts_only_beyond_it():
    page = {"state": "waiting", "why": "Connection refused", "problem": PROBLEM}
    assert one(page, (5, 0, 0), 3600, oldest=3599).level == OK
    found = one(page, (5, 0, 0), 3600, oldest=3700)
    assert found.level == CRITICAL and "the oldest file waits for 62 min, more than 60 min" in found.line
    # An idle child is no excuse for a file that is too old.
    assert one(QUIET, (0, 0, 1), 3600, oldest=7200).level == CRITICAL


def test_the_worst_task_decides_and_is_named_first():
    found = of(((QUIET,), {}), (({"state": "stopped"},), {"alive": False}), ((QUIET,), {"alive": False}))
    assert found.level == CRITICAL
    assert re.match(r"PYSUBTASK CRITICAL - t2/ftp \(dead\): .*; t1/ftp \(stopped\): .* \| ", found.line)
    many = of(*[((QUIET,), {"alive": False})] * 9)
    assert "and 6 more" in many.line and "not_well=9" in many.line


def test_the_line_is_one_line_with_numbers_behind_a_bar():
    found = one({"state": "waiting", "why": "a | b\nc \x1b[31m", "problem": PROBLEM}, (5, 1, 2), oldest=20)
    text, numbers = found.line.split(" | ")
    assert "\n" not in found.line and "a / b c" in text
    assert numbers == "queued=6 parked=2 oldest=20s not_well=1"
    assert one(QUIET).line == "PYSUBTASK OK - 1 task, nothing to send | queued=0 parked=0 oldest=0s not_well=0"
    assert "oldest=20s;;60" in one(QUIET, (5, 0, 0), 60, oldest=20).line


def test_where_there_is_no_task_nothing_is_known():
    assert verdict([], None).level == UNKNOWN
