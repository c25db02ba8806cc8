"""Files that cannot be taken: how long they are left alone, and who need not wait."""

from __future__ import annotations

from pysubtask.subtask.snapshot.read_errors import LONGEST_WAIT, ReadErrors


def test_the_wait_grows_and_ends_at_a_minute():
    read_errors = ReadErrors()
    now, waits = 0.0, []
    for _ in range(8):
        read_errors.add("a", "gone", now, "first")
        at = read_errors.next_at()
        assert read_errors.waits("a", at - 0.001, "first") and not read_errors.waits("a", at, "first")
        waits.append(at - now)
        now = at
    assert waits == [1, 2, 4, 8, 16, 32, LONGEST_WAIT, LONGEST_WAIT]


def test_a_reason_is_new_once():
    read_errors = ReadErrors()
    reported = [(reason, read_errors.add("a", reason, 0.0)) for reason in ("gone", "gone", "closed", "closed", "gone")]
    assert reported == [("gone", True), ("gone", False), ("closed", True), ("closed", False), ("gone", True)]
    assert read_errors.listing() == [{"path": "a", "reason": "gone"}]
    read_errors.clear("a")
    assert read_errors.add("a", "gone", 0.0) and read_errors.listing(0) == []


def test_whoever_asks_anew_does_not_wait():
    read_errors = ReadErrors()
    read_errors.add("a", "gone", 0.0, "first")
    assert read_errors.waits("a", 0.5, "first") and not read_errors.waits("a", 0.5, "second")
    read_errors.add("a", "gone", 0.5, "second")
    assert read_errors.waits("a", 0.6, "second") and not read_errors.waits("b", 0.6, "second")


def test_a_file_that_moved_under_the_copy_waits_whoever_asks():
    read_errors = ReadErrors()
    read_errors.add("a", "it moved", 0.0)
    assert read_errors.waits("a", 0.5, "first") and read_errors.waits("a", 0.5) and not read_errors.waits("a", 1.0, "first")
