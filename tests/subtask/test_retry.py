from hypothesis import given
from hypothesis import strategies as st

from pysubtask.common.errors import (
    AttemptFailed,
    ConfigError,
    FileRefused,
    LoginRefused,
    MeansRefused,
    NotAsLeft,
    ServerBusy,
    SourceChanged,
    TransportLost,
)
from pysubtask.delivery_rules.failure_counts import FailureCounts
from pysubtask.delivery_rules.retry import JITTER, Policy, decide, held_for, login_wait

POLICY = Policy(tries=5, wait=3.0, long_wait=30.0, parked_wait=300.0)


def test_sets_of_five_tries_three_seconds_apart_thirty_between():
    waits = [decide(attempt, TransportLost(), POLICY, 0.0) for attempt in range(1, 12)]
    assert [decision.secs for decision in waits] == [3, 3, 3, 3, 30, 3, 3, 3, 3, 30, 3]
    assert {decision.action for decision in waits} == {"wait"}


def test_a_refused_file_is_parked():
    assert decide(1, FileRefused(), POLICY, 0.5) == ("park", 300.0)


def test_a_busy_server_says_how_long():
    assert decide(1, ServerBusy("429", 17.0), POLICY, 0.0) == ("wait", 17.0)
    assert decide(5, ServerBusy("429", 17.0), POLICY, 0.999).secs >= 17.0
    assert decide(5, ServerBusy("429"), POLICY, 0.0) == ("wait", 30.0), "one that does not say is left alone as a lost one"


def test_a_refused_login_holds_everything_and_slows_down():
    assert decide(1, LoginRefused(), POLICY, 0.9) == ("hold", 3.0)
    assert [login_wait(attempt, POLICY) for attempt in range(2, 9)] == [30, 60, 120, 240, 480, 600, 600]


def test_a_hold_outlives_a_restart_for_the_rest_of_its_time():
    assert held_for(3, last_try=1000.0, now=1010.0, policy=POLICY) == 50.0
    assert held_for(3, last_try=1000.0, now=5000.0, policy=POLICY) == 0.0
    assert held_for(3, last_try=1000.0, now=0.0, policy=POLICY) == 60.0, "the clock was set back"


@given(st.integers(1, 10**6), st.floats(0, 1, exclude_max=True))
def test_jitter_only_lengthens(attempts, chance):
    plain = decide(attempts, TransportLost(), POLICY, 0.0).secs
    assert plain <= decide(attempts, TransportLost(), POLICY, chance).secs <= plain * (1 + JITTER)
    assert login_wait(attempts, POLICY) <= 600


def test_an_attempt_failed_alone_waits_longer_and_is_then_parked():
    secs = [decide(attempt, AttemptFailed("odd"), POLICY, 0.0).secs for attempt in range(1, 5)]
    assert secs == [3, 6, 12, 24]
    assert decide(5, AttemptFailed("odd"), POLICY, 0.5) == ("park", 300.0)
    assert decide(1, MeansRefused("rename", "no"), POLICY, 0.0).action == "again", "one that came out of a transport"


def test_no_file_is_parked_for_a_limit_of_the_servers():
    full = AttemptFailed("too many open files")
    full.limit = True
    found = [decide(attempt, full, POLICY, 0.0) for attempt in range(1, 12)]
    assert {decision.action for decision in found} == {"again"}
    assert [decision.secs for decision in found] == [3, 6, 12, 24, *[30] * 7]


def test_where_no_other_file_passes_none_is_parked():
    found = [decide(attempt, AttemptFailed("odd"), POLICY, 0.0, others=False) for attempt in range(5, 12)]
    assert {decision.action for decision in found} == {"again"}
    assert [decision.secs for decision in found] == [30, 60, 120, 240, 300, 300, 300]


@given(
    st.sampled_from(
        [
            AttemptFailed("x"),
            FileRefused("x"),
            LoginRefused("x"),
            ConfigError("a", "b", "c"),
            NotAsLeft("x"),
            ServerBusy("x"),
            ServerBusy("x", 9.0),
            SourceChanged("x"),
            TransportLost("x"),
        ]
    ),
    st.integers(1, 10**6),
    st.floats(0, 1, exclude_max=True),
    st.booleans(),
    st.builds(Policy, st.integers(1, 1000), st.floats(0, 3600), st.floats(0, 86400), st.floats(1, 7 * 86400)),
)
def test_any_failure_leads_to_one_action_and_a_bounded_wait(error, attempts, chance, others, policy):
    decision = decide(attempts, error, policy, chance, others)
    assert decision.action in ("wait", "hold", "again", "park", "next", "anew")
    assert 0 <= decision.secs <= max(3600, 20 * policy.long_wait, policy.wait, policy.parked_wait) * (1 + JITTER)
    if decision.action == "again" and attempts >= policy.tries:
        assert decision.secs >= 1, "no setting makes it a hot loop"


def test_a_row_is_of_attempts_at_one_name_that_got_no_further():
    rows, failed, further = FailureCounts(), AttemptFailed("odd"), AttemptFailed("cut")
    further.further = True
    assert [rows.failed(name, failed) for name in "aba"] == [(1, False), (1, False), (2, False)]
    rows.arrived("c")
    assert rows.failed("a", failed) == (3, True)
    assert rows.failed("a", further) == (1, False)
    rows.waits("a", "odd", 0.0)
    assert [row["name"] for row in rows.page()] == ["a"]
    rows.waits("a", "", 0.0)
    assert rows.page() == []
    rows.arrived("c")
    assert rows.failed("a", failed) == (2, True)
    rows.over("a")
    assert rows.failed("a", failed) == (1, False)
