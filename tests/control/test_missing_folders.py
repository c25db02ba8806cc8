"""Tasks whose first folder is missing: they are found, reloaded, called what they are, and forgotten when no config has them."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pysubtask.common import registry
from pysubtask.control.run import run_record
from pysubtask.control.tasks.find import forget_never_run
from tests.support.helpers import wait_until
from tests.support.run_station import TERM, Run, child, command, end_all


class Station:
    """A config with one task; its server is not there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "station.toml"
        self.runs: list[Run] = []

    def write(self, *watch: str, name: str = "station.toml", task: str = "main") -> Path:
        config = self.folder / name
        config.write_text(
            '[base]\nRetryWaitSecs = 0.2\n[ftp]\nHost = "127.0.0.1"\nHostPort = 1\nUser = "u"\nUseSFTP = false\n'
            f"TimerIntervalSecs = 0.3\n[tasks.{task}]\nwatch = [{', '.join(f'{{ {one} }}' for one in watch)}]\n"
        )
        config.chmod(0o600)
        return config

    def run(self, config: Path | None = None) -> Run:
        self.runs.append(Run(self.folder, config or self.config))
        return self.runs[-1]

    def status(self) -> str:
        return " ".join(command(self.folder, "status", COLUMNS="300").stdout.split())


@pytest.fixture
def station(tmp_path: Path) -> Iterator[Station]:
    one = Station(tmp_path)
    yield one
    end_all(one.runs)


@pytest.mark.slow
@pytest.mark.parametrize("words", [(), ("-t", "station"), ("-t", "station/ftp"), ("-t", "station.toml")])
def test_a_run_all_of_whose_tasks_wait_is_reloaded(station: Station, words: tuple[str, ...]):
    station.write('dir = "camrea"')
    run = station.run()
    run.says("Running: no task yet")
    (station.folder / "camera").mkdir()
    station.write('dir = "camera"')
    done = run.command("reload", *words)
    assert (done.returncode, done.stderr) == (0, ""), run.text()
    child(station.folder / "camera")
    assert "started" in done.stdout
    # The one with the mistyped name was never there.
    assert "camrea" not in station.status() and "camera" in station.status()


@pytest.mark.slow
def test_of_several_such_runs_one_is_named(station: Station):
    one, other = station.run(station.write('dir = "a"')), station.run(station.write('dir = "b"', name="other.toml", task="k"))
    one.says("Running: no task yet", 2)  # they write to one file
    done = one.command("reload")
    assert done.returncode == 3 and "tasks of several 'pysubtask run'" in done.stderr and "-t k" in done.stderr, done.stderr
    done = one.command("reload", "-t", "k")
    assert done.returncode == 0 and "there is no folder" in done.stdout, done
    assert other.text().count("RELOAD: ") == 1 and "RELOAD: k: it waits" in other.text()


@pytest.mark.slow
def test_a_reload_with_a_missing_folder_is_answered_with_it(station: Station):
    (station.folder / "camera").mkdir()
    (station.folder / "weather.csv").write_text("1\n")
    station.write('dir = "camera"', 'file = "weather.csv"')
    run = station.run()
    child(station.folder / "camera")
    station.write('dir = "camrea"', 'file = "weather.csv"')
    done = run.command("reload")
    assert done.returncode == 0 and "it waits, and nothing of it is sent: there is no folder" in done.stdout, done
    assert "is 'camera' meant?" in done.stdout
    # The reply came when that was known, not when the time was up.
    again = run.text().count("next try in [10] secs")
    assert again == 0 and run.text().count("RELOAD: main: it waits") == 1
    run.says("Its other entry waits too.")
    output = station.status()
    assert "camrea" in output and "missing" in output and "so the whole task waits for it" in output, output
    assert "never run" not in output
    station.write('dir = "camera"', 'file = "weather.csv"')
    assert run.command("reload").returncode == 0
    child(station.folder / "camera")
    wait_until(lambda: "camrea" not in station.status(), 30, "the row is gone")


@pytest.mark.slow
def test_a_folder_that_went_away_counts_nothing_and_is_missing(station: Station):
    (station.folder / "camera").mkdir()
    (station.folder / "camera" / "a.jpg").write_text("1\n")
    station.write('dir = "camera", settle_secs = 0.1')
    run = station.run()
    child(station.folder / "camera")
    os.rename(station.folder / "camera", station.folder / "away")
    run.says("waits: there is no folder")
    rows = json.loads(command(station.folder, "status", "--json").stdout)["tasks"]
    assert [row["alive"] for row in rows] == [False]
    [line] = [line for line in command(station.folder, "status", COLUMNS="100").stdout.splitlines() if "station/ftp" in line]
    assert line.split()[1:] == ["missing", "-", "-", "-", "-", "-", "-"], line
    os.rename(station.folder / "away", station.folder / "camera")
    child(station.folder / "camera")


def test_only_what_never_ran_and_is_in_no_config_is_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(registry.VARIABLE, str(tmp_path / "registry"))

    def row(name: str, destination: str = "", file: str = "/etc/a.toml") -> registry.Record:
        folder = str(tmp_path / name)
        record = registry.Record(name, "ftp", destination, f"{folder}/.pysubtask/{name}/ftp", name, folder, file)
        registry.announce(record)
        return record

    kept = [row("ran", "ftp://host/"), row("other", file="/etc/b.toml"), row("wanted")]
    row("gone")
    forget_never_run(["/etc/a.toml"], [kept[2].state_dir])
    assert sorted(found.task for found in registry.missing()) == sorted(found.task for found in kept)


@pytest.mark.slow
def test_a_killed_run_leaves_nothing_that_counts(station: Station, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(registry.VARIABLE, str(station.folder / "registry"))
    station.write('dir = "camrea"')
    run = station.run()
    run.says("Running: no task yet")
    [found] = wait_until(run_record.runs, 20, "the record")
    assert found.holder.pid == run.process.pid
    wait_until(lambda: [one.tasks for one in run_record.runs()] == [(str(station.folder / "camrea" / ".pysubtask" / "main"),)], 20)
    run.end()
    assert run_record.runs() == [] and os.path.isdir(found.folder)
    done = command(station.folder, "reload")
    assert done.returncode == 3 and "No task is run by 'pysubtask run'" in done.stderr
    os.utime(found.folder, (time.time() - 100,) * 2)
    second = station.run()
    second.says("Running: no task yet", 2)
    assert not os.path.exists(found.folder)
    second.signal(TERM)
    assert second.status() == 0 and run_record.runs() == [] and os.listdir(os.path.dirname(found.folder)) == []
