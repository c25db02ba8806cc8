"""After one and the same error the child and ``pysubtask push`` do the same, over one and the same transport."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pysubtask.common.errors import (
    AttemptFailed,
    ConfigError,
    FileRefused,
    LoginRefused,
    NotAsLeft,
    ServerBusy,
    ServerNotTrusted,
    SourceChanged,
    SourceError,
    TransportLost,
)
from pysubtask.control.doctor.source import Target
from pysubtask.control.push import sender
from pysubtask.control.push.outcome import Outcome
from pysubtask.control.push.record import Record
from pysubtask.control.push.sender import Limits, Sender
from pysubtask.control.push.tries import Tries
from pysubtask.delivery_rules.retry import Policy, decide
from pysubtask.transports.base import Job, Sent
from pysubtask.transports.shared.reach import nobody_listens
from tests.support.dispatcher_bench import SETTINGS, Bench, Scripted
from tests.support.helpers import wait_until

Errors = list[Exception | None]


class Display:
    """The display of a push, of which the notes are kept."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def begin(self, name: str, size: int) -> None:
        return None

    def progress(self, name: str, done: int) -> None:
        return None

    def end(self, outcome: Outcome) -> None:
        return None

    def note(self, text: str) -> None:
        self.notes.append(text)


class Push:
    """A push of the files ``a`` and ``b`` over a transport that fails on demand."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, tries: int = 3, **settings: Any) -> None:
        monkeypatch.setenv("PYSUBTASK_REGISTRY", str(folder / "registry"))
        self.transport = Scripted()
        monkeypatch.setattr(sender, "open_transport", lambda *_: self.transport)
        for name in ("a", "b"):
            (folder / name).write_text(f"{name}\n")
        self.show = Display()
        requested = [(str(folder / name), name) for name in ("a", "b")]
        target = Target("t/ftp", "ftp", {**SETTINGS, **settings}, "", None, None, "toml")
        self.record = Record("scripted://", ["a", "b"])
        self.sender = Sender(target, requested, self.record, Limits(tries, 60), self.show)

    def run(self) -> dict[str, Outcome]:
        nobody: Any = SimpleNamespace(instead_of=lambda error: None, words=str)
        try:
            return {outcome.name: outcome for outcome in self.sender.run(nobody)}
        finally:
            self.record.close(keep=False)


class Child(Bench):
    """A child's dispatcher, given the files ``a`` and ``b``."""

    def run(self, is_done: Callable[[Child], object]) -> None:
        self.put("a", "b", wake=False)
        self.start()
        wait_until(lambda: is_done(self), what="the child has done what follows")
        self.close()


def calls(transport: Any) -> dict[str, int]:
    """How often the server was connected to and each file was sent."""
    return {call: transport.calls.count(call) for call in ("connect", "upload a", "upload b")}


def both(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    is_done: Callable[[Child], object],
    on_upload: Callable[[], Errors] = list,
    on_connect: Callable[[], Errors] = list,
    **settings: Any,
) -> tuple[Child, Push, dict[str, Outcome]]:
    """The child and the push after the same errors at the file ``a`` and the same failed connects, and the outcomes of the push."""
    for name in ("child", "push"):
        (folder / name).mkdir()
    child, push = Child(folder / "child", **settings), Push(folder / "push", monkeypatch, **settings)
    for transport in (child.transport, push.transport):
        transport.on_upload, transport.on_connect = {"a": on_upload()}, on_connect()
    child.run(is_done)
    return child, push, push.run()


def empty(child: Child) -> object:
    return child.empty()


def test_wait_a_lost_connection_is_opened_again_for_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    child, push, outcomes = both(tmp_path, monkeypatch, empty, on_upload=lambda: [TransportLost("reset")])
    assert not any(outcome.error for outcome in outcomes.values())
    for transport in (child.transport, push.transport):
        assert set(transport.files) == {"a", "b"}
        assert (calls(transport)["connect"], calls(transport)["upload a"]) == (2, 2)
    assert push.show.notes == ["reset; next try in 0.1 s"]


@pytest.mark.slow
def test_wait_a_busy_server_is_left_alone_on_one_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    child, push, outcomes = both(tmp_path, monkeypatch, empty, on_upload=lambda: [ServerBusy("429", 0.4)])
    assert not any(outcome.error for outcome in outcomes.values())
    for transport in (child.transport, push.transport):
        assert calls(transport) == {"connect": 1, "upload a": 2, "upload b": 1}
    assert len(push.show.notes) == 1 and push.show.notes[0].startswith("429; next try in 0.")


def test_wait_a_server_that_stays_busy_ends_a_push(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    push = Push(tmp_path, monkeypatch)
    push.transport.on_upload = {name: [ServerBusy("429", 0.05) for _ in range(9)] for name in ("a", "b")}
    outcomes = push.run()
    assert {outcome.error for outcome in outcomes.values()} == {"429 (3 tries)"} and calls(push.transport)["connect"] == 1
    assert [note.partition(";")[0] for note in push.show.notes] == ["429", "429"]


@pytest.mark.slow
def test_wait_between_sets_of_tries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Four failed connects, three in a set: --tries allows a push more than one set."""
    monkeypatch.setattr(random, "random", lambda: 0.0)
    push = Push(tmp_path, monkeypatch, tries=9, RetryCount=3, RetryWaitSecs=0.1, RetryLongWaitSecs=0.3)
    push.transport.on_connect = [TransportLost("no route")] * 4
    push.run()
    assert [note.rpartition(" in ")[2] for note in push.show.notes] == ["0.1 s", "0.1 s", "0.3 s", "0.1 s"]


@pytest.mark.slow
def test_wait_so_many_logins_in_a_minute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    fast = {"LoginsPerMinute": 2, "RetryWaitSecs": 0.01, "RetryLongWaitSecs": 0.01}
    monkeypatch.setattr("pysubtask.delivery_rules.login_limit.WINDOW_SECS", 1.0)
    child, push, outcomes = both(
        tmp_path, monkeypatch, empty, on_upload=lambda: [TransportLost("broken"), TransportLost("broken")], **fast
    )
    assert calls(child.transport)["connect"] == calls(push.transport)["connect"] == 3
    for transport in (child.transport, push.transport):
        assert transport.times[2] - transport.times[0] >= 1.0, "the third login is a minute after the first"
    assert "2 logins within a minute came to nothing" in push.show.notes[1] and not any(row.error for row in outcomes.values())


@pytest.mark.slow
def test_wait_what_may_be_a_ban(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    push = Push(tmp_path, monkeypatch, tries=99, LoginsPerMinute=6, RetryWaitSecs=0.01, RetryLongWaitSecs=0.01)
    monkeypatch.setattr("pysubtask.delivery_rules.login_limit.BAN_SECS", 0.5)
    push.transport.on_upload = {"a": [TransportLost("broken") for _ in range(3)]}
    push.transport.on_connect = [None, None, None, nobody_listens("there:22"), nobody_listens("there:22")]
    outcomes = push.run()
    assert "may have banned this address" in push.show.notes[-1] and not any(row.error for row in outcomes.values())


@pytest.mark.parametrize("error", [LoginRefused("wrong password"), ServerNotTrusted("host key not known", "unknown")])
@pytest.mark.parametrize("when", ["on_connect", "on_upload"])
def test_hold_a_refused_login_ends_it_for_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: LoginRefused, when: str):
    """A child waits long for somebody to remove the reason, a push ends: neither tries again by itself soon."""
    script = {when: lambda: [error]}
    child, push, outcomes = both(
        tmp_path, monkeypatch, lambda child: child.status_model.get("state") == "held", RetryWaitSecs=30, **script
    )
    assert calls(child.transport)["connect"] == calls(push.transport)["connect"] == 1
    assert outcomes["a"].error == str(error) and push.show.notes == []


@pytest.mark.parametrize("when", ["on_connect", "on_upload"])
def test_hold_a_setting_that_cannot_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str):
    push = Push(tmp_path, monkeypatch)
    wrong: Errors = [ConfigError("ftp.SSHProgram", "there is none", "Install it.")]
    setattr(push.transport, when, wrong if when == "on_connect" else {"a": wrong})
    with pytest.raises(ConfigError, match="there is none"):
        push.run()
    assert calls(push.transport)["connect"] == 1


def test_again_one_file_alone_over_the_same_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    child, push, outcomes = both(tmp_path, monkeypatch, empty, on_upload=lambda: [AttemptFailed("odd"), AttemptFailed("odd")])
    assert not any(outcome.error for outcome in outcomes.values())
    for transport in (child.transport, push.transport):
        assert calls(transport) == {"connect": 1, "upload a": 3, "upload b": 1}
        assert transport.calls.index("upload b") < len(transport.calls) - 1 - transport.calls[::-1].index("upload a")
    assert [note.partition(";")[0] for note in push.show.notes] == ["odd", "odd"]


def parked(child: Child) -> object:
    return "b" in child.transport.files and child.spool_thread.run(child.spool_thread.spool.queue_admin.parked)


def test_park_a_refused_file_is_left_and_others_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    child, push, outcomes = both(tmp_path, monkeypatch, parked, on_upload=lambda: [FileRefused("permission denied")])
    assert outcomes["a"].error == "permission denied" and outcomes["b"].sent is not None
    for transport in (child.transport, push.transport):
        assert calls(transport) == {"connect": 1, "upload a": 1, "upload b": 1} and set(transport.files) == {"b"}


def test_park_after_so_many_failures_in_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def parked_while_others_pass(child: Child) -> object:
        child.put("others")
        return parked(child)

    odd: Errors = [AttemptFailed("odd") for _ in range(9)]
    child, push, outcomes = both(tmp_path, monkeypatch, parked_while_others_pass, on_upload=lambda: list(odd))
    assert outcomes["a"].error == "odd (3 tries)" and outcomes["b"].sent is not None
    for transport in (child.transport, push.transport):
        assert calls(transport) == {"connect": 1, "upload a": 3, "upload b": 1}


def test_next_the_whole_file_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    child, push, outcomes = both(tmp_path, monkeypatch, empty, on_upload=lambda: [NotAsLeft("another file")], RetryWaitSecs=30)
    assert not any(outcome.error for outcome in outcomes.values())
    for transport in (child.transport, push.transport):
        assert calls(transport) == {"connect": 1, "upload a": 2, "upload b": 1}


@pytest.mark.parametrize("error", [SourceChanged("it was changed"), SourceError("it cannot be read")])
def test_anew_the_file_is_read_again_over_the_same_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: SourceError):
    child, push, outcomes = both(
        tmp_path,
        monkeypatch,
        lambda child: child.lost == ["/data/a"] and "b" in child.transport.files,
        on_upload=lambda: [error],
        RetryWaitSecs=30,
    )
    assert calls(child.transport)["connect"] == calls(push.transport)["connect"] == 1
    assert calls(push.transport)["upload a"] == 2 and not any(outcome.error for outcome in outcomes.values())
    assert push.show.notes == [f"{error}; once more"]


def test_anew_has_an_end_in_a_push(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    push = Push(tmp_path, monkeypatch)
    push.transport.on_upload = {"a": [SourceChanged("it was changed") for _ in range(9)]}
    outcomes = push.run()
    assert outcomes["a"].error == "it was changed" and calls(push.transport)["upload a"] == 4 and outcomes["b"].sent is not None


def test_an_upload_whose_answer_was_lost_is_not_sent_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    upload = Scripted.upload

    async def cut_after_the_rename(self: Scripted, job: Job, progress: Callable[[int], None]) -> Sent:
        sent = await upload(self, job, progress)
        if job.name == "a":
            raise TransportLost("cut after the rename")
        return sent

    monkeypatch.setattr(Scripted, "upload", cut_after_the_rename)
    child, push, outcomes = both(tmp_path, monkeypatch, empty)
    assert outcomes["a"].there and outcomes["a"].sent is not None
    for transport in (child.transport, push.transport):
        assert calls(transport)["upload a"] == 1 and "stat a" in transport.calls


def test_only_a_cut_upload_resumes_its_temporary_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    upload, jobs = Scripted.upload, dict[Scripted, list[Job]]()

    async def noted(self: Scripted, job: Job, progress: Callable[[int], None]) -> Sent:
        if job.name == "a":
            jobs.setdefault(self, []).append(job)
            if len(jobs[self]) == 2:
                job.note("half")
        return await upload(self, job, progress)

    monkeypatch.setattr(Scripted, "upload", noted)
    child, push, _ = both(tmp_path, monkeypatch, empty, on_upload=lambda: [TransportLost("cut") for _ in range(2)])
    for transport in (child.transport, push.transport):
        first, second, third = jobs[transport]
        assert (first.resume, second.resume, third.resume) == ("", "", "half")
        assert first.temp != second.temp == third.temp
        assert (first.stale, second.stale) == ((), (first.temp,)) and second.temp not in third.stale


POLICY = Policy(tries=3, wait=2.0, long_wait=30.0, parked_wait=300.0)


@pytest.mark.parametrize(
    "error",
    [
        *(TransportLost("x"), ServerBusy("x", 7.0), ServerBusy("x"), LoginRefused("x"), ConfigError("a", "b", "c")),
        *(FileRefused("x"), NotAsLeft("x"), SourceChanged("x"), AttemptFailed("x")),
    ],
    ids=lambda error: type(error).__name__,
)
def test_every_decision_is_that_of_the_rule(error: Exception):
    tries = Tries(POLICY, 3, lambda: 0.5)
    if isinstance(error, AttemptFailed):
        assert [tries.failed("a", error)[0] for _ in range(2)] == [decide(nth, error, POLICY, 0.5) for nth in (1, 2)]
        assert tries.failed("a", error)[0].action == decide(3, error, POLICY, 0.5).action == "park"
        return
    assert tries.failed("a", error)[0] == decide(1, error, POLICY, 0.5)
    assert [tries.lost(error) for _ in range(4)] == [decide(nth, error, POLICY, 0.5) for nth in range(1, 5)]


def test_tries_beyond_a_set_belong_to_a_file_that_is_not_blamed():
    tries, odd = Tries(POLICY, 6, lambda: 0.0), AttemptFailed("odd")
    found = [tries.failed("a", odd)[0] for _ in range(6)]
    assert found[:5] == [decide(nth, odd, POLICY, 0.0, others=False) for nth in range(1, 6)]
    assert found[5].action == "park"


def test_progress_defers_the_end_and_a_delivery_begins_a_new_set():
    tries = Tries(POLICY, 3, lambda: 0.0)
    for _ in range(2):
        tries.lost(TransportLost())
    tries.moved()
    assert tries.lost(TransportLost()).secs == 30.0 and tries.without_progress == 1 and not tries.spent
    tries.delivered("b")
    assert [tries.lost(TransportLost()).secs for _ in range(3)] == [2.0, 2.0, 30.0] and tries.spent
