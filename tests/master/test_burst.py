"""Burst mode against a plain model, with made-up clocks, and the timeline it is known by."""

import os

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from pysubtask import defaults_config
from pysubtask.common.config import resolve_burst
from pysubtask.common.errors import ConfigError
from pysubtask.master.burst import Burst, Rule, called, flushed, forgettable, looked

MS = 1_000_000
DEFAULT = Rule(1000 * MS, 2, 5000 * MS)


def rule_of(**values):
    return Rule.of(resolve_burst(defaults_config.SETTINGS, defaults_config, {"burst_mode": values}))


class Model:
    """The table, case by case, in milliseconds and in words."""

    def __init__(self, trigger, count, expire, size, mode):
        self.trigger, self.trigger_count, self.expire, self.size, self.mode = trigger, count, expire, size, mode
        self.prev = self.start = self.pending = None
        self.count = 0

    def many(self, grown):
        return self.mode != "count" and self.size and grown >= self.size

    def call(self, now, grown):
        what = self.decide(now, grown)
        self.prev = now
        return what

    def decide(self, now, grown):
        if self.prev is None:
            return self.touch("Initial notify (Burst mode)")
        d = now - self.prev
        if self.start is not None:
            if now - self.start >= self.expire:
                return self.touch(f"Burst (previous) expired. Notifying! [{self.expire}]")
            if d < self.trigger or self.many(grown):
                return self.hold(self.start + self.expire, "")
            return self.touch(f"Burst (existing) ended. Notifying! [{d}] elapsed.")
        if self.many(grown):
            self.start = now
            return self.hold(self.start + self.expire, "Burst detected. Starting Burst mode!")
        if d >= self.trigger:
            return self.touch(f"Regular rate (not a Burst). Notifying! [{d}]")
        if self.mode == "bytes":
            return self.touch("")
        if self.count < self.trigger_count - 1:
            return self.hold(self.prev + self.trigger, f"Burst detected *BUT* waiting for [{self.trigger_count}] in a row.")
        self.start = self.prev
        return self.hold(self.start + self.expire, "Burst detected. Starting Burst mode!")

    def touch(self, line):
        self.start, self.count, self.pending = None, 0, None
        return "touch", line

    def hold(self, pending, line):
        self.count += 1
        self.pending = pending
        return "hold", line

    def check(self, now):
        if self.pending is None:
            return None
        if now >= self.pending:
            self.pending = None
            return "touch", "Pending AND expired data detected. Notifying!"
        left = (self.pending - now) / 1000
        return "hold", f"Pending data detected. *BUT*, has NOT expired yet. [{left:.3f}] secs to go."


class Machine(RuleBasedStateMachine):
    @initialize(
        trigger=st.sampled_from([0, 1, 300, 1000]),
        count=st.integers(1, 5),
        expire=st.sampled_from([0, 200, 1500, 5000]),
        size=st.sampled_from([None, 0, 100]),
        mode=st.sampled_from(["count", "bytes", "either"]),
    )
    def begin(self, trigger, count, expire, size, mode):
        if mode == "bytes" and not size:
            size = 100
        self.model = Model(trigger, count, expire, size, mode)
        self.rule = rule_of(
            start_trigger_milli=trigger,
            start_trigger_count=count,
            expire_milli=expire,
            start_trigger_bytes=size,
            start_trigger_mode=mode,
        )
        self.state, self.now = Burst(), 10**6
        self.unsent = False

    def same(self, decision, expected):
        if expected is None:
            assert decision is None
            return
        what, line = expected
        assert decision.line == line
        assert ("touch" if decision.hold is None else "hold") == what
        assert decision.hold in (None, decision.state.pending)
        self.state = decision.state

    @rule(
        wait=st.sampled_from([0, 1, 150, 200, 299, 300, 301, 900, 1000, 1001, 4999, 5000, 20000]),
        grown=st.sampled_from([0, 99, 100, 5000]),
    )
    def call(self, wait, grown):
        self.now += wait
        expected = self.model.call(self.now, grown)
        self.same(called(self.rule, self.state, self.now * MS, grown), expected)
        self.unsent = expected[0] == "hold"

    @rule(wait=st.sampled_from([0, 100, 700, 1000, 5000]))
    def check(self, wait):
        self.now += wait
        expected = self.model.check(self.now)
        self.same(looked(self.state, self.now * MS), expected)
        self.unsent = self.unsent and not (expected and expected[0] == "touch")

    @rule()
    def notify_all(self):
        self.model.pending = None
        self.state = flushed(self.state)
        self.unsent = False

    @rule()
    def forget(self):
        """A file that is quiet may be forgotten: the model, which remembers, still says the same but for the words."""
        if forgettable(self.rule, self.state, self.now * MS) and not self.rule.size:
            decision = called(self.rule, Burst(), self.now * MS)
            expected = called(self.rule, self.state, self.now * MS)
            assert (decision.hold, decision.state) == (expected.hold, expected.state)

    @invariant()
    def state_is_the_models(self):
        if hasattr(self, "model"):
            ms = [None if at is None else at // MS for at in (self.state.prev, self.state.start, self.state.pending)]
            assert ms == [self.model.prev, self.model.start, self.model.pending]
            assert self.state.held == self.model.count

    @invariant()
    def what_is_held_has_a_due_time_not_far_off(self):
        if hasattr(self, "model"):
            assert self.unsent == (self.state.pending is not None)
            if self.unsent:
                assert self.state.pending // MS - self.now <= max(self.model.trigger, self.model.expire)


EXAMPLES = 300 if os.environ.get("PYSUBTASK_FULL_SIZE") else 50
Machine.TestCase.settings = settings(max_examples=EXAMPLES, stateful_step_count=30)
TestAgainstTheModel = Machine.TestCase


def test_the_timeline_at_five_calls_a_second():
    state, touched, lines = Burst(), [], []
    for tenths in range(0, 58, 2):  # 0.0 ... 5.6
        decision = called(DEFAULT, state, tenths * 100 * MS)
        state = decision.state
        if decision.hold is None:
            touched.append(tenths / 10)
        if decision.line:
            lines.append((tenths / 10, decision.line))
        hold = {2: 1000, 4: 5200, 54: 6200, 56: 10400}.get(tenths)
        if hold:
            assert decision.hold == hold * MS, tenths
    assert touched == [0, 5.2]
    assert lines == [
        (0, "Initial notify (Burst mode)"),
        (0.2, "Burst detected *BUT* waiting for [2] in a row."),
        (0.4, "Burst detected. Starting Burst mode!"),
        (5.2, "Burst (previous) expired. Notifying! [5000]"),
        (5.4, "Burst detected *BUT* waiting for [2] in a row."),
        (5.6, "Burst detected. Starting Burst mode!"),
    ]
    assert state.start == 5400 * MS
    early = looked(state, 10_399 * MS)
    assert early.hold and early.line == "Pending data detected. *BUT*, has NOT expired yet. [0.001] secs to go."
    late = looked(state, 10_400 * MS)
    assert late.hold is None and late.line == "Pending AND expired data detected. Notifying!"
    assert looked(late.state, 10_400 * MS) is None


def test_a_pair_of_calls_then_silence():
    state = called(DEFAULT, Burst(), 30_000 * MS).state
    second = called(DEFAULT, state, 30_400 * MS)
    assert second.hold == 31_000 * MS
    assert looked(second.state, 30_999 * MS).hold
    assert looked(second.state, 31_000 * MS).hold is None


def test_after_a_flush_in_between_nothing_is_notified_again():
    state = called(DEFAULT, called(DEFAULT, Burst(), 0).state, 200 * MS).state
    assert state.pending
    assert looked(flushed(state), 10**12) is None


def holds(rule, calls):
    """For each (second, bytes) whether it is held."""
    state, held = Burst(), []
    for at, grown in calls:
        decision = called(rule, state, int(at * 1000) * MS, grown)
        state = decision.state
        held.append(decision.hold is not None)
    return held


MB = 1 << 20
SLOW_AND_BIG = [(0, 10), (60, 5 * MB), (120, 10), (180, 5 * MB)]
FAST_AND_TINY = [(n / 10, 20) for n in range(6)]


@pytest.mark.parametrize(
    ("mode", "slow_and_big", "fast_and_tiny"),
    [
        ("count", [False] * 4, [False, True, True, True, True, True]),
        ("bytes", [False, True, False, True], [False] * 6),
        ("either", [False, True, False, True], [False, True, True, True, True, True]),
    ],
)
def test_by_bytes(mode, slow_and_big, fast_and_tiny):
    rule = rule_of(start_trigger_bytes=5 * MB, start_trigger_mode=mode)
    assert holds(rule, SLOW_AND_BIG) == slow_and_big
    assert holds(rule, FAST_AND_TINY) == fast_and_tiny


def test_a_burst_by_bytes_lasts_while_bytes_come():
    rule = rule_of(start_trigger_bytes=5 * MB)
    calls = [(0, 0), (60, 5 * MB), (62, 5 * MB), (64, 5 * MB), (65, 5 * MB), (66, 5 * MB)]
    assert holds(rule, calls) == [False, True, True, True, False, True]


def test_fast_notifies_without_a_burst_do_not_flood_the_log():
    rule = rule_of(start_trigger_bytes=5 * MB, start_trigger_mode="bytes")
    state = called(rule, Burst(), 0, 0).state
    assert called(rule, state, 5 * MS, 1).line == ""
    assert called(rule, state, 5000 * MS, 1).line == "Regular rate (not a Burst). Notifying! [5000]"


@pytest.mark.parametrize("size", [None, 0])
def test_bytes_alone_need_a_number(size):
    with pytest.raises(ConfigError, match=r"burst_mode\.start_trigger_mode.*start_trigger_bytes is not set"):
        rule_of(start_trigger_mode="bytes", start_trigger_bytes=size)


def test_the_users_section_is_honoured():
    assert rule_of() == DEFAULT
    assert rule_of(start_trigger_milli=0.5, start_trigger_count=7, expire_milli=20) == Rule(500_000, 7, 20 * MS)
    with pytest.raises(ConfigError, match="start_trigger_bytes"):
        rule_of(start_trigger_bytes=-1)
    with pytest.raises(ConfigError, match="'count', 'bytes', 'either'"):
        rule_of(start_trigger_mode="both")
