"""The decision of the dispatcher, driven against a plain model of a queue, a link and a server."""

from __future__ import annotations

import itertools
import os
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from pysubtask.subtask.delivery import next_action as module
from pysubtask.subtask.delivery.next_action import (
    CLAIM_SECS,
    NEVER,
    Claim,
    Connect,
    Disconnect,
    End,
    Facts,
    Hold,
    SendHeartbeat,
    Sleep,
    next_action,
)

EXAMPLES = 300 if os.environ.get("PYSUBTASK_FULL_SIZE") else 50

NOW = 1000.0
TIMES = st.one_of(st.just(NEVER), st.sampled_from([0.0, NOW - 1, NOW, NOW + 0.01, NOW + 1, NOW + 5000]))
FACTS = st.builds(
    Facts,
    now=st.just(NOW),
    connected=st.booleans(),
    broken=st.booleans(),
    held=st.booleans(),
    try_at=st.sampled_from([0.0, NOW - 1, NOW, NOW + 1, NOW + 5000]),
    busy_until=st.sampled_from([0.0, NOW - 1, NOW, NOW + 1, NOW + 5000]),
    due_at=TIMES,
    claimed_at=st.sampled_from([0.0, NOW - 1, NOW - CLAIM_SECS / 2, NOW]),
    heartbeat_due=st.booleans(),
    in_flight=st.integers(0, 6),
    large_in_flight=st.integers(0, 3),
    uncommitted=st.booleans(),
    places=st.integers(1, 6),
    large_places=st.integers(1, 4),
    expected_until=st.sampled_from([0.0, NOW - 1, NOW, NOW + 1]),
    idle_at=TIMES,
    deadline=TIMES,
    paused=st.booleans(),
)

ROWS = [
    (1, Facts(NOW, True, broken=True), Disconnect("lost")),
    (2, Facts(NOW, True, in_flight=1, deadline=NOW), End()),
    (3, Facts(NOW, due_at=0.0), Connect()),
    (3, Facts(NOW, heartbeat_due=True), Connect()),
    (3, Facts(NOW, expected_until=NOW + 1), Connect()),
    (4, Facts(NOW, due_at=0.0, held=True, try_at=NOW + 1, deadline=NOW + 5), End()),
    (4, Facts(NOW, heartbeat_due=True, deadline=NOW + 5), End()),
    (5, Facts(NOW, due_at=0.0, try_at=NOW + 1), Hold(NOW + 1)),
    (6, Facts(NOW, due_at=NOW + 2), Sleep(NOW + 2)),
    (6, Facts(NOW, expected_until=NOW + 1, paused=True), Sleep(NOW + module.LONGEST_SLEEP)),
    (7, Facts(NOW, True, busy_until=NOW + 1, due_at=0.0), Hold(NOW + 1)),
    (7, Facts(NOW, True, busy_until=NOW + 9, due_at=0.0, deadline=NOW + 5), End()),
    (8, Facts(NOW, True, heartbeat_due=True, due_at=0.0), SendHeartbeat()),
    (9, Facts(NOW, True, due_at=0.0, places=4, large_places=3, in_flight=1, large_in_flight=1), Claim(3, 2)),
    (10, Facts(NOW, True, due_at=0.0, places=8, in_flight=7, claimed_at=NOW), Sleep(NOW + CLAIM_SECS, 6)),
    (11, Facts(NOW, True, due_at=0.0, places=2, in_flight=2), Sleep(NOW + module.LONGEST_SLEEP, 1)),
    (11, Facts(NOW, True, due_at=NOW + 3, in_flight=1), Sleep(NOW + 3)),
    (12, Facts(NOW, True, due_at=NOW + 9, deadline=NOW + 5), End()),
    (13, Facts(NOW, True, idle_at=NOW), Disconnect("idle")),
    (14, Facts(NOW, True, idle_at=NOW + 2, due_at=NOW + 3), Sleep(NOW + 2, standing=Claim(1, 1))),
    (14, Facts(NOW, True, idle_at=NOW + 2, due_at=NOW + 3, paused=True), Sleep(NOW + 2)),
    (11, Facts(NOW, True, due_at=NOW + 3, in_flight=1, places=4, large_places=3), Sleep(NOW + 3, standing=Claim(3, 3))),
]


@pytest.mark.parametrize(("row", "facts", "action"), ROWS, ids=[f"{row}-{n}" for n, (row, _, _) in enumerate(ROWS)])
def test_each_row_of_the_table(row, facts, action):
    assert next_action(facts) == action


def test_the_table_has_no_row_without_a_case():
    table = [line for line in (module.__doc__ or "").splitlines() if line[:1].isdigit()]
    assert {int(line.split()[0]) for line in table} == {row for row, _, _ in ROWS}
    page = (Path(__file__).parents[2] / "docs" / "ARCHITECTURE.md").read_text("utf-8")
    for line in table:
        cells = [cell.strip().replace("``", "`") for cell in re.split("  +", line)]
        assert f"| {' | '.join(cells)} |" in page


@given(FACTS)
@settings(max_examples=10 * EXAMPLES)
def test_nothing_is_done_that_the_facts_forbid(facts):
    action = next_action(facts)
    if isinstance(action, Connect):
        assert not facts.connected and facts.try_at <= facts.now < facts.deadline
    if isinstance(action, Claim):
        assert facts.connected and not facts.broken and facts.busy_until <= facts.now and facts.due_at <= facts.now
        assert 0 < action.places <= facts.places - facts.in_flight
        assert 0 <= action.large <= max(0, facts.large_places - facts.large_in_flight)
    if isinstance(action, SendHeartbeat):
        assert facts.connected and facts.heartbeat_due and facts.busy_until <= facts.now
    if action == Disconnect("idle"):
        assert not facts.is_busy and facts.idle_at <= facts.now and not facts.is_stopping
    if isinstance(action, Hold | Sleep):
        assert facts.now < action.until <= min(facts.deadline, facts.now + module.LONGEST_SLEEP), "no hot loop"
    if isinstance(action, End):
        assert facts.is_stopping
        assert facts.now >= facts.deadline or not (facts.connected and facts.is_busy)


class Station(RuleBasedStateMachine):
    """A queue, a link and a server as plain as can be: the loop of the real dispatcher over them must deliver everything, and ask
    nothing of the server that it did not allow."""

    PLACES, LARGE_PLACES, WAIT, DEAD = 3, 2, 4.0, 30.0

    def __init__(self):
        super().__init__()
        self.now = 0.0
        self.numbers = itertools.count()
        # Jobs by number: (due, is_large). Those in flight are elsewhere.
        self.queue: dict[int, tuple[float, bool]] = {}
        self.flight: dict[int, bool] = {}
        self.connected = self.broken = self.is_up = False
        self.is_up = True
        self.try_at = self.busy_until = self.claimed_at = self.used_at = 0.0
        self.heartbeat_due = False
        self.heartbeats = 0
        self.deadline = NEVER
        self.ended = False
        self.delivered: list[int] = []
        self.added = 0

    def facts(self):
        return Facts(
            self.now,
            self.connected,
            self.broken,
            try_at=self.try_at,
            busy_until=self.busy_until,
            due_at=min((due for due, _ in self.claimable().values()), default=NEVER),
            claimed_at=self.claimed_at,
            heartbeat_due=self.heartbeat_due,
            in_flight=len(self.flight),
            large_in_flight=sum(self.flight.values()),
            places=self.PLACES,
            large_places=self.LARGE_PLACES,
            idle_at=self.used_at + self.DEAD,
            deadline=self.deadline,
        )

    def claimable(self):
        """The jobs that can be claimed as soon as they are due: a large one waits for the place of a large one."""
        full = sum(self.flight.values()) >= self.LARGE_PLACES
        return {job: row for job, row in self.queue.items() if not (full and row[1])}

    def turn(self):
        """Carry out actions until the next one is a wait; that wait."""
        for _ in range(100):
            action = next_action(self.facts())
            if isinstance(action, Hold | Sleep | End):
                self.ended = isinstance(action, End)
                return action
            self.carry_out(action)
        raise AssertionError("the loop never waits")

    def carry_out(self, action):
        if isinstance(action, Connect):
            assert not self.connected and self.now >= self.try_at
            self.connected = self.is_up
            self.used_at = self.now
            if not self.is_up:
                self.try_at = self.now + self.WAIT
        elif isinstance(action, Disconnect):
            if action.why == "lost":
                self.queue |= {job: (self.now, is_large) for job, is_large in self.flight.items()}
                self.flight = {}
                self.try_at = self.now + self.WAIT
            assert not self.flight, "an idle connection is closed, not one in use"
            self.connected = self.broken = False
        elif isinstance(action, SendHeartbeat):
            self.heartbeat_due = False
            self.heartbeats += 1
        elif isinstance(action, Claim):
            assert self.connected and not self.broken and self.now >= self.busy_until
            large = action.large
            due = sorted(job for job, (at, _) in self.queue.items() if at <= self.now)
            taken = []
            for job in due:
                is_large = self.queue[job][1]
                if len(taken) < action.places and (large > 0 or not is_large):
                    large -= is_large
                    taken.append(job)
            assert taken, "a claim that finds nothing would be made again at once"
            for job in taken:
                self.flight[job] = self.queue.pop(job)[1]
            self.claimed_at = self.used_at = self.now

    @precondition(lambda self: not self.ended)
    @rule(count=st.integers(1, 5), large=st.booleans(), secs=st.sampled_from([0.0, 0.0, 7.0]))
    def add(self, count, large, secs):
        for _ in range(count):
            self.queue[next(self.numbers)] = (self.now + secs, large)
        self.added += count
        self.turn()

    @precondition(lambda self: self.flight and not self.ended and not self.broken)
    @rule(data=st.data(), well=st.booleans())
    def finish(self, data, well):
        job = data.draw(st.sampled_from(sorted(self.flight)))
        is_large = self.flight.pop(job)
        if well:
            self.delivered.append(job)
            self.used_at = self.now
        else:
            self.queue[job] = (self.now + self.WAIT, is_large)
        self.turn()

    @precondition(lambda self: not self.ended)
    @rule(is_up=st.booleans())
    def link(self, is_up):
        self.is_up = is_up
        self.broken = self.broken or (self.connected and not is_up)
        self.turn()

    @precondition(lambda self: self.connected and not self.broken and not self.ended)
    @rule(secs=st.sampled_from([0.5, 60.0]))
    def busy(self, secs):
        self.busy_until = self.now + secs
        self.turn()

    @precondition(lambda self: not self.ended)
    @rule()
    def heartbeat(self):
        self.heartbeat_due = True
        self.turn()

    @precondition(lambda self: not self.ended)
    @rule(secs=st.sampled_from([0.01, 1.0, 10.0, 100.0]))
    def pass_time(self, secs):
        """Time goes on from wait to wait, as the loop would be woken."""
        until = self.now + secs
        while self.now < until and not self.ended:
            wait = self.turn()
            if not isinstance(wait, End):
                self.now = min(until, wait.until)
        self.turn()

    @precondition(lambda self: self.deadline == NEVER and not self.ended)
    @rule(secs=st.sampled_from([0.0, 5.0, 50.0]))
    def stop(self, secs):
        self.deadline = self.now + secs
        self.turn()

    @precondition(lambda self: self.ended)
    @rule()
    def start_again(self):
        """The next child finds everything that was in flight in the queue."""
        self.queue |= {job: (self.now, is_large) for job, is_large in self.flight.items()}
        self.flight, self.connected, self.broken, self.ended, self.deadline = {}, False, False, False, NEVER
        self.try_at = self.busy_until = 0.0
        self.turn()

    @invariant()
    def no_more_in_flight_than_allowed(self):
        assert len(self.flight) <= self.PLACES and sum(self.flight.values()) <= self.LARGE_PLACES

    @invariant()
    def nothing_is_lost_or_twice(self):
        everything = [*self.queue, *self.flight, *self.delivered]
        assert len(everything) == len(set(everything)) == self.added

    @invariant()
    def an_early_end_leaves_nothing_that_could_have_been_sent(self):
        if self.ended and self.now < self.deadline:
            assert not self.flight
            assert all(
                max(due, self.try_at if not self.connected else self.busy_until) >= self.deadline for due, _ in self.queue.values()
            )

    def teardown(self):
        """With a good link and time, all of it arrives, and then the connection is closed."""
        if self.ended or self.deadline != NEVER:
            return
        self.is_up = True
        for _ in range(10_000):
            wait = self.turn()
            if self.flight:
                self.delivered.append(self.flight.popitem()[0])
                self.used_at = self.now
            elif not self.queue and not self.heartbeat_due and not self.connected:
                break
            else:
                self.now = wait.until
        assert sorted(self.delivered) == list(range(self.added))


TestStation = Station.TestCase
TestStation.settings = settings(max_examples=EXAMPLES, stateful_step_count=40)
