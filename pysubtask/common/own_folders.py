"""The folders this package keeps for itself: walked part by part, without following links, and refused where they are not ours.

The state folder of a task lies in the data folder by default, and a data folder may be writable by others. A path in it is
therefore not trusted: somebody may have put a link or another folder in the place of the real one. A folder is opened part by
part, from ``.pysubtask`` on, and each part must belong to this user and be writable by nobody else. ``own_files`` opens the files
in such a folder.

Where the system has no such calls (Windows) the same names are opened by path.
"""

import contextlib
import errno
import os
import stat
import sys
from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

from . import effective_user

STATE_FOLDER = ".pysubtask"
"""The folder in the first data folder that holds the state of its tasks."""
PASSABLE = 0o710
"""The mode of a folder of this package that a group may pass, without seeing what is in it."""
LISTED = 0o750
"""The mode of a folder of this package that a group may list."""
BY_DESCRIPTOR = os.open in os.supports_dir_fd and hasattr(os, "geteuid")
_FOLDER = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0)
_SEARCH_ONLY = getattr(os, "O_PATH", os.O_RDONLY) | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0)
"""Of the folder above ours, and of another user's: to search it is enough."""
NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0) | getattr(os, "O_CLOEXEC", 0)
"""Flags of every open: no link is followed, no pipe is waited for, no terminal is taken."""
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_USERS = hasattr(os, "geteuid")


class NotOurs(PermissionError):
    """A file or folder in the place of one of this package's belongs to somebody else, or is no such file. Nothing of it was read
    or changed. A person has to check who may write the data folder."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(errno.EPERM, f"it {problem}", path)
        self.problem = problem


H = TypeVar("H", bound=int | None)


class OpenFolder(Generic[H]):
    """A descriptor (-1 or None: there is none) for the time of a ``with``; closed at its end unless it is ``kept``."""

    def __init__(self, handle: H, *, kept: bool) -> None:
        self.handle, self.kept = handle, kept

    def __enter__(self) -> H:
        return self.handle

    def __exit__(self, *_: object) -> None:
        if not self.kept and self.handle is not None:
            os.close(self.handle)


def opened_folder(path: str, *, any_owner: bool = False, named: os.stat_result | None = None) -> OpenFolder[int]:
    """The descriptor of a folder of this package (``path`` is absolute); NotOurs where a part of it is not ours, other kinds of
    OSError where it is not there or cannot be opened.

    ``any_owner``: a folder of another user is opened too, to show what is in it; nothing in it may be obeyed. ``named``: what the
    path led to a moment ago, where the caller has just read it. On a system without descriptors of folders the value is -1.
    """
    if not BY_DESCRIPTOR:
        return OpenFolder(-1, kept=True)
    kept = None if any_owner else _kept_folder(path, named)
    if kept is not None:
        return OpenFolder(kept, kept=True)
    handle = _walk(path, any_owner)
    if any_owner or len(_kept) >= _MOST_KEPT:
        return OpenFolder(handle, kept=False)
    found = os.fstat(handle)
    return OpenFolder(handle, kept=_kept.setdefault(path, _Kept(handle, found.st_dev, found.st_ino)).handle == handle)


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
            if created and sys.platform != "win32":
                os.fchmod(handle, 0o700)  # a umask may have taken away even our own rights
    finally:
        os.close(handle)


def share_folder(path: str, group: int, mode: int = PASSABLE) -> None:
    """Let a group pass a folder of this package, and those above it from ``.pysubtask`` on; ``mode`` is that of the last one.
    Raises as :func:`opened_folder`, PermissionError where this user is not in the group."""
    _set_group(path, lambda last: (group, mode if last else PASSABLE))


def unshare_folder(path: str) -> None:
    """A folder of this package is this user's alone again; those above it stay as they are. Raises as :func:`opened_folder`."""
    _set_group(path, lambda last: (-1, 0o700) if last else None)


def _set_group(path: str, choose: Callable[[bool], tuple[int, int] | None]) -> None:
    """``choose``: the group (-1: as it is) and mode of a folder; whether it is the last one is given. None leaves it alone."""
    if sys.platform == "win32" or not BY_DESCRIPTOR:
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


def is_by_us(found: os.stat_result) -> bool:
    """Whether a file or folder belongs to this user; on a system without users, always."""
    return not _USERS or found.st_uid == effective_user.number()


def is_by_us_or_root(found: os.stat_result) -> bool:
    """Whether a folder belongs to this user or to root."""
    return found.st_uid == 0 or is_by_us(found)


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
        return os.open(part, flags | NO_FOLLOW, dir_fd=handle)
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
    if found.st_mode & _OTHERS_WRITE and sys.platform != "win32":
        # Ours, with the mode of a umask or of an earlier version. A file system without modes keeps the one it has.
        with contextlib.suppress(OSError):
            os.fchmod(handle, stat.S_IMODE(found.st_mode) & ~0o077)
