"""Which data file each remote name belongs to, within one task."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping

from ...common.entries import Entry, remote_name
from ..watch.watcher import RESIDUAL, Due


class TaskNames:
    """The main thread changes it, any thread may call :meth:`is_anothers`. Names are kept by a key that is equal for names that are
    one file at the destination."""

    def __init__(self, entries: Iterable[Entry], *, case_sensitive: bool) -> None:
        self._case_sensitive = case_sensitive
        self._claims: dict[str, str] = {}
        self._claimed: dict[str, str] = {}
        self._reserved = {self.key(remote_name(entry, entry.path)): entry.path for entry in entries if entry.kind == "file"}

    def key(self, name: str) -> str:
        """A key for a remote name: equal for names that are one file at the destination."""
        return name if self._case_sensitive else name.casefold()

    def begin(self, owners: Mapping[str, str]) -> None:
        """Take the names (name -> data file) that an earlier child of this task had."""
        self._claims = {self.key(name): path for name, path in owners.items()}
        self._claimed = {path: name for name, path in self._claims.items()}

    def clash(self, key: str, due: Due) -> str:
        """Why a remote name belongs to another file of this task; empty where it does not."""
        if due.entry_index == RESIDUAL and key in self._reserved:
            return f"its remote name {key!r} belongs to {self._reserved[key]}: rename it, or give that entry another 'as'"
        owner = self._claims.get(key, due.path)
        if owner != due.path and os.path.exists(owner):
            return f"its remote name {key!r} belongs to {owner}: give one of the two entries an 'as'"
        return ""

    def take(self, key: str, path: str) -> None:
        """The name is this data file's from now on."""
        self._claims[key] = path
        self._claimed[path] = key

    def release(self, paths: Collection[str]) -> list[str]:
        """Release the names of files that are gone, as a child that runs for years must not remember each of them; their keys."""
        free = []
        for path in paths:
            key = self._claimed.pop(path, None)
            if key is not None and self._claims.get(key) == path:
                del self._claims[key]
                free.append(key)
        return free

    def owner(self, name: str) -> str | None:
        """The data file that a remote name belongs to."""
        return self._claims.get(self.key(name))

    def is_anothers(self, name: str, path: str) -> bool:
        """Whether a remote name belongs to another data file than this one."""
        owner = self._claims.get(self.key(name), path)
        return owner != path and os.path.exists(owner)
