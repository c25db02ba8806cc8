"""The words of SFTP version 3, as bytes: draft-ietf-secsh-filexfer-02 and OpenSSH's PROTOCOL file.

Pure: no sockets, no clock. Every packet is ``uint32 length, byte type, ...`` (section 3); everything
after INIT and VERSION carries a request id. Malformed is raised for bytes that cannot be SFTP.
"""

from __future__ import annotations

import functools
import struct
from typing import NamedTuple

from ..shared.remote_text import remote_text

VERSION_SPOKEN = 3
LONGEST_REPLY = 256 * 1024 + 1024
"""A server's packet above this is garbage (section 3 asks for 34,000; OpenSSH never sends above 256 KB)."""

# section 3: packet types
INIT, VERSION = 1, 2
OPEN, CLOSE, READ, WRITE, LSTAT, FSTAT, SETSTAT, FSETSTAT = 3, 4, 5, 6, 7, 8, 9, 10
OPENDIR, READDIR, REMOVE, MKDIR, RMDIR, REALPATH, STAT, RENAME = 11, 12, 13, 14, 15, 16, 17, 18
READLINK = 19
STATUS, HANDLE, DATA, NAME, ATTRS = 101, 102, 103, 104, 105
EXTENDED, EXTENDED_REPLY = 200, 201

# section 7: status codes
OK, EOF, NO_SUCH_FILE, PERMISSION_DENIED, FAILURE, BAD_MESSAGE = 0, 1, 2, 3, 4, 5
NO_CONNECTION, CONNECTION_LOST, OP_UNSUPPORTED = 6, 7, 8
# draft-ietf-secsh-filexfer-13, section 9.1: of later versions, and yet sent by some that speak version 3
NO_SPACE, QUOTA_EXCEEDED = 14, 15

# section 6.3: how to open
READ_FLAG, WRITE_FLAG, CREAT_FLAG, TRUNC_FLAG, EXCL_FLAG = 0x01, 0x02, 0x08, 0x10, 0x20

# section 5: which attributes are there
_SIZE, _UIDGID, _PERMISSIONS, _ACMODTIME, _EXTENDED_ATTRS = 0x01, 0x02, 0x04, 0x08, 0x80000000
_USUAL = _SIZE | _UIDGID | _PERMISSIONS | _ACMODTIME

# OpenSSH PROTOCOL, section 4
POSIX_RENAME, FSYNC, LIMITS = "posix-rename@openssh.com", "fsync@openssh.com", "limits@openssh.com"
STATVFS = "statvfs@openssh.com"
COPY_DATA = "copy-data"
"""Section 7 of draft-ietf-secsh-filexfer-extensions-00; OpenSSH has it since 9.0 (PROTOCOL, 4.10)."""

_STATUS_WORDS = {
    OK: "OK",
    EOF: "End of file",
    NO_SUCH_FILE: "No such file",
    PERMISSION_DENIED: "Permission denied",
    FAILURE: "Failure",
    BAD_MESSAGE: "Bad message",
    NO_CONNECTION: "No connection",
    CONNECTION_LOST: "Connection lost",
    OP_UNSUPPORTED: "Operation unsupported",
    NO_SPACE: "No space on the file system",
    QUOTA_EXCEEDED: "Quota exceeded",
}

_HEAD = struct.Struct(">IBI")
_REPLY_HEAD = struct.Struct(">BI")
_NEW_FILE = struct.pack(">II", WRITE_FLAG | CREAT_FLAG | EXCL_FLAG, 0)
_LENGTH = struct.Struct(">I")
_QUAD = struct.Struct(">Q")
_USUAL_ATTRS = struct.Struct(">IQ5I")
_REMEMBERED = 256  # bytes of a status that may be kept as one of the usual ones


class Malformed(ValueError):
    """These bytes are not SFTP."""


class Status(NamedTuple):
    """STATUS (section 7): ``code`` and ``message``, the server's own text, cleaned and short."""

    code: int
    message: str

    def __str__(self) -> str:
        known = _STATUS_WORDS.get(self.code, f"status {self.code}")
        if not self.message or self.message.lower() == known.lower():
            return known
        return f"{known}: {self.message}"


class Handle(NamedTuple):
    """HANDLE (section 7): ``handle`` is the server's name of an open file or folder, opaque bytes."""

    handle: bytes


class Attrs(NamedTuple):
    """ATTRS (sections 5 and 7): ``size`` in bytes, ``mtime`` in seconds since the epoch, ``permissions`` the mode with the type of
    the file, as in st_mode; each is None where the server does not send it."""

    size: int | None
    mtime: int | None
    permissions: int | None = None


class Data(NamedTuple):
    """DATA (section 7): ``data`` that a READ found; it may be shorter than was asked for."""

    data: bytes


class Names(NamedTuple):
    """NAME (section 7): the ``names`` that a READDIR, REALPATH or READLINK found, each as the server writes it, and in the same
    order their ``attrs``."""

    names: tuple[bytes, ...]
    attrs: tuple[Attrs, ...] = ()


class Extended(NamedTuple):
    """EXTENDED_REPLY (section 8): the meaning of ``data`` depends on the request."""

    data: bytes


Reply = Status | Handle | Attrs | Data | Names | Extended


class Limits(NamedTuple):
    """limits@openssh.com (PROTOCOL 4.8): bytes a packet, a read and a write, and open handles; 0 is untold."""

    packet: int
    read: int
    write: int
    handles: int


def string(raw: bytes) -> bytes:
    """Section 3: ``uint32 length`` and the bytes."""
    return _LENGTH.pack(len(raw)) + raw


def packet(kind: int, number: int, body: bytes) -> bytes:
    """A request with its id."""
    return _HEAD.pack(len(body) + 5, kind, number) + body


def init() -> bytes:
    """INIT (section 4), which carries a version in the place of an id."""
    return _HEAD.pack(5, INIT, VERSION_SPOKEN)


def open_new(path: bytes) -> bytes:
    """OPEN (6.3) of a file that must not exist, for writing, with the server's own permissions."""
    return string(path) + _NEW_FILE


def open_over(path: bytes) -> bytes:
    """OPEN (6.3) for writing of a file that may exist, and is truncated then."""
    return string(path) + struct.pack(">II", WRITE_FLAG | CREAT_FLAG | TRUNC_FLAG, 0)


def open_old(path: bytes, *, read: bool, write: bool) -> bytes:
    """OPEN (6.3) of a file that must exist, without truncation."""
    return string(path) + struct.pack(">II", READ_FLAG * read | WRITE_FLAG * write, 0)


def read(handle: bytes, offset: int, count: int) -> bytes:
    """READ (6.4): for a regular file the reply has ``count`` bytes, or fewer at the end of the file."""
    return string(handle) + struct.pack(">QI", offset, count)


def copy_data(source: bytes, origin: int, count: int, target: bytes, offset: int) -> bytes:
    """The copy-data request: ``count`` bytes at ``origin`` of one open file to ``offset`` of another; 0 would be all up to
    the end."""
    body = string(source) + struct.pack(">QQ", origin, count) + string(target) + _QUAD.pack(offset)
    return extended(COPY_DATA) + body


def check_file(path: bytes, algorithms: str) -> bytes:
    """The check-file-name request (draft-ietf-secsh-filexfer-13, 9.1.2) for one hash of all of a file, by one of these."""
    return extended("check-file-name", path, algorithms.encode("ascii")) + struct.pack(">QQI", 0, 0, 0)


def checked_file(data: bytes) -> tuple[str, str]:
    """The data of a reply to that: algorithm and hash, hexadecimal. Earlier drafts have the extension's name in front."""
    fields = _Fields(data, 0)
    name = fields.string()
    if name == b"check-file":
        name = fields.string()
    return remote_text(name, 20).lower(), fields.rest().hex()


def write_head(number: int, handle: bytes, offset: int, count: int) -> bytes:
    """A WRITE (6.4) without its ``count`` bytes, which follow."""
    body = string(handle) + _QUAD.pack(offset) + _LENGTH.pack(count)
    return _HEAD.pack(len(body) + 5 + count, WRITE, number) + body


def set_times(handle: bytes, mtime_ns: int) -> bytes:
    """FSETSTAT (6.9) of access and modification time alone; SFTP 3 has 32 bits of whole seconds."""
    secs = min(max(mtime_ns // 10**9, 0), 0xFFFFFFFF)
    return string(handle) + struct.pack(">III", _ACMODTIME, secs, secs)


def make_folder(path: bytes) -> bytes:
    """MKDIR (6.6) with the server's own permissions."""
    return string(path) + _LENGTH.pack(0)


def write(handle: bytes, offset: int, data: bytes) -> bytes:
    """WRITE (6.4) of a few bytes."""
    return string(handle) + _QUAD.pack(offset) + string(data)


def free_bytes(data: bytes) -> int:
    """The data of a reply to statvfs@openssh.com (PROTOCOL, 4.4): bytes that an ordinary user may still write."""
    fields = _Fields(data, 0)
    _, fragment, _, _, available = (fields.quad() for _ in range(5))
    return fragment * available


def extended(name: str, *strings: bytes) -> bytes:
    """EXTENDED (section 8) whose fields are all strings."""
    return _extension(name) + b"".join(map(string, strings))


@functools.cache
def _extension(name: str) -> bytes:
    return string(name.encode("ascii"))


class Splitter:
    """Cuts the stream into packets without their length; holds at most one unfinished packet."""

    def __init__(self, longest: int = LONGEST_REPLY) -> None:
        self._longest = longest
        self._rest = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """The packets that are complete now. Malformed for a length above the limit, or 0."""
        rest = self._rest
        if rest:
            rest += data
            if len(rest) >= 4 and len(rest) < 4 + self._announced():
                return []  # the packet is not complete: its bytes are kept in _rest and not copied until it is
            data = bytes(rest)
            rest.clear()
        found = []
        start, end, longest = 0, len(data), self._longest
        while (first := start + 4) <= end:
            (length,) = _LENGTH.unpack_from(data, start)
            if not 1 <= length <= longest:
                excerpt = remote_text(data[start : start + 60], 60)
                raise Malformed(f"a packet of {length:,} bytes was announced; the bytes read {excerpt!r}")
            if first + length > end:
                break
            start = first + length
            found.append(data[first:start])
        rest += data[start:]
        return found

    def _announced(self) -> int:
        """The length of the unfinished packet, if its first bytes have been checked already; else 0."""
        (length,) = _LENGTH.unpack_from(self._rest)
        return length if 1 <= length <= self._longest else 0


class _Fields:
    """Reads one packet from its front."""

    def __init__(self, data: bytes, at: int) -> None:
        self._data = data
        self._at = at

    @property
    def left(self) -> int:
        return len(self._data) - self._at

    def number(self) -> int:
        if self.left < 4:
            raise Malformed("a packet ends in the middle of a number")
        (value,) = _LENGTH.unpack_from(self._data, self._at)
        self._at += 4
        return int(value)

    def quad(self) -> int:
        return self.number() << 32 | self.number()

    def string(self) -> bytes:
        length = self.number()
        if length > self.left:
            raise Malformed("a string is longer than its packet")
        self._at += length
        return self._data[self._at - length : self._at]

    def rest(self) -> bytes:
        return self._data[self._at :]


def version(data: bytes) -> tuple[int, dict[str, bytes]]:
    """VERSION (section 4): the server's version and its extensions, name to data."""
    if data[0] != VERSION:
        raise Malformed(f"the first packet is of type {data[0]}, not VERSION: {remote_text(data, 60)!r}")
    fields = _Fields(data, 1)
    spoken = fields.number()
    extensions = {}
    while fields.left:
        name = fields.string()
        extensions[remote_text(name)] = fields.string()
    return spoken, extensions


def reply(data: bytes) -> tuple[int, Reply]:
    """A reply with its request id (section 7). Malformed for a type nobody asked for."""
    if len(data) < 5:
        raise Malformed("a packet ends in the middle of a number")
    kind, number = _REPLY_HEAD.unpack_from(data)
    if kind == STATUS:
        return number, (_usual_status if len(data) <= _REMEMBERED else _status)(data[5:])
    fields = _Fields(data, 5)
    if kind == HANDLE:
        handle = fields.string()
        if len(handle) > 256:
            raise Malformed("a handle above 256 bytes (section 6.3)")
        return number, Handle(handle)
    if kind == ATTRS:
        return number, _attrs(fields)
    if kind == DATA:
        return number, Data(fields.string())
    if kind == NAME:
        return number, _names(fields)
    if kind == EXTENDED_REPLY:
        return number, Extended(fields.rest())
    raise Malformed(f"a packet of type {kind} is no reply to anything asked")


def _status(data: bytes) -> Status:
    fields = _Fields(data, 0)
    code = fields.number()
    # Words and language came with version 3; some servers leave them out.
    return Status(code, remote_text(fields.string()) if fields.left else "")


_usual_status = functools.lru_cache(64)(_status)  # nearly all of them are the same few


def _attrs(fields: _Fields) -> Attrs:
    if fields.left == _USUAL_ATTRS.size:
        flags, size, _, _, permissions, _, mtime = _USUAL_ATTRS.unpack(fields.rest())
        if flags == _USUAL:
            return Attrs(size, mtime, permissions)
    return _attrs_in(fields)


def _attrs_in(fields: _Fields) -> Attrs:
    flags = fields.number()
    size = fields.quad() if flags & _SIZE else None
    if flags & _UIDGID:
        fields.quad()
    permissions = fields.number() if flags & _PERMISSIONS else None
    mtime = None
    if flags & _ACMODTIME:
        fields.number()
        mtime = fields.number()
    if flags & _EXTENDED_ATTRS:
        for _ in range(fields.number()):
            fields.string()
            fields.string()
    return Attrs(size, mtime, permissions)


def _names(fields: _Fields) -> Names:
    count = fields.number()
    if count > fields.left // 12:  # each has two strings and its attributes, of four bytes at least
        raise Malformed("more names are announced than a packet can hold")
    found, attrs = [], []
    for _ in range(count):
        found.append(fields.string())
        fields.string()  # a line for people, as of ls -l
        attrs.append(_attrs_in(fields))
    return Names(tuple(found), tuple(attrs))


def limits(data: bytes) -> Limits:
    """The data of a reply to limits@openssh.com."""
    fields = _Fields(data, 0)
    return Limits(fields.quad(), fields.quad(), fields.quad(), fields.quad())
