"""Connections that something on the way forgets."""

from __future__ import annotations

from pysubtask.subtask.delivery.idle_timeout import IdleTimeout


def went(pauses: IdleTimeout, pause: float, well: bool) -> str:
    pauses.begins(pause)
    if well:
        pauses.lived()
        return ""
    return pauses.died()


def test_it_is_reported_once_it_was_seen_twice():
    pauses = IdleTimeout()
    assert went(pauses, 20, True) == "" and went(pauses, 70, False) == ""
    message = went(pauses, 65, False)
    assert "65 s" in message and "DeadTimeMilli = 52000" in message
    assert went(pauses, 80, False) == "", "that is not new"
    assert "40 s" in went(pauses, 40, False), "a shorter one is"


def test_a_longer_pause_survived_means_another_cause():
    pauses = IdleTimeout()
    assert went(pauses, 70, False) == "" and went(pauses, 90, True) == ""
    assert went(pauses, 60, False) == "" and went(pauses, 80, False) == ""
    assert went(pauses, 120, False) == "" and "100 s" in went(pauses, 100, False)


def test_a_link_that_dies_without_a_pause_says_nothing():
    pauses = IdleTimeout()
    assert pauses.died() == "" and pauses.died() == ""
    pauses.lived()
    assert [went(pauses, 30, True), went(pauses, 10, False), went(pauses, 20, False)] == ["", "", ""]
