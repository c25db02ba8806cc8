"""Who reads on the server, by a connection of its own that nobody cuts: while it runs, at its end, and to clean up."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar

from ...common.errors import PysubtaskError, TransportError
from ..doctor.remote import Remote, clean, open_remote
from .feed import FOLDER, GROWING, Feed

_T = TypeVar("_T")
_LIMIT_SECS = 60.0


class Reader:
    """Its connection lives on a loop in a thread; the methods are for the thread that runs the test."""

    def __init__(self, transport: str, settings: Mapping[str, Any], workdir: str, feed: Feed) -> None:
        self._remote: Remote = open_remote(transport, settings, workdir)
        self._feed = feed
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="selftest-reader", daemon=True)
        self._thread.start()
        self._missing: list[str] = []
        self.torn: list[str] = []
        """Names that were once seen with bytes that no version of them has."""
        self.readings = 0

    def open(self) -> None:
        """Log in. PysubtaskError as the transport raises it."""
        self._do(self._open())

    def check(self) -> None:
        """Read the growing file and the newest of the folder, and judge what is seen. A lost connection is no news here."""
        try:
            self._do(self._check([GROWING, *list(self._feed.files)[-3:]]))
        except (TransportError, TimeoutError):
            self._do(self._open())

    def judge(self) -> tuple[list[str], list[str]]:
        """What is lost (not there, or other bytes), and what of ours is left besides the files. PysubtaskError."""
        return self._do(self._judge())

    def missing(self) -> list[str]:
        """What does not yet stand there in its whole size."""
        return self._do(self._not_whole())

    def clean(self) -> list[str]:
        """Remove everything; what is still there. PysubtaskError where there is no connection any more."""
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
            # One byte more than it has by now: it may have grown meanwhile, which is judged by itself.
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
        # Those above it that were not there before are ours, too; they are listed the deepest first.
        return await clean(remote, files, list(dict.fromkeys([*folders, *self._missing])))

    def _folders(self) -> list[str]:
        below = self._remote.folder.rstrip("/")
        return [f"{below}/{FOLDER}", below]


def try_to(work: Callable[[], _T], otherwise: _T) -> _T:
    """Do it; where the server or the link does not let us, the other answer."""
    try:
        return work()
    except (PysubtaskError, TimeoutError):
        return otherwise
