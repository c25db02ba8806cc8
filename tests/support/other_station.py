"""A station whose data is one folder, on servers of several makers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from pysubtask.common.events import read_events
from pysubtask.testing import Relay
from pysubtask.testing.servers import proftpd, pureftpd, sshd, vsftpd
from pysubtask.testing.servers.proftpd import proftpd_server
from pysubtask.testing.servers.pureftpd import pureftpd_server
from pysubtask.testing.servers.sshd import openssh_server
from pysubtask.testing.servers.vsftpd import vsftpd_server
from tests.support.helpers import wait_until
from tests.support.station import SFTPStation

FAST = {
    "RetryWaitSecs": 0.3,
    "RetryLongWaitSecs": 1.5,
    "ParkedRetrySecs": 20,
    "StallSecs": 6,
    "ConnectTimeoutSecs": 10,
    "TimerIntervalSecs": 0.3,
}


MakeStation = Callable[..., "OtherStation"]


class OtherStation(SFTPStation):
    """Its data is one folder, watched with all below it; ``grow.csv`` is appended to."""

    def __init__(self, root: Path, files: Path, ftp: dict[str, Any], **entry: Any) -> None:
        root.mkdir(parents=True, exist_ok=True)
        data = root / "data"
        data.mkdir(exist_ok=True)
        entries: list[dict[str, Any]] = [
            {"file": str(data / "grow.csv"), "append": True},
            {"dir": str(data), "recursive": True, "on_change": True, "settle_secs": 0.3, "exclude": ["grow.csv"], **entry},
        ]
        kept = {key: value for key, value in ftp.items() if key not in {"StallSecs", "ConnectTimeoutSecs", "Concurrency", *FAST}}
        super().__init__(root, files, kept, entries, **FAST)

    def data_files(self) -> dict[str, bytes]:
        """What must stand on the server."""
        found = {}
        for path in self.data.rglob("*"):
            name = str(path.relative_to(self.data))
            if path.is_file() and not name.startswith((".pysubtask/", "upload/", "box/")) and not name.endswith(".notify"):
                found[name] = path.read_bytes()
        return found

    def differs(self) -> list[str]:
        """Names that are not there as they are here."""
        self.master.check_pending_notifications()
        wrong = []
        for name, data in self.data_files().items():
            try:
                if (self.server / name).read_bytes() != data:
                    wrong.append(name)
            except OSError:
                wrong.append(name)
        return sorted(wrong)

    def all_there(self, secs: float = 60, apart_from: tuple[str, ...] = ()) -> None:
        wait_until(lambda: not (set(self.differs()) - set(apart_from)), secs, what="everything on the server")

    def reasons(self, kind: str) -> list[str]:
        found = [event.fields for event in read_events(str(self.state)) if event.kind == kind]
        return [f"{fields.get('name', '')}: {fields.get('reason', '')}" for fields in found]

    def left(self) -> list[str]:
        return [str(path) for path in self.server.rglob("*pysubtask-*")]

    def write_whole(self, name: str, data: bytes) -> None:
        """As programs do that publish by a rename."""
        part = self.data / f".{name}.new"
        part.write_bytes(data)
        part.rename(self.data / name)

    def grow(self, data: bytes) -> None:
        with open(self.data / "grow.csv", "ab") as file:
            file.write(data)
        self.notify("grow.csv")


@pytest.fixture
def station(tmp_path: Path) -> Iterator[MakeStation]:
    stations: list[OtherStation] = []

    def make(files: Path, ftp: dict[str, Any], **entry: Any) -> OtherStation:
        stations.append(OtherStation(tmp_path / f"home{len(stations)}", files, ftp, **entry))
        return stations[-1]

    yield make
    for one in stations:
        one.close()


class Kind(NamedTuple):
    """A server, how it is started, and why it cannot be."""

    make: Callable[[Path], Any]
    missing: str | None


KINDS = {
    "openssh": Kind(openssh_server, sshd.missing()),
    "vsftpd": Kind(vsftpd_server, vsftpd.missing()),
    "vsftpd without SIZE": Kind(lambda root: vsftpd_server(root, cmds_denied="SIZE"), vsftpd.missing()),
    "proftpd": Kind(proftpd_server, proftpd.missing()),
    "proftpd without SIZE, MLST": Kind(
        lambda root: proftpd_server(root, lines=("<Limit SIZE MLST MLSD>", "DenyAll", "</Limit>")), proftpd.missing()
    ),
    "pure-ftpd": Kind(pureftpd_server, pureftpd.missing()),
}


def kinds(*names: str) -> Any:
    skips = {name: pytest.mark.skipif(KINDS[name].missing is not None, reason=str(KINDS[name].missing)) for name in names}
    return pytest.mark.parametrize("make", [pytest.param(KINDS[name].make, id=name, marks=skips[name]) for name in names])


def through(relay: Relay, settings: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The way through a relay; a host key is that of the server behind it."""
    found = {**settings, "Host": relay.host, "HostPort": relay.port}
    if found.get("KnownHostsFile"):
        known = folder / f"known_hosts-{relay.port}"
        known.write_text(Path(found["KnownHostsFile"]).read_text().replace(f":{settings['HostPort']} ", f":{relay.port} "))
        found["KnownHostsFile"] = str(known)
    return found
