"""A reader of every new content on the server, for the whole run."""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
import time
from collections.abc import Iterator

from ..torture.compare import TEMP
from ..torture.content import Streams
from .model import NOTHING, Model, Seen, Torn

_POLL_SECS = 0.008
_SHARE = 3
"""Between two scans the reader rests this many times as long as a scan takes, to leave the processor to the programs."""
_KEPT = 40


class Reader:
    """A thread that reads in ``server``. ``torn``: contents that are no state of their names, by name and SHA-256; some of them
    may be allowed by the end (:meth:`wrong`). ``contents_read`` counts the contents that were read. ``kept``: a folder for
    contents that are wrong."""

    def __init__(self, server: str, model: Model, kept: str) -> None:
        self._server, self._model, self._kept = server, model, kept
        self.contents_read = 0
        self.torn: dict[tuple[str, str], Torn] = {}
        self.gone: list[str] = []
        self._stamps: dict[str, tuple[int, ...]] = {}
        self._seen: dict[str, Seen] = {}
        self._streams = Streams()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reader", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def stop(self) -> None:
        """Scan the folder once more and end."""
        self._over.set()
        self._thread.join()

    def wrong(self) -> list[str]:
        """In words, the contents that no reader may find."""
        found = [one for one in list(self.torn.values()) if not self._model.is_allowed(one.name, one.digest)]
        return [f"{one.name} at {one.at:.2f} s: {one.words}" for one in found] + self.gone

    def _run(self) -> None:
        while True:
            over, begun = self._over.is_set(), time.monotonic()
            self._scan()
            if over:
                return
            self._over.wait(max(_POLL_SECS, _SHARE * (time.monotonic() - begun)))

    def _scan(self) -> None:
        there = set()
        for entry in _files(self._server):
            if entry.name.startswith(TEMP):
                continue
            name = os.path.relpath(entry.path, self._server)
            there.add(name)
            try:
                info = os.stat(entry.path)
                stamp = (info.st_ino, info.st_mtime_ns, info.st_ctime_ns, info.st_size)
                if stamp != self._stamps.get(name):
                    self._read(name, entry.path)
            except FileNotFoundError:
                self.gone.append(f"{name} was not there for a moment")
        for name in self._stamps.keys() - there:
            del self._stamps[name]
            self.gone.append(f"{name} went away")

    def _read(self, name: str, path: str) -> None:
        with open(path, "rb") as file:
            data = file.read()
            info = os.fstat(file.fileno())
        self.contents_read += 1
        self._stamps[name] = (info.st_ino, info.st_mtime_ns, info.st_ctime_ns, info.st_size)
        verdict = self._model.judge(name, data, self._seen.get(name, NOTHING), self._streams)
        if verdict.wrong:
            self._note(name, data, verdict.wrong)
        else:
            self._seen[name] = verdict.seen

    def _note(self, name: str, data: bytes, words: str) -> None:
        digest = hashlib.sha256(data).hexdigest()
        if (name, digest) not in self.torn:
            at = time.monotonic() - self._model.began
            self.torn[name, digest] = Torn(name, digest, len(data), at, f"{words}; it was {self._model.tell(name)}")
            if len(self.torn) <= _KEPT:
                with open(os.path.join(self._kept, f"{len(self.torn):02d}-{name.replace('/', '_')}"), "wb") as file:
                    file.write(data)


def _files(folder: str) -> Iterator[os.DirEntry[str]]:
    """All files below a folder; folders may come and go meanwhile."""
    with contextlib.suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _files(entry.path)
            else:
                yield entry
