"""Reads the files on the server, over a connection that the test does not disturb: during the test, at its end, and to remove
them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar

from ...common.errors import PysubtaskError, TransportError
from ..doctor.remote import Remote, clean, open_remote
from .feed import FOLDER, GROWING, Feed

_T = TypeVar("_T")
_LIMIT_SECS = 60.0  # for one operation of the reader


class Reader:
    """The connection lives on an event loop in a thread of its own; the methods block and are called by the thread of the test.
    ``readings`` counts the files that ``check`` has read."""

    def __init__(self, transport: str, settings: Mapping[str, Any], workdir: str, feed: Feed) -> None:
        self._remote: Remote = open_remote(transport, settings, workdir)
        self._feed = feed
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="selftest-reader", daemon=True)
        self._thread.start()
        self._missing: list[str] = []
        self.torn: list[str] = []
        """Names whose bytes, when read, were those of no version of the file."""
        self.readings = 0

    def open(self) -> None:
        """Log in. Raises PysubtaskError as the transport does."""
        self._do(self._open())

    def check(self) -> None:
        """Read the growing file and the three newest of the folder, and compare their bytes; ``torn`` gets the names of wrong
        ones. After a lost connection it only logs in again."""
        try:
            self._do(self._check([GROWING, *list(self._feed.files)[-3:]]))
        except (TransportError, TimeoutError):
            self._do(self._open())

    def judge(self) -> tuple[list[str], list[str]]:
        """The lost names (missing files, and those with other bytes), and the temporary files that uploads left. Raises
        PysubtaskError."""
        return self._do(self._judge())

    def missing(self) -> list[str]:
        """The names whose files do not have their whole size on the server yet."""
        return self._do(self._not_whole())

    def clean(self) -> list[str]:
        """Remove all files and folders of the test; returns the paths that are still there. Raises PysubtaskError without a
        connection."""
        return self._do(self._clean())

    def close(self) -> None:
        """Log out and end the thread."""
        if self._loop.is_closed():
            return
        self._do(self._remote.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        if not self._thread.is_alive():
            self._loop.close()

    def _do(self, work: Coroutine[Any, Any, _T]) -> _T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_LIMIT_SECS)

    async def _open(self) -> None:
        await self._remote.connect()
        if not self._missing:
            self._missing = await self._remote.missing(self._remote.folder)

    async def _check(self, names: list[str]) -> None:
        sizes = self._feed.sizes()
        for name in names:
            if name not in sizes:
                continue
            # More than the size from above: the file may have grown since, and ``is_right`` accepts the longer content.
            found = await self._remote.fetch(name, sizes[name] + (1 << 20))
            if found is None:
                continue
            self.readings += 1
            if not self._feed.is_right(name, found, whole=False) and name not in self.torn:
                self.torn.append(name)

    async def _not_whole(self) -> list[str]:
        found = []
        for name, size in self._feed.sizes().items():
            stat = await self._remote.stat(name)
            if stat is None or stat.size != size:
                found.append(name)
        return found

    async def _judge(self) -> tuple[list[str], list[str]]:
        lost = []
        for name, size in self._feed.sizes().items():
            found = await self._remote.fetch(name, size + 1)
            if found is None or not self._feed.is_right(name, found, whole=True):
                lost.append(name)
        left = []
        for folder in self._folders():
            left += [name for name in await self._remote.ours_in(folder) if name.startswith(".")]
        return lost, left

    async def _clean(self) -> list[str]:
        remote = self._remote
        await remote.connect()
        folders, files = self._folders(), []
        for folder in folders:
            files += [f"{folder}/{name}" for name in await remote.ours_in(folder) if name.startswith(".")]
        below = remote.folder.rstrip("/")
        files += [f"{below}/{name}" for name in self._feed.sizes()]
        # The folders above that did not exist before belong to the test, too; ``_missing`` has the deepest first.
        return await clean(remote, files, list(dict.fromkeys([*folders, *self._missing])))

    def _folders(self) -> list[str]:
        below = self._remote.folder.rstrip("/")
        return [f"{below}/{FOLDER}", below]


def try_to(work: Callable[[], _T], otherwise: _T) -> _T:
    """The result of ``work``, or ``otherwise`` where the server or the link fails."""
    try:
        return work()
    except (PysubtaskError, TimeoutError):
        return otherwise
