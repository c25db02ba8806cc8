"""The token bucket, by a clock of our own."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pysubtask.transports.shared.pace import Pace


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@given(st.integers(1000, 10**8), st.lists(st.integers(1, 10**6), min_size=5, max_size=60))
def test_the_average_holds_whatever_the_pieces(rate: int, pieces: list[int]):
    clock = Clock()
    pace = Pace(rate, clock)
    for size in pieces:
        clock.now += pace.wait()
        assert pace.wait() < 1e-6
        pace.spend(size)
    burst = max(rate * 0.25, 16 * 1024)
    spent = sum(pieces[:-1])
    assert spent <= rate * (clock.now - 100.0) + burst + 1
    assert rate * (clock.now - 100.0) <= spent + 1, "not slower than allowed either"


def test_no_limit_never_waits():
    pace = Pace(0, Clock())
    pace.spend(10**9)
    assert pace.wait() == 0.0
    assert pace.piece(1 << 20) == 1 << 20


def test_a_pause_saves_no_more_than_a_burst():
    clock = Clock()
    pace = Pace(1_000_000, clock)
    clock.now += 3600
    pace.spend(250_000)
    assert pace.wait() == 0.0
    pace.spend(100_000)
    assert 0.09 < pace.wait() < 0.11


def test_another_rate_holds_at_once():
    clock = Clock()
    pace = Pace(1000, clock)
    pace.spend(100_000)
    assert pace.wait() > 50
    pace.rate = 10_000
    assert pace.wait() == 0.0, "an old debt is forgiven"
    pace.spend(10_000)
    assert 0.9 < pace.wait() <= 1.0
    pace.rate = 0
    assert pace.wait() == 0.0


def test_pieces_are_small_at_a_low_rate():
    assert Pace(20_000, Clock()).piece(1 << 20) == 20_000
    assert Pace(100, Clock()).piece(1 << 20) == 1024
