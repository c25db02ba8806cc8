"""FTP servers that mean harm: whatever they send, a call ends in time, as an error that says what it condemns."""

from __future__ import annotations

import asyncio
import ftplib
import socket
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from pysubtask.common.errors import FileRefused, SourceError, TransportError, TransportLost
from pysubtask.control.doctor.remote_ftp import FTPRemote
from pysubtask.testing import hostile_ftp_server
from pysubtask.testing.servers.hostile_ftp import BEHAVIOURS, WORDS
from pysubtask.transports.base import Job, RemoteStat, Sent
from pysubtask.transports.ftp import FTPTransport
from pysubtask.transports.ftp.control_connection import _port
from pysubtask.transports.ftp.replies import Reply, facts_in, listed_size, number_in, size_in, time_in
from pysubtask.transports.shared.remote_text import remote_text
from tests.support.hostile import CONNECT, SLACK, STALL, outcome

TIMES = {"StallSecs": STALL, "ConnectTimeoutSecs": CONNECT}


def job_of(place: Path, name: str, size: int = 100_000) -> Job:
    source = place / "source"
    source.write_bytes(b"x" * size)
    return Job(str(source), size, 1_600_000_001 * 10**9, name, f"{name}.part")


ENDLESS = ("preliminary", "preliminaries", "lines", "line", "nested", "slow-lines", "drip", "silent", "eof", "reset")
PLACES = ("GREETING", "USER", "FEAT", "EPSV", "STOR", "STOR END", "SIZE", "MFMT", "RNFR", "RNTO", "MDTM")


@pytest.mark.slow
@pytest.mark.parametrize("behaviour", ENDLESS)
@pytest.mark.parametrize("at", PLACES)
def test_no_reply_is_waited_for_beyond_its_time(behaviour: str, at: str, tmp_path: Path):
    with hostile_ftp_server(behaviour, at) as server:
        found = asyncio.run(outcome(FTPTransport(server.settings(**TIMES), str(tmp_path / "work")), job_of(tmp_path, "a.csv")))
    assert type(found) is TransportLost, repr(found)
    assert len(str(found)) < 1000 and str(found).isprintable()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("behaviour", "at", "kind"),
    [
        ("honest", "", Sent),
        ("words", "STOR", FileRefused),
        ("words", "RNTO", FileRefused),
        ("words", "FEAT", Sent),
        ("low-port", "", TransportLost),
        ("foreign", "", Sent),
        ("data-silent", "", TransportLost),
        ("digits", "EPSV", Sent),
        ("digits", "SIZE", Sent),
        ("digits", "FEAT", Sent),
        ("digits", "MDTM", Sent),
        ("numbers", "SIZE", Sent),
        ("numbers", "MDTM", Sent),
    ],
)
def test_other_behaviours(behaviour: str, at: str, kind: type, tmp_path: Path):
    size = 20_000_000 if behaviour == "data-silent" else 100_000  # more than what the system keeps
    with hostile_ftp_server(behaviour, at) as server:
        found = asyncio.run(outcome(FTPTransport(server.settings(**TIMES), str(tmp_path / "work")), job_of(tmp_path, "a", size)))
        assert type(found) is kind, repr(found)
        if behaviour == "low-port":
            assert server.dialled == 0 and "25" in str(found)
        if behaviour == "foreign":
            assert server.dialled == 1, "the address in the reply is not looked at"


@pytest.mark.slow
async def test_one_who_takes_no_data_is_not_waited_for_twice(tmp_path: Path):
    """After a time limit without a byte taken, the server's own word used to be waited for as long again."""
    with hostile_ftp_server("data-silent", "") as server:
        transport = FTPTransport(server.settings(StallSecs=5, ConnectTimeoutSecs=20), str(tmp_path / "work"))
        await transport.connect()
        with pytest.raises(TransportLost):
            async with asyncio.timeout(9):
                await transport.upload(job_of(tmp_path, "a", 20_000_000), lambda done: None)
        await transport.close()


@pytest.mark.parametrize("port", [-1, 0, 1, 22, 25, 1023, 65536, 10**30])
def test_a_port_that_no_passive_server_has(port: int):
    with pytest.raises(ftplib.Error):
        _port(port)
    assert _port(1024) == 1024 and _port(65535) == 65535


def test_every_behaviour_is_tried():
    named = {*ENDLESS, "honest", "words", "low-port", "foreign", "data-silent", "data-endless", "digits", "numbers"}
    assert named == set(BEHAVIOURS)


async def test_a_path_a_thousand_folders_deep_is_that_files_refusal(tmp_path: Path):
    no = b"550 no such folder\r\n"
    with hostile_ftp_server(replies={"STOR": no, "MKD": no}) as server:
        transport = FTPTransport(server.settings(), str(tmp_path / "work"))
        await transport.connect()
        async with asyncio.timeout(60):
            with pytest.raises(FileRefused):
                await transport.upload(job_of(tmp_path, "d/" * 1100 + "x.csv"), lambda done: None)
            assert await transport.stat("other") is None, "the connection is good for others"
        await transport.close()
        assert sum(one.startswith("PASS") for one in server.commands) == 1


def test_folders_are_created_from_the_highest_missing_one_down(tmp_path: Path):
    with hostile_ftp_server(replies={"STOR": b"550 no such folder\r\n", "MKD": b"550 not there\r\n"}) as server:
        found = asyncio.run(outcome(FTPTransport(server.settings(**TIMES), str(tmp_path / "work")), job_of(tmp_path, "a/b/c/x")))
        assert isinstance(found, FileRefused)
        assert [one[4:] for one in server.commands if one.startswith("MKD")] == ["a/b/c", "a/b", "a", "a/b", "a/b/c"]


async def test_a_temporary_file_of_an_impossible_name_blocks_no_others(tmp_path: Path):
    with hostile_ftp_server() as server:
        transport = FTPTransport(server.settings(**TIMES), str(tmp_path / "work"))
        await transport.connect()
        with pytest.raises(FileRefused):
            await transport.remove(["a\nb/.pysubtask-1.part"])
        assert await transport.remove([".pysubtask-2.part"]) == set()
        await transport.close()


def test_a_listing_without_end_comes_to_one(tmp_path: Path):
    with hostile_ftp_server("data-endless", "") as server:

        async def whole() -> list[str]:
            remote = FTPRemote(server.settings(**TIMES), str(tmp_path / "work"))
            await remote.connect()
            async with asyncio.timeout(STALL + SLACK):
                try:
                    return await remote.ours_in("")
                except TransportLost:
                    return []
                finally:
                    await remote.close()

        assert asyncio.run(whole()) == []


# --- the parts


@pytest.mark.parametrize("code", [227, 229])
def test_the_search_for_a_port_takes_no_time(code: int, tmp_path: Path):
    """ftplib's own takes the square of the reply's length, and nothing else runs meanwhile."""
    digits = b"%d-\r\n" % code + (b"9" * 8000 + b"\r\n") * 30 + b"%d end\r\n" % code
    replies = {"PASV": digits} | ({"EPSV": digits} if code == 229 else {"EPSV": b"500 what?\r\n"})
    with hostile_ftp_server(replies=replies) as server:
        begun = time.process_time()
        found = asyncio.run(outcome(FTPTransport(server.settings(**TIMES), str(tmp_path / "work")), job_of(tmp_path, "a")))
        assert isinstance(found, TransportLost)
        assert time.process_time() - begun < 2


@pytest.mark.slow
def test_a_slow_handshake_has_one_limit(tmp_path: Path):
    """A byte of TLS a moment keeps any limit of a single read from its end."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        over = threading.Event()

        def drip() -> None:
            sock, _ = listener.accept()
            with sock:
                record = b"\x16\x03\x03\x40\x00" + b"\x02\x00\x3f\xfc" + b"\0" * 16000
                for byte in record:
                    try:
                        sock.sendall(bytes([byte]))
                    except OSError:
                        return
                    if over.wait(0.2):
                        return

        dripping = threading.Thread(target=drip, daemon=True)
        dripping.start()
        place = {"Host": "127.0.0.1", "HostPort": listener.getsockname()[1], "User": "u", "Password": "p", "UseTLS": "implicit"}
        found = asyncio.run(outcome(FTPTransport({**place, **TIMES}, str(tmp_path / "work")), job_of(tmp_path, "a")))
        over.set()
        dripping.join(10)
    assert type(found) is TransportLost


@pytest.mark.parametrize("size", ["9" * 5000, "²", "-1", str(1 << 64), "", "x"])
def test_a_size_that_cannot_be_is_none(size: str, tmp_path: Path):
    facts = f"250-\r\n type=file;size={size};modify=00000101000000; a\r\n250 End\r\n".encode()
    with hostile_ftp_server(replies={"SIZE": b"500 what?\r\n", "MDTM": b"500 what?\r\n", "MLST": facts}) as server:
        found = asyncio.run(outcome(FTPTransport(server.settings(**TIMES), str(tmp_path / "work")), job_of(tmp_path, "a")))
    assert isinstance(found, (Sent, TransportLost, FileRefused)), repr(found)


@pytest.mark.parametrize("digits", ["9" * 5000, "²", "٣", "-1", "", " 1", "1" * 19 + "x", str(1 << 63), "9" * 19])
def test_numbers_that_are_none(digits: str):
    assert number_in(digits) is None
    assert size_in(Reply(213, (f"213 {digits}x",))) is None


@pytest.mark.parametrize("words", ["00000101000000", "00001231235959", "99999999999999", "20200230000000"])
def test_times_that_are_none_raise_nothing(words: str):
    found = time_in(words)
    assert found is None or isinstance(found, int)


def test_words_of_a_server_are_fit_for_a_line():
    assert remote_text(WORDS).isprintable() and "\u202e" not in remote_text(WORDS)


@given(st.integers(100, 699), st.lists(st.text(max_size=60), min_size=1, max_size=4))
@settings(max_examples=300)
def test_any_words_are_read_without_an_error(code: int, lines: list[str]):
    reply = Reply(code, tuple(f"{code} {line}" for line in lines))
    size_in(reply)
    time_in(lines[0])
    facts_in(reply)
    found = listed_size(lines, "x")
    assert found is None or found < 1 << 63
    assert str(reply).isprintable()


# --- made up at random

VERBS = st.sampled_from(
    [
        "GREETING",
        "USER",
        "PASS",
        "FEAT",
        "TYPE",
        "EPSV",
        "PASV",
        "STOR",
        "STOR END",
        "SIZE",
        "MDTM",
        "MLST",
        "MFMT",
        "RNFR",
        "RNTO",
        "DELE",
        "MKD",
        "REST",
        "RETR",
        "RETR END",
        "LIST",
        "OPTS",
    ]
)
CODES = st.sampled_from(
    [
        110,
        125,
        150,
        200,
        202,
        211,
        213,
        220,
        226,
        227,
        229,
        230,
        250,
        257,
        331,
        332,
        350,
        421,
        425,
        426,
        450,
        451,
        452,
        500,
        502,
        504,
        522,
        530,
        534,
        550,
        551,
        552,
        553,
        600,
    ]
)
DIGITS = st.integers(0, 1 << 70).map(str)
TAILS = st.one_of(
    st.binary(max_size=60),
    DIGITS.map(str.encode),
    st.just(WORDS.encode()),
    st.just(b"(|||1024|)"),
    st.just(b"(127,0,0,1,4,1)"),
    st.just(b"00000000000000"),
    st.just(b"(|||99999999|)"),
)
REPLIES = st.one_of(
    st.binary(max_size=100).map(lambda raw: raw + b"\r\n"),
    st.tuples(CODES, TAILS).map(lambda found: b"%d " % found[0] + found[1] + b"\r\n"),
    st.tuples(CODES, st.lists(TAILS, max_size=4)).map(
        lambda found: b"%d-\r\n" % found[0] + b"".join(b" " + one + b"\r\n" for one in found[1]) + b"%d end\r\n" % found[0]
    ),
    st.tuples(CODES, CODES).map(lambda found: b"%d a\r\n%d b\r\n" % found),
)
SPOILT = st.dictionaries(VERBS, REPLIES, min_size=1, max_size=3)
KINDS = st.sampled_from(["whole", "resumed", "append", "stat", "remove"])
# What fails here fails by time: to look for a shorter example takes too long.
QUICK = (Phase.explicit, Phase.reuse, Phase.generate)


def fuzz(replies: dict[str, bytes], place: Path, kind: str) -> None:
    from pysubtask.transports.base import Append

    base = job_of(place, "a.csv", 60_000)
    job = {
        "resumed": base._replace(resume='{"begun": true}'),
        "append": base._replace(append=Append(1000, 1000), replaces=RemoteStat(1000, 1_600_000_001)),
    }.get(kind, base)
    with hostile_ftp_server(replies=replies) as server:
        server.files = {"a.csv": 1000, "a.csv.part": 30_000}

        async def whole() -> None:
            transport = FTPTransport(server.settings(StallSecs=0.3, ConnectTimeoutSecs=0.6), str(place / "work"))
            begun = time.monotonic()
            try:
                async with asyncio.timeout(0.3 + 0.6 + 2 * SLACK):
                    await transport.connect()
                    if kind == "stat":
                        await transport.stat("a.csv")
                    elif kind == "remove":
                        await transport.remove(["a.csv.part"])
                    else:
                        assert (await transport.upload(job, lambda done: None)).remote.size == 60_000
            except (TransportError, SourceError) as exc:
                assert str(exc).isprintable() and len(str(exc)) < 1000
            finally:
                await transport.close()
            assert time.monotonic() - begun < 0.3 + 0.6 + 2 * SLACK

        asyncio.run(whole())


@pytest.mark.slow
@given(SPOILT, KINDS)
@settings(max_examples=50, suppress_health_check=list(HealthCheck), phases=QUICK)
def test_whatever_is_replied_a_call_ends_in_time(tmp_path_factory: Any, replies: dict[str, bytes], kind: str):
    fuzz(replies, tmp_path_factory.getbasetemp(), kind)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@given(SPOILT, KINDS)
@settings(max_examples=3000, suppress_health_check=list(HealthCheck), phases=QUICK)
def test_whatever_is_replied_a_call_ends_in_time_at_length(tmp_path_factory: Any, replies: dict[str, bytes], kind: str):
    fuzz(replies, tmp_path_factory.getbasetemp(), kind)
