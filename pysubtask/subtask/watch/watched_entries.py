"""The entries of the watch list: which one a data file belongs to, and in which watched folder it lies."""

from __future__ import annotations

from collections.abc import Sequence

from ...common.entries import Entry
from ...common.paths import name_of
from .due import RESIDUAL
from .folder import Folder
from .folders import Folders


class WatchedEntries:
    """``entries``: the watch list; ``folders``: those that are watched. ``bursting``: the paths of the named files that a burst may
    hold back."""

    def __init__(self, entries: Sequence[Entry], folders: Folders) -> None:
        self._entries = entries
        self._folders = folders
        self._named = {entry.path: index for index, entry in enumerate(entries) if entry.kind == "file"}
        self.bursting = bursting_files(entries)

    def __getitem__(self, index: int) -> Entry:
        return self._entries[index]

    def named(self, path: str) -> int | None:
        """The index of the entry that names this file; None where there is none."""
        return self._named.get(path)

    def index_of(self, path: str) -> int:
        """The entry a data file belongs to, or RESIDUAL."""
        named = self._named.get(path)
        if named is not None:
            return named
        folder = self._folders.of(path)
        return RESIDUAL if folder is None else folder.index

    def folder_of(self, path: str) -> Folder | None:
        """The watched folder that a file lies in; None where there is none."""
        return self._folders.of(path)

    def is_listed(self, path: str) -> bool:
        """Whether a file exists again, in a folder that was created again."""
        folder = self._folders.of(path)
        return folder is not None and bool(folder.known.inode(name_of(path)))


def bursting_files(entries: Sequence[Entry]) -> frozenset[str]:
    """The paths of the named files that a burst may hold back."""
    return frozenset(entry.path for entry in entries if entry.kind == "file" and entry.burstmode)
