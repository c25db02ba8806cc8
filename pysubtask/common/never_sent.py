"""This program's own files and its user's secrets, as they stand on the disk: by name, by link, by another name of a folder."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from .entries import Entry, watched_folders
from .other_configs import OtherConfigs
from .own_names import LOG, is_compiled, why_in_folder
from .paths import folder_of, name_of
from .place import real_path
from .private_files import PrivateFiles

_FRESH_SECS = 1.0  # how long the inode numbers count
_MOST_FOLDERS = 10_000  # then all are forgotten, which costs one lookup each
_CACHE = "__pycache__"


class NeverSent:
    """``files``: absolute path -> what it is (``the config itself``). ``named``: the data files that entries name; a log among
    them is data by that name. ``timer`` in seconds.

    ``others``: configs that lie in the folders, with what they name; ``private``: files with well-known names. None: these are
    not searched for.

    A copy that an editor or a rotation leaves of such a file is never sent either, nor a link or a hard link to it.
    """

    def __init__(
        self,
        files: Mapping[str, str],
        named: Iterable[str] = (),
        timer: Callable[[], float] = time.monotonic,
        others: OtherConfigs | None = None,
        private: PrivateFiles | None = None,
    ) -> None:
        self.files = dict(files)
        self._others = others
        self._private = private
        self._named = frozenset(named)
        self._any = bool(self.files) or others is not None or private is not None
        self._timer = timer
        self._by_folder: dict[str, dict[str, str]] = {}
        self._modules: dict[str, dict[str, str]] = {}
        for path, why in self.files.items():
            for form in dict.fromkeys((path, real_path(path))):
                self._put(form, why)
        self._folders: dict[str, tuple[str, str]] = {}
        self._numbers: frozenset[int] = frozenset()
        self._next_scan = float("-inf")
        self._looked_for: Mapping[str, str] = {}

    def __bool__(self) -> bool:
        return self._any

    def renew(self, folder: str) -> None:
        """Look for configs of others in a folder, however long that takes."""
        if self._others is not None:
            self._others.renew(self._place(folder)[0])

    def _all(self) -> Mapping[str, str]:
        others = self._others.files if self._others is not None else {}
        return {**others, **self.files} if others else self.files

    def _put(self, path: str, why: str) -> None:
        folder, name = os.path.split(path)
        for form in dict.fromkeys((folder, real_path(folder))):
            self._by_folder.setdefault(form, {})[name] = why
            if name.endswith(".py"):
                self._modules.setdefault(os.path.join(form, _CACHE), {})[name] = why

    def why(self, path: str) -> str:
        """Why the file of this absolute path is no data, by its name and folder; '' where it may be."""
        if path in self._named:
            return ""
        return self._by_name(path) or ("" if self._private is None else self._private.why(path))

    def _by_private_name(self, path: str) -> str:
        return self._private.why(path) if self._private is not None else ""

    def _by_name(self, path: str) -> str:
        real, ours = self._place(folder_of(path))
        found = self._by_own_name(path, ours) if ours else ""
        if found or self._others is None:
            return found
        others = self._others.of(real)
        return why_in_folder(name_of(path), others, lambda: _is_empty(path)) if others else ""

    def _by_own_name(self, path: str, folder: str) -> str:
        name = name_of(path)
        if folder in self._by_folder:
            return why_in_folder(name, self._by_folder[folder], lambda: _is_empty(path))
        for module, why in self._modules[folder].items():
            if is_compiled(name, module):
                return f"compiled from {module}, {why}"
        return ""

    def why_named(self, path: str) -> str:
        """Why an entry may not name this file: as :meth:`why` and :meth:`why_same`, for a file under any name. A log may be
        named."""
        real = real_path(path)
        for form in (path, real):
            found = self._by_name(form)
            if found and found != LOG:
                return found
        try:
            found = self.why_same(os.stat(path))
        except OSError:
            found = ""
        return found if found != LOG else ""

    def why_same(self, found: os.stat_result) -> str:
        """Why a file with this stat is no data: it is one of this package's files by another name. '' where it is none."""
        for path, why in self._all().items():
            try:
                if os.path.samestat(os.stat(path), found):
                    return f"the same file as {path}, {why}" if why != LOG else why
            except OSError:
                continue
        return ""

    def why_opened(self, path: str, found: os.stat_result) -> str:
        """Why what was opened by the name ``path`` may not be sent: the last look, whatever the names have said before."""
        if self._others is not None:
            self._others.renew(self._place(folder_of(path))[0], always=False)
        if not self._any or (found.st_nlink < 2 and path not in self._named and not os.path.islink(path)):
            return self.why(path)
        # Under its only name one of this package's is known by its number, as of the last second.
        alone = found.st_nlink < 2 and found.st_ino not in self.numbers()
        why = self._by_name(path) or ("" if alone else self.why_same(found)) or self._by_private_name(path)
        return "" if why == LOG and path in self._named else why

    def numbers(self) -> frozenset[int]:
        """The inode numbers of all of them, as of the last second: what has another one is none by a hard link."""
        if not self._any:
            return self._numbers
        now = self._timer()
        others = self._others.files if self._others is not None else self._looked_for
        if now >= self._next_scan or others is not self._looked_for:
            self._next_scan, self._looked_for = now + _FRESH_SECS, others
            found = set()
            for path in self._all():
                try:
                    found.add(os.stat(path).st_ino)
                except OSError:
                    continue
            self._numbers = frozenset(found)
        return self._numbers

    def _place(self, folder: str) -> tuple[str, str]:
        """The real path of a folder, and the form of it that files of this package are known by, '' where none is in it."""
        if folder not in self._folders:
            if len(self._folders) >= _MOST_FOLDERS:
                self._folders.clear()
            real = real_path(folder)
            known = (form for form in (folder, real) if form in self._by_folder or form in self._modules)
            self._folders[folder] = real, next(known, "")
        return self._folders[folder]


NONE = NeverSent({})


def of_task(files: Mapping[str, str], entries: Sequence[Entry], most_secs: float = float("inf")) -> NeverSent:
    """What is never data of a task with these entries. ``most_secs``: see :class:`.OtherConfigs`."""
    named = [entry.path for entry in entries if entry.kind == "file"]
    return NeverSent(files, named, others=OtherConfigs(watched_folders(entries), most_secs), private=PrivateFiles(entries))


def _is_empty(path: str) -> bool:
    try:
        return os.lstat(path).st_size == 0
    except OSError:
        return False
