"""Whether the whole file has arrived: sizes that a server has not settled yet, and line ends that it changes. Blocking."""

from __future__ import annotations

import time

from ...common.errors import FileRefused
from ..base import Job
from .data import Source
from .session import Session

_QUIET_SECS = 1.5
"""A file that has not grown for this long is complete."""
# Before each further look: most servers have the size within the first, and none is asked often.
_PAUSES = (0.05, 0.1, 0.15, 0.2, 0.25)
_BLOCK = 1024 * 1024  # bytes read at a time, of a file that is looked through for its line ends
TEXT_MODE = "the server changes the ends of lines, as in text mode (ASCII), though it agreed to take files as they are (TYPE I)"
_TAKE_AS_IT_IS = "Have that switched off on the server; SFTP knows no such mode"


def settled_size(session: Session, path: str, expected: int) -> int | None:
    """The size in bytes of a file whose transfer the server has acknowledged, as :meth:`Session.size` reads it. A size below
    ``expected`` is read again while it grows: some servers reply 226 before every byte is written, or cache sizes."""
    remote_size = session.size(path, stored=True)
    grew, pauses, end = time.monotonic(), iter(_PAUSES), None
    while remote_size is not None and remote_size < expected:
        now = time.monotonic()
        end = end or now + session.patience_for(expected - remote_size)
        if now - grew >= _QUIET_SECS or now >= end:
            break
        session.pause(next(pauses, _PAUSES[-1]))
        before, remote_size = remote_size, session.size(path, stored=True)
        if remote_size is not None and remote_size > before:
            grew = time.monotonic()
    return remote_size


def text_mode(job: Job, source: Source, remote_size: int) -> FileRefused | None:
    """The error for a server that changes line ends as in text mode, though it agreed to TYPE I; None where ``remote_size``
    cannot come from that."""
    if not remote_size or remote_size == job.size or not job.size / 2 <= remote_size <= 2 * job.size or source.base:
        return None
    feeds = both = at = 0
    last = b""
    while at < job.size:
        block = source.read(at, min(_BLOCK, job.size - at))
        if not block:
            return None
        feeds += block.count(b"\n")
        both += block.count(b"\r\n") + (last == b"\r" and block[:1] == b"\n")
        last, at = block[-1:], at + len(block)
    if remote_size - job.size not in {feeds, feeds - both, -both} - {0}:
        return None
    return FileRefused(
        f"{job.name}: {TEXT_MODE}: {job.size:,} bytes were sent and it has {remote_size:,}",
        _TAKE_AS_IT_IS,
        step="looking at its size",
        file=job.name,
    )
