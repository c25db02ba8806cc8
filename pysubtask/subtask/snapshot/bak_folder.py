"""The folder of the snapshots. Its files are opened relative to a descriptor of the folder that was checked."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
import threading
from collections.abc import Container, Iterator, Sequence

from ...common import beneath, effective_user, own_folders
from ...common.own_folders import NotOurs, OpenFolder
from ...common.paths import name_of
from ...common.place import existing
from ...common.trust import doubt_about

_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_SYNC = os.O_WRONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
_FOLDER = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0)


class BakFolder:
    """The folder ``path`` (absolute). Every path given to a method must be that of a file right in it. All methods raise OSError,
    and NotOurs where the folder belongs to a user other than this one and root."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._in_it = os.path.join(path, "")
        self._cut = len(self._in_it)
        self._here = threading.local()

    @contextlib.contextmanager
    def kept_open(self) -> Iterator[None]:
        """Within this context this thread opens and checks the folder once. Keep it short, as an open folder keeps its disk from
        being unmounted."""
        try:
            opened = self._opened(to_sync=True)
        except OSError:
            opened = OpenFolder(None, kept=True)  # the first method that needs the folder raises the error
        with opened as at:
            self._here.at = at
            try:
                yield
            finally:
                self._here.at = None

    def _opened(self, *, to_sync: bool = False) -> OpenFolder[int | None]:
        kept = getattr(self._here, "at", None)
        if kept is not None:
            return OpenFolder(kept, kept=True)
        found = beneath.found_to_write(self._in_it, to_sync=to_sync)
        if found is None:
            return OpenFolder(None, kept=True)
        try:
            self._check(*found)
        except BaseException:
            os.close(found[0])
            raise
        return OpenFolder(found[0], kept=False)

    def _check(self, at: int, found: os.stat_result) -> None:
        if not own_folders.is_by_us_or_root(found):
            raise NotOurs(self.path, "belongs to another user")
        if sys.platform != "win32" and found.st_mode & _OTHERS_WRITE and found.st_uid == effective_user.number():
            # The mode comes from a umask or an earlier version. A file system without modes keeps its own, and so does an
            # administrator.
            with contextlib.suppress(OSError), _listed(at) as handle:
                os.fchmod(handle, stat.S_IMODE(found.st_mode) & ~0o077)

    def open(self, path: str, flags: int) -> int:
        """Open a file in the folder; a new file is private."""
        kept = getattr(self._here, "at", None)
        if kept is None:
            with self._opened() as at:
                return os.open(self._name(path, at), flags, 0o600, dir_fd=at)
        try:
            return os.open(path[self._cut :], flags, 0o600, dir_fd=kept)
        except FileNotFoundError:
            # The folder may have been removed while it was kept open, and created again since.
            self._here.at = None
            raise

    def publish(self, names: list[tuple[str, str]], synced: Container[str] = (), continued: Sequence[str] = ()) -> None:
        """Sync files, without those that are ``synced`` already (by the name they are renamed from), then rename them (from, to),
        then sync the folder, so that all outlast a power cut. ``continued``: files to be synced that keep their names; where there
        is nothing else the folder is not synced."""
        with self._opened() as at:
            named = [(self._name(old, at), self._name(new, at)) for old, new in names]
            unsynced = [*continued, *(old for old, _ in names if old not in synced)]
            for old in (self._name(old, at) for old in unsynced):
                handle = os.open(old, _SYNC, dir_fd=at)
                try:
                    os.fsync(handle)
                finally:
                    os.close(handle)
            for old, new in named:
                os.rename(old, new, src_dir_fd=at, dst_dir_fd=at)
            if named or not continued:
                _sync(at, self.path)

    def names(self) -> list[str]:
        """The names in the folder."""
        with self._opened() as at:
            if at is None:
                return os.listdir(self.path)
            with _listed(at) as handle:
                return os.listdir(handle)

    def remove(self, *paths: str) -> None:
        """Remove files; a file that cannot be removed now is left to the next sweep."""
        with contextlib.suppress(OSError), self._opened() as at:
            for path in paths:
                with contextlib.suppress(OSError):
                    os.unlink(self._name(path, at), dir_fd=at)

    def remove_empty(self) -> None:
        """Remove the folder if it is empty; OSError where it is not."""
        with beneath.to_write(self.path) as at:
            os.rmdir(self.path if at is None else name_of(self.path), dir_fd=at)

    def _name(self, path: str, at: int | None) -> str:
        return path if at is None else path[self._cut :]


def is_hidden(setting: str) -> bool:
    """Whether BakToFolder is a hidden folder in the first one, as the default of a config file is."""
    return setting.startswith(".") and setting[1:2] not in ("", ".", "/")


def sweep_former(first: str, setting: str | None, now: str | None, tag: str, keep: Container[str]) -> None:
    """Remove the snapshots that an earlier version kept in a visible folder, and that folder once it is empty.

    ``setting``: BakToFolder, hidden where it is the default; ``now``: the present folder of the snapshots; ``tag`` begins the
    names of snapshots of this task, ``keep`` are the ones that still wait.
    """
    if setting is None or not is_hidden(setting):
        return
    former = os.path.normpath(os.path.join(first, setting[1:]))
    if former in (now, first) or not os.path.isdir(former):
        return
    with contextlib.suppress(OSError):  # files that cannot be removed stay, and so do the user's own files
        bak = BakFolder(former)
        bak.remove(
            *(
                path
                for name in bak.names()
                if name.startswith((f"{tag}-", f".{tag}-")) and (path := os.path.join(former, name)) not in keep
            )
        )
        bak.remove_empty()
        above = os.path.dirname(former)
        if above.startswith(os.path.join(first, "")):
            BakFolder(above).remove_empty()


def warning_about(path: str) -> str:
    """The warning about a folder that BakToFolder names, '' where all is well. No other user can read or change a snapshot that
    is sent from there, but a user who may replace the folder can keep all files from being sent."""
    try:
        doubt = doubt_about(existing(os.path.dirname(path)), ours_below=True)
    except OSError:
        return ""
    if doubt is None:
        return ""
    return (
        f"Copies are kept in [{path}], and {doubt}: others can keep files from being sent. Leave BakToFolder as it is by "
        "default, and they are kept with the state, or name a folder that is this user's alone."
    )


def _sync(at: int | None, path: str) -> None:
    """Sync a folder itself, by a descriptor that may not allow it."""
    if at is not None:
        try:
            os.fsync(at)
            return
        except OSError as exc:
            if exc.errno != errno.EBADF:
                raise
    if sys.platform == "win32":
        return  # there is no such call: its file systems write names down by themselves, in order
    with _listed(at, path) as handle:
        os.fsync(handle)


@contextlib.contextmanager
def _listed(at: int | None, path: str = ".") -> Iterator[int]:
    handle = os.open("." if at is not None else path, _FOLDER, dir_fd=at)
    try:
        yield handle
    finally:
        os.close(handle)
