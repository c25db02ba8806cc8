"""What a disk may hold after the power went: a recorded run of file calls, cut anywhere, without what was not synced.

The rules are those a program may rely on, and no more (fsync(2), rename(2)): the bytes of a file are safe once the file was
synced, its name once the folder was; of what was not, each write may be there or not, by itself, and of a folder's changes
any beginning. A new folder is safe with the first sync of anything in it (ext4, XFS and btrfs do that).

Recorded by strace(1), below everything that a library does, so that SQLite's own writes are seen: no library is replaced, the
kernel needs no module, and no file system is put in between.
"""

from __future__ import annotations

import os
import random
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import NamedTuple

CALLS = (
    "openat,open,creat,write,pwrite64,writev,pwritev,fsync,fdatasync,rename,renameat,renameat2,unlink,unlinkat,ftruncate,"
    "mkdir,mkdirat,link,linkat,copy_file_range,sendfile,lseek"
)
_LINE = re.compile(r"^(?:\d+ +)?(\w+)\((.*)\) += (-?\d+)(?:<[^>]*>)?(?: .*)?$")
_TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"(\.\.\.)?')
# A name, with the folder it is relative to where the call has one: 7</a/folder>, "name".
_NAME = re.compile(r'(?:(?:AT_FDCWD|\d+)(?:<((?:\\x[0-9a-f]{2})*)>)?, )?"((?:\\x[0-9a-f]{2})*)"')
_FD = re.compile(r"^(\d+)<((?:\\x[0-9a-f]{2})*)>")


class Op(NamedTuple):
    """One change. ``what``: make, write, cut (to a size), sync, rename, unlink, mkdir or link; ``path`` is whose. ``offset``:
    where a write begins, or the size of a cut; ``data``: what is written; ``other``: the new name of a rename or a link."""

    what: str
    path: str
    offset: int = 0
    data: bytes = b""
    other: str = ""


class _Inode:
    """The bytes of a file: ``safe`` ones, and what was done to them since."""

    def __init__(self, content: bytes = b"") -> None:
        self.safe = content
        self.since: list[Op] = []

    def now(self) -> bytes:
        return _applied(self.safe, self.since)


class Disk:
    """Files below ``root`` as they are, and as they would be found after a power cut. Everything below ``elsewhere`` is another
    machine's, and what is written to the files of ``synced`` is safe at once."""

    def __init__(self, root: str, *elsewhere: str, synced: Collection[str] = ()) -> None:
        self._root = root
        self._synced = synced
        self._elsewhere = tuple(os.path.join(folder, "") for folder in elsewhere)
        self._folders: dict[str, dict[str, _Inode | None]] = {}
        self._changes: dict[str, list[Callable[[dict[str, _Inode | None]], None]]] = {}
        for folder, subfolders, names in os.walk(root):
            entries: dict[str, _Inode | None] = dict.fromkeys(subfolders)
            for name in names:
                with open(os.path.join(folder, name), "rb") as file:
                    entries[name] = _Inode(file.read())
            self._folders[folder] = entries
            self._changes[folder] = []
        self._now = {folder: dict(entries) for folder, entries in self._folders.items()}

    def do(self, op: Op) -> None:
        """Carry a change out."""
        folder, name = os.path.split(op.path)
        if op.what == "sync":
            self._sync(op.path)
        elif op.what == "mkdir":
            self._now[op.path], self._folders[op.path], self._changes[op.path] = {}, {}, []
            self._entry(folder, name, None)
        elif op.what == "make":
            self._entry(folder, name, _Inode())
        elif op.what in ("write", "cut"):
            inode = self._now[folder][name]
            assert inode is not None
            inode.since.append(op)
            if op.path.startswith(self._elsewhere) or op.path in self._synced:
                inode.safe, inode.since = inode.now(), []
        elif op.what == "unlink":
            self._change(folder, lambda entries: entries.pop(name, None))
        else:
            other, new = os.path.split(op.other)
            inode = self._now[folder][name]
            self._entry(other, new, inode)
            if op.what == "rename":
                self._change(folder, lambda entries: entries.pop(name, None))

    def has(self, path: str) -> bool:
        """Whether a file has this path now."""
        folder, name = os.path.split(path)
        return name in self._now.get(folder, {})

    def found(self, target: str, chance: random.Random | None) -> None:
        """Write what would be found below ``target``: of the unsafe nothing, or what ``chance`` leaves of it."""
        for folder in self._folders:
            entries = dict(self._folders[folder])
            changes = self._changes[folder]
            for change in changes[: chance.randint(0, len(changes)) if chance else 0]:
                change(entries)
            place = os.path.normpath(os.path.join(target, os.path.relpath(folder, self._root)))
            os.makedirs(place, exist_ok=True)
            for name, inode in entries.items():
                if inode is None:
                    os.makedirs(os.path.join(place, name), exist_ok=True)
                    continue
                kept = [op for op in inode.since if chance and chance.random() < 0.5]
                with open(os.path.join(place, name), "wb") as file:
                    file.write(_applied(inode.safe, kept))

    def _entry(self, folder: str, name: str, inode: _Inode | None) -> None:
        self._change(folder, lambda entries: entries.__setitem__(name, inode))

    def _change(self, folder: str, change: Callable[[dict[str, _Inode | None]], object]) -> None:
        change(self._now[folder])
        if (folder + os.sep).startswith(self._elsewhere):
            change(self._folders[folder])
        else:
            self._changes[folder].append(change)  # type: ignore[arg-type]

    def _sync(self, path: str) -> None:
        if path in self._folders:
            for change in self._changes[path]:
                change(self._folders[path])
            self._changes[path] = []
            top = path
        else:
            folder, name = os.path.split(path)
            inode = self._now[folder].get(name)
            if inode is not None:
                inode.safe, inode.since = inode.now(), []
            top = folder
        while top != self._root:
            top, name = os.path.split(top)
            self._folders[top].setdefault(name, None)


def _applied(content: bytes, changes: Iterable[Op]) -> bytes:
    data = bytearray(content)
    for op in changes:
        if op.what == "cut":
            del data[op.offset :]
            data.extend(bytes(op.offset - len(data)))
        else:
            data.extend(bytes(max(0, op.offset - len(data))))
            data[op.offset : op.offset + len(op.data)] = op.data
    return bytes(data)


class _Open:
    """A descriptor: its file, where the next write goes."""

    def __init__(self, path: str, append: bool) -> None:
        self.path = path
        self.append = append
        self.at = 0


class Recording:
    """Turns strace's lines into changes below ``root``; ``disk`` is kept in step, for copies within the kernel."""

    def __init__(self, disk: Disk, root: str) -> None:
        self._disk = disk
        self._root = os.path.join(root, "")
        self._open: dict[int, _Open] = {}

    def ops(self, lines: Iterable[str]) -> Iterator[Op]:
        """The changes, one after the other; the caller does each on the disk before it asks for the next. ValueError for a
        line that should have been understood."""
        for line in lines:
            found = _LINE.match(line.rstrip("\n"))
            if found is None:
                if "unfinished" in line or "resumed" in line:
                    raise ValueError(f"two threads at once: {line[:200]!r}")
                continue
            call, args, result = found[1], found[2], int(found[3])
            if result >= 0:
                yield from self._op(call, args, result)

    def _op(self, call: str, args: str, result: int) -> Iterator[Op]:
        if call in ("openat", "open", "creat"):
            yield from self._opened(_names(args)[0], args, result)
        elif call in ("rename", "renameat", "renameat2", "link", "linkat"):
            old, new = _names(args)[:2]
            if self._is_ours(old):
                yield Op("rename" if call.startswith("rename") else "link", old, other=new)
        elif call in ("unlink", "unlinkat", "mkdir", "mkdirat"):
            name = _names(args)[0]
            if self._is_ours(name):
                yield Op(call.removesuffix("at"), name)
        else:
            texts = [_unescaped(text) for text, _ in _TEXT.findall(args)]
            yield from self._on_descriptor(call, args, texts, result)

    def _opened(self, path: str, args: str, fd: int) -> Iterator[Op]:
        self._open.pop(fd, None)
        if not self._is_ours(path):
            return
        self._open[fd] = _Open(path, "O_APPEND" in args)
        if "O_CREAT" in args and not self._disk.has(path):
            yield Op("make", path)
        elif "O_TRUNC" in args:
            yield Op("cut", path, 0)

    def _on_descriptor(self, call: str, args: str, texts: list[bytes], result: int) -> Iterator[Op]:
        given = _FD.match(args)
        opened = self._open.get(int(given[1])) if given else None
        if call in ("copy_file_range", "sendfile"):
            raise ValueError(f"{call} is not understood here; have the child copy by itself")
        if given is None or opened is None or not self._is_ours(opened.path):
            return
        # The file may have been renamed since: strace tells its present name.
        opened.path = os.fsdecode(_unescaped(given[2]))
        if call in ("fsync", "fdatasync"):
            yield Op("sync", opened.path)
        elif call == "ftruncate":
            yield Op("cut", opened.path, int(args.rsplit(",", 1)[1]))
        elif call == "lseek":
            opened.at = result
        elif self._disk.has(opened.path):  # else it has lost its name, and no later life can open it
            data = b"".join(texts)[:result]
            if call.startswith("pwrite"):
                yield Op("write", opened.path, int(args.rsplit(",", 1)[1]), data)
                return
            at = _size(self._disk, opened.path) if opened.append else opened.at
            yield Op("write", opened.path, at, data)
            opened.at = at + len(data)

    def _is_ours(self, path: str) -> bool:
        return path.startswith(self._root)


def _size(disk: Disk, path: str) -> int:
    folder, name = os.path.split(path)
    inode = disk._now[folder][name]
    return len(inode.now()) if inode is not None else 0


def _names(args: str) -> list[str]:
    """The paths in a call's arguments, absolute where strace tells which folder they are relative to."""
    return [os.path.join(os.fsdecode(_unescaped(folder)), os.fsdecode(_unescaped(name))) for folder, name in _NAME.findall(args)]


def _unescaped(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))
