"""Servers as they are: what one does not know, does badly or refuses, each against a real server that does so."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pysubtask.common.errors import AttemptFailed, ConfigError, FileRefused, LoginRefused, TransportLost
from pysubtask.testing import FTPRelay, ftp_server, vsftpd_server
from pysubtask.testing.servers._certificate import make_certificate
from pysubtask.testing.servers.vsftpd import missing
from pysubtask.transports.ftp import FTPTransport
from tests.support.ftp_work import MTIME, Work, connect
from tests.support.helpers import wait_until

needs_vsftpd = pytest.mark.skipif(missing() is not None, reason=str(missing()))


Connected = Callable[..., contextlib.AbstractAsyncContextManager[Work]]


@pytest.fixture
def connected(tmp_path: Path) -> Connected:
    """``async with connected(settings) as work``: files to send over one connection."""

    @contextlib.asynccontextmanager
    async def connect_to(settings: dict[str, Any]) -> AsyncIterator[Work]:
        (tmp_path / "work").mkdir(exist_ok=True)
        transport = FTPTransport(settings, str(tmp_path / "work"))
        async with asyncio.timeout(60):
            await transport.connect()
            try:
                yield Work(tmp_path, transport)
            finally:
                await transport.close()

    return connect_to


# --- what a server does not know


async def test_without_mfmt_the_time_is_set_only_where_it_is_proven(tmp_path: Path, connected: Connected):
    """pyftpdlib's MDTM only asks: a time before the name is part of the name there."""
    with ftp_server(tmp_path / "ftp", without=("MFMT",)) as server:
        async with connected(server.settings()) as work:
            assert not work.transport.traits.keeps_mtime
            sent = await work.put("a", b"x")
            assert abs((sent.remote.mtime or 0) - time.time()) < 120
            assert sent.remote == await work.transport.stat("a")
            before = server.counts["MDTM"]
            await work.put("b", b"y")
            assert server.counts["MDTM"] == before + 1, "it is not tried again"

        assert not work.transport.traits.keeps_mtime


@needs_vsftpd
async def test_vsftpd_sets_the_time_by_mdtm(tmp_path: Path, connected: Connected):
    with vsftpd_server(tmp_path / "vsftpd") as server:
        async with connected(server.settings()) as work:
            assert (await work.put("a", b"x")).remote.mtime == MTIME

        assert work.transport.traits.keeps_mtime
        assert int(os.stat(server.files / "a").st_mtime) == MTIME


@needs_vsftpd
async def test_a_server_that_sets_no_times(tmp_path: Path, connected: Connected):
    with vsftpd_server(tmp_path / "vsftpd", mdtm_write="NO") as server:
        async with connected(server.settings()) as work:
            sent = await work.put("a", b"x")
            assert abs((sent.remote.mtime or 0) - time.time()) < 120

        assert not work.transport.traits.keeps_mtime


NO_MLST = ("SIZE", "MLST", "MLSD")


@pytest.mark.parametrize("without", [("SIZE",), ("SIZE", "MDTM"), NO_MLST, ("SIZE", "MDTM", "MFMT", "MLST", "MLSD")])
async def test_without_size_another_command_is_found(tmp_path: Path, connected: Connected, without: tuple[str, ...]):
    with ftp_server(tmp_path / "ftp", without=without) as server:
        async with connected(server.settings()) as work:
            sent = await work.put("f/a b", b"12345", temp="f/.t.tmp")
            assert (sent.remote.size, sent.verified) == (5, "size")
            assert await work.transport.stat("f/a b") == sent.remote
            assert (sent.remote.mtime is None) == (without[1:2] == ("MDTM",) and "MLST" in without)
            assert server.counts["LIST"] == (0 if "MLST" not in without else server.counts["LIST"] or -1)


async def test_a_server_that_tells_no_size_at_all_is_taken_at_its_word(tmp_path: Path, connected: Connected):
    with ftp_server(tmp_path / "ftp", without=("SIZE", "MLST", "MLSD", "LIST")) as server:
        async with connected(server.settings()) as work:
            sent = await work.put("a", b"12345")
            assert (sent.remote.size, sent.remote.mtime, sent.verified) == (5, MTIME, "reply")
            assert await work.transport.stat("a") is None
            await work.put("a", b"123", stale=(".t1.tmp",))
        assert (server.files / "a").read_bytes() == b"123"


@pytest.mark.parametrize("tls", [None, "explicit"])
async def test_without_epsv_pasv_is_used(tmp_path: Path, connected: Connected, tls: str | None):
    with ftp_server(tmp_path / "ftp", tls=tls, without=("EPSV",)) as server:
        async with connected(server.settings()) as work:
            await work.put("a", b"x")
            await work.put("b", b"x")
        assert server.counts["PASV"] == 2


async def test_an_unreachable_passive_port_leads_to_the_other_command(tmp_path: Path, connected: Connected):
    with ftp_server(tmp_path / "ftp") as server, FTPRelay(server.port, server.data_ports) as relay:
        async with connected(server.settings(Host=relay.host, HostPort=relay.port)) as work:
            await work.put("a", b"x")
            relay.refuse()  # control connections that are open go on
            with pytest.raises(AttemptFailed, match="passive ports must be open"):
                await work.put("a", b"y")
            relay.accept()
            await work.put("a", b"y")
        # The other command is tried at once, and the control connection stays.
        assert (server.counts["EPSV"], server.counts["PASV"], server.logins) == (3, 1, 1)


async def test_active_mode(tmp_path: Path, connected: Connected):
    with ftp_server(tmp_path / "ftp") as server:
        async with connected(server.settings(PassiveMode=False)) as work:
            await asyncio.gather(*(work.put(f"f{n}", os.urandom(100_000)) for n in range(8)))
        assert server.counts["PORT"] == 8
        assert server.counts["EPSV"] == server.counts["PASV"] == 0


async def test_a_server_without_active_mode_says_what_to_set(tmp_path: Path, connected: Connected):
    with ftp_server(tmp_path / "ftp", without=("PORT", "EPRT")) as server:
        async with connected(server.settings(PassiveMode=False)) as work:
            with pytest.raises(AttemptFailed, match=r"Switch ftp\.PassiveMode on"):
                await work.put("a", b"x")


async def test_over_ipv6(tmp_path: Path, connected: Connected):
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(ftp_server(tmp_path / "ftp", host="::1"))
        for passive in (True, False):
            async with connected(server.settings(PassiveMode=passive)) as work:
                await work.put("a", b"x")
    assert (server.counts["EPSV"], server.counts["EPRT"], server.counts["PASV"], server.counts["PORT"]) == (1, 1, 0, 0)


async def test_names_survive_a_server_that_says_nothing_of_utf8(tmp_path: Path, connected: Connected):
    names = ["Grüße-数据.csv", os.fsdecode(b"\xe9t\xe9.csv"), " -x ", "20200101000000 y"]
    with ftp_server(tmp_path / "ftp", utf8=False) as server:
        async with connected(server.settings()) as work:
            for name in names:
                await work.put(name, name.encode("utf-8", "surrogateescape"))
        assert server.counts["OPTS"] == 0
        assert server.names() == set(names)


# --- what a server refuses


async def test_a_server_that_cannot_rename_names_the_setting(tmp_path: Path, connected: Connected):
    with ftp_server(tmp_path / "ftp", rename=False) as server:
        async with connected(server.settings()) as work:
            with pytest.raises(FileRefused, match=r"ftp\.StoreInPlace"):
                await work.put("a", b"x")
            assert server.names() == set()

        async with connected(server.settings(StoreInPlace=True)) as work:
            order = []
            for content in (b"one", b"two!"):
                sent = await work.put("f/a", content, confirm=lambda: order.append(server.names()))
                assert sent.remote.size == len(content)
                assert sent.remote.mtime == MTIME
            assert order == [set(), {"f/a"}], "asked before a byte shows"
            assert server.names() == {"f/a"}

        assert not work.transport.traits.atomic_replace
        assert (server.files / "f/a").read_bytes() == b"two!"


@pytest.mark.parametrize("full_reply", ["452 Insufficient storage.", "552 Exceeded storage allocation.", "426 Disk full."])
async def test_a_full_disk_condemns_the_file_and_keeps_the_good_copy(tmp_path: Path, connected: Connected, full_reply: str):
    with ftp_server(tmp_path / "ftp", file_limit=500_000, full_reply=full_reply) as server:
        async with connected(server.settings()) as work:
            await work.put("a", b"good")
            for size in (500_001, 3_000_000):
                with pytest.raises(FileRefused):
                    await work.put("a", bytes(size))
                assert server.names() == {"a"}
            await work.put("b", b"small")
        assert (server.files / "a").read_bytes() == b"good"


@needs_vsftpd
async def test_a_full_disk_of_vsftpd(tmp_path: Path, connected: Connected):
    with vsftpd_server(tmp_path / "vsftpd", tls="explicit", file_limit=500_000) as server:
        async with connected(server.settings()) as work:
            with pytest.raises(FileRefused, match="writing to local file"):
                await work.put("a", bytes(3_000_000))
            await work.put("b", b"small")
        assert os.listdir(server.files) == ["b"]


async def put_until_refused(work: Work, name: str, data: bytes) -> list[str]:
    """The error of each attempt, on a new connection after each lost one, until the file is refused."""
    errors: list[str] = []
    stale: tuple[str, ...] = ()
    while True:
        job = work.job(name, data, stale=stale)
        try:
            await work.transport.upload(job, lambda done: None)
        except (TransportLost, AttemptFailed) as exc:
            errors.append(str(exc))
            stale = (*stale, job.temp)
            await work.transport.close()
            await work.transport.connect()
        except FileRefused as exc:
            return [*errors, str(exc)]


async def test_a_server_that_gives_a_full_disk_out_for_a_broken_link(tmp_path: Path, connected: Connected):
    """pyftpdlib's own words for it are "426 None; transfer aborted": the file is put aside after a few tries."""
    with ftp_server(tmp_path / "ftp", file_limit=500_000) as server:
        async with connected(server.settings()) as work:
            errors = await put_until_refused(work, "a", bytes(3_000_000))
            assert len(errors) == 3
            assert "in a row" in errors[-1]
            await work.put("b", b"small")
        assert server.names() == {"b"}


@needs_vsftpd
async def test_an_account_that_may_not_write(tmp_path: Path, connected: Connected):
    with vsftpd_server(tmp_path / "vsftpd", tls="explicit", write_enable="NO") as server:
        async with connected(server.settings()) as work:
            with pytest.raises(FileRefused, match="Permission denied"):
                await work.put("f/a", b"x")
            assert await work.transport.stat("f/a") is None


# --- replies that get lost


@pytest.mark.parametrize("command", ["STOR", "RNTO"])
async def test_a_lost_reply_is_a_lost_attempt_that_the_next_compares(tmp_path: Path, connected: Connected, command: str):
    with ftp_server(tmp_path / "ftp") as server:
        async with connected(server.settings()) as work:
            await work.put("a", b"old")
            server.lose_reply(command)
            job = work.job("a", b"newer")
            with pytest.raises(TransportLost):
                await work.transport.upload(job, lambda done: None)
            await work.transport.close()
            await work.transport.connect()
            stat = await work.transport.stat("a")
            assert stat is not None and stat[:2] == ((5, MTIME) if command == "RNTO" else (3, MTIME))
            await work.put("a", b"newer", stale=(job.temp,))
            assert server.names() == {"a"}


@pytest.mark.slow
async def test_a_file_that_always_arrives_short_is_condemned(tmp_path: Path, connected: Connected):
    """A server that swallows bytes and says that all is well; the first times it may have been the link."""
    with ftp_server(tmp_path / "ftp", short_by=3) as server:
        async with connected(server.settings()) as work:
            errors = await put_until_refused(work, "a", b"0123456789")
            assert len(errors) == 3
            assert all("10 bytes were sent and the server has 7" in words for words in errors)
            assert server.names() == set()


# --- logins


async def test_a_server_that_takes_few_connections_just_gets_few(tmp_path: Path, connected: Connected):
    with ftp_server(tmp_path / "ftp", max_sessions=2) as server:
        async with connected(server.settings()) as work:
            assert work.transport.traits.concurrency == 4
            await asyncio.gather(*(work.put(f"f{n}", os.urandom(300_000)) for n in range(12)))
            assert work.transport.traits.concurrency == 2
        assert len(server.names()) == 12


async def test_a_busy_answer_to_a_further_login_lowers_the_number(tmp_path: Path, connected: Connected):
    with ftp_server(tmp_path / "ftp", busy_logins=(2, 3, 4)) as server:
        async with connected(server.settings()) as work:
            await asyncio.gather(*(work.put(f"f{n}", os.urandom(300_000)) for n in range(6)))
            assert work.transport.traits.concurrency == 1
        assert len(server.names()) == 6


def test_a_busy_answer_to_the_first_login_is_no_refusal(tmp_path: Path):
    with ftp_server(tmp_path / "ftp", busy_logins=(1,)) as server:
        assert isinstance(connect(server.settings(), tmp_path), TransportLost)
    with ftp_server(tmp_path / "ftp", max_sessions=0) as server:
        assert isinstance(connect(server.settings(), tmp_path), TransportLost)


async def test_dropped_connections_cost_nothing_while_one_is_left(tmp_path: Path, connected: Connected):
    with ftp_server(tmp_path / "ftp") as server, FTPRelay(server.port, server.data_ports) as relay:
        async with connected(server.settings(Host=relay.host, HostPort=relay.port)) as work:
            await asyncio.gather(*(work.put(f"f{n}", os.urandom(300_000)) for n in range(12)))
            opened = relay.connections
            assert len(opened) > 1
            for one in opened[1:]:
                one.cut()
            wait_until(lambda: len(server.sessions) == 1, what="the server sees it")
            await work.put("again", b"x")


@pytest.mark.parametrize(("most", "logins"), [(6, 1), (0, 4)])
async def test_after_an_early_lost_connection_one_is_used_for_a_while(tmp_path: Path, most: int, logins: int):
    """Many servers ban an address for more than a few connections a minute."""
    with ftp_server(tmp_path / "ftp") as server:

        async def case(work: Work) -> None:
            for second in (False, True):
                before = server.logins
                await asyncio.gather(*(work.put(f"f{n}", os.urandom(300_000)) for n in range(12)), return_exceptions=True)
                assert server.logins - before == (logins - 1 if second else 3)
                for session in list(server.sessions):
                    server_end(session)
                if not second:
                    with pytest.raises(TransportLost):
                        await work.put("lost", b"x")
                    await work.transport.close()
                    await work.transport.connect()

        (tmp_path / "work").mkdir()
        transport = FTPTransport({**server.settings(), "LoginsPerMinute": most}, str(tmp_path / "work"))

        async with asyncio.timeout(60):
            await transport.connect()
            try:
                await case(Work(tmp_path, transport))
            finally:
                await transport.close()


def server_end(session: Any) -> None:
    """The server ends a control connection without a word."""
    with contextlib.suppress(OSError):
        session.socket.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("tls", [None, "explicit", "implicit"])
def test_a_wrong_password(tmp_path: Path, tls: str | None):
    with ftp_server(tmp_path / "ftp", tls=tls) as server:
        failed = connect(server.settings(Password="geheim"), tmp_path)
    assert isinstance(failed, LoginRefused)
    assert "Authentication failed" in str(failed)
    assert "geheim" not in f"{failed} {failed!r} {failed.__cause__!r}"


def test_a_server_that_wants_tls_says_what_to_set(tmp_path: Path):
    with ftp_server(tmp_path / "ftp", tls="explicit") as server:
        failed = connect(server.settings(UseTLS=None, CAFile=None), tmp_path)
        assert server.counts["PASS"] == 0, "no password in the clear where the server does not want it"
    assert isinstance(failed, LoginRefused)
    assert "ftp.UseTLS to 'explicit'" in str(failed)


def test_a_server_without_tls_gets_no_password(tmp_path: Path):
    with ftp_server(tmp_path / "ftp") as server:
        failed = connect(server.settings(UseTLS="explicit"), tmp_path)
        assert isinstance(failed, LoginRefused)
        assert "offers no TLS" in str(failed)
        failed = connect(server.settings(UseTLS="implicit"), tmp_path)
        assert isinstance(failed, TransportLost)
        assert "'explicit'" in str(failed)
        assert server.counts["PASS"] == server.counts["USER"] == 0


def test_a_server_that_would_take_data_in_the_clear_only(tmp_path: Path):
    with ftp_server(tmp_path / "ftp", tls="explicit", without=("PROT",)) as server:
        failed = connect(server.settings(), tmp_path)
    assert isinstance(failed, LoginRefused)
    assert "in the clear" in str(failed)


# --- certificates


@pytest.mark.parametrize("tls", ["explicit", "implicit"])
def test_a_certificate_that_nobody_vouches_for(tmp_path: Path, tls: str):
    with ftp_server(tmp_path / "ftp", tls=tls) as server:
        failed = connect(server.settings(CAFile=None), tmp_path)
        assert server.counts["USER"] == 0
    assert isinstance(failed, LoginRefused)
    assert "self-signed" in str(failed) or "self signed" in str(failed)
    assert "TLSFingerprint" in str(failed)
    assert "openssl s_client" in str(failed)


def test_a_certificate_of_another_name(tmp_path: Path):
    with ftp_server(tmp_path / "ftp", tls="explicit", host="127.0.0.3") as server:
        failed = connect(server.settings(), tmp_path)
        assert server.counts["USER"] == 0
    assert isinstance(failed, LoginRefused)
    assert "127.0.0.3" in str(failed)


@pytest.mark.parametrize("form", ["{0}", "SHA256:{0}", "sha256 Fingerprint={1}", "{2}"])
async def test_a_pinned_certificate(tmp_path: Path, connected: Connected, form: str):
    with ftp_server(tmp_path / "ftp", tls="explicit") as server:
        assert server.certificate is not None
        digits = server.certificate.fingerprint
        colons = ":".join(digits[at : at + 2] for at in range(0, 64, 2))
        pin = form.format(digits, colons, colons.lower())

        async with connected(server.settings(CAFile=None, TLSFingerprint=pin)) as work:
            await work.put("a", b"x")


def test_another_certificate_than_the_pinned_one(tmp_path: Path):
    other = make_certificate(tmp_path / "other").fingerprint
    with ftp_server(tmp_path / "ftp", tls="explicit") as server:
        assert server.certificate is not None
        # The authority would vouch for it: a pin is stricter.
        failed = connect(server.settings(TLSFingerprint=other), tmp_path)
        assert server.certificate.fingerprint in str(failed)
        assert server.counts["USER"] == 0
    assert isinstance(failed, LoginRefused)


def test_a_ca_file_that_is_none(tmp_path: Path):
    (tmp_path / "empty.pem").write_text("nothing\n")

    async def whole(name: str) -> None:
        with ftp_server(tmp_path / "ftp", tls="explicit") as server:
            await FTPTransport(server.settings(CAFile=str(tmp_path / name)), str(tmp_path)).connect()

    for name in ("empty.pem", "missing.pem"):
        with pytest.raises(ConfigError, match=r"ftp\.CAFile"):
            asyncio.run(whole(name))


@needs_vsftpd
@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("tls", ["explicit", "implicit"])
async def test_vsftpd_is_content_with_the_sessions_and_the_ends(tmp_path: Path, connected: Connected, tls: str, version: str):
    """Side by side and one after the other; without session reuse vsftpd answers 522, without a close_notify 426."""
    with vsftpd_server(tmp_path / "vsftpd", tls=tls, tls_version=version, debug_ssl="YES") as server:
        async with connected(server.settings()) as work:
            for n in range(4):
                await work.put(f"one {n}", os.urandom(n * 100_000))
            await asyncio.gather(*(work.put(f"many {n}", os.urandom(n * 10_000)) for n in range(24)))
        log = server.log()
        assert f"TLSv{version}" in log
        assert '"522 ' not in log
        assert len(os.listdir(server.files)) == 28


# --- what is no FTP server


@contextlib.contextmanager
def speaker(*words: bytes, answer: bytes = b"", hang: bool = False) -> Iterator[int]:
    """A port at which each caller hears some bytes, and may get one answer."""
    ending = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.05)

        def serve() -> None:
            while not ending.is_set():
                try:
                    caller, _ = listener.accept()
                except TimeoutError:
                    continue
                with caller, contextlib.suppress(OSError):
                    for block in words:
                        caller.sendall(block)
                    if answer:
                        caller.recv(4096)
                        caller.sendall(answer)
                    caller.settimeout(20)
                    while hang and not ending.is_set() and caller.recv(4096):
                        pass

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            ending.set()
            thread.join()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((b"SSH-2.0-OpenSSH_9.2p1\r\n",), "UseSFTP to True"),
        ((b"\x15\x03\x03\x00\x02\x02\x28",), "UseTLS to 'implicit'"),
        ((b"HTTP/1.1 400 Bad Request\r\n\r\n",), "HTTP"),
        ((b"hello\r\n",), "does not speak FTP"),
        ((b"\xff\xfb\x01\x00\x07bell\x1b[2J\r\n",), "does not speak FTP"),
        ((b"x" * 100_000,), "does not speak FTP"),
        ((b"220-first\r\n" + b"220-more\r\n" * 60_000,), "without an end"),
        ((b"421 Too many\r\n",), "Too many"),
        ((b"530 Banned\r\n",), "Banned"),
        ((b"120 Ready in 5 minutes\r\n",), "5 minutes"),
        ((), "closed"),
    ],
)
def test_what_answers_is_named_in_plain_words(tmp_path: Path, words: tuple[bytes, ...], expected: str):
    with speaker(*words) as port:
        settings = {"Host": "127.0.0.1", "HostPort": port, "User": "u", "Password": "geheim", "ConnectTimeoutSecs": 10}
        failed = connect(settings, tmp_path)
    assert isinstance(failed, TransportLost)
    assert expected in str(failed)
    assert str(failed).isprintable()


def test_bytes_injected_before_tls_are_not_taken_for_the_servers(tmp_path: Path):
    with speaker(b"220 hello\r\n", answer=b"234 go on\r\n230 Logged in already\r\n", hang=True) as port:
        settings = {"Host": "127.0.0.1", "HostPort": port, "User": "u", "UseTLS": "explicit", "ConnectTimeoutSecs": 10}
        failed = connect(settings, tmp_path)
    assert isinstance(failed, TransportLost)
    assert "in between" in str(failed)


@pytest.mark.slow
def test_a_server_that_drips_is_given_up_in_time(tmp_path: Path):
    """A byte now and then must not feed the time limit."""
    ending = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def drip() -> None:
            caller, _ = listener.accept()
            with caller, contextlib.suppress(OSError):
                while not ending.wait(0.1):
                    caller.sendall(b"2")

        thread = threading.Thread(target=drip)
        thread.start()
        started = time.monotonic()
        failed = connect({"Host": "127.0.0.1", "HostPort": listener.getsockname()[1], "ConnectTimeoutSecs": 1}, tmp_path)
        ending.set()
        thread.join()
    assert isinstance(failed, TransportLost)
    assert time.monotonic() - started < 15


def test_a_name_that_does_not_resolve(tmp_path: Path):
    failed = connect({"Host": "no-such-host.invalid", "User": "u"}, tmp_path)
    assert isinstance(failed, TransportLost)


# --- hung threads


@pytest.mark.slow
def test_a_thread_that_hangs_out_of_reach_delays_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A name lookup cannot be ended from outside."""
    release = threading.Event()

    def hang(*args: Any, **more: Any) -> Any:
        release.wait(60)
        raise OSError("too late")

    monkeypatch.setattr("pysubtask.transports.ftp.control_connection.socket.getaddrinfo", hang)
    started = time.monotonic()
    failed = connect({"Host": "somewhere", "ConnectTimeoutSecs": 1}, tmp_path)
    release.set()
    assert isinstance(failed, TransportLost)
    assert time.monotonic() - started < 20


async def test_given_up_threads_end_with_their_connections(tmp_path: Path, connected: Connected):
    with ftp_server(tmp_path / "ftp") as server, FTPRelay(server.port, server.data_ports) as relay:
        async with connected(server.settings(Host=relay.host, HostPort=relay.port, StallSecs=600)) as work:
            await work.put("a", b"x")
            relay.stall()
            task = asyncio.ensure_future(work.put("b", os.urandom(5_000_000)))
            await asyncio.sleep(0.2)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert "ftp-transport" not in await asyncio.to_thread(_gone, "ftp-transport")


def _gone(name: str) -> list[str]:
    with contextlib.suppress(AssertionError):
        wait_until(lambda: name not in [thread.name for thread in threading.enumerate()], 10)
    return [thread.name for thread in threading.enumerate()]


@pytest.mark.slow
def test_who_says_nothing_may_have_banned_us(tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        failed = connect({**ftp_settings(silent.getsockname()[1]), "ConnectTimeoutSecs": 1}, tmp_path)
        assert isinstance(failed, TransportLost) and failed.unanswered
        port = silent.getsockname()[1]
    failed = connect(ftp_settings(port), tmp_path)
    assert isinstance(failed, TransportLost) and failed.unanswered, "nor who refuses the connection"


def ftp_settings(port: int) -> dict[str, Any]:
    return {"UseSFTP": False, "Host": "127.0.0.1", "HostPort": port, "User": "pi", "Password": "x", "ConnectTimeoutSecs": 5}
