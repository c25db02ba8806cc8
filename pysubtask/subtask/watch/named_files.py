"""The named files of one folder, and when they must be checked without an event."""

from __future__ import annotations

import os
from collections.abc import Callable, Container, Sequence

from ...common.entries import Entry
from ...common.notify import NOTIFY, Stamp, hold_name, notify_name

# Seconds. Where each touch has an event, this slow round is a safety net.
ROUND_SECS = 180.0


class NamedFiles:
    """``files``: index of the entry and path of each. ``signals``: the names of the notify and hold files that concern them.
    ``changing``: the names of those whose every change counts, and ``settles`` whether a file is checked soon anyway.

    ``live``: file events reported every touch until now. ``linked``: files whose notify file is a link: its target may be touched
    without an event here. ``unread``: one could not be read. ``next_scan`` (monotonic): when to check all again; ``cost``:
    seconds that the last check took.
    """

    def __init__(self) -> None:
        self.files: list[tuple[int, str]] = []
        self.signals: set[str] = set()
        self.changing: set[str] = set()
        self.settles: Callable[[str], bool] = _never
        self.linked: dict[str, int] = {}
        self.live = False
        self.unread = False
        self.next_scan = float("-inf")
        self.cost = 0.0
        self._since: float | None = None
        self._seen = 0

    @property
    def is_new(self) -> bool:
        """Whether these files were never checked yet."""
        return self._since is None

    def scanned(self, now: float) -> None:
        """All files were checked, at ``now`` (monotonic seconds)."""
        self._since, self._seen = now, 0

    def turn(self, now: float) -> Sequence[tuple[int, str]]:
        """The files whose turn it is, where events can be trusted: each once in ROUND_SECS, some at a time."""
        assert self._since is not None, "all are looked at first"
        begin = self._seen
        self._seen = min(len(self.files), int(len(self.files) * (now - self._since) / ROUND_SECS))
        files = self.files[begin : self._seen]
        if self._seen == len(self.files):
            self.scanned(now)
        return [*files, *((index, path) for path, index in self.linked.items())] if self.linked else files

    def wants(self, folder: str, name: str) -> bool:
        """Whether an event of a file in ``folder`` is of interest. Called on another thread.

        A file that settles is checked when it should be quiet, so its events until then need not wake the child: a program may
        close a file a thousand times a second.
        """
        return name in self.signals or (name in self.changing and not self.settles(os.path.join(folder, name)))

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


def _never(path: str) -> bool:
    return False


def by_folder(entries: Sequence[Entry], held: Container[str], settles: Callable[[str], bool]) -> dict[str, NamedFiles]:
    """The named files by their folders. ``held``: the paths of those that a burst may hold back; ``settles``: whether a file is
    settling."""
    found: dict[str, NamedFiles] = {}
    for index, entry in enumerate(entries):
        if entry.kind == "file":
            folder, name = os.path.split(entry.path)
            named_files = found.setdefault(folder, NamedFiles())
            named_files.settles = settles
            if entry.on_change:
                named_files.changing.add(name)
            named_files.files.append((index, entry.path))
            named_files.signals.update([notify_name(name), hold_name(name)] if entry.path in held else [notify_name(name)])
    return found
