"""This program's own files and its user's secrets, as they stand on the disk: by name, by link, by another name of a folder."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping

from .own_names import LOG, is_compiled, why_in_folder
from .place import real_path

_FRESH_SECS = 1.0
_MOST_FOLDERS = 10_000
_CACHE = "__pycache__"


class NeverSent:
    """``files``: absolute path -> what it is (``the config itself``). ``named``: the data files that entries name; a log among
    them is data by that name. ``timer`` in seconds.

    What an editor or a rotation leaves of such a file is one too, and so is a link or a hard link to it.
    """

    def __init__(
        self, files: Mapping[str, str], named: Iterable[str] = (), timer: Callable[[], float] = time.monotonic
    ) -> None:
        self.files = dict(files)
        self._named = frozenset(named)
        self._timer = timer
        self._by_folder: dict[str, dict[str, str]] = {}
        self._modules: dict[str, dict[str, str]] = {}
        for path, why in self.files.items():
            for form in dict.fromkeys((path, real_path(path))):
                self._put(form, why)
        self._folders: dict[str, str] = {}
        self._numbers: frozenset[int] = frozenset()
        self._next_look = float("-inf")

    def __bool__(self) -> bool:
        return bool(self.files)

    def _put(self, path: str, why: str) -> None:
        folder, name = os.path.split(path)
        for form in dict.fromkeys((folder, real_path(folder))):
            self._by_folder.setdefault(form, {})[name] = why
            if name.endswith(".py"):
                self._modules.setdefault(os.path.join(form, _CACHE), {})[name] = why

    def why(self, path: str) -> str:
        """Why the file of this absolute path is no data, by its name and folder; '' where it may be."""
        return "" if path in self._named else self._by_name(path)

    def _by_name(self, path: str) -> str:
        if not self._by_folder:
            return ""
        folder, name = os.path.split(path)
        if folder not in self._by_folder and folder not in self._modules:
            folder = self._real(folder)
        own = self._by_folder.get(folder)
        if own is not None:
            return why_in_folder(name, own, lambda: _is_empty(path))
        for module, why in self._modules.get(folder, {}).items():
            if is_compiled(name, module):
                return f"compiled from {module}, {why}"
        return ""

    def why_named(self, path: str) -> str:
        """Why an entry may not name this file: as :meth:`why` and :meth:`why_same`, for a file whose name says nothing. A log may
        be named."""
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
        """Why a file that looks like this is no data: it is one of ours by another name. '' where it is none."""
        for path, why in self.files.items():
            try:
                if os.path.samestat(os.stat(path), found):
                    return f"the same file as {path}, {why}" if why != LOG else why
            except OSError:
                continue
        return ""

    def why_opened(self, path: str, found: os.stat_result) -> str:
        """Why what was opened by the name ``path`` may not be sent: the last look, whatever the names have said before."""
        if not self.files or (found.st_nlink < 2 and not os.path.islink(path) and path not in self._named):
            return self.why(path)
        why = self._by_name(path) or self.why_same(found)
        return "" if why == LOG and path in self._named else why

    def numbers(self) -> frozenset[int]:
        """The inode numbers of all of them, as of the last second: what has another one is none by a hard link."""
        now = self._timer()
        if self.files and now >= self._next_look:
            self._next_look = now + _FRESH_SECS
            found = set()
            for path in self.files:
                try:
                    found.add(os.stat(path).st_ino)
                except OSError:
                    continue
            self._numbers = frozenset(found)
        return self._numbers

    def _real(self, folder: str) -> str:
        if folder not in self._folders:
            if len(self._folders) >= _MOST_FOLDERS:
                self._folders.clear()
            self._folders[folder] = real_path(folder)
        return self._folders[folder]


NONE = NeverSent({})


def _is_empty(path: str) -> bool:
    try:
        return os.lstat(path).st_size == 0
    except OSError:
        return False
