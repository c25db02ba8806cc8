"""Dropbox's content hash, that can be taken piece by piece and joined."""

from __future__ import annotations

import hashlib

BLOCK_BYTES = 4 * 1024 * 1024


class BlockHash:
    """SHA-256 over the SHA-256 of each block of 4 MiB (Dropbox developer reference, "Content hash").

    ``size``: bytes taken so far.
    """

    def __init__(self) -> None:
        self.size = 0
        self._digests = bytearray()
        self._block = hashlib.sha256()
        self._filled = 0

    def update(self, data: bytes | memoryview) -> None:
        """Take more bytes."""
        view = memoryview(data)
        self.size += len(view)
        while len(view):
            part = view[: BLOCK_BYTES - self._filled]
            self._block.update(part)
            self._filled += len(part)
            view = view[len(part) :]
            if self._filled == BLOCK_BYTES:
                self._digests += self._block.digest()
                self._block = hashlib.sha256()
                self._filled = 0

    def copy(self) -> BlockHash:
        """Another one in the same state."""
        twin = BlockHash()
        twin.size, twin._filled = self.size, self._filled
        twin._digests, twin._block = bytearray(self._digests), self._block.copy()
        return twin

    def join(self, other: BlockHash) -> bool:
        """Take the content that ``other`` took, without its bytes. False, and nothing done, where this one ends inside a
        block."""
        if self._filled:
            return False
        self.size += other.size
        self._digests += other._digests
        self._block, self._filled = other._block.copy(), other._filled
        return True

    def hexdigest(self) -> str:
        """The content hash of all that was taken: 64 hexadecimal digits."""
        rest = self._block.digest() if self._filled else b""
        return hashlib.sha256(bytes(self._digests) + rest).hexdigest()
