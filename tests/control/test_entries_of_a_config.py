"""The entries of a config file as the command runs them: files that other programs write, and folders that stay tidy."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from pysubtask.common.events import read_events
from pysubtask.control.config.config_file import load
from pysubtask.testing.servers.sshd import OpenSSHServer, missing, openssh_server
from tests.support.helpers import wait_until
from tests.support.run_station import HUP, Run, command, login, receipts, state_dir

needs_sshd = pytest.mark.skipif(missing() is not None, reason=str(missing()))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenSSHServer]:
    with openssh_server(tmp_path_factory.mktemp("sshd")) as sshd:
        yield sshd


@pytest.fixture
def start(tmp_path: Path, server: OpenSSHServer) -> Iterator:
    runs: list[Run] = []

    def started(watch: str) -> tuple[Run, Path]:
        config = tmp_path / "station.toml"
        config.write_text(f"[base]\nRetryWaitSecs = 0.2\n[ftp]\n{login(server, tmp_path.name)}\n{watch}")
        config.chmod(0o600)
        (tmp_path / "data").mkdir(exist_ok=True)
        runs.append(Run(tmp_path, config))
        return runs[-1], server.files / tmp_path.name

    yield started
    for run in runs:
        run.end()


def says(run: Run, pattern: str) -> None:
    wait_until(lambda: re.search(pattern, run.text()), 60, pattern)


def shows(path: Path, text: str) -> None:
    wait_until(lambda: path.exists() and path.read_text() == text, 60, f"{text!r} in {path.name} on the server")


@pytest.mark.slow
@needs_sshd
def test_a_file_of_another_program_is_sent_whenever_it_changes(tmp_path: Path, start):
    run, remote = start('[[watch]]\nfile = "data/weather.csv"\n[[watch]]\nfile = "data/by_hand.csv"\non_change = false\n')
    weather = tmp_path / "data" / "weather.csv"
    says(run, r"weather\.csv -> \S+ \(\S+\): sent when it changes")
    says(run, r"by_hand\.csv -> \S+ \(\S+\): sent when by_hand\.csv\.notify is touched")
    text = "t;v\n" + "1;20.5\n" * 300
    weather.write_text(text)
    shows(remote / "weather.csv", text)
    with open(weather, "a") as file:
        file.write("2;21.0\n")
    text += "2;21.0\n"
    shows(remote / "weather.csv", text)
    with open(weather, "a") as file:  # a logger that keeps its file open
        for number in range(2):
            file.write(f"3;{number}\n")
            file.flush()
            text += f"3;{number}\n"
            shows(remote / "weather.csv", text)
    (tmp_path / "data" / "new").write_text("t;v\n")
    os.replace(tmp_path / "data" / "new", weather)
    shows(remote / "weather.csv", "t;v\n")
    # Only the new end of what grew has travelled.
    grown = [found for found in receipts(tmp_path / "data") if found.size > 2000]
    assert [found.bytes_new for found in grown[1:]] == [7, 4, 4]
    assert sorted(os.listdir(tmp_path / "data")) == [".pysubtask", ".upload", "weather.csv"]
    output = re.sub(r"\s", "", run.command("status").stdout)
    assert "weather.csv:sentwhenitchanges" in output and "by_hand.csv:sentwhenby_hand.csv.notifyistouched" in output
    checked = command(tmp_path, "check", "station.toml").stdout
    assert "weather.csv: sent when it changes" in checked and "sent when by_hand.csv.notify is touched" in checked


@pytest.mark.slow
@needs_sshd
def test_a_folder_stays_tidy_and_a_new_notify_file_sends_again(tmp_path: Path, start):
    run, remote = start('[[watch]]\ndir = "data"\nsettle_secs = 0.1\n')
    data = tmp_path / "data"
    says(run, r"data -> \S+ \(\S+\): each new file is sent once, and again when FILE\.notify is touched")
    (data / "pic.jpg").write_text("1")
    shows(remote / "pic.jpg", "1")
    wait_until(lambda: len(receipts(data)) == 1, 60, "its receipt")
    assert sorted(os.listdir(data)) == [".pysubtask", ".upload", "pic.jpg"], "what a gallery shows is the picture alone"
    (data / "pic.jpg").write_text("22")
    (data / "pic.jpg.notify").touch()
    shows(remote / "pic.jpg", "22")
    # Unchanged it is offered again and found to be there, as at each later touch.
    (data / "other.jpg").write_text("3")
    shows(remote / "other.jpg", "3")
    (data / "other.jpg.notify").touch()
    wait_until(
        lambda: any(
            event.kind == "unchanged" and event.fields["name"] == "other.jpg" for event in read_events(str(state_dir(data)))
        ),
        60,
        "the event unchanged",
    )


def test_what_an_entry_of_a_config_has_where_it_says_nothing(tmp_path: Path):
    config = tmp_path / "x.toml"
    config.write_text("""
        [ftp]
        Host = "h"
        [[watch]]
        file = "a.csv"
        [[watch]]
        file = "b.csv"
        on_change = false
        settle_secs = 3
        [[watch]]
        dir = "pics"
        [[watch]]
        dir = "more"
        notify_files = true
        """)
    task = load(str(config), {}).tasks[0]
    assert [(entry.on_change, entry.settle_secs, entry.notify_files) for entry in task.entries] == [
        (True, 1.0, True),
        (False, 3.0, True),
        (False, 1.0, False),
        (False, 1.0, True),
    ]
    # And so a master gets them, for which they would mean something else.
    assert [(given.get("on_change"), given.get("notify_files")) for given in task.watch] == [
        (True, None),
        (False, None),
        (None, False),
        (None, True),
    ]


@pytest.mark.slow
@needs_sshd
def test_two_tasks_with_one_name_on_the_server(tmp_path: Path, start):
    """The later file is left out, status reports it, and it is sent by itself when the other task is taken out of the config."""
    for name in "ab":
        (tmp_path / name).mkdir()
    rest = '[[tasks.b.watch]]\ndir = "b"\nsettle_secs = 0.1\n'
    run, remote = start(f'[[tasks.a.watch]]\ndir = "a"\nsettle_secs = 0.1\n{rest}')
    (tmp_path / "a" / "now.csv").write_text("a")
    shows(remote / "now.csv", "a")
    (tmp_path / "b" / "now.csv").write_text("b")
    (tmp_path / "b" / "own.csv").write_text("own")
    shows(remote / "own.csv", "own")
    run.says(f"PARKED [{tmp_path / 'b' / 'now.csv'}]")

    def output() -> str:
        return re.sub(r"\s", "", run.command("status").stdout)

    wait_until(lambda: "hasanamethatisanother'sontheserver" in output(), 60, "the file in the status")
    assert f"{tmp_path}/b/now.csv:itsremotename'now.csv'belongsto{tmp_path}/a/now.csvofthetaska/ftp" in output()
    assert f"belongs to {tmp_path}/a/now.csv of the task a/ftp" in command(tmp_path, "check", "station.toml").stdout
    assert (remote / "now.csv").read_text() == "a"
    config = tmp_path / "station.toml"
    config.write_text(config.read_text().partition("[[tasks.a")[0] + rest)
    run.signal(HUP)
    shows(remote / "now.csv", "b")
    wait_until(lambda: "hasanamethatisanother's" not in output(), 60, "no word of it any more")


def test_a_log_of_the_task_itself_is_not_sent_at_each_change(tmp_path: Path):
    """Each delivery has a receipt in it."""
    config = tmp_path / "x.toml"
    config.write_text(f"""
        [base]
        Subtask_Log_FileName = "{tmp_path}/child.log"
        Master_Log_FileName = "{tmp_path}/master.log"
        [ftp]
        Host = "h"
        [[watch]]
        file = "child.log"
        [[watch]]
        file = "master.log"
        on_change = true
        [[watch]]
        file = "other.log"
        """)
    task = load(str(config), {}).tasks[0]
    assert [entry.on_change for entry in task.entries] == [given["on_change"] for given in task.watch] == [False, False, True]
