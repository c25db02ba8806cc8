"""What an FTP server says of the hash of a file: HASH (draft-bryan-ftpext-hash-02), or one of the older
commands that nobody wrote down and many servers have (XSHA256, XSHA512, XSHA1, XMD5, XCRC), as FEAT lists them. Blocking.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from ...common.errors import TransportLost
from ..base import Job
from ..shared.checksum import Checks, own_hash, patience
from .data import Source
from .replies import Reply
from .session import Session

_HASH_NAMES = {"sha256": "SHA-256", "sha512": "SHA-512", "sha1": "SHA-1", "md5": "MD5", "crc32": "CRC32"}
_COMMANDS = {"sha256": ("XSHA256",), "sha512": ("XSHA512",), "sha1": ("XSHA1", "XSHA"), "md5": ("XMD5",), "crc32": ("XCRC",)}
_DIGITS = {"sha256": 64, "sha512": 128, "sha1": 40, "md5": 32, "crc32": 8}


class Way(NamedTuple):
    """How to ask for a hash. ``choose``: what HASH has to be told first, empty where it is set so already."""

    algorithm: str
    command: str
    choose: str = ""


def way(found: Mapping[str, str]) -> Way | None:
    """The best that a server's FEAT offers; pure."""
    offered = [word.strip() for word in found.get("HASH", "").split(";")]
    for algorithm, name in _HASH_NAMES.items():
        if f"{name}*" in offered:
            return Way(algorithm, "HASH")
        if name in offered:
            return Way(algorithm, "HASH", name)
        for command in _COMMANDS[algorithm]:
            if command in found:
                return Way(algorithm, command)
    return None


def hash_in(said: Reply, algorithm: str) -> str | None:
    """The hash in a reply; pure. A CRC may come without its leading zeros."""
    digits = _DIGITS[algorithm]
    least = 1 if algorithm == "crc32" else digits
    for line in reversed(said.lines if said.ok else ()):
        # A reply to HASH has algorithm and range before it, and the name of the file behind it.
        words = line[4:].split()
        found = [
            word
            for word in (words[2:3] if said.code == 213 and len(words) > 2 else words)
            if re.fullmatch(rf"[0-9A-Fa-f]{{{least},{digits}}}", word)
        ]
        if found:
            return max(found, key=len)
    return None


def check(session: Session, path: str, job: Job, source: Source, checks: Checks) -> str:
    """Compare a file on the server with the source: what the receipt says. As ``Checks.compared`` and ``Checks.without``."""
    if not checks.needed(job):
        return "size"
    how = way(session.known.found)
    if how is None:
        return checks.without(job, "it offers none")
    own = own_hash(job, source.fd, how.algorithm)
    if not own:
        return checks.without(job, f"it offers {how.algorithm} only")
    if how.choose and session.chosen_hash != how.choose:
        said = session.ask(f"OPTS HASH {how.choose}")
        if not said.ok:
            return checks.without(job, str(said))
        session.chosen_hash = how.choose
    # HASH takes a name as any command does; the older ones may be given a range behind it.
    name = f'"{path}"' if how.command != "HASH" and " " in path else path
    try:
        said = session.ask(f"{how.command} {name}", patience(job.size))
    except TransportLost as exc:
        if isinstance(exc.__cause__, TimeoutError):
            checks.late(job)
        raise
    theirs = hash_in(said, how.algorithm)
    return checks.without(job, str(said)) if theirs is None else checks.compared(job, own, theirs)
