"""The defects of version 1: the table in version1.md is whole and true, and the tests that stand nowhere else."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import functools
import gc
import os
import re
import signal
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from proofs.guard.run import parent_of
from pysubtask import BaseMaster, ConfigError, SourceError
from pysubtask.common.events import read_events
from pysubtask.common.handoff import Handoff
from pysubtask.common.status import read_status
from pysubtask.master.child_config import plan
from pysubtask.master.guard import KILL
from pysubtask.subtask.engine.cli import PASSWORD_VARIABLE, TOKEN_VARIABLES, by_hand, make_parser
from pysubtask.transports.base import Job
from tests.support.helpers import wait_until
from tests.support.other_user import HIM, needs_root
from tests.support.station import DropboxStation, Station

ROOT = Path(__file__).resolve().parent.parent
TABLE = ROOT / "tests" / "version1.md"
ROWS = set(range(1, 49))


# ---- the table


def rows() -> list[tuple[int, str, str]]:
    """(row, defect, what holds it)."""
    found = re.findall(r"^\| (\d+) \| (.+?) \| (.+?) \|$", TABLE.read_text(encoding="utf-8"), re.MULTILINE)
    return [(int(number), defect, held) for number, defect, held in found]


@functools.cache
def names_in(path: Path) -> set[str]:
    """Every test of a file as ``name``, ``Class::name``, or ``Class`` for all of a class."""
    found = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        members = node.body if isinstance(node, ast.ClassDef) else [node]
        prefix = f"{node.name}::" if isinstance(node, ast.ClassDef) else ""
        found |= {node.name} if isinstance(node, ast.ClassDef) and node.name.startswith("Test") else set()
        found |= {
            prefix + one.name
            for one in members
            if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef) and one.name.startswith("test_")
        }
    return found


def test_every_row_is_there():
    assert {number for number, _, _ in rows()} == ROWS


def test_every_defect_is_held_by_tests_that_exist_or_by_design():
    for number, defect, held in rows():
        named = re.findall(r"`(tests/[\w/]+\.py)::([\w:]+)`", held)
        assert named or held.startswith("by design: "), f"row {number}, {defect}: nothing holds it"
        for path, name in named:
            assert (ROOT / path).is_file(), f"row {number}: {path} does not exist"
            assert name in names_in(ROOT / path), f"row {number}: there is no {name} in {path}"


def test_no_defect_stands_there_twice():
    defects = [defect for _, defect, _ in rows()]
    assert len(defects) == len(set(defects))


# ---- entries


class Named(Station):
    """A station with the named files and folders of its data folder as entries."""

    def __init__(self, root: Path, names: list[str], **base: Any) -> None:
        super().__init__(root, **base)
        self.entries = [{"dir" if (self.data / name).is_dir() else "file": str(self.data / name)} for name in names]
        self.master = self.make()

    @property
    def state(self) -> Path:
        first = Path(self.entries[0].get("dir", self.data))
        return first / ".pysubtask" / "main" / self.extension


@pytest.fixture
def station(tmp_path):
    stations = []

    def make(names: list[str], **base: Any) -> Named:
        stations.append(Named(tmp_path, names, **base))
        return stations[-1]

    yield make
    for one in stations:
        one.close()


@pytest.mark.parametrize("entries", [["a.csv"], ["box"], ["a.csv", "box"]], ids=["files only", "folders only", "both"])
def test_files_folders_or_both(station, entries):
    one = station(entries)
    names = {"a.csv": "a.csv", "box": "box/photo.jpg"}
    one.master.start()
    pid = one.pid()
    for entry in entries:
        one.write(names[entry], entry)
        one.notify(names[entry])
    one.arrived(*(names[entry] for entry in entries))
    assert one.pid() == pid


def test_names_that_version_1_cut_up(station):
    names = ["notes.txt", "a.json", "set.ini", "my.conf", "x,y.csv", 'it\'s "so".csv', "-rf", " a b ", "Grüße.csv", "noextension"]
    one = station(names)
    one.master.start()
    for index, name in enumerate(names):
        one.write(name, name)
        assert one.master.notify_file_by_index(index)
    one.arrived(*names)
    assert sorted(path.name for path in one.server.iterdir()) == sorted(names)


@pytest.mark.slow
def test_a_new_file_in_a_folder_is_sent_once_over_a_restart(station):
    one = station(["box"])
    one.master.start()
    one.pid()
    one.write("box/photo.jpg", "light")
    one.arrived("box/photo.jpg")
    wait_until((one.data / "box" / "photo.jpg.notify").exists, what="its notify file")
    for _ in range(2):
        one.idle()
        assert one.sent() == ["photo.jpg"], list(read_events(str(one.state)))
        one.master.reset()
        one.pid()
    (one.data / "box" / "sub").mkdir()
    one.write("box/second.jpg", "more")
    one.arrived("box/second.jpg")
    one.wait_kind("delivered", 2)
    assert one.sent() == ["photo.jpg", "second.jpg"], list(read_events(str(one.state)))


@pytest.mark.slow
def test_a_folder_may_name_what_counts(station):
    one = station(["box"])
    one.entries = [{"dir": str(one.data / "box"), "include": ["*.jpg"], "exclude": ["draft*"], "settle_secs": 0.1}]
    one.master = one.make()
    one.master.start()
    one.pid()
    for name in ("draft.jpg", "notes.txt", "photo.jpg"):
        one.write(f"box/{name}", name)
    one.arrived("box/photo.jpg")
    one.master.stop(forcekill=False)
    assert [path.name for path in one.server.iterdir()] == ["photo.jpg"]


@pytest.mark.slow
def test_changes_on_the_server_stay_until_a_newer_version(station):
    """Nothing is ever deleted there, and nobody's change is lost for an old version's sake."""
    one = station(["a.csv", "box"])
    one.master.start()
    one.write("a.csv", "1")
    one.notify("a.csv")
    one.write("box/photo", "light")
    one.arrived("a.csv", "box/photo")
    one.wait_kind("delivered", 2)
    (one.data / "box" / "photo").unlink()
    (one.server / "a.csv").write_text("changed there")
    one.master.reset()
    one.write("box/second", "more")
    one.arrived("box/second")
    assert (one.server / "photo").read_text() == "light"
    assert (one.server / "a.csv").read_text() == "changed there"
    one.write("a.csv", "2")
    one.notify("a.csv")
    one.arrived("a.csv")


# ---- the command line


def handoff_of(*words: str, extension: str = "ftp") -> Handoff:
    args = make_parser(extension).parse_args(words)
    return by_hand(args, extension, plan)


def test_words_of_the_command_line_are_taken_as_they_are(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    found = handoff_of(
        "-host", "h", "-wf", "logs/a.csv", 'b,c "d".txt', "-wd", "photos", "-i", "0.5", "-x", "1500.5", "-port", "2222"
    )
    paths = [entry.path for entry in found.entries]
    assert paths == [str(tmp_path / name) for name in ("logs/a.csv", 'b,c "d".txt', "photos")]
    assert [entry.kind for entry in found.entries] == ["file", "file", "dir"]
    assert (found.settings["TimerIntervalSecs"], found.settings["DeadTimeMilli"], found.settings["HostPort"]) == (0.5, 1500.5, 2222)
    assert list(tmp_path.iterdir()) == [tmp_path / "photos"], "looking at the words makes nothing"


@pytest.mark.parametrize("words", [["-host", "h"], ["-wf", "a.csv"]], ids=["nothing to watch", "no server"])
def test_what_is_missing_is_reported_before_anything_starts(words, capsys):
    with pytest.raises((SystemExit, ConfigError)):
        handoff_of(*words)


def test_version_1s_password_option_is_refused_unrepeated(capsys):
    for words in (["-p", "hunter2"], ["--password", "hunter2"], ["--password=hunter2"]):
        with pytest.raises(SystemExit) as stopped:
            handoff_of("-host", "h", "-wf", "a.csv", *words)
        assert stopped.value.code == 2
        errors = capsys.readouterr().err
        assert "hunter2" not in errors
        assert PASSWORD_VARIABLE in errors and "--password-file" in errors


def test_version_1s_token_option_is_refused_unrepeated(capsys):
    for words in (["-dtoken", "hunter2"], ["--dtoken", "hunter2"], ["--dtoken=hunter2"], ["--proxy", "http://me:hunter2@h:1"]):
        with pytest.raises(SystemExit) as stopped:
            handoff_of("-wf", "a.csv", *words, extension="dropbox")
        assert stopped.value.code == 2
        errors = capsys.readouterr().err
        assert "hunter2" not in errors
        assert "HTTPS_PROXY" in errors or (TOKEN_VARIABLES["AccessToken"] in errors and "--refresh-token-file" in errors)


def test_a_token_from_file_and_environment(tmp_path, monkeypatch):
    file = tmp_path / "token"
    file.write_text("geheim\n")
    words = ["-wf", str(tmp_path / "a.csv"), "--app-key", "k", "-x", "1500", "-path", "in/here", "--proxy", ""]
    found = handoff_of(*words, "--refresh-token-file", str(file), extension="dropbox").settings
    kept = [found[key] for key in ("RefreshTokenFile", "RefreshToken", "DeadTimeMilli", "HostPath", "Proxy", "UseDropbox")]
    assert kept == [str(file), None, 1500, "in/here", "", True]
    for key, name in TOKEN_VARIABLES.items():
        monkeypatch.setenv(name, "hunter2")
        assert handoff_of(*words, extension="dropbox").settings[key] == "hunter2"
        assert name not in os.environ, "the child's own children do not get it"
    with pytest.raises(ConfigError, match="--login"):
        handoff_of(*words, extension="dropbox")


def test_a_password_of_any_alphabet_from_file_and_environment(tmp_path, monkeypatch):
    secret = "pässwört 数据 ĀĐ\N{ROCKET}"
    file = tmp_path / "password"
    file.write_text(secret + "\nsecond line\n", encoding="utf-8")
    file.chmod(0o600)
    words = ["-host", "h", "-wf", str(tmp_path / "a.csv")]
    assert handoff_of(*words, "--password-file", str(file)).settings["Password"] == secret
    monkeypatch.setenv(PASSWORD_VARIABLE, secret)
    assert handoff_of(*words).settings["Password"] == secret
    assert PASSWORD_VARIABLE not in os.environ, "the child's own children do not get it"
    file.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        handoff_of(*words, "--password-file", str(file))


@needs_root
def test_a_password_file_of_another_user_is_not_taken(tmp_path):
    file = tmp_path / "password"
    file.write_text("hunter2\n")
    file.chmod(0o600)
    os.chown(file, HIM, HIM)
    with pytest.raises(ConfigError, match="another user"):
        handoff_of("-host", "h", "-wf", str(tmp_path / "a.csv"), "--password-file", str(file))


@pytest.mark.slow
def test_a_child_by_hand(tmp_path):
    """As a person types it: nothing in quotes, an interval below a second, Ctrl-C to end."""
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)])}
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "a.csv").write_text("1\n")
    words = [sys.executable, "-m", "pysubtask.base", "-wf", "logs/a.csv", "-i", "0.2", "-noconsole", "-log", "log.txt"]
    child = subprocess.Popen(words, cwd=tmp_path, env=environ)
    state = str(tmp_path / "logs" / ".pysubtask" / "main" / "base")
    try:
        wait_until(lambda: "delivered" in [event.kind for event in read_events(state)], 60, "the file")
        (tmp_path / "logs" / "a.csv").write_text("1\n2\n")
        (tmp_path / "logs" / "a.csv.notify").touch()
        wait_until(lambda: [event.kind for event in read_events(state)].count("delivered") == 2, 60, "the notified file")
        child.send_signal(signal.SIGINT)
        assert child.wait(60) == 0
    finally:
        child.kill()
        child.wait()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log.txt", "logs"], "version 1 made a folder 'ogs'"
    log = (tmp_path / "log.txt").read_text()
    for words_of_version_1 in ("***** HELLO!: [BaseSubtask Scheduler] *****", "START! Polling every [0.2] secs", "STOP!"):
        assert words_of_version_1 in log


# ---- masters


def test_a_master_that_is_let_go_stops_nothing(station):
    one = station(["a.csv"])
    one.master.start()
    pid = one.pid()
    one.master = None
    gc.collect()
    try:
        one.write("a.csv", "still here")
        (one.data / "a.csv.notify").touch()
        wait_until((one.server / "a.csv").exists, what="the upload by a child whose master object is gone")
        assert read_status(str(one.state))["pid"] == pid
    finally:
        guard = parent_of(pid)
        os.kill(guard, KILL)
        os.waitpid(guard, 0)
        one.master = one.make()


@pytest.mark.slow
def test_two_tasks_in_one_folder_leave_each_others_files_alone(station):
    one = station(["a.csv"], HeartbeatIntervalSecs=60, HeartbeatName="first")
    one.write("b.csv", "of the other task")
    for foreign in ("b.csv.notify", "second.heartbeat"):
        (one.data / foreign).touch()
    before = (one.data / "b.csv.notify").stat().st_mtime_ns
    one.master.start()
    one.write("a.csv", "mine")
    one.notify("a.csv")
    one.arrived("a.csv")
    assert (one.data / "second.heartbeat").exists()
    base = {**one.base, "TaskName": "second", "HeartbeatName": "second", "Subtask_Log_FileName": str(one.root / "logs" / "two.txt")}
    other = BaseMaster([{"file": str(one.data / "b.csv")}], base, "tests.support.folder_child", LogToConsole=False)
    one.master.stop(forcekill=False)
    assert not (one.data / "a.csv.notify").exists()
    assert (one.data / "b.csv.notify").stat().st_mtime_ns == before
    one.master.start()
    wait_until((one.data / "first.heartbeat").exists, what="its heartbeat")
    with other:
        wait_until((one.server / "b.csv").exists, what="what was notified before its task ran")
    assert not (one.data / "b.csv.notify").exists()
    assert (one.data / "first.heartbeat").exists()


@pytest.mark.slow
def test_a_hook_that_raises_never_ends_the_timer(station, monkeypatch, tmp_path):
    given = tmp_path / "given"
    monkeypatch.setenv("TEST_GIVEN", str(given))
    one = station(["a.csv"])
    one.extension = "hooks_child"
    one.write("a.csv", "1\n")
    one.write("a.csv.notify", "")  # else the first touch has two steps, its making and its time, and may count as two
    one.master = BaseMaster(one.entries, one.base, "tests.support.hooks_child", LogToConsole=False)
    one.master.start()
    wait_until(given.exists, what="the snapshot, offered again")
    for text in ("2\n", "3\n"):
        os.replace(one.write("new", text), one.data / "a.csv")  # never half of it
        one.notify("a.csv")
        wait_until(lambda text=text: given.read_text().endswith(f"True a.csv {text}"), what="the next one")
    one.master.stop(forcekill=False)
    assert one.master.status().children[0].restarts == 0
    assert one.master.status().children[0].last_exit == "exit status 0"
    failed = {event.fields["hook"]: event.fields["reason"] for event in read_events(str(one.state)) if event.kind == "hook_failed"}
    assert set(failed) == {"start", "process_interval", "process_notify", "stop"}
    assert failed["process_notify"] == "RuntimeError('not now')"
    assert "Traceback" in one.log() and "RuntimeError: not now" in one.log()
    assert given.read_text().splitlines() == ["True a.csv 1", "True a.csv 2", "True a.csv 3"]
    assert not list((one.data / "upload").iterdir())


def test_a_heartbeat_that_keeps_the_connection_is_warned_of(station, monkeypatch):
    monkeypatch.setenv("TEST_DEAD_TIME_MILLI", "5000")
    one = station(["a.csv"], HeartbeatIntervalSecs=5)
    one.master.start()
    one.pid()
    wait_until(lambda: "HeartbeatIntervalSecs [5] is not above the dead time [5.0] secs" in one.log(), what="the warning")


def test_extensionless_files_are_no_pattern_for_everything(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    for name in ("today", "yesterday", "a.csv", "notes.txt"):
        (data / name).write_text(name)
    base = {"Master_Log_FileName": str(tmp_path / "log.txt"), "MinFreeBytes": 0}
    master = BaseMaster([{"file": str(data / "today")}], base, LogToConsole=False)
    assert master.copy_residual_files() == [str(data / "yesterday")]


def test_what_is_reported_of_residual_files_is_true(tmp_path):
    log = tmp_path / "log.txt"
    (tmp_path / "box").mkdir()
    (tmp_path / "box" / "x.dat").write_text("x")
    base = {"Master_Log_FileName": str(log), "MinFreeBytes": 0}
    master = BaseMaster([{"file": str(tmp_path / "a.csv")}, {"dir": str(tmp_path / "box")}], base, LogToConsole=False)
    assert master.copy_residual_files() == []
    assert "No Residual files found" in log.read_text()
    (tmp_path / "old.csv").write_text("old")
    log.write_text("")
    assert master.copy_residual_files() == [str(tmp_path / "old.csv")]
    assert "No Residual files found" not in log.read_text()


def test_a_log_that_logrotate_truncates_goes_on_at_its_beginning(station):
    one = station(["a.csv"])
    one.master.start()
    one.pid()
    log = one.root / "logs" / "child.txt"
    wait_until(lambda: "START!" in log.read_text(), what="the first lines")
    os.truncate(log, 0)
    one.write("a.csv", "1")
    one.notify("a.csv")
    wait_until(lambda: "Uploaded [a.csv]" in log.read_text(), what="lines after the rotation")
    assert log.read_bytes().startswith(b"20"), "no hole where the old lines were"


@pytest.mark.slow
def test_files_are_taken_in_while_the_server_is_away(station):
    one = station(["a.csv", "box"], RetryWaitSecs=600, RetryLongWaitSecs=600)
    one.server.rmdir()
    one.write("a.csv", "1")
    one.master.start()
    one.wait_kind("connect_failed")
    for name in ("box/one", "box/two"):
        one.write(name, name)
        one.notify(name)
    one.wait_kind("queued", 3)
    assert one.page()["delivered"] == 0
    one.server.mkdir()
    one.master.reset()
    one.arrived("a.csv", "box/one", "box/two")


def test_an_ftp_upload_leaves_no_file_open(tmp_path):
    pytest.importorskip("pyftpdlib")
    from pysubtask.testing import ftp_server
    from pysubtask.transports.ftp import FTPTransport

    source = tmp_path / "source"
    source.write_bytes(b"x" * 100_000)

    def still_open() -> list[str]:
        found = []
        for handle in Path("/proc/self/fd").iterdir():
            with contextlib.suppress(OSError):
                found.append(os.readlink(handle))
        return [name for name in found if name == str(source)]

    async def uploads(transport: FTPTransport) -> None:
        await transport.connect()
        try:
            for name, size in (("a", 100_000), ("b", 100_000), ("too/short", 200_000), ("c", 100_000)):
                job = Job(str(source), size, None, name, f"{name}.tmp")
                with contextlib.nullcontext() if size == 100_000 else pytest.raises(SourceError):
                    await transport.upload(job, lambda done: None)
            assert not still_open()
        finally:
            await transport.close()

    with open(source, "rb"):
        assert still_open(), "the test can see an open file"
    with ftp_server(tmp_path / "files") as server:
        asyncio.run(uploads(FTPTransport(server.settings(), str(tmp_path / "work"))))
        assert sorted(path.name for path in (tmp_path / "files").iterdir() if path.is_file()) == ["a", "b", "c"]


# ---- Dropbox


@pytest.fixture(scope="module")
def dropbox(tmp_path_factory):
    pytest.importorskip("dropbox")
    from pysubtask.testing import dropbox_server

    with dropbox_server(tmp_path_factory.mktemp("dropbox")) as server:
        yield server


@pytest.fixture
def box_station(dropbox, tmp_path):
    box = dropbox.settings(HostPath="in/here", TimerIntervalSecs=0.2)
    one = DropboxStation(tmp_path, dropbox.folder / "in" / "here", box, ParkedRetrySecs=1)
    yield one
    one.close()
    dropbox.heal()


@pytest.mark.slow
def test_dropbox_away_at_the_start_and_the_section_is_honoured(dropbox, box_station):
    one = box_station
    dropbox.stop()
    try:
        one.master.start()
        pid = one.pid()
        one.write("a.csv", "1")
        one.notify("a.csv")
        one.wait_kind("connect_failed")
    finally:
        dropbox.start()
    one.arrived("a.csv", secs=60)
    assert one.pid() == pid
    assert "START! Polling every [0.2] secs" in one.log()


@pytest.mark.slow
def test_what_dropbox_refuses_is_never_called_delivered(dropbox, box_station):
    one = box_station
    dropbox.fail("write", error="path/disallowed_name", times=None)
    one.write("a.csv", "2")
    one.master.start()
    one.notify("a.csv")
    one.wait_kind("parked")
    assert "delivered" not in one.kinds() and not one.sent()
    dropbox.heal()
    one.arrived("a.csv", secs=60)
    one.wait_kind("delivered")


@pytest.mark.slow
def test_an_ended_token_is_replaced_and_a_revoked_one_holds_all(dropbox, box_station):
    one = box_station
    one.write("a.csv", "3")
    one.master.start()
    one.notify("a.csv")
    one.arrived("a.csv", secs=60)
    dropbox.expire_tokens()
    one.write("a.csv", "4")
    one.notify("a.csv")
    one.arrived("a.csv", secs=60)
    assert "login_refused" not in one.kinds()
    dropbox.revoke()
    dropbox.expire_tokens()
    try:
        one.write("a.csv", "5")
        one.notify("a.csv")
        one.wait_kind("login_refused")
        wait_until(lambda: one.page()["state"] == "held", what="held")
        assert "--login" in one.page()["why"]
    finally:
        dropbox.restore()
    one.arrived("a.csv", secs=60)


@pytest.mark.slow
def test_a_file_is_never_whole_in_memory(dropbox, box_station):
    def peak() -> int:
        return int(re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{one.pid()}/status").read_text())[1]) * 1024

    one, size = box_station, 128 * 1024 * 1024
    one.write("a.csv", "6")
    one.master.start()
    one.notify("a.csv")
    one.arrived("a.csv", secs=60)
    before = peak()
    os.truncate(one.data / "a.csv", size)
    one.notify("a.csv")
    there = one.server / "a.csv"
    wait_until(lambda: there.stat().st_size == size, 60, "the large one")
    assert peak() - before < size / 3


# ---- the package


def test_the_package_is_one():
    with open(ROOT / "pyproject.toml", "rb") as file:
        project = tomllib.load(file)["project"]
    assert [re.split("[<>=~!]", one)[0] for one in project["dependencies"]] in ([], ["watchdog"])
    assert set(project["optional-dependencies"]) >= {"asyncssh", "dropbox", "testing", "test", "demo"}
    folders = {path.parent for path in (ROOT / "pysubtask").rglob("*.py")}
    assert all((folder / "__init__.py").exists() for folder in folders)
    assert (ROOT / "pysubtask" / "py.typed").exists()
