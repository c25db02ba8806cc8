"""Check that the bytes that were sent are those of the snapshot: their SHA-256, computed as they are sent, against that of the job.

Between the copy and the upload a disk may damage a snapshot, or another program replace it. The receipt has the hash of the copy,
so no other bytes may be published.
"""

from __future__ import annotations

import hashlib

from ...common.errors import SourceChanged
from ...common.positioned import read_at
from ..base import Job

_BLOCK = 1024 * 1024  # bytes read at a time: large enough that the calls cost nothing beside the hash


class SentHash:
    """The hash of one attempt at a job; ``fd`` is the open source, not needed where ``took`` gets every byte. One thread at a time.

    There is no check for jobs without ``sha256``, and for those whose source lacks its beginning and that have no ``prefix``."""

    def __init__(self, job: Job, fd: int = -1) -> None:
        self._job, self._fd = job, fd
        self._at = 0
        self._sha = hashlib.sha256()
        self._enabled = bool(job.sha256)
        if (job.base or job.append) and job.prefix is not None and job.base <= job.prefix[0] <= job.size:
            self._at, self._sha = job.prefix[0], job.prefix[1].copy()
        elif job.base:
            self._enabled = False

    @property
    def left(self) -> int:
        """How many bytes ``check`` has to read."""
        return self._job.size - self._at if self._enabled else 0

    def took(self, at: int, data: bytes) -> None:
        """``data`` is sent to the offset ``at``. Bytes that continue the hashed ones are hashed; offset 0 starts the hash again."""
        if not self._enabled:
            return
        if at == 0 and self._at:
            self._anew()
        if at == self._at:
            self._sha.update(data)
            self._at += len(data)

    def upto(self, end: int) -> None:
        """The server has the bytes before ``end`` already. Blocks while they are read from the source; SourceChanged where they
        cannot be."""
        if not self._enabled:
            return
        if end < self._at and not self._job.base:
            self._anew()
        while self._at < end:
            self.took(self._at, self._read(min(_BLOCK, end - self._at)))

    def check(self) -> None:
        """SourceChanged where the hash is not that of the job. Blocks while the bytes that were not sent (``left``) are read."""
        if not self._enabled:
            return
        self.upto(self._job.size)
        if self._sha.hexdigest() != self._job.sha256.lower():
            raise SourceChanged(f"{self._job.source}: what was sent is not what was copied (a bad disk, or another file)")

    def _anew(self) -> None:
        self._sha, self._at = hashlib.sha256(), 0

    def _read(self, count: int) -> bytes:
        try:
            data = read_at(self._fd, count, self._at - self._job.base)
        except OSError as exc:
            raise SourceChanged(f"{self._job.source}: it cannot be read: {exc.strerror}") from exc
        if not data:
            raise SourceChanged(f"{self._job.source}: it ends after {self._at:,} of {self._job.size:,} bytes")
        return data
