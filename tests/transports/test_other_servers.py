"""The contract over servers of other makers: ProFTPD, Pure-FTPd and rclone, each over what it speaks."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pysubtask.testing import FTPRelay, Relay
from pysubtask.testing.servers import proftpd, pureftpd, rclone
from pysubtask.testing.servers.proftpd import ProFTPDServer, proftpd_server
from pysubtask.testing.servers.pureftpd import PureFTPdServer, pureftpd_server
from pysubtask.testing.servers.rclone import RcloneServer, rclone_server
from pysubtask.transports.ftp import FTPTransport
from pysubtask.transports.sftp import SFTPTransport
from tests.transports.contract import AppendContract, Site, TransportContract, without
from tests.transports.test_ftp_contract import QuickContract

Server = ProFTPDServer | PureFTPdServer | RcloneServer
NEEDS_A_BROKEN_LINK = (
    "test_a_reader_sees_a_prefix_however_often_it_is_cut",
    "test_a_late_append_does_not_touch_a_newer_version",
    "test_a_late_append_changes_nothing_of_its_successor",
)
"""Cases of appends that wait for time limits, which know no difference between servers."""

BEHIND_ITS_BACK = ("test_stat", "test_remove_names_those_that_were_there", "test_stale_temps_are_gone_before_the_name_changes")
"""Cases that put files into the folder or take them away; rclone remembers for a while what was there."""


def site_of(server: Server, tmp_path: Path, impossible: tuple[str, ...] = ("newline",), *, direct: bool = False) -> Iterator[Site]:
    """A folder of its own below the login's, reached through a relay unless ``direct``."""
    work, name = tmp_path / "work", f"{tmp_path.name} dir"
    work.mkdir()
    folder = server.make_folder(name) if isinstance(server, PureFTPdServer) else server.files / name
    folder.mkdir(exist_ok=True)
    if direct:
        time.sleep(0.25)  # rclone remembers for 0.1 s that there is no such folder
        yield Site(FTPTransport, server.settings(HostPath=name), str(work), str(folder), None, frozenset(impossible))
        return
    with FTPRelay(server.port, server.data_ports) as relay:
        whole = server.settings(Host=relay.host, HostPort=relay.port, HostPath=name)
        yield Site(FTPTransport, whole, str(work), str(folder), relay, frozenset(impossible))


def sftp_site(server: ProFTPDServer | RcloneServer, tmp_path: Path) -> Iterator[Site]:
    work, name = tmp_path / "work", f"{tmp_path.name} dir"
    work.mkdir()
    (server.files / name).mkdir()
    with Relay(server.host, server.port) as relay:
        known = tmp_path / "known_hosts"
        known.write_text(server.known_hosts.read_text().replace(f":{server.port} ", f":{relay.port} "))
        whole = server.settings(HostPort=relay.port, HostPath=name, KnownHostsFile=str(known))
        yield Site(SFTPTransport, whole, str(work), str(server.files / name), relay)


def needs(reason: str | None) -> Any:
    return pytest.mark.skipif(reason is not None, reason=str(reason))


@pytest.fixture(scope="module")
def proftpd_plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProFTPDServer]:
    with proftpd_server(tmp_path_factory.mktemp("proftpd")) as running:
        yield running


@pytest.fixture(scope="module")
def proftpd_tls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProFTPDServer]:
    with proftpd_server(tmp_path_factory.mktemp("proftpd"), "ftps") as running:
        yield running


@pytest.fixture(scope="module")
def proftpd_sftp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProFTPDServer]:
    with proftpd_server(tmp_path_factory.mktemp("proftpd"), "sftp") as running:
        yield running


@pytest.fixture(scope="module")
def pure_plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PureFTPdServer]:
    with pureftpd_server(tmp_path_factory.mktemp("pureftpd")) as running:
        yield running


@pytest.fixture(scope="module")
def pure_tls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PureFTPdServer]:
    with pureftpd_server(tmp_path_factory.mktemp("pureftpd"), tls="explicit") as running:
        yield running


@pytest.fixture(scope="module")
def rclone_sftp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RcloneServer]:
    with rclone_server(tmp_path_factory.mktemp("rclone"), "sftp") as running:
        yield running


@pytest.fixture(scope="module")
def rclone_ftp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RcloneServer]:
    with rclone_server(tmp_path_factory.mktemp("rclone"), "ftp") as running:
        yield running


@needs(proftpd.missing())
@without(*NEEDS_A_BROKEN_LINK)
@pytest.mark.slow
class TestProFTPD(AppendContract, QuickContract):
    @pytest.fixture
    def site(self, proftpd_plain: ProFTPDServer, tmp_path: Path) -> Iterator[Site]:
        yield from site_of(proftpd_plain, tmp_path)


@needs(proftpd.missing("ftps"))
@without(*NEEDS_A_BROKEN_LINK)
@pytest.mark.slow
class TestProFTPDTLS(AppendContract, QuickContract):
    @pytest.fixture
    def site(self, proftpd_tls: ProFTPDServer, tmp_path: Path) -> Iterator[Site]:
        yield from site_of(proftpd_tls, tmp_path)


@needs(proftpd.missing("sftp"))
@without(*NEEDS_A_BROKEN_LINK)
@pytest.mark.slow
class TestProFTPDSFTP(AppendContract, TransportContract):
    """Its mod_sftp."""

    @pytest.fixture
    def site(self, proftpd_sftp: ProFTPDServer, tmp_path: Path) -> Iterator[Site]:
        yield from sftp_site(proftpd_sftp, tmp_path)


PURE_NAMES = ("newline", "spaces", "backslash")
"""Names that Pure-FTPd changes without a word (a blank at either end) or refuses."""


def pure_site(server: PureFTPdServer, tmp_path: Path) -> Iterator[Site]:
    """What a test puts there is anybody's: this server works as nobody."""
    before = os.umask(0)
    try:
        yield from site_of(server, tmp_path, PURE_NAMES)
    finally:
        os.umask(before)


@needs(pureftpd.missing())
@pytest.mark.slow
class TestPureFTPd(QuickContract):
    """It does not go on in the middle of a file."""

    @pytest.fixture
    def site(self, pure_plain: PureFTPdServer, tmp_path: Path) -> Iterator[Site]:
        yield from pure_site(pure_plain, tmp_path)


@needs(pureftpd.missing())
@pytest.mark.slow
class TestPureFTPdTLS(QuickContract):
    @pytest.fixture
    def site(self, pure_tls: PureFTPdServer, tmp_path: Path) -> Iterator[Site]:
        yield from pure_site(pure_tls, tmp_path)


@needs(rclone.missing("sftp"))
@without(
    *BEHIND_ITS_BACK,
    "test_confirm_is_asked_once_between_last_byte_and_publication",  # a file is nowhere before it is closed
    "test_a_reader_sees_only_whole_versions",  # what a rename replaces is gone for a moment
)
@pytest.mark.slow
class TestRcloneSFTP(TransportContract):
    """No file can be gone on with."""

    @pytest.fixture
    def site(self, rclone_sftp: RcloneServer, tmp_path: Path) -> Iterator[Site]:
        yield from sftp_site(rclone_sftp, tmp_path)


@needs(rclone.missing("ftp"))
@without(
    *BEHIND_ITS_BACK,
    "test_a_name_that_is_a_folder",  # a file is renamed to the name of a folder
)
@pytest.mark.slow
class TestRcloneFTP(QuickContract):
    """Its passive ports are those of every address of the machine, so that no relay can have the same ones."""

    @pytest.fixture
    def site(self, rclone_ftp: RcloneServer, tmp_path: Path) -> Iterator[Site]:
        yield from site_of(rclone_ftp, tmp_path, direct=True)
