"""What VerifyChecksum asks of a server, and what follows from its answer: pure parts, FTP, SFTP."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import random
import zlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from pysubtask.common.errors import AttemptFailed, FileRefused, NotAsLeft, SourceChanged
from pysubtask.testing import SFTPServer, sftp_server
from pysubtask.testing.servers.ftp import FTPServer, ftp_server
from pysubtask.testing.servers.sshd import OpenSSHServer, find_program, missing, openssh_server
from pysubtask.transports.base import Append, Job, Sent, Transport
from pysubtask.transports.ftp import FTPTransport
from pysubtask.transports.ftp.checksum import HashRequest, best_hash_request, hash_in
from pysubtask.transports.ftp.replies import Reply
from pysubtask.transports.sftp import SFTPTransport
from pysubtask.transports.shared.checksum import ALGORITHMS, Checks, own_hash

DATA = random.Random(5).randbytes(70_000)
SHA = hashlib.sha256(DATA).hexdigest()


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ({}, None),
        ({"HASH": "SHA-1;SHA-256*;MD5"}, HashRequest("sha256", "HASH")),
        ({"HASH": "SHA-1*;SHA-256", "XSHA256": ""}, HashRequest("sha256", "HASH", "SHA-256")),
        ({"HASH": "SHA-1*;MD5", "XSHA256": ""}, HashRequest("sha256", "XSHA256")),
        ({"XCRC": "filename;start;end", "XSHA": ""}, HashRequest("sha1", "XSHA")),
        ({"XCRC": ""}, HashRequest("crc32", "XCRC")),
        ({"HASH": "WHIRLPOOL*"}, None),
    ],
)
def test_the_best_that_is_offered(found: dict[str, str], expected: HashRequest | None):
    assert best_hash_request(found) == expected


@pytest.mark.parametrize(
    ("line", "algorithm", "expected"),
    [
        (f"213 SHA-256 0-49 {SHA} a name {'0' * 64}", "sha256", SHA),
        (f"250 {SHA.upper()}", "sha256", SHA.upper()),
        ("250 XCRC 5F37A2C", "crc32", "5F37A2C"),
        ("250 The CRC is 5f37a2c1", "crc32", "5f37a2c1"),
        ("250 OK", "md5", None),
        (f"250 {SHA}00", "sha256", None),
        (f"550 {SHA}", "sha256", None),
    ],
)
def test_the_hash_in_a_reply(line: str, algorithm: str, expected: str | None):
    assert hash_in(Reply(int(line[:3]), (line,)), algorithm) == expected


def test_the_hash_of_the_source(tmp_path: Path):
    source = tmp_path / "a"
    source.write_bytes(DATA + b"more")
    job = Job(str(source), len(DATA), None, "a", ".t")
    fd = os.open(source, os.O_RDONLY)
    try:
        for name in ALGORITHMS:
            expected = f"{zlib.crc32(DATA):08x}" if name == "crc32" else hashlib.new(name, DATA).hexdigest()
            assert own_hash(job, fd, name) == expected
        assert own_hash(job._replace(sha256="known"), fd, "sha256") == "known"
        assert own_hash(job._replace(base=5), fd, "sha256") == own_hash(job, fd, "whirlpool") == ""
        with pytest.raises(SourceChanged):
            own_hash(job._replace(size=len(DATA) + 5), fd, "md5")
    finally:
        os.close(fd)


@pytest.mark.parametrize(
    ("level", "whole", "append"),
    [("size", False, False), ("auto", True, False), ("always", True, True), ("shell", True, True), ("required", True, True)],
)
def test_what_each_level_asks_for(level: str, whole: bool, append: bool):
    job, checks = Job("", 100, None, "a", ".t"), Checks({"VerifyChecksum": level})
    assert (checks.needed(job), checks.needed(job._replace(append=Append(5, 5)))) == (whole, append)
    checks.late(job)
    assert checks.needed(job) == whole, "a small one was not the reason"
    big, must = job._replace(size=10**9), level == "required"
    checks.late(big)
    assert checks.needed(big) == must, "rather delivered without than never"
    assert checks.needed(job) == whole
    if must:
        with pytest.raises(FileRefused, match="no hash"):
            checks.without(job, "why")
    else:
        assert checks.without(job, "why") == "size"


def test_a_file_that_is_wrong_again_and_again_is_put_aside():
    job, checks = Job("", 100, None, "a", ".t"), Checks({})
    for _ in range(2):
        for _ in range(2):
            with pytest.raises(AttemptFailed, match="the server has bb"):
                checks.compared(job, "aa", "bb")
        assert checks.compared(job, "0a", "A") == "hash"
    for _ in range(2):
        with pytest.raises(AttemptFailed):
            checks.compared(job, "aa", "bb")
    with pytest.raises(FileRefused, match="VerifyChecksum"):
        checks.compared(job, "aa", "bb")


def test_a_source_that_was_rewritten_is_no_wrong_hash():
    def confirm() -> None:
        raise SourceChanged("rewritten")

    checks = Checks({})
    for _ in range(5):
        with pytest.raises(SourceChanged):
            checks.compared(Job("", 100, None, "a", ".t", confirm=confirm), "aa", "bb")


# FTP


class DeliveryContext:
    """Uploads of one test."""

    def __init__(self, place: Path, transport: Transport) -> None:
        self.place = place
        self.transport = transport
        self.notes: list[str] = []
        self.count = 0

    def job(self, name: str, data: bytes, **changes: object) -> Job:
        self.count += 1
        source = self.place / f"source-{self.count}"
        source.write_bytes(data)
        job = Job(
            str(source),
            len(data),
            1_600_000_000 * 10**9,
            name,
            f".t {self.count}.tmp",
            note=self.notes.append,
            sha256=hashlib.sha256(data).hexdigest(),
        )
        return job._replace(**changes)  # type: ignore[arg-type]

    async def put(self, name: str, data: bytes, **changes: object) -> Sent:
        return await self.transport.upload(self.job(name, data, **changes), lambda done: None)


@pytest.fixture(params=[("HASH",), ("XSHA256",), ("XMD5",), ("XCRC",)], ids=lambda names: names[0])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[FTPServer]:
    with ftp_server(tmp_path / "ftp", hashes=request.param) as running:
        yield running


async def test_ftp_compares_the_hash_before_the_name_shows_it(server: FTPServer, tmp_path: Path):
    [command] = server.oddities.hashes
    transport = FTPTransport(server.settings(), str(tmp_path))
    context = DeliveryContext(tmp_path, transport)
    await transport.connect()
    try:
        sent = await context.put("a", DATA)
        assert (sent.verified, server.counts[command]) == ("hash", 1)
        server.flips = 1
        with pytest.raises(AttemptFailed, match="the server has"):
            await context.put("a", b"new" + DATA)
        assert (server.files / "a").read_bytes() == DATA
        assert server.names() == {"a"}, "nothing is built upon what is wrong"
        await transport.close()
        await transport.connect()
        assert (await context.put("a", b"new" + DATA)).verified == "hash"
        assert server.counts["OPTS"] <= 4, "what HASH computes is said once for each connection"
        left = (await context.put("b", DATA)).remote
        asked = server.counts[command]
        sent = await context.put("b", DATA + b"more", replaces=left, append=Append(len(DATA), len(DATA)))
        assert (sent.verified, server.counts[command]) == ("size", asked), "that would cost reading all of it"
    finally:
        await transport.close()
    assert (server.files / "b").read_bytes() == DATA + b"more"


async def test_ftp_after_an_append_where_it_is_asked_for(tmp_path: Path):
    with ftp_server(tmp_path / "ftp", hashes=("XSHA256",)) as server:
        transport = FTPTransport(server.settings(VerifyChecksum="always"), str(tmp_path))
        context = DeliveryContext(tmp_path, transport)
        await transport.connect()
        try:
            left = (await context.put("b", DATA)).remote
            sent = await context.put("b", DATA + b"more", replaces=left, append=Append(len(DATA), len(DATA)))
            assert sent.verified == "hash"
            (server.files / "b").write_bytes(DATA[:-1] + b"?" + b"more")
            os.utime(server.files / "b", (1_600_000_000, 1_600_000_000))
            with pytest.raises(NotAsLeft, match="the server has"):
                await context.put("b", DATA + b"more and more", replaces=sent.remote, append=Append(len(DATA) + 4, len(DATA) + 4))
            assert (await context.put("b", DATA + b"more and more")).verified == "hash"
        finally:
            await transport.close()
        assert (server.files / "b").read_bytes() == DATA + b"more and more"


@pytest.mark.parametrize("level", ["size", "auto", "required"])
async def test_ftp_without_hashes(tmp_path: Path, level: str):
    with ftp_server(tmp_path / "ftp", hashes=("HASH",) if level == "size" else ()) as server:
        transport = FTPTransport(server.settings(VerifyChecksum=level), str(tmp_path))
        context = DeliveryContext(tmp_path, transport)
        await transport.connect()
        try:
            if level == "required":
                with pytest.raises(FileRefused, match="gives no hash"):
                    await context.put("a", DATA)
                assert server.names() == set()
            else:
                assert (await context.put("a", DATA)).verified == "size"
                assert server.counts["HASH"] == 0
        finally:
            await transport.close()


# SFTP


@contextlib.asynccontextmanager
async def connected(server: SFTPServer | OpenSSHServer, place: Path, **settings: Any) -> AsyncIterator[DeliveryContext]:
    transport = SFTPTransport(server.settings(**settings), str(place))
    await transport.connect()
    try:
        yield DeliveryContext(place, transport)
    finally:
        await transport.close()


@pytest.mark.parametrize("algorithm", ["sha256", "md5"])
async def test_sftp_compares_the_hash_before_the_name_shows_it(tmp_path: Path, algorithm: str):
    with sftp_server(tmp_path / "sftp", hashes=[algorithm]) as server:
        async with connected(server, tmp_path) as context:
            sent = await context.put("a", DATA)
            assert (sent.verified, server.count("check")) == ("hash", 1)
            server.flips = 1
            with pytest.raises(AttemptFailed, match="the server has"):
                await context.put("a", b"new" + DATA)
            assert (tmp_path / "sftp" / "a").read_bytes() == DATA
            assert os.listdir(tmp_path / "sftp") == ["a"] and context.notes[-1:] in ([], [""]), (
                "nothing is built upon what is wrong"
            )
            left = (await context.put("b", DATA)).remote
            asked = server.count("check")
            sent = await context.put("b", DATA + b"more", replaces=left, append=Append(len(DATA), len(DATA)))
            assert (sent.verified, server.count("check")) == ("size", asked)
            server.fail("check", code=4, times=1)
            assert (await context.put("c", DATA)).verified == "size", "it offers that and does not do it"
        async with connected(server, tmp_path, VerifyChecksum="always") as context:
            left = (await context.put("b", DATA)).remote
            sent = await context.put("b", DATA + b"more", replaces=left, append=Append(len(DATA), len(DATA)))
            assert sent.verified == "hash"
            (tmp_path / "sftp" / "b").write_bytes(DATA[:-1] + b"?" + b"more")
            os.utime(tmp_path / "sftp" / "b", (1_600_000_000, 1_600_000_000))
            with pytest.raises(NotAsLeft, match="the server has"):
                await context.put("b", DATA + b"more and more", replaces=sent.remote, append=Append(len(DATA) + 4, len(DATA) + 4))


@pytest.mark.skipif(missing() is not None, reason=str(missing()))
async def test_openssh_only_by_a_shell(tmp_path: Path):
    """Whatever a name has in it, and with a login shell that prints things."""
    odd = os.fsdecode(b"$(id) 'a\"b\xff\n`c` ; %s")
    with openssh_server(tmp_path / "sshd") as server:
        async with connected(server, tmp_path, HostPath=str(server.files)) as context:
            assert (await context.put("a", DATA)).verified == "size"
        async with connected(server, tmp_path, VerifyChecksum="shell", HostPath=str(server.files / "it's")) as context:
            sents = await asyncio.gather(*(context.put(name, DATA) for name in ("a", odd)))
            assert [sent.verified for sent in sents] == ["hash"] * 2
            wire = context.transport.wire()
            assert wire is not None and wire.sent > 2 * len(DATA) + 4_000, "its login is counted, too"
            left = sents[0].remote
            file = server.files / "it's" / "a"
            file.write_bytes(b"?" + DATA[1:])
            os.utime(file, (1_600_000_000, 1_600_000_000))
            with pytest.raises(NotAsLeft, match="the server has"):
                await context.put("a", DATA + b"more", replaces=left, append=Append(len(DATA), len(DATA)))
            assert (await context.put("a", DATA + b"more")).verified == "hash"


@pytest.mark.skipif(missing() is not None, reason=str(missing()))
async def test_openssh_where_the_account_may_do_sftp_alone(tmp_path: Path):
    with openssh_server(tmp_path / "sshd") as server:
        keys = tmp_path / "sshd" / "authorized_keys"
        keys.write_text(f'restrict,command="{find_program("sftp-server")} -d {server.files}" {keys.read_text()}')
        async with connected(server, tmp_path, VerifyChecksum="shell") as context:
            assert [(await context.put(name, DATA)).verified for name in "ab"] == ["size", "size"]
        async with connected(server, tmp_path, VerifyChecksum="required") as context:
            with pytest.raises(FileRefused, match="gives no hash"):
                await context.put("c", DATA)
            assert sorted(os.listdir(server.files)) == ["a", "b"]
