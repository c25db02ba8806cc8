"""Moves files from a folder into another, by descriptors: other users may change folders on either path at any time.

A path is opened part by part. A link in it is followed only where nobody but this user and root could have put it there: it
belongs to one of them, in a folder that nobody else may write. So no link of another user leads a file of this package, or one of
his that root moves, out of his own folders. A file is moved only if it belongs to this user or to the owner of its folder.

Where the system has no such calls (Windows) the same is done by path.
"""

import contextlib
import errno
import itertools
import os
import stat
from collections.abc import Iterator
from typing import NamedTuple

from ..common import effective_user
from ..common.own_folders import BY_DESCRIPTOR
from ..common.trust import is_own_group

# No folder is listed here: the right to search it is enough.
_FOLDER = getattr(os, "O_PATH", os.O_RDONLY) | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0)
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)
_RESERVE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0) | _NO_LINK | getattr(os, "O_BINARY", 0)
_MOST_LINKS = 40  # as many as Linux follows in a path (path_resolution(7))
_MOST_OPEN = 16  # descriptors of folders in the process of the app


class Old(NamedTuple):
    """A file as it was when it was judged: it is moved only while size, time and inode are the same."""

    path: str
    """Absolute path."""
    size: int
    """Bytes."""
    mtime_ns: int
    """Time of the last change, in nanoseconds since the epoch."""
    inode: int
    """Inode number."""


class Folder(NamedTuple):
    """An open folder."""

    path: str
    """Absolute path."""
    at: int
    """Its descriptor; -1 on a system without such calls, where the folder is used by path."""
    uid: int
    """The user id of its owner."""


class Changed(Exception):
    """A file was written while it was moved. It is back in its place, unless ``kept`` is its path now, and ``why`` the reason."""

    def __init__(self, kept: str = "", why: OSError | None = None) -> None:
        self.kept = kept
        self.why = why


def names(name: str) -> Iterator[str]:
    """The names to try in the archive: ``a.csv``, ``a_1.csv``, ``a_2.csv`` ..."""
    yield name
    stem, ending = os.path.splitext(name)
    yield from (f"{stem}_{number}{ending}" for number in itertools.count(1))


class Mover:
    """``first``: the folder that is never made, nor are those above it. Folders stay open until ``close``, which must come soon: an
    open folder keeps its disk from being unmounted."""

    def __init__(self, first: str) -> None:
        self._first = _parts(first)
        self._open: dict[str, Folder] = {}

    def close(self) -> None:
        """Let go of the folders."""
        while self._open:
            at = self._open.popitem()[1].at
            if at >= 0:
                os.close(at)

    def move(self, old: Old, folder: str, *, sure: bool) -> str | None:
        """Move a file into ``folder``, which is made where missing, under a name that is free there; the new path. None where the
        file is no longer what was judged. OSError where it cannot be moved (PermissionError: it belongs to another user, who does
        not own its folder); it stays then. ``sure``: Changed where the file was written while it was moved."""
        if len(self._open) >= _MOST_OPEN:
            self.close()
        source, name = self._folder(os.path.dirname(old.path), make=False), os.path.basename(old.path)
        target = self._folder(folder, make=True)
        reserved = _reserve(target, name)
        taken = os.path.basename(reserved.path)
        try:
            found = _stat(source, name)
            if not stat.S_ISREG(found.st_mode) or _old(old.path, found) != old:
                return None
            if source.at >= 0 and found.st_uid not in (effective_user.now(), source.uid):
                raise PermissionError(errno.EPERM, "it belongs to another user, whose the folder is not", old.path)
            # The name is reserved, so no other file is overwritten.
            _replace(source, name, target, taken)
        finally:
            _release(target, reserved)
        if sure:
            self._check_moved(old, source, name, target, taken)
        return reserved.path

    def unlink(self, path: str) -> None:
        """Remove a file. Raises OSError."""
        folder = self._folder(os.path.dirname(path), make=False)
        if folder.at < 0:
            os.unlink(path)
        else:
            os.unlink(os.path.basename(path), dir_fd=folder.at)

    @staticmethod
    def _check_moved(old: Old, source: Folder, name: str, target: Folder, taken: str) -> None:
        """Check that the moved file is the one that was judged; else move it back, since its new content is not delivered yet."""
        kept = os.path.join(target.path, taken)
        try:
            if _old(old.path, _stat(target, taken)) == old:
                return
            if source.at < 0:
                os.link(kept, old.path)
                os.unlink(kept)
            else:
                os.link(taken, name, src_dir_fd=target.at, dst_dir_fd=source.at, follow_symlinks=False)
                os.unlink(taken, dir_fd=target.at)
        except OSError as exc:
            raise Changed(kept, exc) from exc
        raise Changed

    def _folder(self, path: str, *, make: bool) -> Folder:
        found = self._open.get(path)
        if found is not None:
            return found
        if not BY_DESCRIPTOR:
            if make:
                os.makedirs(path, exist_ok=True)
            return self._open.setdefault(path, Folder(path, -1, 0))
        at = self._walk(path, make)
        return self._open.setdefault(path, Folder(path, at, os.fstat(at).st_uid))

    def _walk(self, path: str, make: bool) -> int:
        """The descriptor of a folder. Raises OSError."""
        parts = _parts(path)
        existing = len(self._first) if parts[: len(self._first)] == self._first else 0
        # Each with whether it may be made. Where a link leads is there already.
        rest = [(part, make and number >= existing) for number, part in enumerate(parts)][::-1]
        links = 0
        handle = os.open(os.sep, _FOLDER)
        try:
            while rest:
                deeper = _step(*rest.pop(), handle, path)
                if isinstance(deeper, str):
                    links += 1
                    if links > _MOST_LINKS:
                        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
                    rest += [(part, False) for part in reversed(_parts(deeper))]
                    deeper = os.open(os.sep, _FOLDER) if os.path.isabs(deeper) else os.dup(handle)
                os.close(handle)
                handle = deeper
        except BaseException:
            os.close(handle)
            raise
        return handle


def _step(part: str, make: bool, handle: int, path: str) -> int | str:
    """The descriptor of the next part, or where a link leads that may be followed."""
    try:
        return os.open(part, _FOLDER | _NO_LINK, dir_fd=handle)
    except FileNotFoundError:
        if not make:
            raise
        with contextlib.suppress(FileExistsError):
            os.mkdir(part, dir_fd=handle)
        return os.open(part, _FOLDER | _NO_LINK, dir_fd=handle)
    except OSError as exc:
        if exc.errno not in (errno.ELOOP, errno.ENOTDIR, errno.EMLINK):
            raise
        found = os.stat(part, dir_fd=handle, follow_symlinks=False)
        if not stat.S_ISLNK(found.st_mode):
            raise NotADirectoryError(errno.ENOTDIR, f"{part!r} in it is no folder", path) from exc
        if not _is_safe(found, os.fstat(handle)):
            raise PermissionError(errno.EPERM, f"{part!r} in it is a link that another user may have made", path) from exc
        return os.readlink(part, dir_fd=handle)


def _is_safe(link: os.stat_result, folder: os.stat_result) -> bool:
    """Whether nobody but this user and root can have put a link into a folder, or can put another one in its place."""
    mine = (0, effective_user.now())
    if link.st_uid not in mine or folder.st_uid not in mine:
        return False
    if folder.st_mode & stat.S_IWOTH and not folder.st_mode & stat.S_ISVTX:
        return False
    by_group = folder.st_mode & stat.S_IWGRP and not folder.st_mode & stat.S_ISVTX
    return not by_group or is_own_group(folder.st_gid, folder.st_uid)


def _parts(path: str) -> list[str]:
    return [part for part in path.split(os.sep) if part and part != os.curdir]


def _reserve(folder: Folder, name: str) -> Old:
    """Create an empty file in the archive under a free name: a rename over it overwrites no other file."""
    for candidate in names(name):
        target = os.path.join(folder.path, candidate)
        with contextlib.suppress(FileExistsError):
            by_path = folder.at < 0
            handle = os.open(target if by_path else candidate, _RESERVE, 0o600, dir_fd=None if by_path else folder.at)
            try:
                return _old(target, os.fstat(handle))
            finally:
                os.close(handle)
    raise AssertionError("names never end")


def _release(folder: Folder, reserved: Old) -> None:
    """Remove the empty file, should it still be the one under its name."""
    name = os.path.basename(reserved.path)
    with contextlib.suppress(FileNotFoundError):
        if _old(reserved.path, _stat(folder, name)) == reserved:
            if folder.at < 0:
                os.unlink(reserved.path)
            else:
                os.unlink(name, dir_fd=folder.at)


def _replace(source: Folder, name: str, target: Folder, taken: str) -> None:
    if source.at < 0:
        os.replace(os.path.join(source.path, name), os.path.join(target.path, taken))
    else:
        os.replace(name, taken, src_dir_fd=source.at, dst_dir_fd=target.at)


def _stat(folder: Folder, name: str) -> os.stat_result:
    if folder.at < 0:
        return os.lstat(os.path.join(folder.path, name))
    return os.stat(name, dir_fd=folder.at, follow_symlinks=False)


def _old(path: str, found: os.stat_result) -> Old:
    return Old(path, found.st_size, found.st_mtime_ns, found.st_ino)
