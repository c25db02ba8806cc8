"""The files this package keeps for itself: opened by descriptor, checked once open, and refused where they are not ours.

The state folder of a task lies in the data folder by default, and a data folder may be writable by others. A path in it is
therefore not trusted: somebody may have put a link, a pipe, a device or another folder in the place of the real one. Every function
here takes the absolute path of a folder of this package and the name of a file in it. The folder is opened part by part, from
``.pysubtask`` on, without following links, and each part must belong to this user and be writable by nobody else. The file
is opened relative to that descriptor, without following a link and without waiting for the other end of a pipe, and must be a
regular file.

Where the system has no such calls (Windows) the same names are opened by path.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterable
from typing import Generic, NamedTuple, TypeVar

from . import effective_user

STATE_FOLDER = ".pysubtask"
"""The folder in the first data folder that holds the state of its tasks."""
MOST_BYTES = 16 * 1024 * 1024
"""No file that is read whole is larger, but for damage or malice."""
SHARED = 0o640
"""The mode of a file of this package that a group may read."""
PASSABLE = 0o710
"""The mode of a folder of this package that a group may pass, without seeing what is in it."""
LISTED = 0o750
"""The mode of a folder of this package that a group may list."""

BY_DESCRIPTOR = os.open in os.supports_dir_fd and hasattr(os, "geteuid")
_FOLDER = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0)
_SEARCH_ONLY = getattr(os, "O_PATH", os.O_RDONLY) | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0)
"""Of the folder above ours, and of another user's: to search it is enough."""
_SAFE = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0) | getattr(os, "O_CLOEXEC", 0)
_BINARY = getattr(os, "O_BINARY", 0)
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


class NotOurs(PermissionError):
    """A file or folder in the place of one of this package's belongs to somebody else, or is no such file. Nothing of it was read
    or changed. A person has to check who may write the data folder."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(errno.EPERM, f"it {problem}", path)
        self.problem = problem


H = TypeVar("H", bound=int | None)


class Opened(Generic[H]):
    """A descriptor (-1 or None: there is none) for the time of a ``with``; closed at its end unless it is ``kept``."""

    def __init__(self, handle: H, *, kept: bool) -> None:
        self.handle, self.kept = handle, kept

    def __enter__(self) -> H:
        return self.handle

    def __exit__(self, *_: object) -> None:
        if not self.kept and self.handle is not None:
            os.close(self.handle)


def opened_folder(path: str, *, any_owner: bool = False, named: os.stat_result | None = None) -> Opened[int]:
    """The descriptor of a folder of this package (``path`` is absolute); NotOurs where a part of it is not ours, other kinds of
    OSError where it is not there or cannot be opened.

    ``any_owner``: a folder of another user is opened too, to show what is in it; nothing in it may be obeyed. ``named``: what the
    path led to a moment ago, where the caller has just read it. On a system without descriptors of folders the value is -1.
    """
    if not BY_DESCRIPTOR:
        return Opened(-1, kept=True)
    kept = None if any_owner else _kept_folder(path, named)
    if kept is not None:
        return Opened(kept, kept=True)
    handle = _walk(path, any_owner)
    if any_owner or len(_kept) >= _MOST_KEPT:
        return Opened(handle, kept=False)
    found = os.fstat(handle)
    return Opened(handle, kept=_kept.setdefault(path, _Kept(handle, found.st_dev, found.st_ino)).handle == handle)


class _Kept(NamedTuple):
    """The descriptor of a folder, and what it is: its device and inode number."""

    handle: int
    device: int
    inode: int


_MOST_KEPT = 16  # descriptors; a process has a few state folders, and a limit of open files
_kept: dict[str, _Kept] = {}
"""Folders that were found to be ours, so that a line in an event log costs no walk. They stay open: another thread may be using
one."""


def _kept_folder(path: str, named: os.stat_result | None) -> int | None:
    """The descriptor from before, where the path still leads to that very folder and it is still ours."""
    kept = _kept.get(path)
    if kept is None:
        return None
    try:
        named = named or os.stat(path)
    except OSError:
        return None
    same = (named.st_dev, named.st_ino) == (kept.device, kept.inode)
    return kept.handle if same and named.st_uid == effective_user.number() and not named.st_mode & _OTHERS_WRITE else None


def _walk(path: str, any_owner: bool) -> int:
    head, parts = _split(path)
    handle = os.open(head, _SEARCH_ONLY)
    try:
        for part in parts:
            deeper = _open_part(part, handle, path, _SEARCH_ONLY if any_owner else _FOLDER)
            os.close(handle)
            handle = deeper
            _check_folder(handle, path, any_owner)
    except BaseException:
        os.close(handle)
        raise
    return handle


def make_folder(path: str, *, deep: bool = True) -> None:
    """Make a folder of this package, and those above it from ``.pysubtask`` on, with mode 0700; existing ones are checked. The
    data folder must exist; unless ``deep``, every folder above ``path``. Raises as :func:`opened_folder`."""
    if not BY_DESCRIPTOR:
        if deep:
            os.makedirs(path, 0o700, exist_ok=True)
        elif not os.path.isdir(path):
            os.mkdir(path, 0o700)
        return
    head, parts = _split(path)
    handle = os.open(head, _SEARCH_ONLY)
    try:
        for number, part in enumerate(parts, 1):
            created = (deep or number == len(parts)) and _make_part(part, handle)
            try:
                deeper = _open_part(part, handle, path)
            except PermissionError as exc:
                if not created or isinstance(exc, NotOurs):
                    raise
                # A umask has taken away even our own rights. What was just made is given its mode by name, once.
                os.chmod(part, 0o700, dir_fd=handle)
                deeper = _open_part(part, handle, path)
            os.close(handle)
            handle = deeper
            _check_folder(handle, path, False)
            if created:
                os.fchmod(handle, 0o700)  # a umask may have taken away even our own rights
    finally:
        os.close(handle)


def replace(folder: str, name: str, data: bytes | Iterable[bytes], *, sync: bool = False, group: int | None = None) -> None:
    """Put ``data`` (in pieces, if there is much) under ``name`` in one step, mode 0600: a reader finds the old file or the new one.
    ``sync``: it outlasts a power cut. ``group``: the number of a group that may read it, mode 0640. Raises OSError; the old file
    stays then, and no temporary file is left."""
    with opened_folder(folder) as at:
        temp = f".{name}.{os.urandom(8).hex()}.part"
        handle = _open(folder, temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL, at)
        try:
            try:
                if group is not None:
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
        if os.write(handle, data) == len(data):
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
    if hasattr(os, "pread"):
        return os.pread(handle, 1, offset)
    os.lseek(handle, offset, os.SEEK_SET)
    return os.read(handle, 1)


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
    return {os.getegid(), *os.getgroups()}


def share_folder(path: str, group: int, mode: int = PASSABLE) -> None:
    """Let a group pass a folder of this package, and those above it from ``.pysubtask`` on; ``mode`` is that of the last one.
    Raises as :func:`opened_folder`, PermissionError where this user is not in the group."""
    _set_group(path, lambda last: (group, mode if last else PASSABLE))


def unshare_folder(path: str) -> None:
    """A folder of this package is this user's alone again; those above it stay as they are. Raises as :func:`opened_folder`."""
    _set_group(path, lambda last: (-1, 0o700) if last else None)


def _set_group(path: str, choose: Callable[[bool], tuple[int, int] | None]) -> None:
    """``choose``: the group (-1: as it is) and mode of a folder; whether it is the last one is given. None leaves it alone."""
    if not BY_DESCRIPTOR:
        return
    head, parts = _split(path)
    handle = os.open(head, _SEARCH_ONLY)
    try:
        for number, part in enumerate(parts, 1):
            deeper = _open_part(part, handle, path)
            os.close(handle)
            handle = deeper
            _check_folder(handle, path, False)
            chosen, found = choose(number == len(parts)), os.fstat(handle)
            if chosen is None:
                continue
            group, mode = chosen
            if group not in (-1, found.st_gid):
                os.fchown(handle, -1, group)
            if stat.S_IMODE(found.st_mode) != mode:
                os.fchmod(handle, mode)
    finally:
        os.close(handle)


def group_of(folder: str, name: str) -> int | None:
    """The group that may read a file of this package; None where it is for this user alone. Raises OSError."""
    with opened_folder(folder) as at:
        found = os.lstat(os.path.join(folder, name)) if at < 0 else os.stat(name, dir_fd=at, follow_symlinks=False)
    return found.st_gid if found.st_mode & stat.S_IRGRP else None


def names(folder: str, *, any_owner: bool = False) -> list[str]:
    """The names in a folder of this package, in no order. Raises as :func:`opened_folder`, and has its ``any_owner``."""
    with opened_folder(folder, any_owner=any_owner) as at:
        if at < 0:
            return os.listdir(folder)
        # A kept descriptor has one place in the listing for all threads.
        own = os.open(os.curdir, _FOLDER, dir_fd=at)
    try:
        return os.listdir(own)
    finally:
        os.close(own)


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


def remove_empty(path: str) -> bool:
    """Remove a folder of this package if there is nothing in it; whether it is gone."""
    above, name = os.path.split(path)
    try:
        with opened_folder(above) as at:
            if at < 0:
                os.rmdir(path)
            else:
                os.rmdir(name, dir_fd=at)
    except OSError:
        return False
    return True


def remove_folder(path: str) -> None:
    """Remove a folder of this package and all in it; no link is followed. A missing one is no error. Raises OSError, NotOurs
    where it is anything else."""
    import shutil  # an app that only notifies does not pay for it

    try:
        with opened_folder(path):
            pass
    except FileNotFoundError:
        return
    if not BY_DESCRIPTOR:
        shutil.rmtree(path)
        return
    above, name = os.path.split(path)
    at = os.open(above, _SEARCH_ONLY)
    try:
        shutil.rmtree(name, dir_fd=at)
    finally:
        os.close(at)


def write_all(handle: int, data: bytes) -> None:
    """Write every byte of ``data``. Raises OSError."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(handle, rest) :]


_USERS = hasattr(os, "geteuid")


def is_regular_and_ours(found: os.stat_result) -> bool:
    """Whether this is a regular file of this user with one name. Somebody else's file, or one of this package's that got a second
    name here, may hold anything."""
    return stat.S_ISREG(found.st_mode) and found.st_uid == _me(found) and found.st_nlink <= 1


def is_by_us_or_root(found: os.stat_result) -> bool:
    """Whether a folder belongs to this user or to root."""
    return found.st_uid in (0, _me(found))


def _me(found: os.stat_result) -> int:
    """The user id of this process; on a system without users, the owner of the file."""
    return effective_user.number() if _USERS else found.st_uid


def is_root(name: str) -> bool:
    """Whether a folder of this name is the first that is ours in a path: ``.pysubtask``, or the hash of a watched folder
    whose state is kept elsewhere."""
    return name == STATE_FOLDER or (len(name) == 20 and _HASH_SIGNS.issuperset(name))


_HASH_SIGNS = frozenset("0123456789abcdef")


def _split(path: str) -> tuple[str, list[str]]:
    """The path up to the first part that is ours, and the parts from there on: without a state folder in it, the last one."""
    parts = path.rstrip(os.sep).split(os.sep)
    at = next((index for index in range(len(parts) - 1, 0, -1) if is_root(parts[index])), None)
    if at is None:
        return os.sep.join(parts[:-1]) or (os.sep if path.startswith(os.sep) else os.curdir), parts[-1:]
    return os.sep.join(parts[:at]) or os.sep, [part for part in parts[at:] if part]


def _make_part(part: str, handle: int) -> bool:
    try:
        os.mkdir(part, 0o700, dir_fd=handle)
    except FileExistsError:
        return False
    return True


def _open_part(part: str, handle: int, path: str, flags: int = _FOLDER) -> int:
    try:
        return os.open(part, flags | _SAFE, dir_fd=handle)
    except OSError as exc:
        if exc.errno in (errno.ELOOP, errno.ENOTDIR, errno.EMLINK):
            raise NotOurs(path, f"has {part!r} in it, which is a link or no folder") from exc
        raise


def _check_folder(handle: int, path: str, any_owner: bool) -> None:
    if any_owner:
        return
    found = os.fstat(handle)
    if found.st_uid != effective_user.number():
        raise NotOurs(path, "belongs to another user")
    if found.st_mode & _OTHERS_WRITE:
        # Ours, with the mode of a umask or of an earlier version. A file system without modes keeps the one it has.
        with contextlib.suppress(OSError):
            os.fchmod(handle, stat.S_IMODE(found.st_mode) & ~0o077)


def _open(folder: str, name: str, flags: int, at: int) -> int:
    try:
        if at < 0:
            return os.open(os.path.join(folder, name), flags | _SAFE | _BINARY, 0o600)
        return os.open(name, flags | _SAFE | _BINARY, 0o600, dir_fd=at)
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
        if ours and found.st_uid != _me(found) and not (or_root and found.st_uid == 0):
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
