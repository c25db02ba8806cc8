"""The durable steps of a process, counted; at a chosen one the process ends as by kill -9."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterator
from typing import Any

CRASHED = 86
"""Exit status of a process that was ended at its step."""

_CALLS = (
    "write",
    "pwrite",
    "writev",
    "fsync",
    "fdatasync",
    "rename",
    "replace",
    "unlink",
    "remove",
    "mkdir",
    "rmdir",
    "ftruncate",
    "truncate",
    "link",
    "utime",
    "copy_file_range",
    "sendfile",
    "open",
)
_CHANGES = ("COMMIT", "INSERT", "UPDATE", "DELETE", "REPLACE")


class Steps:
    """``crash_at``: the step (from 1) before which the process ends; 0 for none. ``names`` are the steps so far. ``before`` is
    called before each step with its number."""

    def __init__(self, crash_at: int) -> None:
        self.crash_at = crash_at
        self.names: list[str] = []
        self._elsewhere = False
        self.last_words: Callable[[], None] = lambda: None
        self.before: Callable[[int], None] = lambda number: None

    def step(self, name: str) -> None:
        """Count a change that other processes will see; the process ends here where this is its step."""
        if self._elsewhere:
            return
        self.names.append(name)
        with self.elsewhere():
            self.before(len(self.names))
        if len(self.names) == self.crash_at:
            self.last_words()
            os._exit(CRASHED)

    @contextlib.contextmanager
    def elsewhere(self) -> Iterator[None]:
        """A block in which changes are a server's, and no steps of this process."""
        self._elsewhere = True
        try:
            yield
        finally:
            self._elsewhere = False

    def install(self) -> None:
        """Count every change of files and every commit of this process from now on. It cannot be undone."""
        for name in _CALLS:
            if hasattr(os, name):
                setattr(os, name, self._counted(name, getattr(os, name)))
        connect, step = sqlite3.connect, self.step

        class Connection(sqlite3.Connection):
            def execute(self, sql: str, *args: Any) -> sqlite3.Cursor:
                word = sql.strip().partition(" ")[0].upper()
                if word == "COMMIT" or (word in _CHANGES and not self.in_transaction):
                    step("commit")
                return super().execute(sql, *args)

        def connected(*args: Any, **kwargs: Any) -> sqlite3.Connection:
            return connect(*args, factory=Connection, **kwargs)

        sqlite3.connect = connected  # type: ignore[assignment]

    def _counted(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **kwargs: Any) -> Any:
            if name != "open" or (len(args) > 1 and args[1] & (os.O_CREAT | os.O_TRUNC)):
                self.step(f"{name} {_subject(args)}")
            return call(*args, **kwargs)

        return counted


def _subject(args: tuple[Any, ...]) -> str:
    """The path that a step changes, for people."""
    for arg in args:
        if isinstance(arg, (str, bytes)):
            return os.path.basename(os.fsdecode(arg))[:40]
    return ""
