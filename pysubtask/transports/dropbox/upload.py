"""One file under way: its source and its progress."""

from __future__ import annotations

import contextlib
import os

from ...common.errors import SourceChanged
from ..base import Job, Progress
from ..shared.resume_note import to_note
from ..shared.sent_hash import SentHash
from ..shared.source import open_source
from .content_hash import ContentHash, hash_through
from .resume import ResumePoint


class Source:
    """The open file of an upload. It closes with its last reference, as a thread that was given up may still read."""

    def __init__(self, job: Job) -> None:
        self.path, self.fd = job.source, open_source(job)

    def __del__(self) -> None:
        with contextlib.suppress(AttributeError):  # the open failed, so there is no descriptor
            os.close(self.fd)

    def read(self, offset: int, count: int) -> bytes:
        """Exactly ``count`` bytes from ``offset``. Raises SourceChanged where the file has fewer or cannot be read."""
        parts = []
        while count:
            try:
                os.lseek(self.fd, offset, os.SEEK_SET)
                part = os.read(self.fd, count)
            except OSError as exc:
                raise SourceChanged(f"{self.path}: it cannot be read: {exc.strerror}") from exc
            if not part:
                raise SourceChanged(f"{self.path}: it ends at {offset:,} bytes")
            parts.append(part)
            offset, count = offset + len(part), count - len(part)
        return b"".join(parts)


class Upload:
    """One file under way. ``sent``: bytes handed to the connection. ``resume_point``: the upload session that holds the first
    bytes, None where there is none. ``hash``: Dropbox's hash of the bytes read so far."""

    def __init__(self, job: Job, path: str, progress: Progress) -> None:
        self.job = job
        self.path = path
        self.progress = progress
        self.source = Source(job)
        self.hash = ContentHash()
        self.sent_hash = SentHash(job, self.source.fd)
        self.resume_point: ResumePoint | None = None
        self.sent = 0

    def keep(self, session: str, offset: int, at: float) -> ResumePoint:
        """Record, and note for a resume, that upload session ``session``, begun ``at``, holds ``offset`` bytes."""
        self.resume_point = ResumePoint(session, offset, offset == self.job.size, at)
        # Noted after the reply: a note that is behind costs a piece again, one ahead would promise bytes that Dropbox may not have.
        self.job.note(to_note(self.resume_point))
        self.progress(offset)
        return self.resume_point

    def rewind(self, offset: int) -> None:
        """Compute the hash of the bytes before ``offset``. Blocks."""
        self.hash = hash_through(self.source.read, offset)
