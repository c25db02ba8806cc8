"""What is known of the files in a watched folder since its last scan, so that an unchanged file costs one stat, or none."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from ...common.notify import NOTIFY, Stamp, data_name
from ..platform.change_times import is_changed

_SPARE = 100


class KnownFiles:
    """By their names: the data files with their inode numbers (0 while a file has none); ``calm`` files, which are data files with
    the stamp of their last snapshot and notify files with the handled stamp: nothing is done about them until the stamp changes,
    or :meth:`doubt`; and the last known ctimes of such data files."""

    __slots__ = ("_calm", "_ctimes", "_inodes")

    def __init__(self) -> None:
        self._inodes: dict[str, int] = {}
        self._calm: dict[str, Stamp] = {}
        self._ctimes: dict[str, int] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._inodes

    def __iter__(self) -> Iterator[str]:
        return iter(self._inodes)

    @property
    def any_calm(self) -> bool:
        """Whether there are calm files, whose stats a scan needs."""
        return bool(self._calm)

    def inode(self, name: str) -> int | None:
        """The inode number of a data file, 0 while it has none; None where the file is not known."""
        return self._inodes.get(name)

    def note(self, name: str, inode: int) -> None:
        """Note a data file and its inode number."""
        self._inodes[name] = inode

    def set_calm(self, name: str, stamp: Stamp) -> None:
        """Let a data or notify file be while it has this stamp."""
        self._calm[name] = stamp

    def unset_calm(self, name: str) -> None:
        """Have a data or notify file checked whatever its stamp is."""
        self._calm.pop(name, None)

    def doubt(self, name: str) -> None:
        """The known stamp of a data file, or of its notify file, changed: the next scan must check the file itself."""
        self._calm.pop(name, None)
        self._calm.pop(name + NOTIFY, None)

    def forget(self, name: str) -> None:
        """A file is gone: a later one of that name is new, even with the same inode number."""
        self.doubt(name)
        self._ctimes.pop(name, None)
        if name in self._inodes:
            self._inodes[name] = 0

    def clear(self) -> None:
        """Forget all files: the folder is missing."""
        self._inodes.clear()
        self._calm.clear()

    def note_ctime(self, name: str, ctime: int) -> None:
        """Note the ctime of a data file, in nanoseconds since the epoch."""
        self._ctimes[name] = ctime

    def is_changed(self, name: str, seen: Stamp, *, event: bool, since_ns: int | None) -> bool:
        """Whether a data file with the stamp of its snapshot may have another content (see ``platform/change_times.py``)."""
        return is_changed(self._ctimes, name, seen, event=event, since_ns=since_ns)

    def sift(self, items: Iterable[os.DirEntry[str]], every: bool, quiet: list[str]) -> Iterator[os.DirEntry[str]]:
        """The items of a folder that must be checked further; the names of the others go to ``quiet``. Without ``every``, a data
        file of known name and inode number gets no stat."""
        known, calm, ctimes = self._inodes, self._calm, self._ctimes
        # There may be a hundred thousand files: no call but the stat itself.
        for item in items:
            name = item.name
            if not every and known.get(name) == item.inode():
                quiet.append(name)
                continue
            stamp = calm.get(name)
            if stamp is not None:
                try:
                    found = item.stat()
                    same = (
                        found.st_mtime_ns == stamp[0]
                        and found.st_size == stamp[1]
                        and found.st_ino == stamp[2]
                        and ctimes.get(name, found.st_ctime_ns) == found.st_ctime_ns
                    )
                except OSError:
                    # The file was removed meanwhile, or cannot be read now.
                    same = False
                if same:
                    quiet.append(name)
                    continue
            yield item

    def compare(self, seen: set[str], odd: list[str], notified: list[str]) -> list[str]:
        """Update the known names from those that a scan has ``seen``; the names that are gone, with their notify files. ``odd``:
        the data files that are not calm; ``notified``: the data names with a notify file that is not calm."""
        inodes, gone = self._inodes, []
        if not inodes.keys() <= seen:
            signed = set(notified)
            for name in inodes.keys() - seen:
                self.doubt(name)
                if name in signed or name + NOTIFY in seen:
                    # While its notify file exists, the known stamp of a file is still needed.
                    inodes[name] = 0
                else:
                    del inodes[name]
                    self._ctimes.pop(name, None)
                    gone.append(name)
        for name in odd:
            inodes.setdefault(name, 0)
        if len(self._calm) > 2 * (len(seen) + len(notified)) + _SPARE:
            self._calm = {name: stamp for name, stamp in self._calm.items() if name in inodes or data_name(name) in inodes}
        return sorted(gone)
