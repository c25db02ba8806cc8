"""Folders and files of a watched path, opened part by part: what is opened is what was watched, whoever renames things meanwhile.

A path says where something was a moment ago. Somebody who may write one of its folders can put a link in the place of the next
part between a look and the opening. Here each part is opened relative to the one before it, by descriptor, and a link is followed
by us and not by the system. A link of this user or of root is followed anywhere; one of somebody else only to what its owner may
read (or write, where something is to be made there) himself.

Linux only (``O_PATH``); elsewhere the same names are opened by path.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from typing import NamedTuple

BY_PARTS = os.open in os.supports_dir_fd and hasattr(os, "O_PATH") and hasattr(os, "geteuid")
_PATH = getattr(os, "O_PATH", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
_FOLDER = _PATH | getattr(os, "O_DIRECTORY", 0)
_READ = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0) | getattr(os, "O_NOFOLLOW", 0)
_MOST_LINKS = 40  # as the kernel


class LeadsAway(OSError):
    """A link leads where its owner has no business, or out of a folder that may not be left."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(errno.ELOOP, problem, path)
        self.problem = problem


class _Walked(NamedTuple):
    """``handle``: the last folder (``O_PATH``). ``way``: how the folders that were passed look.
    ``owners``: those of the links on the way that are neither this user's nor root's."""

    handle: int
    way: list[os.stat_result]
    owners: set[int]


class Place(NamedTuple):
    """Where a folder really is: ``path`` has no links. ``owners``: of the links on the way to it, but for this user and root."""

    path: str
    owners: frozenset[int] = frozenset()


@contextlib.contextmanager
def to_write(path: str) -> Iterator[int | None]:
    """The descriptor of the folder of ``path``, to make a file in it; None where there is no such thing. LeadsAway for a link
    that is not followed, other kinds of OSError where it is not there or not reached."""
    if not BY_PARTS:
        yield None
        return
    handle = _folder_to_write(os.path.dirname(path) or ".")
    try:
        yield handle
    finally:
        os.close(handle)


_MOST_KNOWN = 1000
_known: dict[str, tuple[int, int]] = {}
"""Device and inode number of the folder that a path led to when it was gone by parts: an app touches one a thousand times a second.
No descriptor is kept, for that would hold a mounted disk."""


def _folder_to_write(path: str) -> int:
    if path in _known:
        handle = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        found = os.fstat(handle)
        if _known.get(path) == (found.st_dev, found.st_ino):
            return handle
        os.close(handle)
    walked = _walk(path, True)
    try:
        found = os.fstat(walked.handle)
        for owner in walked.owners:
            if not (_has(owner, found, 2) and all(_has(owner, look, 1) for look in walked.way)):
                raise LeadsAway(path, "a link of another user leads there, and he may not write there himself")
    except BaseException:
        os.close(walked.handle)
        raise
    if os.path.isabs(path):
        if len(_known) >= _MOST_KNOWN:
            _known.clear()
        _known[path] = (found.st_dev, found.st_ino)
    return walked.handle


def place_of(path: str) -> Place:
    """Where a folder really is now. OSError."""
    if not BY_PARTS:
        return Place(os.path.realpath(path))
    walked = _walk(path, True)
    try:
        owners = frozenset(walked.owners)
        for owner in owners:
            if not all(_has(owner, look, 1) for look in walked.way):
                raise LeadsAway(path, "a link of another user leads there, and he may not go there himself")
        try:
            return Place(os.readlink(f"/proc/self/fd/{walked.handle}"), owners)
        except OSError:
            return Place(real_path(path), owners)  # without /proc: whoever goes there by parts finds out
    finally:
        os.close(walked.handle)


def real_path(path: str) -> str:
    """As os.path.realpath, which fails where a link is swapped under it; then the path itself."""
    try:
        return os.path.realpath(path)
    except OSError:
        return os.path.abspath(path)


def open_inside(path: str, within: Place) -> int:
    """The regular file ``path``, opened for reading, in the folder ``within``, on whose path no link is; it may be a link to
    another file there. LeadsAway, other kinds of OSError. The caller closes it."""
    name = os.path.basename(path)
    try:
        walked = _walk(within.path, False)
    except LeadsAway as exc:
        raise LeadsAway(path, f"leads out of its folder: {within.path} {exc.problem}") from exc
    try:
        for _ in range(_MOST_LINKS):
            look = os.stat(name, dir_fd=walked.handle, follow_symlinks=False)
            if not stat.S_ISLNK(look.st_mode):
                return _open_file(name, walked, look, path, set(within.owners))
            target = os.path.join(within.path, os.readlink(name, dir_fd=walked.handle))
            real = os.path.join(real_path(os.path.dirname(target)), os.path.basename(target))
            if os.path.dirname(real) != within.path:
                raise LeadsAway(path, f"leads out of {within.path}")
            name = os.path.basename(real)
    finally:
        os.close(walked.handle)
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)


def open_named(path: str) -> int:
    """The regular file ``path``, opened for reading. It may be a link: one of this user or of root, or one of the owner of its
    folder to what he may read. LeadsAway, other kinds of OSError. The caller closes it."""
    target, owners = path, set[int]()
    for turn in range(_MOST_LINKS):
        above, name = os.path.split(target)
        walked = _walk(above, True)
        try:
            owners |= walked.owners
            look = os.stat(name or ".", dir_fd=walked.handle, follow_symlinks=False)
            if not stat.S_ISLNK(look.st_mode):
                return _open_file(name or ".", walked, look, path, owners)
            if look.st_uid not in _trusted():
                if turn == 0 and look.st_uid != os.fstat(walked.handle).st_uid:
                    raise LeadsAway(path, "is a link of another user")
                owners.add(look.st_uid)
            target = os.path.join(above, os.readlink(name, dir_fd=walked.handle))
        finally:
            os.close(walked.handle)
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)


def _open_file(name: str, at: _Walked, look: os.stat_result, path: str, owners: set[int]) -> int:
    """A file right in a folder; ``owners``: of the links that led there. Root sends only what the owner of the folder may read or
    has from root."""
    handle = _open_regular(name, at.handle, look)
    try:
        found, home = os.fstat(handle), os.fstat(at.handle)
        if not all(_may_read(owner, found, at.way) for owner in owners):
            raise LeadsAway(path, "is reached by a link of another user, who may not read it himself")
        # A second name of a file of root may have been made by anybody.
        from_root = found.st_uid == 0 and found.st_nlink <= 1
        if os.geteuid() == 0 and not from_root and not _may_read(home.st_uid, found, []):
            raise LeadsAway(path, "may not be read by the owner of its folder, and root sends no such file")
    except BaseException:
        os.close(handle)
        raise
    return handle


class NotRegular(OSError):
    """It is a folder, or no regular file."""

    def __init__(self, found: os.stat_result) -> None:
        code = errno.EISDIR if stat.S_ISDIR(found.st_mode) else errno.ENXIO
        super().__init__(code, os.strerror(code))


def _open_regular(name: str, at: int, look: os.stat_result) -> int:
    if not stat.S_ISREG(look.st_mode):  # opening a device may do something
        raise NotRegular(look)
    handle = os.open(name, _READ, dir_fd=at)
    try:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            raise NotRegular(found)
    except BaseException:
        os.close(handle)
        raise
    return handle


def _walk(path: str, links: bool) -> _Walked:
    """Go to a folder. Each link is read and gone by its parts in turn."""
    rest = [part for part in path.split(os.sep) if part and part != "."][::-1]
    handle = os.open(os.sep if os.path.isabs(path) else ".", _FOLDER)
    followed, owners = 0, set[int]()
    way: list[os.stat_result] = []
    try:
        while rest:
            part = rest.pop()
            try:
                deeper = os.open(part, _FOLDER, dir_fd=handle)
            except NotADirectoryError:
                look = os.stat(part, dir_fd=handle, follow_symlinks=False)
                if not stat.S_ISLNK(look.st_mode):
                    raise
                followed += 1
                if not links or followed > _MOST_LINKS:
                    raise LeadsAway(path, f"has {part!r} in it, which is a link") from None
                if look.st_uid not in _trusted():
                    owners.add(look.st_uid)
                text = os.readlink(part, dir_fd=handle)
                rest += [step for step in text.split(os.sep) if step and step != "."][::-1]
                if not os.path.isabs(text):
                    continue
                deeper = os.open(os.sep, _FOLDER)
            way.append(os.fstat(deeper))
            os.close(handle)
            handle = deeper
    except BaseException:
        os.close(handle)
        raise
    return _Walked(handle, way, owners)


def _trusted() -> set[int]:
    return {0, os.geteuid()}


def _may_read(uid: int, found: os.stat_result, way: list[os.stat_result]) -> bool:
    """Whether a user may read a file, by the modes of it and of the folders on the ``way``."""
    return _has(uid, found, 4) and all(_has(uid, look, 1) for look in way)


def _has(uid: int, found: os.stat_result, right: int) -> bool:
    """Whether a user has a right (4 to read, 2 to write, 1 to search)."""
    if uid == 0:
        return True
    if found.st_uid == uid:
        # The owner may give himself what he lacks.
        return True
    return bool(found.st_mode & (right << 3 if found.st_gid in _groups(uid) else right))


def _groups(uid: int) -> set[int]:
    import pwd

    try:
        user = pwd.getpwuid(uid)
        return set(os.getgrouplist(user.pw_name, user.pw_gid))
    except KeyError:
        return set()
