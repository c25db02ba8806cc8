"""Our own files that have to go, and what is done where the server does not let them be removed."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable

from ...common.errors import TransportError
from ..means import DELETE
from ..profile import Profile, Walk
from ..temp_names import beside
from . import packets
from .client import Client
from .packets import Attrs, Reply, Status, string

_ASIDE = b".left"


class Leftovers:
    """Over one connection; what could not be removed is on record in the profile."""

    def __init__(self, client: Client, profile: Profile) -> None:
        self._client = client
        self._profile = profile

    def has(self, path: bytes) -> bool:
        """Whether this one is known to have stayed."""
        return os.fsdecode(path) in self._profile.left

    def ask(self, path: bytes) -> asyncio.Future[Reply]:
        """REMOVE; ``gone`` has to judge the answer."""
        return self._client.request(packets.REMOVE, string(path))

    async def gone(self, path: bytes, answer: Reply, *, reusable: bool, walk: Walk | None = None) -> bool:
        """Whether the file is gone. If not it is on record, ``reusable`` where nothing that was asked about it is unanswered."""
        walk = walk or self._profile.walk(DELETE, trial=False)
        if isinstance(answer, Status) and answer.code == packets.OK:
            walk.came_to("allowed", "")
            self._profile.gone([os.fsdecode(path)])
            return True
        if isinstance(answer, Status) and answer.code == packets.NO_SUCH_FILE:
            self._profile.gone([os.fsdecode(path)])
            return True
        found = await self._client.request(packets.LSTAT, string(path))  # some servers say Failure for a missing file
        if isinstance(found, Status) and found.code == packets.NO_SUCH_FILE:
            self._profile.gone([os.fsdecode(path)])
            return True
        if not isinstance(found, Attrs):
            return False  # it may never have been there
        unknown = isinstance(answer, Status) and answer.code == packets.OP_UNSUPPORTED
        walk.came_to("refused", str(answer), unknown=unknown)
        self._profile.leave(os.fsdecode(path), reusable=reusable)
        return False

    async def remove(self, path: bytes, *, reusable: bool) -> bool:
        """Remove a file of ours; whether it is gone."""
        return await self.gone(path, await self.ask(path), reusable=reusable)

    async def disarm(self, path: bytes) -> None:
        """An earlier attempt's file that cannot be removed gets another name, so that an old request to rename it finds nothing.
        Where that is refused, too, nothing can be renamed over what is to come, either."""
        answer = await self._client.request(packets.RENAME, string(path) + string(beside(path, _ASIDE)))
        if isinstance(answer, Status) and answer.code == packets.OK:
            self._profile.gone([os.fsdecode(path)])
            self._profile.leave(os.fsdecode(beside(path, _ASIDE)), reusable=True)

    async def sweep(self) -> None:
        """Try again to remove what is on record; at the first that is refused the rest stays."""
        for name in (*self._profile.pending, *self._profile.left):
            path, walk = os.fsencode(name), self._profile.walk(DELETE)
            if not await self.gone(path, await self.ask(path), reusable=self._profile.left.get(name, False), walk=walk):
                return

    async def removed(self, paths: Iterable[tuple[bytes, asyncio.Future[Reply]]], *, reusable: bool) -> None:
        """Judge answers where the upload has failed already, and nothing may be raised any more."""
        for path, asked in paths:
            try:
                await self.gone(path, await asked, reusable=reusable)
            except TransportError:
                return
