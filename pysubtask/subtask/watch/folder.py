"""One watched folder: which data files are in it, and which of them have to be checked one by one."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Container, Iterator, Sequence
from typing import NamedTuple

from ...common.entries import Entry, left_out, selects
from ...common.links import why_not_followed
from ...common.never_sent import NONE, NeverSent
from ...common.notify import HOLD, NOTIFY, Stamp, data_name, is_signal_file
from ...common.place import real_path

_SPARE = 100
_NO_LINK = getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NOFOLLOW", 0)
_FOLDER = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0)  # opening a pipe put in its place would block


MOST_LEFT = 10
"""Up to this number, files that are left out are kept by name; the others are counted."""


class Left(NamedTuple):
    """A file (``path``) that is found and left out, and ``why``."""

    path: str
    why: str


class Listing(NamedTuple):
    """The result of the scan of a folder: ``odd`` names have to be checked one by one; ``notified`` are the data names that have
    a notify file, ``held`` those that have a hold file; ``gone`` the known names that are missing now and have no notify file
    left; ``subs`` the names of the subfolders with their inode numbers, where those count; ``new`` the odd names that were not
    known at all."""

    odd: list[str]
    notified: list[str]
    held: list[str]
    gone: list[str]
    subs: dict[str, int]
    new: Sequence[str] = ()


class Folder:
    """State of the folder of a ``{'dir': ...}`` entry, or of one ``inside`` it where the entry is recursive.

    ``names``: each known data file and its inode number, 0 while it has none. ``calm``: data files with the stamp of their last
    snapshot, and notify files with the handled stamp: nothing is done about them until the stamp changes, or :meth:`doubt`.
    ``ctimes``: the last known ctime of such data files. ``subs``: the watched subfolders. ``identity``: device and inode number
    of a subfolder, when it was found. ``live``: file events reported every change until now. ``fresh``: the folder was not
    scanned yet, or was missing: its files are compared with their last snapshots. ``next_scan`` (monotonic) and ``cost``
    (seconds): when to scan it again, with all subfolders, and how long that took; ``next_poll`` and ``poll_cost``: the same for the
    subfolders without events. ``left``: the first of the files that the last scan found and left out, ``left_more``: the number
    of the others. ``skip``: absolute paths of files that are no data; ``own``: more such files, by their names and by their
    identity.
    """

    def __init__(
        self, index: int, entry: Entry, skip: Container[str], inside: Folder | None = None, name: str = "", own: NeverSent = NONE
    ) -> None:
        self.index = index
        self.entry = entry
        self.inside = inside
        self.name = name
        self.path = entry.path if inside is None else inside.join(name)
        self._head = os.path.join(self.path, "")
        self.below: str = "" if inside is None else f"{inside.below}{name}/"
        self.identity = (0, 0)
        self.names: dict[str, int] = {}
        self.calm: dict[str, Stamp] = {}
        self.ctimes: dict[str, int] = {}
        self.subs: dict[str, Folder] = {}
        self.fresh = True
        self.live = False
        self.next_scan = self.next_poll = float("-inf")
        self.cost = self.poll_cost = 0.0
        self.left: list[Left] = []
        self.left_more = 0
        self._skip = skip
        self._own = own
        self._picks = bool(entry.include or entry.exclude)

    def join(self, name: str) -> str:
        """The path of a name in this folder."""
        return self._head + name

    def tree(self) -> Iterator[Folder]:
        """This folder and all watched folders inside it, each before those inside it."""
        waiting = [self]
        while waiting:
            folder = waiting.pop()
            yield folder
            waiting += folder.subs.values()

    def is_inside(self, identity: tuple[int, int]) -> bool:
        """Whether this folder has that identity, or lies inside a folder that has it: a mount may lead round in a circle."""
        folder: Folder | None = self
        while folder is not None and folder.identity != identity:
            folder = folder.inside
        return folder is not None

    def wants(self, name: str, *, named: bool = False) -> bool:
        """Whether a file of this name would count, by its name alone; ``named``: it was notified."""
        if is_signal_file(name) or (self._picks and not selects(self.entry, self.below + name)):
            return False
        return named or not self.entry.default_exclude or not left_out(self.entry, self.below + name)

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

    def _link_stays(self, path: str) -> bool:
        return not self._own.why(real_path(path)) and not why_not_followed(path, self.path, self._skip)

    def away(self) -> None:
        """The folder is missing: when it is back, all files in it are compared with their last snapshots."""
        self.names.clear()
        self.calm.clear()
        self.fresh = True

    def forget(self, name: str) -> None:
        """A file is gone: a later one of that name is new, even with the same inode number."""
        self.doubt(name)
        self.ctimes.pop(name, None)
        if name in self.names:
            self.names[name] = 0

    def doubt(self, name: str) -> None:
        """The known stamp of a data file, or of its notify file, changed: the next scan must check the file itself."""
        self.calm.pop(name, None)
        self.calm.pop(name + NOTIFY, None)

    def scan(self, every: bool) -> Listing:
        """List the folder. Calm files are not checked further while their stamps stay; data files of known name and inode
        number get no stat, unless ``every``.

        Raises OSError.
        """
        known, calm, ctimes = self.names, self.calm, self.ctimes
        quiet: list[str] = []
        odd: list[str] = []
        notified: list[str] = []
        held: list[str] = []
        subs: dict[str, int] = {}
        self.left, self.left_more = [], 0
        with contextlib.ExitStack() as stack:
            for item in self._entries(stack, every):
                name = item.name
                if not every and known.get(name) == item.inode():
                    quiet.append(name)
                    continue
                stamp = calm.get(name)
                # There may be a hundred thousand files: no call but the stat itself.
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
                if self.entry.recursive and _is_dir(item, name in self.subs):
                    subs[name] = item.inode()
                elif name.endswith(NOTIFY):
                    if len(name) > len(NOTIFY):
                        notified.append(name[: -len(NOTIFY)])
                elif name.endswith(HOLD):
                    held.append(name[: -len(HOLD)])
                elif self._is_data(item):
                    odd.append(name)
                else:
                    self._leave_out(item)
        new = [name for name in odd if name not in known]
        return Listing(odd, notified, held, self._gone({*quiet, *odd}, odd, notified), subs, new)

    def _leave_out(self, item: os.DirEntry[str]) -> None:
        """Count a file that is left out, and note the first few with the reason. Subfolders, and notify and hold files of this
        program, are not counted."""
        name = item.name
        if is_signal_file(name) or self.join(name) in self._skip or _is_dir(item, False):
            return
        if len(self.left) < MOST_LEFT:
            self.left.append(Left(self.join(name), self._why_left(item)))
        else:
            self.left_more += 1

    def _why_left(self, item: os.DirEntry[str]) -> str:
        path, relative = self.join(item.name), self.below + item.name
        if not selects(self.entry, relative):
            return "include or exclude of its entry"
        if left_out(self.entry, relative):
            return "the name of another program's temporary file (default_exclude)"
        if why := self._own.why(path):
            return f"never sent: {why}"
        try:
            if item.is_symlink():
                return why_not_followed(path, self.path, self._skip) or "a link to what is never sent"
            return "never sent: another name of what is never sent" if item.is_file(follow_symlinks=False) else "no plain file"
        except OSError as exc:
            return f"it cannot be looked at ({exc.strerror})"

    def _entries(self, stack: contextlib.ExitStack, every: bool) -> Iterator[os.DirEntry[str]]:
        if every and self.calm and os.scandir in os.supports_fd:
            # The folder is opened, so that each stat resolves a name only, not a path.
            handle = os.open(self.path, _FOLDER | (_NO_LINK if self.inside is not None else 0))
            stack.callback(os.close, handle)
            return stack.enter_context(os.scandir(handle))
        if self.inside is not None and _NO_LINK and os.scandir in os.supports_fd:
            # Another user may have put a link in the place of the folder since it was found: the names in another folder must
            # not be taken.
            handle = os.open(self.path, _FOLDER | _NO_LINK)
            stack.callback(os.close, handle)
            return stack.enter_context(os.scandir(handle))
        return stack.enter_context(os.scandir(self.path))

    def _gone(self, seen: set[str], odd: list[str], notified: list[str]) -> list[str]:
        """Update the known names from those that were ``seen``; the names that are gone, with their notify files."""
        names, gone = self.names, []
        if not names.keys() <= seen:
            signed = set(notified)
            for name in names.keys() - seen:
                self.doubt(name)
                if name in signed or name + NOTIFY in seen:
                    # While its notify file exists, the known stamp of a file is still needed.
                    names[name] = 0
                else:
                    del names[name]
                    self.ctimes.pop(name, None)
                    gone.append(name)
        for name in odd:
            names.setdefault(name, 0)
        if len(self.calm) > 2 * (len(seen) + len(notified)) + _SPARE:
            self.calm = {name: stamp for name, stamp in self.calm.items() if name in names or data_name(name) in names}
        return sorted(gone)

    def _is_data(self, item: os.DirEntry[str]) -> bool:
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


def _is_dir(item: os.DirEntry[str], was: bool) -> bool:
    try:
        return item.is_dir(follow_symlinks=False)
    except OSError:
        return was  # the listing has no type and the stat fails: that concerns this item, not the whole folder
