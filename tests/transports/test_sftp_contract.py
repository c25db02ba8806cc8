"""SFTP keeps the contract: over ssh and over asyncssh, and with a server that cannot rename over a file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pysubtask.testing import Relay
from pysubtask.testing.servers.sshd import OpenSSHServer, missing, openssh_server
from pysubtask.transports.base import Append
from pysubtask.transports.sftp import SFTPTransport
from tests.transports.contract import (
    ABOUT_FILES,
    ABOUT_LINK,
    AppendContract,
    CopyContract,
    NetworkContract,
    ResumeContract,
    Site,
    without,
)

pytestmark = pytest.mark.skipif(missing() is not None, reason=str(missing()))


def site_of(server: OpenSSHServer, tmp_path: Path, **settings: Any) -> Iterator[Site]:
    folder, work = tmp_path / "remote", tmp_path / "work"
    folder.mkdir()
    work.mkdir()
    with Relay("127.0.0.1", server.port) as relay:
        known = tmp_path / "known_hosts"
        known.write_text(server.known_hosts.read_text().replace(f":{server.port} ", f":{relay.port} "))
        whole = server.settings(HostPort=relay.port, HostPath=str(folder), KnownHostsFile=str(known), **settings)
        yield Site(SFTPTransport, whole, str(work), str(folder), relay)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenSSHServer]:
    with openssh_server(tmp_path_factory.mktemp("sshd")) as running:
        yield running


@pytest.fixture(scope="module")
def plain_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenSSHServer]:
    """As many servers are: no posix-rename, no fsync, no limits."""
    with openssh_server(tmp_path_factory.mktemp("sshd"), deny=("posix-rename", "fsync", "limits")) as running:
        yield running


class TestOverSSH(ResumeContract, AppendContract, CopyContract, NetworkContract):
    @pytest.fixture
    def site(self, server: OpenSSHServer, tmp_path: Path) -> Iterator[Site]:
        yield from site_of(server, tmp_path)


@without(
    *ABOUT_FILES,
    "test_a_temp_that_was_meddled_with",
    "test_notes_that_mean_nothing",
    "test_a_file_that_is_not_as_left_stays_as_it_is",
    "test_an_append_that_was_cut_upon_another_file",
    "test_stale_temps_are_gone_when_it_is_done",
    "test_a_late_append_does_not_touch_a_newer_version",
    "test_a_late_append_changes_nothing_of_its_successor",
    "test_the_end_is_that_of_any_upload",
    "test_an_append_that_was_cut_is_finished",
    "test_confirm_is_asked_before_the_first_byte",
)
@pytest.mark.slow
class TestOverAsyncSSH(ResumeContract, AppendContract, NetworkContract):
    @pytest.fixture
    def site(self, server: OpenSSHServer, tmp_path: Path) -> Iterator[Site]:
        pytest.importorskip("asyncssh")
        yield from site_of(server, tmp_path, SSHProgram="no-such-ssh-program")


@without(*ABOUT_LINK, "test_any_name_the_file_system_allows", "test_stat", "test_a_source_that_cannot_be_read")
@pytest.mark.slow
class TestWithoutPosixRename(NetworkContract):
    @pytest.fixture
    def site(self, plain_server: OpenSSHServer, tmp_path: Path) -> Iterator[Site]:
        yield from site_of(plain_server, tmp_path)

    def test_it_is_such_a_server(self, run: Any):
        async def case(transport: SFTPTransport, at_work: Any) -> None:
            assert not transport.traits.atomic_replace
            assert transport.traits.appends and not transport.traits.copies
            left = (await at_work.put(transport, "a", b"one")).remote
            await at_work.put(transport, "a", b"one, two", replaces=left, append=Append(3, 3))
            assert at_work.site.read("a") == b"one, two"

        run(case)
