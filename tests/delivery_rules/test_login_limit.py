"""Logins that come to nothing, by the clock."""

from __future__ import annotations

import pytest

from pysubtask.delivery_rules.login_limit import LoginLimit


def test_so_many_in_any_minute():
    logins = LoginLimit(3)
    for at in (0, 10, 20):
        assert logins.wait(at) == 0
        logins.failed(at)
    assert logins.wait(20) == 40 and logins.wait(59.5) == 0.5 and logins.wait(60) == 0
    logins.failed(60)
    assert logins.wait(60) == 10 and logins.wait(70) == 0


@pytest.mark.parametrize("most", [0, 1, 6])
def test_what_a_server_sees_of_one_that_is_always_tried_again(most: int):
    logins, seen, now = LoginLimit(most), [], 0.0
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
    logins = LoginLimit(1)
    logins.failed(0)
    assert logins.wait(1) == 59
    logins.forget()
    assert logins.wait(1) == 0


def test_another_limit_counts_at_once():
    logins = LoginLimit(1)
    logins.failed(0)
    logins.most = 2
    assert logins.wait(1) == 0
    logins.failed(2)
    logins.most = 1
    assert logins.wait(3) == 59


class Banning:
    """A server that answers no address which made more than ``most`` connections within a minute, for as long as it goes on."""

    def __init__(self, most: int) -> None:
        self.most, self.seen, self.banned_until = most, [], -1.0

    def connect(self, now: float) -> bool:
        if now < self.banned_until:
            self.banned_until = now + 60
            return False
        self.seen = [at for at in self.seen if now - at < 60] + [now]
        if len(self.seen) > self.most:
            self.banned_until = now + 60
            return False
        return True


@pytest.mark.parametrize("wait_secs", [1.0, 3.0, 30.0])
@pytest.mark.parametrize("most", [3, 5, 6])
def test_a_ban_that_each_connection_begins_anew_ends(most: int, wait_secs: float):
    """A link that is cut every ten seconds, and then is good; each try without an answer takes twenty."""
    logins, server, now, came_back = LoginLimit(6), Banning(most), 0.0, None
    while now < 1_200 and came_back is None:
        if server.connect(now):
            logins.answered()
            if now > 130:
                came_back = now
            now += 10
            logins.failed(now)
        else:
            now += 20
            logins.unanswered(now)
        now += max(wait_secs, logins.wait(now))
    assert came_back is not None and came_back < 700, "it is banned for ever"


def test_a_link_down_after_a_quiet_time_is_retried_as_set():
    logins = LoginLimit(6)
    for at in (0, 200, 400):
        logins.failed(at)
    for at in range(410, 600, 10):
        logins.unanswered(at)
        assert logins.wait(at) == 0
    none = LoginLimit(0)
    for at in range(10):
        none.failed(at)
        none.unanswered(at)
    assert none.wait(10) == 0


def test_a_likely_ban_is_reported_and_waited_for_ever_longer():
    logins = LoginLimit(6)
    for at in (0, 10, 20):
        logins.failed(at)
    waits = []
    for at in (30, 130, 330, 700, 1_100):
        logins.unanswered(at)
        waits.append(logins.wait(at))
    assert waits == [0, 75, 150, 300, 300]
    assert "banned" in logins.words()
    logins.answered()
    assert logins.wait(1_100) == 0 and "banned" not in logins.words()
