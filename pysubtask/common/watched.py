"""The watch entry of a data file by its path alone, and what an app may notify: its notify file, and whether it may be held
back."""

from __future__ import annotations

import os
from collections.abc import Container, Iterable, Sequence
from typing import TYPE_CHECKING

from .entries import STATE_FOLDER, Entry, below, selects
from .notify import data_name, is_signal_file, notify_name
from .place import real_path

if TYPE_CHECKING:
    from .never_sent import NeverSent


class Dirs:
    """The folder entries of a task. ``closed``: absolute paths of folders that are not watched where they lie inside
    a recursive one. ``own``: the files that are no data."""

    def __init__(self, entries: Iterable[Entry], closed: Container[str] = (), own: NeverSent | None = None) -> None:
        self.entries = tuple(entry for entry in entries if entry.kind == "dir")
        self._by_path = {entry.path: entry for entry in self.entries}
        self._closed = closed
        self._own = own

    def owner(self, path: str) -> Entry | None:
        """The entry that watches this data file (absolute path), there or not; None where none does.

        A folder with an entry of its own belongs to that entry alone, with all that is below it.
        """
        found = self.covers(os.path.dirname(path))
        if found is None or is_signal_file(path) or not selects(found, below(found, path)):
            return None
        return None if self._own and self._own.why(path) else found

    def covers(self, folder: str) -> Entry | None:
        """The entry that this folder belongs to, whatever of the files in it counts."""
        return self._by_path.get(folder) or self._above(folder)

    def _above(self, folder: str) -> Entry | None:
        while folder not in self._closed and os.path.basename(folder) != STATE_FOLDER:
            folder, last = os.path.dirname(folder), folder
            if folder == last:
                return None
            found = self._by_path.get(folder)
            if found is not None:
                return found if found.recursive else None
        return None


class Watched:
    """The files and folders of ``entries``. ``closed``: absolute paths of what is left out inside recursive folders, ``own``: the
    files that are no data.

    ``files``: named data file -> its notify file. ``bursting``: the notify files of those in burst mode.
    """

    def __init__(self, entries: Sequence[Entry], closed: Container[str], own: NeverSent | None = None) -> None:
        self.files = {entry.path: notify_name(entry.path) for entry in entries if entry.kind == "file"}
        self.bursting = {notify_name(entry.path) for entry in entries if entry.kind == "file" and entry.burstmode}
        self._dirs = Dirs(entries, closed, own)

    def notify_of(self, path: str) -> str | None:
        """The notify file of a data file (absolute path) that is named or in a watched folder; None for any other."""
        if path in self.files:
            return self.files[path]
        folder, name = os.path.split(path)
        if not name:
            return None
        owner = self._dirs.owner(path)
        if owner is not None and (owner.path == folder or _is_straight(owner, folder)):
            return notify_name(path)
        return self._by_another_name(real_path(folder), name)

    def bursts(self, notify: str) -> bool:
        """Whether a notify file's data is under burst mode; a folder's word counts where no entry names the file."""
        path = data_name(notify)
        if path in self.files:
            return notify in self.bursting
        owner = self._dirs.owner(path)
        return owner is not None and owner.burstmode

    def has(self, path: str) -> bool:
        """Whether a data file is watched, by its path as the children know it."""
        return path in self.files or self._dirs.owner(path) is not None

    def _by_another_name(self, real: str, name: str) -> str | None:
        """The app may know the folder by another name (a link)."""
        for entry in self._dirs.entries:
            top = real_path(entry.path)
            if real == top or (entry.recursive and real.startswith(os.path.join(top, ""))):
                path = os.path.join(entry.path, real[len(top) :].lstrip(os.sep), name)
                if self._dirs.owner(path) is not None:
                    return notify_name(path)
        return None


def _is_straight(entry: Entry, folder: str) -> bool:
    """Whether no link leads from the entry's folder to this one inside it: such links are not followed."""
    return real_path(folder) == os.path.normpath(os.path.join(real_path(entry.path), below(entry, folder)))
