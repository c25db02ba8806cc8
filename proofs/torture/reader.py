"""A reader of the server's folder, for the whole run, and of the receipts as they are written."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from pysubtask.common.receipts import FILE, Receipt, parse

from .content import Streams, number_of

_POLL_SECS = 0.003
_TEMP = ".pysubtask-"


class Twice(NamedTuple):
    """A content of the file ``name``, with the SHA-256 ``digest``, that was sent although the server had it: ``how`` it was
    seen, ``at`` which monotonic second, and ``first``: when it was seen before."""

    name: str
    digest: str
    how: str
    at: float
    first: float


def _stamp(info: os.stat_result) -> tuple[int, ...]:
    """SFTP sets whole seconds, and an inode's number is soon another file's: so the time of the last change, too."""
    return info.st_ino, info.st_mtime_ns, info.st_ctime_ns, info.st_size


class _Seen:
    """The reader's record of one name."""

    def __init__(self) -> None:
        self.stamp: tuple[int, ...] = (0,)
        self.place = (-1, -1)
        self.digests: dict[str, tuple[int, float]] = {}
        self.there = False


class Reader:
    """A thread that reads what changes in ``server``: growing files (``grow-``, ``rot-``) must be true beginnings, all others
    complete versions, and none goes back. ``torn`` is what was seen otherwise, in words; ``contents_read`` counts the readings.
    ``gap``: a name may for a moment be without its file; ``gaps`` counts how often that was seen."""

    def __init__(self, server: str, state: str, *, gap: bool = False) -> None:
        self._server, self._receipts = server, os.path.join(state, FILE)
        self._gap = gap
        self.gaps = 0
        self.torn: list[str] = []
        self.twice: dict[tuple[str, str], Twice] = {}
        self.contents_read = 0
        self.deliveries = 0
        self._seen: dict[str, _Seen] = {}
        self._sent: dict[tuple[str, str], float] = {}
        self._streams = Streams()
        self._place = (0, 0)
        self._last_seq = 0
        self._guard = threading.Lock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reader", daemon=True)

    def start(self) -> None:
        """Begin to scan."""
        self._thread.start()

    def stop(self) -> None:
        """Scan once more and end."""
        self._over.set()
        self._thread.join()

    def removing(self, remove: Callable[[], list[str]]) -> None:
        """Call ``remove`` while no scan runs; it removes files of the server and returns their names."""
        with self._guard:
            for name in remove():
                self._seen.pop(name, None)

    def _run(self) -> None:
        try:
            self._scan_until_over()
        except Exception as exc:
            self.torn.append(f"the reader ended: {exc!r}")
            raise

    def _scan_until_over(self) -> None:
        while True:
            over = self._over.is_set()
            with self._guard:
                self._scan()
                self._read_receipts()
            if over:
                return
            self._over.wait(_POLL_SECS)

    def _scan(self) -> None:
        names = set()
        with os.scandir(self._server) as entries:
            for entry in entries:
                if entry.name.startswith(_TEMP):
                    continue
                names.add(entry.name)
                seen = self._seen.setdefault(entry.name, _Seen())
                try:
                    if _stamp(os.stat(entry.path)) != seen.stamp:
                        self._read(entry.name, entry.path, seen)
                except FileNotFoundError:
                    self._missing(entry.name, "was not there for a moment")
        for name in self._seen.keys() - names:
            if not self._gap:
                del self._seen[name]
            self._missing(name, "went away")

    def _missing(self, name: str, words: str) -> None:
        """A name without its file. The comparison at the end decides whether the file is lost."""
        if not self._gap:
            self.torn.append(f"{name} {words}")
        elif self._seen[name].there:
            self._seen[name].there = False
            self.gaps += 1

    def _read(self, name: str, path: str, seen: _Seen) -> None:
        with open(path, "rb") as file:
            data = file.read()
            info = os.fstat(file.fileno())
        self.contents_read += 1
        seen.there = True
        former, seen.stamp = seen.stamp, _stamp(info)
        place: tuple[int, int]
        if name.startswith(("grow-", "rot-")):
            generation = self._streams.generation_of(data)
            place = (-1, -1) if generation is None else (generation, len(data))
        else:
            number = number_of(data)
            place = (-1, -1) if number is None else (0, number)
        if place == (-1, -1):
            self.torn.append(f"{name}: {len(data)} bytes that are no version of it")
        elif place < seen.place and place[0] >= 0:
            self.torn.append(f"{name} went back from {seen.place} to {place}")
        seen.place = max(seen.place, place)
        digest = hashlib.sha256(data).hexdigest()
        before = seen.digests.get(digest)
        if before is not None and before[0] != info.st_ino and former[0] != info.st_ino:
            self._note(name, digest, "published again", before[1])
        seen.digests[digest] = info.st_ino, time.monotonic() if before is None else before[1]

    def _read_receipts(self) -> None:
        try:
            info = os.stat(self._receipts)
            if (info.st_ino, info.st_size) == self._place:
                return
            with open(self._receipts, "rb") as file:
                inode = os.fstat(file.fileno()).st_ino
                # After a compaction it is another file, read from its beginning.
                begin = self._place[1] if inode == self._place[0] else 0
                file.seek(begin)
                lines = file.read().splitlines(keepends=True)
        except FileNotFoundError:
            return
        if lines and not lines[-1].endswith(b"\n"):
            lines.pop()
        self._place = (inode, begin + sum(map(len, lines)))
        for receipt in filter(None, map(parse, lines)):
            if receipt.seq > self._last_seq:
                self._last_seq = receipt.seq
                self._take(receipt)

    def _take(self, receipt: Receipt) -> None:
        key = (receipt.name, receipt.digest)
        if receipt.bytes_sent:
            self.deliveries += 1
            if key in self._sent:
                self._note(*key, "a second receipt with bytes", self._sent[key])
            self._sent.setdefault(key, time.monotonic())

    def _note(self, name: str, digest: str, how: str, first: float) -> None:
        self.twice.setdefault((name, digest), Twice(name, digest, how, time.monotonic(), first))
