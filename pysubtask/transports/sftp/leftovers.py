"""Removal of temporary files, and their record where the server does not let them be removed."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Sequence

from ...common.errors import TransportError
from ..shared.means import DELETE
from ..shared.profile import Profile, Walk
from ..shared.temp_names import moved_on
from . import packets
from .client import Client
from .packets import Attrs, Reply, Status, string


class Leftovers:
    """Over one connection; files that could not be removed are recorded in the profile."""

    def __init__(self, client: Client, profile: Profile) -> None:
        self._client = client
        self._profile = profile

    def has(self, path: bytes) -> bool:
        """Whether this file is on record as not removable."""
        return os.fsdecode(path) in self._profile.left

    def ask(self, path: bytes) -> asyncio.Future[Reply]:
        """Request a REMOVE; the reply is to be passed to ``gone`` or ``cleared``."""
        return self._client.request(packets.REMOVE, string(path))

    async def gone(self, path: bytes, answer: Reply, *, reusable: bool, walk: Walk | None = None) -> bool:
        """Whether the file no longer exists. If it does, it is recorded; ``reusable``: no request about it is unanswered."""
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
        """Remove a temporary file; whether it no longer exists."""
        return await self.gone(path, await self.ask(path), reusable=reusable)

    async def disarm(self, path: bytes) -> None:
        """Rename an earlier attempt's file that cannot be removed, so that a late request to rename it finds no file. The file is
        not reused for a while (``REST_SECS``), as a late WRITE may still reach it. A server that refuses this rename, too, would
        refuse the late one."""
        answer = await self._client.request(packets.RENAME, string(path) + string(moved_on(path)))
        if isinstance(answer, Status) and answer.code == packets.OK:
            # Recorded after the rename, as it may be refused; where a kill comes between the two, ``_find`` finds the file.
            self._profile.gone([os.fsdecode(path)])
            self._profile.leave(os.fsdecode(moved_on(path)), reusable=True, rests=True)

    async def cleared(self, path: bytes, answer: Reply) -> None:
        """Handle the reply to the REMOVE of an earlier attempt's file: afterwards the file is removed, or has a name that no old
        request contains."""
        if not await self.gone(path, answer, reusable=False):
            await self.disarm(path)
        elif not isinstance(answer, Status) or answer.code not in (packets.OK, packets.NO_SUCH_FILE):
            await self._find(moved_on(path))

    async def _find(self, path: bytes) -> None:
        """Record or remove a file that was renamed by ``disarm`` by a process that was killed
        before it could record the new name."""
        known = self._profile.crowded or self.has(
            path
        )  # above the limit files are only counted, so one of them would be counted again
        if not known and await self._is_there(path) and not await self.remove(path, reusable=True):
            self._profile.leave(os.fsdecode(path), reusable=True, rests=True)

    async def _is_there(self, path: bytes) -> bool:
        return isinstance(await self._client.request(packets.LSTAT, string(path)), Attrs)

    async def sweep(self, *, idle: bool) -> None:
        """Try again to remove the files on record, up to the first that is refused. ``idle``: no upload is under way, so no file on
        record is in use, and a record whose file does not exist any more is deleted."""
        profile = self._profile
        names = [*(profile.pending if idle else ()), *profile.left]
        for number, name in enumerate(names):
            reusable = profile.take(name)
            if not (idle or reusable):
                continue  # an upload uses this file
            path, walk = os.fsencode(name), profile.walk(DELETE)
            if not await self.gone(path, await self.ask(path), reusable=reusable, walk=walk):
                if idle:
                    await self._sort(names[number:])
                return

    async def _sort(self, names: Sequence[str]) -> None:
        """Update the records of files that no upload uses and that cannot be removed."""
        found = await asyncio.gather(*(self._is_there(os.fsencode(name)) for name in names))
        for name, there in zip(names, found, strict=True):
            if not there:
                self._profile.gone([name])
                await self._find(moved_on(os.fsencode(name)))
            elif not self._profile.left.get(name, False):
                self._profile.leave(name, reusable=False)
                await self.disarm(os.fsencode(name))

    async def removed(self, paths: Iterable[tuple[bytes, asyncio.Future[Reply]]], *, reusable: bool) -> None:
        """Handle the replies after the upload has failed; raises nothing."""
        for path, asked in paths:
            try:
                await self.gone(path, await asked, reusable=reusable)
            except TransportError:
                return
