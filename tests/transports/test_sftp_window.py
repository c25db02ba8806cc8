"""The window on simulated links: full where they are fast, short where they are slow. No clock runs here."""

from __future__ import annotations

from collections import deque

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pysubtask.transports.sftp.window import Stamp, Window

LARGEST = 255 * 1024


class Link:
    """A pipe of ``rate`` bytes/s with a ``delay`` (seconds) there and back."""

    def __init__(self, rate: float, delay: float, largest: int = LARGEST) -> None:
        self.rate, self.delay = rate, delay
        self.window = Window(largest)
        self.now = 100.0
        self.free_at = self.now
        self.in_flight: deque[tuple[float, int, Stamp]] = deque()
        self.done = 0
        self.most = 0

    def fill(self) -> None:
        window = self.window
        while window.room(window.chunk):
            count = window.chunk
            stamp = window.sent(count, self.now)
            self.free_at = max(self.free_at, self.now) + count / self.rate
            self.in_flight.append((self.free_at + self.delay, count, stamp))
            self.most = max(self.most, window.in_flight)

    def run(self, secs: float) -> float:
        """Bytes per second that came through with an endless file to send."""
        until, before, start = self.now + secs, self.done, self.now
        self.fill()
        while self.now < until:
            self.now, count, stamp = self.in_flight.popleft()
            self.window.acknowledged(count, stamp, self.now)
            self.done += count
            self.fill()
        return (self.done - before) / (self.now - start)

    @property
    def queue_secs(self) -> float:
        return self.window.in_flight / self.rate


@pytest.mark.parametrize(
    ("rate", "delay"), [(450e6, 0.0005), (100e6, 0.002), (12.5e6, 0.02), (625e3, 0.1), (2.5e6, 0.6), (100e3, 0.3), (20e3, 0.05)]
)
def test_it_fills_the_link_and_keeps_the_queue_short(rate: float, delay: float):
    link = Link(rate, delay)
    link.run(15)
    most = min(rate, 8 * LARGEST / (delay + LARGEST / rate))  # beyond that the window is at its end
    assert link.run(15) > 0.9 * most
    assert link.queue_secs <= min(delay + 1.3, 2.0)


@given(st.floats(2e3, 50e6), st.floats(0.0001, 1.0))
@settings(max_examples=40)
def test_never_more_than_two_seconds_of_data_in_flight(rate: float, delay: float):
    link = Link(rate, delay)
    link.run(20)
    link.most = 0
    link.run(20)
    assert link.most <= max(2.0 * rate * 1.1, 8 * 1024) + LARGEST * (rate > 1e6)


def test_it_starts_small():
    window = Window(LARGEST)
    assert window.chunk == 32 * 1024
    assert window.limit == 64 * 1024
    assert Window(8 * 1024).chunk == 8 * 1024


def test_chunks_grow_on_a_fast_link_and_shrink_on_a_slow_one():
    fast, slow = Link(400e6, 0.0005), Link(10e3, 0.05)
    fast.run(1)
    slow.run(60)
    assert fast.window.chunk == LARGEST
    assert slow.window.chunk == 4 * 1024


def test_a_link_that_becomes_slow_is_noticed():
    link = Link(10e6, 0.05)
    link.run(10)
    link.rate = 100e3
    link.run(120)
    assert link.queue_secs <= 2.2


def test_a_link_that_becomes_longer_does_not_starve():
    link = Link(2e6, 0.02)
    link.run(10)
    link.delay = 0.9
    link.run(60)
    assert link.run(20) > 0.5 * 2e6


def test_a_link_that_becomes_fast_again_is_filled_again():
    link = Link(5e6, 0.05)
    link.run(10)
    link.rate = 50e3
    link.run(120)
    link.rate = 5e6
    link.run(30)
    assert link.run(10) > 0.9 * 5e6


def test_small_files_alone_tell_nothing_about_how_slow_a_link_is():
    link = Link(50e6, 0.02)
    link.run(5)
    limit = link.window.limit
    while link.in_flight:
        link.now, count, stamp = link.in_flight.popleft()
        link.window.acknowledged(count, stamp, link.now)
    for _ in range(2000):
        stamp = link.window.sent(1000, link.now)
        link.now += 0.02
        link.window.acknowledged(1000, stamp, link.now)
    assert link.window.limit == limit


def test_a_first_small_file_does_not_close_the_window():
    window = Window(LARGEST)
    window.acknowledged(100, window.sent(100, 0.0), 0.3)
    assert window.limit == 64 * 1024
    assert window.chunk == 32 * 1024


def test_a_burst_of_late_answers_is_no_rate():
    """A second of silence, then all answers at once: the rate is still what it was over that second."""
    window = Window(LARGEST)
    stamps = [window.sent(10_000, 0.0) for _ in range(6)]
    for stamp in stamps:
        window.acknowledged(10_000, stamp, 1.0)
    assert window.rate <= 60_000


def test_something_may_always_be_sent():
    window = Window(LARGEST)
    assert window.room(10**9)
    window.sent(10**9, 0.0)
    assert not window.room(1)
