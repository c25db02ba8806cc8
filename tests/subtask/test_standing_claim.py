"""The claim that is left with the queue: its jobs are claimed in the commit that puts them in, or not at all."""

import sqlite3
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pysubtask.common.errors import DiskLow, ServerBusy, TransportLost
from pysubtask.subtask.delivery.connection import Connection
from pysubtask.subtask.delivery.next_action import Claim, Facts, Sleep, next_action
from pysubtask.subtask.spool.queue import BIG_BYTES
from pysubtask.subtask.spool.spool import Spool
from pysubtask.subtask.spool.standing_claim import ClaimTerms, StandingClaim
from tests.subtask.test_queue import HERE, entry
from tests.support.dispatcher_bench import bench
from tests.support.helpers import wait_until

__all__ = ["bench"]
NOW = 1000.0


@pytest.fixture
def spool(tmp_path):
    one = Spool(str(tmp_path / "spool.db"), HERE, 0.0)
    yield one
    one.close()


def left(spool, limit=4, big=4, now=NOW):
    begun = []
    spool.queue.standing.leave(ClaimTerms(limit, big, now, False, False, begun.extend))
    return begun


def names(claimed):
    return sorted(job.name for job in claimed)


def test_what_is_put_in_is_claimed_by_the_same_commit(spool):
    begun, commits = left(spool), []
    spool._db.set_trace_callback(lambda sql: commits.append(sql) if sql == "COMMIT" else None)
    spool.queue.enqueue([entry("a", 1), entry("b", 2)])
    spool._db.set_trace_callback(None)
    assert len(commits) == 1
    assert names(begun) == ["a", "b"] and spool.queue_admin.counts().sending == 2
    assert names(spool.queue.standing.withdraw()) == ["a", "b"]
    assert spool.queue.standing.withdraw() == ()
    assert spool.temps.of([b"a"])[b"a"], "the temporary name is on record"


def test_after_a_kill_the_claimed_jobs_wait_again(spool, tmp_path):
    left(spool)
    spool.queue.enqueue([entry("a", 1)])
    spool.close()
    again = Spool(str(tmp_path / "spool.db"), HERE, 0.0)
    assert [job.compare for job in again.queue.claim(9, NOW, 0.0)] == [True]
    again.close()


def test_a_claim_that_was_withdrawn_claims_nothing(spool):
    begun = left(spool)
    assert spool.queue.standing.withdraw() == ()
    spool.queue.enqueue([entry("a", 1)])
    assert begun == [] and spool.queue_admin.counts().waiting == 1


def test_one_claim_is_for_one_commit(spool):
    left(spool)
    spool.queue.enqueue([entry("a", 1)])
    spool.queue.enqueue([entry("b", 1)])
    assert names(spool.queue.standing.withdraw()) == ["a"]
    counts = spool.queue_admin.counts()
    assert (counts.sending, counts.waiting) == (1, 1)


def test_no_more_than_the_places_are_claimed(spool):
    begun = left(spool, limit=2, big=1)
    big = [entry(f"big{n}", n)._replace(size=BIG_BYTES + 1) for n in range(2)]
    spool.queue.enqueue([*big, *(entry(f"f{n}", n) for n in range(3))])
    assert len(begun) == 2 and sum(job.size > BIG_BYTES for job in begun) <= 1


def test_a_name_in_flight_or_paused_is_not_claimed(spool):
    spool.queue.enqueue([entry("a", 1)])
    spool.queue.claim(1, NOW, 0.0)
    spool.queue_admin.pause(["b"], "somebody", 0.0)
    begun = left(spool)
    spool.queue.enqueue([entry("a", 2), entry("b", 1), entry("c", 1)])
    assert names(begun) == ["c"]


def test_a_commit_that_fails_claims_nothing(spool, monkeypatch):
    begun = left(spool)
    spool._db.execute("CREATE TRIGGER full BEFORE UPDATE ON job BEGIN SELECT RAISE(ABORT, 'no room'); END")
    with pytest.raises((DiskLow, sqlite3.Error)):
        spool.queue.enqueue([entry("a", 1)])
    assert begun == [] and spool.queue.standing.withdraw() == ()
    assert spool.queue_admin.counts().sending == 0 and spool.queue_admin.counts().waiting == 0


def test_a_withdrawal_during_the_commit_is_repeated_after_it():
    claim, begun = StandingClaim(), []
    terms = ClaimTerms(1, 1, NOW, False, False, begun.extend)
    claim.leave(terms)
    assert claim.take() is terms and claim.take() is None
    assert claim.withdraw() is None, "it is taken, and not settled"
    claim.settle(terms, ["a job"])
    assert claim.withdraw() == ["a job"] and claim.withdraw() == ()


@pytest.mark.parametrize("number", range(3))
def test_two_threads_never_both_have_it(number):
    claim, taken, withdrawn = StandingClaim(), [], []
    rounds = 2000
    go = threading.Barrier(2)

    def spool_thread():
        for _ in range(rounds):
            go.wait()
            if (terms := claim.take()) is not None:
                taken.append(terms.limit)
                claim.settle(terms, [terms.limit])
            go.wait()

    thread = threading.Thread(target=spool_thread)
    thread.start()
    for each in range(rounds):
        claim.leave(ClaimTerms(each, 1, NOW, False, False, lambda jobs: None))
        go.wait()
        found = claim.withdraw()
        go.wait()
        if found is None:
            found = claim.withdraw()
        withdrawn += found
    thread.join()
    assert withdrawn == taken


@given(st.integers(1, 6), st.integers(0, 6), st.booleans(), st.booleans(), st.sampled_from([NOW + 3, float("inf")]))
@settings(deadline=None)
def test_it_is_left_only_where_a_claim_is_allowed(places, in_flight, is_paused, is_stopping, due_at):
    deadline = NOW + 9 if is_stopping else float("inf")
    facts = Facts(
        NOW, True, due_at=due_at, places=places, in_flight=in_flight, paused=is_paused, deadline=deadline, idle_at=NOW + 5
    )
    action = next_action(facts)
    if isinstance(action, Sleep):
        may = in_flight < places and not is_paused and not is_stopping
        assert action.standing == (Claim(places - in_flight, facts.large_places) if may else None)


def test_without_a_connection_none_is_left():
    action = next_action(Facts(NOW, due_at=NOW + 2, places=4))
    assert action == Sleep(NOW + 2)


class TestInADispatcher:
    def connected(self, bench, **more):
        one = bench(**more).start()
        one.put("first")
        one.drained()
        time.sleep(0.1)
        return one, self.claims_of(one)

    def claims_of(self, one):
        claims, claim = [], one.spool_thread.spool.queue.claim

        def counted(*args, **kwargs):
            claims.extend(found := claim(*args, **kwargs))
            return found

        one.spool_thread.spool.queue.claim = counted
        return claims

    def test_a_job_that_comes_is_sent_without_a_claim_of_its_own(self, bench):
        one, claims = self.connected(bench)
        one.put("a", wake=False)
        one.dispatcher.jobs_added()
        one.drained()
        assert "a" in one.transport.files and claims == []
        assert one.status_model.get("delivered") == 2

    def test_what_is_claimed_when_a_stop_comes_is_sent_or_waits(self, bench):
        one, _ = self.connected(bench)
        one.transport.open = False
        one.put("a", wake=False)  # claimed, and nobody was woken
        one.stop(0.3)
        assert one.spool_thread.run(one.spool_thread.spool.queue_admin.counts)[:2] == (1, 0)

    def test_what_is_claimed_when_the_link_breaks_goes_later(self, bench):
        one, _ = self.connected(bench)
        one.transport.on_upload = {"a": [TransportLost("cut")]}
        one.put("a", wake=False)
        one.dispatcher.jobs_added()
        one.drained()
        assert "a" in one.transport.files and one.transport.calls.count("connect") == 2

    @pytest.mark.slow
    @pytest.mark.parametrize("claims", [True, False], ids=["by the standing claim", "by a claim of its own"])
    def test_what_is_claimed_when_a_server_asks_for_a_pause_waits(self, bench, monkeypatch, claims):
        one, _ = self.connected(bench)
        began, upload, pause = {}, one.transport.upload, Connection.pause

        async def timed(job, progress):
            began.setdefault(job.name, time.monotonic())
            return await upload(job, progress)

        def paused(connection, error, secs):
            until = pause(connection, error, secs)
            one.put("b", wake=False)
            return until

        one.transport.upload = timed
        monkeypatch.setattr(Connection, "pause", paused)
        if not claims:
            monkeypatch.setattr(StandingClaim, "leave", lambda self, terms: None)
        one.transport.on_upload = {"a": [ServerBusy("too many requests", 0.6)]}
        one.put("a", wake=False)
        one.dispatcher.jobs_added()
        one.drained()
        assert began["b"] - began["a"] >= 0.6, "nothing is asked of the server in the meantime"
        assert one.transport.calls.count("connect") == 1

    def test_after_the_dead_time_none_is_left(self, bench):
        one, claims = self.connected(bench, DeadTimeMilli=200)
        wait_until(lambda: "close" in one.transport.calls, what="closed")
        one.put("a")
        one.drained()
        assert [job.name for job in claims] == ["a"]
