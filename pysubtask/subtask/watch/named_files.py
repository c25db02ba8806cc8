"""The named files of one folder, and when they must be looked at though no event said so."""

from __future__ import annotations

import os
from collections.abc import Callable, Container, Sequence

from ...common.entries import Entry
from ...common.notify import NOTIFY, Stamp, hold_name, notify_name

# Where each touch has an event this is for what nobody thought of.
ROUND_SECS = 180.0


class NamedFiles:
    """``files``: index of the entry and path of each. ``signals``: the names of the files that say something of them.
    ``changing``: the names of those of which any change counts, and ``settles`` whether one is looked at soon anyway.

    ``live``: file events told of every touch until now. ``linked``: files whose notify file is a link: what that leads to may
    be touched without an event here. ``unread``: one could not be looked at. ``next_scan`` (monotonic): when to look at all
    again; ``cost``: seconds that took.
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
        """Whether these were never looked at yet."""
        return self._since is None

    def scanned(self, now: float) -> None:
        """All were looked at, at ``now`` (monotonic seconds)."""
        self._since, self._seen = now, 0

    def turn(self, now: float) -> Sequence[tuple[int, str]]:
        """Those whose turn it is, where events are to be trusted: each once in ROUND_SECS, some at a time."""
        assert self._since is not None, "all are looked at first"
        begin = self._seen
        self._seen = min(len(self.files), int(len(self.files) * (now - self._since) / ROUND_SECS))
        files = self.files[begin : self._seen]
        if self._seen == len(self.files):
            self.scanned(now)
        return [*files, *((index, path) for path, index in self.linked.items())] if self.linked else files

    def wants(self, folder: str, name: str) -> bool:
        """Whether an event of a file in ``folder``, which these are in, is of interest. Asked on another thread.

        A file that settles is looked at when it should be quiet, so what happens to it until then need not wake anybody: a
        program may close it a thousand times a second.
        """
        return name in self.signals or (name in self.changing and not self.settles(os.path.join(folder, name)))

    def is_calm(self, path: str, handled: Stamp | None) -> bool:
        """Whether a file needs no closer look, as far as its notify file says; ``handled``: the last stamp of that."""
        # Quick, for there may be ten thousand.
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
    """The entries that are files; ``held``: the paths of those that a burst may hold back; ``settles``: whether one settles."""
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
