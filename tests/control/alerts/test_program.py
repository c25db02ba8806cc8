"""The user's program, for real: what it gets, and that nothing it does is waited for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pysubtask.common.process import is_alive
from pysubtask.control.alerts import program as program_module
from pysubtask.control.alerts.message import message
from pysubtask.control.alerts.program import Ended, Program, begin
from pysubtask.control.alerts.watch import environment
from tests.support.helpers import wait_until
from tests.support.task_statuses import ALERT, NOW, task_status

ENVIRON = {"PATH": os.environ["PATH"]}


def script(folder: Path, text: str, mode: int = 0o700) -> str:
    path = folder / "alert"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(mode)
    return str(path)


def started(words: list[str], limit: float = 60.0, environ: dict[str, str] = ENVIRON) -> Program:
    found = begin(words, environ, ALERT.as_json(), limit, time.monotonic())
    assert isinstance(found, Program), found
    return found


def ended(program: Program) -> Ended:
    """How it ended; each poll of it takes next to no time."""
    return wait_until(lambda: program.poll(time.monotonic()), 60, "the end of the program")


def test_it_gets_what_happened_on_stdin_and_in_its_environment(tmp_path: Path):
    words = [script(tmp_path, f'cat > {tmp_path}/in; env > {tmp_path}/env; echo "$#:$1:$2"'), "a b", "*"]
    found = ended(started(words, environ={**ENVIRON, **ALERT.environment()}))
    assert (found.problem, found.output) == ("", "2:a b:*")
    fields = json.loads((tmp_path / "in").read_text())
    assert fields["event"] == "begins" and fields["kind"] == "held" and fields["task"] == "roof" and fields["version"] == 1
    assert fields["counts"] == {"waiting": 3, "sending": 0, "parked": 1, "not_copied": 0, "delivered": 0}
    assert fields["since"] == "2027-01-15T07:58:30.000Z" and fields["host"] == "roof7"
    lines = (tmp_path / "env").read_text().splitlines()
    assert {line.partition("=")[0] for line in lines if line.startswith("ALERT_")} == set(ALERT.environment())
    assert "ALERT_SUBJECT=pysubtask on roof7: roof/ftp: held" in lines and "ALERT_WAITING=3" in lines
    assert not any("\x1b" in line for line in lines) and "\\x1b[2J\\x0anews" in fields["why"]
    assert set(ALERT.environment()) == {"ALERT_" + key.upper() for key in [*fields, *fields["counts"]]} - {"ALERT_COUNTS"}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("exit 3", "its exit status was 3"),
        ("kill -9 $$", "it was ended by signal 9"),
        ("exec /nowhere/at/all", "its exit status was 127"),
    ],
)
def test_a_failure_is_named(tmp_path: Path, text: str, problem: str):
    assert ended(started([script(tmp_path, f"echo before; {text}")])).problem == problem


def test_one_that_hangs_is_ended_with_all_that_it_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """It ignores SIGTERM, as does its child; both are gone."""
    monkeypatch.setattr(program_module, "_GRACE_SECS", 0.2)
    words = [script(tmp_path, f"trap '' TERM; sleep 1000 & echo $! > {tmp_path}/child; echo begun; wait; sleep 1000")]
    program = started(words, limit=0.3)
    child = int(wait_until(lambda: (tmp_path / "child").exists() and (tmp_path / "child").read_text(), 60))
    assert is_alive(program.pid, "") and is_alive(child, "")
    found = ended(program)
    assert found.problem == "it took longer than 0.3 s (TimeoutSecs) and was ended" and found.output == "begun"
    wait_until(lambda: not is_alive(child, "") and not is_alive(program.pid, ""), 60, "the end of what it started")


def test_what_it_leaves_behind_ends_with_it(tmp_path: Path):
    words = [script(tmp_path, f"sleep 1000 & echo $! > {tmp_path}/child; exit 0")]
    assert ended(started(words)).problem == ""
    child = int((tmp_path / "child").read_text())
    wait_until(lambda: not is_alive(child, ""), 60, "the end of what it left")


def test_a_flood_is_taken_and_dropped(tmp_path: Path):
    words = [sys.executable, "-c", "import sys\nfor _ in range(300): sys.stdout.write('y' * 65536)\nprint('end')"]
    found = ended(started(words))
    assert found.problem == "" and len(found.output) < 5000
    assert found.output.startswith("yyyy") and found.output.endswith("more bytes)")


def test_a_flood_without_end_is_ended_and_held_to_no_memory(tmp_path: Path):
    found = ended(started(["yes"], limit=0.3))
    assert "TimeoutSecs" in found.problem and len(found.output) < 5000


def test_a_program_that_reads_nothing_is_no_trouble(tmp_path: Path):
    assert ended(started([script(tmp_path, "exec <&- >&- 2>&-; sleep 0.1")])).problem == ""


def test_it_is_killed_at_once(tmp_path: Path):
    program = started([script(tmp_path, "trap '' TERM; sleep 1000")])
    program.kill()
    assert not is_alive(program.pid, "")


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["/nowhere/alert"], "there is no file /nowhere/alert"),
        (["no-such-program-of-ours"], "there is no program 'no-such-program-of-ours' in PATH"),
        (["/usr"], "/usr is a folder"),
        ([str(Path(__file__))], f"{__file__} may not be executed by this user (its mode lacks x)"),
    ],
)
def test_one_that_is_not_there_is_reported_as_missing(words: list[str], problem: str):
    assert begin(words, ENVIRON, b"{}", 1.0, 0.0) == problem


def test_one_that_is_no_program_is_reported_as_none(tmp_path: Path):
    path = tmp_path / "alert"
    path.write_bytes(b"\x00\x01")
    path.chmod(0o700)
    assert begin([str(path)], ENVIRON, b"{}", 1.0, 0.0) == "it cannot be started: Exec format error"


def test_one_that_others_may_write_by_now_is_not_run(tmp_path: Path):
    words = [script(tmp_path, f"touch {tmp_path}/ran", 0o777)]
    found = begin(words, ENVIRON, b"{}", 1.0, 0.0)
    assert isinstance(found, str) and "it is not run: others may write" in found and "Let nobody but its owner write it" in found
    assert not (tmp_path / "ran").exists()


def test_its_environment_has_no_secret_of_ours():
    found = environment(
        {
            "PATH": "/bin",
            "HOME": "/root",
            "PYTHONPATH": "/ours",
            "PYSUBTASK_ROOF__FTP__PASSWORD": "hush",
            "PYSUBTASK_ROOF__FTP__HOST": "h",
            "CREDENTIALS_DIRECTORY": "/run/cred",
            "NOTIFY_SOCKET": "/s",
        },
        "/app",
    )
    assert found == {"PATH": "/bin", "HOME": "/root", "PYTHONPATH": "/app", "PYSUBTASK_ROOF__FTP__HOST": "h"}
    assert "PYTHONPATH" not in environment({"PYTHONPATH": "/ours"}, None)


def test_a_long_sentence_is_cut(tmp_path: Path):
    one = task_status("roof/ftp", "sftp://h/", {"state": "held", "why": "x" * 10_000}, (0, 0, 0))
    alert = message("lasts", "held", one, "h", NOW - 90_000, task="roof", extension="ftp")
    assert len(alert.fields()["why"]) == 2000 and "still held, for 25.0 h" in alert.subject


def test_any_locale_takes_any_sign(tmp_path: Path):
    code = "from tests.control.alerts.test_program import *; alert = ALERT._replace(task='D\\u00e4ch\\u4e16'); "
    code += "print(ended(started(['/usr/bin/env'], environ={**ENVIRON, **alert.environment()})).output.encode())"
    environ = {**os.environ, "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run(
        [sys.executable, "-X", "utf8=0", "-c", code], env=environ, capture_output=True, text=True, timeout=60, check=True
    )
    assert "ALERT_TASK=D\\xc3\\xa4ch\\xe4\\xb8\\x96" in done.stdout
