"""Which kind of incident the status of a task shows."""

from __future__ import annotations

import pytest

from pysubtask.common.events import utc
from pysubtask.control.alerts.kinds import DISK_LOW, HELD, KINDS, PARKED, SILENT, seen
from tests.support.task_statuses import NOW, task_status

HOUR = 3600.0
QUIET = {"state": "connected"}
LINK = {"state": "waiting", "why": "Connection refused", "problem": {"kind": "connect_failed", "text": "x", "remedy": "y"}}
REFUSED = {"state": "held", "why": "permission denied", "problem": {"text": "x", "remedy": "y"}, "problem_since": utc(NOW - 90)}
MISSING = [{"path": "/d", "reason": "gone"}]
MOVING = [{"name": "a", "size": 9, "done": 1}]


def there(page, queue=(0, 0, 0), secs=HOUR, **more):
    """What of each kind is so: True, False, None for untold."""
    return {kind: one.there for kind, one in seen(task_status("roof/ftp", "sftp://h/", page, queue, **more), secs).items()}


@pytest.mark.parametrize(
    ("page", "queue", "more", "found"),
    [
        # What is well is known to be so.
        (QUIET, (0, 0, 0), {}, ()),
        ({"state": "resting"}, (0, 0, 0), {}, ()),
        (QUIET, (5, 0, 0), {"oldest": 20}, ()),
        (REFUSED, (5, 0, 0), {"oldest": 20}, (HELD,)),
        # That a task that is held delivers nothing is no trouble of its own.
        (REFUSED, (5, 0, 0), {"oldest": 9 * HOUR}, (HELD,)),
        (QUIET, (0, 0, 2), {}, (PARKED,)),
        (QUIET, (5, 1, 2), {"oldest": 20}, (PARKED,)),
        (LINK, (5, 0, 2), {"oldest": 20}, (PARKED,)),
        # A file that is parked is not one that waits.
        (QUIET, (0, 0, 2), {"oldest": 9 * HOUR}, (PARKED,)),
        ({**QUIET, "disk_low": True}, (0, 0, 0), {}, (DISK_LOW,)),
        ({**LINK, "disk_low": True}, (3, 0, 0), {"oldest": 9}, (DISK_LOW,)),
        (LINK, (5, 0, 0), {"oldest": HOUR - 1}, ()),
        (LINK, (5, 0, 0), {"oldest": HOUR + 1}, (SILENT,)),
        ({**QUIET, "paused": [{"name": None, "who": "ana", "at": ""}]}, (3, 0, 0), {"oldest": 9}, ()),
        ({**QUIET, "paused": [{"name": None, "who": "ana", "at": ""}]}, (3, 0, 0), {"oldest": HOUR + 1}, (SILENT,)),
        # One with a long queue that gets shorter is not silent.
        ({**QUIET, "last_delivery": {"at": utc(NOW - 9)}}, (500, 1, 0), {"oldest": 9 * HOUR}, ()),
        ({**QUIET, "last_delivery": {"at": utc(NOW - 2 * HOUR)}}, (500, 1, 0), {"oldest": 9 * HOUR}, (SILENT,)),
        ({**QUIET, "moving": MOVING}, (0, 1, 0), {"ago": 400, "oldest": 400}, (SILENT,)),
        ({**QUIET, "missing": MISSING}, (0, 0, 0), {}, (SILENT,)),
        (QUIET, (0, 0, 0), {"alive": False}, (SILENT,)),
        (QUIET, (2, 0, 3), {"alive": False}, (PARKED, SILENT)),
        ({"state": "failed", "why": "no room"}, (0, 0, 0), {"alive": False}, (SILENT,)),
        # It was stopped by somebody, and nothing waits.
        ({"state": "stopped"}, (0, 0, 0), {"alive": False}, ()),
        ({"state": "stopped"}, (2, 0, 0), {"alive": False, "oldest": HOUR + 1}, (SILENT,)),
    ],
)
def test_each_kind_is_seen(page, queue, more, found):
    assert tuple(kind for kind, one in there(page, queue, **more).items() if one) == found


@pytest.mark.parametrize(
    ("page", "untold"),
    [
        # The login may be refused again in a moment, and a file parked again.
        ({"state": "starting"}, KINDS),
        ({"state": "connecting"}, (HELD, PARKED)),
        (LINK, (HELD, PARKED)),
        ({**QUIET, "paused": [{"name": None, "who": "ana", "at": ""}]}, (HELD, PARKED)),
        ({"state": "stopping"}, KINDS),
        (QUIET, ()),
        ({"state": "resting"}, ()),
    ],
)
def test_what_cannot_be_known_is_not_called_over(page, untold):
    assert tuple(kind for kind, one in there(page).items() if one is None) == untold


def test_of_a_dead_child_nothing_is_over():
    assert there(QUIET, alive=False) == {HELD: None, PARKED: None, DISK_LOW: None, SILENT: True}


def test_a_page_that_may_be_over_tells_nothing_but_silence():
    one = task_status("roof/ftp", "sftp://h/", {**QUIET, "disk_low": True})._replace(stale="its disk is full")
    assert [seen(one, HOUR)[kind].there for kind in (HELD, PARKED, DISK_LOW)] == [None, None, None]
    assert seen(one, HOUR)[SILENT].there and seen(one, HOUR)[SILENT].lasts_secs == HOUR


def test_how_long_it_has_to_last_and_since_when_it_is_so():
    held = seen(task_status("t", "d", REFUSED), HOUR)[HELD]
    assert held.since == NOW - 90 and held.lasts_secs is None
    dead = seen(task_status("t", "d", QUIET, alive=False), HOUR)[SILENT]
    assert dead.lasts_secs == HOUR, "it is started again in a moment, mostly"
    waits = seen(task_status("t", "d", LINK, (5, 0, 0), oldest=HOUR + 9), HOUR)[SILENT]
    assert waits.since == NOW - HOUR - 9 and waits.lasts_secs is None, "it has lasted already"
    # How long a file has waited beside an older one that is parked is not known.
    assert seen(task_status("t", "d", LINK, (5, 0, 1), oldest=HOUR + 9), HOUR)[SILENT].lasts_secs == HOUR
    frozen = task_status("t", "d", QUIET)._replace(frozen=True)
    assert seen(frozen, HOUR)[SILENT].lasts_secs == HOUR and seen(frozen, HOUR)[HELD].there is None
