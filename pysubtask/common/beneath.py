"""Folders and files of a watched path, opened part by part: renaming a folder meanwhile never leads to another file than the one
that is watched.

A path is only valid for the moment of its check: a user who may write one of its folders can replace the next part by a link
between the check and the opening. Here each part is opened relative to the part before it, by descriptor, and links are read and
followed by this module and not by the system. A link of this user or of root is followed anywhere; a link of another user only to
what its owner may read himself (or write, where something is to be created there).

Linux only (``O_PATH``); elsewhere the same names are opened by path.
"""

import contextlib
import errno
import os
import stat
import sys
import time
from collections.abc import Iterator

from . import effective_user
from .paths import folder_of

BY_PARTS = os.open in os.supports_dir_fd and hasattr(os, "O_PATH") and hasattr(os, "geteuid")
_PATH = getattr(os, "O_PATH", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
_FOLDER = _PATH | getattr(os, "O_DIRECTORY", 0)
_LISTED = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0)
MOST_LINKS = 40  # as the kernel


class LeadsAway(OSError):
    """A link leads where its owner has no business, or out of a folder that may not be left."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(errno.ELOOP, problem, path)
        self.problem = problem


@contextlib.contextmanager
def to_write(path: str) -> Iterator[int | None]:
    """The descriptor of the folder of ``path``, to make a file in it; None where there is no such thing. LeadsAway for a link
    that is not followed, other kinds of OSError where it is not there or not reached."""
    handle = open_to_write(path)
    try:
        yield handle
    finally:
        if handle is not None:
            os.close(handle)


def open_to_write(path: str) -> int | None:
    """As :func:`to_write`; the caller closes what it gives."""
    found = found_to_write(path)
    return None if found is None else found[0]


def found_to_write(path: str, *, to_sync: bool = False) -> tuple[int, os.stat_result] | None:
    """The same, with the stat of the folder. ``to_sync``: where this user may list the folder, the descriptor is mostly one that
    can be synced."""
    return _folder_to_write(folder_of(path) or ".", to_sync) if BY_PARTS else None


def make_folders(path: str, mode: int = 0o777) -> None:
    """Make a folder and those above it that are missing, each in the folder that is meant. OSError."""
    missing = []
    while not os.path.isdir(path or "."):
        missing.append(path)
        path = os.path.dirname(path)
    for part in reversed(missing):
        with to_write(part) as at:
            try:
                os.mkdir(part if at is None else os.path.basename(part), mode, dir_fd=at)
            except FileExistsError:
                if not os.path.isdir(part):
                    raise


_MOST_KNOWN = 1000  # folders; then all are forgotten, which costs one walk each
_KNOWN_SECS = 1.0  # an inode number may be used again: see below
_known: dict[tuple[str, str], tuple[int, int, float]] = {}
"""Device and inode number of the folder that a path led to when it was gone by parts, for one purpose, and until when that counts:
an app touches a file a thousand times a second, and a child copies as many. No descriptor is kept, for that would hold a mounted
disk; an inode number may come again, so it counts for a moment only."""


def known(path: str, purpose: str, *, to_sync: bool = False) -> tuple[int, os.stat_result] | None:
    """The descriptor of the folder ``path``, and how it looks, if that leads to the very one it led to a moment ago; ``to_sync``:
    see :func:`found_to_write`. OSError."""
    before = _known.get((path, purpose))
    if before is None or before[2] < time.monotonic():
        return None
    try:
        handle = os.open(path, _LISTED if to_sync else _FOLDER & ~getattr(os, "O_NOFOLLOW", 0))
    except PermissionError:
        if not to_sync:
            raise
        return known(path, purpose)  # who may not list a folder may search it
    found = os.fstat(handle)
    if (found.st_dev, found.st_ino) == before[:2]:
        return handle, found
    os.close(handle)
    return None


def remember(path: str, purpose: str, found: os.stat_result) -> None:
    """The folder ``path`` was gone to by parts, and is this one."""
    if os.path.isabs(path):
        if len(_known) >= _MOST_KNOWN:
            _known.clear()
        _known[path, purpose] = (found.st_dev, found.st_ino, time.monotonic() + _KNOWN_SECS)


def _folder_to_write(path: str, to_sync: bool) -> tuple[int, os.stat_result]:
    again = known(path, "write", to_sync=to_sync)
    if again is not None:
        return again
    handle, passed, owners = walk(path, True)
    try:
        found = os.fstat(handle)
        for owner in owners:
            if not (has_right(owner, found, 2) and may_go(owner, passed)):
                raise LeadsAway(path, "a link of another user leads there, and he may not write there himself")
    except BaseException:
        os.close(handle)
        raise
    remember(path, "write", found)
    return handle, found


def walk(path: str, links: bool) -> tuple[int, list[os.stat_result], set[int]]:
    """Open a folder part by part. With ``links`` each symbolic link on the path is read, and its target is opened part by part in
    turn. Returns the descriptor (``O_PATH``), the stat of each folder that was passed, and the owners of links that are not
    trusted (``trusted``). LeadsAway where there is a link and ``links`` is False, or there are too many; OSError where a part is
    missing."""
    rest = [part for part in path.split(os.sep) if part and part != "."][::-1]
    handle = os.open(os.sep if os.path.isabs(path) else ".", _FOLDER)
    followed, owners = 0, set[int]()
    passed: list[os.stat_result] = []
    try:
        while rest:
            part = rest.pop()
            try:
                deeper = os.open(part, _FOLDER, dir_fd=handle)
            except NotADirectoryError:
                info = os.stat(part, dir_fd=handle, follow_symlinks=False)
                if not stat.S_ISLNK(info.st_mode):
                    raise
                followed += 1
                if not links or followed > MOST_LINKS:
                    raise LeadsAway(path, f"has {part!r} in it, which is a link") from None
                if info.st_uid not in trusted():
                    owners.add(info.st_uid)
                text = os.readlink(part, dir_fd=handle)
                rest += [step for step in text.split(os.sep) if step and step != "."][::-1]
                if not os.path.isabs(text):
                    continue
                deeper = os.open(os.sep, _FOLDER)
            passed.append(os.fstat(deeper))
            os.close(handle)
            handle = deeper
    except BaseException:
        os.close(handle)
        raise
    return handle, passed, owners


def trusted() -> set[int]:
    """Those whose links are followed anywhere."""
    return {0, effective_user.number()}


def may_go(uid: int, passed: list[os.stat_result]) -> bool:
    """Whether a user may search all these folders."""
    return all(has_right(uid, info, 1) for info in passed)


def has_right(uid: int, found: os.stat_result, right: int) -> bool:
    """Whether a user has a right (4 to read, 2 to write, 1 to search)."""
    if uid == 0:
        return True
    if found.st_uid == uid:
        # The owner may give himself what he lacks.
        return True
    return bool(found.st_mode & (right << 3 if found.st_gid in _groups(uid) else right))


def _groups(uid: int) -> set[int]:
    if sys.platform == "win32":
        return set()
    import pwd

    try:
        user = pwd.getpwuid(uid)
        return set(os.getgrouplist(user.pw_name, user.pw_gid))
    except KeyError:
        return set()
