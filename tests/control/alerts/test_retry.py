"""When a program that has failed is tried again."""

from __future__ import annotations

from pysubtask.control.alerts.retry import Retry


def test_the_wait_doubles_from_a_minute_to_an_hour():
    one, waits, now = Retry(), [], 100.0
    assert one.may(now)
    for _ in range(9):
        one = one.failed(now)
        assert not one.may(now) and one.may(one.not_before)
        waits.append(one.not_before - now)
        now = one.not_before
    assert waits == [60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]
