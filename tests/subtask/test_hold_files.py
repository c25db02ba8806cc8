"""Hold files: when held data is due, on clocks that jump and with an app that is gone."""

from __future__ import annotations

import os

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from pysubtask.common.notify import Stamp, hold_name, write_hold
from pysubtask.subtask.watch.hold_files import GRACE_SECS, HoldFiles
from pysubtask.subtask.watch.watcher import RESIDUAL, Due
from tests.support.watched_world import SECOND, World, born_long_ago  # noqa: F401

DAY = 86400


class HoldWorld(World):
    """Files of which some are in burst mode."""

    def hold(self, name: str, secs: float) -> None:
        """As the master holds: due in so many seconds."""
        write_hold(self.path(name + ".hold"), self.ns + int(secs * SECOND))

    def commit(self, copied: tuple[Due, Stamp | None, bytes]) -> None:
        if copied[0].hold is not None:
            self.memory.stamps[hold_name(copied[0].path)] = copied[0].hold
        super().commit(copied)


@pytest.fixture
def world(tmp_path) -> HoldWorld:
    (tmp_path / "d").mkdir()
    held_world = HoldWorld(tmp_path, [{"file": "a", "burstmode": True}, {"file": "plain"}, {"dir": "d", "settle_secs": 0}])
    for name in ("a", "plain", "d/x"):
        held_world.write(name, b"1")
    held_world.quiet()
    held_world.wait(60)
    assert held_world.quiet() == []
    return held_world


@pytest.mark.parametrize("name", ["a", "d/x"])
def test_held_data_is_due_at_its_time_once_even_if_nobody_calls(world: HoldWorld, name: str):
    world.write(name, b"22")
    world.hold(name, 4)
    world.wait(0.01)
    rounds = world.round() if name == "a" else world.round(everything=False)
    assert rounds == []
    at = world.watch.next_at(world.ns / SECOND)
    if name == "a":
        assert at is not None and at - world.ns / SECOND == pytest.approx(4 + GRACE_SECS - 0.01)
    world.wait(4 + GRACE_SECS - 0.02)
    assert world.round() == []
    world.wait(0.02)
    assert world.round() == [(name, "hold")]
    assert world.sent[world.path(name)][-1] == b"22"
    assert world.quiet() == [], "the hold file stays, and is handled"
    world.restart()
    assert world.quiet() == [], "also for the next child"


def test_no_hold_file_is_read_for_a_file_without_burstmode(world: HoldWorld):
    world.hold("plain", 0)
    world.wait(60)
    assert world.quiet() == []


def test_a_hold_that_was_removed_or_put_off_in_time_is_not_due(world: HoldWorld):
    for name in ("a", "d/x"):
        world.hold(name, 1)
    assert world.round() == []
    world.wait(0.9)
    world.hold("a", 3)
    os.unlink(world.path("d/x.hold"))
    world.wait(1)
    assert world.round() == []
    world.wait(3)
    assert world.round() == [("a", "hold")]


def test_a_notify_takes_the_hold_along(world: HoldWorld):
    world.hold("a", 3)
    assert world.round() == []
    world.write("a", b"22")
    world.touch("a")
    assert world.round() == [("a", "notify")]
    world.wait(60)
    assert world.quiet() == []


def test_a_hold_that_came_after_the_snapshot_stays_due(world: HoldWorld):
    world.touch("a")
    (due,) = world.scan()
    copied = world.copy(due)
    world.write("a", b"333")
    world.hold("a", 3)
    world.commit(copied)
    world.wait(0.1)
    assert world.quiet(rechecks=True)
    assert world.sent[world.path("a")][-1] == b"333"


def test_a_second_hold_is_another_one(world: HoldWorld):
    for content in (b"1", b"22", b"333"):
        world.write("a", content)
        world.hold("a", 1)
        world.wait(2)
        assert world.round() == [("a", "hold")]
        os.unlink(world.path("a.hold"))
        assert world.quiet() == []


@pytest.mark.parametrize("name", ["a", "d/x"])
def test_at_the_end_everything_held_is_due(world: HoldWorld, name: str):
    world.write(name, b"22")
    world.hold(name, 1000)
    assert world.round(everything=True) == [(name, "hold")]


def test_a_hold_left_by_a_dead_app_is_due_for_the_next_child(world: HoldWorld):
    world.hold("a", 1)
    world.hold("d/x", 1)
    world.restart()
    assert world.round() == []
    world.wait(2)
    assert sorted(world.round()) == [("a", "hold"), ("d/x", "hold")]


@pytest.mark.parametrize("jump", [-DAY, DAY])
def test_a_clock_that_jumps_keeps_nothing_here(world: HoldWorld, jump: int):
    world.hold("a", 4)
    now = world.ns / SECOND
    assert world.watch.scan(now) == []
    world.ns += jump * SECOND
    # The child's own clock has not moved but for these seconds; it holds 5 s at the longest.
    assert (world.watch.scan(now + 0.1) != []) == (jump > 0)
    assert jump > 0 or world.watch.next_at(now + 0.1) == pytest.approx(now + 5)
    assert [due.cause for due in world.watch.scan(now + 5)] == ["hold"]


def test_a_held_file_that_cannot_be_taken_lets_the_child_sleep(world: HoldWorld):
    world.hold("a", 0)
    world.wait(1)
    for _ in range(3):
        assert [due.cause for due in world.scan()] == ["hold"]
        assert world.watch.next_at(world.ns / SECOND) is None


@settings(max_examples=200)
@given(
    holds=st.lists(st.tuples(st.integers(0, 3000), st.sampled_from([-90000, 0, 500, 4000, 90000])), min_size=1, max_size=8),
    jumps=st.lists(st.tuples(st.integers(0, 9000), st.integers(-(10**8), 10**8)), max_size=3),
)
def test_nothing_is_held_longer_than_it_may_be(holds: list[tuple[int, int]], jumps: list[tuple[int, int]]):
    """Holds written at any time with any due time, on a wall clock that jumps: asked at each time it names, every
    one is due at the latest ``longest`` after it was seen."""
    files: dict[str, Stamp] = {}
    seen: dict[str, float] = {}
    offset = 0
    some = HoldFiles(5.0, lambda path: files.get(path), lambda path: None)
    plan = sorted([(at, "hold", due) for at, due in holds] + [(at, "jump", by) for at, by in jumps])
    for at, what, value in plan:
        now = at / 1000
        if what == "jump":
            offset += value
        else:
            path = f"f{len(files)}"
            files[hold_name(path)] = Stamp((at + offset + value) * 1_000_000, 0, len(files) + 1)
            some.check(path, 0, now)
            seen[path] = now
    now = plan[-1][0] / 1000
    while seen:
        at = some.next_at(now, int(now * 1e9) + offset * 1_000_000)
        assert at is not None and at <= max(seen.values()) + 5.0
        now = max(now, at)
        due = some.due(now + 1e-6, int((now + 1e-6) * 1e9) + offset * 1_000_000, False)
        assert due
        for path in due:
            assert now <= max(seen.pop(path) + 5.0, plan[-1][0] / 1000) + 1e-3
            some.take(path)
    assert some.next_at(now, 0) is None


def test_a_hold_put_off_unseen_is_due_at_its_new_time():
    files = {"f.hold": Stamp(1 * SECOND, 0, 1)}
    some = HoldFiles(50.0, files.get, lambda path: None)
    some.check("f", 0, 0.0)
    files["f.hold"] = Stamp(9 * SECOND, 0, 1)
    assert some.due(2.0, 2 * SECOND, False) == {}
    assert some.next_at(2.0, 2 * SECOND) == pytest.approx(9 + GRACE_SECS)
    assert list(some.due(10.0, 10 * SECOND, False)) == ["f"]


def test_offered_files_are_taken_once_where_they_differ(world: HoldWorld):
    world.write("old", b"left over")
    world.wait(1)
    world.watch.offer([world.path("old"), world.path("never"), world.path("a"), world.path("d/x")])
    dues = world.scan()
    assert [(due.path, due.entry_index, due.cause) for due in dues] == [(world.path("old"), RESIDUAL, "start")]
    for due in dues:
        world.commit(world.copy(due))
    world.watch.offer([world.path("old")])
    assert world.quiet() == []
    assert [world.watch._due._entries.index_of(world.path(name)) for name in ("a", "plain", "d/x", "old")] == [0, 1, 2, RESIDUAL]
