"""FTP and FTPS keep the contract: against vsftpd and pyftpdlib, control and data connections through the relay."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pysubtask.testing.link.ftp_relay import FTPRelay
from pysubtask.testing.servers.ftp import FTPServer, ftp_server
from pysubtask.testing.servers.vsftpd import VsftpdServer, missing, vsftpd_server
from pysubtask.transports.ftp import FTPTransport
from tests.transports.contract import (
    ABOUT_FILES,
    ABOUT_LINK,
    AppendContract,
    NetworkContract,
    ResumeContract,
    Site,
    TransportContract,
    _plant,
    without,
)

needs_vsftpd = pytest.mark.skipif(missing() is not None, reason=str(missing()))
BUFFER = 16 * 1024  # so that a slow link is slow, and not hidden in socket buffers


def site_of(server: FTPServer | VsftpdServer, files: Path, tmp_path: Path, **settings: Any) -> Iterator[Site]:
    """A folder of its own below the server's ``files``, reached through a relay."""
    folder, work = files / f"{tmp_path.name} dir", tmp_path / "work"
    folder.mkdir()
    work.mkdir()
    start = str(files) if isinstance(server, VsftpdServer) else ""
    with FTPRelay(server.port, server.data_ports, buffer=BUFFER) as relay:
        whole = server.settings(Host=relay.host, HostPort=relay.port, HostPath=f"{start}/{folder.name}", **settings)
        yield Site(FTPTransport, whole, str(work), str(folder), relay, frozenset({"newline"}))


class OnlyWhatFTPCanSay:
    """A case of the contract whose name has a line break, without it."""

    def test_remove_names_those_that_were_there(self, site: Site, run: Any):
        async def case(transport: Any, at_work: Any) -> None:
            odd = os.fsdecode(b"f/.\xff '.tmp")
            for name in (".one.tmp", "f/.two.tmp", odd, "keep"):
                _plant(site, name, b"x")
            gone = await transport.remove([".one.tmp", "f/.two.tmp", odd, "absent", "no/folder/absent"])
            assert gone == {".one.tmp", "f/.two.tmp", odd}
            assert await transport.remove([".one.tmp"]) == set()

        run(case)
        assert site.files() == {"keep"}


class FTPContract(OnlyWhatFTPCanSay, NetworkContract):
    """Every upload from its beginning, broken links too."""


class GrowContract(ResumeContract, AppendContract, FTPContract):
    """Everything."""

    resume_size = 8_000_000

    @pytest.mark.slow
    @pytest.mark.parametrize("whole_records", [False])  # FTP makes no such promise
    def test_a_reader_sees_a_prefix_however_often_it_is_cut(self, site: Site, run: Any, relay: Any, whole_records: bool):
        super().test_a_reader_sees_a_prefix_however_often_it_is_cut(site, run, relay, whole_records)


class CutContract(FTPContract):
    """Without the cases that wait for a time limit to pass: those know no difference between servers."""

    test_a_link_that_freezes = None  # type: ignore[assignment]
    test_a_slow_link_is_not_a_dead_one = None  # type: ignore[assignment]
    test_a_link_cut_when_the_server_has_done_it_and_nobody_heard = None  # type: ignore[assignment]
    test_a_late_rename_does_not_bring_back_an_old_version = None  # type: ignore[assignment]
    test_a_late_upload_does_not_touch_a_newer_version = None  # type: ignore[assignment]
    test_a_late_append_does_not_touch_a_newer_version = None
    test_a_late_append_changes_nothing_of_its_successor = None

    @pytest.mark.parametrize("fault", ["drop the greeting", "drop the handshake", "end the handshake"])
    def test_a_connect_that_breaks_off(self, site: Site, relay: Any, tmp_path: Any, fault: str):
        super().test_a_connect_that_breaks_off(site, relay, tmp_path, fault)


NEITHER = (set(ABOUT_LINK) | set(ABOUT_FILES)) - {
    "test_a_link_that_freezes",
    "test_a_slow_link_is_not_a_dead_one",
    "test_confirm_stops_the_publication",
    "test_stale_temps_are_gone_before_the_name_changes",
    "test_the_later_of_two_uploads_wins",
    "test_mtime_is_kept_where_the_trait_says_so",
}
"""What a server that cannot rename over a file makes no difference to."""


class SameProgram:
    """What another class asks of the same server program, and TLS makes no difference to."""

    test_any_name_the_file_system_allows = None
    test_a_temp_that_was_meddled_with = None
    test_the_end_is_that_of_any_upload = None
    test_notes_that_mean_nothing = None
    test_a_file_that_is_not_as_left_stays_as_it_is = None
    test_an_append_that_was_cut_upon_another_file = None


class QuickContract(OnlyWhatFTPCanSay, TransportContract):
    """What needs no broken link."""

    test_a_reader_sees_only_whole_versions = None  # type: ignore[assignment]


@pytest.fixture(scope="module")
def vsftpd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VsftpdServer]:
    with vsftpd_server(tmp_path_factory.mktemp("vsftpd")) as running:
        yield running


@pytest.fixture(scope="module")
def vsftpd_tls13(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VsftpdServer]:
    with vsftpd_server(tmp_path_factory.mktemp("vsftpd"), tls="explicit", tls_version="1.3") as running:
        yield running


@pytest.fixture(scope="module")
def vsftpd_tls12(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VsftpdServer]:
    with vsftpd_server(tmp_path_factory.mktemp("vsftpd"), tls="explicit", tls_version="1.2") as running:
        yield running


@pytest.fixture(scope="module")
def pyftpdlib(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FTPServer]:
    with ftp_server(tmp_path_factory.mktemp("ftp") / "files") as running:
        yield running


@pytest.fixture(scope="module")
def pyftpdlib_tls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FTPServer]:
    with ftp_server(tmp_path_factory.mktemp("ftp") / "files", tls="explicit") as running:
        yield running


@pytest.fixture(scope="module")
def no_rename_over(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FTPServer]:
    files = tmp_path_factory.mktemp("ftp") / "files"
    with ftp_server(files, rename_over=False, without=("MFMT", "MLST", "EPSV")) as running:
        yield running


@pytest.mark.slow
@needs_vsftpd
class TestVsftpd(GrowContract):
    @pytest.fixture
    def site(self, vsftpd: VsftpdServer, tmp_path: Path) -> Iterator[Site]:
        yield from site_of(vsftpd, vsftpd.files, tmp_path)


@needs_vsftpd
@without(*set(ABOUT_FILES) - {"test_any_name_the_file_system_allows"})
@pytest.mark.slow
class TestVsftpdTLS13(SameProgram, CutContract, GrowContract):
    """With sessions reused and data ended by a close_notify, or vsftpd refuses."""

    @pytest.fixture
    def site(self, vsftpd_tls13: VsftpdServer, tmp_path: Path) -> Iterator[Site]:
        yield from site_of(vsftpd_tls13, vsftpd_tls13.files, tmp_path)


@needs_vsftpd
@without(*set(ABOUT_FILES) - {"test_any_name_the_file_system_allows"})
@pytest.mark.slow
class TestVsftpdTLS12(SameProgram, QuickContract):
    @pytest.fixture
    def site(self, vsftpd_tls12: VsftpdServer, tmp_path: Path) -> Iterator[Site]:
        yield from site_of(vsftpd_tls12, vsftpd_tls12.files, tmp_path)


class TestPyftpdlib(QuickContract):
    @pytest.fixture
    def site(self, pyftpdlib: FTPServer, tmp_path: Path) -> Iterator[Site]:
        yield from site_of(pyftpdlib, pyftpdlib.files, tmp_path)


@without(*set(ABOUT_FILES) - {"test_any_name_the_file_system_allows"})
@pytest.mark.slow
class TestPyftpdlibTLS(SameProgram, GrowContract):
    """Explicit TLS, with a pinned certificate."""

    @pytest.fixture
    def site(self, pyftpdlib_tls: FTPServer, tmp_path: Path) -> Iterator[Site]:
        assert pyftpdlib_tls.certificate is not None
        pin = pyftpdlib_tls.certificate.fingerprint
        yield from site_of(pyftpdlib_tls, pyftpdlib_tls.files, tmp_path, CAFile=None, TLSFingerprint=pin)


@without(*set(ABOUT_FILES) - {"test_nested_names_make_their_folders"})
@pytest.mark.slow
class TestPyftpdlibImplicit(QuickContract):
    """Implicit TLS, active, and the login's own folder."""

    @pytest.fixture
    def site(self, tmp_path: Path) -> Iterator[Site]:
        (tmp_path / "work").mkdir()
        with ftp_server(tmp_path / "files", tls="implicit") as server:
            yield Site(
                FTPTransport,
                server.settings(PassiveMode=False),
                str(tmp_path / "work"),
                str(server.files),
                impossible=frozenset({"newline"}),
            )


@without(*NEITHER)
@pytest.mark.slow
class TestNoRenameOver(CutContract):
    """A server that refuses to rename over a file: old one aside, new one in. It shows its own times."""

    appending, put_first = staticmethod(AppendContract.appending), AppendContract.put_first

    @pytest.mark.parametrize("fate", ["rewritten", "longer"])  # a touch within the second of our own writing is not to be seen
    def test_a_file_that_is_not_as_left_stays_as_it_is(self, site: Site, run: Any, fate: str):
        AppendContract.test_a_file_that_is_not_as_left_stays_as_it_is(self, site, run, fate)  # type: ignore[arg-type]

    def test_only_what_is_new_is_sent(self, site: Site, run: Any):
        AppendContract.test_only_what_is_new_is_sent(self, site, run)  # type: ignore[arg-type]

    @pytest.fixture
    def site(self, no_rename_over: FTPServer, tmp_path: Path) -> Iterator[Site]:
        yield from site_of(no_rename_over, no_rename_over.files, tmp_path)
