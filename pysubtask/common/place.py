"""Whether a watched folder may be used: it is there, and its disk is mounted. Nothing is made or changed here."""

from __future__ import annotations

import os
import sys

_MOUNTS = "/proc/self/mountinfo"
UNKNOWN_DISK = 0
"""A device that is none: the folder waits for a disk that was never seen there."""


def device_of(folder: str) -> int | None:
    """The device that a folder is on, as it may be remembered: None where there is no folder, and where the number says nothing
    of a disk after the next boot (st_dev of major 0: network, memory, overlays; proc(5))."""
    try:
        found = os.stat(folder).st_dev
    except OSError:
        return None
    return found if hasattr(os, "major") and os.major(found) else None


def why_not(folder: str, state_dir: str, *, mount: str | None = None, device: int | None = None, mounts: str = _MOUNTS) -> str:
    """Why a folder cannot be used now, '' where it can.

    ``state_dir``: where its task keeps its state. ``mount``: a folder that must have a disk mounted on it, if the folder lies in
    that one. ``device``: the one that the folder was on when its task last ran. An empty mount point is a folder like any other:
    it is recognised by that its files (its state, or where that is kept elsewhere, all of them) and their disk are both gone.
    """
    if mount is not None and is_in(folder, mount):
        if not os.path.ismount(mount):
            return f"{mount} is not mounted (RequiresMount)"
    elif device is not None and _is_bare(folder, state_dir) and _is_elsewhere(folder, device, mounts):
        if device == UNKNOWN_DISK:
            return f"{folder} waits for its disk to be mounted"
        return f"{folder} is not mounted: its files were on another device"
    if os.path.isdir(folder):
        return ""
    there = existing(folder)
    return f"there is no folder {folder}{near(folder)}" if os.path.isdir(there) else f"{there} is a file"


def _is_bare(folder: str, state_dir: str) -> bool:
    """Whether the files of the folder are missing: its state, or where that is kept elsewhere, all of its files."""
    if is_in(state_dir, folder):
        return not os.path.lexists(state_dir)
    try:
        return not os.listdir(folder)
    except OSError:
        return True


def existing(path: str) -> str:
    """This path, or the nearest above it that is there."""
    while not os.path.exists(path) and os.path.dirname(path) != path:
        path = os.path.dirname(path)
    return path


def is_in(path: str, folder: str) -> bool:
    """Whether a path is this folder or lies in it."""
    return f"{path}{os.sep}".startswith(os.path.join(folder, ""))


def near(folder: str) -> str:
    """What a missing folder may have been meant to be, as a hint; '' where nothing is like it."""
    from .config import nearest

    above, name = os.path.split(folder)
    try:
        with os.scandir(above or ".") as items:
            names = [item.name for item in items if item.is_dir() and not item.name.startswith(".")][:1000]
    except OSError:
        return ""
    longer = [other for other in names if other.lower().startswith(name.lower())]
    meant = longer[0] if len(longer) == 1 else nearest(name, names)
    return f" (is {meant!r} meant?)" if meant else ""


def _is_elsewhere(folder: str, device: int, mounts: str) -> bool:
    """Whether a folder, or what there is above it, is on another disk than ``device``, and that one is not there at all."""
    if os.path.ismount(folder):
        return False  # another disk is mounted here: that was meant
    try:
        return os.stat(existing(folder)).st_dev != device and device not in _mounted(mounts)
    except OSError:
        return False


def _mounted(table: str) -> set[int]:
    """The devices of all file systems that are mounted (proc(5), mountinfo, field 3); none where the system does not tell."""
    found: set[int] = set()
    if sys.platform == "win32":
        return found
    try:
        with open(table, encoding="ascii", errors="surrogateescape") as lines:
            for line in lines:
                major, _, minor = line.split(" ")[2].partition(":")
                found.add(os.makedev(int(major), int(minor)))
    except (OSError, ValueError, IndexError):
        return set()
    return found


def real_path(path: str) -> str:
    """As os.path.realpath, which fails where a link is swapped under it; then the path itself."""
    try:
        return os.path.realpath(path)
    except OSError:
        return os.path.abspath(path)
