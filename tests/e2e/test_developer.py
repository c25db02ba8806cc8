"""An app as a Python developer writes it, with a real child and a real server."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
import re
import subprocess
import sys
import time
import typing
from pathlib import Path
from typing import Any

import pytest

from pysubtask import Config, StatusPage, TaskMaster, WatchEntry
from pysubtask.common.page_types import EventFields
from pysubtask.testing import SFTPServer
from tests.support import pages
from tests.support.helpers import wait_until
from tests.test_api import fits

pytestmark = pytest.mark.slow


def config_of(server: SFTPServer, **base: Any) -> Config:
    return {"ftp": server.section(), "base": {"TimerIntervalSecs": 0.2, "MinFreeBytes": 0, **base}}  # type: ignore[typeddict-item]


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    monkeypatch.chdir(tmp_path)
    return folder


def append(path: Path, line: str) -> None:
    with open(path, "a") as file:
        file.write(line + "\n")


def test_ten_hertz_in_the_apps_own_logging(
    data: Path, sftp_server: SFTPServer, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
):
    path = data / "a.csv"
    heard: list[str] = []
    files: list[WatchEntry] = [{"file": path, "append": True}]
    with caplog.at_level(logging.DEBUG), TaskMaster(files, config_of(sftp_server), Logger="pysubtask") as app:
        app.on_event(lambda one: heard.append(one.event.kind))
        for number in range(60):
            append(path, str(number))
            assert app.notify_file_by_index(0)
            app.check_pending_notifications()
            time.sleep(0.1)
        assert app.wait_delivered(path, 60)
        app.check_pending_notifications()
    lines = [(one.name, one.levelname, one.getMessage()) for one in caplog.records if one.name.startswith("pysubtask")]
    each = [line for line in lines if line[2].startswith(("Uploaded", "Copying", "[a.csv] unchanged"))]
    assert len(each) <= 3, "the first, and what came after a pause of a busy machine"
    assert not [line for line in each if "Copying" in line[2]]
    assert ("pysubtask.ftp", "INFO", f"CONNECTED to {app.status().children[0].page['destination']}") in lines  # type: ignore[index]
    assert lines[0] == ("pysubtask.master", "INFO", "START!") and lines[-1][2].startswith("***** GOODBYE!")
    summed = sum(int(found[1]) for line in lines if (found := re.match(r"\[(\d+)\] more lines .*: Uploaded", line[2])))
    assert summed + sum("Uploaded" in line[2] for line in each) == heard.count("delivered")
    assert Path(sftp_server.root, "a.csv").read_text() == path.read_text()
    assert capfd.readouterr().err == "" and not Path("logs").exists()


def test_a_refused_login_comes_to_the_apps_logging_as_an_error(
    data: Path, sftp_server: SFTPServer, caplog: pytest.LogCaptureFixture
):
    path = data / "a.csv"
    path.write_text("1\n")
    config = config_of(sftp_server)
    config["ftp"]["User"] = "nobody-here"  # type: ignore[index]
    with caplog.at_level(logging.INFO), TaskMaster([{"file": path}], config, Logger=logging.getLogger("station.upload")) as app:
        app.notify_file_by_index(0)

        def refused() -> bool:
            app.check_pending_notifications()
            return any(
                one.name == "station.upload.ftp" and one.levelname == "ERROR" and "LOGIN REFUSED!" in one.getMessage()
                for one in caplog.records
            )

        wait_until(refused)
        why = wait_until(lambda: found if "refused" in (found := app.status().why) else "")
        status_output = subprocess.run(
            [sys.executable, "-m", "pysubtask", "status", "--json", str(data)], capture_output=True, text=True, timeout=60
        ).stdout
        assert "so everything is held and nothing is lost" in why
        assert re.sub(r"\d+ s", "N s", why).partition(", next try")[0] in re.sub(r"\d+ s", "N s", status_output)
        app.stop()


def test_a_status_after_a_delivery_has_it(data: Path, sftp_server: SFTPServer):
    path = data / "a.csv"
    with TaskMaster([{"file": path}], config_of(sftp_server), Logger="x") as app:
        for number in range(1, 21):
            append(path, str(number))
            app.notify_file(path)
            assert app.wait_delivered(path, 60)
            status = app.status()
            page = status.children[0].page
            assert page is not None
            assert (page["delivered"], page["state"]) == (number, "connected")
            assert page["last_delivery"]["size"] == path.stat().st_size and page["moving"] == []
            assert status.why == status.children[0].why == "Nothing to send."
            queue = page["queue"]
            assert (queue["waiting"], queue["sending"], queue["parked"]) == (0, 0, 0)


def test_what_a_child_writes_is_of_its_types(data: Path, sftp_server: SFTPServer):
    box = data / "box"
    box.mkdir()
    Path(sftp_server.root, "refused.bin", "in_it").mkdir(parents=True)
    files: Any = [{"dir": box, "settle_secs": 0.1}]
    page_types, event_types = typing.get_type_hints(StatusPage), typing.get_type_hints(EventFields)
    with TaskMaster(files, config_of(sftp_server, RetryCount=1, HeartbeatIntervalSecs=1), Logger="x") as app:
        (box / "big.bin").write_bytes(os.urandom(3_000_000))
        (box / "refused.bin").write_bytes(b"x" * 100)
        app.set(RateLimit=1_000_000)

        def parked() -> bool:
            found = app.status().children[0].page or {}
            assert {key: value for key, value in found.items() if not fits(value, page_types[key])} == {}
            return bool(found.get("parked")) and found.get("delivered", 0) > 0  # type: ignore[operator]

        wait_until(parked)
        app.pause("nothing-of-that-name")
        app.pause()
        wait_until(lambda: any(one.event.kind == "paused" for one in app.events()[0]))
        for one in app.events()[0]:
            wrong = {key: value for key, value in one.event.fields.items() if not fits(value, event_types[key])}
            assert wrong == {}, one


def test_two_masters_of_one_app_and_two_of_one_task(data: Path, sftp_server: SFTPServer, caplog: pytest.LogCaptureFixture):
    other = data.parent / "other"
    other.mkdir()
    paths = [data / "a.csv", other / "b.csv"]
    masters = [TaskMaster([{"file": path}], config_of(sftp_server), Logger=path.stem) for path in paths]
    with caplog.at_level(logging.INFO), masters[0], masters[1]:
        for path, master in zip(paths, masters, strict=True):
            path.write_text("1\n")
            master.notify_file_by_index(0)
        assert all(master.wait_delivered(path, 60) for path, master in zip(paths, masters, strict=True))
        twin = TaskMaster([{"file": paths[0]}], config_of(sftp_server), Logger="twin")
        with twin:
            wait_until(lambda: twin.status().children[0].last_exit)
            append(paths[0], "2")
            twin.notify_file_by_index(0)
            assert twin.wait_delivered(paths[0], 60), "the first master's child sends it"
            assert "exit status 3" in str(twin.status().children[0].last_exit)
        masters[0].check_pending_notifications()
    hello = [one.name for one in caplog.records if "HELLO!" in one.getMessage()]
    assert sorted(set(hello)) == ["a.ftp", "b.ftp"]


def test_asyncio(data: Path, sftp_server: SFTPServer):
    path = data / "a.csv"

    async def app() -> bool:
        with TaskMaster([{"file": path}], config_of(sftp_server), Logger="x") as master:
            for number in range(20):
                append(path, str(number))
                master.notify_file_by_index(0)
                master.check_pending_notifications()
                await asyncio.sleep(0.02)
            return await asyncio.to_thread(master.wait_delivered, path, 60)

    assert asyncio.run(app())
    assert Path(sftp_server.root, "a.csv").read_text() == path.read_text()


CELLS = [
    "import pysubtask, pathlib\ndata = pathlib.Path('data/a.csv')",
    "master = pysubtask.TaskMaster([{'file': data}], CONFIG, Logger='pysubtask')\nmaster.start()",
    "data.open('a').write('line\\n')\nmaster.notify_file(data)",
    "assert master.wait_delivered(data, 60)\nprint(master.status().why)",
]
"""Of a notebook."""


def test_cells_of_a_notebook_run_twice(data: Path, sftp_server: SFTPServer):
    cells = [cell.replace("CONFIG", repr(dict(config_of(sftp_server)))) for cell in CELLS]
    code = f"names = {{}}\nfor cell in {cells * 2!r}:\n    exec(cell, names)\nnames['master'].stop()\n"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=180)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == ["Nothing to send."] * 2
    assert Path(sftp_server.root, "a.csv").read_text() == "line\nline\n"


def test_a_forked_copy_may_notify(data: Path, sftp_server: SFTPServer):
    path = data / "a.csv"
    with TaskMaster([{"file": path}], config_of(sftp_server), Logger="x") as master:
        path.write_text("1\n")
        process = multiprocessing.get_context("fork").Process(target=lambda: os._exit(0 if master.notify_file(path) else 1))
        process.start()
        process.join(60)
        assert process.exitcode == 0 and master.wait_delivered(path, 60)


# ---- tests of an app


def blocks() -> list[str]:
    section = pages.read("api.md").split("\n## Testing an app\n", 1)[1]
    return re.findall(r"^```python\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)


def test_the_pages_example_runs_and_leaves_no_record_of_a_task(tmp_path: Path):
    conftest, test = blocks()
    (tmp_path / "conftest.py").write_text(conftest)
    (tmp_path / "test_app.py").write_text(test)
    home = tmp_path / "home"
    home.mkdir()
    env = {key: value for key, value in os.environ.items() if not key.startswith(("PYSUBTASK", "XDG_", "PYTEST"))}
    env |= {"HOME": str(home), "PYTHONPATH": str(pages.ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0 and "1 passed" in done.stdout, done.stdout + done.stderr
    assert [path for path in home.rglob("*") if "pysubtask" in path.name] == []
    status_run = subprocess.run([sys.executable, "-m", "pysubtask", "status"], env=env, capture_output=True, text=True, timeout=60)
    # Root sees the tasks of other users, too.
    assert str(tmp_path) not in status_run.stdout and (
        "No task is known here" in status_run.stdout + status_run.stderr or os.geteuid() == 0
    )
