"""An SFTP server that means harm, or is broken: what it does to a client is chosen by name.

It speaks over stdin and stdout, so sshd runs it in the place of sftp-server::

    with openssh_server(folder, subsystem=hostile_sftp.command("drip")) as server:
        ...

``Server`` alone is an honest one in memory, whose answers a test may spoil. The packets are those of
draft-ietf-secsh-filexfer-02.
"""

from __future__ import annotations

import os
import shlex
import struct
import sys
import time
from collections.abc import Callable, Iterator

BEHAVIOURS: dict[str, str] = {
    "honest": "does what it is asked, keeps sizes and no bytes",
    "banner": "prints text without end in the place of its first packet",
    "stderr": "answers nothing and writes without end on stderr",
    "drip": "sends its answer to the first OPEN one byte a second",
    "drip-version": "sends its first packet one byte a second",
    "silent": "answers nothing after the login",
    "flood": "answers the first OPEN with answers that nobody asked for, without end",
    "huge": "announces a packet of 4 GB and sends it",
    "large": "answers with words of 250 KB, and lists extensions of 250 KB",
    "nested": "knows no folder and makes none, however deep it is asked to",
    "wrong-id": "answers under another number",
    "wrong-kind": "answers everything with a handle",
    "sizes": "tells sizes of 2**64 - 1 and times of 2**32 - 1",
    "limits-0": "limits@openssh.com: all 0",
    "limits-1": "limits@openssh.com: all 1",
    "limits-most": "limits@openssh.com: all 2**64 - 1",
    "version-2": "speaks version 2",
    "version-6": "speaks version 6",
    "words": "refuses everything with words that steer a terminal and forge lines",
}
"""What it can do, by name; ``eof-N`` besides: it hangs up in place of its N-th packet."""

WORDS = "no\x1b]0;OWNED\x07\x1b[2J\r\n2026-11-21 20:37:10.205 [ftp.FTPSubtask.1]: ERROR: forged \u202egnp.exe\x9b31m"
"""What "words" says."""

_VERSION, _STATUS, _HANDLE, _DATA, _NAME, _ATTRS, _EXTENDED_REPLY = 2, 101, 102, 103, 104, 105, 201
_OK, _EOF, _NO_SUCH_FILE, _FAILURE, _UNSUPPORTED = 0, 1, 2, 4, 8
_MOST = (1 << 64) - 1


def command(behaviour: str) -> str:
    """The command line that runs one, for sshd's Subsystem. ValueError for one that is not known."""
    _check(behaviour)
    return f"{shlex.quote(sys.executable)} -I -m pysubtask.testing.servers.hostile_sftp {behaviour}"


def string(raw: bytes) -> bytes:
    """``uint32 length`` and the bytes."""
    return struct.pack(">I", len(raw)) + raw


class Server:
    """An honest server in memory: ``answer`` takes a packet without its length and gives the one that answers it. ``deep``:
    whether folders can be made."""

    def __init__(self, *, deep: bool = True, limits: int | None = None, version: int = 3) -> None:
        self.files: dict[bytes, int] = {}
        self._open: dict[bytes, bytes] = {}
        self._deep = deep
        self._limits = limits
        self._version = version
        self._count = 0

    def answer(self, packet: bytes) -> bytes:
        """What is answered to a packet."""
        kind = packet[0]
        if kind == 1:
            names = [b"posix-rename@openssh.com", b"fsync@openssh.com", b"limits@openssh.com"][: 2 + (self._limits is not None)]
            return struct.pack(">BI", _VERSION, self._version) + b"".join(string(name) + string(b"1") for name in names)
        number, body = packet[1:5], packet[5:]
        first, rest = _cut(body)
        code = _OK
        if kind == 3:  # OPEN
            flags = int.from_bytes(rest[:4])
            if (not self._deep and b"/" in first) or (not flags & 8 and first not in self.files):
                code = _NO_SUCH_FILE
            else:
                self._count += 1
                handle = b"h%d" % self._count
                self._open[handle] = first
                if flags & 8:
                    self.files[first] = 0
                return bytes([_HANDLE]) + number + string(handle)
        elif kind == 6 and first in self._open:  # WRITE
            path, end = self._open[first], int.from_bytes(rest[:8]) + int.from_bytes(rest[8:12])
            self.files[path] = max(self.files.get(path, 0), end)
        elif kind in (7, 8, 17):  # LSTAT, FSTAT, STAT
            size = self.files.get(self._open.get(first, first))
            if size is not None:
                return self.attrs(number, size)
            code = _NO_SUCH_FILE
        elif kind == 13:  # REMOVE
            code = _NO_SUCH_FILE if self.files.pop(first, None) is None else _OK
        elif kind == 14:  # MKDIR
            code = _OK if self._deep else _NO_SUCH_FILE
        elif kind == 200:
            return self._extended(number, first, rest)
        elif kind not in (4, 6, 9, 10):
            code = _UNSUPPORTED
        return self.status(number, code)

    def _extended(self, number: bytes, name: bytes, rest: bytes) -> bytes:
        if name == b"limits@openssh.com":
            return bytes([_EXTENDED_REPLY]) + number + struct.pack(">Q", self._limits or 0) * 4
        if name == b"posix-rename@openssh.com":
            old, rest = _cut(rest)
            new, _ = _cut(rest)
            if old not in self.files:
                return self.status(number, _NO_SUCH_FILE)
            self.files[new] = self.files.pop(old)
        return self.status(number, _OK)

    @staticmethod
    def attrs(number: bytes, size: int, mtime: int = 1_600_000_000) -> bytes:
        """ATTRS with size, permissions and times."""
        return bytes([_ATTRS]) + number + struct.pack(">IQIII", 1 | 4 | 8, size, 0o100644, mtime, mtime)

    @staticmethod
    def status(number: bytes, code: int, words: bytes = b"") -> bytes:
        """STATUS with words."""
        return bytes([_STATUS]) + number + struct.pack(">I", code) + string(words) + string(b"")


def stream(behaviour: str, packets: Iterator[bytes]) -> Iterator[bytes]:
    """What a server of this behaviour sends, piece by piece, while it reads a client's packets. ValueError for one that is
    not known."""
    _check(behaviour)
    server = _server(behaviour)
    spoil = _SPOILT.get(behaviour)
    for number, packet in enumerate(packets):
        if behaviour.startswith("eof-") and number >= int(behaviour[4:]):
            return
        reply = server.answer(packet)
        if spoil is None:
            yield string(reply)
        else:
            yield from spoil(number, packet, reply)


def _server(behaviour: str) -> Server:
    limits = {"limits-0": 0, "limits-1": 1, "limits-most": _MOST}.get(behaviour)
    version = {"version-2": 2, "version-6": 6}.get(behaviour, 3)
    return Server(deep=behaviour != "nested", limits=limits, version=version)


def _banner(number: int, packet: bytes, reply: bytes) -> Iterator[bytes]:
    yield from _for_ever(b"Welcome to this server, which has much to say.\r\n" * 1000)


def _stderr(number: int, packet: bytes, reply: bytes) -> Iterator[bytes]:
    for piece in _for_ever(b"this server is sorry about something again\n" * 1000):
        os.write(2, piece)
    yield b""


def _drip(number: int, packet: bytes, reply: bytes) -> Iterator[bytes]:
    if packet[0] != 3:
        yield string(reply)
        return
    # Words so long that it takes a day.
    yield from _slowly(string(Server.status(packet[1:5], _FAILURE, b"x" * 86400)))


def _drip_version(number: int, packet: bytes, reply: bytes) -> Iterator[bytes]:
    yield from _slowly(string(reply + string(b"x" * 86400) + string(b"")))


def _silent(number: int, packet: bytes, reply: bytes) -> Iterator[bytes]:
    if number == 0:
        yield string(reply)


def _flood(number: int, packet: bytes, reply: bytes) -> Iterator[bytes]:
    if packet[0] != 3:
        yield string(reply)
        return
    yield from _for_ever(string(Server.status(b"\xff\xff\xff\xf0", _OK)) * 1000)


def _huge(number: int, packet: bytes, reply: bytes) -> Iterator[bytes]:
    if packet[0] != 3:
        yield string(reply)
        return
    yield struct.pack(">I", 0xFFFFFFFF)
    yield from _for_ever(b"\0" * 65536)


def _large(number: int, packet: bytes, reply: bytes) -> Iterator[bytes]:
    if number == 0:
        yield string(reply + b"".join(string(b"%06d@example.org" % n) + string(b"x" * 200) for n in range(1000)))
        return
    yield string(Server.status(packet[1:5], _FAILURE, b"%d" % number + b"x" * 250_000))


def _wrong_id(number: int, packet: bytes, reply: bytes) -> Iterator[bytes]:
    yield string(reply if number == 0 else reply[:1] + struct.pack(">I", int.from_bytes(reply[1:5]) + 7777) + reply[5:])


def _wrong_kind(number: int, packet: bytes, reply: bytes) -> Iterator[bytes]:
    yield string(reply if number == 0 else bytes([_HANDLE]) + packet[1:5] + string(b"h"))


def _sizes(number: int, packet: bytes, reply: bytes) -> Iterator[bytes]:
    yield string(Server.attrs(packet[1:5], _MOST, 0xFFFFFFFF) if reply[0] == _ATTRS else reply)


def _words(number: int, packet: bytes, reply: bytes) -> Iterator[bytes]:
    yield string(reply if number == 0 else Server.status(packet[1:5], _FAILURE, WORDS.encode()))


_SPOILT: dict[str, Callable[[int, bytes, bytes], Iterator[bytes]]] = {
    "banner": _banner,
    "stderr": _stderr,
    "drip": _drip,
    "drip-version": _drip_version,
    "silent": _silent,
    "flood": _flood,
    "huge": _huge,
    "large": _large,
    "wrong-id": _wrong_id,
    "wrong-kind": _wrong_kind,
    "sizes": _sizes,
    "words": _words,
}


def _slowly(data: bytes) -> Iterator[bytes]:
    for at in range(len(data)):
        yield data[at : at + 1]
        time.sleep(1)


def _for_ever(piece: bytes) -> Iterator[bytes]:
    while True:
        yield piece


def _cut(body: bytes) -> tuple[bytes, bytes]:
    size = int.from_bytes(body[:4])
    return body[4 : 4 + size], body[4 + size :]


def _check(behaviour: str) -> None:
    if behaviour not in BEHAVIOURS and not (behaviour.startswith("eof-") and behaviour[4:].isdecimal()):
        raise ValueError(f"{behaviour!r} is no behaviour: give one of {', '.join(BEHAVIOURS)}, or eof-N")


def _packets() -> Iterator[bytes]:
    while len(head := sys.stdin.buffer.read(4)) == 4:
        packet = sys.stdin.buffer.read(int.from_bytes(head))
        if not packet:
            return
        yield packet


def main(argv: list[str]) -> int:
    """Speak over stdin and stdout until the client is gone."""
    try:
        for piece in stream(argv[0], _packets()):
            sys.stdout.buffer.write(piece)
            sys.stdout.buffer.flush()
    except OSError:  # the client has had enough
        os._exit(0)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
