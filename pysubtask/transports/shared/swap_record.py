"""What a swap has put aside, written down: for transports to servers that cannot rename over a file.

There the old file is put aside, the new one renamed in, the old one removed. What is put aside is first on
record, so that an interrupted swap is mended by the next connection.
"""

from __future__ import annotations

import contextlib
import json
import os

from ...common import own_files
from ...common.clock import is_plausible

_RECORD = "swaps.json"
_KEEP_COUNT = 1000
_KEEP_SECS = 24 * 3600  # a stalled server may still carry out an old request for as long as it lives


class SwapRecord:
    """Which asides may stand on the server: aside -> (name, wall-clock time), in one small file.

    ``known``: whether this destination has needed a swap before.
    """

    def __init__(self, workdir: str, identity: str) -> None:
        self._workdir = workdir
        self._identity = identity
        self.known = False
        self.asides: dict[bytes, tuple[bytes, float]] = {}
        # A record that is not there or not readable: then only the caller's stale names tell of asides.
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
            read = json.loads(own_files.read(workdir, _RECORD))
            if read["identity"] == identity:
                self.known = True
                self.asides = {os.fsencode(aside): (os.fsencode(name), float(at)) for aside, (name, at) in read["asides"].items()}

    def add(self, aside: bytes, name: bytes, now: float) -> None:
        """OSError where it cannot be written: then the swap must not begin."""
        if is_plausible(now):  # what was written down before the clock was set is as old as this
            self.asides = {key: (kept, at if is_plausible(at) else now) for key, (kept, at) in self.asides.items()}
        self.asides[aside] = (name, now)
        while len(self.asides) > _KEEP_COUNT:
            del self.asides[next(iter(self.asides))]
        self._write(safe=True)
        self.known = True

    def is_over(self, at: float, now: float) -> bool:
        """Whether what was put aside then is not looked for any longer. A clock that cannot be right ends nothing."""
        return is_plausible(at) and is_plausible(now) and not 0 <= now - at <= _KEEP_SECS

    def forget(self, aside: bytes) -> None:
        """The aside is no longer on the server. Not an error where the file cannot be written."""
        if self.asides.pop(aside, None) is not None:
            with contextlib.suppress(OSError):  # looked at once more by the next connection, then
                self._write(safe=False)

    def _write(self, *, safe: bool) -> None:
        """``safe``: it must outlast a power cut, for the server will have an aside that only it tells of."""
        text = json.dumps(
            {
                "identity": self._identity,
                "asides": {os.fsdecode(aside): [os.fsdecode(name), at] for aside, (name, at) in self.asides.items()},
            }
        )
        own_files.replace(self._workdir, _RECORD, text.encode("utf-8"), sync=safe)
