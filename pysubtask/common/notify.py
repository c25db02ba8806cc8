"""Notify files: how an app, or any other program, reports that a data file has changed.

``<data>.notify`` is an empty file beside the data. A change of its modification time is a notify.
A *stamp* tells one notify from the next. ``<data>.hold`` marks data that a burst holds back, until the time it carries,
``<name>.heartbeat`` is a sign of life. None of them is data.
"""

import contextlib
import errno
import os
import time
from typing import NamedTuple

NOTIFY = ".notify"
HOLD = ".hold"
HEARTBEAT = ".heartbeat"
PART = ".part"

_SIGNALS = (NOTIFY, HOLD, HEARTBEAT)
_OURS = (*_SIGNALS, PART)
# Never waits on a fifo, never follows a link that another user put in the place of a notify file.
_FLAGS = (
    os.O_CREAT
    | os.O_WRONLY
    | getattr(os, "O_BINARY", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_NOFOLLOW", 0)
)
_BY_HANDLE = os.utime in os.supports_fd


class Stamp(NamedTuple):
    """What tells one state of a file from another: ``mtime_ns`` nanoseconds since the epoch, ``size`` bytes, ``inode``."""

    mtime_ns: int
    size: int
    inode: int


def notify_name(path: str) -> str:
    """The notify file of a data file."""
    return path + NOTIFY


def hold_name(path: str) -> str:
    """The hold file of a data file."""
    return path + HOLD


def data_name(path: str) -> str:
    """The data file a ``.notify``, ``.hold`` or ``.heartbeat`` file is about: the name without that one ending.

    A name without such an ending comes back as it is.
    """
    return path.rpartition(".")[0] if path.endswith(_SIGNALS) else path


def is_signal_file(name: str) -> bool:
    """Whether a file (name or path) is a signal or a temporary of this package (``.<anything>.part``), hence no data."""
    if not name.endswith(_OURS):
        return False
    return not name.endswith(PART) or name.rpartition(os.sep)[2].startswith(".")


def read_stamp(path: str) -> Stamp | None:
    """The stamp of any file (links are followed), or None where there is none.

    Raises OSError when that is not known (no access to the folder, a failing disk).
    """
    found = stat_of(path)
    return None if found is None else Stamp(found.st_mtime_ns, found.st_size, found.st_ino)


def stat_of(path: str) -> os.stat_result | None:
    """What ``os.stat`` says of a file, or None where there is none. OSError as for :func:`read_stamp`."""
    try:
        return os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as exc:
        if exc.errno in (errno.ENAMETOOLONG, errno.ELOOP):
            return None
        raise


def make_notify(path: str) -> bool:
    """Make an empty notify file at ``path`` unless something is there already; whether it was made.

    A file that is there keeps its stamp, so that two children that meet a new file do not notify each other.
    Raises OSError where the folder cannot be written.
    """
    try:
        handle = _open(path, _FLAGS | os.O_EXCL)
    except FileExistsError:
        return False
    os.close(handle)
    return True


def write_hold(path: str, due_ns: int) -> None:
    """Make or renew the hold file ``path``: its time is when it is due, nanoseconds since the epoch. Raises OSError."""
    handle = _open(path, _FLAGS)
    try:
        if _BY_HANDLE:
            os.utime(handle, ns=(due_ns, due_ns))
    finally:
        os.close(handle)
    if not _BY_HANDLE:
        os.utime(path, ns=(due_ns, due_ns))


def remove_signal(path: str) -> None:
    """Remove a signal file, in the folder that is meant (see ``_open``). Raises OSError."""
    from . import beneath

    with beneath.to_write(path) as at:
        os.unlink(path if at is None else os.path.basename(path), dir_fd=at)


def replace_signal(path: str, text: str) -> None:
    """Put ``text`` (ASCII) into a signal file in one step, in the folder that is meant. Raises OSError."""
    from . import beneath

    folder, name = os.path.split(path)
    # Other users may write the folder, so the name is random and the file must be new.
    part = f".{name}.{os.urandom(8).hex()}{PART}"
    with beneath.to_write(path) as at:
        new, old = (part, name) if at is not None else (os.path.join(folder, part), path)
        try:
            with os.fdopen(os.open(new, _FLAGS | os.O_EXCL, 0o666, dir_fd=at), "w", encoding="ascii") as file:
                file.write(text)
            os.replace(new, old, src_dir_fd=at, dst_dir_fd=at)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(new, dir_fd=at)
            raise


def _open(path: str, flags: int) -> int:
    """A signal file, opened by descriptors: another user may replace its folder by a link to a folder of this user."""
    from . import beneath  # an app that only imports us does not pay for it

    at = beneath.open_to_write(path)
    if at is None:
        return os.open(path, flags, 0o666)
    try:
        return os.open(path.rpartition(os.sep)[2], flags, 0o666, dir_fd=at)
    finally:
        os.close(at)


class Toucher:
    """Touches notify files with strictly rising nanoseconds, so that no two touches of one program look the same."""

    __slots__ = ("_last",)

    def __init__(self) -> None:
        self._last = 0

    def touch(self, path: str) -> int:
        """Make ``path`` if it is missing and set its times; gives the nanoseconds set. Raises OSError.

        The file is opened for writing and closed, because that close is what wakes a child; a bare
        change of the times is not seen by it. On another user's file the system sets its own time.
        """
        moment = time.time_ns()
        if moment <= self._last:
            moment = self._last + 1
        self._last = moment
        handle = _open(path, _FLAGS)
        try:
            if _BY_HANDLE:
                try:
                    os.utime(handle, ns=(moment, moment))
                except PermissionError:
                    os.utime(handle)
        finally:
            os.close(handle)
        if not _BY_HANDLE:
            os.utime(path, ns=(moment, moment))
        return moment
