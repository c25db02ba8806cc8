"""``pysubtask reload`` says what was done, by who did it, after it was done: whatever changed, and whatever comes in between."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pysubtask.common import requests
from pysubtask.common.lock import StateLock
from tests.support.helpers import wait_until
from tests.support.run_station import HUP, TERM, Run, child, command, end_all, environment, setting

ROUNDS = 3


class Station:
    """Tasks whose server nobody is at: what is uploaded does not matter here."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "station.toml"
        self.runs: list[Run] = []
        for name in ("data", "roof", "attic"):
            (folder / name).mkdir()

    def write(self, *tasks: str, base: str = "", ftp: str = "", watch: str = "") -> None:
        text = f'[base]\nRetryWaitSecs = 0.2\n{base}\n[ftp]\nHost = "127.0.0.1"\nHostPort = 1\nUser = "u"\nUseSFTP = false\n'
        text += f'SSHConfigFile = "none"\nTimerIntervalSecs = 0.3\n{ftp}\n'
        for task in tasks or ("main",):
            place = "data" if task == "main" else task
            text += f'[tasks.{task}]\nwatch = [{{ dir = "{place}", settle_secs = 0.1 {watch}}}]\n'
        part = self.config.with_suffix(".part")
        part.write_text(text)
        part.chmod(0o600)
        part.rename(self.config)

    def run(self, *tasks: str, base: str = "") -> Run:
        self.write(*tasks, base=base)
        one = Run(self.folder, self.config)
        self.runs.append(one)
        one.says("Running: ", len(self.runs))
        for task in tasks or ("main",):
            child(self.folder / ("data" if task == "main" else task), task)
        return one


@pytest.fixture
def station(tmp_path: Path) -> Iterator[Station]:
    one = Station(tmp_path)
    yield one
    end_all(one.runs)


@pytest.mark.slow
@pytest.mark.parametrize("what", ["HostPath", "Password", "watch"])
def test_a_task_that_starts_anew_is_reported(station: Station, what: str):
    run = station.run()
    for turn in range(ROUNDS):
        before = child(station.folder / "data")
        if what == "watch":
            station.write(watch=f', include = ["*.{turn}"]')
        else:
            station.write(ftp=f'{what} = "x{turn}"\n')
        done = run.command("reload")
        assert (done.returncode, done.stderr) == (0, ""), run.text()
        reason = "watch" if what == "watch" else f"ftp.{what}"
        assert done.stdout == f"station: started anew ({reason})\n"
        # It was done when the reply came.
        assert not os.path.exists(f"/proc/{before}") or child(station.folder / "data") != before
        assert child(station.folder / "data") != before
    assert run.text().count("RELOAD: main: started anew") == ROUNDS


@pytest.mark.slow
def test_tasks_come_and_go(station: Station):
    run = station.run("main", "roof")
    station.write("roof")
    done = run.command("reload", "-t", "station")  # in the folder of the one that goes
    assert (done.returncode, done.stderr) == (0, "") and done.stdout == "station: stopped\nroof: nothing changed\n"
    station.write("roof", "attic")
    assert run.command("reload").stdout == "attic: started\nroof: nothing changed\n"
    # All that there were go, and others come.
    station.write("main")
    done = run.command("reload", "-t", "roof")
    assert done.returncode == 0 and done.stdout == "station: started\nroof: stopped\nattic: stopped\n", done.stderr
    # A config without any changes nothing.
    pid = child(station.folder / "data")
    station.config.write_text("[base]\n")
    done = run.command("reload")
    assert done.returncode == 1 and "nothing was changed" in done.stderr and child(station.folder / "data") == pid
    assert "problem" in done.stderr.splitlines()[0] and f"{station.config}" in done.stderr.splitlines()[1], (
        "a line for each problem"
    )


@pytest.mark.slow
def test_two_reloads_at_once_are_both_answered(station: Station):
    run = station.run("main", "roof")
    for turn in range(ROUNDS):
        station.write("main", "roof", ftp=f'HostPath = "x{turn}"\n')
        with ThreadPoolExecutor(5) as pool:
            done = list(pool.map(lambda task: run.command("reload", "-t", task), ["station", "roof", "station", "roof", "station"]))
        assert [(one.returncode, one.stderr) for one in done] == [(0, "")] * 5, run.text()
        assert all(
            re.fullmatch(r"(station: (started anew.*|nothing changed)\n)(roof: (started anew.*|nothing changed)\n)", one.stdout)
            for one in done
        ), done
        assert any("started anew" in one.stdout for one in done)
    # One is taken out while others ask in its folder.
    station.write("main")
    with ThreadPoolExecutor(5) as pool:
        done = list(pool.map(lambda task: run.command("reload", "-t", task), ["roof"] * 5))
    assert {one.returncode for one in done} <= {0, 3} and any("roof: stopped" in one.stdout for one in done)
    assert all(one.returncode == 0 or "nothing to reload" in one.stderr for one in done)


@pytest.mark.slow
def test_a_runner_that_ends_meanwhile_says_so_or_is_found_gone(station: Station):
    run = station.run()
    folder = station.folder / "data" / ".pysubtask" / "main"
    for number, words, status in ((TERM, "'pysubtask run' ends", 1), (signal.SIGKILL, "has ended without an answer", 4)):
        run.signal(signal.SIGSTOP)
        asking = subprocess.Popen(
            [sys.executable, "-m", "pysubtask", "reload"],
            cwd=station.folder,
            stderr=subprocess.PIPE,
            env=environment(station.folder),
            text=True,
        )
        wait_until(lambda: requests.waiting(str(folder)), 40, "the order")
        run.signal(number)
        run.signal(signal.SIGCONT)
        _, errors = asking.communicate(timeout=60)
        assert asking.returncode == status and words in errors and "when it is started again" in errors, errors
        assert requests.waiting(str(folder)) == [], "no order is left for the next one"
        run.status()
        run = station.run()
    run.signal(HUP)
    run.says("RELOAD: main: nothing changed")


@pytest.mark.slow
def test_the_lock_is_held_while_a_task_starts_anew(station: Station):
    run = station.run()
    lock = StateLock(str(station.folder / "data" / ".pysubtask" / "main" / "run.lock"))
    over, free = threading.Event(), []

    def read_holder():
        while not over.is_set():
            holder = lock.holder()
            if holder is None or holder.pid != run.process.pid:
                free.append(time.monotonic())

    looker = threading.Thread(target=read_holder)
    looker.start()
    station.write(ftp='HostPath = "other"\n')
    done = run.command("reload")
    over.set()
    looker.join()
    assert done.returncode == 0 and free == []
    second = command(station.folder, "run", str(station.config))
    assert second.returncode == 5 and "run already" in second.stderr


@pytest.mark.slow
def test_what_takes_long_is_reported_to_go_on_and_comes_true(station: Station):
    patient = "StopWaitSecs = 300"
    run = station.run(base=patient)
    before = child(station.folder / "data")
    os.kill(before, signal.SIGSTOP)
    try:
        station.write(base=patient, ftp='HostPath = "other"\n')
        done = run.command("reload")
        assert done.returncode == 0 and "station: it is still being stopped" in done.stdout and "started anew" in done.stdout
        # Changed back meanwhile: that is what starts then.
        station.write(base=patient, ftp='HostPath = "third"\n')
    finally:
        os.kill(before, signal.SIGCONT)
    run.command("reload")
    wait_until(lambda: child(station.folder / "data") != before and setting(station.folder / "data", "HostPath") == "third", 60)


@pytest.mark.slow
def test_a_child_that_is_just_starting_takes_a_live_setting_too(station: Station):
    run = station.run()
    for turn in range(1, ROUNDS + 1):
        os.kill(child(station.folder / "data"), signal.SIGKILL)
        time.sleep(0.4 * turn)
        station.write(base=f"RateLimit = {turn}000")
        done = run.command("reload")
        assert done.returncode == 0 and f"RateLimit = {turn}000" in done.stdout
        child(station.folder / "data")
        wait_until(lambda turn=turn: setting(station.folder / "data", "RateLimit") == turn * 1000, 40)


@pytest.mark.slow
def test_with_several_runners_one_is_named(station: Station, tmp_path: Path):
    run = station.run()
    other = Station.__new__(Station)
    other.folder, other.config, other.runs = station.folder, tmp_path / "second.toml", station.runs
    other.write("roof")
    second = Run(station.folder, other.config)
    station.runs.append(second)
    child(station.folder / "roof", "roof")
    done = run.command("reload")
    assert done.returncode == 3 and "-t station" in done.stderr and "-t roof" in done.stderr and "nothing was done" in done.stderr
    assert "RELOAD" not in run.text()
    assert run.command("reload", "-t", str(station.config)).stdout == "station: nothing changed\n"
    assert run.command("reload", "-t", "roof").stdout == "roof: nothing changed\n"
