"""The attempts at the files of a push: read, compare with the server, upload, and keep on record what a later attempt needs."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from ...delivery_rules.remote_content import already_there
from ...transports.base import Job, RemoteStat, Sent, Transport
from . import files
from .file_state import FileState
from .files import File
from .outcome import Outcome, Show
from .record import Record


class Attempts:
    """``moved`` is called when a file got further than in any attempt before."""

    def __init__(self, record: Record, show: Show, moved: Callable[[], None]) -> None:
        self._record, self._show, self._moved = record, show, moved
        self._reached: dict[str, int] = {}
        self._read_before: dict[str, File] = {}

    async def read(self, path: str, name: str) -> File:
        """The file as it is now; its content is read only where it was changed. Raises SourceMissing, SourceChanged or
        SourceError."""
        found = self._read_before.get(name)
        if found is None or not files.is_as_read(found):
            found = self._read_before[name] = await asyncio.to_thread(files.read, path, name)
        return found

    async def upload(self, transport: Transport, file: File) -> Outcome:
        """Deliver the file, unless the server has it already. Raises SourceError or a TransportError where the attempt failed,
        OSError where the record cannot be written."""
        state = self._record.states[file.name]
        found = await transport.stat(file.name)
        if found is not None and state.may_have_arrived(file.digest):
            verified = await self._verified(transport, file, state, found)
            if verified:
                return Outcome(file.path, file.name, Sent(found, 0, verified), there=True)
        state.begin(file.name, file.digest, found)
        # The temporary name is on the disk before the server has the file: a run after a crash resumes or removes it.
        self._record.save()
        self._show.begin(file.name, file.size)
        sent = await transport.upload(
            Job(
                file.path,
                file.size,
                file.mtime_ns,
                file.name,
                state.temp,
                tuple(state.stale),
                lambda: files.confirm(file),
                resume=state.resume,
                note=lambda text: self._note(state, text),
                sha256=file.digest,
            ),
            lambda done: self._progress(file.name, done),
        )
        state.delivered(sent.remote)
        self._record.save()
        return Outcome(file.path, file.name, sent)

    def start_over(self, name: str) -> None:
        """Read the file again at its next attempt, and send it whole under a new temporary name."""
        self._read_before.pop(name, None)
        self._record.states[name].start_over()

    async def _verified(self, transport: Transport, file: File, state: FileState, found: RemoteStat) -> str:
        """How it was found out that the server has this content already; empty where it has another one."""
        own = await asyncio.to_thread(transport.hash_of, file.path, file.size) if found.hash else ""
        is_there = already_there(state.known(), file.size, file.mtime_ns, file.digest, found, own, sure=not state.stale)
        return ("hash" if own else "size") if is_there else ""

    def _note(self, state: FileState, text: str) -> None:
        state.resume = text
        # A note that a full disk loses costs the next run some bytes and nothing else.
        with contextlib.suppress(OSError):
            self._record.save()

    def _progress(self, name: str, done: int) -> None:
        if done > self._reached.get(name, 0):
            self._reached[name] = done
            self._moved()
        self._show.progress(name, done)
