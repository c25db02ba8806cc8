"""One watched folder: which data files are in it, and which of them have to be checked one by one."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Container, Iterator, Sequence
from typing import NamedTuple

from ...common.entries import Entry
from ...common.never_sent import NONE, NeverSent
from ...common.notify import HOLD, NOTIFY
from .data_names import DataNames
from .known_files import KnownFiles

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

    ``names``: which names in it are data files; ``known``: what the last scan found. ``subs``: the watched subfolders.
    ``live``: file events reported every change until now. ``fresh``: the folder was not scanned yet, or was missing: its files are
    compared with their last snapshots. ``left``: the first of the files that the last scan found and left out, and the number of
    the others. ``skip``: absolute paths of files that are no data; ``own``: more such files, by their names and by their
    identity.
    """

    def __init__(
        self, index: int, entry: Entry, skip: Container[str], inside: Folder | None = None, name: str = "", own: NeverSent = NONE
    ) -> None:
        self.index = index
        self.entry = entry
        self.inside = inside
        self.name = name
        self.path: str = entry.path if inside is None else inside.names.join(name)
        self.names: DataNames = DataNames(entry, self.path, "" if inside is None else f"{inside.names.below}{name}/", skip, own)
        self.known = KnownFiles()
        self.subs: dict[str, Folder] = {}
        self.fresh = True
        self.live = False
        self.left: tuple[list[Left], int] = ([], 0)
        self._identity = (0, 0)

    def tree(self) -> Iterator[Folder]:
        """This folder and all watched folders inside it, each before those inside it."""
        waiting = [self]
        while waiting:
            folder = waiting.pop()
            yield folder
            waiting += folder.subs.values()

    # -- which folder this is ---------------------------------------------------------------------------------

    def identify(self) -> bool:
        """Take what is found at this path now, of a subfolder, as this folder; False where that is no folder, or one that this
        folder lies in: a mount may lead round in a circle."""
        try:
            found = os.lstat(self.path)
        except OSError:
            # The folder was removed meanwhile, or its path is too long to be used at all.
            return False
        self._identity = (found.st_dev, found.st_ino)
        return stat.S_ISDIR(found.st_mode) and not (self.inside is not None and self.inside._is_inside(self._identity))

    def _is_inside(self, identity: tuple[int, int]) -> bool:
        folder: Folder | None = self
        while folder is not None and folder._identity != identity:
            folder = folder.inside
        return folder is not None

    def is_same(self, inode: int | None = None) -> bool:
        """Whether a subfolder is still the one that was identified. ``inode``: its number in a listing; where that is right,
        nothing else is checked."""
        return inode == self._identity[1] or self._found() == self._identity

    def is_another(self) -> bool:
        """Whether there is another folder in the place of a subfolder, because a disk was mounted over it or unmounted. No event
        reports that, and a listing shows the inode number of the hidden folder."""
        return self._found() not in (None, self._identity)

    def _found(self) -> tuple[int, int] | None:
        """Device and inode number of the folder at this path; None where there is none."""
        try:
            found = os.lstat(self.path)
        except OSError:
            return None
        return (found.st_dev, found.st_ino) if stat.S_ISDIR(found.st_mode) else None

    # -- changes of state -------------------------------------------------------------------------------------

    def set_live(self, live: bool) -> None:
        """Note whether file events report every change from now on."""
        self.live = live

    def add_sub(self, folder: Folder, fresh: bool) -> None:
        """Watch a subfolder from now on; ``fresh``: its files are to be compared with their last snapshots."""
        folder.fresh = fresh
        self.subs[folder.name] = folder

    def drop_sub(self, name: str) -> None:
        """Watch a subfolder no more; does nothing where it is not watched."""
        self.subs.pop(name, None)

    def away(self) -> None:
        """The folder is missing: when it is back, all files in it are compared with their last snapshots."""
        self.subs.clear()
        self.known.clear()
        self.fresh = True

    # -- the scan ---------------------------------------------------------------------------------------------

    def scan(self, every: bool) -> Listing:
        """List the folder. Calm files are not checked further while their stamps stay; data files of known name and inode
        number get no stat, unless ``every``.

        Raises OSError.
        """
        quiet: list[str] = []
        listing = Listing([], [], [], [], {})
        left: list[Left] = []
        more = 0
        self.left = (left, 0)
        with contextlib.ExitStack() as stack:
            for item in self.known.sift(self._items(stack, every), every, quiet):
                if self._sort(item, listing) or self.names.is_own(item.name) or _is_dir(item, False):
                    continue
                if len(left) < MOST_LEFT:
                    left.append(Left(self.names.join(item.name), self.names.why_left_out(item)))
                else:
                    more += 1
        self.left = (left, more)
        self.fresh = False
        odd = listing.odd
        new = [name for name in odd if name not in self.known] if odd else []
        gone = self.known.compare({*quiet, *odd}, odd, listing.notified)
        return Listing(odd, listing.notified, listing.held, gone, listing.subs, new)

    def _sort(self, item: os.DirEntry[str], listing: Listing) -> bool:
        """Put an item where it belongs in the listing; False where it is none of that."""
        name = item.name
        if self.entry.recursive and _is_dir(item, name in self.subs):
            listing.subs[name] = item.inode()
        elif name.endswith(NOTIFY):
            if len(name) > len(NOTIFY):
                listing.notified.append(name[: -len(NOTIFY)])
        elif name.endswith(HOLD):
            listing.held.append(name[: -len(HOLD)])
        elif self.names.is_data_item(item):
            listing.odd.append(name)
        else:
            return False
        return True

    def _items(self, stack: contextlib.ExitStack, every: bool) -> Iterator[os.DirEntry[str]]:
        if every and self.known.any_calm and os.scandir in os.supports_fd:
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


def _is_dir(item: os.DirEntry[str], was: bool) -> bool:
    try:
        return item.is_dir(follow_symlinks=False)
    except OSError:
        return was  # the listing has no type and the stat fails: that concerns this item, not the whole folder
