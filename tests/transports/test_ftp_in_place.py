"""StoreInPlace over FTP: servers that do not write over a file, the report on a file that an upload has spoilt, appends. And what
else a server does otherwise than it says: text mode, a quota of names, no passive ports, TLS 1.3 for data."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from pysubtask.common.errors import AttemptFailed, FileRefused, NotAsLeft, TransportLost
from pysubtask.control.doctor.file_causes import file_finding
from pysubtask.delivery_rules.retry import Policy, decide
from pysubtask.testing import quirk_ftp_server
from pysubtask.testing.servers import sshd, vsftpd
from pysubtask.testing.servers.ftp import ftp_server
from pysubtask.testing.servers.vsftpd import vsftpd_server
from pysubtask.transports.base import Append, RemoteStat
from pysubtask.transports.ftp import FTPTransport
from pysubtask.transports.ftp.arrival import TEXT_MODE
from pysubtask.transports.sftp import SFTPTransport
from pysubtask.transports.shared.means import DATA, OVERWRITE, TLS_VERSION
from tests.support.ftp_work import MTIME, Work
from tests.support.stubborn_ftp import stubborn_server

pytest.importorskip("pyftpdlib")


def work(tmp_path: Path, server: Any, case: Callable[[Work], Awaitable[None]], profile: str = "", **settings: Any) -> str:
    """Over one connection; what the profile has learned."""

    async def whole() -> str:
        (tmp_path / "work").mkdir(exist_ok=True)
        transport = FTPTransport(server.settings(**settings), str(tmp_path / "work"))
        transport._profile.load(profile)
        async with asyncio.timeout(60):
            await transport.connect()
            try:
                await case(Work(tmp_path, transport))
            finally:
                await transport.close()
        return transport._profile.to_json()

    return asyncio.run(whole())


def files(server: Any) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in server.files.iterdir()}


def replace(server: Any, data: bytes) -> None:
    (server.files / "a").write_bytes(data)


# --- servers that do not write over a file


@pytest.mark.parametrize("how", ["refused", "beside"])
def test_the_old_file_is_removed_where_none_is_overwritten(tmp_path: Path, how: str):
    """Tried on an own file, so that no version lands beside its name and counts as delivered, not even one of the same size."""

    async def case(one: Work) -> None:
        await one.put("a", b"first")
        for data in (b"second", b"third one", b"thirD one"):
            await one.put("a", data, replaces=RemoteStat(5, MTIME))
            assert files(server) == {"a": data}
        assert one.transport._profile.rung(OVERWRITE) == "delete_first"

    with quirk_ftp_server(tmp_path / "root", overwrite=how) as server:
        kept = work(tmp_path, server, case, StoreInPlace=True)
        stores = server.counts["STOR"]

        async def again(one: Work) -> None:
            await one.put("a", b"after a restart", replaces=RemoteStat(9, MTIME))
            assert files(server) == {"a": b"after a restart"}

        server.quirks.delete = True
        work(tmp_path, server, again, kept, StoreInPlace=True)
        assert server.counts["STOR"] - stores == 1, "what is known is not tried out again"


@pytest.mark.slow
@pytest.mark.parametrize("how", ["refused", "beside"])
def test_where_nothing_can_be_removed_no_file_is_stored_beside(tmp_path: Path, how: str):
    async def case(one: Work) -> None:
        await one.put("a", b"first")
        server.quirks.set(overwrite=how, delete=False)
        for _ in range(3):
            with pytest.raises((FileRefused, AttemptFailed)):
                await one.put("a", b"the second", replaces=RemoteStat(5, MTIME))
        assert files(server)["a"] == b"first"

    with quirk_ftp_server(tmp_path / "root") as server:
        work(tmp_path, server, case, StoreInPlace=True)


def test_a_server_that_writes_over_files_is_asked_once(tmp_path: Path):
    async def case(one: Work) -> None:
        await one.put("a", b"first")
        for number in range(5):
            await one.put("a", b"%d" % number, replaces=RemoteStat(5, MTIME))
        assert files(server) == {"a": b"4"}

    with quirk_ftp_server(tmp_path / "root") as server:
        work(tmp_path, server, case, StoreInPlace=True)
        assert server.counts["STOR"] == 6 + 2 and server.counts["DELE"] <= 8


# --- what is left of a file


def test_a_file_spoilt_by_an_upload_is_reported_and_comes_first(tmp_path: Path):
    async def case(one: Work) -> None:
        await one.put("a", b"x" * 50)
        with pytest.raises(FileRefused, match=r"not whole now \(0 bytes\)") as caught:
            await one.put("a", b"y" * 500, replaces=RemoteStat(50, MTIME))
        policy = Policy(tries=5, wait=3.0, long_wait=30.0, parked_wait=300.0)
        assert caught.value.damaged and decide(1, caught.value, policy, 0.0) == ("park", 30.0)

    with ftp_server(tmp_path / "root", file_limit=100, full_reply="552 Over quota.") as server:
        work(tmp_path, server, case, StoreInPlace=True)


@pytest.mark.skipif(sshd.missing() is not None, reason=str(sshd.missing()))
def test_so_it_is_over_sftp(tmp_path: Path):
    async def whole(server: sshd.OpenSSHServer) -> None:
        (tmp_path / "work").mkdir()
        transport = SFTPTransport(server.settings(StoreInPlace=True), str(tmp_path / "work"))
        await transport.connect()
        try:
            one = Work(tmp_path, transport)  # type: ignore[arg-type]
            await one.put("a", b"x" * 50_000)
            with pytest.raises(FileRefused, match="not whole now") as caught:
                await one.put("a", b"y" * 500_000, replaces=RemoteStat(50_000, MTIME))
            assert caught.value.damaged
        finally:
            await transport.close()

    with sshd.openssh_server(tmp_path / "sshd", deny=("rename", "posix-rename"), file_limit=100_000) as server:
        asyncio.run(whole(server))


def test_a_refusal_that_has_spoilt_nothing_says_nothing_of_it(tmp_path: Path):
    async def case(one: Work) -> None:
        await one.put("a", b"x" * 50)
        server.quirks.hidden_names = False
        server.quirks.endings = (".csv",)
        with pytest.raises(FileRefused) as caught:
            await one.put("a", b"y" * 500, replaces=RemoteStat(50, MTIME))
        assert not caught.value.damaged and "not whole" not in str(caught.value)

    with quirk_ftp_server(tmp_path / "root") as server:
        work(tmp_path, server, case, StoreInPlace=True)


# --- appends


def test_what_a_file_has_grown_by_goes_behind_it(tmp_path: Path):
    async def case(one: Work) -> None:
        sent = await one.put("a", b"0123456789" * 1000)
        assert one.transport.traits.appends
        data = b"0123456789" * 1000 + b"more\n"
        before = server.stored
        sent = await one.put("a", data, replaces=sent.remote, append=Append(10_000, 10_000))
        assert files(server) == {"a": data} and sent.bytes_sent == 5
        assert server.stored - before < 100
        # Half of another version, as a cut leaves it.
        replace(server, b"9876543210" * 1000 + b"more\nand ")
        with pytest.raises(NotAsLeft):
            await one.put("a", data + b"and more\n", replaces=sent.remote, append=Append(10_005, 10_014))

    with quirk_ftp_server(tmp_path / "root") as server:
        work(tmp_path, server, case, StoreInPlace=True)


def test_where_nothing_can_be_tried_out_appends_are_given_up(tmp_path: Path):
    """Not with each append anew: a file that grew is sent whole without a word then."""

    async def case(one: Work) -> None:
        sent = await one.put("a.csv", b"0123456789")
        with pytest.raises(NotAsLeft):
            await one.put("a.csv", b"0123456789ab", replaces=sent.remote, append=Append(10, 10))
        await one.put("a.csv", b"0123456789ab", replaces=sent.remote)
        assert not one.transport.traits.appends

    with quirk_ftp_server(tmp_path / "root", endings=(".csv",)) as server:
        work(tmp_path, server, case, StoreInPlace=True)


# --- text mode


@pytest.mark.parametrize("data", [b"1,2\n" * 50, b"1,2\r\n" * 50, b"\n", b"a\nb\r\nc\n" * 400_000])
@pytest.mark.parametrize("in_place", [False, True])
def test_a_server_that_changes_the_ends_of_lines_is_named(tmp_path: Path, data: bytes, in_place: bool):
    async def case(one: Work) -> None:
        with pytest.raises(FileRefused) as caught:
            await one.put("a.csv", data)
        assert TEXT_MODE in str(caught.value)
        assert file_finding("write", caught.value, {}, "").cause == "text-mode"
        await one.put("b.bin", b"\0" * 500)
        assert set(files(server)) == ({"a.csv", "b.bin"} if in_place else {"b.bin"})

    with quirk_ftp_server(tmp_path / "root", line_ends="changed") as server:
        work(tmp_path, server, case, StoreInPlace=in_place)


@pytest.mark.slow
def test_other_sizes_are_no_text_mode(tmp_path: Path):
    async def case(one: Work) -> None:
        with pytest.raises(AttemptFailed) as caught:
            await one.put("a.csv", b"1,2\n" * 50)
        assert TEXT_MODE not in str(caught.value)

    with ftp_server(tmp_path / "root", short_by=3) as server:
        work(tmp_path, server, case)


# --- a quota of names


def test_a_new_name_that_is_refused_is_called_a_temporary_one(tmp_path: Path):
    async def case(one: Work) -> None:
        sent = await one.put("a", b"0123456789")
        sent = await one.put("a", b"0123456789ab", replaces=sent.remote, append=Append(10, 10))
        server.quirks.names = 1
        with pytest.raises(FileRefused, match=r"under a temporary name.*552"):
            await one.put("a", b"another", replaces=sent.remote)
        sent = await one.put("a", b"0123456789abcd", replaces=sent.remote, append=Append(12, 12))
        assert files(server) == {"a": b"0123456789abcd"}, "what is there grows on"
        server.quirks.names = None
        await one.put("a", b"another", replaces=sent.remote)
        assert files(server) == {"a": b"another"}

    with quirk_ftp_server(tmp_path / "root") as server:
        work(tmp_path, server, case)


def test_in_place_a_file_is_rewritten_despite_a_quota_of_names(tmp_path: Path):
    async def case(one: Work) -> None:
        await one.put("a", b"0123456789")
        server.quirks.names = 1
        await one.put("a", b"another", replaces=RemoteStat(10, MTIME))
        assert files(server) == {"a": b"another"}

    with quirk_ftp_server(tmp_path / "root") as server:
        work(tmp_path, server, case, StoreInPlace=True)


# --- no passive ports


@pytest.mark.parametrize("tls", [None, "explicit"])
def test_a_server_that_gives_no_passive_port_connects_to_here(tmp_path: Path, tls: str | None):
    steps = []

    async def case(one: Work) -> None:
        one.transport._profile.on_step = steps.append
        for number in range(8):
            await one.put(f"f{number}", b"x" * number)
        assert one.transport._profile.rung(DATA) == "active"
        assert len(server.sessions) == 1

    with quirk_ftp_server(tmp_path / "root", passive=False, tls=tls) as server:
        kept = work(tmp_path, server, case)
        assert len(files(server)) == 8 and len(steps) == 1
        asked = server.counts["EPSV"]
        assert asked <= 4, "now and then the better way is tried again"

        async def allowed_again(one: Work) -> None:
            for number in range(6):
                await one.put(f"g{number}", b"x")
            assert one.transport._profile.rung(DATA) == "epsv"

        server.quirks.passive = True
        work(tmp_path, server, allowed_again, kept)


@pytest.mark.skipif(vsftpd.missing() is not None, reason=str(vsftpd.missing()))
def test_a_real_server_without_passive_mode(tmp_path: Path):
    async def case(one: Work) -> None:
        await one.put("a", b"one")
        assert one.transport._profile.rung(DATA) == "active"

    with vsftpd_server(tmp_path / "server", cmds_denied="EPSV,PASV") as server:
        work(tmp_path, server, case, HostPath=str(server.files))


@pytest.mark.skipif(vsftpd.missing() is not None, reason=str(vsftpd.missing()))
def test_a_server_without_data_connections_is_reported_at_once(tmp_path: Path):
    async def case(one: Work) -> None:
        with pytest.raises(AttemptFailed, match=r"no passive port.*nor does it connect to here"):
            await one.put("a", b"one")

    with vsftpd_server(tmp_path / "server", cmds_denied="EPSV,PASV,PORT,EPRT") as server:
        work(tmp_path, server, case, HostPath=str(server.files))


# --- TLS versions


def test_that_data_needs_tls_1_2_is_known_after_a_restart(tmp_path: Path):
    """Else each restart costs a login that comes to nothing."""

    async def first(one: Work) -> None:
        with pytest.raises(TransportLost, match=r"TLS 1.2"):
            await one.put("a", b"one")
        await one.transport.connect()
        await one.put("a", b"one")
        assert one.transport._profile.rung(TLS_VERSION) == "1.2"

    async def after_a_restart(one: Work) -> None:
        await one.put("b", b"two")

    with stubborn_server(tmp_path / "root", ("1.3",)) as server:
        kept = work(tmp_path, server, first)
        logins = server.logins
        work(tmp_path, server, after_a_restart, kept)
        assert server.logins - logins == 1, "no login came to nothing"
    # A day later the newest is tried again; it works now.
    old = json.loads(kept)
    old["means"]["tls_version"]["tried"] -= 25 * 3600
    with quirk_ftp_server(tmp_path / "mended", tls="explicit") as mended:
        later = json.loads(work(tmp_path, mended, after_a_restart, json.dumps(old)))
    assert later["means"]["tls_version"]["rung"] == "newest"


def test_appends_in_place_survive_kills_between_them(tmp_path: Path):
    """Cut in the midst of an append: the file is a true beginning, and is sent whole then."""

    async def cut(one: Work) -> None:
        sent = await one.put("a", b"0123456789")
        await one.put("a", b"0123456789ab", replaces=sent.remote, append=Append(10, 10))
        os.truncate(server.files / "a", 11)
        with pytest.raises(NotAsLeft):
            await one.put("a", b"0123456789abc", replaces=RemoteStat(10, MTIME), append=Append(10, 12))
        await one.put("a", b"0123456789abc", replaces=RemoteStat(10, MTIME))
        assert files(server) == {"a": b"0123456789abc"}

    with quirk_ftp_server(tmp_path / "root") as server:
        work(tmp_path, server, cut, StoreInPlace=True)
