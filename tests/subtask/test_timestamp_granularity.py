"""When a file must be looked at once more because of its file system's clock."""

from __future__ import annotations

import os
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pysubtask.common.notify import Stamp, read_stamp
from pysubtask.subtask.platform.creation_time import creation_ns, was_recreated
from pysubtask.subtask.platform.timestamp_granularity import (
    DOUBT_NS,
    FINE_DOUBT_NS,
    FINE_NS,
    GRANULARITY_NS,
    Again,
    again,
    tick_ns,
    undecided,
)

SECOND = 1_000_000_000
T = 1_700_000_000 * SECOND


def stamp(ns: int) -> Stamp:
    return Stamp(ns, 1, 1)


def test_whole_seconds_are_a_low_resolution():
    assert tick_ns(T) == GRANULARITY_NS and tick_ns(T + 1) == FINE_NS


def test_old_files_need_no_second_check():
    assert again(stamp(T), stamp(T), T + GRANULARITY_NS, T + GRANULARITY_NS, alone=True) is None
    assert again(None, None, T, T, alone=True) is None


def test_a_young_stamp_and_a_young_source():
    old, now = stamp(T - 60 * SECOND), T + SECOND // 2
    assert again(stamp(T), old, now, now, alone=False) == Again(GRANULARITY_NS - SECOND // 2, False)
    assert again(stamp(T), stamp(T), now, now, alone=False) == Again(GRANULARITY_NS - SECOND // 2, True)
    assert again(old, stamp(T), now, now, alone=False) is None
    assert again(old, stamp(T), now, now, alone=True) == Again(GRANULARITY_NS - SECOND // 2, True)
    assert again(stamp(T), None, now, now, alone=False) == Again(GRANULARITY_NS - SECOND // 2, False)


def test_a_snapshot_that_took_long_is_looked_at_at_once():
    assert again(stamp(T), stamp(T), T, T + 60 * SECOND, alone=True) == Again(0, True)


@given(st.integers(0, 2 * T), st.integers(0, 2 * T), st.integers(0, 2 * T), st.integers(0, 10**12))
def test_the_wait_is_never_longer_than_a_tick(a: int, b: int, since: int, later: int):
    found = again(stamp(a), stamp(b), since, since + later, alone=True)
    assert found is None or 0 <= found.in_ns <= GRANULARITY_NS


def test_at_a_start_only_what_is_recent_is_in_doubt():
    assert undecided(stamp(T), T + SECOND) == Again(SECOND, True)
    assert undecided(stamp(T), T + DOUBT_NS) == Again(0, True)
    assert undecided(stamp(T), T + DOUBT_NS + 1) is None
    assert undecided(stamp(T + 1), T + SECOND) == Again(0, True)
    assert undecided(stamp(T + 1), T + 1 + FINE_DOUBT_NS + 1) is None


def test_creation_time(tmp_path):
    path = str(tmp_path / "f")
    assert creation_ns(path) is None
    before = time.time_ns() - SECOND
    (tmp_path / "f").write_text("1")
    born = creation_ns(path)
    if born is None:
        pytest.skip("this file system does not tell when a file was created")
    assert before < born <= time.time_ns()
    last = read_stamp(path)
    assert last is not None
    os.utime(path, ns=(last.mtime_ns + SECOND, last.mtime_ns + SECOND))
    seen = read_stamp(path)
    assert seen is not None
    assert not was_recreated(path, seen, last), "changed in place"
    assert was_recreated(path, seen, last._replace(mtime_ns=born - SECOND)), "the last snapshot is older than the file"
    assert was_recreated(path, last, seen), "time goes backwards only with another file"
    assert was_recreated(str(tmp_path / "none"), seen, last), "in doubt it is"
