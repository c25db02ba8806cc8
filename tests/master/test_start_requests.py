"""Requests to start a stopped child: the master takes them, and answers them when the child runs."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from pysubtask.common import requests
from pysubtask.common.process import process_start
from pysubtask.common.requests import Who, reply_to, send, waiting
from pysubtask.common.status import write_status
from pysubtask.master.start_requests import StartRequests

ME = Who("ana", 7, "a test", "here")
LOG = logging.getLogger("tests.start_requests")


@pytest.fixture
def state(tmp_path: Path) -> Path:
    folder = tmp_path / ".pysubtask" / "main" / "ftp"
    folder.mkdir(parents=True, mode=0o700)
    return folder


def page(state_dir: Path, **facts: object) -> None:
    pid = os.getpid()
    write_status(str(state_dir), {"pid": pid, "pid_start": process_start(pid), "master_pid": pid, "state": "watching", **facts})


def test_those_to_start_are_taken_and_no_others(state: Path):
    found = StartRequests()
    found.take(str(state))
    assert not found
    start, reset = send(str(state), "start", {}, ME), send(str(state), "reset", {}, ME)
    found.take(str(state))
    assert found and [request.id for request in waiting(str(state))] == [reset]
    assert reply_to(str(state), start) is None


def test_they_are_answered_once_the_child_runs(state: Path, caplog: pytest.LogCaptureFixture):
    ids = [send(str(state), "start", {}, ME, wall=1000.0 + number) for number in range(2)]
    found = StartRequests()
    found.take(str(state))
    for facts in ({"state": "starting"}, {"state": "stopped"}, {"master_pid": 1}, {"pid_start": "another"}, {"pid": None}):
        page(state, **facts)
        found.answer(str(state), LOG, is_over=False)
        assert found and reply_to(str(state), ids[0]) is None, facts
    page(state)
    with caplog.at_level(logging.INFO):
        found.answer(str(state), LOG, is_over=False)
    replies = [reply_to(str(state), id) for id in ids]
    assert not found and [(reply.ok, reply.result) for reply in replies if reply] == [(True, {"running": True})] * 2
    assert caplog.text.count("ORDER [start] of ana") == 2


def test_one_that_has_run_and_was_stopped_again_was_started(state: Path):
    id = send(str(state), "start", {}, ME)
    found = StartRequests()
    found.take(str(state))
    found.answer(str(state), LOG, is_over=True)
    reply = reply_to(str(state), id)
    assert reply is not None and reply.ok


def test_a_reply_that_cannot_be_written_is_kept_and_logged_once(
    state: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    id = send(str(state), "start", {}, ME)
    found = StartRequests()
    found.take(str(state))
    page(state)

    def full(*args: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(requests, "answer", full)
        for _ in range(3):
            found.answer(str(state), LOG, is_over=False)
    assert found and caplog.text.count("Order [start] of ana (pid 7, a test) cannot be answered: [Errno 28]") == 1
    found.answer(str(state), LOG, is_over=False)
    assert not found and reply_to(str(state), id) is not None
