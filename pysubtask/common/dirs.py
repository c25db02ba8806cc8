"""Which watched folder a data file belongs to, by its path alone: for whoever does not watch."""

import os
from collections.abc import Container, Iterable

from .entries import STATE_FOLDER, Entry, below, selects
from .notify import is_signal_file


class Dirs:
    """The folder entries of a task. ``closed``: absolute paths of folders that are not watched where they lie inside
    a recursive one."""

    def __init__(self, entries: Iterable[Entry], closed: Container[str] = ()) -> None:
        self.entries = tuple(entry for entry in entries if entry.kind == "dir")
        self._by_path = {entry.path: entry for entry in self.entries}
        self._closed = closed

    def owner(self, path: str) -> Entry | None:
        """The entry that watches this data file (absolute path), there or not; None where none does.

        A folder with an entry of its own belongs to that entry alone, with all that is below it.
        """
        found = self.covers(os.path.dirname(path))
        if found is None or is_signal_file(path) or not selects(found, below(found, path)):
            return None
        return found

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
