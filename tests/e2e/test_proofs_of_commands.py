"""What a second user tries against the commands that root types, and against a task while it works; see ``test_proofs``."""

from __future__ import annotations

import ctypes
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pysubtask.common import registry
from pysubtask.common.requests import myself, send
from pysubtask.testing import ftp_server
from tests.support.other_user import HIM, as_him, give_him, needs_root, open_folder
from tests.support.second_user import CANARY, ROOT, Run, arrived, config, leaked

_EXCHANGE = 2
_AT_FDCWD = -100
MASTER_TASK = ("main", "ftp", "sftp://127.0.0.1/")


@pytest.fixture
def place() -> Iterator[Path]:
    with open_folder() as folder:
        for name in ("data", "roots"):
            (folder / name).mkdir(mode=0o755)
        (folder / "secret").mkdir(mode=0o700)
        (folder / "secret" / "a.csv").write_text(CANARY)
        yield folder


def pysubtask(place: Path, *words: str, secs: float = 60, **environ: str) -> subprocess.CompletedProcess[str]:
    own = {"PYTHONPATH": str(ROOT), "HOME": str(place), "PYSUBTASK_REGISTRY": str(place / "registry")}
    return subprocess.run(
        [sys.executable, "-m", "pysubtask", *words],
        cwd=place,
        capture_output=True,
        text=True,
        timeout=secs,
        errors="replace",
        env={**os.environ, **own, **environ},
    )


def his_state(place: Path) -> Path:
    """The state folder of a task of his that does not run."""
    state = place / "data" / ".pysubtask" / "main" / "ftp"
    state.mkdir(parents=True)
    (state / "lock").touch()
    give_him(place / "data")
    return state


def in_the_background(action: Callable[[], None], *, of_him: bool = True) -> int:
    """The pid of a process of his that does something again and again."""
    pid = os.fork()
    if pid == 0:
        try:
            if of_him:
                os.setgroups([])
                os.setgid(HIM)
                os.setuid(HIM)
            while os.getppid() != 1:
                action()
        finally:
            os._exit(0)
    return pid


def end(pid: int) -> None:
    os.kill(pid, 9)
    os.waitpid(pid, 0)


# ---- what root types


@pytest.mark.slow
@needs_root
def test_the_doctor_without_a_config_runs_no_program_of_his(place: Path):
    evil = place / "evil-ssh"
    evil.write_text(f"#!/bin/sh\nid > {place}/it-ran\nexit 1\n")
    evil.chmod(0o755)
    state = his_state(place)
    settings = {"Host": "127.0.0.1", "SSHProgram": str(evil), "UseSFTP": True, "HostPort": 1, "ConnectTimeoutSecs": 5}
    page = {"settings": settings, "live": [], "kept": []}
    as_him(lambda: (state / "settings.json").write_text(json.dumps(page)))
    name = registry.VARIABLE
    before = os.environ.get(name)
    os.environ[name] = str(place / "registry")
    try:
        registry.announce(registry.Record(*MASTER_TASK, str(state)))
    finally:
        os.environ[name] = before or ""
    done = pysubtask(place, "doctor")
    assert not (place / "it-ran").exists() and str(evil) not in done.stdout, done.stdout


@needs_root
def test_an_order_of_roots_is_written_through_no_link(place: Path):
    state = his_state(place)
    as_him(lambda: (state / "requests").symlink_to(place / "roots"))
    pysubtask(place, "pause", "-t", str(place / "data"))
    assert os.listdir(place / "roots") == []


@pytest.mark.slow
@needs_root
def test_an_order_of_roots_gives_no_file_away(place: Path):
    """He puts a link in the place of each file that root makes, as fast as he can."""
    shadow = place / "shadow"
    shadow.write_text("root's")
    shadow.chmod(0o600)
    state = his_state(place)
    folder = state / "requests"
    as_him(lambda: folder.mkdir(0o700))

    def race() -> None:
        for name in os.listdir(folder):
            path = folder / name
            if not path.is_symlink():
                path.unlink(missing_ok=True)
                os.symlink(shadow, path)

    racer = in_the_background(race)
    try:
        end_at = time.monotonic() + 4
        while time.monotonic() < end_at and shadow.stat().st_uid == 0:
            try:
                send(str(state), "pause", {}, myself("test"))
            except OSError:
                continue  # he has taken it away: that order is not given
    finally:
        end(racer)
    assert (shadow.stat().st_uid, shadow.read_text()) == (0, "root's")


@needs_root
@pytest.mark.parametrize("what", ["file", "folder"])
def test_a_config_that_all_may_write_is_not_run(place: Path, what: str):
    evil = place / "evil-ssh"
    evil.write_text(f"#!/bin/sh\nid > {place}/it-ran\nexit 1\n")
    evil.chmod(0o755)
    (place / "conf").mkdir()
    path = place / "conf" / "station.toml"
    path.write_text(
        f'[base]\nRetryWaitSecs = 0.2\n[ftp]\nHost = "127.0.0.1"\nHostPort = 1\nSSHProgram = "{evil}"\n'
        f'[[watch]]\ndir = "{place}/data"\n'
    )
    (path if what == "file" else path.parent).chmod(0o666 if what == "file" else 0o777)
    (place / "data" / "a.csv").write_text("1\n")
    with Run(place, path) as run:
        run.until((place / "it-ran").exists, 5)
        assert not (place / "it-ran").exists() and run.process.wait(20) == 2, run.text()


@needs_root
def test_no_service_of_roots_over_a_drop_folder(place: Path):
    (place / "data").chmod(0o1777)
    path = place / "station.toml"
    path.write_text('[ftp]\nHost = "h"\n[[watch]]\ndir = "data"\n')
    path.chmod(0o600)
    done = pysubtask(place, "service", str(path))
    assert done.returncode != 0 and "User=root" not in done.stdout


# ---- what is printed


@pytest.mark.slow
@pytest.mark.parametrize("by", ["the setting", "the environment"])
def test_no_part_of_a_proxys_password_is_printed(place: Path, by: str):
    proxy = "http://station:pa#ssw0rd@127.0.0.1:1"
    path = place / "station.toml"
    path.write_text(
        "[base]\nRetryWaitSecs = 0.2\nHeartbeatStatus = true\nHeartbeatIntervalSecs = 1\n[dropbox]\n"
        'AppKey = "key"\nAccessToken = "token"\n'
        + (f'Proxy = "{proxy}"\n' if by == "the setting" else "")
        + '[[watch]]\ndir = "data"\nsettle_secs = 0.1\n'
    )
    path.chmod(0o600)
    (place / "data" / "a.csv").write_text("1\n")
    before = os.environ.get("HTTPS_PROXY")
    if by == "the environment":
        os.environ["HTTPS_PROXY"] = proxy
    try:
        with Run(place, path) as run:
            run.until(lambda: "FAILED" in run.text() or "HELD" in run.text().upper(), 8)
            run.until(lambda: False, 1)
    finally:
        if before is None:
            os.environ.pop("HTTPS_PROXY", None)
        else:
            os.environ["HTTPS_PROXY"] = before
    leaks = [*leaked("station:pa", place / "data", place / "home"), *leaked("ssw0rd", place / "data", place / "home")]
    assert leaks == [] and "station:pa" not in run.text() and "ssw0rd" not in run.text(), run.text()
    assert "Dropbox" in run.text() or "Proxy" in run.text()


@pytest.mark.slow
def test_a_name_steers_no_terminal(place: Path):
    """What 'resume' reports without a given name: the one of the task, which is that of its file."""
    name = "a\x1b]0;OWNED-TITLE\x07\x1b[2J.csv"
    (place / "data" / name).write_text("1\n")
    # In TOML control characters stand as escapes.
    path_in_toml = json.dumps(f"data/{name}")
    with ftp_server(place / "ftp") as server:
        path = config(place, server, watch=f"file = {path_in_toml}")
        with Run(place, path) as run:
            run.until(lambda: arrived(server, place, name), 20)
            for words in ("pause", "resume", "notify", "retry", "get RateLimit", "status", "events", "queue"):
                done = pysubtask(place, *words.split(), PYSUBTASK_REGISTRY=str(place / "home" / "registry"))
                output = done.stdout + done.stderr
                assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", output), (words, output)
        assert "\x1b" not in run.text() and "\x07" not in run.text()


@pytest.mark.slow
def test_a_name_forges_no_line_of_the_journal(place: Path):
    signs = "\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"
    names = [f"b{sign}<3>[pysubtask.TaskMaster.1]: ERROR: disk failing{sign}c.csv" for sign in signs]
    (place / "output.txt").touch()
    found = os.stat(place / "output.txt")
    with ftp_server(place / "ftp") as server:
        path = config(place, server)
        before = os.environ.get("JOURNAL_STREAM")
        os.environ["JOURNAL_STREAM"] = f"{found.st_dev}:{found.st_ino}"
        try:
            with Run(place, path) as run:
                for name in names:
                    (place / "data" / name).write_text("1\n")
                run.until(lambda: len(server.names()) >= len(names), 20)
        finally:
            os.environ.pop("JOURNAL_STREAM", None) if before is None else os.environ.update(JOURNAL_STREAM=before)
    lines = run.output.read_bytes().split(b"\n")
    assert sum(line.startswith(b"<6>") for line in lines) > len(names), "it is the journal's own form"
    assert [line for line in lines if re.match(rb"(<\d>)*<3>\[pysubtask\.TaskMaster\.1\]", line)] == []


# ---- while it works


@needs_root
@pytest.mark.slow  # ten seconds of exchanges
def test_exchanged_folders_and_links_leak_nothing(place: Path):
    """Root's task in a drop folder: what is copied is what was watched, no signal file goes astray, the others go on."""
    data = place / "data"
    data.chmod(0o1777)

    def prepare() -> None:
        (data / "sub").mkdir()
        (data / "sub" / "a.csv").write_text("harmless\n")
        (data / "link").symlink_to(place / "secret")

    as_him(prepare)
    libc = ctypes.CDLL(None, use_errno=True)
    one, other = os.fsencode(data / "sub"), os.fsencode(data / "link")

    def exchange() -> None:
        libc.renameat2(_AT_FDCWD, one, _AT_FDCWD, other, _EXCHANGE)

    with ftp_server(place / "ftp") as server:
        watch = 'dir = "data"\nrecursive = true\non_change = true\nnotify_files = true\nsettle_secs = 0.1'
        with Run(place, config(place, server, watch=watch)) as run:
            run.until(lambda: arrived(server, place, "sub/a.csv"), 20)
            racer = in_the_background(exchange)
            try:
                end_at, count = time.monotonic() + 8, 0
                while time.monotonic() < end_at:
                    count += 1

                    def change(count: int = count) -> None:
                        for folder in ("sub", "link"):
                            try:
                                (data / folder / "a.csv").write_text(f"harmless {count}\n")
                                (data / folder / "a.csv.notify").touch()
                            except OSError:
                                continue  # it is the link at the moment

                    as_him(change)
                    if leaked(CANARY, server.files, data / ".upload"):
                        break
            finally:
                end(racer)
            assert leaked(CANARY, server.files, data / ".upload", place / "home") == []
            assert os.listdir(place / "secret") == ["a.csv"], "no signal file of root's"
            as_him(lambda: (data / "good.csv").write_text("1\n"))
            run.until(lambda: arrived(server, place, "good.csv"), 40)
            assert arrived(server, place, "good.csv"), run.text()
            assert "ended by itself" not in run.text()
