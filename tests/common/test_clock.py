"""A clock that was not set: 1970 at the boot, and put right later."""

from __future__ import annotations

import time

import pytest

from pysubtask.common import clock

NOW = 1_796_000_000.0
DAY = 86400.0


@pytest.mark.parametrize(
    ("at", "good"),
    [
        (0, False),
        (20, False),
        (-5, False),
        (946_684_800, False),
        (1_704_067_199, False),
        (1_704_067_200, True),
        (NOW, True),
        (4_102_444_800, False),
        (1e18, False),
    ],
)
def test_what_may_be_right(at, good):
    assert clock.is_plausible(at) == good
    assert (clock.blame(at) == "") == good
    assert clock.reading(at).startswith("this machine's clock says ")


def test_what_it_says():
    assert clock.blame(20) == "this machine's clock says 1970-01-01 00:00 UTC"


def test_times_of_before_a_jump_are_doubtful():
    """A board that boots with the date of its system's build, which looks right."""
    built = NOW - 400 * DAY
    steps = clock.Steps(built + 30, 30)
    steps.note(built + 60, 60)
    assert not steps.is_doubtful(built + 40)
    steps.note(NOW, 90)
    for at in (built, built + 59, built + 89, 0, 20):
        assert steps.is_doubtful(at), at
    for at in (NOW, NOW - DAY, built - 30 * DAY, built + 2 * DAY):
        assert not steps.is_doubtful(at), at


def test_a_clock_that_advances_or_is_set_back_is_not_in_doubt():
    steps = clock.Steps(NOW, 100)
    for wall, boot in ((NOW + 3 * DAY, 100 + 3 * DAY), (NOW + 3 * DAY + 1800, 100 + 3 * DAY), (NOW, 200 + 3 * DAY)):
        steps.note(wall, boot)
    assert not steps.is_doubtful(NOW + 10)


def test_the_time_since_the_boot_goes_on():
    first = clock.since_boot()
    time.sleep(0.01)
    assert clock.since_boot() > first
