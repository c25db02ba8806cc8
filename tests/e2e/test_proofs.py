"""What a second user on the machine tries against a task, from outside: by the command alone, with a canary that must not leak.

Each was a hole once. ``his``: a folder of that user, which root's task watches. ``drop``: one of root's that all may
write.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pysubtask.testing import ftp_server
from pysubtask.testing.servers.ftp import FTPServer
from tests.support.helpers import wait_until
from tests.support.other_user import HIM, as_him, give_him, needs_root, open_folder
from tests.support.second_user import CANARY, OTHER, PRIVATE, ROOT, SHARED_GROUP, Run, arrived, as_other, config, leaked, refused_or

pytestmark = needs_root
_OLD = time.mktime((2026, 11, 2, 12, 0, 0, 0, 0, -1))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FTPServer]:
    with ftp_server(tmp_path_factory.mktemp("ftp")) as ftpd:
        yield ftpd


@pytest.fixture
def place() -> Iterator[Path]:
    with open_folder() as folder:
        for name in ("data", "roots"):
            (folder / name).mkdir(mode=0o755)
        (folder / "secret.txt").write_text(CANARY)
        (folder / "secret.txt").chmod(0o600)
        yield folder


@pytest.fixture(params=["his", "drop"])
def data(request: pytest.FixtureRequest, place: Path) -> Path:
    if request.param == "his":
        give_him(place / "data")
    else:
        (place / "data").chmod(0o1777)
    return place / "data"


# ---- root's task


@pytest.mark.slow
def test_a_residual_list_in_a_users_state_folder_reads_nothing(place: Path, data: Path, server: FTPServer):
    planted = data / ".pysubtask" / "main" / "ftp"

    def plant() -> None:
        planted.mkdir(parents=True)
        (planted / "residual.json").write_text(json.dumps([str(place / "secret.txt")]))
        (data / "honest.csv").write_text("1\n")

    as_him(plant)
    with Run(place, config(place, server)) as run:
        run.until(lambda: leaked(CANARY, data, server.files), 4)
        assert leaked(CANARY, data, server.files) == []
        assert refused_or(run, arrived(server, place, "honest.csv")), run.text()


@pytest.mark.slow
def test_a_named_file_that_he_makes_a_link_is_not_read(place: Path, data: Path, server: FTPServer):
    def plant() -> None:
        (data / "today.csv").symlink_to(place / "secret.txt")
        (data / "today.csv.notify").touch()

    as_him(plant)
    with Run(place, config(place, server, watch='file = "data/today.csv"')) as run:
        run.until(lambda: leaked(CANARY, data, server.files), 4)
        assert leaked(CANARY, data, server.files) == []
        assert run.process.poll() in (None, 2), run.text()


@pytest.mark.slow
def test_the_archive_leads_nowhere(place: Path, data: Path, server: FTPServer):
    def plant() -> None:
        (data / "evil.sh").write_text("id\n")
        os.utime(data / "evil.sh", (_OLD, _OLD))
        day = data / "archive" / time.strftime("%Y%m", time.localtime(_OLD))
        day.mkdir(parents=True)
        (day / time.strftime("%d", time.localtime(_OLD))).symlink_to(place / "roots")

    as_him(plant)
    path = config(place, server, watch='file = "data/today.csv"', base='ArchiveToFolder = "archive"')
    with Run(place, path) as run:
        run.until(lambda: os.listdir(place / "roots"), 4)
        assert os.listdir(place / "roots") == [], run.text()


@pytest.mark.slow
def test_a_heartbeat_overwrites_nothing(place: Path, data: Path, server: FTPServer):
    (place / "precious").write_text("precious\n")

    def plant() -> None:
        for name in (".st7.heartbeat.part", "st7.heartbeat", ".st7.heartbeat.json.part", "st7.heartbeat.json"):
            (data / name).symlink_to(place / "precious")

    as_him(plant)
    path = config(place, server, base='HeartbeatIntervalSecs = 0.5\nHeartbeatName = "st7"\nHeartbeatStatus = true')
    with Run(place, path) as run:
        run.until(lambda: (place / "precious").read_text() != "precious\n", 4)
        assert (place / "precious").read_text() == "precious\n", run.text()


@pytest.mark.slow
def test_a_query_of_his_task_is_not_held_up(place: Path):
    """A fifo, and a file without end, in the place of what is looked at."""
    give_him(place / "data")
    state = place / "data" / ".pysubtask" / "main" / "ftp"

    def plant() -> None:
        state.mkdir(parents=True)
        for name in ("status.json", "settings.json", "lock", "handled.json", "residual.json", "events.jsonl", "receipts.jsonl"):
            os.mkfifo(state / name)
        endless = place / "data" / ".pysubtask" / "main" / "dropbox"
        endless.mkdir()
        for name in ("status.json", "settings.json", "lock", "events.jsonl"):
            (endless / name).symlink_to("/dev/zero")

    as_him(plant)
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "HOME": str(place), "PYSUBTASK_REGISTRY": str(place / "registry")}
    for words in (
        ["status", str(place / "data")],
        ["events", "-t", str(place / "data")],
        ["receipts", "-t", str(place / "data")],
        ["queue", "-t", str(place / "data")],
    ):
        limited = ["sh", "-c", 'ulimit -v 4000000; exec "$@"', "sh", sys.executable, "-m", "pysubtask", *words]
        done = subprocess.run(limited, cwd=place, env=environ, capture_output=True, text=True, timeout=40)
        assert "There is no task" not in done.stderr
        assert "Traceback" not in done.stderr and "MemoryError" not in done.stderr, (words, done.stderr)


# ---- an ordinary user's task in a folder that another one may write


def shared(place: Path, mode: int) -> Path:
    folder = place / "data"
    os.chown(folder, 0, SHARED_GROUP)
    folder.chmod(mode)
    bob = place / "bob"
    bob.mkdir(mode=0o700)
    (bob / ".bashrc").write_text("# bob's\n")
    (bob / "private.txt").write_text(PRIVATE)
    give_him(bob)
    return folder


@pytest.mark.slow
def test_a_state_folder_that_another_user_created_is_not_written(place: Path, server: FTPServer):
    data = shared(place, 0o1777)
    bashrc = place / "bob" / ".bashrc"

    def first() -> None:
        os.umask(0)
        (data / ".pysubtask" / "main").mkdir(parents=True)
        (data / "first.csv").write_text("1\n")

    def swap() -> None:
        os.umask(0)
        state = data / ".pysubtask" / "main" / "ftp"
        if state.is_dir():
            state.rename(state.with_name("was"))
        state.mkdir()
        (state / "events.jsonl").symlink_to(bashrc)
        (data / "$(id>pwned)").write_text("hi\n")

    as_other(first)
    with Run(place, config(place, server), of_him=True) as run:
        run.until(lambda: arrived(server, place, "first.csv"), 15)
        as_other(swap)
        run.until(lambda: bashrc.read_text() != "# bob's\n" or arrived(server, place, "$(id>pwned)"), 15)
        run.until(lambda: bashrc.read_text() != "# bob's\n", 2)
        assert bashrc.read_text() == "# bob's\n"
        assert refused_or(run, arrived(server, place, "$(id>pwned)")), run.text()


@pytest.mark.slow
def test_nor_one_that_was_put_in_the_place_of_ours(place: Path, server: FTPServer):
    data = shared(place, 0o2775)
    with Run(place, config(place, server), of_him=True) as run:
        as_other(lambda: (data / "first.csv").write_text("1\n"))
        run.until(lambda: arrived(server, place, "first.csv") or "may be written by" in run.text(), 30)

        def swap() -> None:
            os.umask(0)
            if (data / ".pysubtask").is_dir():
                (data / ".pysubtask").rename(data / ".was")
            state = data / ".pysubtask" / "main" / "ftp"
            state.mkdir(parents=True)
            (state / "events.jsonl").symlink_to(place / "bob" / ".bashrc")
            (data / "$(id>pwned)").write_text("hi\n")

        as_other(swap)
        bashrc = place / "bob" / ".bashrc"
        run.until(lambda: bashrc.read_text() != "# bob's\n", 4)
        assert bashrc.read_text() == "# bob's\n", run.text()


@pytest.mark.slow
def test_a_copy_that_waits_is_not_exchanged_for_a_link(place: Path, tmp_path: Path):
    """The server is busy for a while; the snapshot becomes a link to a private file of the task's user."""
    data = shared(place, 0o2775)

    def first() -> None:
        os.umask(0)
        (data / ".upload" / "ftp").mkdir(parents=True)

    def exchange() -> None:
        for path in (data / ".upload" / "ftp").iterdir():
            if path.is_file():
                path.unlink()
                path.symlink_to(place / "bob" / "private.txt")

    as_other(first)
    busy = ftp_server(tmp_path / "ftp", busy_logins=tuple(range(1, 13)))
    with busy as server, Run(place, config(place, server), of_him=True) as run:
        as_other(lambda: (data / "today.csv").write_text("x" * len(PRIVATE)))
        run.until(lambda: any((data / ".upload" / "ftp").iterdir()) or refused_or(run, False), 10)
        as_other(exchange)
        run.until(lambda: arrived(server, place, "today.csv") or refused_or(run, False), 20)
        run.until(lambda: leaked(PRIVATE, server.files), 0.5)
        assert leaked(PRIVATE, server.files) == [], run.text()


@pytest.mark.slow  # what would leak is sent slowly
def test_nor_is_a_file_that_is_sent_without_a_copy(place: Path, tmp_path: Path):
    """BakToFolder none: between its digest and its sending it becomes a link to a private file of the same size."""
    data = shared(place, 0o2775)
    private = place / "bob" / "private.txt"
    private.write_text(PRIVATE * 40_000)
    os.chown(private, HIM, HIM)
    private.chmod(0o600)

    def exchange() -> None:
        (data / "today.csv").unlink()
        (data / "today.csv").symlink_to(private)

    busy = ftp_server(tmp_path / "ftp", busy_logins=tuple(range(1, 13)))
    # Slowly, so that what arrives is seen also where it is removed again.
    base = 'BakToFolder = "none"\nRateLimit = "200k"'
    with busy as server:
        path = config(place, server, base=base)
        path.write_text(path.read_text().replace("[ftp]\n", '[ftp]\nBakToFolder = "none"\n'))
        with Run(place, path, of_him=True) as run:
            as_other(lambda: (data / "today.csv").write_text("x" * len(PRIVATE) * 40_000))
            run.until(lambda: "421" in run.text() or refused_or(run, False), 10)
            run.until(lambda: False, 1)
            as_other(exchange)
            run.until(lambda: leaked(PRIVATE, server.files) or refused_or(run, False), 4)
            assert leaked(PRIVATE, server.files) == [], run.text()
            assert run.process.poll() is None or refused_or(run, False), run.text()


@pytest.mark.slow
def test_copies_of_private_files_are_private(place: Path, tmp_path: Path):
    bob = place / "bob"
    bob.mkdir(mode=0o755)
    (bob / "data").mkdir(mode=0o755)
    give_him(bob)

    def write() -> None:
        os.umask(0o022)
        (bob / "data" / "diary.csv").write_text(PRIVATE)
        (bob / "data" / "diary.csv").chmod(0o600)

    as_him(write)

    def read_by_another() -> list[str]:
        found: list[str] = []
        for path in bob.rglob("*"):
            if path.is_file() and path.name != "diary.csv":
                done = subprocess.run(
                    ["cat", str(path)], user=OTHER, group=OTHER, extra_groups=[], capture_output=True, check=False
                )
                found += [str(path)] if PRIVATE.encode() in done.stdout else []
        return found

    with ftp_server(tmp_path / "ftp") as server:
        path = config(place, server, watch='dir = "bob/data"\nsettle_secs = 0.1')
        server.close()
        umask = os.umask(0o022)
        try:
            with Run(place, path, of_him=True) as run:
                copies = (bob / "data" / ".upload", place / "home")
                wait_until(lambda: leaked(PRIVATE, *copies), 30, "a copy that waits")
                assert read_by_another() == [], run.text()
        finally:
            os.umask(umask)
