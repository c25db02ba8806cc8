"""Consistent copies of data files, kept in a folder of their own until they are delivered.

A file is copied while others may be writing it. A copy is always a true prefix of the content that the file had at one moment;
otherwise there is no copy.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import time
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from typing import NamedTuple

from ...common import beneath
from ...common.disk import BROKEN, FULL, free_bytes, problem_of, space_of
from ...common.errors import DiskLow, SourceChanged, SourceError, SourceMissing
from ...common.paths import folder_of, name_of
from ...common.place import existing
from ..delta.signature import Signature
from ..delta.signature_cache import Growing
from ..platform.timestamp_granularity import GRANULARITY_NS, tick_ns
from .append_tracker import Digest, Start
from .bak_folder import BakFolder
from .file_blocks import BLOCK, begin_writing, copy_blocks, extents, hash_blocks
from .sources import Place, opened, unreadable

_NAME_MAX = 255
_WRITE = (
    os.O_WRONLY | getattr(os, "O_BINARY", 0) | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
)


class Copied(NamedTuple):
    """The copy of one version of a data file.

    ``path``: the name of the snapshot after :meth:`Snapshotter.seal`, or the data file itself where ``live``. ``temp``: the name
    until then; None where ``live``. ``size`` in bytes, ``mtime_ns`` and ``inode`` are those of the data file. ``digest``:
    SHA-256, hexadecimal, of exactly the first ``size`` bytes. ``source``: the data file. ``prefixes``: the digests of its
    beginnings, for each requested size that is not above ``size``. ``base``: the snapshot begins with this byte of the file.
    ``sha``: the digest from which the next snapshot may continue. ``signature``: of the whole content, where it was requested and
    could be made. ``synced``: its bytes outlast a power cut already.
    """

    path: str
    temp: str | None
    size: int
    mtime_ns: int
    inode: int
    digest: str
    source: str
    live: bool
    prefixes: dict[int, str]
    base: int
    sha: Digest
    signature: Signature | None = None
    synced: bool = False


class Snapshotter:
    """Makes snapshots in ``folder``; with None it makes none, and the data files themselves are uploaded.

    ``tag``: a short text, unique to the owner among all who share the folder, that begins each name. ``min_free``: returns the
    number of bytes of disk space that must be left. ``refused``: why a file that was opened by a name may not be copied (or
    nothing). ``base``: without this folder ``folder`` is not created.
    """

    def __init__(
        self,
        folder: str | None,
        tag: str,
        min_free: Callable[[], int],
        refused: Callable[[str, os.stat_result], str] = lambda path, found: "",
        base: str = os.sep,
    ) -> None:
        if not tag or "/" in tag or "\0" in tag or len(os.fsencode(tag)) > 64:
            raise ValueError(f"a tag is a short text without '/': {tag!r}")
        self._folder = None if folder is None else os.path.abspath(folder)
        self._bak = BakFolder(self._folder or "")
        self._tag = tag
        self._min_free = min_free
        self._refused = refused
        self._base = base
        # Within a run the names rise; those of two runs differ by their start.
        self._run = f"{time.time_ns():x}"
        self._numbers = itertools.count(1)
        self._alone = False
        self._head = len(os.fsencode(f"{tag}-{self._run}-")) + 1

    def copy(
        self,
        source: str,
        within: str | Place | None = None,
        sizes: Iterable[int] = (),
        start: Start | None = None,
        average: int = 0,
    ) -> Copied:
        """Copy a data file as it is now; the copy is not durable before :meth:`seal`.

        ``within``: the folder (without links) that the file must be in; None: the file is named by an entry, and may be a link of
        its owner to another place. ``sizes``: the beginnings whose digests are needed, for :attr:`Copied.prefixes`. ``start``:
        copy only the bytes behind it, where the file still has the same beginning. ``average``: compute a signature beside the
        copy, of parts of that size, unless only the end is copied.
        Raises SourceMissing, SourceChanged (the file changed during the copy), DiskLow, and SourceError for any other problem of
        the file; no temporary file is left then.
        """
        with opened(source, within) as (handle, before):
            if why := self._refused(source, before):
                raise SourceError(f"{source} is never sent: it is {why}")
            size, synced = before.st_size, self._alone
            if start is None or self._folder is None or not start.fits(handle, before):
                start = Start.whole()
            sha, base = start.digest(sizes), start.base
            growing = Growing(size, average) if average and not base and self._folder is not None else None
            if self._folder is None:
                path, temp = source, None
                hash_blocks(handle, before, source, sha, base)
            else:
                path, temp = self._names(self._folder, source)
                self._write(handle, before, path, temp, source, sha, base, growing, synced)
            try:
                if _may_have_moved(before, os.fstat(handle), source):
                    again = start.digest(())
                    hash_blocks(handle, before, source, again, base)
                    if again.hexdigest() != sha.hexdigest():
                        raise SourceChanged(f"{source} was rewritten while it was copied")
            except BaseException:
                self._remove(temp)
                raise
            digest, inode = sha.hexdigest(), before.st_ino
        signed = growing.outcome() if growing is not None else None
        return Copied(
            path, temp, size, before.st_mtime_ns, inode, digest, source, temp is None, sha.prefixes, base, sha, signed, synced
        )

    @contextlib.contextmanager
    def at_work(self, *, alone: bool = False) -> Iterator[None]:
        """Around the copies on one thread and their :meth:`seal`: the folder is opened and checked once for all of them.
        ``alone``: there is one copy, which is synced as soon as it is written, while it is open."""
        self._alone = alone
        try:
            with contextlib.nullcontext() if self._folder is None else self._bak.kept_open():
                yield
        finally:
            self._alone = False

    def seal(self, copies: Sequence[Copied]) -> None:
        """Make copies durable under their final names: all of them, or an error is raised (DiskLow, SourceError).

        Every copy is synced by itself, and before any is renamed, so that no final name ever leads to missing bytes. Many copies
        are cheap, because the system began to write their bytes to the disk when they were copied: the first sync mostly finds
        them there and closes one transaction of the file system for all, so that the others have nothing left to do.

        After an error the copies that were not sealed are removed and have to be made again.
        """
        waiting = [copied for copied in copies if copied.temp is not None]
        if not waiting or self._folder is None:
            return
        try:
            self._bak.publish(
                [(str(copied.temp), copied.path) for copied in waiting],
                {copied.temp for copied in waiting if copied.temp and copied.synced},
            )
        except OSError as exc:
            for copied in waiting:
                self._remove(copied.temp)
                self._remove(copied.path)
            raise _ours(exc, f"the snapshots in {self._folder} cannot be made durable", self._folder) from exc

    def discard(self, copied: Copied) -> None:
        """Remove a copy, sealed or not; a live file stays."""
        if not copied.live:
            self._remove(copied.temp)
            self.drop(copied.path)

    def drop(self, *paths: str) -> None:
        """Remove snapshots; a missing one is skipped, and a file that is no snapshot of this task stays."""
        if self._folder is None:
            return
        ours = [path for path in paths if folder_of(path) == self._folder and self._is_ours(name_of(path))]
        if ours:
            self._bak.remove(*ours)

    def sweep(self, keep: Container[str]) -> list[str]:
        """Remove the temporary files of this task, and its snapshots that are not in ``keep``; the paths removed."""
        if self._folder is None:
            return []
        removed = []
        try:
            names = self._bak.names()
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as exc:
            raise _ours(exc, f"{self._folder} cannot be listed", self._folder) from exc
        for name in names:
            path = os.path.join(self._folder, name)
            if self._is_ours(name) and path not in keep:
                self._remove(path)
                removed.append(path)
        return removed

    def _is_ours(self, name: str) -> bool:
        return name.startswith((f"{self._tag}-", f".{self._tag}-"))

    def _names(self, folder: str, source: str) -> tuple[str, str]:
        number = f"{next(self._numbers):x}"
        name = _shortened(name_of(source), _NAME_MAX - 1 - self._head - len(number))
        name = f"{self._tag}-{self._run}-{number}-{name}"
        head = os.path.join(folder, "")
        return head + name, f"{head}.{name}"

    def _write(
        self,
        handle: int,
        before: os.stat_result,
        path: str,
        temp: str,
        source: str,
        sha: Digest,
        base: int,
        growing: Growing | None,
        synced: bool,
    ) -> None:
        folder = folder_of(path)
        try:
            try:
                out = self._make(folder, temp, handle, before, base)
            except FileNotFoundError:
                if not os.path.isdir(self._base):
                    raise
                beneath.make_folders(folder, 0o700)  # copies of private files are kept in it
                out = self._make(folder, temp, handle, before, base)
        except OSError as exc:
            raise _ours(exc, f"no snapshot can be made in {folder}", folder) from exc
        try:
            try:
                with contextlib.nullcontext() if growing is None else growing.signing(temp):
                    copy_blocks(handle, out, before, source, sha, base, growing)
                os.utime(out, ns=(before.st_mtime_ns, before.st_mtime_ns))
                if synced:
                    os.fsync(out)
                elif before.st_size - base <= BLOCK:
                    begin_writing(out)
            except OSError as exc:
                raise _ours(exc, f"the snapshot of {source} in {folder} cannot be written", folder) from exc
            finally:
                os.close(out)
        except BaseException:
            self._remove(temp)
            raise

    def _make(self, folder: str, temp: str, handle: int, before: os.stat_result, base: int) -> int:
        self._check_room(folder, handle, before, base)
        return self._bak.open(temp, _WRITE)

    def _remove(self, path: str | None) -> None:
        if path is not None:
            self._bak.remove(path)

    def _check_room(self, folder: str, handle: int, before: os.stat_result, base: int) -> None:
        need, keep = before.st_size - base, self._min_free()
        room = free_bytes(folder)
        if room - need < keep and space_of(before) < need:
            # The file has holes, which take no room.
            need = sum(end - begin for begin, end, data in extents(handle, before, base) if data)
        left = room - need
        if left < keep:
            words = f"{folder}: copying {need} bytes would leave {max(0, left)} bytes free, less than {keep}"
            raise DiskLow(words, left + need, keep)


def copy_again(source: int, target: str) -> None:
    """Copy an open snapshot, with its times, to ``target`` in another folder of snapshots; the copy outlasts a power cut. Raises
    OSError; a file under the name ``target`` is always whole."""
    folder, name = os.path.split(target)
    bak, temp = BakFolder(folder), os.path.join(folder, f".{name}")
    if not os.path.isdir(folder):
        beneath.make_folders(folder, 0o700)
    bak.remove(temp)
    found, sha = os.fstat(source), Digest()
    out = bak.open(temp, _WRITE)
    try:
        copy_blocks(source, out, found, target, sha, 0, None)
        os.utime(out, ns=(found.st_mtime_ns, found.st_mtime_ns))
    finally:
        os.close(out)
    bak.publish([(temp, target)])


def content_digest(path: str, size: int, within: str | Place | None = None) -> str:
    """SHA-256, hexadecimal, of the first ``size`` bytes of a file; ``within`` as for :meth:`Snapshotter.copy`.

    Raises SourceMissing, SourceChanged where it is shorter than that, SourceError.
    """
    sha = Digest()
    with opened(path, within) as (handle, found):
        hash_blocks(handle, found, path, sha, upto=size)
    return sha.hexdigest()


def _may_have_moved(before: os.stat_result, after: os.stat_result, source: str) -> bool:
    """Whether the file, or the target of its name, changed during the copy, or changed so recently that a clock of whole seconds
    would not show another change."""
    try:
        named = os.stat(source)
    except FileNotFoundError as exc:
        raise SourceMissing(f"{source} went away while it was copied") from exc
    except OSError as exc:
        raise unreadable(exc, source) from exc
    stats = [(found.st_mtime_ns, found.st_size, found.st_ino, found.st_dev) for found in (before, after, named)]
    undecided = tick_ns(after.st_mtime_ns) == GRANULARITY_NS and after.st_mtime_ns + GRANULARITY_NS > time.time_ns()
    return len(set(stats)) > 1 or undecided


def _shortened(name: str, room: int) -> str:
    """A name in at most ``room`` bytes: its end is kept, for the eye."""
    raw = os.fsencode(name)
    return name if len(raw) <= room else os.fsdecode(raw[-room:])


def _ours(exc: OSError, what: str, folder: str) -> SourceError:
    """An error of the disk of the snapshots, for which the data file is not the cause."""
    words = f"{what}: {exc.strerror or exc}"
    if exc.errno in FULL or exc.errno in BROKEN:
        return DiskLow(words, problem=problem_of(exc, existing(folder)))
    return SourceError(words)
