"""Opens data files for reading: by the parts of their paths, and only where the owners of the links on the path may read them
themselves."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Collection, Iterator
from typing import NamedTuple

from ...common import effective_user
from ...common.beneath import BY_PARTS, MOST_LINKS, LeadsAway, has_right, known, may_go, remember, trusted, walk
from ...common.errors import SourceError, SourceMissing
from ...common.paths import name_of
from ...common.place import real_path
from ...common.trust import is_own_group

_READ = (
    getattr(os, "O_BINARY", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_NOCTTY", 0)
    | getattr(os, "O_NOFOLLOW", 0)
)


class Place(NamedTuple):
    """Where a folder really is: ``path`` has no links. ``owners``: the owners of the links on the path to it, without this user
    and root."""

    path: str
    owners: frozenset[int] = frozenset()


class _Walked(NamedTuple):
    """The result of ``walk``, and the stat of the folder that it led to (``home``)."""

    handle: int
    folders: list[os.stat_result]
    owners: set[int]
    home: os.stat_result


def _walked(path: str, links: bool) -> _Walked:
    handle, folders, owners = walk(path, links)
    return _Walked(handle, folders, owners, folders[-1] if folders else os.fstat(handle))


def _folder(path: str, links: bool, owners: Collection[int]) -> _Walked:
    """As ``_walked``, but from the cache where possible; ``owners``: those of the links so far. Without such owners the list of
    folders is not needed."""
    purpose = "named" if links else "inside"
    again = None if owners else known(path, purpose)
    if again is not None:
        return _Walked(again[0], [], set(), again[1])
    walked = _walked(path, links)
    if not walked.owners:
        remember(path, purpose, walked.home)
    return walked


@contextlib.contextmanager
def opened(source: str, within: str | Place | None) -> Iterator[tuple[int, os.stat_result]]:
    """The regular file ``source``, opened for reading, and its stat; never waits for the other end of a fifo, never opens a
    device. Raises SourceMissing, SourceError."""
    try:
        handle, found = _open(source, Place(within) if isinstance(within, str) else within)
        try:
            yield handle, found
        finally:
            os.close(handle)
    except OSError as exc:
        # An error of any kind, at any step, concerns this file alone.
        raise unreadable(exc, source) from exc


def _open(source: str, within: Place | None) -> tuple[int, os.stat_result]:
    if BY_PARTS:
        return open_named(source) if within is None else open_inside(source, within)
    path, flags = source, _READ & ~getattr(os, "O_NOFOLLOW", 0)
    if within is not None:
        path, flags = os.path.realpath(source), _READ
        if os.path.dirname(path) != within.path:
            raise LeadsAway(source, f"leads out of {within.path}")
    _check_regular(os.stat(path), source)
    handle = os.open(path, flags)
    try:
        found = os.fstat(handle)
        _check_regular(found, source)
    except BaseException:
        os.close(handle)
        raise
    return handle, found


def _check_regular(found: os.stat_result, source: str) -> None:
    if stat.S_ISDIR(found.st_mode):
        raise SourceError(f"{source} is a folder")
    if not stat.S_ISREG(found.st_mode):
        raise SourceError(f"{source} is not a regular file")


def unreadable(exc: OSError, source: str) -> SourceError:
    """The error of a data file as a SourceError, in words for people."""
    if isinstance(exc, LeadsAway):
        return SourceError(f"{source} {exc.problem}")
    if exc.errno in (errno.ENOENT, errno.ENOTDIR):
        return SourceMissing(f"{source} is not there")
    words = {
        errno.EACCES: "may not be read by this user",
        errno.EPERM: "may not be read by this user",
        errno.EISDIR: "is a folder",
        errno.ENXIO: "is not a regular file",
        errno.ELOOP: "is a link that leads nowhere",
        errno.EIO: "cannot be read: the disk reports an error",
    }
    return SourceError(f"{source} {words.get(exc.errno or 0, f'cannot be read: {exc.strerror or exc}')}")


def place_of(path: str) -> Place:
    """Where a folder really is now. Raises LeadsAway where a link of another user leads to a place that he may not enter himself,
    and other kinds of OSError."""
    if not BY_PARTS:
        return Place(os.path.realpath(path))
    walked = _walked(path, True)
    try:
        owners = frozenset(walked.owners)
        for owner in owners:
            if not may_go(owner, walked.folders):
                raise LeadsAway(path, "a link of another user leads there, and he may not go there himself")
        try:
            return Place(os.readlink(f"/proc/self/fd/{walked.handle}"), owners)
        except OSError:
            return Place(real_path(path), owners)  # without /proc: a link in the path is found when the file is opened by parts
    finally:
        os.close(walked.handle)


def open_inside(path: str, within: Place) -> tuple[int, os.stat_result]:
    """The regular file ``path`` in the folder ``within``, opened for reading, and its stat. No link may be on the path of the
    folder; the file may be a link to another file in it. Raises LeadsAway and other kinds of OSError. The caller closes the
    descriptor."""
    name = name_of(path)
    try:
        walked = _folder(within.path, False, within.owners)
    except LeadsAway as exc:
        raise LeadsAway(path, f"leads out of its folder: {within.path} {exc.problem}") from exc
    try:
        for _ in range(MOST_LINKS):
            entry = os.stat(name, dir_fd=walked.handle, follow_symlinks=False)
            if not stat.S_ISLNK(entry.st_mode):
                return _open_file(name, walked, entry, path, set(within.owners))
            target = os.path.join(within.path, os.readlink(name, dir_fd=walked.handle))
            real = os.path.join(real_path(os.path.dirname(target)), os.path.basename(target))
            if os.path.dirname(real) != within.path:
                raise LeadsAway(path, f"leads out of {within.path}")
            name = os.path.basename(real)
    finally:
        os.close(walked.handle)
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)


def open_named(path: str) -> tuple[int, os.stat_result]:
    """The regular file ``path``, opened for reading, and its stat. It may be a link of this user or of root, or a link of the
    owner of its folder to a file that this owner may read. Raises LeadsAway and other kinds of OSError. The caller closes the
    descriptor."""
    target, owners = path, set[int]()
    for turn in range(MOST_LINKS):
        above, name = os.path.split(target)
        walked = _folder(above, True, owners)
        try:
            owners |= walked.owners
            entry = os.stat(name or ".", dir_fd=walked.handle, follow_symlinks=False)
            if not stat.S_ISLNK(entry.st_mode):
                return _open_file(name or ".", walked, entry, path, owners)
            if entry.st_uid not in trusted():
                if turn == 0 and entry.st_uid != walked.home.st_uid:
                    raise LeadsAway(path, "is a link of another user")
                owners.add(entry.st_uid)
            target = os.path.join(above, os.readlink(name, dir_fd=walked.handle))
        finally:
            os.close(walked.handle)
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)


def open_data(path: str) -> int:
    """As :func:`open_named`, the descriptor alone."""
    return open_named(path)[0]


def _open_file(name: str, at: _Walked, entry: os.stat_result, path: str, owners: set[int]) -> tuple[int, os.stat_result]:
    """Open a file in a folder; ``owners``: those of the links that led there. Root sends only files that the owner of the folder
    may read, or that belong to root."""
    handle, found = _open_regular(name, at.handle, entry)
    is_root = effective_user.number() == 0
    if not owners and not is_root:
        return handle, found
    home = at.home
    try:
        if owners and not all(_may_read(owner, found, at.folders) for owner in owners):
            raise LeadsAway(path, "is reached by a link of another user, who may not read it himself")
        # Any user may have made a second name (hard link) of a file of root.
        from_root = found.st_uid == 0 and found.st_nlink <= 1
        if is_root and not from_root and not _may_read(home.st_uid, found, []):
            raise LeadsAway(path, "may not be read by the owner of its folder, and root sends no such file")
        if is_root and found.st_nlink > 1 and not found.st_mode & stat.S_IROTH and _others_write(home):
            raise LeadsAway(path, "has a second name, which whoever may write its folder may have made: root sends no such file")
    except BaseException:
        os.close(handle)
        raise
    return handle, found


def _others_write(home: os.stat_result) -> bool:
    """Whether other users than its owner may create names in a folder."""
    by_group = home.st_mode & stat.S_IWGRP and not is_own_group(home.st_gid, home.st_uid)
    return bool(home.st_mode & stat.S_IWOTH or by_group)


class NotRegular(OSError):
    """The path leads to a folder, or to no regular file."""

    def __init__(self, found: os.stat_result) -> None:
        code = errno.EISDIR if stat.S_ISDIR(found.st_mode) else errno.ENXIO
        super().__init__(code, os.strerror(code))


def _open_regular(name: str, at: int, entry: os.stat_result) -> tuple[int, os.stat_result]:
    if not stat.S_ISREG(entry.st_mode):  # opening a device may do something
        raise NotRegular(entry)
    handle = os.open(name, _READ, dir_fd=at)
    try:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            raise NotRegular(found)
    except BaseException:
        os.close(handle)
        raise
    return handle, found


def _may_read(uid: int, found: os.stat_result, folders: list[os.stat_result]) -> bool:
    """Whether a user may read a file, by the modes of it and of the ``folders`` that lead to it."""
    return has_right(uid, found, 4) and may_go(uid, folders)
