"""known_hosts files, as ssh keeps them: the keys on file for a host and port, and the addition of a new key.

The format is that of sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT". Keys of certificate authorities are ignored.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import re
from collections.abc import Iterable
from typing import NamedTuple

_SSH_PORT = 22  # the port that known_hosts does not name (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT)


class KnownKeys(NamedTuple):
    """The keys of one host: ``keys`` as (type, the key's bytes on the wire), ``revoked`` by their bytes."""

    keys: frozenset[tuple[str, bytes]]
    revoked: frozenset[bytes]


def name_of(host: str, port: int) -> str:
    """The name of a host in such a file: the port is part of the name unless it is 22."""
    return host if port == _SSH_PORT else f"[{host}]:{port}"


def keys_on_file(files: Iterable[str], host: str, port: int) -> KnownKeys:
    """The keys of a host at a port in all files. A missing file has none; OSError for a file that cannot be read."""
    name = name_of(host, port).lower()
    keys, revoked = set(), set()
    for path in files:
        try:
            with open(path, encoding="utf-8", errors="replace") as file:
                lines = file.read().splitlines()
        except FileNotFoundError:
            continue
        for line in lines:
            words = line.split()
            marker = words.pop(0) if words and words[0].startswith("@") else ""
            if len(words) < 3 or words[0].startswith("#") or marker not in ("", "@revoked") or not _is_named(name, words[0]):
                continue
            try:
                key = base64.b64decode(words[2], validate=True)
            except (binascii.Error, ValueError):
                continue
            if marker:
                revoked.add(key)
            else:
                keys.add((words[1], key))
    return KnownKeys(frozenset(keys), frozenset(revoked))


def remember(path: str, host: str, port: int, kind: str, key: str) -> bool:
    """Append a line for a key (base64); False where it cannot be written."""
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        with open(path, "a+b") as file:
            file.seek(0, os.SEEK_END)
            start = b""
            if file.tell():
                file.seek(-1, os.SEEK_END)
                start = b"" if file.read(1) == b"\n" else b"\n"
            file.write(start + f"{name_of(host, port)} {kind} {key}\n".encode())
    except OSError:
        return False  # a key that cannot be stored would count as new at every login
    return True


def _is_named(name: str, patterns: str) -> bool:
    """Whether the first word of a line means this host: patterns with * and ?, ``!`` for all but, or one hashed name."""
    if patterns.startswith("|"):
        return _is_hash_of(name, patterns)
    found = False
    for pattern in patterns.lower().split(","):
        regex = re.escape(pattern.removeprefix("!")).replace(r"\*", ".*").replace(r"\?", ".")
        if re.fullmatch(regex, name):
            if pattern.startswith("!"):
                return False
            found = True
    return found


def _is_hash_of(name: str, hashed: str) -> bool:
    """``|1|salt|HMAC-SHA1 of the name``, both in base64 (ssh-keygen -H)."""
    try:
        _, kind, salt, digest = hashed.split("|")
        computed = hmac.new(base64.b64decode(salt), name.encode(), hashlib.sha1).digest()
        return kind == "1" and hmac.compare_digest(computed, base64.b64decode(digest))
    except (binascii.Error, ValueError):
        return False
