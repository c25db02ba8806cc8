"""Waiting for an answer: whoever gives it may end right after it, or seem gone for a moment."""

from __future__ import annotations

from itertools import chain, repeat

import pytest

from pysubtask.common.requests import Reply
from pysubtask.control.tasks.find import answered
from pysubtask.control.view.request_result import connection_first

REPLY = Reply("1", True, None, "", "")


def replies(*answers):
    """A callable that gives these, one after the other, and the last one for ever."""
    every = chain(answers, repeat(answers[-1]))
    return lambda: next(every)


@pytest.mark.parametrize(
    ("reply", "is_there", "found"),
    [
        (replies(REPLY), replies(False), (REPLY, True)),
        (replies(None, None, REPLY), replies(True), (REPLY, True)),
        # Answered between the read of the reply and the check of the lock: it was there last.
        (replies(None, None, None, REPLY), replies(False), (REPLY, False)),
        # Gone for a moment: the lock of one that has just come has no name in it.
        (replies(*[None] * 6, REPLY), replies(False, False, True, False, True), (REPLY, True)),
        (replies(None), replies(False), (None, False)),
    ],
)
def test_an_answer_counts_more_than_a_lock(reply, is_there, found):
    assert answered(reply, is_there, 20.0) == found


def test_after_its_time_it_says_whether_somebody_is_there():
    assert answered(replies(None), replies(True), 0.05) == (None, True)
    assert answered(replies(None), replies(False), 0.05, waits_for_dead=True) == (None, False)


@pytest.mark.parametrize(
    ("connection", "sentence"),
    [
        (None, "2 files offered again"),
        ({"state": "connected"}, "2 files offered again"),
        ({"state": "connecting"}, "connecting now; 2 files offered again"),
        (
            {"state": "held", "secs": 41.0},
            "the login was refused and is tried again in 41 s (one extra try a minute, so that no "
            "account gets locked); 2 files offered again",
        ),
        ({"state": "busy", "secs": 12}, "the server asked for a pause, next try in 12 s; 2 files offered again"),
        ({"state": "paused"}, "the task is paused, 'pysubtask resume' lets it go on; 2 files offered again"),
    ],
)
def test_what_became_of_the_connection_is_reported_first(connection, sentence):
    assert connection_first({"connection": connection}, "2 files offered again") == sentence
    assert connection_first({}, "x") == "x"
