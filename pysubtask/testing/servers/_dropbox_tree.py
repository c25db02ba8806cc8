"""The files of the account: a real directory tree, with what Dropbox tells about each of them."""

from __future__ import annotations

import errno
import itertools
import os
import secrets
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple

from ._dropbox_answers import RouteError
from ._dropbox_hash import BlockHash

_NAME_CHARS = 255
_FIRST_REV = 0x5F3C000000000
_DISALLOWED = frozenset({"desktop.ini", "thumbs.db", ".ds_store", "icon\r", ".dropbox", ".dropbox.attr"})
_READ_BYTES = 1024 * 1024


class Commit(NamedTuple):
    """What Dropbox calls CommitInfo. ``path``: where the file goes. ``mode``: "add", "overwrite" or "update". ``rev``: that of
    mode "update". ``modified``: seconds since the epoch. ``strict``: strict_conflict, a file of the same content is a conflict,
    too."""

    path: str
    mode: str = "add"
    rev: str = ""
    modified: int | None = None
    strict: bool = False


@dataclass
class _Metadata:
    """The metadata of a path, valid as long as its ``stamp`` is that of the file on disk."""

    id: str
    stamp: tuple[int, ...] = ()
    rev: str = ""
    hash: str = ""
    modified: int = 0
    changed: int = 0


def path_fault(path: str) -> str | None:
    """The tag of the error of a path that begins with "/"; None where it has none."""
    parts = path.split("/")[1:]
    try:
        path.encode()
    except UnicodeEncodeError:
        return "malformed_path"
    if any(not part or part in (".", "..") or "\\" in part or "\0" in part or len(part) > _NAME_CHARS for part in parts):
        return "malformed_path"
    if any(part.endswith(" ") or part.lower() in _DISALLOWED for part in parts):
        return "disallowed_name"
    return None


def decide(info: Commit, there: tuple[str, str] | None, content_hash: str) -> Literal["write", "keep", "conflict"]:
    """What a commit does to the file that is there, given by its rev and content hash (None: no such file).

    Dropbox API reference, files/upload, ``mode`` and ``strict_conflict``: content that is there already is no conflict
    and changes nothing, unless the caller is strict; a strict update of a file that is gone is a conflict.
    """
    if info.mode == "overwrite":
        return "write"
    if there is None:
        return "conflict" if info.mode == "update" and info.strict else "write"
    if info.mode == "update" and info.rev == there[0]:
        return "write"
    if not info.strict and content_hash == there[1]:
        return "keep"
    return "conflict"


def write_refusal(exc: OSError) -> str | None:
    """The tag of WriteError for an error of the disk; None where the error is a defect of this server."""
    if exc.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.EXDEV):  # the last: a folder that is elsewhere, as /proc
        return "no_write_permission"
    if exc.errno in (errno.ENOSPC, errno.EDQUOT):
        return "insufficient_space"
    return "malformed_path" if exc.errno == errno.ENAMETOOLONG else None


class Tree:
    """The files below ``folder``. Safe for threads. ``total``: bytes that there is room for, None for no limit."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.total: int | None = None
        self._lock = threading.RLock()
        self._known: dict[str, _Metadata] = {}
        self._revs = itertools.count(_FIRST_REV)

    def used(self) -> int:
        """Bytes of all files."""
        return sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())

    def metadata(self, path: str) -> dict[str, Any]:
        """Metadata of a file or folder, with its tag; RouteError not_found, malformed_path (LookupError)."""
        with self._lock:
            return self._describe(self._lookup(path))

    def listing(self, path: str, recursive: bool) -> list[dict[str, Any]]:
        """Metadata of all that is in a folder ("": the root); RouteError not_found, not_folder, malformed_path."""
        with self._lock:
            place = self._lookup(path) if path else self.folder
            if not place.is_dir():
                raise RouteError("not_folder")
            return list(self._inside(place, recursive))

    def open(self, path: str) -> tuple[dict[str, Any], BinaryIO]:
        """Metadata of a file and the file; RouteError not_found, not_file, malformed_path."""
        with self._lock:
            place = self._lookup(path)
            if place.is_dir():
                raise RouteError("not_file")
            return self._describe(place), open(place, "rb")

    def commit(self, info: Commit, source: Path, content: BlockHash) -> dict[str, Any]:
        """Make ``source`` the file of this path, whole and at once; its metadata. RouteError (WriteError)."""
        with self._lock:
            place, choice = self._choice(info, content.hexdigest(), content.size)
            if choice == "write":
                now = int(datetime.now(UTC).timestamp())
                modified = now if info.modified is None else info.modified
                _on_disk(lambda: _put(source, place, modified))
                self._learn(place, content.hexdigest(), modified, now)
            return self._describe(place)

    def make_folder(self, path: str) -> dict[str, Any]:
        """A new folder with its parents; its metadata. RouteError (WriteError)."""
        with self._lock:
            place = self._target(path)
            if os.path.lexists(place):
                raise RouteError("conflict/folder" if place.is_dir() else "conflict/file")
            _on_disk(lambda: place.mkdir(parents=True))
            return self._describe(place)

    def remove(self, path: str, rev: str | None) -> dict[str, Any]:
        """Delete a file, or a folder with all that is in it; what it was.

        RouteError path_lookup/..., path_write/conflict/file where the rev is another.
        """
        with self._lock:
            try:
                place = self._lookup(path)
            except RouteError as exc:
                raise exc.under("path_lookup") from None
            gone = self._describe(place)
            if rev is not None and gone.get("rev") != rev:
                raise RouteError("path_write/conflict/file")
            try:
                _on_disk(lambda: shutil.rmtree(place) if place.is_dir() else place.unlink())
            except RouteError as exc:
                raise exc.under("path_write") from None
            return gone

    def _choice(self, info: Commit, content_hash: str, size: int) -> tuple[Path, Literal["write", "keep"]]:
        place = self._target(info.path)
        there = None
        room = size
        if os.path.lexists(place):
            if place.is_dir():
                raise RouteError("conflict/folder")
            known = self._current_record(place)
            there = (known.rev, known.hash)
            room -= place.stat().st_size
        choice = decide(info, there, content_hash)
        if choice == "conflict":
            raise RouteError("conflict/file")
        if choice == "write" and self.total is not None and self.used() + room > self.total:
            raise RouteError("insufficient_space")
        return place, choice

    def _target(self, path: str) -> Path:
        """Where a path that is to be written lies on disk."""
        fault = path_fault(path)
        if fault:
            raise RouteError(fault)
        place, missing = self._walk(path)
        if missing and not place.is_dir():
            raise RouteError("conflict/file_ancestor")
        parent = place if missing else place.parent
        if not parent.stat().st_mode & 0o222:
            raise RouteError("no_write_permission")  # a user who may write everything would not notice
        return place.joinpath(*missing)

    def _lookup(self, path: str) -> Path:
        if path.startswith("id:"):
            path = next(("/" + lower for lower, known in self._known.items() if known.id == path), "/" + path)
        path = "/" + "/".join(filter(None, path.split("/")))  # repeated slashes are accepted where nothing is created
        if path_fault(path) == "malformed_path":
            raise RouteError("malformed_path")
        place, missing = self._walk(path)
        if missing:
            raise RouteError("not_found")
        return place

    def _walk(self, path: str) -> tuple[Path, list[str]]:
        """The part of a path that is there, as it is spelled there, and the rest."""
        place = self.folder
        parts = path.split("/")[1:]
        for count, part in enumerate(parts):
            found = _entry(place, part)
            if found is None:
                return place, parts[count:]
            place = found
        return place, []

    def _inside(self, place: Path, recursive: bool) -> Iterator[dict[str, Any]]:
        for child in sorted(place.iterdir()):
            if child.is_dir() or child.is_file():
                yield self._describe(child)
            if recursive and child.is_dir():
                yield from self._inside(child, recursive)

    def _describe(self, place: Path) -> dict[str, Any]:
        path = "/" + place.relative_to(self.folder).as_posix()
        names = {"name": place.name, "path_lower": path.lower(), "path_display": path}
        if place.is_dir():
            return {".tag": "folder", **names, "id": self._entry_of(place).id}
        known = self._current_record(place)
        return {
            ".tag": "file",
            **names,
            "id": known.id,
            "client_modified": _timestamp(known.modified),
            "server_modified": _timestamp(known.changed),
            "rev": known.rev,
            "size": known.stamp[1],
            "is_downloadable": True,
            "content_hash": known.hash,
        }

    def _entry_of(self, place: Path) -> _Metadata:
        lower = place.relative_to(self.folder).as_posix().lower()
        return self._known.setdefault(lower, _Metadata("id:" + secrets.token_urlsafe(16)))

    def _current_record(self, place: Path) -> _Metadata:
        """The metadata of a file; it is computed again where another program has changed the file."""
        known = self._entry_of(place)
        if known.stamp != _stamp(place):
            content = BlockHash()
            with open(place, "rb") as file:
                while piece := file.read(_READ_BYTES):
                    content.update(piece)
            self._learn(place, content.hexdigest(), int(place.stat().st_mtime), int(datetime.now(UTC).timestamp()))
        return known

    def _learn(self, place: Path, content_hash: str, modified: int, changed: int) -> None:
        known = self._entry_of(place)
        known.stamp, known.rev, known.hash = _stamp(place), f"{next(self._revs):016x}", content_hash
        known.modified, known.changed = modified, changed


def _entry(folder: Path, name: str) -> Path | None:
    """The entry of a folder with this name, whatever the case of its letters; the very spelling first."""
    if not folder.is_dir():
        return None
    exact = folder / name
    try:
        if os.path.lexists(exact):
            return exact
    except ValueError:
        return None
    lower = name.lower()
    return next((folder / other for other in os.listdir(folder) if other.lower() == lower), None)


def _stamp(place: Path) -> tuple[int, ...]:
    found = place.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _timestamp(secs: int) -> str:
    return datetime.fromtimestamp(secs, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _put(source: Path, place: Path, modified: int) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    os.utime(source, (modified, modified))
    os.replace(source, place)


def _on_disk(act: Callable[[], object]) -> None:
    try:
        act()
    except OSError as exc:
        tag = write_refusal(exc)
        if tag is None:
            raise
        raise RouteError(tag) from exc
