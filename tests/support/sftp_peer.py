"""The other end of an SFTP client, played by hand: it sees every request in its order and gives scripted answers."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

from pysubtask.common.errors import TransportLost
from pysubtask.transports.sftp import packets
from pysubtask.transports.sftp.client import Client
from pysubtask.transports.ssh.stream import FdStream

ALL = (packets.POSIX_RENAME, packets.FSYNC)
NAMES = {
    packets.OPEN: "open",
    packets.CLOSE: "close",
    packets.WRITE: "write",
    packets.FSTAT: "fstat",
    packets.REMOVE: "remove",
    packets.FSETSTAT: "fsetstat",
    packets.MKDIR: "mkdir",
    packets.RENAME: "rename",
    packets.LSTAT: "lstat",
    packets.STAT: "stat",
    packets.READ: "read",
}


class Request(NamedTuple):
    """A request: what it is called (an extension by its first word), its id, and what follows."""

    what: str
    number: int
    body: bytes

    @property
    def path(self) -> str:
        """The first string."""
        (length,) = struct.unpack_from(">I", self.body)
        return self.body[4 : 4 + length].decode()


class Peer:
    """Reads requests, writes answers; its limits keep a test from waiting for ever."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self.seen: list[str] = []
        self.absent: tuple[str, ...] = ()
        """LSTATs of these names are answered by themselves: nothing stands there."""

    async def _exactly(self, count: int) -> bytes:
        got = b""
        while len(got) < count:
            block = await asyncio.get_running_loop().sock_recv(self._end, count - len(got))
            if not block:
                raise EOFError
            got += block
        return got

    async def greet(self, extensions: tuple[str, ...] = ALL) -> None:
        assert await self._exactly(9) == packets.init()
        pairs = b"".join(packets.string(one.encode()) + packets.string(b"1") for one in extensions)
        await self.send(packets.string(struct.pack(">BI", packets.VERSION, 3) + pairs))

    async def next(self, secs: float = 20) -> Request:
        async with asyncio.timeout(secs):
            (length,) = struct.unpack(">I", await self._exactly(4))
            raw = await self._exactly(length)
        kind, number = struct.unpack_from(">BI", raw)
        body = raw[5:]
        what = NAMES.get(kind, str(kind))
        if kind == packets.EXTENDED:
            (size,) = struct.unpack_from(">I", body)
            what = body[4 : 4 + size].decode().partition("@")[0]
            body = body[4 + size :]
        self.seen.append(what)
        request = Request(what, number, body)
        if what == "lstat" and request.path in self.absent:
            await self.status(request, packets.NO_SUCH_FILE)
            return await self.next(secs)
        return request

    async def expect(self, *expected: str) -> list[Request]:
        """The next requests are exactly these."""
        got = [await self.next() for _ in expected]
        assert tuple(one.what for one in got) == expected
        return got

    async def nothing(self, secs: float = 0.2) -> None:
        """No request comes."""
        try:
            request = await self.next(secs)
        except TimeoutError:
            return
        raise AssertionError(f"{request} came too early")

    async def send(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self._end, data)

    async def status(self, request: Request, code: int = packets.OK, words: str = "") -> None:
        body = struct.pack(">BII", packets.STATUS, request.number, code) + packets.string(words.encode()) + packets.string(b"en")
        await self.send(packets.string(body))

    async def handle(self, request: Request, handle: bytes = b"h1") -> None:
        await self.send(packets.string(struct.pack(">BI", packets.HANDLE, request.number) + packets.string(handle)))

    async def data(self, request: Request, found: bytes) -> None:
        await self.send(packets.string(struct.pack(">BI", packets.DATA, request.number) + packets.string(found)))

    async def attrs(self, request: Request, size: int, mtime: int | None = 1_600_000_000) -> None:
        if mtime is None:
            await self.send(packets.string(struct.pack(">BIIQ", packets.ATTRS, request.number, 1, size)))
            return
        body = struct.pack(">BIIQIII", packets.ATTRS, request.number, 1 | 4 | 8, size, 0o100644, mtime, mtime)
        await self.send(packets.string(body))

    def hang_up(self) -> None:
        self._end.close()


@asynccontextmanager
async def playing(stall: float = 30, extensions: tuple[str, ...] = ALL) -> AsyncIterator[tuple[Client, Peer]]:
    """A client that has been greeted, and its peer."""
    async with strangers(stall) as (client, peer):
        greeting = asyncio.ensure_future(peer.greet(extensions))
        await client.start()
        await greeting
        yield client, peer


@asynccontextmanager
async def strangers(stall: float = 30) -> AsyncIterator[tuple[Client, Peer]]:
    """A client that has not been greeted yet, and its peer."""
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    with ours, theirs:
        stream = FdStream(os.dup(ours.fileno()), os.dup(ours.fileno()))
        ours.close()
        peer = Peer(theirs)
        client = Client(stream, stall)
        try:
            yield client, peer
        finally:
            client.fail(TransportLost("the test is over"))
