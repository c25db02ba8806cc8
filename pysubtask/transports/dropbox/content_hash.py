"""Dropbox's hash of a file: SHA-256 over the SHA-256 of each 4 MiB block.

Source: "Content hash" in the Dropbox API reference.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

BLOCK = 4 * 1024 * 1024  # bytes of a block ("Content hash" in the Dropbox API reference)


class ContentHash:
    """The hash as an object: fed in order, in pieces of any size."""

    def __init__(self) -> None:
        self._whole = hashlib.sha256()
        self._block = hashlib.sha256()
        self._left = BLOCK

    def update(self, data: bytes) -> None:
        """Add the next bytes."""
        view = memoryview(data)
        while view:
            part = view[: self._left]
            self._block.update(part)
            self._left -= len(part)
            view = view[len(part) :]
            if not self._left:
                self._whole.update(self._block.digest())
                self._block, self._left = hashlib.sha256(), BLOCK

    def hexdigest(self) -> str:
        """The hash of the bytes added so far, in hexadecimal."""
        whole = self._whole.copy()
        if self._left < BLOCK:
            whole.update(self._block.digest())
        return whole.hexdigest()


def hash_through(read: Callable[[int, int], bytes], size: int) -> ContentHash:
    """The hash of the first ``size`` bytes; ``read(offset, count)`` returns exactly ``count`` bytes."""
    content_hash = ContentHash()
    for offset in range(0, size, BLOCK):
        content_hash.update(read(offset, min(BLOCK, size - offset)))
    return content_hash
