"""The process that alerts, as its master minds it."""

from __future__ import annotations

import logging
import os
import signal
import time
from pathlib import Path

import pytest

from pysubtask import TaskMaster
from pysubtask.common.alert_handoff import MODULE, AlertHandoff, Watched, read, write
from pysubtask.common.errors import ConfigError
from pysubtask.common.handoff import nameless
from pysubtask.common.process import is_alive
from pysubtask.master.alerter import Alerter
from pysubtask.master.child import Launch
from tests.support.helpers import command_lines, wait_until

SETTINGS = {"Command": ["/bin/true", "--hush-0123"], "SilentSecs": 3600, "SettleSecs": 60, "RepeatSecs": 86400, "TimeoutSecs": 30}
LOG = logging.getLogger("test_alerter")
HANDED = AlertHandoff(SETTINGS, [Watched("main", "ftp", "/s", "roof", "/d", "")], None, False, {"LogLevel": "info"}, 7, "x", None)


def launch(data: bytes, console: bool = False):
    return lambda: (Launch(MODULE, (), os.getcwd(), console, None, "t"), nameless(data))


def test_what_it_is_handed_is_read_as_it_was_written():
    fd = write(HANDED)
    try:
        assert read(fd) == HANDED and "hush" not in repr(HANDED)
    finally:
        os.close(fd)


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b'{"format": 2}', b'{"format": 1, "children": [{"task": 1}]}', b"\xff"])
def test_anything_else_is_refused_without_being_quoted(data: bytes):
    fd = nameless(data)
    try:
        with pytest.raises(ConfigError, match="stdin does not hold one"):
            read(fd)
    finally:
        os.close(fd)


def test_one_that_ends_is_started_again_with_back_off(caplog: pytest.LogCaptureFixture):
    one = Alerter(SETTINGS)
    now, pids = 1000.0, []
    for wait in (1.0, 2.0, 4.0):
        one.supervise(now, launch(b"{}"), LOG)
        pids.append(one.pid)
        wait_until(lambda at=now: one.supervise(at, launch(b"{}"), LOG) or one.pid is None, 60, "its end")
        one.supervise(now + wait - 0.01, launch(b"{}"), LOG)
        assert one.pid is None
        now += wait
    assert len(set(pids)) == 3 and "ended by itself (exit status 2): next start in [4] secs" in caplog.text
    one.end()


def test_one_that_cannot_be_started_is_tried_again(caplog: pytest.LogCaptureFixture):
    def fails():
        raise OSError(24, "Too many open files")

    one = Alerter(SETTINGS)
    one.supervise(1000.0, fails, LOG)
    assert one.pid is None and "cannot be started" in caplog.text
    one.end()


@pytest.mark.slow
def test_a_master_starts_ends_and_renews_it_and_no_call_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PYSUBTASK_REGISTRY", str(tmp_path / "registry"))
    (tmp_path / "data").mkdir()
    config = {
        "ftp": {"Host": "127.0.0.1", "HostPort": 1, "UseSFTP": False, "Subtask_Log_FileName": None, "StopWaitSecs": 0.2},
        "alerts": SETTINGS,
    }
    log = tmp_path / "log.txt"
    master = TaskMaster([{"dir": str(tmp_path / "data")}], config, str(log), False)
    alerter = master._supervisor.alerter
    assert alerter is not None and alerter.pid is None
    with command_lines() as seen:
        master.start()
        try:
            first = alerter.pid
            assert first is not None and is_alive(first, "")
            wait_until(lambda: "Alerts are given by [/bin/true --hush-0123]" in log.read_text(), 60, "its hello")
            os.kill(first, signal.SIGKILL)
            wait_until(lambda: master.check_pending_notifications() or alerter.pid not in (None, first), 60, "another one")
            second = alerter.pid
            wait_until(lambda: log.read_text().count("Alerts are given by") == 2, 60, "its hello")
            alerter.renew()
            wait_until(lambda: master.check_pending_notifications() or alerter.pid not in (None, second), 60, "another one")
            third = alerter.pid
            assert log.read_text().count("What alerts ended by itself") == 1, "that was asked for"
            # One that hears nothing is ended all the same.
            assert third is not None
            os.kill(third, signal.SIGSTOP)
            before = time.monotonic()
            master.check_pending_notifications()
            assert time.monotonic() - before < 5, "a guard against waiting for it"
        finally:
            master.stop(forcekill=True)
    assert not is_alive(third, "") and alerter.pid is None
    assert not any(b"hush" in line and b"pysubtask" in line for line in seen), "the command is on no command line of ours"


def test_a_second_start_after_a_stop_starts_it_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PYSUBTASK_REGISTRY", str(tmp_path / "registry"))
    (tmp_path / "data").mkdir()
    config = {"ftp": {"Host": "127.0.0.1", "HostPort": 1, "UseSFTP": False, "Subtask_Log_FileName": None}, "alerts": SETTINGS}
    master = TaskMaster([{"dir": str(tmp_path / "data")}], config, None, False)
    pids = []
    for _ in range(2):
        master.start()
        pids.append(master._supervisor.alerter.pid if master._supervisor.alerter else None)
        master.stop()
    assert None not in pids and pids[0] != pids[1] and not any(is_alive(pid, "") for pid in pids if pid)
