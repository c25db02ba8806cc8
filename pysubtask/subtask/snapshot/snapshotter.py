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

from ...common import beneath, own_files
from ...common.disk import BROKEN, FULL, free_bytes, problem_of, space_of
from ...common.errors import DiskLow, SourceChanged, SourceError, SourceMissing
from ...common.paths import folder_of, name_of
from ...common.place import existing
from ..delta.signature_cache import Growing
from ..platform.reflink import Reflinks
from ..platform.timestamp_granularity import GRANULARITY_NS, tick_ns
from .append_tracker import Digest, Start
from .bak_folder import BakFolder
from .copied import Copied
from .file_blocks import BLOCK, begin_writing, copy_blocks, extents, hash_blocks
from .growing_copies import Continuation, GrowingCopy
from .sources import Place, opened, unreadable

_NAME_MAX = 255
_SAFE = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
_WRITE = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0) | _SAFE
_AGAIN = os.O_WRONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0) | _SAFE
CLONE_BYTES = 64 * 1024
"""Bytes. A larger file shares its blocks with its snapshot, where the file system can do that."""


class Snapshotter:
    """Makes snapshots in ``folder``; with None it makes none, and the data files themselves are uploaded.

    ``tag``: a short text, unique to the owner among all who share the folder, that begins each name. ``min_free``: returns the
    number of bytes of disk space that must be left. ``refused``: why a file that was opened by a name may not be copied (or
    nothing). ``base``: without this folder ``folder`` is not created. ``is_kept``: whether a snapshot, by its path, is to stay
    when it is dropped, because it may be continued.
    """

    def __init__(
        self,
        folder: str | None,
        tag: str,
        min_free: Callable[[], int],
        refused: Callable[[str, os.stat_result], str] = lambda path, found: "",
        base: str = os.sep,
        is_kept: Callable[[str], bool] = lambda path: False,
    ) -> None:
        if not tag or "/" in tag or "\0" in tag or len(os.fsencode(tag)) > 64:
            raise ValueError(f"a tag is a short text without '/': {tag!r}")
        self._folder = None if folder is None else os.path.abspath(folder)
        self._bak = BakFolder(self._folder or "")
        self._tag = tag
        self._min_free = min_free
        self._refused = refused
        self._base = base
        self._is_kept = is_kept
        self._reflinks = Reflinks()
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
        grown: Continuation | None = None,
    ) -> Copied:
        """Copy a data file as it is now; the copy is not durable before :meth:`seal`.

        ``within``: the folder (without links) that the file must be in; None: the file is named by an entry, and may be a link of
        its owner to another place. ``sizes``: the beginnings whose digests are needed, for :attr:`Copied.prefixes`. ``start``:
        copy only the bytes behind it, where the file still has the same beginning. ``average``: compute a signature beside the
        copy, of parts of that size, unless only the end is copied. ``grown``: a snapshot to be continued, where the file has only
        grown since: by its content, or for an append-only file as far as its signs show.
        Raises SourceMissing, SourceChanged (the file changed during the copy), DiskLow, and SourceError for any other problem of
        the file; no temporary file is left then.
        """
        with opened(source, within) as (handle, before):
            if why := self._refused(source, before):
                raise SourceError(f"{source} is never sent: it is {why}")
            size, synced = before.st_size, self._alone
            if grown is not None and self._folder is not None:
                continued = self._continued(handle, before, source, sizes, grown)
                if continued is not None:
                    return continued
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
                self._check_unmoved(handle, before, source, start, sha, base)
            except BaseException:
                self._remove(temp)
                raise
            digest, inode = sha.hexdigest(), before.st_ino
        signed = growing.outcome() if growing is not None else None
        return Copied(
            path, temp, size, before.st_mtime_ns, inode, digest, source, temp is None, sha.prefixes, base, sha, signed, synced
        )

    def _continued(
        self, handle: int, before: os.stat_result, source: str, sizes: Iterable[int], grown: Continuation
    ) -> Copied | None:
        """A kept snapshot with what was added to the file since; None where the file is another one, or no such snapshot is there
        any more. What is added is in no job before it is synced, so a crash leaves bytes that nobody reads."""
        kept, synced = grown.copy, self._alone
        start = _start_of(handle, before, grown)
        if start is None:
            return None
        sha = start.digest({*sizes, kept.size})
        if not start.size:
            # Every byte is compared, by the digest: a change in the middle shows, and the snapshot is never a mixture.
            hash_blocks(handle, before, source, sha, 0, kept.size)
            if sha.hexdigest() != kept.digest:
                return None
        if not self._add(handle, before, source, sha, kept, synced):
            return None
        self._check_unmoved(handle, before, source, start, sha, start.size)
        size, mtime_ns, inode = before.st_size, before.st_mtime_ns, before.st_ino
        names = (kept.snapshot, None, size, mtime_ns, inode, sha.hexdigest(), source, False)
        return Copied(*names, sha.prefixes, kept.base, sha, synced=synced, continued=True)

    def _add(self, handle: int, before: os.stat_result, source: str, sha: Digest, kept: GrowingCopy, synced: bool) -> bool:
        """Add the new bytes of the file to its kept snapshot; whether that is still there."""
        out = self._opened_again(kept)
        if out is None:
            return False
        folder = folder_of(kept.snapshot)
        try:
            if before.st_size > kept.size:
                self._check_room(folder, handle, before, kept.size)
                copy_blocks(handle, out, before, source, sha, kept.base, begin=kept.size)
            os.utime(out, ns=(before.st_mtime_ns, before.st_mtime_ns))
            if synced:
                os.fsync(out)
        except OSError as exc:
            raise _ours(exc, f"the snapshot of {source} in {folder} cannot be written", folder) from exc
        finally:
            os.close(out)
        return True

    def _opened_again(self, kept: GrowingCopy) -> int | None:
        """A kept snapshot, open for writing, without what a failed attempt has added to it; None where there is none."""
        try:
            out = self._bak.open(kept.snapshot, _AGAIN)
        except OSError:
            return None
        found, size = os.fstat(out), kept.size - kept.base
        if own_files.is_regular_and_ours(found) and found.st_size >= size:
            with contextlib.suppress(OSError):
                os.ftruncate(out, size)
                return out
        os.close(out)
        return None

    def _check_unmoved(self, handle: int, before: os.stat_result, source: str, start: Start, sha: Digest, base: int) -> None:
        """Raise SourceChanged where the file has another content by now than the one that was copied from ``base`` on."""
        if _may_have_moved(before, os.fstat(handle), source):
            again = start.digest(())
            hash_blocks(handle, before, source, again, base)
            if again.hexdigest() != sha.hexdigest():
                raise SourceChanged(f"{source} was rewritten while it was copied")

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
        continued = [copied.path for copied in copies if copied.continued and not copied.synced]
        if not (waiting or continued) or self._folder is None:
            return
        try:
            self._bak.publish(
                [(str(copied.temp), copied.path) for copied in waiting],
                {copied.temp for copied in waiting if copied.temp and copied.synced},
                continued,
            )
        except OSError as exc:
            for copied in waiting:
                self._remove(copied.temp)
                self._remove(copied.path)
            raise _ours(exc, f"the snapshots in {self._folder} cannot be made durable", self._folder) from exc

    def discard(self, copied: Copied) -> None:
        """Remove a copy, sealed or not; a live file stays, and a snapshot that was continued: earlier jobs may need it."""
        if not copied.live and not copied.continued:
            self._remove(copied.temp)
            self.drop(copied.path)

    def drop(self, *paths: str) -> None:
        """Remove snapshots; a missing one is skipped; a file that is no snapshot of this task stays, and one that is kept."""
        if self._folder is None:
            return
        gone = [path for path in paths if not self._is_kept(path)]
        ours = [path for path in gone if folder_of(path) == self._folder and self._is_ours(name_of(path))]
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
                    if not base and before.st_size > CLONE_BYTES and self._reflinks.clone(handle, out):
                        # What is read, hashed and sent from here on is the clone, whatever becomes of the file.
                        os.ftruncate(out, before.st_size)
                        hash_blocks(out, before, source, sha)
                    else:
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


def _start_of(handle: int, before: os.stat_result, grown: Continuation) -> Start | None:
    """Where the comparison of a file with its kept snapshot begins; None where it is another file."""
    if before.st_size < grown.copy.size:
        return None
    if grown.start is not None:
        return grown.start if grown.start.fits(handle, before) else None
    return None if grown.copy.base else Start.whole()


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
