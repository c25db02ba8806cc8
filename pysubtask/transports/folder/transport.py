"""A directory as destination: the reference implementation of the contract.

Useful on its own for a mounted share or a USB stick. ``HostPath`` is the folder; it must exist, since a
folder that is missing is most often a mount that is. Every call on the folder runs in a thread of its own, so
that a dead mount blocks neither the loop nor, for longer than ``StallSecs`` without progress, the
caller. A thread that was given up publishes nothing when it wakes.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, BinaryIO, ClassVar, TypeVar

from ...common.errors import FileRefused, SourceChanged, TransportError, TransportLost
from ..base import Job, Progress, RemoteStat, Sent, Traits, Transport
from ..shared.calls import Call
from ..shared.pace import Pace
from ..shared.sent_hash import SentHash
from ..shared.source import open_source

_T = TypeVar("_T")

_BLOCK = 256 * 1024  # bytes between two looks at the pace and the end of the upload
_SYNC_EVERY = 8 * 1024 * 1024  # bytes between two syncs: one sync at the end of a large file would look like a standstill
_MOST_HUNG = 32  # threads given up in a dead mount before connect refuses to add to them

# The device, the share or the network to it is gone (a soft NFS mount answers EIO): these errors are not about one file.
_GONE = {
    getattr(errno, name)
    for name in (
        "EIO",
        "ENODEV",
        "ENXIO",
        "ESTALE",
        "EREMOTEIO",
        "ENOTCONN",
        "ESHUTDOWN",
        "ETIMEDOUT",
        "ECONNRESET",
        "ECONNREFUSED",
        "ECONNABORTED",
        "EHOSTDOWN",
        "EHOSTUNREACH",
        "ENETDOWN",
        "ENETUNREACH",
    )
    if hasattr(errno, name)
}
# The errors of file systems that cannot sync a folder or set a time.
_CANNOT = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EPERM, errno.EACCES, errno.EBADF)


class FolderTransport(Transport):
    """Copies into ``HostPath``: temporary file, sync, rename, sync of the folder."""

    name: ClassVar[str] = "folder"

    def __init__(self, settings: Mapping[str, Any], workdir: str) -> None:
        self._root = os.path.abspath(settings["HostPath"])
        self._limit = float(settings.get("StallSecs", 60))
        self._connect_limit = float(settings.get("ConnectTimeoutSecs", 20))
        self.pace = self._pace = Pace(float(settings.get("RateLimit", 0)))
        self._closed: asyncio.Future[None] | None = None
        self._device: int | None = None
        self._hung: list[threading.Thread] = []
        self.traits = Traits(atomic_replace=True, keeps_mtime=True, concurrency=int(settings.get("Concurrency", 8)))

    @classmethod
    def identity(cls, settings: Mapping[str, Any]) -> str:
        """``file://`` and the absolute path."""
        return f"file://{os.path.abspath(settings['HostPath'])}"

    async def connect(self) -> None:
        """Note which file system the folder is on. TransportLost where there is no folder, or too many earlier calls still hang in
        it."""
        await self.close()
        self._hung = [thread for thread in self._hung if thread.is_alive()]
        if len(self._hung) >= _MOST_HUNG:
            raise TransportLost(f"{len(self._hung)} earlier calls still hang in {self._root!r} (a dead mount?)")
        self._closed = asyncio.get_running_loop().create_future()
        try:
            self._device = await self._apart(lambda call: self._root_device(), self._connect_limit)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Awaits in progress end in TransportLost; their threads end at their next step. See ``Transport.close``."""
        closed, self._closed = self._closed, None
        if closed is not None:
            closed.set_result(None)

    async def upload(self, job: Job, progress: Progress) -> Sent:
        """Copy and sync to the temporary file, then rename it and sync the folder. See ``Transport.upload``."""
        target, temp = self._path(job.name), self._path(job.temp)
        stale = [self._path(name) for name in job.stale]

        def copy(call: Call[int]) -> int:
            return self._copy(job, target, temp, call, progress)

        def publish(call: Call[RemoteStat]) -> RemoteStat:
            return self._publish(temp, target, stale, call)

        sent = await self._apart(copy)
        try:
            job.confirm()
        except BaseException:
            # A temp file that cannot be removed now is on record, so the exception of confirm is the one to raise.
            with contextlib.suppress(TransportError):
                await self._apart(lambda call: _unlink(temp))
            raise
        return Sent(await self._apart(publish), sent)

    async def stat(self, name: str) -> RemoteStat | None:
        """By stat(2), which follows links."""
        path = self._path(name)
        return await self._apart(lambda call: _stat(path))

    async def remove(self, names: Iterable[str]) -> set[str]:
        """See ``Transport.remove``."""
        paths = {name: self._path(name) for name in names}
        return await self._apart(lambda call: {name for name, path in paths.items() if _unlink(path)})

    async def _apart(self, work: Callable[[Call[_T]], _T], limit: float | None = None) -> _T:
        """Run in a thread; TransportLost when it is closed meanwhile or makes no step for ``limit`` seconds."""
        if self._closed is None:
            raise TransportLost("not connected")
        limit = limit or self._limit
        late = f"nothing moved in {self._root!r} for {limit:g} s (a dead mount?)"
        try:
            return await Call(work, "folder-transport").outcome(self._closed, limit, late, self._hung)
        except OSError as exc:
            if exc.errno in _GONE:
                raise TransportLost(f"{self._root!r}: {exc}") from exc
            raise FileRefused(str(exc)) from exc

    def _path(self, name: str) -> str:
        path = os.path.normpath(os.path.join(self._root, name))
        if "\0" in name or ".." in name.split("/") or not path.startswith(os.path.join(self._root, "")):
            raise FileRefused(f"{name!r} leaves the destination's folder")
        return path

    def _root_device(self) -> int:
        """The number of the file system the folder is on; TransportLost where there is no folder."""
        try:
            if os.path.isdir(self._root):
                return os.stat(self._root).st_dev
        except OSError as exc:
            raise TransportLost(f"{self._root!r}: {exc}") from exc
        raise TransportLost(f"the folder {self._root!r} is not there (not mounted?)")

    def _copy(self, job: Job, target: str, temp: str, call: Call[int], progress: Progress) -> int:
        if self._root_device() != self._device:
            raise TransportLost(f"another file system stands at {self._root!r} now")
        with contextlib.ExitStack() as stack:
            with _reading(job.source):
                handle = open_source(job) if job.snapshot or job.opener else job.source
                source = stack.enter_context(open(handle, "rb", buffering=0))
            own = SentHash(job, source.fileno())
            _make_folders(os.path.dirname(target))
            with open(temp, "xb", buffering=0) as out:
                stack.enter_context(_unlinked_on_error(temp))
                done = self._copy_blocks(job, source, out, call, progress, own)
                own.check()
                # Synced before the rename: else a power cut may leave the new name with no bytes behind it.
                os.fsync(out.fileno())
                call.step()
                if os.fstat(out.fileno()).st_size != job.size:
                    raise FileRefused(f"{job.name!r}: the folder kept fewer bytes than were written")
            with _tolerated(_CANNOT):
                if job.mtime_ns is not None:
                    os.utime(temp, ns=(job.mtime_ns, job.mtime_ns))
        return done

    def _copy_blocks(self, job: Job, source: BinaryIO, out: BinaryIO, call: Call[int], progress: Progress, own: SentHash) -> int:
        done = synced = 0
        while done < job.size:
            with _reading(job.source):
                block = source.read(min(self._pace.piece(_BLOCK), job.size - done))
            if not block:
                raise SourceChanged(f"{job.source!r} ends after {done} of {job.size} bytes")
            own.took(done, block)
            self._pace.hold(len(block), call.step)
            view = memoryview(block)
            while view:
                view = view[out.write(view) :]
            done += len(block)
            if done - synced >= _SYNC_EVERY:
                os.fsync(out.fileno())
                synced = done
            call.step()
            call.tell(progress, done)
        return done

    @staticmethod
    def _publish(temp: str, target: str, stale: Iterable[str], call: Call[RemoteStat]) -> RemoteStat:
        with _unlinked_on_error(temp):
            # Before the rename: a call that was given up may still rename its own file, and must find none.
            for path in stale:
                _unlink(path)
            # Last check before the rename: a call that is given up after it loses its temp file to the next attempt (``stale``), so
            # its rename finds no file and replaces nothing.
            call.step()
            os.replace(temp, target)
        # The rename itself is on the disk before the delivery counts, as the snapshot is removed then.
        _sync_folder(os.path.dirname(target))
        stat = _stat(target)
        if stat is None:
            raise FileRefused(f"{target!r} vanished as soon as it was there")
        return stat


@contextlib.contextmanager
def _reading(source: str) -> Iterator[None]:
    """An OSError in this block is about the source and becomes SourceChanged."""
    try:
        yield
    except OSError as exc:
        raise SourceChanged(f"{source!r} cannot be read: {exc}") from exc


@contextlib.contextmanager
def _unlinked_on_error(temp: str) -> Iterator[None]:
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError):  # the temp file is on record; the first error is the one to raise
            os.unlink(temp)
        raise


@contextlib.contextmanager
def _tolerated(numbers: Iterable[int | None]) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        if exc.errno not in numbers:
            raise


def _make_folders(path: str) -> None:
    """Make a folder and its parents, each one on the disk before anything is put into it."""
    if os.path.isdir(path):
        return
    _make_folders(os.path.dirname(path))
    with contextlib.suppress(FileExistsError):  # another upload was quicker
        os.mkdir(path)
    if not os.path.isdir(path):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
    _sync_folder(os.path.dirname(path))  # from the top down: a synced file in a folder that a power cut loses is lost, too


def _sync_folder(path: str) -> None:
    with _tolerated(_CANNOT):
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _stat(path: str) -> RemoteStat | None:
    try:
        found = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return RemoteStat(found.st_size, int(found.st_mtime))


def _unlink(path: str) -> bool:
    """Remove a file; whether it existed."""
    try:
        os.unlink(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True
