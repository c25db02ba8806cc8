"""What pysubtask keeps of a task is removed, and nothing else, whoever asks."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pysubtask.common import registry
from pysubtask.common.lock import Holder, StateLock, process_start
from pysubtask.control.run import unit_files
from tests.control.test_other_users import His, server, unit_of  # noqa: F401 - a fixture
from tests.support.cli import command as here
from tests.support.helpers import wait_until
from tests.support.other_user import HIM, needs_root
from tests.support.run_station import TERM, Run, child, command, receipts, state_dir

pytestmark = pytest.mark.slow

DATA = {"a.csv": "1\n", "sub/b.csv": "2\n", "c.csv.notify": "not empty, so somebody's own\n", "notes.notify": ""}
"""``notes`` is not watched: only .csv is."""


def config(folder: Path, name: str, server, more: str = "") -> Path:  # noqa: F811
    (folder / name / "sub").mkdir(parents=True, exist_ok=True)
    login = server.settings(HostPath=f"{folder.name}-{name}")
    words = {key: login[key] for key in ("UseSFTP", "Host", "HostPort", "User", "Password", "HostPath")}
    path = folder / f"{name}.toml"
    path.write_text(
        f'[base]\nTimerIntervalSecs = 0.2\nRetryWaitSecs = 0.2\nSubtask_Log_FileName = "logs/{name}.txt"\n[ftp]\n'
        + "".join(f"{key} = {json.dumps(value)}\n" for key, value in words.items())
        + f'[[watch]]\ndir = "{name}"\nsettle_secs = 0.1\nrecursive = true\ninclude = ["*.csv"]\nnotify_files = true\n'
        + f'[[watch]]\nfile = "{folder}/today.csv"\n{more}'
    )
    path.chmod(0o600)
    return path


def write(folder: Path) -> None:
    for name, text in DATA.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)


def everything(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def stations(tmp_path: Path, server) -> Iterator[Path]:  # noqa: F811
    """Two tasks, one of which has run and has delivered; the other one shares its folder of logs."""
    (tmp_path / "today.csv").write_text("today\n")
    for name in ("roof", "cellar"):
        (tmp_path / name).mkdir()
    write(tmp_path / "roof")
    for name in ("roof", "cellar"):
        run = Run(tmp_path, config(tmp_path, name, server, '[alerts]\nCommand = "/bin/true"\n' if name == "roof" else ""))
        child(tmp_path / name)
        if name == "roof":
            wait_until(lambda: {one.name for one in receipts(tmp_path / "roof")} >= {"a.csv", "sub/b.csv"}, 60, "the receipts")
        run.signal(TERM)
        assert run.status() == 0, run.text()
    yield tmp_path


def test_all_that_is_kept_of_it_goes_and_nothing_else(stations: Path):
    for name in ("today.csv", "roof/a.csv", "roof/sub/b.csv"):
        (stations / f"{name}.notify").write_text("")
    before = everything(stations)
    record = next(path for path in (stations / "registry").glob("*.json") if '"roof"' in path.read_text())

    asked = command(stations, "purge", "roof")
    assert asked.returncode == 1 and "Nobody is there to be asked" in asked.stderr
    for words in (
        f"state: {stations}/roof/.pysubtask/main/ftp",
        f"record: {record}",
        f"log: {stations}/logs/roof.txt",
        "notify files",
    ):
        assert words in asked.stdout, asked.stdout
    assert everything(stations) == before

    done = command(stations, "purge", "-t", "roof", "--yes")
    assert done.returncode == 0 and done.stdout.endswith("roof: removed\n"), done.stdout + done.stderr
    after = everything(stations)
    gone = set(before) - set(after)
    assert after == {name: before[name] for name in after}
    assert any(name.startswith("registry/alerts/") for name in before)
    assert not any(name.startswith("registry/alerts/") for name in after)
    signals = {"today.csv.notify", "roof/a.csv.notify", "roof/sub/b.csv.notify"}
    assert {"logs/roof.txt", *signals, str(record.relative_to(stations))} <= gone
    assert not (stations / "roof" / ".pysubtask").exists() and not (stations / "roof" / ".upload").exists()
    for name in (*(f"roof/{name}" for name in DATA), "today.csv", "roof.toml", "cellar.toml"):
        assert name in after, name
    assert "logs/cellar.txt" in after
    assert (stations / "cellar" / ".pysubtask/main/ftp/spool.db").exists(), "the other task is untouched"
    assert command(stations, "status", "roof").returncode == 3 and command(stations, "status", "cellar").returncode == 0
    assert command(stations, "purge", "roof", "--yes").returncode == 3
    # Begun anew, it is as new.
    run = Run(stations, stations / "roof.toml")
    try:
        child(stations / "roof")
        wait_until(lambda: {one.name for one in receipts(stations / "roof")} >= {"a.csv", "sub/b.csv"}, 60, "the receipts")
    finally:
        run.signal(TERM)
        run.status()


@pytest.mark.parametrize("word", ["config", "folder", "state"])
def test_it_is_meant_by_any_of_its_names(stations: Path, word: str):
    words = {"config": "roof.toml", "folder": "roof", "state": str(state_dir(stations / "roof"))}
    assert command(stations, "purge", str(stations / words[word]), "--yes").returncode == 0
    assert not (stations / "roof" / ".pysubtask").exists() and (stations / "roof" / "a.csv").exists()


def test_a_queue_with_undelivered_files_stays_unless_forced(stations: Path):
    run = Run(stations, stations / "roof.toml")
    child(stations / "roof")
    assert run.command("pause", "-t", "roof").returncode == 0
    (stations / "roof" / "d.csv").write_text("4\n")
    wait_until(lambda: "d.csv" in run.command("queue", "-t", "roof").stdout, 60, "the queued file")
    alive = run.command("purge", "roof", "--yes", "--with-queue")
    assert alive.returncode == 1 and "roof runs: 'pysubtask stop' ends it" in alive.stderr
    # Stopped, its runner lives and would start it again.
    assert run.command("stop", "-t", "roof").returncode == 0
    wait_until(lambda: '"alive": false' in run.command("status", "roof", "--json").stdout.replace("\n", ""), 60, "its end")
    stopped = run.command("purge", "roof", "--yes", "--with-queue")
    assert stopped.returncode == 1 and "'pysubtask run' that lives: end that first" in stopped.stderr
    run.signal(TERM)
    assert run.status() == 0
    before = everything(stations)
    kept = command(stations, "purge", "roof", "--yes")
    assert kept.returncode == 1 and "roof/ftp has 1 file in its queue not delivered, so it stays" in kept.stderr
    assert everything(stations) == before
    (copy,) = (stations / "roof" / ".upload" / "ftp").iterdir()
    done = command(stations, "purge", "roof", "--yes", "--with-queue")
    assert done.returncode == 0 and "snapshots: " in done.stdout, done.stdout + done.stderr
    assert not copy.exists() and not (stations / "roof" / ".upload").exists() and not (stations / "roof" / ".pysubtask").exists()
    assert (stations / "roof" / "d.csv").read_text() == "4\n"


@pytest.mark.parametrize("lock", ["ftp/lock", "run.lock"])
def test_who_takes_the_lock_keeps_it(stations: Path, lock: str):
    held = StateLock(str(state_dir(stations / "roof").parent / lock))
    held.acquire(Holder(os.getpid(), process_start(os.getpid()) or "", None, None))
    before = everything(stations)
    done = command(stations, "purge", "roof", "--yes", "--with-queue")
    held.release()
    assert done.returncode == 1 and "Nothing of it was removed" in done.stderr
    assert set(everything(stations)) == set(before)


def test_what_is_in_the_place_of_ours_stays(stations: Path):
    """A link in the place of a notify file, a folder of others' copies, and a log that is data."""
    other = stations / "precious"
    other.write_text("")
    (stations / "roof" / "a.csv.notify").unlink(missing_ok=True)
    (stations / "roof" / "a.csv.notify").symlink_to(other)
    bak = stations / "roof" / ".upload" / "ftp"
    bak.mkdir(parents=True, exist_ok=True)
    (bak / "0123456789-theirs-1-x.csv").write_text("somebody else's copy")
    (bak / "holiday.jpg").write_text("data")
    done = command(stations, "purge", "roof", "--yes")
    assert done.returncode == 0, done.stderr
    assert other.exists() and (stations / "roof" / "a.csv.notify").is_symlink()
    assert sorted(path.name for path in bak.iterdir()) == ["0123456789-theirs-1-x.csv", "holiday.jpg"]


def test_a_word_for_two_tasks_removes_neither(stations: Path):
    (stations / "x").mkdir()
    before = everything(stations)
    done = command(stations, "purge", "main", "--yes")
    assert done.returncode == 3 and "fits 2 tasks, so nothing was done" in done.stderr and everything(stations) == before
    assert command(stations, "purge", "--yes").returncode == 2
    # A config folder means all of its tasks.
    for name in ("roof", "cellar"):
        assert command(stations, "purge", str(stations / f"{name}.toml"), "--yes").returncode == 0


@needs_root
def test_root_removes_a_users_with_his_rights(server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):  # noqa: F811
    from tests.support.other_user import open_folder

    monkeypatch.delenv(registry.VARIABLE, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "root"))
    monkeypatch.setattr(unit_files, "SYSTEM_UNITS", str(tmp_path))
    with open_folder() as folder:
        his = His(folder, server, f"purge{os.getpid()}")
        unit = unit_of(tmp_path, his.data, f"Environment={registry.VARIABLE}={his.place}")
        try:
            his.start()
            his.write("a.csv", "1\n")
            wait_until(lambda: (his.page() or {}).get("delivered") == 1, 60, "the delivery")
        finally:
            his.end()
        # A folder that root alone may change, in the place of his copies: what is in it is no business of his, and stays.
        closed = folder / "closed"
        closed.mkdir(mode=0o755)
        (closed / "x").write_text("root's")
        os.rename(his.data / ".upload", folder / "was") if (his.data / ".upload").exists() else None
        os.symlink(closed, his.data / ".upload")
        done = here("purge", his.name, "--yes")
        assert done.returncode == 0, done.stdout + done.stderr
        assert f"{HIM}:{his.name}: removed" in done.stdout and f"the unit {unit}" in done.stdout and unit.exists()
        assert not (his.data / ".pysubtask").exists() and (his.data / "a.csv").read_text() == "1\n"
        assert list(his.place.glob("*.json")) == [] and (closed / "x").read_text() == "root's"
