"""A real child before servers that mean harm: it is never held beyond its time limit, never grows, and prints nothing of theirs."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from pysubtask.testing import hostile_ftp_server
from pysubtask.testing.servers.dropbox import DropboxServer, dropbox_server
from pysubtask.testing.servers.hostile_sftp import command
from pysubtask.testing.servers.sshd import missing, openssh_server
from tests.support.helpers import wait_until
from tests.support.station import DropboxStation, SFTPStation, Station

STALL, CONNECT, SLACK, MOST_KB = 2, 6, 5, 100_000
_MOMENT = re.compile(r"([\d-]+ [\d:.]+) \[\S+\]: \w+: (CONNECTED to|CONNECT attempt FAILED|CONNECTION LOST|LOGIN REFUSED|PARKED)")
needs_sshd = pytest.mark.skipif(missing() is not None, reason=str(missing()))

pytestmark = pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="needs /proc")


class MeasuredStation(Station):
    """A station whose child is looked at while a server has it."""

    def begin(self) -> None:
        self.master.start()
        self.write("a.csv", b"x" * 3_000_000)
        self.notify("a.csv")

    def ended(self, count: int) -> list[tuple[float, str]]:
        """When what happened, out of the log, once so many attempts have come to an end."""

        def enough() -> list[tuple[float, str]]:
            self.master.check_pending_notifications()
            found = [(datetime.fromisoformat(at).timestamp(), what) for at, what in _MOMENT.findall(self.log())]
            return found if sum(what != "CONNECTED to" for _, what in found) >= count else []

        self.pid()
        return wait_until(enough, 60, f"{count} attempts that ended")

    def largest_kb(self) -> int:
        """The most memory that the child ever had, in KB."""
        found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{self.pid()}/status").read_text())
        assert found is not None
        return int(found[1])


class Watched(MeasuredStation, SFTPStation):
    """The same with SFTP or FTP."""

    def __init__(self, root: Path, login: dict[str, Any], **base: Any) -> None:
        times = {"StallSecs": STALL, "ConnectTimeoutSecs": CONNECT, "KeepAliveSecs": 1, "KeepAliveCount": 1}
        super().__init__(root, root, {**login, **times}, [{"file": str(root / "data" / "a.csv")}], **base)
        self.begin()


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Any]:
    stations: list[Watched] = []

    def make(login: dict[str, Any], **base: Any) -> Watched:
        stations.append(Watched(tmp_path, login, **base))
        return stations[-1]

    yield make
    for one in stations:
        one.close()


def is_never_held(station: Watched, count: int = 2) -> None:
    """Attempts come to an end in time, by one and the same child, which has not grown."""
    pid = station.pid()
    moments = station.ended(count)
    for (before, started), (at, what) in itertools.pairwise(moments):
        limit = STALL if started == "CONNECTED to" else CONNECT
        assert at - before < limit + SLACK, f"{started} to {what}: {at - before} s"
    assert station.pid() == pid, "the child did not have to replace itself"
    longest = max(at - before for (before, _), (at, _) in itertools.pairwise(moments))
    print(f"held for {longest:.1f} s at most, {station.largest_kb()} KB")
    assert station.largest_kb() < MOST_KB


@pytest.mark.slow
@needs_sshd
@pytest.mark.parametrize("behaviour", ["drip", "silent", "flood", "huge", "large", "nested", "banner", "stderr", "words"])
def test_an_sftp_server_never_holds_the_child(behaviour: str, tmp_path: Path, watched: Any):
    with openssh_server(tmp_path / "sshd", subsystem=command(behaviour)) as server:
        station = watched(
            {key: value for key, value in server.settings(HostPath="deep/er").items() if key != "Concurrency"}, ParkedRetrySecs=1
        )
        is_never_held(station)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("behaviour", "at"),
    [
        ("preliminary", "SIZE"),
        ("lines", "GREETING"),
        ("lines", "STOR END"),
        ("slow-lines", "SIZE"),
        ("drip", "STOR"),
        ("drip", "RNTO"),
        ("line", "FEAT"),
        ("nested", "SIZE"),
        ("silent", "EPSV"),
        ("data-silent", ""),
        ("words", "STOR"),
        ("digits", "SIZE"),
    ],
)
def test_an_ftp_server_never_holds_the_child(behaviour: str, at: str, tmp_path: Path, watched: Any):
    with hostile_ftp_server(behaviour, at) as server:
        login = {"Host": server.host, "HostPort": server.port, "User": "u", "Password": "hunter2-secret", "UseSFTP": False}
        station = watched(login, ParkedRetrySecs=1)
        if behaviour == "digits":
            station.wait_kind("delivered")
            assert station.largest_kb() < MOST_KB
            return
        is_never_held(station)
        everything = b"".join(path.read_bytes() for path in (*tmp_path.rglob("*.txt"), *tmp_path.rglob("*.json*")))
        assert b"hunter2-secret" not in everything


class DropboxWatched(MeasuredStation, DropboxStation):
    """The same with the stand-in for Dropbox."""

    def __init__(self, root: Path, server: DropboxServer) -> None:
        entries = [{"file": str(root / "data" / "a.csv")}]
        settings = server.settings(StallSecs=STALL, ConnectTimeoutSecs=CONNECT)
        super().__init__(root, server.folder, settings, entries, ParkedRetrySecs=1)
        self.begin()


@pytest.mark.slow
@pytest.mark.parametrize("behaviour", ["slow", "head", "endless", "packed", "elsewhere"])
@pytest.mark.parametrize("route", ["oauth2/token", "write"])
def test_dropbox_never_holds_the_child(behaviour: str, route: str, tmp_path: Path):
    with dropbox_server(tmp_path / "dropbox") as server:
        server.drip(route, behaviour)
        station = DropboxWatched(tmp_path, server)
        try:
            # What was written is found there by the next attempt, whatever became of the answer.
            is_never_held(station, 1 if route == "write" else 2)
            texts = [path for path in (*tmp_path.rglob("*.txt"), *tmp_path.rglob("*.json*")) if not path.name.startswith(".")]
            everything = b"".join(path.read_bytes() for path in texts)
            assert server.refresh_token.encode() not in everything
            server.heal()
            station.arrived("a.csv")
        finally:
            station.close()


@pytest.mark.parametrize("form", ["text", "json"])
def test_words_of_a_server_forge_no_line_and_steer_no_terminal(form: str, tmp_path: Path, watched: Any):
    with hostile_ftp_server("words", "STOR") as server:
        station = watched(
            {"Host": server.host, "HostPort": server.port, "User": "u", "Password": "p", "UseSFTP": False}, LogFormat=form
        )
        station.pid()
        station.wait_kind("parked")
        log = station.log()
    assert all(line.isprintable() for line in log.split("\n"))
    assert "forged" in log
    begins = r"\d{4}-\d\d-\d\d [\d:.]+ \[ftp\.FTPSubtask\.\d+\]: " if form == "text" else r"\{"
    assert all(re.match(begins, line) for line in log.split("\n") if line)
