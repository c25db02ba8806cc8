"""The hash that an FTP server computes of a file: HASH (draft-bryan-ftpext-hash-02), or one of the older commands that no
document describes and many servers know (XSHA256, XSHA512, XSHA1, XMD5, XCRC), as FEAT lists them. Blocking."""

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


class HashRequest(NamedTuple):
    """How to ask for a hash. ``algorithm``: the name in hashlib, or "crc32". ``command``: "HASH" or one of the older commands.
    ``choose``: the algorithm to select with OPTS HASH first, empty where it is selected already."""

    algorithm: str
    command: str
    choose: str = ""


def best_hash_request(features: Mapping[str, str]) -> HashRequest | None:
    """The first hash that FEAT offers, in the order SHA-256, SHA-512, SHA-1, MD5, CRC32; None for none. Pure."""
    offered = [word.strip() for word in features.get("HASH", "").split(";")]
    for algorithm, name in _HASH_NAMES.items():
        if f"{name}*" in offered:
            return HashRequest(algorithm, "HASH")
        if name in offered:
            return HashRequest(algorithm, "HASH", name)
        for command in _COMMANDS[algorithm]:
            if command in features:
                return HashRequest(algorithm, command)
    return None


def hash_in(reply: Reply, algorithm: str) -> str | None:
    """The hash in a reply; None where there is none. Pure. A CRC may come without its leading zeros."""
    digits = _DIGITS[algorithm]
    least = 1 if algorithm == "crc32" else digits
    for line in reversed(reply.lines if reply.ok else ()):
        # In a reply to HASH the algorithm and the range come before the hash, and the file's name behind it.
        words = line[4:].split()
        hashes = [
            word
            for word in (words[2:3] if reply.code == 213 and len(words) > 2 else words)
            if re.fullmatch(rf"[0-9A-Fa-f]{{{least},{digits}}}", word)
        ]
        if hashes:
            return max(hashes, key=len)
    return None


def check(session: Session, path: str, job: Job, source: Source, checks: Checks) -> str:
    """Compare a file on the server with the source; the word for the receipt. Raises as ``Checks.compared`` and
    ``Checks.without``."""
    if not checks.needed(job):
        return "size"
    request = best_hash_request(session.known.features)
    if request is None:
        return checks.without(job, "it offers none")
    own = own_hash(job, source.fd, request.algorithm)
    if not own:
        return checks.without(job, f"it offers {request.algorithm} only")
    if request.choose and session.chosen_hash != request.choose:
        reply = session.ask(f"OPTS HASH {request.choose}")
        if not reply.ok:
            return checks.without(job, str(reply))
        session.chosen_hash = request.choose
    # HASH takes a name unquoted as any command does; behind a name, the older commands accept a range, hence the quotes.
    name = f'"{path}"' if request.command != "HASH" and " " in path else path
    try:
        reply = session.ask(f"{request.command} {name}", patience(job.size))
    except TransportLost as exc:
        if isinstance(exc.__cause__, TimeoutError):
            checks.late(job)
        raise
    theirs = hash_in(reply, request.algorithm)
    return checks.without(job, str(reply)) if theirs is None else checks.compared(job, own, theirs)
