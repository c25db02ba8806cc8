"""One watched folder: which data files are in it, and which of them need a closer look."""

from __future__ import annotations

import os
import stat
from collections.abc import Container
from typing import NamedTuple

from ..common.entries import Entry
from ..common.notify import HOLD, NOTIFY, is_signal_file


class Listing(NamedTuple):
    """What a look at a whole folder gave: ``odd`` names need a closer look; ``notified`` are the data names that have
    a notify file, ``held`` those that have a hold file; ``gone`` the known names that are there no more and have no
    notify file left."""

    odd: list[str]
    notified: list[str]
    held: list[str]
    gone: list[str]


class Folder:
    """State of one ``{'dir': ...}`` entry. ``names``: each known data file and its inode number, 0 while it has none.

    ``live``: file events told of every change until now. ``next_look``: when to look at all of it again (monotonic).
    ``fresh``: it was not looked at yet, or it was away: its files are compared with their last snapshots.
    """

    def __init__(self, index: int, entry: Entry, skip: Container[str]) -> None:
        self.index = index
        self.entry = entry
        self.path = entry.path
        self.names: dict[str, int] = {}
        self.fresh = True
        self.live = False
        self.next_look = float("-inf")
        self.cost = 0.0
        self._skip = skip

    def join(self, name: str) -> str:
        """The path of a name in it."""
        return os.path.join(self.path, name)

    def is_data(self, name: str) -> bool:
        """Whether a name in it is, or may become, a data file: a regular file, a link to one in this very folder, or nothing."""
        path = self.join(name)
        if is_signal_file(name) or path in self._skip:
            return False
        try:
            mode = os.lstat(path).st_mode
        except FileNotFoundError:
            return True
        except OSError:
            return False
        return stat.S_ISREG(mode) or (stat.S_ISLNK(mode) and self._link_stays(path))

    def _link_stays(self, path: str) -> bool:
        real = os.path.realpath(path)
        try:
            return os.path.dirname(real) == os.path.realpath(self.path) and stat.S_ISREG(os.lstat(real).st_mode)
        except OSError:
            return False

    def away(self) -> None:
        """It is not there: when it comes back everything in it is compared anew."""
        self.names.clear()
        self.fresh = True

    def forget(self, name: str) -> None:
        """A file is gone: one of that name is new, even with the same inode number."""
        if name in self.names:
            self.names[name] = 0

    def look(self, every: bool) -> Listing:
        """List it. Files of known name and inode number are odd only if ``every``; otherwise they need no stat.

        Raises OSError.
        """
        known, found = self.names, {}
        odd: list[str] = []
        notified: list[str] = []
        held: list[str] = []
        with os.scandir(self.path) as entries:
            for item in entries:
                name = item.name
                inode = known.get(name)
                if inode is not None and not every and inode == item.inode():
                    found[name] = inode
                elif name.endswith(NOTIFY):
                    if len(name) > len(NOTIFY):
                        notified.append(name[: -len(NOTIFY)])
                elif name.endswith(HOLD):
                    held.append(name[: -len(HOLD)])
                elif self._is_data(item):
                    found[name] = inode or 0
                    odd.append(name)
        left = set(known).difference(found)
        # With its notify file there, what is known of a file is still of use.
        found.update(dict.fromkeys(left.intersection(notified), 0))
        self.names = found
        return Listing(odd, notified, held, sorted(left.difference(notified)))

    def _is_data(self, item: os.DirEntry[str]) -> bool:
        if is_signal_file(item.name) or item.path in self._skip:
            return False
        try:
            return item.is_file(follow_symlinks=False) or (item.is_symlink() and self._link_stays(item.path))
        except OSError:
            # It went away meanwhile.
            return False
