"""Signatures that are computed while a big file is copied, so that the upload need not read the file again."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from ...common.errors import SourceError
from ...common.limits import is_limit
from . import signature
from .signature import Halted, Signature

_KEPT = 3


class SignatureCache:
    """Signatures by the digest of their content; for any thread. ``needed``: whether signatures are of use at present."""

    def __init__(self) -> None:
        self.needed = False
        self._signatures: dict[str, Signature] = {}

    def keep(self, digest: str, built: Signature) -> None:
        """Keep a signature for the upload. Only the last few are kept, as the upload can compute a missing one."""
        self._signatures[digest] = built
        for old in list(self._signatures)[:-_KEPT]:
            self._signatures.pop(old, None)

    def find(self, digest: str, size: int) -> Signature | None:
        """The signature of a content with this digest and ``size`` in bytes; None where the cache has none."""
        found = self._signatures.get(digest)
        return found if found is not None and found.size == size else None


class Growing:
    """A thread that signs a file of ``size`` bytes while another thread writes it in order. It reads the copy, not the source, so
    the signature fits the copy even where the source changes meanwhile."""

    def __init__(self, size: int, average: int) -> None:
        self._size, self._average = size, average
        self._progress = threading.Condition()
        self._there = 0
        self._over = False
        self._signature: Signature | None = None

    @contextlib.contextmanager
    def signing(self, path: str) -> Iterator[None]:
        """Sign the file at ``path``, which exists and will hold all its bytes when the context ends without an error."""
        thread = threading.Thread(target=self._sign, args=(path,), name="signing", daemon=True)
        try:
            thread.start()
        except RuntimeError as exc:
            if not is_limit(exc):
                raise
            yield  # the system starts no thread: the upload computes the signature
            return
        try:
            yield
            self.reached(self._size)
        except BaseException:
            with self._progress:
                self._over = True
                self._progress.notify()
            raise
        finally:
            thread.join()

    def reached(self, offset: int) -> None:
        """The bytes below ``offset`` are written."""
        with self._progress:
            self._there = offset
            self._progress.notify()

    def outcome(self) -> Signature | None:
        """The signature, after ``signing``; None where it could not be made."""
        return self._signature

    def _wait(self, offset: int) -> int:
        with self._progress:
            self._progress.wait_for(lambda: self._over or self._there > offset or self._there == self._size)
            return self._there

    def _sign(self, path: str) -> None:
        # Without a signature from here the upload computes one.
        with contextlib.suppress(Halted, SourceError, OSError):
            self._signature = signature.sign(path, self._size, lambda: self._over, self._average, self._wait)
