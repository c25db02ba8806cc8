"""Files that cannot be taken: how long they are left alone, and who need not wait."""

from __future__ import annotations

from pysubtask.subtask.snapshot.read_errors import LONGEST_WAIT, Faults


def test_the_wait_grows_and_ends_at_a_minute():
    faults = Faults()
    now, waits = 0.0, []
    for _ in range(8):
        faults.add("a", "gone", now, "first")
        at = faults.next_at()
        assert faults.waits("a", at - 0.001, "first") and not faults.waits("a", at, "first")
        waits.append(at - now)
        now = at
    assert waits == [1, 2, 4, 8, 16, 32, LONGEST_WAIT, LONGEST_WAIT]


def test_a_reason_is_new_once():
    faults = Faults()
    said = [(reason, faults.add("a", reason, 0.0)) for reason in ("gone", "gone", "closed", "closed", "gone")]
    assert said == [("gone", True), ("gone", False), ("closed", True), ("closed", False), ("gone", True)]
    assert faults.listing() == [{"path": "a", "reason": "gone"}]
    faults.clear("a")
    assert faults.add("a", "gone", 0.0) and faults.listing(0) == []


def test_whoever_asks_anew_does_not_wait():
    faults = Faults()
    faults.add("a", "gone", 0.0, "first")
    assert faults.waits("a", 0.5, "first") and not faults.waits("a", 0.5, "second")
    faults.add("a", "gone", 0.5, "second")
    assert faults.waits("a", 0.6, "second") and not faults.waits("b", 0.6, "second")


def test_a_file_that_moved_under_the_copy_waits_whoever_asks():
    faults = Faults()
    faults.add("a", "it moved", 0.0)
    assert faults.waits("a", 0.5, "first") and faults.waits("a", 0.5) and not faults.waits("a", 1.0, "first")
