"""The files this package keeps for itself: opened by descriptor, checked once open, and refused where they are not ours.

Every function here takes the absolute path of a folder of this package, which ``own_folders`` opens, and the name of a file in
it. The folder may be writable by others: somebody may have put a link, a pipe, a device in the place of the real file. A file
is opened relative to the descriptor of its folder, without following a link and without waiting for the other end of a pipe, and
must be a regular file.

Where the system has no such calls (Windows) the same names are opened by path.
"""

import contextlib
import errno
import os
import stat
import sys
from collections.abc import Iterable

from .own_folders import NO_FOLLOW, NotOurs, is_by_us, opened_folder

MOST_BYTES = 16 * 1024 * 1024
"""No file that is read whole is larger, but for damage or malice."""
SHARED = 0o640
"""The mode of a file of this package that a group may read."""

_BINARY = getattr(os, "O_BINARY", 0)


def replace(folder: str, name: str, data: bytes | Iterable[bytes], *, sync: bool = False, group: int | None = None) -> None:
    """Put ``data`` (in pieces, if there is much) under ``name`` in one step, mode 0600: a reader finds the old file or the new one.
    ``sync``: it outlasts a power cut. ``group``: the number of a group that may read it, mode 0640. Raises OSError; the old file
    stays then, and no temporary file is left."""
    with opened_folder(folder) as at:
        temp = f".{name}.{os.urandom(8).hex()}.part"
        handle = _open(folder, temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL, at)
        try:
            try:
                if group is not None and sys.platform != "win32":
                    os.fchown(handle, -1, group)
                    os.fchmod(handle, SHARED)
                for piece in (data,) if isinstance(data, bytes) else data:
                    write_all(handle, piece)
                if sync:
                    os.fsync(handle)
            finally:
                os.close(handle)
            _rename(folder, temp, name, at)
        except BaseException:
            with contextlib.suppress(OSError):
                _unlink(folder, temp, at)
            raise
        if sync and at >= 0:
            os.fsync(at)


def open_append(folder: str, name: str) -> int:
    """A descriptor for reading, and for writing at the end, of a regular file of this package with one name; made (0600) where
    missing. One that has a second name (of a backup made of links, or of somebody's making) becomes a file of its own first, so
    that nothing is written to the other name. The caller closes it. Raises OSError, NotOurs where it is anything else."""
    return _open_append(folder, name)[0]


_MOST_ENDED = 64  # a child appends to a handful of files
_ended: dict[tuple[int, int], int] = {}
"""Device and inode number of files that lines were appended to, and their size then: one of that size ends with a whole line."""


def append_lines(folder: str, name: str, lines: bytes, *, sync: bool = False) -> int:
    """Add whole lines at the end of such a file, by one write; how many bytes it had before. There is a newline in front of them
    where an earlier line was cut short, as by a full disk. ``sync``: they outlast a power cut. Raises as :func:`open_append`."""
    handle, found = _open_append(folder, name)
    one, size = (found.st_dev, found.st_ino), found.st_size
    try:
        whole = size == 0 or _ended.get(one) == size or _byte_at(handle, size - 1) == b"\n"
        data = lines if whole else b"\n" + lines
        write_all(handle, data)  # one write, unless it is cut short: then the next one raises why, as a disk that is full
        if len(_ended) >= _MOST_ENDED:
            _ended.clear()
        _ended[one] = size + len(data)
        if sync:
            os.fsync(handle)
    finally:
        os.close(handle)
    return size


def _open_append(folder: str, name: str) -> tuple[int, os.stat_result]:
    """The descriptor, and how the file looks."""
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT
    with opened_folder(folder) as at:
        handle = _open(folder, name, flags, at)
        found = _check(handle, folder, name, ours=True)
        if found.st_nlink <= 1:
            return handle, found
        os.close(handle)
        replace(folder, name, read(folder, name), sync=True)
        handle = _open(folder, name, flags, at)
        found = _check(handle, folder, name, ours=True)
    if found.st_nlink > 1:
        os.close(handle)
        raise NotOurs(os.path.join(folder, name), "has a second name")
    return handle, found


def _byte_at(handle: int, offset: int) -> bytes:
    from .positioned import read_at  # not for an app, which appends nothing

    return read_at(handle, 1, offset)


def open_update(folder: str, name: str, *, make: bool = True) -> int:
    """A descriptor for reading and writing of a regular file of this package, which may have a second name: the caller checks
    that before it writes, and closes it. With ``make`` it is made (0600) where missing. Raises OSError, NotOurs where it is
    anything else."""
    with opened_folder(folder) as at:
        handle = _open(folder, name, os.O_RDWR | (os.O_CREAT if make else 0), at)
    return _checked(handle, folder, name, ours=True)


def is_named(handle: int, folder: str, name: str) -> bool:
    """Whether an open file is still the one under that name in a folder of this package."""
    try:
        with opened_folder(folder, any_owner=True) as at:
            named = os.stat(os.path.join(folder, name)) if at < 0 else os.stat(name, dir_fd=at, follow_symlinks=False)
        return os.path.samestat(os.fstat(handle), named)
    except OSError:
        return False


def identity(folder: str, name: str) -> tuple[int, int]:
    """Device and inode number of what has this name in a folder of this package; no link is followed, nothing is opened.
    OSError."""
    with opened_folder(folder) as at:
        found = os.lstat(os.path.join(folder, name)) if at < 0 else os.stat(name, dir_fd=at, follow_symlinks=False)
    return found.st_dev, found.st_ino


def ensure(folder: str, name: str, *, make: bool = True) -> None:
    """Have a regular file of this package there, empty and private where it was missing, for a library that opens it by path; with
    ``make`` False a missing one stays missing. Raises OSError, NotOurs where it is anything else."""
    with opened_folder(folder) as at:
        try:
            handle = _open(folder, name, os.O_RDWR | (os.O_CREAT if make else 0), at)
        except FileNotFoundError:
            if make:
                raise
            return
    os.close(_checked(handle, folder, name, ours=True))


def open_read(folder: str, name: str, *, any_owner: bool = False, or_root: bool = False) -> int:
    """A descriptor for reading a regular file of this package; the caller closes it. Raises OSError, NotOurs where it is anything
    else. ``any_owner``: as in :func:`opened_folder`. ``or_root``: the file may be root's too."""
    with opened_folder(folder, any_owner=any_owner) as at:
        handle = _open(folder, name, os.O_RDONLY, at)
    return _checked(handle, folder, name, ours=not any_owner, or_root=or_root)


def read(folder: str, name: str, *, any_owner: bool = False, or_root: bool = False, most: int = MOST_BYTES) -> bytes:
    """What a file of this package holds; an OSError (EFBIG) where that is more than ``most`` bytes. Raises as :func:`open_read`."""
    handle = open_read(folder, name, any_owner=any_owner, or_root=or_root)
    with os.fdopen(handle, "rb") as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise OSError(errno.EFBIG, f"it is larger than {most} bytes", os.path.join(folder, name))
    return data


def read_shared(folder: str, name: str, uid: int, *, most: int = MOST_BYTES) -> bytes:
    """What a file of the user ``uid`` holds that he lets a group of this process read: its mode is exactly ``SHARED``, and it
    lies in a folder of his. Nothing in it may be obeyed. Raises OSError, NotOurs where it is anything else."""
    path = os.path.join(folder, name)
    with opened_folder(folder, any_owner=True) as at:
        if at >= 0 and os.fstat(at).st_uid != uid:
            raise NotOurs(folder, "belongs to another user")
        handle = _checked(_open(folder, name, os.O_RDONLY, at), folder, name, ours=False)
    with os.fdopen(handle, "rb") as file:
        found = os.fstat(handle)
        if found.st_uid != uid or stat.S_IMODE(found.st_mode) != SHARED or found.st_gid not in _my_groups():
            raise NotOurs(path, "is not shared with a group of this user's")
        data = file.read(most + 1)
    if len(data) > most:
        raise OSError(errno.EFBIG, f"it is larger than {most} bytes", path)
    return data


def _my_groups() -> set[int]:
    if sys.platform == "win32":
        return set()
    return {os.getegid(), *os.getgroups()}


def group_of(folder: str, name: str) -> int | None:
    """The group that may read a file of this package; None where it is for this user alone. Raises OSError."""
    with opened_folder(folder) as at:
        found = os.lstat(os.path.join(folder, name)) if at < 0 else os.stat(name, dir_fd=at, follow_symlinks=False)
    return found.st_gid if found.st_mode & stat.S_IRGRP else None


def changed_at(folder: str, name: str, named: os.stat_result | None = None) -> float:
    """When what has this name was changed last, in seconds since the epoch; no link is followed. ``named``: see
    :func:`opened_folder`. Raises OSError."""
    with opened_folder(folder, named=named) as at:
        if at < 0:
            return os.lstat(os.path.join(folder, name)).st_mtime
        return os.stat(name, dir_fd=at, follow_symlinks=False).st_mtime


def rename(folder: str, old: str, new: str) -> None:
    """Rename a file of this package within its folder, over one that has the name. Raises OSError."""
    with opened_folder(folder) as at:
        _rename(folder, old, new, at)


def remove(folder: str, name: str, *, any_owner: bool = False) -> None:
    """Remove a file of this package; a missing one is no error. ``any_owner``: as in :func:`opened_folder`. Raises OSError."""
    with opened_folder(folder, any_owner=any_owner) as at, contextlib.suppress(FileNotFoundError):
        _unlink(folder, name, at)


def sync_folder(folder: str) -> None:
    """Have the names in a folder of this package outlast a power cut. Raises OSError."""
    with opened_folder(folder) as at:
        if at >= 0:
            os.fsync(at)


def write_all(handle: int, data: bytes) -> None:
    """Write every byte of ``data``. Raises OSError."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(handle, rest) :]


def is_regular_and_ours(found: os.stat_result) -> bool:
    """Whether this is a regular file of this user with one name. Somebody else's file, or one of this package's that got a second
    name here, may hold anything."""
    return stat.S_ISREG(found.st_mode) and is_by_us(found) and found.st_nlink <= 1


def _open(folder: str, name: str, flags: int, at: int) -> int:
    try:
        if at < 0:
            return os.open(os.path.join(folder, name), flags | NO_FOLLOW | _BINARY, 0o600)
        return os.open(name, flags | NO_FOLLOW | _BINARY, 0o600, dir_fd=at)
    except OSError as exc:
        if exc.errno in (errno.ELOOP, errno.EMLINK):
            raise NotOurs(os.path.join(folder, name), "is a link") from exc
        if exc.errno == errno.ENXIO:
            raise NotOurs(os.path.join(folder, name), "is no regular file") from exc
        raise


def _checked(handle: int, folder: str, name: str, *, ours: bool, or_root: bool = False) -> int:
    _check(handle, folder, name, ours=ours, or_root=or_root)
    return handle


def _check(handle: int, folder: str, name: str, *, ours: bool, or_root: bool = False) -> os.stat_result:
    """The stat of an open file; where the file is not this package's it is closed, and NotOurs raised."""
    try:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            raise NotOurs(os.path.join(folder, name), "is no regular file")
        if ours and not is_by_us(found) and not (or_root and found.st_uid == 0):
            raise NotOurs(os.path.join(folder, name), "belongs to another user")
    except BaseException:
        os.close(handle)
        raise
    return found


def _rename(folder: str, old: str, new: str, at: int) -> None:
    if at < 0:
        os.replace(os.path.join(folder, old), os.path.join(folder, new))
    else:
        os.rename(old, new, src_dir_fd=at, dst_dir_fd=at)


def _unlink(folder: str, name: str, at: int) -> None:
    if at < 0:
        os.unlink(os.path.join(folder, name))
    else:
        os.unlink(name, dir_fd=at)
