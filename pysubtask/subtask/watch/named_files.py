"""The named files of one folder, and when they must be checked without an event."""

from __future__ import annotations

import os
from collections.abc import Callable, Container, Sequence

from ...common.entries import Entry
from ...common.notify import NOTIFY, Stamp, hold_name, notify_name
from .scan_times import ScanTime

# Seconds. Where each touch has an event, this slow round is a safety net.
ROUND_SECS = 180.0


class NamedFiles:
    """``settles``: whether a file is checked soon anyway.

    ``files``: index of the entry and path of each. ``scan_time``: when to check all again. ``live``: file events reported every
    touch until now.
    """

    def __init__(self, settles: Callable[[str], bool]) -> None:
        self.files: list[tuple[int, str]] = []
        self.scan_time = ScanTime()
        self.live = False
        self._settles = settles
        self._signals: set[str] = set()  # the names of the notify and hold files that concern these files
        self._changing: set[str] = set()  # the names of the files whose every change counts
        self._linked: dict[str, int] = {}  # files whose notify file is a link: its target may be touched without an event here
        self._unread = False  # a notify file could not be read
        self._since: float | None = None
        self._seen = 0

    def add(self, index: int, entry: Entry, *, held: bool) -> None:
        """Add the file of an entry; ``held``: a burst may hold it back."""
        name = os.path.basename(entry.path)
        if entry.on_change:
            self._changing.add(name)
        self.files.append((index, entry.path))
        self._signals.update([notify_name(name), hold_name(name)] if held else [notify_name(name)])

    @property
    def is_new(self) -> bool:
        """Whether these files were never checked yet."""
        return self._since is None

    @property
    def is_trusted(self) -> bool:
        """Whether events report every touch, so that the files need not all be checked."""
        return self.live and not self._unread

    def set_live(self, live: bool) -> None:
        """Note whether file events report every touch from now on."""
        self.live = live

    def begin_scan(self) -> Sequence[tuple[int, str]]:
        """All files, which the caller checks now."""
        self._unread = False
        return self.files

    def scanned(self, now: float) -> None:
        """All files were checked, at ``now`` (monotonic seconds)."""
        self._since, self._seen = now, 0

    def check_soon(self, now: float) -> None:
        """Have all files checked at the next scan, without an event: the notify file of one could not be read."""
        self._unread = True
        self.scan_time.wait_until(now)

    def turn(self, now: float) -> Sequence[tuple[int, str]]:
        """The files whose turn it is, where events can be trusted: each once in ROUND_SECS, some at a time."""
        assert self._since is not None, "all are looked at first"
        begin = self._seen
        self._seen = min(len(self.files), int(len(self.files) * (now - self._since) / ROUND_SECS))
        files = self.files[begin : self._seen]
        if self._seen == len(self.files):
            self.scanned(now)
        return [*files, *((index, path) for path, index in self._linked.items())] if self._linked else files

    def note_link(self, index: int, path: str, exists: bool) -> None:
        """Note whether the notify file of a file, if it ``exists``, is a link."""
        if self.live and exists and os.path.islink(notify_name(path)):
            self._linked[path] = index
        elif self._linked:
            self._linked.pop(path, None)

    def wants(self, folder: str, name: str) -> bool:
        """Whether an event of a file in ``folder`` is of interest. Called on another thread.

        A file that settles is checked when it should be quiet, so its events until then need not wake the child: a program may
        close a file a thousand times a second.
        """
        return name in self._signals or (name in self._changing and not self._settles(os.path.join(folder, name)))

    def is_calm(self, path: str, handled: Stamp | None) -> bool:
        """Whether a file need not be checked further, by its notify file; ``handled``: the last handled stamp of that."""
        # This must be quick, as there may be ten thousand files.
        try:
            found = os.lstat(path + NOTIFY) if self.live else os.stat(path + NOTIFY)
        except FileNotFoundError:
            return True
        except OSError:
            return False
        if handled is None:
            return False
        return found.st_mtime_ns == handled[0] and found.st_size == handled[1] and found.st_ino == handled[2]


def by_folder(entries: Sequence[Entry], held: Container[str], settles: Callable[[str], bool]) -> dict[str, NamedFiles]:
    """The named files by their folders. ``held``: the paths of those that a burst may hold back; ``settles``: whether a file is
    settling."""
    found: dict[str, NamedFiles] = {}
    for index, entry in enumerate(entries):
        if entry.kind == "file":
            folder = os.path.dirname(entry.path)
            if folder not in found:
                found[folder] = NamedFiles(settles)
            found[folder].add(index, entry, held=entry.path in held)
    return found
