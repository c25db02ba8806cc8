"""``pysubtask check``: what would be sent, archived and skipped, and why; and that nothing is touched by it."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from pysubtask.common import registry
from pysubtask.common.lock import Holder, StateLock, process_start
from pysubtask.common.receipts import Receipt, append
from pysubtask.control.commands import check
from pysubtask.control.config.config_file import load
from pysubtask.control.config.problems import ConfigProblems
from pysubtask.control.doctor import watch_paths
from pysubtask.control.preview.dry_run import dry_run
from pysubtask.control.preview.name_owners import NameOwners
from pysubtask.control.preview.not_watched import NotWatched
from pysubtask.subtask.spool.name_claims import NameClaims
from pysubtask.subtask.watch.folder import Folder

NOW = 1_790_000_000.0
DAY = 86400
SERVER = "sftp://me@h:22/in"


@pytest.fixture
def station(tmp_path: Path) -> Path:
    config = tmp_path / "x.toml"
    config.write_text("""
        [base]
        ArchiveToFolder = "old"
        [ftp]
        Host = "h"
        User = "me"
        HostPath = "in"
        [[watch]]
        dir = "data"
        recursive = true
        exclude = "*.tmp"
        as = "station"
        [[watch]]
        file = "lists/today.csv"
        as = "station/a.csv"
        [[watch]]
        file = "lists/never.csv"
        """)
    for name, age in (
        ("a.csv", 0),
        ("same.csv", 1),
        ("grown.csv", 0),
        ("moved.csv", 1),
        ("done.csv", 10),
        ("due.csv", 10),
        ("x.tmp", 0),
        ("sub/deep.csv", 0),
        ("a.csv.notify", 0),
    ):
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{name}\n")
        os.utime(path, (NOW - age * DAY, NOW - age * DAY))
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "today.csv").write_text("1\n")
    (tmp_path / "data" / "link").symlink_to(tmp_path / "nowhere")
    (tmp_path / "data" / ".pysubtask" / "main" / "ftp").mkdir(parents=True)
    (tmp_path / "data" / "upload" / "ftp").mkdir(parents=True)
    (tmp_path / "data" / "upload" / "ftp" / "snapshot").write_text("no data")
    (tmp_path / "data" / "old").mkdir()
    (tmp_path / "data" / "old" / "older.csv").write_text("no data either")
    rows = []
    delivered = [
        ("same.csv", SERVER, None),
        ("done.csv", SERVER, None),
        ("grown.csv", SERVER, 3),
        ("moved.csv", "sftp://me@other:22/in", None),
    ]
    for number, (name, server, size) in enumerate(delivered, 1):
        path = tmp_path / "data" / name
        found = path.stat()
        rows.append(
            Receipt(
                number,
                "2026-11-20T00:00:00Z",
                str(path),
                f"station/{name}",
                server,
                size or found.st_size,
                found.st_mtime_ns,
                "",
                1,
                "size",
            )
        )
    append(str(tmp_path / "data" / ".pysubtask" / "main" / "ftp"), rows)
    return config


def everything(folder: Path) -> dict[str, tuple[int, int]]:
    return {str(path): (path.lstat().st_size, path.lstat().st_mtime_ns) for path in folder.rglob("*")}


def test_what_would_be_sent_archived_and_skipped(station: Path):
    before = everything(station.parent)
    found = dry_run(load(str(station), {}).tasks[0], NOW)
    assert everything(station.parent) == before
    child, data = found.children[0], station.parent / "data"
    assert (child.label, child.destination, child.held) == ("x/ftp", SERVER, "")
    assert {one.name: one.why for one in child.send} == {
        "station/a.csv": "new",
        "station/grown.csv": "changed since 2026-11-20T00:00:00Z",
        "station/moved.csv": "new",
        "station/due.csv": "new",
        "station/sub/deep.csv": "new",
    }
    assert child.delivered == 2
    assert [one.path for one in child.skipped] == [str(station.parent / "lists" / "today.csv")]
    assert f"belongs to {data / 'a.csv'}" in child.skipped[0].why
    skipped = {os.path.basename(one.path): one.why for one in found.skipped}
    assert skipped == {
        "x.tmp": "left out by include or exclude",
        "link": "it is no plain file",
        "never.csv": "No such file or directory; it is sent when it comes",
    }
    assert found.root == str(data / "old") and found.archive == ((str(data / "done.csv"), "delivered and old"),)


def test_what_holds_a_task_and_what_was_refused_is_reported(station: Path):
    state = station.parent / "data" / ".pysubtask" / "main" / "ftp"
    page = {
        "format": 1,
        "paused": [{"name": None, "by": "ana"}],
        "parked": [{"path": str(station.parent / "data" / "a.csv"), "reason": "no room"}],
    }
    (state / "status.json").write_text(json.dumps(page))
    child = dry_run(load(str(station), {}).tasks[0], NOW).children[0]
    assert "resume" in child.held
    assert "new; the server refused it before: no room" in {one.why for one in child.send}


def test_what_is_printed(station: Path):
    (station.parent / "data" / "bad\x1bname").write_text("")
    done = CliRunner().invoke(check.command, [str(station)], standalone_mode=False)
    assert done.exception is None
    assert "would send 6 files" in done.output and "would archive" in done.output and "as station/sub/deep.csv: new" in done.output
    assert "\x1b" not in done.output
    for number in range(20):
        (station.parent / "data" / f"{number}.csv").write_text("")
    short = CliRunner().invoke(check.command, [str(station)], standalone_mode=False).output
    long = CliRunner().invoke(check.command, [str(station), "--all"], standalone_mode=False).output
    assert "and 16 more (--all shows them)" in short and "16 more" not in long and "19.csv" in long


def natural(folder: Path, more: str = "") -> Path:
    """What a person does first: the config, its password and the data in one folder."""
    for name in (
        "weather.csv",
        "station.toml~",
        ".station.toml.swp",
        "secret.txt",
        "secret.txt.bak",
        "station.log.1",
        "other.txt.bak",
    ):
        (folder / name).write_text("pw\n")
        (folder / name).chmod(0o600)
    (folder / "station.log").write_text("x")
    (folder / "soft.csv").symlink_to("secret.txt")
    os.link(folder / "secret.txt", folder / "hard.csv")
    path = folder / "station.toml"
    path.write_text(f"""
        [base]
        Subtask_Log_FileName = "{folder}/station.log"
        [ftp]
        Host = "h"
        UseSFTP = false
        PasswordFile = "secret.txt"
        [[watch]]
        dir = "."
        {more}""")
    return path


def test_the_config_and_secret_beside_the_data_are_left_out(tmp_path: Path):
    found = dry_run(load(str(natural(tmp_path)), {}).tasks[0], NOW)
    assert sorted(one.name for one in found.children[0].send) == ["other.txt.bak", "weather.csv"]
    secret, config = "named by ftp.PasswordFile", "the config itself"
    assert {os.path.basename(one.path): one.why for one in found.skipped} == {
        "station.toml": config,
        "station.toml~": f"a copy or temporary of station.toml, {config}",
        ".station.toml.swp": f"a copy or temporary of station.toml, {config}",
        "secret.txt": secret,
        "secret.txt.bak": f"a copy or temporary of secret.txt, {secret}",
        "soft.csv": secret,
        "hard.csv": f"the same file as {tmp_path / 'secret.txt'}, {secret}",
        "station.log": "a log of this program",
        "station.log.1": "a log of this program",
    }
    output = CliRunner().invoke(check.command, [str(tmp_path / "station.toml"), "--all"], standalone_mode=False).output
    assert f"{tmp_path / 'station.toml'}: the config itself" in output


@pytest.mark.parametrize("name", ["secret.txt", "station.toml", "secret.txt.bak", "soft.csv", "hard.csv"])
def test_an_entry_for_a_secret_is_an_error_at_its_line(name: str, tmp_path: Path):
    path = natural(tmp_path, f'[[watch]]\nfile = "{name}"')
    with pytest.raises(ConfigProblems) as caught:
        load(str(path), {})
    (problem,) = caught.value.problems
    assert problem.key == "watch[2].file" and path.read_text().split("\n")[problem.where.line - 1] == f'file = "{name}"'
    assert "is never sent: it is" in problem.problem and problem.remedy.startswith("Remove this entry")


CONFIGS = {
    "url": 'ftp.Host = "ftp://me@h/in"\nftp.PasswordFile = "hidden.txt"\n[[watch]]\nfile = "weather.csv"\n',
    "tasks": '[tasks.a.dropbox]\nAppKey = "k"\nRefreshTokenFile = "hidden.txt"\n[[tasks.a.watch]]\ndir = "."\n',
    "not filled in": '[[watch]]\ndir = ""\n[ftp]\nHost = ""\nPasswordFile = "hidden.txt"\n',
    "being edited": '[[watch]]\ndir = "."\n[ftp]\nHost = \nPasswordFile = "hidden.txt"\n',
}


@pytest.mark.parametrize("text", CONFIGS.values(), ids=list(CONFIGS))
def test_another_config_and_its_secrets_are_left_out_and_named(tmp_path: Path, text: str):
    """Who tries FTP first and then SFTP has two configs with their passwords beside the data."""
    path = natural(tmp_path)
    other = tmp_path / "st2.toml"
    other.write_text(text)
    for name in ("hidden.txt", "hidden.txt~", "st2.password", "st2.toml.bak"):
        (tmp_path / name).write_text("pw")
    (tmp_path / "linked.csv").symlink_to("hidden.txt")
    os.link(tmp_path / "hidden.txt", tmp_path / "hard2.csv")
    (tmp_path / "data.toml").write_text('[ftp]\nspeed = 3\n[watch]\nmaker = "x"\n')
    found = dry_run(load(str(path), {}).tasks[0], NOW)
    assert sorted(one.name for one in found.children[0].send) == ["data.toml", "other.txt.bak", "weather.csv"]
    why = {os.path.basename(one.path): one.why for one in found.skipped}
    assert why["st2.toml"] == "a config of pysubtask" and "belongs to st2.toml" in why["st2.password"]
    assert why["hidden.txt"] == why["linked.csv"] and f"of {other}" in why["hidden.txt"]
    assert why["hard2.csv"].startswith("the same file as") and why["hidden.txt~"].startswith("a copy or temporary of hidden.txt")


@pytest.mark.parametrize("name", ["st2.toml", "hidden.txt", "st2.password"])
def test_an_entry_for_what_another_config_has_is_an_error(tmp_path: Path, name: str):
    path = natural(tmp_path, f'[[watch]]\nfile = "{name}"')
    (tmp_path / "st2.toml").write_text(CONFIGS["url"])
    (tmp_path / name).touch()
    with pytest.raises(ConfigProblems) as caught:
        load(str(path), {})
    assert [problem.key for problem in caught.value.problems] == ["watch[2].file"]


def test_a_watched_home_and_its_private_files_are_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    path = natural(tmp_path)
    for name in (".netrc", ".pgpass", ".git-credentials", ".bash_history", ".hidden"):
        (tmp_path / name).write_text("pw")
    (tmp_path / "linked.csv").symlink_to(".netrc")
    found = dry_run(load(str(path), {}).tasks[0], NOW)
    assert sorted(one.name for one in found.children[0].send) == [".hidden", "other.txt.bak", "weather.csv"]
    why = {os.path.basename(one.path): one.why for one in found.skipped}
    for name in (".netrc", ".pgpass", ".git-credentials", ".bash_history", "linked.csv"):
        assert "private by its name" in why[name], name
    done = CliRunner().invoke(check.command, [str(path)], standalone_mode=False)
    assert f"{tmp_path} is a home folder" in done.output and done.return_value == 0
    path.write_text(path.read_text().replace('dir = "."', 'dir = "/"'))
    assert watch_paths.too_wide(load(str(path), {}).tasks[0].entries[0]) is not None
    (tmp_path / "camera").mkdir()
    path.write_text(path.read_text().replace('dir = "/"', 'dir = "camera"'))
    assert "home folder" not in CliRunner().invoke(check.command, [str(path)], standalone_mode=False).output


@pytest.mark.parametrize("recursive", ["false", "true"])
def test_a_link_is_judged_as_by_the_child(tmp_path: Path, recursive: str):
    (tmp_path / "camera" / "sub").mkdir(parents=True)
    for name in ("weather.csv", "camera/a.csv", "camera/sub/b.csv"):
        (tmp_path / name).write_text("1")
    links = {
        "link.csv": "../weather.csv",
        "deep.csv": "sub/b.csv",
        "latest.csv": "a.csv",
        "gone.csv": "nothing",
        "dir.csv": "sub",
        "chain.csv": "link.csv",
        "sub/up.csv": "../a.csv",
        "sub/here.csv": "b.csv",
    }
    for name, to in links.items():
        (tmp_path / "camera" / name).symlink_to(to)
    config = tmp_path / "x.toml"
    config.write_text(f'[ftp]\nHost = "h"\n[[watch]]\ndir = "camera"\nrecursive = {recursive}\n')
    task = load(str(config), {}).tasks[0]
    found = dry_run(task, NOW)
    data = {one.name for one in found.children[0].send}
    (entry,) = task.entries
    root = Folder(0, entry, ())
    folders = [root, Folder(0, entry, (), root, "sub")] if recursive == "true" else [root]
    taken = {each.names.below + name for each in folders for name in each.scan(True).odd}
    assert data == taken >= {"a.csv", "latest.csv"}
    why = {os.path.basename(one.path): one.why for one in found.skipped}
    assert f"leads out of its folder, to {tmp_path / 'weather.csv'}" in why["link.csv"] and "leads out" in why["chain.csv"]


def folders_below(tmp_path: Path, *files: str, more: str = "") -> dict[str, str]:
    """What check tells of the folders in camera/."""
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("1")
    config = tmp_path / "x.toml"
    config.write_text(f'[base]\nArchiveToFolder = "old"\n[ftp]\nHost = "h"\n[[watch]]\ndir = "camera"\n{more}\n')
    found = dry_run(load(str(config), {}).tasks[0], NOW)
    return {os.path.relpath(one.path, tmp_path / "camera"): one.why for one in found.skipped if one.path.endswith(os.sep)}


def test_folders_below_that_are_not_watched_are_named(tmp_path: Path):
    files = (
        "camera/a.jpg",
        "camera/day1/x.jpg",
        "camera/day1/x.jpg.notify",
        "camera/day2/x.jpg",
        "camera/day2/deep/y.jpg",
        "camera/empty/x.jpg.notify",
    )
    assert folders_below(tmp_path, *files) == {
        "day1": "1 file is in this folder, which is not watched; recursive = true sends it",
        "day2": "2 files are in this folder, which is not watched; recursive = true sends them",
    }
    output = CliRunner().invoke(check.command, [str(tmp_path / "x.toml")], standalone_mode=False).output
    assert f"{tmp_path / 'camera' / 'day1'}/: 1 file is in this folder" in output
    assert folders_below(tmp_path, more="recursive = true") == {}


def test_own_folders_and_what_is_left_out_are_not_reported(tmp_path: Path):
    files = (
        "camera/.pysubtask/main/ftp/spool.db",
        "camera/upload/ftp/snap",
        "camera/old/x.jpg",
        "camera/own/x.jpg",
        "camera/tmp/x.part",
        "camera/day1/.netrc",
    )
    (tmp_path / "camera").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "x.jpg").write_text("1")
    (tmp_path / "camera" / "link").symlink_to(tmp_path / "elsewhere")
    more = 'exclude = "*.part"\n[[watch]]\ndir = "camera/own"\nas = "own"'
    assert folders_below(tmp_path, *files, more=more) == {}


def test_of_a_huge_folder_below_only_so_much_is_looked_at(tmp_path: Path):
    notes = folders_below(tmp_path, *(f"camera/big/{number}/{number}.jpg" for number in range(600)))
    assert notes["big"].endswith("files or more are in this folder, which is not watched; recursive = true sends them")
    asked: list[str] = []
    rule = NotWatched(most=100, most_of_task=250)
    every = [rule.reason(str(tmp_path / "camera"), lambda path: not asked.append(path), lambda path: False) for _ in range(4)]
    assert len(asked) <= 250 and all(every) and "too much" in every[-1]


def test_no_task_sends_what_another_task_or_drop_in_has(tmp_path: Path):
    (tmp_path / "conf.d").mkdir()
    for name, watched in (("a", tmp_path), ("b", tmp_path / "deep")):
        (tmp_path / f"{name}.pw").write_text(name)
        (tmp_path / f"{name}.pw").chmod(0o600)
        (tmp_path / "conf.d" / f"{name}.toml").write_text(
            f'ftp.Host = "h"\nftp.UseSFTP = false\nftp.PasswordFile = "../{name}.pw"\n'
            f'base.ArchiveToFolder = "{tmp_path}/deep/old-{name}"\n[[watch]]\ndir = "{watched}"\nrecursive = true\n'
        )
    for name in ("deep/upload/ftp/x", "deep/old-a/x", "deep/old-b/x", "deep/x.csv"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("1")
    tasks = load(str(tmp_path), {}).tasks
    assert [one.name for one in dry_run(tasks[0], NOW).children[0].send] == ["deep/x.csv"]
    assert [one.name for one in dry_run(tasks[1], NOW).children[0].send] == ["x.csv"]
    os.rename(tmp_path / "conf.d" / "b.toml", tmp_path / "conf.d" / "b.toml.off")
    assert sorted(one.name for one in dry_run(load(str(tmp_path), {}).tasks[0], NOW).children[0].send) == [
        "b.pw",
        "conf.d/b.toml.off",
        "deep/old-b/x",
        "deep/upload/ftp/x",
        "deep/x.csv",
    ], "nobody says what these are now"


def test_where_another_task_has_its_log_the_data_is_data(tmp_path: Path):
    (tmp_path / "data" / "deep").mkdir(parents=True)
    (tmp_path / "data" / "deep" / "x.csv").write_text("1")
    (tmp_path / "data" / "deep" / "b.log").write_text("1")
    (tmp_path / "b").mkdir()
    (tmp_path / "x.toml").write_text(f"""
        [ftp]
        Host = "h"
        [tasks.a]
        watch = [{{ dir = "data", recursive = true }}]
        [tasks.b]
        base.Subtask_Log_FileName = "{tmp_path}/data/deep/b.log"
        watch = [{{ dir = "b" }}]""")
    first = dry_run(load(str(tmp_path / "x.toml"), {}).tasks[0], NOW)
    assert [one.name for one in first.children[0].send] == ["deep/x.csv"]
    assert [one.why for one in first.skipped] == ["a log of this program"]


def test_a_home_that_is_watched_keeps_its_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    for name in (".ssh/id_ed25519", ".config/pysubtask/conf.d/x.toml.off", ".config/app/x", "data/x"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("1")
    (tmp_path / "x.toml").write_text('ftp.Host = "h"\n[[watch]]\ndir = "."\nrecursive = true\n')
    found = dry_run(load(str(tmp_path / "x.toml"), {}).tasks[0], NOW)
    assert sorted(one.name for one in found.children[0].send) == [".config/app/x", "data/x"]


def test_nothing_is_archived_unless_the_config_says_where(station: Path):
    station.write_text(station.read_text().replace('ArchiveToFolder = "old"', ""))
    found = dry_run(load(str(station), {}).tasks[0], NOW)
    assert found.root is None and found.archive == ()


def test_two_tasks_of_one_config_that_send_to_one_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(registry.VARIABLE, str(tmp_path / "registry"))
    config = tmp_path / "x.toml"
    config.write_text("""
        [ftp]
        Host = "h"
        User = "me"
        HostPath = "in"
        [[tasks.a.watch]]
        dir = "a"
        recursive = true
        [[tasks.b.watch]]
        dir = "b"
        [tasks.c.ftp]
        HostPath = "in/deep"
        [[tasks.c.watch]]
        file = "c/now.csv"
        """)
    for name in ("a/now.csv", "a/deep/now.csv", "b/now.csv", "b/own.csv", "c/now.csv"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    tasks = load(str(config), {}).tasks
    with NameOwners() as names:
        found = [dry_run(task, NOW, names).children[0] for task in tasks]
    assert [[one.name for one in child.send] for child in found] == [["now.csv", "deep/now.csv"], ["own.csv"], []]
    ((path, why),) = found[1].skipped
    assert path == str(tmp_path / "b" / "now.csv") and f"belongs to {tmp_path / 'a' / 'now.csv'} of the task a/ftp" in why
    done = CliRunner().invoke(check.command, [str(config), "-t", "b"], standalone_mode=False)
    assert "of the task a/ftp" in done.output and "a watches" not in done.output
    assert not (tmp_path / "registry").exists()
    # Whoever sends to the name already has it, though another task comes first in the file.
    state = tasks[1].plans[0].state_dir
    os.makedirs(state)
    lock = StateLock(os.path.join(state, "lock"))
    lock.acquire(Holder(os.getpid(), process_start(os.getpid()) or "", None, None))
    running = NameClaims("sftp://me@h:22/in", state, "b/ftp", time.monotonic)
    running.take("now.csv", str(tmp_path / "b" / "now.csv"))
    running.close()
    with NameOwners() as names:
        found = [dry_run(task, NOW, names).children[0] for task in tasks]
    assert [[one.name for one in child.send] for child in found] == [["deep/now.csv"], ["now.csv", "own.csv"], []]
    lock.release()


def test_another_protocol_to_the_same_place_is_reported(station: Path):
    station.write_text(station.read_text().replace('User = "me"', 'User = "me"\nUseSFTP = false'))
    child = dry_run(load(str(station), {}).tasks[0], NOW).children[0]
    assert child.destination == "ftp://me@h:21/in"
    why = {one.name: one.why for one in child.send}
    left = "delivered over sftp before; only if the server does not show it as it was left"
    assert (why["station/same.csv"], why["station/done.csv"]) == (left, left)
    assert why["station/grown.csv"] == "new" and why["station/moved.csv"] == "new" and child.delivered == 0


def test_a_mistyped_file_is_named_with_the_one_that_was_meant(tmp_path: Path):
    (tmp_path / "weather.csv").touch()
    path = tmp_path / "st.toml"
    path.write_text('[ftp]\nHost = "h"\n[[watch]]\nfile = "wether.csv"\n')
    output = CliRunner().invoke(check.command, [str(path)], standalone_mode=False).output
    assert "(did you mean weather.csv?); it is sent when it comes" in output
    path.write_text(f'{path.read_text()}[[watch]]\nfile = "weather.csv"\n')
    assert "did you mean" not in CliRunner().invoke(check.command, [str(path)], standalone_mode=False).output
