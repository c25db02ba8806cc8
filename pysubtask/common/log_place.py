"""Log files: opened by the parts of their path, and only where the file is a log of this user.

The default is ``./logs``, and the working folder may be one that others write. A link of this user or of root is followed, a link
of another user never; what is opened must be a regular file of this user (or one that root put into a folder of root's) with one
name. New files have mode 0640, new folders 0750.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Iterator

from . import beneath, effective_user, own_files, own_folders

_FLAGS = (
    os.O_WRONLY
    | os.O_APPEND
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_NOCTTY", 0)
)
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)
_BLOCK = 1024 * 1024  # bytes of one read of a copy
_STREAMS = ("/dev/null", "/dev/stdout", "/dev/stderr", "/dev/fd/", "/proc/self/fd/")
"""The system's own names for what is open already; nobody can put anything else there."""


def open_log(path: str) -> int:
    """A descriptor to write at the end of the log ``path`` (absolute), made with its folders where missing; the caller closes it.
    Raises OSError; LeadsAway where a link of somebody else leads there, NotOurs where it is no file of this package."""
    if not beneath.BY_PARTS or path.startswith(_STREAMS):
        os.makedirs(os.path.dirname(path), 0o750, exist_ok=True)
        return os.open(path, _FLAGS | os.O_CREAT, 0o640)
    for _ in range(beneath.MOST_LINKS):
        name = os.path.basename(path)
        with _folder(os.path.dirname(path), make=True) as at:
            target = _link(name, path, at)
            if target is None:
                return _open(name, path, at)
            path = os.path.join(os.path.dirname(path), target)
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)


def put_aside(path: str, keep: int) -> None:
    """Rename a log to ``path.1``, that one to ``path.2``, up to ``keep``. Raises OSError."""
    with _folder(os.path.dirname(path)) as at:
        name = path if at is None else os.path.basename(path)
        # Only up to the first gap: a process that was killed in between has left one, and nothing is pushed out for it.
        last = next((number for number in range(1, keep) if not _is_there(f"{name}.{number}", at)), keep)
        for number in range(last, 1, -1):
            os.replace(f"{name}.{number - 1}", f"{name}.{number}", src_dir_fd=at, dst_dir_fd=at)
        os.replace(name, f"{name}.1", src_dir_fd=at, dst_dir_fd=at)


@contextlib.contextmanager
def _folder(path: str, *, make: bool = False) -> Iterator[int | None]:
    """The descriptor of a folder (``O_PATH``); None on a system without."""
    if not beneath.BY_PARTS:
        yield None
        return
    handle = _walked(path, make)
    try:
        yield handle
    finally:
        os.close(handle)


def _walked(path: str, make: bool) -> int:
    try:
        handle, _, owners = beneath.walk(path, True)
    except FileNotFoundError:
        if not make:
            raise
        above, name = os.path.split(path.rstrip(os.sep))
        if not name:
            raise
        with _folder(above, make=True) as at, contextlib.suppress(FileExistsError):
            os.mkdir(name, 0o750, dir_fd=at)
        handle, _, owners = beneath.walk(path, True)
    if owners:
        os.close(handle)
        raise beneath.LeadsAway(path, "a link of another user leads there, and no log is written where that leads")
    return handle


def _link(name: str, path: str, at: int | None) -> str | None:
    """Where the log's name leads; None where it is no link."""
    try:
        info = os.stat(name, dir_fd=at, follow_symlinks=False)
    except FileNotFoundError:
        return None
    if not stat.S_ISLNK(info.st_mode):
        return None
    if info.st_uid not in beneath.trusted():
        raise beneath.LeadsAway(path, "it is a link of another user, and no log is written where that leads")
    return os.readlink(name, dir_fd=at)


def _open(name: str, path: str, at: int | None) -> int:
    try:
        handle = os.open(name, _FLAGS | os.O_CREAT | _NO_LINK, 0o640, dir_fd=at)
    except OSError as exc:
        if exc.errno in (errno.ENXIO, errno.ELOOP):
            raise own_folders.NotOurs(path, "is no regular file") from exc
        raise
    try:
        found = os.fstat(handle)
        if stat.S_ISCHR(found.st_mode) and _is_the_systems(at):
            return handle
        if not stat.S_ISREG(found.st_mode):
            raise own_folders.NotOurs(path, "is no regular file")
        # One that root has made for this user to write counts, where nobody else can have put it there.
        if found.st_uid != effective_user.now() and not (found.st_uid == 0 and _is_the_systems(at)):
            raise own_folders.NotOurs(path, "belongs to another user")
        if found.st_nlink <= 1:
            return handle
        own = _copied(name, path, at, stat.S_IMODE(found.st_mode))
    except BaseException:
        os.close(handle)
        raise
    os.close(handle)
    return own


def _is_the_systems(at: int | None) -> bool:
    """Whether nobody but root puts anything into a folder, as with ``/dev``."""
    found = os.fstat(at) if at is not None else None
    return found is not None and found.st_uid == 0 and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _copied(name: str, path: str, at: int | None, mode: int) -> int:
    """The log with a second name (of a backup made of links, or of somebody's making) becomes a file of its own."""
    temp = f".{name}.{os.urandom(8).hex()}.part"
    with os.fdopen(
        os.open(name, os.O_RDONLY | getattr(os, "O_BINARY", 0) | _NO_LINK | getattr(os, "O_CLOEXEC", 0), dir_fd=at), "rb"
    ) as old:
        handle = os.open(temp, _FLAGS | os.O_CREAT | os.O_EXCL, mode & 0o666, dir_fd=at)
        try:
            while block := old.read(_BLOCK):
                own_files.write_all(handle, block)
            os.rename(temp, name, src_dir_fd=at, dst_dir_fd=at)
            if os.fstat(handle).st_nlink > 1:
                raise own_folders.NotOurs(path, "has a second name")
        except BaseException:
            os.close(handle)
            with contextlib.suppress(OSError):
                os.unlink(temp, dir_fd=at)
            raise
    return handle


def _is_there(name: str, at: int | None) -> bool:
    try:
        os.stat(name, dir_fd=at, follow_symlinks=False)
    except OSError:
        return False
    return True
