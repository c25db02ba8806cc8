"""What the quirks of SFTP and FTP servers have in common: names, sizes and times of files as such a server has them."""

from __future__ import annotations

import os
import time
import unicodedata
from collections import deque
from typing import NamedTuple

from .quirks import Quirks

_ODD = set('*?[]{}<>|"\\:')


class TakenFile(NamedTuple):
    """A file that was taken away: its ``name``, relative to the root, and its content in ``data``."""

    name: str
    data: bytes


class QuirkDisk:
    """The files of a server below ``root``, and what its quirks make of them. Used by one thread.

    ``taken``: what was taken away, in its order. ``turned_away``: how many connections and logins were refused.
    """

    def __init__(self, root: str, quirks: Quirks) -> None:
        self.root = root
        self.quirks = quirks
        self.taken: list[TakenFile] = []
        self.turned_away = 0
        self._hidden: set[str] = set()
        self._written: dict[str, tuple[float, int]] = {}
        self._logins: deque[float] = deque()

    def refuses(self, path: str) -> str | None:
        """Why no file may be written under this path; None where it may."""
        name = os.path.basename(path)
        if not self.quirks.hidden_names and self._is_hidden_name(path):
            return "names that begin with a dot are not allowed here"
        if self.quirks.endings is not None and not name.endswith(self.quirks.endings):
            return "files of this type are not allowed here"
        return None

    def refuses_folder(self, path: str) -> str | None:
        """Why no folder may be made there; None where it may."""
        if not self.quirks.hidden_names and self._is_hidden_name(path):
            return "names that begin with a dot are not allowed here"
        return None

    def stored_as(self, path: str) -> str:
        """The path that a file gets which is written under this one."""
        folder, name = os.path.split(path)
        if self.quirks.odd_names == "kept":
            return path
        inner = "".join("_" if sign in _ODD else sign for sign in name)
        if inner[:1] == " ":
            inner = "_" + inner[1:]
        if inner[-1:] == " ":
            inner = inner[:-1] + "_"
        return os.path.join(folder, inner)

    def found_as(self, path: str) -> str:
        """The path in the file system for this path, for any request but a write."""
        if self.quirks.file_names == "exact" or not path.startswith(os.path.join(self.root, "")):
            return path
        found = self.root
        for part in os.path.relpath(path, self.root).split(os.sep):
            found = os.path.join(found, part if part in (".", "..") else self._part_as(found, part))
        return found

    def _part_as(self, folder: str, part: str) -> str:
        kept = self.quirks.file_names
        if kept == "small":
            return part.lower()
        if kept == "composed":
            return unicodedata.normalize("NFC", part)
        if kept == "trimmed":
            return part.rstrip(". ") or part
        try:
            names = os.listdir(folder)
        except OSError:
            return part
        return next((name for name in names if name.casefold() == part.casefold()), part)

    def reported_time(self, secs: float) -> int:
        """The modification time that the server reports for this one."""
        step = self.quirks.time_step
        return int(secs) // step * step + self.quirks.time_shift

    def write_begins(self, path: str) -> None:
        """A file that is hidden shows again while it is written to."""
        self._hidden.discard(path)

    def write_ended(self, path: str, before: int = 0) -> None:
        """A file was closed that had ``before`` bytes when it was opened."""
        self._written[path] = (time.monotonic(), before)
        self.published(path)

    def renamed(self, old: str, new: str) -> None:
        """A file has got another name."""
        if old in self._written:
            self._written[new] = self._written.pop(old)
        self._hidden.discard(old)
        self.published(new)

    def published(self, path: str) -> None:
        """A file is complete under ``path``: a quirk may hide it or take it away now."""
        what = self.quirks.after_publish
        if what == "stays" or self._is_hidden_name(path) or not os.path.isfile(path):
            return
        if what == "hidden":
            self._hidden.add(path)
            return
        with open(path, "rb") as file:
            data = file.read()
        os.unlink(path)
        self.taken.append(TakenFile(os.path.relpath(path, self.root), data))

    def is_hidden(self, path: str) -> bool:
        """Whether no request may see the file."""
        return self.quirks.after_publish == "hidden" and path in self._hidden

    def reported_size(self, path: str, size: int) -> int:
        """The size that the server reports for a file that has ``size`` bytes."""
        ended, before = self._written.get(path, (0.0, 0))
        since, late = time.monotonic() - ended, self.quirks.late_secs
        if since >= late or size <= before:
            return size
        return before + int((size - before) * since / late)

    def login_allowed(self) -> bool:
        """Whether one more may log in now; asked once for each."""
        now, limit = time.monotonic(), self.quirks.logins
        while self._logins and now - self._logins[0] > self.quirks.login_secs:
            self._logins.popleft()
        if limit is not None and len(self._logins) >= limit:
            self.turned_away += 1
            return False
        self._logins.append(now)
        return True

    def forget_logins(self) -> None:
        """Forget the logins counted so far, as a server does after a long time without any."""
        self._logins.clear()

    def connection_allowed(self, others: int) -> bool:
        """Whether there may be a connection besides ``others``."""
        limit = self.quirks.connections
        if limit is not None and others >= limit:
            self.turned_away += 1
            return False
        return True

    def _is_hidden_name(self, path: str) -> bool:
        below = os.path.relpath(path, self.root)
        return any(part.startswith(".") and part not in (".", "..") for part in below.split(os.sep))
