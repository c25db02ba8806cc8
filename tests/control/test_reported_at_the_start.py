"""What the start reports: a hold, a key that nobody can use, an order that waits, another config's run."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from pysubtask.common.requests import waiting
from pysubtask.control.commands.queue import connects_in, lines_of
from pysubtask.testing import ftp_server
from pysubtask.testing.servers.sshd import make_key
from tests.support.helpers import wait_until
from tests.support.run_station import TERM, Run, child, end_all, state_dir


class Station:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.runs: list[Run] = []
        (folder / "data").mkdir()

    def write(self, ftp: str, name: str = "st.toml", base: str = "") -> Path:
        config = self.folder / name
        config.write_text(
            f'[base]\n{base}\n[ftp]\nHost = "127.0.0.1"\nTimerIntervalSecs = 0.3\n{ftp}\n'
            '[[watch]]\ndir = "data"\nsettle_secs = 0.1\n'
        )
        config.chmod(0o600)
        return config

    def run(self, config: Path) -> Run:
        self.runs.append(Run(self.folder, config))
        return self.runs[-1]

    def stop(self, run: Run) -> None:
        run.signal(TERM)
        run.status()


@pytest.fixture
def station(tmp_path: Path) -> Iterator[Station]:
    one = Station(tmp_path)
    yield one
    end_all(one.runs)


NOBODY = 'HostPort = 1\nUser = "u"\nUseSFTP = false'


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="ssh-keygen is not installed")
@pytest.mark.parametrize(
    ("mode", "words"),
    [(None, "there is no file {key}"), (0o644, "others may read {key} (mode 0644), so ssh does not use it. run:  chmod 600 {key}")],
)
def test_a_key_that_cannot_be_used_is_reported_at_the_start(station: Station, mode: int | None, words: str):
    key = station.folder / "key"
    if mode is not None:
        make_key(key)
        key.chmod(mode)
    run = station.run(station.write(f'HostPort = 1\nUser = "u"\nKeyFile = "{key}"\nSSHConfigFile = "none"'))
    run.says(f"key file: {words.format(key=key)}")
    child(station.folder / "data")
    assert run.text().count("key file: ") == 1 and "`pysubtask doctor st.toml` says more" in run.text()


@pytest.mark.slow
def test_good_files_are_not_spoken_of(station: Station):
    run = station.run(station.write(NOBODY))
    child(station.folder / "data")
    assert "key file" not in run.text() and "WARNING: [" not in run.text()


@pytest.mark.slow
def test_a_former_hold_is_reported_at_the_start_and_by_the_queue(station: Station):
    with ftp_server(station.folder / "ftp") as server:
        settings = server.settings()
        config = station.write(
            f'HostPort = {settings["HostPort"]}\nUser = "{settings["User"]}"\nPassword = "wrong"\nUseSFTP = false',
            base="RetryWaitSecs = 300\nRetryLongWaitSecs = 300",
        )
        (station.folder / "data" / "a.csv").write_text("1\n")
        first = station.run(config)
        first.says("LOGIN REFUSED!")

        def row() -> str:
            return next(line for line in first.command("queue").stdout.splitlines() if "a.csv" in line)

        # The page, which has the time, is a moment later than the log.
        wait_until(lambda: " now " not in row() and " min " in row(), 40, "the next try of the connection")
        station.stop(first)
        second = station.run(config)
        second.says("HELD! Nothing is lost: the login was refused before the restart; next try in [")
        assert "'pysubtask retry' tries before that" in second.text()


def test_a_files_next_try_is_not_before_the_connections():
    rows = [
        {
            "state": "waiting",
            "at": "2026-01-01T00:00:00Z",
            "size": 1,
            "attempts": 0,
            "next_try_secs": secs,
            "name": name,
            "reason": "",
        }
        for name, secs in (("a", 0), ("b", 200))
    ]
    page = {"state": "held", "next_try": "2026-01-01T00:01:30Z"}
    now = 1767225600.0
    assert connects_in(page, now) == 90 and connects_in(page | {"state": "connected"}, now) == 0
    assert connects_in(page, now + 100) == 0 and connects_in({"state": "waiting"}, now) == 0
    text = "\n".join(lines_of("x", rows, 100, now, alive=True, limit=9, wait=90.0))
    assert "90 s" in text and "3 min" in text and "now" not in text, text
    assert "now" in "\n".join(lines_of("x", rows, 100, now, alive=True, limit=9))


@pytest.mark.slow
def test_an_order_that_waits_for_a_child_is_listed(station: Station):
    run = station.run(station.write(NOBODY))
    child(station.folder / "data")
    station.stop(run)
    assert "An order waits" not in run.command("status").stdout
    run.command("pause")
    state = str(state_dir(station.folder / "data"))
    assert [order.op for order in waiting(state)] == ["pause"]
    assert "An order waits for the next child: pause (by " in " ".join(run.command("status").stdout.split())
    assert "pause" in json.loads(run.command("status", "--json").stdout)["tasks"][0]["remedy"]
    station.run(station.folder / "st.toml")
    wait_until(lambda: not waiting(state), 40, "it is carried out")
    assert "order waits" not in run.command("status").stdout


@pytest.mark.slow
def test_a_task_that_another_config_runs_names_that_config(station: Station):
    one = station.run(station.write(NOBODY))
    child(station.folder / "data")
    other = station.run(station.write(NOBODY, "st2.toml"))
    assert other.status() == 5
    words = f"is run already, by process {one.process.pid} (pysubtask run {station.folder / 'st.toml'})."
    assert words in other.text(), other.text()
    again = station.run(station.folder / "st.toml")
    assert again.status() == 5 and f"by process {one.process.pid} (pysubtask run)." in again.text()
