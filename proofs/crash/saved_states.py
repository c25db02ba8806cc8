"""Saves the states that a station has before the steps of a child, and brings one of them back."""

from __future__ import annotations

import hashlib
import os
import shutil
from typing import NamedTuple

_APP_FILES = ("a.csv", "a.csv.notify")
"""The files of the app in the folder ``data``: the child knows them by their inodes, so they are moved where others are copied."""


class SavedState(NamedTuple):
    """A state that a station had before each step from ``begin`` to before ``end``, counted from 1; its copy is at ``path``."""

    path: str
    begin: int
    end: int


class StateSaver:
    """Saves the folder ``root`` in ``place`` before each step before which it is not as it was before the last one."""

    def __init__(self, root: str, place: str) -> None:
        self._root = root
        self._place = place
        self._content = b""
        self._path = ""

    def before(self, step: int) -> None:
        """Save the present state, where it is a new one. ``step``: the number of the step that comes next."""
        content = _content(self._root)
        if content != self._content:
            self._content, self._path = content, os.path.join(self._place, f"{step}-{step + 1}")
            copy_tree(self._root, self._path)
            return
        begin = os.path.basename(self._path).partition("-")[0]
        longer = os.path.join(self._place, f"{begin}-{step + 1}")
        os.rename(self._path, longer)
        self._path = longer


def saved_in(place: str) -> list[SavedState]:
    """What a saver has left in ``place``, in the order of the steps."""
    states = []
    for name in os.listdir(place):
        begin, _, end = name.partition("-")
        states.append(SavedState(os.path.join(place, name), int(begin), int(end)))
    return sorted(states, key=lambda state: state.begin)


def restore(state: SavedState, root: str) -> None:
    """Make the folder ``root`` what it was in ``state``. The app's files are those that ``root`` has, where they are unchanged."""
    data, aside = os.path.join(root, "data"), root + "-app"
    os.makedirs(aside, exist_ok=True)
    for name in _APP_FILES:
        if os.path.exists(os.path.join(data, name)):
            os.replace(os.path.join(data, name), os.path.join(aside, name))
    copy_tree(state.path, root)
    folder = os.stat(data)
    for name in _APP_FILES:
        copy, original = os.path.join(data, name), os.path.join(aside, name)
        if os.path.exists(copy) and os.path.exists(original) and _version(copy) == _version(original):
            os.replace(original, copy)
    os.utime(data, ns=(folder.st_atime_ns, folder.st_mtime_ns))


def copy_tree(origin: str, target: str) -> None:
    """Make ``target`` a copy of the folder ``origin``, whatever it was."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(origin, target, symlinks=True, copy_function=shutil.copy2)


def _version(path: str) -> tuple[int, int]:
    stat = os.stat(path)
    return stat.st_size, stat.st_mtime_ns


def _content(root: str) -> bytes:
    """A digest of all that is below ``root``: names, modes, times and bytes. SQLite's shared memory is made again by each life."""
    digest = hashlib.blake2b(digest_size=16)
    for folder, folders, names in os.walk(root):
        folders.sort()
        digest.update(os.fsencode(folder) + b"\n")
        for name in sorted(names):
            path = os.path.join(folder, name)
            if name.endswith("-shm"):
                continue
            stat = os.lstat(path)
            digest.update(f"{name}\n{stat.st_mode} {stat.st_size} {stat.st_mtime_ns}\n".encode(errors="surrogateescape"))
            if os.path.isfile(path):
                with open(path, "rb") as file:
                    digest.update(file.read())
    return digest.digest()
