"""Which names in a watched folder are data files."""

from __future__ import annotations

import os
import stat
from collections.abc import Container

from ...common.entries import Entry, left_out, selects
from ...common.links import why_not_followed
from ...common.never_sent import NeverSent
from ...common.notify import is_signal_file
from ...common.place import real_path


class DataNames:
    """``entry``: that of the folder ``path``, which lies ``below`` the entry's own folder ('', or a relative path with a slash at
    its end). ``skip``: absolute paths of files that are no data; ``own``: more such files, by their names and by their identity."""

    __slots__ = ("_entry", "_head", "_own", "_path", "_picks", "_skip", "below")

    def __init__(self, entry: Entry, path: str, below: str, skip: Container[str], own: NeverSent) -> None:
        self._entry = entry
        self._path = path
        self._head = os.path.join(path, "")
        self.below = below
        self._skip = skip
        self._own = own
        self._picks = bool(entry.include or entry.exclude)

    def join(self, name: str) -> str:
        """The path of a name in this folder."""
        return self._head + name

    def wants(self, name: str, *, named: bool = False) -> bool:
        """Whether a file of this name would count, by its name alone; ``named``: it was notified."""
        if is_signal_file(name) or (self._picks and not selects(self._entry, self.below + name)):
            return False
        return named or not self._entry.default_exclude or not left_out(self._entry, self.below + name)

    def is_data(self, name: str, *, named: bool = False) -> bool:
        """Whether a name in this folder is, or may become, a data file: a regular file, a link to one in this very folder, or
        nothing."""
        path = self.join(name)
        if path in self._skip or not self.wants(name, named=named) or self._own.why(path):
            return False
        try:
            found = os.lstat(path)
        except FileNotFoundError:
            return True
        except OSError:
            return False
        if found.st_ino in self._own.numbers() and self._own.why_same(found):
            return False
        return stat.S_ISREG(found.st_mode) or (stat.S_ISLNK(found.st_mode) and self._link_stays(path))

    def is_data_item(self, item: os.DirEntry[str]) -> bool:
        """The same of an item of a listing, which exists."""
        path = self.join(item.name)
        if path in self._skip or not self.wants(item.name) or self._own.why(path):
            return False
        try:
            if item.inode() in self._own.numbers() and self._own.why_same(os.lstat(path)):
                return False
            return item.is_file(follow_symlinks=False) or (item.is_symlink() and self._link_stays(path))
        except OSError:
            # It went away meanwhile.
            return False

    def is_own(self, name: str) -> bool:
        """Whether a name is that of a notify or hold file, or of a file of this program that is known by its path."""
        return is_signal_file(name) or self.join(name) in self._skip

    def why_left_out(self, item: os.DirEntry[str]) -> str:
        """Why a file is no data, for a person."""
        path, relative = self.join(item.name), self.below + item.name
        if not selects(self._entry, relative):
            return "include or exclude of its entry"
        if left_out(self._entry, relative):
            return "the name of another program's temporary file (default_exclude)"
        if why := self._own.why(path):
            return f"never sent: {why}"
        try:
            if item.is_symlink():
                return why_not_followed(path, self._path, self._skip) or "a link to what is never sent"
            return "never sent: another name of what is never sent" if item.is_file(follow_symlinks=False) else "no plain file"
        except OSError as exc:
            return f"it cannot be looked at ({exc.strerror})"

    def _link_stays(self, path: str) -> bool:
        return not self._own.why(real_path(path)) and not why_not_followed(path, self._path, self._skip)
