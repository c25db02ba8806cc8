"""The signature of a big file, made beside the copy of it that is being written, so that the upload need not read it again."""

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
    """Signatures by the digest of what they are of; from any thread. ``needed``: whether they are of use."""

    def __init__(self) -> None:
        self.needed = False
        self._signatures: dict[str, Signature] = {}

    def keep(self, digest: str, built: Signature) -> None:
        """For whoever sends it; only the last few are kept, they can be made again."""
        self._signatures[digest] = built
        for old in list(self._signatures)[:-_KEPT]:
            self._signatures.pop(old, None)

    def find(self, digest: str, size: int) -> Signature | None:
        """That of a content of ``size`` bytes."""
        found = self._signatures.get(digest)
        return found if found is not None and found.size == size else None


class Growing:
    """A thread that signs a file of ``size`` bytes while another writes it, in order. It reads what was written: just what
    the copy holds, whatever becomes of the source."""

    def __init__(self, size: int, average: int) -> None:
        self._size, self._average = size, average
        self._progress = threading.Condition()
        self._there = 0
        self._over = False
        self._signature: Signature | None = None

    @contextlib.contextmanager
    def signing(self, path: str) -> Iterator[None]:
        """Sign the file at this path, which is there and will hold all of it when this is left without an error."""
        thread = threading.Thread(target=self._sign, args=(path,), name="signing", daemon=True)
        try:
            thread.start()
        except RuntimeError as exc:
            if not is_limit(exc):
                raise
            yield  # no thread is to be had: the upload makes its own
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
        """All below is written."""
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
        # Without one the upload makes its own.
        with contextlib.suppress(Halted, SourceError, OSError):
            self._signature = signature.sign(path, self._size, lambda: self._over, self._average, self._wait)
