"""For a file that only grows: the digest so far, from which the next snapshot continues, and signs that it is still the same
file."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from typing import Any, NamedTuple

from ...common.positioned import read_at
from ..delta.transfer_plan import LEAST_BYTES

JOIN_BYTES = 64 * 1024


class Digest:
    """SHA-256 of a file that is read in order, and of its beginnings with each length in ``sizes`` (bytes).

    ``sha`` has hashed the first ``done`` bytes already; :meth:`update` skips such bytes.
    """

    def __init__(self, sizes: Iterable[int] = (), sha: Any = None, done: int = 0) -> None:
        self._sha = hashlib.sha256() if sha is None else sha.copy()
        self._done = done
        self._sizes = sorted((size for size in set(sizes) if size >= done), reverse=True)
        self.prefixes: dict[int, str] = {}
        self.states: dict[int, Any] = {}
        self._keep_states()

    def update(self, block: memoryview, offset: int) -> None:
        """Hash the bytes at ``offset``; no byte may be left out."""
        if offset < self._done:
            block = block[self._done - offset :]
        while self._sizes and self._done + len(block) >= self._sizes[-1]:
            upto = self._sizes[-1] - self._done
            self._sha.update(block[:upto])
            self._done += upto
            block = block[upto:]
            self._keep_states()
        self._sha.update(block)
        self._done += len(block)

    def hexdigest(self) -> str:
        """The digest of all bytes so far."""
        return str(self._sha.hexdigest())

    def state(self) -> Any:
        """A copy of the hash object, to continue from."""
        return self._sha.copy()

    def _keep_states(self) -> None:
        while self._sizes and self._sizes[-1] <= self._done:
            size = self._sizes.pop()
            self.prefixes[size], self.states[size] = self.hexdigest(), self.state()


class Start(NamedTuple):
    """Where a snapshot begins: at ``base``, with the digest ``sha`` of the first ``size`` bytes.

    ``inode`` is that of the data file. ``first`` is the digest of the file's beginning (LEAST_BYTES), ``join`` that of the bytes
    from ``base`` to ``size``. ``prefixes`` are the digests known by then, by the number of bytes that each covers.
    """

    base: int
    size: int
    inode: int
    sha: Any
    first: bytes
    join: bytes
    prefixes: dict[int, str]

    @classmethod
    def whole(cls) -> Start:
        """The start of a whole snapshot: at the first byte."""
        return cls(0, 0, 0, None, b"", b"", {})

    def digest(self, sizes: Iterable[int]) -> Digest:
        """A digest that continues from here, to be fed with the bytes from ``base`` on."""
        digest = Digest(sizes, self.sha, self.size)
        digest.prefixes.update({size: found for size, found in self.prefixes.items() if size in set(sizes)})
        return digest

    def fits(self, handle: int, found: os.stat_result) -> bool:
        """Whether an open file is the one of this start and has only grown, as far as inode, length, beginning and the bytes
        before the join show."""
        if found.st_ino != self.inode or found.st_size < self.size:
            return False
        try:
            return (_first(handle), _digest_at(handle, self.base, self.size - self.base)) == (self.first, self.join)
        except OSError:
            return False


def _digest_at(handle: int, offset: int, count: int) -> bytes:
    return hashlib.sha256(read_at(handle, count, offset)).digest()


def _first(handle: int) -> bytes:
    return _digest_at(handle, 0, LEAST_BYTES)


def base_of(size: int) -> int:
    """The offset at which a snapshot begins that continues behind the first ``size`` bytes: a little earlier, so that the join
    can be compared."""
    return max(0, size - JOIN_BYTES)


class AppendTracker:
    """The starts of each file, by the sizes at which a later snapshot may go on. One thread at a time for each file."""

    def __init__(self) -> None:
        self._starts: dict[str, dict[int, Start]] = {}

    def start(self, path: str, size: int) -> Start | None:
        """Where a snapshot can continue behind the first ``size`` bytes; None where it has to begin at the first byte."""
        return self._starts.get(path, {}).get(size)

    def keep(self, path: str, snapshot: str, inode: int, size: int, base: int, sha: Digest, sizes: Iterable[int]) -> None:
        """Remember a snapshot of ``size`` bytes from ``base`` on, and of the earlier snapshots the starts at ``sizes``.

        All bytes are read from the snapshot itself, as the data file may have changed since.
        """
        old = self._starts.pop(path, {})
        kept = {known: old[known] for known in sizes if known in old and old[known].inode == inode}
        try:
            handle = os.open(
                snapshot, os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0)
            )
        except OSError:
            return
        try:
            first = _first(handle) if base == 0 else next(start.first for start in old.values())
            for end, state in {**sha.states, size: sha.state()}.items():
                begin = base_of(end)
                if end not in kept and end > LEAST_BYTES and begin >= base:
                    join = _digest_at(handle, begin - base, end - begin)
                    kept[end] = Start(begin, end, inode, state, first, join, dict(sha.prefixes))
        except (OSError, StopIteration):
            return
        finally:
            os.close(handle)
        self._starts[path] = kept

    def same(self, path: str, size: int) -> bool | None:
        """Whether a file has ``size`` bytes and the same signs as before; None where none are known."""
        start = self.start(path, size)
        if start is None:
            return None
        try:
            handle = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0))
        except OSError:
            return False
        try:
            found = os.fstat(handle)
            return found.st_size == size and start.fits(handle, found)
        finally:
            os.close(handle)

    def grew(self, path: str, size: int) -> bool:
        """Whether a file, as far as its signs show, still begins with its first ``size`` bytes and has more now."""
        start = self.start(path, size)
        if start is None:
            return False
        try:
            handle = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0))
        except OSError:
            return False
        try:
            found = os.fstat(handle)
            return found.st_size > size and start.fits(handle, found)
        finally:
            os.close(handle)

    def forget(self, path: str) -> None:
        """Have the next snapshot of a file begin at its first byte."""
        self._starts.pop(path, None)
