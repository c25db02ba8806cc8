"""Root sees and steers the tasks of another user, with his rights; a group sees what StatusGroup lets it see. Real children."""

from __future__ import annotations

import json
import os
import pwd
import signal
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pysubtask.common import registry
from pysubtask.control.config.toml_words import in_toml
from pysubtask.testing import ftp_server
from pysubtask.testing.servers.ftp import FTPServer
from tests.support.cli import command
from tests.support.helpers import wait_until
from tests.support.other_user import HIM, as_him, give_him, his_python, needs_root, open_folder

pytestmark = [needs_root, pytest.mark.slow]

SECRET = "root-only-canary-42"
OPS = 23456
"""A group that he is in, and SHE, too."""
SHE = 12347


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FTPServer]:
    with ftp_server(tmp_path_factory.mktemp("ftp")) as ftpd:
        yield ftpd


class His:
    """A station of his: ``pysubtask run`` with his rights, over a folder of his, and records in his home."""

    def __init__(self, folder: Path, server: FTPServer, name: str, base: str = "") -> None:
        self.folder, self.name = folder, name
        self.home, self.data = folder / "home", folder / "data"
        for own_folder in (self.home, self.data):
            own_folder.mkdir()
        login = server.settings(HostPath=name)
        words = {key: login[key] for key in ("UseSFTP", "Host", "HostPort", "User", "Password", "HostPath")}
        self.config = folder / "station.toml"
        self.config.write_text(
            f'[base]\nTaskName = "{name}"\nTimerIntervalSecs = 0.2\nRetryWaitSecs = 0.2\nMaster_Log_FileName = "none"\n'
            f'Subtask_Log_FileName = "none"\n{base}\n[ftp]\n'.replace('"none"', f'"{folder}/log.txt"')
            + "".join(f"{key} = {in_toml(value)}\n" for key, value in words.items())
            + f'\n[[watch]]\ndir = "{self.data}"\nsettle_secs = 0.1\n'
        )
        self.config.chmod(0o600)
        give_him(folder)
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def place(self) -> Path:
        return self.home / ".local/state/pysubtask/tasks"

    @property
    def state_dir(self) -> Path:
        return self.data / ".pysubtask" / self.name / "ftp"

    def start(self, groups: tuple[int, ...] = ()) -> None:
        program, environ = his_python()
        environ = {**environ, "HOME": str(self.home)}
        for key in (registry.VARIABLE, "XDG_STATE_HOME"):
            environ.pop(key, None)
        with open(self.folder / "output.txt", "ab") as output:
            self.process = subprocess.Popen(
                [program, "-P", "-m", "pysubtask", "run", str(self.config)],
                cwd=self.folder,
                env=environ,
                user=HIM,
                group=HIM,
                extra_groups=groups,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        wait_until(lambda: (self.page() or {}).get("state") in ("watching", "stopped"), 60, f"a child; {self.text()}")

    def text(self) -> str:
        return (self.folder / "output.txt").read_text()

    def page(self) -> dict[str, object] | None:
        try:
            found: dict[str, object] = json.loads((self.state_dir / "status.json").read_text())
        except OSError:
            return None
        return found

    def write(self, name: str, text: str) -> None:
        as_him(lambda: (self.data / name).write_text(text) and None)

    def end(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(60)


@pytest.fixture
def his(server: FTPServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[His]:
    monkeypatch.delenv(registry.VARIABLE, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "root"))
    with open_folder() as folder:
        one = His(folder, server, f"roof{os.getpid()}x{time.monotonic_ns() % 10**6}")
        yield one
        one.end()


def child(his: His) -> dict[str, object]:
    done = command("status", "--json", f"{HIM}:{his.name}")
    assert done.returncode == 0, done.stderr
    (found,) = json.loads(done.stdout)["tasks"]
    return dict(found)


def test_root_sees_reads_and_steers_it(his: His, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    from pysubtask.control.run import unit_files

    monkeypatch.setattr(unit_files, "SYSTEM_UNITS", str(tmp_path))
    unit_of(tmp_path, his.data / "nowhere", f"Environment={registry.VARIABLE}={his.place}")
    his.start()
    assert any(one["child"] == f"{HIM}:{his.name}/ftp" for one in json.loads(command("status", "--json").stdout)["tasks"])
    found = child(his)
    assert found["user"] == str(HIM) and found["alive"] and found["child"] == f"{HIM}:{his.name}/ftp"
    assert f"{HIM}:{his.name}/ftp" in command("status", his.name).stdout

    his.write("a.csv", "1\n")
    wait_until(lambda: command("receipts", "-t", his.name, "a.csv").returncode == 0, 60, "the receipt")
    done = command("pause", "-t", his.name)
    assert done.returncode == 0 and done.stdout.startswith(f"{HIM}:{his.name}/ftp: paused"), done.stderr
    his.write("b.csv", "2\n")
    wait_until(lambda: "b.csv" in command("queue", "-t", his.name).stdout, 60, "the queued file")
    events = [json.loads(line) for line in command("events", "--json", his.name).stdout.splitlines()]
    assert any(one["kind"] == "paused" and one["by"]["user"].startswith("root") for one in events), events
    assert command("resume", "-t", his.name).returncode == 0
    assert command("set", "-t", his.name, "RetryCount=7").returncode == 0
    assert "RetryCount  7" in command("get", "-t", his.name, "RetryCount").stdout
    assert command("reload", "-t", his.name).returncode == 0

    assert command("stop", "-t", his.name).returncode == 0
    wait_until(lambda: not child(his)["alive"], 60, "its end")
    assert command("status", "--check", his.name).returncode == 1
    assert command("start", "-t", his.name).returncode == 0
    assert child(his)["alive"]
    his.end()
    done = command("start", "-t", his.name)
    assert done.returncode == 1 and "nobody is there to start one" in done.stderr
    # All that was made is his.
    for path in (*his.home.rglob("*"), *his.data.rglob("*")):
        assert path.lstat().st_uid == HIM, path
    done = command("forget", his.name)
    assert done.returncode == 0 and list(his.place.glob("*.json")) == []


def test_it_is_watched_with_his_rights(his: His):
    his.start()
    program, environ = his_python()
    environ.pop(registry.VARIABLE, None)
    root = {**environ, "HOME": str(his.folder / "nobody")}
    watching = subprocess.Popen(
        [program, "-P", "-m", "pysubtask", "watch", "--json", his.name],
        env=root,
        cwd="/",
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        assert watching.stdout is not None
        first = json.loads(watching.stdout.readline())
        assert first["kind"] == "page" and first["child"] == f"{HIM}:{his.name}/ftp"
        his.write("a.csv", "1\n")
        kinds = []
        while "delivered" not in kinds:
            line = watching.stdout.readline()
            assert line, kinds
            kinds.append(json.loads(line)["kind"])
    finally:
        watching.send_signal(signal.SIGINT)
        assert watching.wait(30) == 130
        for pipe in (watching.stdout, watching.stderr):
            assert pipe is not None
            pipe.close()


def unit_of(folder: Path, data: Path, *more: str) -> Path:
    from pysubtask.control.run.systemd_unit import GENERATED_BY

    path = folder / "roof.service"
    lines = [
        f"{GENERATED_BY} from x.",
        "[Service]",
        f"User={HIM}",
        "ExecStart=python -m pysubtask run /x",
        f"RequiresMountsFor={data}",
    ]
    path.write_text("\n".join([*lines, *more]) + "\n")
    return path


@pytest.mark.parametrize("by", ["home", "unit", "folder of a unit", "process"])
def test_it_is_found(his: His, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, by: str):
    """By each of the ways alone; but for the last one, when nothing runs."""
    from pysubtask.control.run import unit_files
    from pysubtask.control.tasks import owners

    his.start()
    if by != "process":
        his.end()
        monkeypatch.setattr(owners, "_of_processes", lambda: iter(()))
    monkeypatch.setattr(unit_files, "SYSTEM_UNITS", str(tmp_path))
    if by == "home":
        entry = pwd.struct_passwd(("roof-user", "x", HIM, HIM, "", str(his.home), "/bin/sh"))
        monkeypatch.setattr(pwd, "getpwall", lambda: [entry])
    elif by == "unit":
        unit_of(tmp_path, his.data / "nowhere", f"Environment={registry.VARIABLE}={his.place}")
    elif by == "folder of a unit":
        unit_of(tmp_path, his.data)
    found = child(his)
    assert found["alive"] == (by == "process") and found["user"] == str(HIM)
    if by == "folder of a unit":
        # A unit that somebody else made names nobody.
        text = (tmp_path / "roof.service").read_text()
        (tmp_path / "roof.service").write_text(text.replace("# Made by", "# made by"))
        assert command("status", his.name).returncode == 3


def test_no_record_of_his_leads_root_anywhere(his: His, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """What his records and folders name is read with his rights: a file of root's is not, and a pipe holds nobody up."""
    from pysubtask.control.run import unit_files

    secret = his.folder / "secret"
    secret.mkdir(mode=0o700)
    for name in ("status.json", "settings.json", "events.jsonl", "receipts.jsonl"):
        (secret / name).write_text(json.dumps({"format": 1, "state": SECRET, "settings": {"Host": SECRET}, "kind": SECRET}))
    (secret / "lock").write_text("")
    linked, pipes = his.data / "linked", his.data / "pipes"
    pipes.mkdir()
    linked.symlink_to(secret)
    os.mkfifo(pipes / "status.json")
    os.mkfifo(pipes / "lock")
    for folder in (his.home / ".local", his.home / ".local/state", his.home / ".local/state/pysubtask", his.place):
        folder.mkdir(mode=0o700)
    for name, folder in (("one", secret), ("two", linked), ("three", pipes)):
        record = {"task": f"{his.name}{name}", "extension": "ftp", "destination": "ftp://x/", "state_dir": str(folder)}
        (his.place / f"{name}.json").write_text(json.dumps({**record, "label": f"{his.name}{name}", "folder": str(his.data)}))
    give_him(his.home, his.data)
    monkeypatch.setattr(unit_files, "SYSTEM_UNITS", str(tmp_path))
    unit_of(tmp_path, his.data / "nowhere", f"Environment={registry.VARIABLE}={his.place}")
    before = sorted(secret.iterdir())
    seen = command("status", "--json")
    assert f"{his.name}three" in seen.stdout and SECRET not in seen.stdout + seen.stderr
    for name in ("two", "three"):
        for words in (
            ("events", f"{his.name}{name}"),
            ("receipts", "-t", f"{his.name}{name}"),
            ("get", "-t", f"{his.name}{name}"),
            ("queue", "-t", f"{his.name}{name}"),
            ("pause", "-t", f"{his.name}{name}"),
            ("status", str(linked)),
            ("set", "-t", f"{his.name}{name}", "RetryCount=7"),
        ):
            done = command(*words)
            assert SECRET not in done.stdout + done.stderr, words
    assert sorted(secret.iterdir()) == before and all(path.lstat().st_uid == 0 for path in secret.iterdir())
    # A link in the place of his registry leads nowhere either.
    mine = his.folder / "mine"
    mine.mkdir(mode=0o700)
    (his.place / "three.json").rename(mine / "three.json")
    os.chown(mine / "three.json", 0, 0)
    for path in his.place.iterdir():
        path.unlink()
    his.place.rmdir()
    his.place.symlink_to(mine)
    assert f"{his.name}three" not in command("status").stdout
    assert command("forget", f"{his.name}three").returncode == 3 and (mine / "three.json").exists()


def test_whose_user_does_not_answer_keeps_nobody_from_the_others(his: His, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    from pysubtask.control.run import unit_files
    from pysubtask.control.tasks import find

    his.start()
    monkeypatch.setattr(find, "_PATIENCE_SECS", 1.0)
    monkeypatch.setattr(unit_files, "SYSTEM_UNITS", str(tmp_path))
    unit_of(tmp_path, his.data / "nowhere").write_text(
        unit_of(tmp_path, his.data / "nowhere").read_text().replace(f"User={HIM}", f"User={SHE}")
    )
    records = find._records_of

    def hang(owner, missing):
        if owner.uid == SHE:
            time.sleep(60)
        return records(owner, missing)

    monkeypatch.setattr(find, "_records_of", hang)
    done = command("status", "--json")
    assert f"the tasks of {SHE} cannot be looked at" in done.stderr
    assert any(one["child"] == f"{HIM}:{his.name}/ftp" for one in json.loads(done.stdout)["tasks"])


def test_a_record_of_roots_does_not_lead_root_to_a_users_folder(his: His, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    his.start()
    his.end()
    monkeypatch.setenv(registry.VARIABLE, str(tmp_path / "registry"))
    record = registry.Record(his.name, "ftp", "ftp://x/", str(his.state_dir), his.name, str(his.data))
    registry.announce(record)
    found = child(his)
    assert found["user"] == str(HIM) and not found["alive"] and dict(found["page"])["state"] == "stopped"
    done = command("forget", his.name)
    assert done.returncode == 0 and list((tmp_path / "registry").iterdir()) == []


# ---- what a group sees


@pytest.fixture
def shared(server: FTPServer) -> Iterator[His]:
    with open_folder() as folder:
        one = His(folder, server, f"roof{os.getpid()}x{time.monotonic_ns() % 10**6}", f'StatusGroup = "{OPS}"')
        yield one
        one.end()


def as_her(his: His, groups: tuple[int, ...], *words: str) -> subprocess.CompletedProcess[str]:
    """A command of another ordinary user, on a machine where he has an entry in passwd."""
    program, environ = his_python()
    environ.pop(registry.VARIABLE, None)
    code = (
        f"import pwd, sys; e = pwd.struct_passwd(('roof-user', 'x', {HIM}, {HIM}, '', {str(his.home)!r}, '/bin/sh')); "
        "pwd.getpwall = lambda: [e]; from pysubtask.control.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    return subprocess.run(
        [program, "-P", "-c", code, *words],
        env={**environ, "HOME": "/nonexistent"},
        cwd="/",
        user=SHE,
        group=SHE,
        extra_groups=groups,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def mode(path: Path) -> tuple[str, int]:
    found = path.stat()
    return oct(stat.S_IMODE(found.st_mode)), found.st_gid


def test_the_group_sees_the_page_and_nothing_else(shared: His):
    shared.start((OPS,))
    shared.write("a.csv", "1\n")
    wait_until(lambda: (shared.page() or {}).get("delivered") == 1, 60, "the delivery")
    seen = as_her(shared, (OPS,), "status", "--json")
    assert seen.returncode == 0, seen.stderr
    (found,) = json.loads(seen.stdout)["tasks"]
    assert found["alive"], found
    assert found["child"] == f"{HIM}:{shared.name}/ftp" and found["user"] == str(HIM) and found["alive"]
    assert found["page"]["delivered"] == 1
    assert as_her(shared, (OPS,), "status", "--check").returncode == 0
    # Seeing is all.
    for words in (("pause",), ("events", shared.name), ("queue",), ("stop", "-t", shared.name)):
        assert as_her(shared, (OPS,), *words).returncode == 3 or not as_her(shared, (OPS,), *words).stdout, words
    # Nobody else sees it, and of nothing else is anything given to the group.
    assert "No task is known" in as_her(shared, (), "status").stderr
    assert mode(shared.state_dir / "status.json") == ("0o640", OPS)
    (record,) = shared.place.glob("*.json")
    assert mode(record) == ("0o640", OPS)
    for folder, bits in (
        (shared.state_dir, "0o710"),
        (shared.state_dir.parent, "0o710"),
        (shared.data / ".pysubtask", "0o710"),
        (shared.place, "0o750"),
        (shared.place.parent, "0o710"),
    ):
        assert mode(folder) == (bits, OPS), folder
    open_to_all = []
    for top in (shared.data / ".pysubtask", shared.home / ".local/state/pysubtask"):
        for path in top.rglob("*"):
            if path.is_file() and path not in (record, shared.state_dir / "status.json") and path.stat().st_mode & 0o077:
                open_to_all.append(path)
            if path.is_dir() and path.stat().st_mode & 0o007:
                open_to_all.append(path)
    assert open_to_all == []

    # A dead child is seen as dead.
    assert shared.process is not None
    pid = found["pid"]
    os.kill(shared.process.pid, signal.SIGKILL)
    os.kill(pid, signal.SIGKILL)
    shared.process.wait()
    wait_until(lambda: as_her(shared, (OPS,), "status", "--check").returncode == 2, 60, "its death")


def test_without_the_setting_all_is_private_again(shared: His):
    shared.start((OPS,))
    shared.end()
    text = shared.config.read_text()
    shared.config.write_text(text.replace("StatusGroup", "# StatusGroup"))
    shared.start((OPS,))
    wait_until(lambda: mode(shared.state_dir / "status.json")[0] == "0o600", 60, "the private page")
    (record,) = shared.place.glob("*.json")
    assert mode(record)[0] == "0o600" and mode(shared.state_dir)[0] == "0o700"
    assert "No task is known" in as_her(shared, (OPS,), "status").stderr


@pytest.mark.parametrize(("bits", "group"), [(0o644, OPS), (0o660, OPS), (0o640, HIM), (0o600, OPS)])
def test_only_what_is_shared_exactly_like_that_is_believed(shared: His, bits: int, group: int):
    shared.start((OPS,))
    shared.end()
    page = shared.state_dir / "status.json"
    os.chown(page, HIM, group)
    page.chmod(bits)
    (found,) = json.loads(as_her(shared, (OPS,), "status", "--json").stdout)["tasks"]
    assert found["page"] == {} and "lets no group of yours see it" in found["why"]
    (record,) = shared.place.glob("*.json")
    os.chown(record, HIM, group)
    record.chmod(bits)
    assert "No task is known" in as_her(shared, (OPS,), "status").stderr


def test_a_group_without_the_user_is_an_error_before_the_start(shared: His):
    program, environ = his_python()
    done = subprocess.run(
        [program, "-P", "-m", "pysubtask", "run", str(shared.config)],
        env={**environ, "HOME": str(shared.home)},
        cwd="/",
        user=HIM,
        group=HIM,
        extra_groups=[],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2 and "StatusGroup" in done.stderr and f'is not in the group "{OPS}"' in done.stderr, done.stderr
    assert not (shared.data / ".pysubtask").exists()


def test_what_keeps_the_group_out_is_logged(shared: His):
    shared.home.chmod(0o700)
    shared.start((OPS,))
    assert f"it may not pass [{shared.home}]" in shared.text() + (shared.folder / "log.txt").read_text()
    assert mode(shared.home)[0] == "0o700"
