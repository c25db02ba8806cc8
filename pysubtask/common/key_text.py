"""The text of a private key's file, as people have them, and what programs that are not ssh's did to it. Pure.

OpenSSH reads a key of its own format to the byte: line ends of Windows, a byte order mark or a missing last newline make it
unusable.
"""

from __future__ import annotations

import base64
import binascii
import re

_BEGIN = re.compile(rb"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY-----")
_OWN = b"OPENSSH PRIVATE KEY"
_MAGIC = b"openssh-key-v1\0"
_UTF8, _UTF16 = b"\xef\xbb\xbf", (b"\xff\xfe", b"\xfe\xff")
_ESCAPED = re.compile(r"\\([0-7]{3})")

ALTERATION_TEXT = {
    "utf16": "it is written in UTF-16, as by an editor of Windows",
    "bom": "it begins with a byte order mark (BOM), as an editor of Windows puts there",
    "crlf": "it has the line ends of Windows (CRLF)",
    "cr": "it has the line ends of an old Macintosh (CR)",
    "blanks": "its lines begin or end with blanks",
    "around": "something stands above the key",
    "newline": "its last line has no newline at its end",
}
"""Each alteration in words."""


def is_private(data: bytes) -> bool:
    """Whether a file holds a private key of any format that ssh may read."""
    return _BEGIN.search(plain(data)) is not None


def is_own(data: bytes) -> bool:
    """Whether it is in OpenSSH's own format, which is read to the byte."""
    return _OWN in plain(data)


def is_whole(data: bytes) -> bool:
    """Whether a key in OpenSSH's own format would be one without its alterations."""
    return _blob(mended(data)).startswith(_MAGIC)


def alterations(data: bytes) -> list[str]:
    """What a program that is not ssh's did to the text of a key, of ``advice.KEY_FILTERS``, in the order in which it is undone.
    Pure."""
    found = []
    if data.startswith(_UTF16):
        found.append("utf16")
    elif data.startswith(_UTF8):
        found.append("bom")
    text = plain(data)
    if b"\r" in text:
        found.append("crlf" if b"\r\n" in text else "cr")
        text = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    lines = text.split(b"\n")
    if any(line != line.strip(b" \t") for line in lines):
        found.append("blanks")
        lines = [line.strip(b" \t") for line in lines]
    if lines and not lines[0].startswith(b"-----BEGIN"):
        found.append("around")
    if not text.endswith(b"\n"):
        found.append("newline")
    return found


def mended(data: bytes) -> bytes:
    """The key without its alterations. Pure."""
    text = plain(data).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    lines = [line.strip(b" \t") for line in text.split(b"\n")]
    first = next((at for at, line in enumerate(lines) if line.startswith(b"-----BEGIN")), 0)
    last = next((at for at, line in enumerate(lines) if line.startswith(b"-----END")), len(lines) - 1)
    return b"\n".join(lines[first : last + 1]) + b"\n"


def is_locked(data: bytes) -> bool:
    """Whether a private key has a passphrase. Pure. False where that is not known."""
    text = mended(data)
    if b"ENCRYPTED" in text:
        return True
    blob = _blob(text)
    if not blob.startswith(_MAGIC):
        return False
    rest = blob[len(_MAGIC) :]
    return rest[4 : 4 + int.from_bytes(rest[:4])] != b"none"


def _blob(text: bytes) -> bytes:
    """The bytes of a key in OpenSSH's own format; empty where they are none."""
    if _OWN not in text:
        return b""
    body = b"".join(line for line in text.split(b"\n") if not line.startswith(b"-----"))
    try:
        return base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError):
        return b""


def plain(data: bytes) -> bytes:
    """The text of a file as bytes of ASCII, without a mark in front."""
    if data.startswith(_UTF16):
        return data.decode("utf-16", "replace").encode("utf-8", "replace")
    return data.removeprefix(_UTF8)


def kind_of_mount(path: str, mounts: str) -> str:
    """The type of the file system that a path is on, by the text of /proc/self/mountinfo (proc_pid_mountinfo(5)). Pure."""
    best, kind = "", ""
    for line in mounts.splitlines():
        left, _, right = line.partition(" - ")
        fields = left.split()
        if len(fields) < 5 or not right:
            continue
        point = _ESCAPED.sub(lambda found: chr(int(found[1], 8)), fields[4])
        if f"{path}/".startswith(f"{point.rstrip('/')}/") and len(point) >= len(best):  # of two on one point the last is on top
            best, kind = point, right.split()[0]
    return kind
