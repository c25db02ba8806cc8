"""The record of swaps (``swap``), by which the next connection can finish or undo an interrupted one."""

from __future__ import annotations

import contextlib
import json
import os
from threading import Lock

from ...common import own_files
from ...common.clock import is_plausible
from ...common.state_files import SWAP_RECORD

_RECORD = SWAP_RECORD
_KEEP_COUNT = 1000  # more swaps at a time than files are in flight; only a bound for the file
_KEEP_SECS = 24 * 3600  # a stalled server may still carry out an old request for as long as it lives


class SwapRecord:
    """The asides that may exist on the server: aside -> (name, wall-clock time), in one small file.

    ``known``: whether this destination has needed a swap before. For any thread.
    """

    def __init__(self, workdir: str, identity: str) -> None:
        self._workdir = workdir
        self._identity = identity
        self._guard = Lock()
        self.known = False
        self.asides: dict[bytes, tuple[bytes, float]] = {}
        # A record that is missing or not readable: then asides are found only by the caller's stale names.
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
            read = json.loads(own_files.read(workdir, _RECORD))
            if read["identity"] == identity:
                self.known = True
                self.asides = {os.fsencode(aside): (os.fsencode(name), float(at)) for aside, (name, at) in read["asides"].items()}

    def add(self, aside: bytes, name: bytes, now: float) -> None:
        """Record an aside, synced to the disk. OSError where that fails: then the swap must not begin."""
        with self._guard:
            if is_plausible(now):  # entries from before the clock was set count as made now
                self.asides = {key: (kept, at if is_plausible(at) else now) for key, (kept, at) in self.asides.items()}
            self.asides[aside] = (name, now)
            while len(self.asides) > _KEEP_COUNT:
                del self.asides[next(iter(self.asides))]
            self._write(safe=True)
            self.known = True

    def target_of(self, aside: bytes) -> bytes | None:
        """The name that a recorded aside had; None where it is not on record."""
        found = self.asides.get(aside)
        return found[0] if found is not None else None

    def is_over(self, at: float, now: float) -> bool:
        """Whether an aside recorded at ``at`` is old enough to be forgotten; False where one of the two times cannot be right."""
        return is_plausible(at) and is_plausible(now) and not 0 <= now - at <= _KEEP_SECS

    def forget(self, aside: bytes) -> None:
        """The aside is no longer on the server. Not an error where the file cannot be written."""
        with self._guard:
            if self.asides.pop(aside, None) is not None:
                with contextlib.suppress(OSError):  # the next connection then checks this aside once more
                    self._write(safe=False)

    def forget_old(self, now: float) -> None:
        """Forget the asides that are old enough at ``now``: what a frozen server may still have done to them is done."""
        for aside, (_, at) in list(self.asides.items()):
            if self.is_over(at, now):
                self.forget(aside)

    def _write(self, *, safe: bool) -> None:
        """``safe``: sync before the file takes its name, so that the record outlasts a power cut: nothing else tells of an aside
        on the server. A record of an aside that is gone needs no sync: it costs the next connection one look."""
        text = json.dumps(
            {
                "identity": self._identity,
                "asides": {os.fsdecode(aside): [os.fsdecode(name), at] for aside, (name, at) in self.asides.items()},
            }
        )
        own_files.replace(self._workdir, _RECORD, text.encode("utf-8"), sync=safe)
