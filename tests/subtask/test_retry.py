from hypothesis import given
from hypothesis import strategies as st

from pysubtask.common.errors import FileRefused, LoginRefused, ServerBusy, TransportLost
from pysubtask.subtask.retry import JITTER, Policy, decide, held_for, login_wait

POLICY = Policy(tries=5, wait=3.0, long_wait=30.0, parked_wait=300.0)


def test_sets_of_five_tries_three_seconds_apart_thirty_between_sets():
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
