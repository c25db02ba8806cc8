"""Three stations as services of one user, from one config folder: as their administrator installs, sees, checks, steers and removes
them as root. What systemd would do with the units is done here by hand: start what ExecStart says, with the unit's user, state
folder, credentials and notify socket. ``pytest -s`` shows what was typed and what came of it."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from pysubtask.common import registry
from pysubtask.control.run import unit_files, unit_install
from pysubtask.control.run.systemd_unit import unquoted
from pysubtask.testing import ftp_server
from pysubtask.testing.servers.ftp import FTPServer
from tests.support.cli import command
from tests.support.helpers import wait_until
from tests.support.other_user import HIM, as_him, give_him, his_python, needs_root, open_folder

pytestmark = [needs_root, pytest.mark.slow]
STATIONS = ("cellar", "gate", "roof")
OPS = 23456


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FTPServer]:
    with ftp_server(tmp_path_factory.mktemp("ftp")) as ftpd:
        yield ftpd


def typed(*words: str) -> SimpleNamespace:
    """A command of root's, printed."""
    done = command(*words)
    print(f"root# pysubtask {shlex.join(words)}\n{done.stdout}{done.stderr}[exit status {done.returncode}]\n")
    return done


class Unit:
    """What systemd does with a unit."""

    def __init__(self, path: Path, top: Path) -> None:
        self.name, self._top = path.stem, top
        self._lines = [line for line in path.read_text().splitlines() if "=" in line and not line.startswith("#")]
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None

    def values(self, key: str) -> list[str]:
        return [line.partition("=")[2] for line in self._lines if line.startswith(f"{key}=")]

    def start(self) -> None:
        state = self._top / "lib" / self.values("StateDirectory")[0]
        state.mkdir(parents=True, exist_ok=True)
        os.chown(state, HIM, HIM)
        state.chmod(int(self.values("StateDirectoryMode")[0], 8))
        assert self.values("User") == [str(HIM)]
        program, environ = his_python()
        keep = {key: environ[key] for key in ("PATH", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE")}
        environ = {
            **keep,
            "LANG": "C.UTF-8",
            "STATE_DIRECTORY": str(state),
            "CREDENTIALS_DIRECTORY": str(self._credentials()),
            "NOTIFY_SOCKET": self._listen(),
            **dict(unquoted(one).split("=", 1) for one in self.values("Environment")),
        }
        # The interpreter of the tests may be closed to him; one of the system's takes its place.
        words = [program, *(unquoted(word) for word in shlex.split(self.values("ExecStart")[0])[1:])]
        with open(self._top / f"{self.name}.journal", "ab") as journal:
            self._process = subprocess.Popen(
                words,
                cwd=state,
                env=environ,
                user=HIM,
                group=HIM,
                extra_groups=[OPS],
                umask=0o077,
                stdin=subprocess.DEVNULL,
                stdout=journal,
                stderr=journal,
            )
        print(f"systemd: {self.name}: {shlex.join(words[1:])} as {HIM}, STATE_DIRECTORY={state}\n")

    def ready(self) -> None:
        assert self._socket is not None
        message = ""
        while "READY=1" not in message:
            assert self._process is not None and self._process.poll() is None, "it has ended"
            self._socket.settimeout(15)
            message = self._socket.recv(4096).decode()
        print(f"systemd: {self.name} said {message.splitlines()}\n")

    def _listen(self) -> str:
        path = self._top / f"{self.name}.socket"
        path.unlink(missing_ok=True)
        self.close()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        os.chown(path, HIM, HIM)
        return str(path)

    def _credentials(self) -> Path:
        folder = self._top / "credentials" / self.name
        folder.mkdir(parents=True, exist_ok=True)
        for line in self.values("LoadCredential"):
            name, _, path = line.partition(":")
            (folder / name).unlink(missing_ok=True)
            (folder / name).write_bytes(Path(path).read_bytes())
            os.chown(folder / name, HIM, HIM)
            (folder / name).chmod(0o400)
        return folder

    def stop(self) -> int:
        """SIGTERM, as 'systemctl stop' gives it."""
        if self._process is None or self._process.poll() is not None:
            return 0
        self._process.send_signal(signal.SIGTERM)
        status = self._process.wait(90)
        print(f"systemd: {self.name} stopped, status {status}\n")
        return status

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()


@pytest.fixture
def place(server: FTPServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """A machine: ``etc`` is the config folder, ``units`` systemd's, ``lib`` where it keeps state, ``srv`` the data of the user."""
    monkeypatch.delenv(registry.VARIABLE, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "root"))
    monkeypatch.setenv("COLUMNS", "120")
    with open_folder() as top:
        for name in ("etc/conf.d", "units", "lib", *(f"srv/{name}" for name in STATIONS)):
            (top / name).mkdir(parents=True)
        give_him(top / "srv")
        monkeypatch.setattr(unit_files, "SYSTEM_UNITS", str(top / "units"))
        monkeypatch.setattr(unit_install, "_systemctl", lambda *words: "")
        monkeypatch.setattr(unit_files, "SYSTEM_STATE", str(top / "lib"))
        monkeypatch.setenv("PYSUBTASK_CONFIG_DIR", str(top / "etc"))
        (top / "etc/password").write_text(f"{server.password}\n")
        (top / "etc/password").chmod(0o600)
        (top / "etc/pysubtask.toml").write_text(
            f'[base]\nTimerIntervalSecs = 0.2\nRetryWaitSecs = 0.3\nRetryCount = 2\nStatusGroup = "{OPS}"\nStopWaitSecs = 5\n'
            f'[ftp]\nHost = "{server.host}"\nHostPort = {server.port}\nUser = "{server.user}"\nUseSFTP = false\n'
            'HostPath = "{task}"\nPasswordFile = "password"\n'
            f'[alerts]\nCommand = "{top}/etc/alert {top}/alerts"\nSettleSecs = 0.2\n'
        )
        (top / "etc/alert").write_text('#!/bin/sh\necho "$ALERT_SUBJECT" >>"$1/log"\n')
        (top / "etc/alert").chmod(0o755)
        (top / "alerts").mkdir()
        give_him(top / "alerts")
        for name in STATIONS:
            (top / f"etc/conf.d/{name}.toml").write_text(
                f'[[watch]]\ndir = "{top}/srv/{name}"\nsettle_secs = 0.1\non_change = true\n'
            )
        for path in (top / "etc").rglob("*.toml"):
            path.chmod(0o644)
        yield top


@pytest.fixture
def units(place: Path) -> Iterator[dict[str, Unit]]:
    found: dict[str, Unit] = {}
    try:
        yield found
    finally:
        for journal in sorted(place.glob("*.journal")):
            print(f"{journal.name}:\n{journal.read_text()}")
        for unit in found.values():
            with contextlib.suppress(ProcessLookupError):
                unit.stop()
            unit.close()


def write(place: Path, name: str, text: str) -> None:
    as_him(lambda: (place / "srv" / name).write_text(text) and None)


def check(level: int, *words: str, state: str = "") -> None:
    """Wait until --check says so, then show it."""

    def is_so() -> bool:
        done = command("status", "--check", *words)
        return done.returncode == level and (not state or f"({state})" in done.stdout)

    try:
        wait_until(is_so, 60, f"{state} {level}")
    finally:
        done = typed("status", "--check", *words)
    assert done.stdout.startswith(f"PYSUBTASK {('OK', 'WARNING', 'CRITICAL', 'UNKNOWN')[level]} - "), done.stdout


def alerted(place: Path, words: str) -> None:
    """Wait until the administrator got this alert."""
    log = place / "alerts/log"
    wait_until(lambda: any(words in line for line in log.read_text().splitlines()), 60, f"an alert: {words}")
    print(f"alert: {words}\n")


def pid_of(name: str) -> int:
    import json

    (found,) = json.loads(command("status", "--json", name).stdout)["tasks"]
    return int(found["pid"] or 0)


def test_three_stations_from_the_first_install_to_the_last_trace(place: Path, units: dict[str, Unit], server: FTPServer):
    # Root sees the tasks of every user, those of other tests too: these are meant by their config.
    config = str(place / "etc")
    # -- installed
    assert typed("check", "-a").returncode == 0
    for name in STATIONS:
        assert typed("service", "--install", "--name", name, "-t", name).returncode == 0
        units[name] = Unit(place / f"units/{name}.service", place)
    check(3, "roof")
    for unit in units.values():
        unit.start()
    for unit in units.values():
        unit.ready()

    # -- seen
    for name in STATIONS:
        write(place, f"{name}/now.csv", f"{name} 1\n")
    for name in STATIONS:
        wait_until(lambda name=name: (server.files / name / "now.csv").exists(), 60, f"{name} on the server")
    check(0, config)
    seen = typed("status")
    assert seen.returncode == 0 and all(f"{HIM}:{name}/ftp" in seen.stdout for name in STATIONS)
    assert typed("receipts", "-t", "gate").stdout.count("now.csv") >= 1
    for word in (str(place / "etc"), str(place / "srv/gate"), str(place / "etc/conf.d/gate.toml"), f"{HIM}:gate", "gate/ftp"):
        assert "gate/ftp" in typed("status", word).stdout, word
    assert typed("status", str(place / "etc")).stdout.count("/ftp ") >= 3

    # -- checked: what is no more than a warning
    check(0, "roof", state="")
    typed("pause", "-t", "roof")
    check(1, "roof", state="paused")
    typed("resume", "-t", "roof")
    (server.files / "roof" / "bad.csv" / "full").mkdir(parents=True)
    write(place, "roof/bad.csv", "x\n")
    check(1, "roof", state="parked")
    alerted(place, "roof/ftp: parked")
    assert "bad.csv" in typed("queue", "-t", "roof").stdout
    assert typed("drop", "-t", "roof", "bad.csv").returncode == 0
    write(place, "roof/closed.csv", "x\n")
    wait_until(lambda: (server.files / "roof" / "closed.csv").exists(), 60, "closed.csv on the server")
    (place / "srv/roof/closed.csv").chmod(0)
    os.utime(place / "srv/roof/closed.csv", (1e9, 1e9))
    check(1, "roof", state="unreadable")
    (place / "srv/roof/closed.csv").chmod(0o644)
    check(0, "roof")

    # -- and what is critical
    typed("set", "-t", "gate", f"MinFreeBytes={10**15}")
    write(place, "gate/more.csv", "x\n")
    check(2, "gate", state="disk low")
    alerted(place, "gate/ftp: disk low")
    typed("set", "-t", "gate", "MinFreeBytes=0")
    check(0, "gate")
    os.kill(pid_of("gate"), signal.SIGSTOP)
    check(2, "gate", state="frozen")
    os.kill(pid_of("gate"), signal.SIGCONT)
    check(0, "gate")
    typed("pause", "-t", "gate")
    write(place, "gate/late.csv", "x\n")
    time.sleep(1.2)
    check(2, "gate", "--max-age", "1s", state="paused")
    check(1, "gate", "--max-age", "1h", state="paused")
    typed("resume", "-t", "gate")
    check(0, config)

    # -- stopped and started, while its service goes on
    assert typed("stop", "-t", "cellar").returncode == 0
    check(1, "cellar", state="stopped")
    assert typed("start", "-t", "cellar").returncode == 0
    check(0, "cellar")
    assert typed("reload", "-t", "cellar").returncode == 0

    # -- a password that was changed on the server, and one that was mended
    (place / "etc/password").write_text("wrong\n")
    assert units["gate"].stop() == 0
    units["gate"].start()
    write(place, "gate/held.csv", "x\n")
    check(2, "gate", state="held")
    alerted(place, "gate/ftp: held")
    (place / "etc/password").write_text(f"{server.password}\n")
    assert units["gate"].stop() == 0
    units["gate"].start()
    check(0, "gate")
    alerted(place, "gate/ftp: no longer held")

    # -- a link that is down, and a service that was killed with all its children
    main = place / "etc/pysubtask.toml"
    text = main.read_text()
    main.write_text(text.replace(f"HostPort = {server.port}", "HostPort = 1"))
    units["cellar"].stop()
    units["cellar"].start()
    write(place, "cellar/down.csv", "x\n")
    check(1, "cellar", state="waiting")
    check(0, "cellar", "--max-age", "1h")
    main.write_text(text)
    pid = pid_of("roof")
    units["roof"].kill()
    os.kill(pid, signal.SIGKILL)
    check(2, "roof", state="dead")
    units["roof"].start()
    check(0, "roof")

    # -- a folder that is not there
    assert units["gate"].stop() == 0
    (place / "srv/gate").rename(place / "srv/away")
    units["gate"].start()
    check(2, "gate", state="missing")
    (place / "srv/away").rename(place / "srv/gate")
    check(0, "gate")
    check(3, "attic")

    # -- removed
    refused = typed("purge", "roof", "--yes")
    assert refused.returncode == 1 and "Nothing of it was removed" in refused.stderr
    for unit in units.values():
        assert unit.stop() == 0
    kept = typed("purge", str(place / "etc"), "--yes")
    assert kept.returncode == 1 and "not delivered, so it stays" in kept.stderr, "cellar has down.csv in its queue"
    assert typed("purge", "cellar", "--yes", "--with-queue").returncode == 0
    assert typed("status", config).returncode == 3
    assert str(place) not in typed("status").stdout
    for name in STATIONS:
        done = typed("service", "--uninstall", "--name", name)
        assert done.returncode == 0 and f"Stays: {place}/srv/{name}" in done.stdout and f"Stays: {place}/lib/{name}" in done.stdout
    assert typed("service", "--uninstall", "--name", "roof").returncode == 1
    assert list((place / "units").iterdir()) == []
    for name in STATIONS:
        found = sorted(path.name for path in (place / "srv" / name).iterdir())
        print(f"root# ls -A {place}/srv/{name}\n{' '.join(found)}\n")
        assert (place / "srv" / name / "now.csv").read_text() == f"{name} 1\n"
        assert all(one.endswith(".csv") for one in found), found
    for path in (place / "srv").rglob("*"):
        assert path.stat().st_uid == HIM
    secret = server.password.encode()
    for path in (*place.rglob("*.journal"), *(place / "lib").rglob("*")):
        assert not path.is_file() or secret not in path.read_bytes(), path
