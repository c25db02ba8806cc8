"""How a transport verifies a delivered file by a hash, and what follows from the server's reply.

The size is always compared. For a hash the server has to read the file; this side has one request more, as the snapshot
was hashed when it was copied.
"""

from __future__ import annotations

import hashlib
import hmac
import zlib
from collections.abc import Mapping
from typing import Any

from ...common.errors import AttemptFailed, FileRefused, SourceChanged
from ...common.positioned import read_at
from ..base import Job

LEVELS = ("size", "auto", "always", "shell", "required")
"""Values of ``VerifyChecksum``, each one trying harder than the one before."""

ALGORITHMS = ("sha256", "sha512", "sha1", "md5", "crc32")
"""The algorithms that can be computed here, the preferred first."""

SLOW_READ = 2 * 1024 * 1024
"""Bytes per second: the least rate at which a server is expected to read and hash; files that take a slower one too long are
delivered without a hash."""

_BLOCK = 1024 * 1024  # bytes read at a time: large enough that the calls cost nothing beside the hash
_BIG = 16 * 1024 * 1024  # bytes: a smaller file is hashed so soon that a late reply is the link's fault
_WRONG = 3  # wrong hashes in a row: a byte damaged on the way hardly happens twice, and each attempt costs all bytes
_MOST_NAMES = 1000  # files that are counted; only a bound for the memory


class WrongHash(AttemptFailed):
    """The server's file has another hash than the source. The connection stays good."""


class Checks:
    """The checks of one transport; they outlive its connections. For any thread, one at a time for a name."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._level = LEVELS.index(str(settings.get("VerifyChecksum") or "auto"))
        self._too_slow: int | None = None
        self._wrong: dict[str, int] = {}

    @property
    def shell(self) -> bool:
        """Whether the settings allow a program to be run on the server for a hash."""
        return self._level >= LEVELS.index("shell")

    def needed(self, job: Job) -> bool:
        """Whether the server is to be asked for a hash of this job's file."""
        if self._level == LEVELS.index("required"):
            return True
        if self._level < LEVELS.index("auto" if job.append is None else "always"):
            return False
        return self._too_slow is None or job.size < self._too_slow

    def without(self, job: Job, why: str) -> str:
        """There is no hash, for the reason ``why``: the word for the receipt. FileRefused where the settings require one."""
        if self._level < LEVELS.index("required"):
            return "size"
        raise FileRefused(f"{job.name}: VerifyChecksum is 'required', and the server gives no hash of it: {why}")

    def compared(self, job: Job, own: str, theirs: str) -> str:
        """Compare both hashes, hexadecimal: the word for the receipt. WrongHash where they differ; FileRefused at the third time in
        a row, as the server may then compute wrong hashes, and each attempt costs all bytes again."""
        if hmac.compare_digest(own.lower().lstrip("0").encode(), theirs.lower().lstrip("0").encode()):
            self._wrong.pop(job.name, None)
            return "hash"
        job.confirm()  # raises where the source was rewritten meanwhile, which explains the other hash
        times = self._wrong.pop(job.name, 0) + 1
        message = f"{job.name}: its hash is {own}, and the server has {theirs}"
        if times >= _WRONG:
            raise FileRefused(f"{message}, time {times} in a row. If that server's hashes are wrong, set VerifyChecksum to 'size'")
        while len(self._wrong) >= _MOST_NAMES:
            del self._wrong[next(iter(self._wrong))]
        self._wrong[job.name] = times
        raise WrongHash(message, step="comparing its hash", file=job.name, server_text=theirs)

    def late(self, job: Job) -> None:
        """The reply did not come in time. From now on files of this size are delivered without a hash, rather than never."""
        if job.size < _BIG:
            return  # hashing a file so small is not slow: the link was the reason
        self._too_slow = job.size if self._too_slow is None else min(self._too_slow, job.size)


def patience(size: int) -> float:
    """Seconds that the hash of ``size`` bytes may take, beyond the time limit of any reply."""
    return size / SLOW_READ


def own_hash(job: Job, fd: int, algorithm: str) -> str:
    """The hash of the version to be delivered, hexadecimal; ``fd`` is the open source. Empty where the source lacks its beginning,
    and for an unknown algorithm. SourceChanged where the source cannot be read. Blocks while it reads."""
    if algorithm == "sha256" and job.sha256:
        return job.sha256
    if job.base or algorithm not in ALGORITHMS:
        return ""
    crc, sha = 0, None if algorithm == "crc32" else hashlib.new(algorithm, usedforsecurity=False)
    done = 0
    while done < job.size:
        try:
            block = read_at(fd, min(_BLOCK, job.size - done), done)
        except OSError as exc:
            raise SourceChanged(f"{job.source}: it cannot be read: {exc.strerror}") from exc
        if not block:
            raise SourceChanged(f"{job.source}: it ends after {done:,} of {job.size:,} bytes")
        if sha is None:
            crc = zlib.crc32(block, crc)
        else:
            sha.update(block)
        done += len(block)
    return f"{crc:08x}" if sha is None else sha.hexdigest()
