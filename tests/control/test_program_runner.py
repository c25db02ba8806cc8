"""``pysubtask run MODULE:CLASS`` as a process: the order of the hooks, cleanup once whatever happens, one of a name."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pysubtask.common.errors import ConfigError
from pysubtask.control.run import program_runner
from tests.support.helpers import wait_until
from tests.support.run_station import INT, TERM, command, environment
from tests.support.service_manager import Manager

STATION = """
import os, sys, time

def note(word):
    with open(f"hooks.{os.environ.get('CASE', '')}", "a") as file:
        file.write(word + "\\n")

def hook(word):
    def call(self):
        note(word)
        if os.environ.get("RAISES") == word:
            raise ValueError(f"no {word} today")
        if os.environ.get("SAYS_NO") == word:
            return False
        if os.environ.get("HANGS") == word:
            time.sleep(600)
        if os.environ.get("EXITS") == word:
            sys.exit(0)
    return call

class Station:
    loop_secs = 0.05
    for word in ("setup", "restore", "setup_final", "start", "announce", "loop", "stop", "cleanup"):
        locals()[word] = hook(word)

class Bare:
    def start(self): note("start")
    def stop(self): note("stop")

class Reloads(Bare):
    def reload(self): note("reload")

class Nothing:
    pass

class Broken:
    def __init__(self): raise KeyError("made wrong")
"""
ALL = ["setup", "restore", "setup_final", "start", "announce", "loop", "stop", "cleanup"]


class Started:
    """A run, and which hooks were called."""

    def __init__(self, folder: Path, case: str, *words: str, **environ: str) -> None:
        self.hooks_file = folder / f"hooks.{case}"
        self.output = folder / f"output.{case}"
        with open(self.output, "ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "pysubtask", "run", *words],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=environment(folder, CASE=case, **environ),
            )

    def hooks(self) -> list[str]:
        """The hooks, in order; loops in a row count once."""
        lines = self.hooks_file.read_text().split() if self.hooks_file.exists() else []
        return [line for at, line in enumerate(lines) if line != "loop" or lines[at - 1] != "loop"]

    def until(self, word: str) -> None:
        wait_until(lambda: word in self.hooks(), 60, f"{word} of {self.output.name}: {self.output.read_text()}")

    def status(self) -> int:
        return self.process.wait(60)

    def text(self) -> str:
        return self.output.read_text()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[object]:
    (tmp_path / "station.py").write_text(STATION)
    runs: list[Started] = []

    def begin(case: str, *words: str, **environ: str) -> Started:
        runs.append(Started(tmp_path, case, *words, **environ))
        return runs[-1]

    yield begin
    for run in runs:
        if run.process.poll() is None:
            run.process.kill()
            run.process.wait()


@pytest.mark.slow
def test_hooks_come_in_order_and_a_second_runner_is_refused(start, tmp_path: Path):
    manager = Manager(str(tmp_path / "notify"))
    try:
        run = start("first", "station:Station", NOTIFY_SOCKET=manager.socket.getsockname(), WATCHDOG_USEC="2000000")
        run.until("loop")
        manager.hears("READY=1")
        manager.hears("WATCHDOG=1")
        assert run.hooks() == ALL[:6]
        second = command(tmp_path, "run", "station:Station", CASE="second")
        assert second.returncode == 5 and not (tmp_path / "hooks.second").exists()
        assert f"'station.Station' is run already, by process {run.process.pid}" in second.stderr and "--name" in second.stderr
        other = start("other", "station.py:Station", "--name", "another")
        other.until("loop")
        other.process.send_signal(INT)
        assert other.status() == 130 and other.hooks() == ALL
        run.process.send_signal(TERM)
        assert run.status() == 0, run.text()
        manager.hears("STOPPING=1")
        assert run.hooks() == ALL
    finally:
        manager.close()
    # Killed, it gives its name free.
    third = start("third", "station:Station")
    third.until("loop")
    third.process.kill()
    third.status()
    start("fourth", "station:Station").until("loop")


@pytest.mark.slow
def test_cleanup_comes_once_whatever_fails(start):
    runs = {hook: start(hook, "station:Station", "--name", hook, RAISES=hook) for hook in ALL}
    for hook in ("stop", "cleanup"):
        runs[hook].until("loop")
        runs[hook].process.send_signal(TERM)
    for hook, run in runs.items():
        assert run.status() == 1, run.text()
        before = ALL[: ALL.index(hook) + 1]
        ends = [word for word in ("stop", "cleanup") if word not in before and (word == "cleanup" or "start" in before)]
        assert run.hooks() == before + ends, hook
        assert f"pysubtask: {hook}() failed (station.py:12): ValueError: no {hook} today" in run.text()
        assert "Traceback" not in run.text()


@pytest.mark.slow
def test_what_else_ends_it(start):
    runs = {
        "no": start("no", "station:Station", "--name", "1", SAYS_NO="restore"),
        "over": start("over", "station:Station", "--name", "2", SAYS_NO="loop"),
        "exit": start("exit", "station:Station", "--name", "3", EXITS="loop"),
        "hangs": start("hangs", "station:Station", "--name", "4", HANGS="loop"),
        "early": start("early", "station:Station", "--name", "5", HANGS="setup"),
        "bare": start("bare", "station:Bare"),
        "reloads": start("reloads", "station:Reloads"),
        "broken": start("broken", "station:Broken"),
    }
    assert runs["no"].status() == 1 and runs["no"].hooks() == ["setup", "restore", "cleanup"]
    assert runs["over"].status() == 0 and runs["over"].hooks() == ALL
    assert runs["exit"].status() == 0 and runs["exit"].hooks() == ALL
    assert runs["broken"].status() == 1 and "making it failed (station.py:" in runs["broken"].text()

    # The first signal lets a hook end by itself, the second breaks it off.
    for case, last in (("hangs", "loop"), ("early", "setup")):
        run = runs[case]
        run.until(last)
        run.process.send_signal(TERM)
        with pytest.raises(subprocess.TimeoutExpired):
            run.process.wait(0.3)
        run.process.send_signal(TERM)
        assert run.status() == 0, run.text()
    assert runs["hangs"].hooks() == ALL and runs["early"].hooks() == ["setup", "cleanup"]

    runs["reloads"].until("start")
    wait_until(lambda: "Running" in runs["reloads"].text(), 60)
    runs["reloads"].process.send_signal(signal.SIGHUP)
    runs["reloads"].until("reload")
    runs["bare"].until("start")
    wait_until(lambda: "Running" in runs["bare"].text(), 60)
    runs["bare"].process.send_signal(signal.SIGHUP)
    assert runs["bare"].status() == 0 and runs["bare"].hooks() == ["start", "stop"]


PAIR = """
import sys
from pysubtask.base import BaseMaster, BaseSubtask, main

class Packer(BaseSubtask):
    def process_notify(self, snapshot):
        with open(snapshot) as file, open("packed", "a") as packed:
            packed.write(file.read())

class Station(BaseMaster):
    name = "my station"

    def __init__(self):
        super().__init__([{"file": "data/a.csv"}], {"TimerIntervalSecs": 0.3}, "pair")

    def loop(self):
        self.notify_file_by_index(0)

    def cleanup(self):
        print("cleaned up")

if __name__ == "__main__":
    sys.exit(main(Packer))
"""


@pytest.mark.slow
def test_a_pair_of_master_and_subtask(start, tmp_path: Path):
    (tmp_path / "pair.py").write_text(PAIR)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.csv").write_text("1\n")
    run = start("pair", "pair:Station")
    wait_until(lambda: (tmp_path / "packed").exists() and (tmp_path / "packed").read_text(), 60, "the work of the child")
    run.process.send_signal(TERM)
    assert run.status() == 0 and run.text().count("cleaned up") == 1, run.text()
    assert "Running: my station" in run.text()
    assert not list((tmp_path / "data").glob("*.notify")), "the child ended in good order"
    refused = command(tmp_path, "run", "pair:Packer")
    assert refused.returncode == 2 and "child of a master" in refused.stderr


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("nowhere:Station", "there is no module 'nowhere'"),
        ("station:Nowhere", "It has: note, hook, Station, Bare, Reloads, Nothing, Broken"),
        ("bad:Station", "bad cannot be loaded: NameError"),
        ("station", "is none"),
    ],
)
def test_what_cannot_be_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, word: str, message: str):
    (tmp_path / "station.py").write_text(STATION)
    (tmp_path / "bad.py").write_text("x = y\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    for name in ("station", "bad"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    with pytest.raises(ConfigError, match=message.replace("(", r"\(")):
        program_runner.load(word)


@pytest.mark.slow
def test_what_has_nothing_to_run_and_wrong_options(tmp_path: Path):
    (tmp_path / "station.py").write_text(STATION)
    (tmp_path / "station.toml").write_text("")
    for words, message in (
        (["station:Nothing"], "has nothing to run"),
        (["station:Bare", "--name", "a/b"], "cannot be the name"),
        (["station:Bare", "-t", "x"], "--name"),
        (["station.toml", "--name", "x"], "--task"),
    ):
        done = command(tmp_path, "run", *words)
        assert done.returncode == 2 and message in done.stderr, (words, done.stderr)
    assert not os.path.exists(tmp_path / "hooks.")
