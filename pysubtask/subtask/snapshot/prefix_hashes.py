"""Hash states of growing files: continued with the bytes of a tail, they show whether the whole is the content that was
copied."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Mapping
from typing import Any

from .bak_folder import BakFolder

_MOST = 1000
_BLOCK = 1024 * 1024
_READ = (
    os.O_RDONLY
    | getattr(os, "O_BINARY", 0)
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_CLOEXEC", 0)
)


class Prefixes:
    """The hash states by the digest of the version. They live as long as the process, as a hash object cannot be stored. For any
    thread."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._states: dict[str, Mapping[int, Any]] = {}

    def keep(self, digest: str, states: Mapping[int, Any]) -> None:
        """Keep the SHA-256 objects of the beginnings of a version, by their sizes."""
        if not states and digest not in self._states:
            return
        with self._guard:
            self._states.pop(digest, None)
            if states:
                self._states[digest] = dict(states)
            while len(self._states) > _MOST:
                del self._states[next(iter(self._states))]

    def before(self, digest: str, at: int, base: int) -> tuple[int, Any] | None:
        """The state of the longest beginning with at least ``base`` and at most ``at`` bytes: its size, and the hash object; None
        where there is none."""
        if digest not in self._states:
            return None
        with self._guard:
            states = self._states.get(digest, {})
            best = max((size for size in states if base <= size <= at), default=None)
            return None if best is None else (best, states[best])


def found_again(open_data: Callable[[], int], snapshot: str, base: int, size: int, digest: str) -> tuple[int, Any] | None:
    """The state of the first ``base`` bytes, for a process that has not made the ``snapshot``, which lacks them. They are read
    from the data file (``open_data`` opens it), and accepted where they and the beginning of the snapshot together are the
    ``size`` bytes that were delivered, by their ``digest``. None where they are not: the file may have been rotated since. Blocks
    while it reads."""
    if not base <= size:
        return None
    sha = hashlib.sha256()
    try:
        if not _fed(sha, open_data(), base):
            return None
        whole = sha.copy()
        if not _fed(whole, BakFolder(os.path.dirname(snapshot)).open(snapshot, _READ), size - base):
            return None
    except OSError:
        return None
    return (base, sha) if whole.hexdigest() == digest else None


def _fed(sha: Any, handle: int, count: int) -> bool:
    """Whether the file had ``count`` bytes for the hash; closes the file."""
    with os.fdopen(handle, "rb", buffering=0) as file:
        while count:
            block = file.read(min(_BLOCK, count))
            if not block:
                return False
            sha.update(block)
            count -= len(block)
    return True
