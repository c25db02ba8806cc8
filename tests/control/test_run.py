"""``pysubtask run`` with a real sshd: from nothing to a verified upload, stops, reloads, a second runner, the service manager."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pysubtask.testing.servers.sshd import OpenSSHServer, missing, openssh_server
from tests.support.helpers import wait_until
from tests.support.run_station import HUP, INT, TERM, Run, child, command, login, receipts, setting, state_dir
from tests.support.service_manager import Manager

pytestmark = pytest.mark.skipif(missing() is not None, reason=str(missing()))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenSSHServer]:
    with openssh_server(tmp_path_factory.mktemp("sshd")) as sshd:
        yield sshd


class Station:
    """A folder with a config of one task or two; runs are ended with it."""

    def __init__(self, folder: Path, server: OpenSSHServer) -> None:
        self.folder, self.server = folder, server
        self.data = folder / "data"
        self.remote = server.files / folder.name
        self.config = folder / "station.toml"
        self.runs: list[Run] = []
        for name in ("data", "roof"):
            (folder / name).mkdir()

    def write(self, base: str = "", *, ftp: str = "", more: str = "") -> None:
        self.config.write_text(
            f"[base]\nRetryWaitSecs = 0.2\n{base}\n[ftp]\n{login(self.server, self.folder.name)}{ftp}\n"
            f'[tasks.main]\nwatch = [{{ dir = "data", settle_secs = 0.1 }}]\n{more}'
        )
        self.config.chmod(0o600)

    def run(self, *words: str, **environ: str) -> Run:
        one = Run(self.folder, self.config, *words, **environ)
        self.runs.append(one)
        return one

    def delivers(self, name: str, text: str = "1\n") -> None:
        (self.data / name).write_text(text)
        remote = self.remote / name
        wait_until(lambda: remote.exists() and remote.read_text() == text, 60, f"{name} on the server")
        wait_until(lambda: any(found.name == name for found in receipts(self.data)), 60, "its receipt")


@pytest.fixture
def station(tmp_path: Path, server: OpenSSHServer) -> Iterator[Station]:
    one = Station(tmp_path, server)
    yield one
    for run in one.runs:
        run.end()


@pytest.mark.slow
def test_two_lines_filled_in_lead_to_a_verified_upload(station: Station, server: OpenSSHServer):
    done = command(station.folder, "init")
    path = station.folder / "etc" / "pysubtask.toml"
    assert done.returncode == 0 and str(path) in done.stdout and path.stat().st_mode & 0o777 == 0o600
    unfilled = command(station.folder, "check")
    assert unfilled.returncode == 2
    lines = path.read_text().splitlines()
    marked = {f"pysubtask.toml:{number}: " for number, line in enumerate(lines, 1) if "<==" in line and not line.startswith("#")}
    assert len(marked) == 2 and all(marked_line in unfilled.stderr for marked_line in marked)

    path.write_text(
        path.read_text().replace('dir = "" ', f'dir = "{station.data}"', 1).replace('Host = "" ', f'Host = "{server.host}"', 1)
    )
    # What a user's own ssh configuration says at home: where the port, the key and the known hosts are.
    at_home = {
        f"PYSUBTASK_MAIN__FTP__{key.upper()}": value
        for key, value in {
            "HostPort": str(server.port),
            "User": server.user,
            "KeyFile": str(server.key_file),
            "SSHConfigFile": "none",
            "KnownHostsFile": str(server.known_hosts),
            "HostPath": station.folder.name,
        }.items()
    }
    (station.data / "first.csv").write_text("1\n")
    checked = command(station.folder, "check", **at_home)
    assert checked.returncode == 0 and "first.csv" in checked.stdout, checked.stdout + checked.stderr
    assert os.listdir(station.data) == ["first.csv"], "a check changes nothing"

    run = Run(station.folder, None, **at_home)
    station.runs.append(run)
    remote = station.remote / "first.csv"
    wait_until(lambda: remote.exists() and receipts(station.data), 60, "the upload and its receipt")
    receipt = receipts(station.data)[0]
    assert remote.read_text() == "1\n" and receipt.verified in ("size", "hash") and receipt.name == "first.csv"
    run.signal(TERM)
    assert run.status() == 0
    again = command(station.folder, "check", **at_home)
    assert "nothing would be sent" in again.stdout
    refused = command(station.folder, "init")
    assert refused.returncode == 1 and "is there already" in refused.stderr


@pytest.mark.slow
def test_a_stop_delivers_what_is_due_and_a_second_runner_learns(station: Station):
    station.write()
    run = station.run()
    station.delivers("a.csv")
    second = command(station.folder, "run", str(station.config))
    assert second.returncode == 5, second.stderr
    assert f"'main' is run already, by process {run.process.pid}" in second.stderr and "Traceback" not in second.stderr
    # Whatever ends a runner, the next one takes over.
    run.signal(signal.SIGKILL)
    run.status()
    run = station.run()
    (station.data / "b.csv").write_text("2\n")
    run.says("Running: main", 2)
    run.signal(INT)
    assert run.status() == 130, run.text()
    assert (station.remote / "b.csv").read_text() == "2\n"
    assert not list(station.data.glob("*.notify"))


@pytest.mark.slow
def test_an_unusable_folder_keeps_no_other_task_from_running(station: Station):
    (station.folder / "blocked").write_text("a file where a folder should be")
    blocked = '[tasks.cellar]\nwatch = [{ dir = "blocked/data" }]\n'
    station.write(more=blocked)
    run = station.run()
    station.delivers("a.csv")
    assert "cannot keep its state in" in run.text()
    run.signal(TERM)
    assert run.status() == 0
    alone = command(station.folder, "run", str(station.config), "--task", "cellar")
    assert alone.returncode == 1 and "Let this user write there" in alone.stderr and "Traceback" not in alone.stderr


@pytest.mark.slow
def test_a_second_signal_hurries(station: Station):
    station.write("StopWaitSecs = 600\nRateLimit = 2000")
    run = station.run()
    station.delivers("a.csv")
    (station.data / "big.bin").write_bytes(os.urandom(3_000_000))
    part = lambda: [path for path in station.remote.iterdir() if path.name.startswith(".pysubtask")]  # noqa: E731
    wait_until(part, 60, "the big one on its way")
    run.signal(TERM)
    run.says("attempting to stop")
    time.sleep(0.3)
    assert run.process.poll() is None
    run.signal(TERM)
    assert run.status() == 0
    assert "Stopping at once" in run.text() and not (station.remote / "big.bin").exists()


@pytest.mark.slow
def test_a_reload_changes_what_changed_and_only_that(station: Station):
    (station.folder / "roof").mkdir(exist_ok=True)
    roof = '[tasks.roof]\nwatch = [{ dir = "roof" }]\n'
    station.write(more=roof)
    run = station.run()
    station.delivers("a.csv")
    first, other = child(station.data), child(station.folder / "roof", "roof")

    station.write("RateLimit = 50000", more=roof)
    done = run.command("reload")
    assert done.returncode == 0, done.stderr + run.text()
    assert "station: RateLimit = 50000" in done.stdout and "roof: RateLimit = 50000" in done.stdout
    assert setting(station.data, "RateLimit") == 50000
    assert (child(station.data), child(station.folder / "roof", "roof")) == (first, other)

    # A child that dies starts with the new value.
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: child(station.data) != first, 40, "another child")
    wait_until(lambda: setting(station.data, "RateLimit") == 50000, 20, "the new value after a restart")
    second = child(station.data)

    # A broken file changes nothing and says why.
    good = station.config.read_text()
    station.config.write_text(good.replace("RateLimit = 50000", 'RateLimit = "fast"'))
    refused = run.command("reload")
    assert refused.returncode == 1 and "nothing was changed" in refused.stderr
    assert re.search(r"station.toml:3: base.RateLimit: \"fast\" is not a number", refused.stderr)
    assert setting(station.data, "RateLimit") == 50000 and child(station.data) == second
    run.signal(HUP)
    run.says("RELOAD is refused", 2)

    # What a running child cannot take starts that task anew, and no other; one goes, one comes.
    station.write("RateLimit = 50000", more=roof + "base.StallSecs = 50\n")
    assert "roof: started anew (ftp.StallSecs)" in run.command("reload").stdout
    assert child(station.data) == second and child(station.folder / "roof", "roof") != other
    station.write("RateLimit = 50000", more=roof.replace("tasks.roof", "tasks.attic") + "base.StallSecs = 50\n")
    done = run.command("reload").stdout
    assert "attic: started" in done and "roof: stopped" in done and "station: nothing changed" in done
    assert child(station.data) == second
    station.delivers("b.csv")

    # With every child stopped by an order it waits for one to start them again.
    for task in ("main", "attic"):
        assert run.command("stop", "-t", task).returncode == 0
    run.says("Every child was stopped by an order")
    run.signal(TERM)
    assert run.status() == 0
    nobody = run.command("reload")
    assert nobody.returncode == 3 and "nothing to reload" in nobody.stderr


@pytest.mark.slow
@pytest.mark.parametrize("abstract", [False, True], ids=["path", "abstract"])
def test_the_service_manager_is_notified(station: Station, abstract: bool):
    name = f"pysubtask-test-{os.getpid()}"
    manager = Manager(f"\0{name}" if abstract else str(station.folder / "notify"))
    try:
        station.write()
        run = station.run(NOTIFY_SOCKET=f"@{name}" if abstract else str(station.folder / "notify"), WATCHDOG_USEC="600000")
        manager.hears("READY=1")
        manager.hears("WATCHDOG=1")
        station.delivers("a.csv")
        manager.hears("STATUS=station/ftp connected, 0 queued")
        if not abstract:
            # Signs of life come in time, also while a dead child waits for its restart.
            os.kill(child(station.data), signal.SIGKILL)
            at = time.monotonic()
            wait_until(lambda: (manager.listen(), time.monotonic() > at + 1.3)[1], 20)
            pings = [when for when, text in manager.heard if "WATCHDOG=1" in text and when > at]
            assert len(pings) >= 3
            # A loop that stands still gives none.
            run.signal(signal.SIGSTOP)
            manager.listen(0.3)
            before = len(manager.heard)
            manager.listen(0.8)
            assert len(manager.heard) == before
            run.signal(signal.SIGCONT)
            wait_until(lambda: manager.listen() and len(manager.heard) > before, 20)
            run.signal(HUP)
            manager.hears("RELOADING=1")
            manager.hears("MONOTONIC_USEC=")
            wait_until(lambda: manager.listen().count("READY=1") == 2, 40, "READY after the reload")
        # The children do not learn of the manager.
        words = Path(f"/proc/{child(station.data)}/environ").read_bytes()
        assert b"NOTIFY_SOCKET" not in words and b"WATCHDOG" not in words
        run.signal(TERM)
        assert run.status() == 0
        manager.hears("STOPPING=1")
    finally:
        manager.close()


@pytest.mark.slow
def test_no_secret_reaches_the_child_in_sight(station: Station):
    (station.folder / "secret").write_text("hunter-of-files\n")
    (station.folder / "secret").chmod(0o600)
    station.write(ftp='PasswordFile = "secret"\n', more='base.HeartbeatName = "x"\n')
    run = station.run(PYSUBTASK_MAIN__DROPBOX__ACCESSTOKEN="hunter-of-variables", PYSUBTASK_MAIN__DROPBOX__USEDROPBOX="no")
    pid = child(station.data)
    readable = Path(f"/proc/{pid}/environ").read_bytes() + Path(f"/proc/{pid}/cmdline").read_bytes()
    assert b"hunter" not in readable
    assert setting(station.data, "Password") == "********"
    run.signal(TERM)
    assert run.status() == 0
    texts = [path.read_bytes() for path in station.folder.rglob("*") if path.is_file() and path.name != "secret"]
    assert len(texts) > 5 and not any(b"hunter" in text for text in texts)
    assert state_dir(station.data).stat().st_mode & 0o077 == 0


@pytest.mark.slow
def test_a_mistyped_folder_is_named_by_each_command(station: Station):
    """The person wrote cam for camera: nothing hides it, nothing is made, and mending it is enough."""
    (station.folder / "camera").mkdir()
    station.write(more='[tasks.roof]\nwatch = [{ dir = "cam", settle_secs = 0.1 }]\n')
    missing = f"there is no folder {station.folder / 'cam'} (is 'camera' meant?)"
    checked = command(station.folder, "check", str(station.config))
    assert checked.returncode == 0 and f"MISSING {station.folder / 'cam'}: {missing}; the task waits for it" in checked.stdout
    run = station.run()
    station.delivers("a.csv")
    run.says(f"Task [roof] waits: {missing}. It begins by itself when the folder is there. It is not made (MakeFolders).")
    status_run = run.command("status")
    assert "There is no folder" in status_run.stdout and "is 'camera' meant?" in " ".join(status_run.stdout.split()), (
        status_run.stdout
    )
    assert not (station.folder / "cam").exists() and run.text().count("Task [roof] waits") == 1
    (station.folder / "cam").mkdir()
    (station.folder / "cam" / "p.jpg").write_text("1\n")
    remote = station.remote / "p.jpg"
    wait_until(lambda: remote.exists() and remote.read_text() == "1\n", 60, "the picture on the server")
    run.says("is there now: work begins.")
    run.signal(TERM)
    assert run.status() == 0


@pytest.mark.slow
def test_a_run_with_nothing_but_missing_folders_waits(station: Station):
    station.write()
    station.data.rmdir()
    run = station.run()
    run.says("Task [station] waits: there is no folder")
    run.says("Running: no task yet")
    time.sleep(1)
    assert run.process.poll() is None and not station.data.exists()
    station.data.mkdir()
    station.delivers("a.csv")
    # It goes away, as a disk that is pulled, and comes back.
    os.rename(station.data, station.folder / "away")
    run.says("waits: there is no folder", 2)
    assert "There is no folder" in run.command("status").stdout
    assert not station.data.exists()
    os.rename(station.folder / "away", station.data)
    station.delivers("b.csv")
    run.signal(TERM)
    assert run.status() == 0


@pytest.mark.slow
def test_the_config_and_its_key_beside_the_data_never_leave(station: Station, server: OpenSSHServer):
    """The natural layout: everything in one folder, logs too."""
    here = station.data
    for name in ("id_station", "id_station.pub", "id_station~", "station.toml~", "ftp.log.txt.1"):
        (here / name).write_text("PRIVATE")
    (here / "id_station").write_bytes(server.key_file.read_bytes())
    (here / "id_station").chmod(0o600)
    station.config = here / "station.toml"
    text = login(server, station.folder.name).replace(str(server.key_file), "id_station")
    watch = '[[watch]]\ndir = "."\nsettle_secs = 0.1\n'
    station.config.write_text(f'[ftp]\n{text}Subtask_Log_FileName = "{here}/ftp.log.txt"\n{watch}')
    station.config.chmod(0o600)
    run = station.run()
    station.delivers("weather.csv")
    (here / ".station.toml.swp").write_text("PRIVATE")
    (here / "station.toml.notify").write_text("")
    (here / "id_station.notify").write_text("")
    station.delivers("last.csv")
    time.sleep(1)
    assert sorted(path.name for path in station.remote.iterdir()) == ["last.csv", "weather.csv"]
    run.signal(TERM)
    assert run.status() == 0
    assert sorted(path.name for path in station.remote.iterdir()) == ["last.csv", "weather.csv"]
