"""That the bytes which were sent are those that were copied: their SHA-256, taken as they go, against the one in the job.

Between the copy and the sending a disk may damage a snapshot, or somebody replace it. A receipt carries the hash of the copy, so
the name must not show anything else.
"""

from __future__ import annotations

import hashlib
import os

from ..common.errors import SourceChanged
from .base import Job

_BLOCK = 1024 * 1024


class SentHash:
    """Of one attempt at a job; ``fd`` is the open source. A job without ``sha256``, or whose source lacks its beginning, is not
    looked at. One thread at a time."""

    def __init__(self, job: Job, fd: int) -> None:
        self._job, self._fd = job, fd
        self._at = 0
        self._sha = hashlib.sha256() if job.sha256 and not job.base else None

    @property
    def whole(self) -> bool:
        """Whether ``check`` has nothing left to read."""
        return self._sha is None or self._at == self._job.size

    def took(self, at: int, data: bytes) -> None:
        """These bytes go to that place. Those that begin where the last ones ended count, so an attempt may begin anew at 0."""
        if self._sha is None:
            return
        if at == 0 and self._at:
            self._sha, self._at = hashlib.sha256(), 0
        if at == self._at:
            self._sha.update(data)
            self._at += len(data)

    def upto(self, end: int) -> None:
        """The server has the bytes before ``end`` from earlier. Blocks while it reads them here; SourceChanged where it cannot."""
        if self._sha is None:
            return
        if end < self._at:
            self._sha, self._at = hashlib.sha256(), 0
        while self._at < end:
            self.took(self._at, self._read(min(_BLOCK, end - self._at)))

    def check(self) -> None:
        """SourceChanged where it is not what was to be sent. What did not go by, for the server had it, is read now: it blocks."""
        if self._sha is None:
            return
        self.upto(self._job.size)
        if self._sha.hexdigest() != self._job.sha256.lower():
            raise SourceChanged(f"{self._job.source}: what was sent is not what was copied (a bad disk, or another file)")

    def _read(self, count: int) -> bytes:
        try:
            if hasattr(os, "pread"):
                data = os.pread(self._fd, count, self._at)
            else:
                os.lseek(self._fd, self._at, os.SEEK_SET)
                data = os.read(self._fd, count)
        except OSError as exc:
            raise SourceChanged(f"{self._job.source}: it cannot be read: {exc.strerror}") from exc
        if not data:
            raise SourceChanged(f"{self._job.source}: it ends after {self._at:,} of {self._job.size:,} bytes")
        return data
