"""Logins that come to nothing, by the clock."""

from __future__ import annotations

import pytest

from pysubtask.subtask.logins import Logins


def test_so_many_in_any_minute():
    logins = Logins(3)
    for at in (0, 10, 20):
        assert logins.wait(at) == 0
        logins.failed(at)
    assert logins.wait(20) == 40 and logins.wait(59.5) == 0.5 and logins.wait(60) == 0
    logins.failed(60)
    assert logins.wait(60) == 10 and logins.wait(70) == 0


@pytest.mark.parametrize("most", [0, 1, 6])
def test_what_a_server_sees_of_one_that_is_always_tried_again(most: int):
    logins, seen, now = Logins(most), [], 0.0
    while now < 600:
        wait = logins.wait(now)
        if wait <= 0:
            seen.append(now)
            logins.failed(now)
        now += max(wait, 1.0)
    assert len(seen) > 9
    if most:
        assert all(sum(at <= one < at + 60 for one in seen) <= most for at in seen)


def test_it_is_forgotten_where_somebody_has_mended_it():
    logins = Logins(1)
    logins.failed(0)
    assert logins.wait(1) == 59
    logins.forget()
    assert logins.wait(1) == 0


def test_another_limit_counts_at_once():
    logins = Logins(1)
    logins.failed(0)
    logins.most = 2
    assert logins.wait(1) == 0
    logins.failed(2)
    logins.most = 1
    assert logins.wait(3) == 59
