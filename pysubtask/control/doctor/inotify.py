"""Checks of inotify(7): whether the kernel lets this user watch as many folders as there are."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable

from ...common import advice
from ...common.entries import Entry
from .bbr import Read, read
from .finding import SKIP, Finding, ok, warn
from .watch_paths import watched

_MAX_WATCHES = "/proc/sys/fs/inotify/max_user_watches"
_MAX_INSTANCES = "/proc/sys/fs/inotify/max_user_instances"
_ENOUGH_WATCHES, _ENOUGH_INSTANCES = 1024, 16  # below these a warning comes even for few folders
_MOST_FOLDERS = 20_000
_COUNT_SECS = 3.0


def check(entries: Iterable[Entry], read: Read = read) -> list[Finding]:
    """Whether the kernel allows as many watched folders as there are. Without inotify files are still found, later."""
    if sys.platform != "linux":
        return []
    watches, instances = _number(read(_MAX_WATCHES)), _number(read(_MAX_INSTANCES))
    if watches is None or instances is None:
        return [Finding("inotify", SKIP, "the kernel does not tell its limits")]
    folders = count_folders(entries)
    found = []
    if watches < max(folders, _ENOUGH_WATCHES):
        enough = max(65536, 2 * folders)
        found.append(
            warn(
                "inotify",
                "inotify-watches",
                f"{folders:,} folders to watch, and the kernel gives this user {watches:,} "
                "watches in all: files would be found by looking, which is later",
                commands=[advice.set_kernel("fs.inotify.max_user_watches", enough)],
            )
        )
    if instances < _ENOUGH_INSTANCES:
        found.append(
            warn(
                "inotify",
                "inotify-instances",
                f"the kernel gives this user {instances} inotify instances in all",
                commands=[advice.set_kernel("fs.inotify.max_user_instances", 128)],
            )
        )
    return found or [ok("inotify", f"{folders:,} folder{'s' * (folders != 1)} to watch, {watches:,} allowed")]


def count_folders(entries: Iterable[Entry]) -> int:
    """How many folders the entries cover, with those below recursive ones. The count stops at ``_MOST_FOLDERS``, and after
    ``_COUNT_SECS``."""
    end = time.monotonic() + _COUNT_SECS
    found = set()
    for entry in entries:
        found.add(watched(entry))
        if entry.recursive:
            for folder, _, _ in os.walk(entry.path):
                found.add(folder)
                if len(found) >= _MOST_FOLDERS or time.monotonic() > end:
                    return len(found)
    return len(found)


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.strip().isdigit() else None
