"""Where a scan finds files that had no event, the folder is scanned by the timer from then on."""

from __future__ import annotations

from pysubtask.subtask.watch.missed_events import PATIENCE_SECS, MissedEvents


def test_a_file_of_which_no_event_comes():
    unheard = MissedEvents()
    unheard.found("/x/a", 100.0)
    unheard.found("/x/a", 105.0)
    assert unheard.overdue(100.0 + PATIENCE_SECS - 0.1) is None
    assert unheard.overdue(100.0 + PATIENCE_SECS) == "/x/a"
    assert unheard.overdue(1000.0) is None, "once"


def test_an_event_that_comes_late_is_one():
    unheard = MissedEvents()
    for name in ("/x/a", "/x/b"):
        unheard.found(name, 100.0)
    unheard.heard(["/x/a"], False)
    assert unheard.overdue(200.0) == "/x/b"
    unheard.found("/x/c", 300.0)
    unheard.heard([], True)
    assert unheard.overdue(400.0) is None, "it may have been among those that were lost"
