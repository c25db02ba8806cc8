"""A directory as destination: the reference implementation of the contract.

Useful on its own for a mounted share or a USB stick. ``HostPath`` is the folder.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from ..common.errors import FileRefused, TransportLost
from .base import Job, Progress, RemoteStat, Sent, Traits, Transport

_CHUNK = 256 * 1024


class FolderTransport(Transport):
    """Copies into ``HostPath``; every call is served by a thread, so that a hung mount hangs no loop."""

    name: ClassVar[str] = "folder"

    def __init__(self, settings: Mapping[str, Any], workdir: str) -> None:
        self._root = os.path.abspath(settings["HostPath"])
        self._limit = float(settings.get("StallSecs", 60))
        self._open = False
        self.traits = Traits(atomic_replace=True, keeps_mtime=True, concurrency=int(settings.get("Concurrency", 8)))

    @classmethod
    def identity(cls, settings: Mapping[str, Any]) -> str:
        return "file://" + os.path.abspath(settings["HostPath"])

    async def connect(self) -> None:
        if not os.path.isdir(self._root):
            raise TransportLost(f"the folder {self._root} is not there (not mounted?)")
        self._open = True

    async def close(self) -> None:
        self._open = False

    async def upload(self, job: Job, progress: Progress) -> Sent:
        self._check_open()
        loop = asyncio.get_running_loop()

        def report(done: int) -> None:
            loop.call_soon_threadsafe(progress, done)

        return await asyncio.to_thread(self._put, job, report)

    async def stat(self, name: str) -> RemoteStat | None:
        self._check_open()
        async with asyncio.timeout(self._limit):
            return await asyncio.to_thread(self._stat, self._path(name))

    async def remove(self, names: Iterable[str]) -> set[str]:
        self._check_open()
        async with asyncio.timeout(self._limit):
            return await asyncio.to_thread(self._remove, list(names))

    def _check_open(self) -> None:
        if not self._open:
            raise TransportLost("not connected")

    def _path(self, name: str) -> str:
        path = os.path.normpath(os.path.join(self._root, name))
        if os.path.commonpath([path, self._root]) != self._root or path == self._root:
            raise FileRefused(f"{name!r} leaves the destination's folder")
        return path

    def _put(self, job: Job, report: Progress) -> Sent:
        target, temp = self._path(job.name), self._path(job.temp)
        try:
            os.makedirs(os.path.dirname(target), exist_ok=True)
            self._remove(job.stale)
            try:
                sent = self._copy(job, temp, report)
                job.confirm()
                os.replace(temp, target)
            except BaseException:
                self._remove([job.temp])
                raise
            self._sync_folder(os.path.dirname(target))
            shown = self._stat(target)
        except OSError as exc:
            if not os.path.isdir(self._root):
                raise TransportLost(f"the folder {self._root} went away: {exc}") from exc
            raise FileRefused(f"{job.name}: {exc}") from exc
        if shown is None:
            raise FileRefused(f"{job.name} vanished as soon as it was there")
        return Sent(shown, sent)

    def _copy(self, job: Job, temp: str, report: Progress) -> int:
        done = 0
        with open(job.source, "rb") as source, open(temp, "xb") as out:
            while done < job.size:
                block = source.read(min(_CHUNK, job.size - done))
                if not block:
                    raise FileRefused(f"{job.source} is shorter than {job.size} bytes")
                out.write(block)
                done += len(block)
                report(done)
            out.flush()
            os.fsync(out.fileno())
            if os.fstat(out.fileno()).st_size != job.size:
                raise FileRefused(f"{job.name}: the folder kept fewer bytes than were written")
        os.utime(temp, ns=(job.mtime_ns, job.mtime_ns))
        return done

    @staticmethod
    def _sync_folder(path: str) -> None:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    @staticmethod
    def _stat(path: str) -> RemoteStat | None:
        try:
            found = os.stat(path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        return RemoteStat(found.st_size, int(found.st_mtime))

    def _remove(self, names: Iterable[str]) -> set[str]:
        gone = set()
        for name in names:
            try:
                os.unlink(self._path(name))
            except FileNotFoundError:
                continue
            gone.add(name)
        return gone
