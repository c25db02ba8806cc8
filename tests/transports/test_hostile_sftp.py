"""SFTP servers that mean harm: whatever they send, a call ends in time, as an error that says what it condemns."""

from __future__ import annotations

import asyncio
import json
import shlex
import struct
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from pysubtask.common.errors import AttemptFailed, FileRefused, SourceError, TransportError, TransportLost
from pysubtask.control.doctor.remote_sftp import SFTPRemote
from pysubtask.testing.servers import hostile_sftp
from pysubtask.testing.servers.hostile_sftp import BEHAVIOURS, WORDS, Server, string
from pysubtask.transports.base import Job, RemoteStat, Sent
from pysubtask.transports.sftp import SFTPTransport, packets
from pysubtask.transports.sftp.client import Client
from pysubtask.transports.sftp.packets import Malformed, Splitter
from pysubtask.transports.sftp.publish import Publisher
from pysubtask.transports.shared.remote_text import remote_text
from pysubtask.transports.shared.ssh_login import asks_for_password
from pysubtask.transports.ssh.errors import verdict
from tests.support.hostile import CONNECT, SLACK, STALL, outcome
from tests.support.sftp_peer import Peer, playing, strangers


def settings_of(place: Path, behaviour: str) -> dict[str, Any]:
    """A transport that finds this server where it looks for ssh."""
    program = place / "ssh"
    program.write_text(f"#!/bin/sh\nexec {shlex.quote(sys.executable)} -I -m pysubtask.testing.servers.hostile_sftp {behaviour}\n")
    program.chmod(0o700)
    return {
        "Host": "h",
        "User": "u",
        "SSHProgram": str(program),
        "SSHConfigFile": "none",
        "HostPath": "",
        "StallSecs": STALL,
        "ConnectTimeoutSecs": CONNECT,
    }


def job_of(place: Path, name: str, size: int = 100_000) -> Job:
    source = place / "source"
    source.write_bytes(b"x" * size)
    return Job(str(source), size, 10**18, name, f"{name}.part")


LOST = (
    "banner",
    "stderr",
    "drip",
    "drip-version",
    "silent",
    "flood",
    "huge",
    "wrong-id",
    "wrong-kind",
    "version-2",
    "version-6",
    "eof-0",
    "eof-1",
    "eof-2",
    "eof-3",
    "eof-5",
    "eof-7",
)
REFUSED = ("large", "nested", "sizes", "words")
DONE = ("honest", "limits-0", "limits-1", "limits-most")


def test_every_behaviour_is_tried():
    assert {name for name in (*LOST, *REFUSED, *DONE) if not name.startswith("eof")} == set(BEHAVIOURS)


@pytest.mark.slow
@pytest.mark.parametrize("behaviour", [*LOST, *REFUSED, *DONE])
def test_a_call_ends_in_time_whatever_the_server_does(behaviour: str, tmp_path: Path):
    transport = SFTPTransport(settings_of(tmp_path, behaviour), str(tmp_path / "work"))
    found = asyncio.run(outcome(transport, job_of(tmp_path, "a/b/c.csv")))
    if behaviour in DONE:
        assert isinstance(found, Sent) and found.remote.size == 100_000, found
    else:
        # A size that cannot be right is that file's attempt, which is made again.
        refused = AttemptFailed if behaviour == "sizes" else FileRefused
        assert type(found) is (TransportLost if behaviour in LOST else refused), repr(found)
        assert len(str(found)) < 1000 and str(found).isprintable()


async def test_a_path_a_thousand_folders_deep_is_that_files_refusal(tmp_path: Path):
    transport = SFTPTransport(settings_of(tmp_path, "nested"), str(tmp_path / "work"))
    transport._stall = 30

    await transport.connect()
    async with asyncio.timeout(60):
        with pytest.raises(FileRefused):
            await transport.upload(job_of(tmp_path, "d/" * 1100 + "x.csv"), lambda done: None)
        assert await transport.stat("other") is None, "the connection is good for others"
    await transport.close()


# --- the parts


@pytest.mark.slow
async def test_a_drip_is_no_answer():
    """A byte now and then keeps any limit of a single read from its end."""

    async with asyncio.timeout(20), playing(stall=1) as (client, peer):
        asked = client.request(packets.STAT, string(b"a"))
        await peer.expect("stat")

        async def drip() -> None:
            for byte in struct.pack(">I", 1000) + b"\x65" * 900:
                await peer.send(bytes([byte]))
                await asyncio.sleep(0.2)

        dripping = asyncio.ensure_future(drip())
        begun = time.monotonic()
        with pytest.raises(TransportLost, match="no answer"):
            await asked
        assert time.monotonic() - begun < 1 + SLACK
        dripping.cancel()


@pytest.mark.slow
async def test_a_long_answer_in_time_is_one():
    async with asyncio.timeout(20), playing(stall=1) as (client, peer):
        for _ in range(4):
            asked = client.request(packets.READ, packets.read(b"h", 0, 20))
            (request,) = await peer.expect("read")
            answer = string(struct.pack(">BI", packets.DATA, request.number) + string(b"x" * 20))
            for byte in answer:
                await peer.send(bytes([byte]))
                await asyncio.sleep(0.01)
            assert (await asked).data == b"x" * 20  # type: ignore[union-attr]


@pytest.mark.slow
@pytest.mark.parametrize("answer", [Server.attrs(b"NUMB", 5), bytes([packets.HANDLE]) + b"NUMB" + string(b"h")])
@pytest.mark.parametrize("size", [10, 100_000])
async def test_a_write_answered_with_something_else_ends_its_upload(answer: bytes, size: int, tmp_path: Path):
    """The upload whose last WRITE it was used to wait for ever: nothing had it on a list any more."""

    async with asyncio.timeout(20), playing(stall=1) as (client, peer):
        uploading = asyncio.ensure_future(Publisher(client, "", None).upload(job_of(tmp_path, "a", size), lambda done: None))
        (opening,) = await peer.expect("open")
        await peer.handle(opening)
        first = await peer.next()
        await peer.send(string(answer.replace(b"NUMB", struct.pack(">I", first.number))))
        begun = time.monotonic()
        with pytest.raises(TransportLost):
            await uploading
        assert time.monotonic() - begun < 1 + SLACK


@pytest.mark.parametrize("version", [0, 2, 4, 6, 0xFFFFFFFF])
async def test_another_version_is_refused_at_once(version: int):
    async with asyncio.timeout(20), strangers() as (client, peer):
        await peer.send(string(struct.pack(">BI", packets.VERSION, version)))
        with pytest.raises(TransportLost, match="version"):
            await client.start()


@pytest.mark.parametrize("value", [0, 1, 2, 1023, 1024, 70_000, (1 << 64) - 1])
async def test_any_limits_give_a_window_that_sends(value: int, tmp_path: Path):
    async with asyncio.timeout(30), strangers() as (client, peer):
        serving = asyncio.ensure_future(serve(peer, Server(limits=value)))
        await client.start()
        assert 1 <= client.window.largest <= 255 * 1024
        assert 1 <= client.window.chunk <= client.window.largest
        sent = await Publisher(client, "", None).upload(job_of(tmp_path, "a", 5000), lambda done: None)
        assert sent.remote.size == 5000
        serving.cancel()


async def serve(peer: Peer, server: Server, spoilt: dict[int, bytes] | None = None) -> None:
    """Answer as the server does, but the n-th packet with these bytes, after which it hangs up if there are none."""
    number = 0
    while True:
        (size,) = struct.unpack(">I", await peer._exactly(4))
        packet = await peer._exactly(size)
        if spoilt and number in spoilt:
            if not spoilt[number]:
                peer.hang_up()
                return
            await peer.send(spoilt[number].replace(b"NUMB", packet[1:5]))
        else:
            await peer.send(string(server.answer(packet)))
        number += 1


def test_packets_in_single_bytes_cost_no_more_than_their_bytes():
    """Each byte that came used to copy all before it: 200 KB took seconds, and nothing else was done meanwhile."""
    packet = string(b"x" * 256_000)
    splitter = Splitter()
    begun = time.process_time()
    got = [one for byte in packet for one in splitter.feed(bytes([byte]))]
    assert got == [packet[4:]]
    assert time.process_time() - begun < 0.7


def test_long_words_of_a_status_are_not_kept():
    import tracemalloc

    tracemalloc.start()
    try:
        for number in range(200):
            packets.reply(struct.pack(">BII", packets.STATUS, number, 4) + string(b"%d" % number + b"x" * 250_000) + string(b""))
        assert tracemalloc.get_traced_memory()[0] < 2_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "prompt",
    [
        "Password:" + " " * 32_000,
        "Password" + " " * 32_000 + ":",
        " " * 32_000,
        "p" * 32_000,
        "Password for " + " " * 32_000 + "x",
        "\u00a0" * 32_000,
    ],
)
def test_a_long_prompt_is_no_question_for_a_password(prompt: str):
    begun = time.process_time()
    assert not asks_for_password(prompt + "x")
    assert not asks_for_password(prompt)
    assert time.process_time() - begun < 0.5


@pytest.mark.parametrize("words", ["Password:", "Password: ", "pi@host's password: ", "(?)" * 10 + "no"])
def test_short_prompts_are_judged_as_before(words: str):
    assert asks_for_password(words) == ("assword" in words)


@pytest.mark.parametrize("line", ["no matching ", "Host key a ", "unsupported option ", "REVOKED ", "Unable to ", "@", "a "])
def test_stderr_without_end_is_cut_before_it_is_searched(line: str):
    begun = time.process_time()
    for ending in ("", "\n"):
        assert len(str(verdict((line + ending) * (2_000_000 // len(line)), 255))) < 2000
    assert time.process_time() - begun < 1.5


def test_words_of_a_server_are_fit_for_a_line():
    text = remote_text(WORDS.encode())
    assert text.isprintable() and "\u202e" not in text


# --- listings (the doctor)


def listing(names: list[bytes]) -> bytes:
    body = b"".join(string(name) + string(b"-rw") + struct.pack(">I", 0) for name in names)
    return struct.pack(">I", len(names)) + body


@pytest.mark.slow
@pytest.mark.parametrize("same", [True, False])
def test_a_listing_without_end_comes_to_one(same: bool, tmp_path: Path):
    async def whole() -> list[str]:
        async with asyncio.timeout(60), playing(stall=2) as (client, peer):
            remote = SFTPRemote({"Host": "h", "User": "u"}, str(tmp_path))
            remote._client, remote._publisher = client, Publisher(client, "", None)

            async def endless() -> None:
                at = 0
                while True:
                    (size,) = struct.unpack(">I", await peer._exactly(4))
                    packet = await peer._exactly(size)
                    if packet[0] == packets.OPENDIR:
                        await peer.send(string(bytes([packets.HANDLE]) + packet[1:5] + string(b"h")))
                    elif packet[0] == packets.CLOSE:
                        await peer.send(string(Server.status(packet[1:5], 0)))
                    else:
                        names = [b".pysubtask-%d.part" % (at + n) for n in range(3000)]
                        at += 0 if same else 3000
                        await peer.send(string(bytes([packets.NAME]) + packet[1:5] + listing(names)))

            serving = asyncio.ensure_future(endless())
            try:
                return await remote.ours_in("")
            finally:
                serving.cancel()

    found = asyncio.run(whole())
    assert 0 < len(found) <= 10_000
    assert len(found) == len(set(found))


def test_names_of_a_server_that_are_no_names_are_left_out(tmp_path: Path):
    bad = [
        b".pysubtask-/../../etc/passwd",
        b".pysubtask-\0x",
        b".pysubtask-\nx",
        b"..",
        b"/",
        b"",
        b".pysubtask-\x1b[2J",
        b".pysubtask-" + b"x" * 5000,
    ]

    async def whole() -> list[str]:
        async with asyncio.timeout(60), playing(stall=2) as (client, peer):
            remote = SFTPRemote({"Host": "h", "User": "u"}, str(tmp_path))
            remote._client, remote._publisher = client, Publisher(client, "", None)

            async def once() -> None:
                for _ in range(2):
                    request = await peer.next()
                    if request.what == str(packets.OPENDIR):
                        await peer.handle(request)
                    else:
                        answer = struct.pack(">BI", packets.NAME, request.number) + listing([*bad, b".pysubtask-ab12.part"])
                        await peer.send(string(answer))
                await peer.status(await peer.next(), packets.EOF)
                await peer.status(await peer.next())

            serving = asyncio.ensure_future(once())
            found = await remote.ours_in("")
            await serving
            return found

    assert asyncio.run(whole()) == [".pysubtask-ab12.part"]


# --- made up at random


REPLIES = st.one_of(
    st.just(b""),
    st.binary(min_size=1, max_size=80),
    st.binary(max_size=80).map(lambda rest: string(b"\x65NUMB" + rest)),
    st.tuples(st.sampled_from([101, 102, 103, 104, 105, 201, 2, 1, 0, 255]), st.binary(max_size=60)).map(
        lambda found: string(bytes([found[0]]) + b"NUMB" + found[1])
    ),
    st.integers(0, 0xFFFFFFFF).map(lambda code: string(Server.status(b"NUMB", code, WORDS.encode()))),
    st.tuples(st.integers(0, (1 << 64) - 1), st.integers(0, 0xFFFFFFFF)).map(
        lambda found: string(Server.attrs(b"NUMB", found[0], found[1]))
    ),
)


def fuzz(spoilt: dict[int, bytes], place: Path, kind: str) -> None:
    """One upload over a connection that is spoilt at some packets."""
    base = job_of(place, "a/b.csv", 3000)
    left = RemoteStat(1000, 1_600_000_000)
    job = {
        "whole": base,
        "resumed": base._replace(resume=json.dumps({"offset": 2000, "size": 3000, "named": False})),
        "append": base._replace(append=packets_append(1000), replaces=left),
    }[kind]

    async def whole() -> None:
        async with asyncio.timeout(20), strangers(stall=0.3) as (client, peer):
            server = Server(limits=1 << 20)
            server.files = {b"a/b.csv": 1000, b"a/b.csv.part": 2000}
            serving = asyncio.ensure_future(serve(peer, server, spoilt))
            begun = time.monotonic()
            try:
                try:
                    async with asyncio.timeout(0.5):  # the login's own limit
                        await client.start()
                except TimeoutError:
                    client.fail(TransportLost("no login"))
                async with asyncio.timeout(10):
                    sent = await Publisher(client, "", None).upload(job, lambda done: None)
                assert sent.remote.size == 3000
            except (TransportError, SourceError) as exc:
                assert str(exc).isprintable() and len(str(exc)) < 1000
            assert time.monotonic() - begun < 0.8 + SLACK
            serving.cancel()
            for error in await asyncio.gather(serving, return_exceptions=True):
                assert isinstance(error, (OSError, EOFError, asyncio.CancelledError, type(None)))

    asyncio.run(whole())


def packets_append(at: int) -> Any:
    from pysubtask.transports.base import Append

    return Append(at, at)


# What fails here fails by time: to look for a shorter example takes too long.
QUICK = (Phase.explicit, Phase.reuse, Phase.generate)
SPOILT = st.dictionaries(st.integers(0, 14), REPLIES, max_size=3)
KINDS = st.sampled_from(["whole", "resumed", "append"])


@pytest.mark.slow
@given(SPOILT, KINDS)
@settings(max_examples=60, suppress_health_check=list(HealthCheck), phases=QUICK)
def test_whatever_is_answered_an_upload_ends_in_time(tmp_path_factory: Any, spoilt: dict[int, bytes], kind: str):
    fuzz(spoilt, tmp_path_factory.getbasetemp(), kind)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@given(SPOILT, KINDS)
@settings(max_examples=5000, suppress_health_check=list(HealthCheck), phases=QUICK)
def test_whatever_is_answered_an_upload_ends_in_time_at_length(tmp_path_factory: Any, spoilt: dict[int, bytes], kind: str):
    fuzz(spoilt, tmp_path_factory.getbasetemp(), kind)


@given(st.binary(max_size=2000), st.lists(st.integers(1, 400), min_size=1))
@settings(max_examples=300)
def test_a_splitter_gives_the_same_however_a_stream_is_cut(raw: bytes, cuts: list[int]):
    def split(pieces: list[bytes]) -> tuple[list[bytes], bool]:
        splitter, got = Splitter(), []
        try:
            for piece in pieces:
                got += splitter.feed(piece)
        except Malformed:
            return got, True
        return got, False

    pieces, at = [], 0
    while at < len(raw):
        step = cuts[len(pieces) % len(cuts)]
        pieces.append(raw[at : at + step])
        at += step
    one, many = split([raw]), split(pieces)
    assert one[1] == many[1]
    assert many[0] == one[0] or one[1], "of a stream that is broken further on, one look may give less"


def test_the_server_itself_knows_its_behaviours():
    with pytest.raises(ValueError, match="drip"):
        hostile_sftp.command("kind")
    assert isinstance(hostile_sftp.command("eof-3"), str) and Client is not None
