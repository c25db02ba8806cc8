"""The record of swaps: for transports to servers that cannot rename over a file.

In a swap the old file is renamed to an aside, the new one is renamed to the name, and the aside is removed. The aside is
recorded before the first rename, so that the next connection can finish or undo an interrupted swap.
"""

from __future__ import annotations

import contextlib
import json
import os

from ...common import own_files
from ...common.clock import is_plausible
from ...common.state_files import SWAP_RECORD

_RECORD = SWAP_RECORD
_KEEP_COUNT = 1000
_KEEP_SECS = 24 * 3600  # a stalled server may still carry out an old request for as long as it lives


class SwapRecord:
    """The asides that may exist on the server: aside -> (name, wall-clock time), in one small file.

    ``known``: whether this destination has needed a swap before.
    """

    def __init__(self, workdir: str, identity: str) -> None:
        self._workdir = workdir
        self._identity = identity
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
        if is_plausible(now):  # entries from before the clock was set count as made now
            self.asides = {key: (kept, at if is_plausible(at) else now) for key, (kept, at) in self.asides.items()}
        self.asides[aside] = (name, now)
        while len(self.asides) > _KEEP_COUNT:
            del self.asides[next(iter(self.asides))]
        self._write(safe=True)
        self.known = True

    def is_over(self, at: float, now: float) -> bool:
        """Whether an aside recorded at ``at`` is old enough to be forgotten; False where one of the two times cannot be right."""
        return is_plausible(at) and is_plausible(now) and not 0 <= now - at <= _KEEP_SECS

    def forget(self, aside: bytes) -> None:
        """The aside is no longer on the server. Not an error where the file cannot be written."""
        if self.asides.pop(aside, None) is not None:
            with contextlib.suppress(OSError):  # the next connection then checks this aside once more
                self._write(safe=False)

    def _write(self, *, safe: bool) -> None:
        """``safe``: sync, so that the record outlasts a power cut: nothing else tells of an aside on the server."""
        text = json.dumps(
            {
                "identity": self._identity,
                "asides": {os.fsdecode(aside): [os.fsdecode(name), at] for aside, (name, at) in self.asides.items()},
            }
        )
        own_files.replace(self._workdir, _RECORD, text.encode("utf-8"), sync=safe)
