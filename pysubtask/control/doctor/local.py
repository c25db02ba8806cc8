"""This machine: what is watched, where it is kept until it is delivered, the limits of the kernel, programs and versions."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from importlib import metadata
from typing import Any

from ... import __version__
from ...common.entries import Entry
from ...common.program import for_others
from .bbr import Read, read
from .finding import NOTE, SKIP, Finding, fail, ok, shell_word, size, warn
from .source import Target

_MAX_WATCHES = "/proc/sys/fs/inotify/max_user_watches"
_MAX_INSTANCES = "/proc/sys/fs/inotify/max_user_instances"
_ENOUGH_WATCHES, _ENOUGH_INSTANCES = 1024, 16
_FIRST_YEAR = 2024
_MOST_FOLDERS = 20_000
_LOOK_SECS = 3.0
_LIBRARIES = ("asyncssh", "dropbox", "pysftp", "pyfastcdc")


def look(targets: Iterable[Target], *, read: Read = read, wall: Callable[[], float] = time.time,
         disk: Callable[[str], Any] = shutil.disk_usage) -> list[Finding]:
    """Everything local, of all destinations. ``read``: files of /proc; ``disk``: as shutil.disk_usage."""
    targets = list(targets)
    found = [versions()]
    if time.gmtime(wall()).tm_year < _FIRST_YEAR:
        found.append(warn("this clock", "clock-not-set", f"it says {time.strftime('%Y-%m-%d', time.gmtime(wall()))}",
                          commands=["sudo timedatectl set-ntp true"],
                          words="Certificates look not yet valid, and files get wrong times."))
    entries = next((target.entries for target in targets if target.entries is not None), None)
    if entries is None:
        found.append(Finding("watch paths", SKIP, "the config names none: they are the app's own"))
    else:
        for entry in entries:
            found.append(watch_path(entry))
        found += inotify(entries, read)
    for target in targets:
        found += [state_folder(target), *free_disk(target, disk)]
    return list(dict.fromkeys(found))


def versions() -> Finding:
    """Of everything that may matter in a report."""
    words = [f"pysubtask {__version__}", f"Python {platform.python_version()}", f"{platform.system()} {platform.release()}"]
    ssh = shutil.which("ssh")
    if ssh is not None:
        try:
            said = subprocess.run([ssh, "-V"], stdin=subprocess.DEVNULL, capture_output=True, timeout=5, check=False,
                                  env=for_others())
            words.append(said.stderr.decode("utf-8", "replace").split(",")[0].strip())
        except (OSError, subprocess.TimeoutExpired):
            words.append("ssh does not start")
    for name in _LIBRARIES:
        try:
            words.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            continue
    return ok("versions", ", ".join(words))


def watch_path(entry: Entry) -> Finding:
    """Whether what is to be watched is there and can be read."""
    path = entry.path
    folder = path if entry.kind == "dir" else os.path.dirname(path)
    if not os.path.isdir(folder):
        what = "it is a file" if os.path.exists(folder) else "there is no such folder"
        return fail("watch path", "watch-path-missing", f"{folder}: {what}", commands=[f"mkdir -p {shell_word(folder)}"],
                    words="Or mend the path in the watch entries: a relative one begins where the app is started.")
    if not os.access(folder, os.R_OK | os.X_OK) or (os.path.exists(path) and not os.access(path, os.R_OK)):
        return fail("watch path", "watch-path-unreadable", f"{path}: this user may not read it",
                    commands=[f"ls -ld {shell_word(path)}"],
                    words="Run pysubtask as the user who writes the files, or let this one read them.")
    if not os.access(folder, os.W_OK):
        return fail("watch path", "watch-path-readonly", f"{folder}: this user may not write there, and notifies are small "
                                                         f"files beside "
                    "the data", commands=[f"sudo chgrp $(id -gn) {shell_word(folder)} && sudo chmod g+w {shell_word(folder)}"])
    if entry.kind == "file" and not os.path.exists(path):
        return Finding("watch path", NOTE, f"{path} is not there yet")
    return ok("watch path", path)


def state_folder(target: Target) -> Finding:
    """Whether the queue can be kept where it belongs: it, or the nearest folder above it that is there."""
    where, found = target.state_dir, target.state_dir
    while not os.path.exists(found) and os.path.dirname(found) != found:
        found = os.path.dirname(found)
    if not os.path.isdir(found):
        return fail("state folder", "state-folder", f"{where}: {found} is a file", commands=[f"mv {shell_word(found)} "
            f"{shell_word(found)}.old"])
    problem = _cannot_write(found)
    if problem:
        return fail("state folder", "state-folder", f"{where} cannot be written: {problem}",
                    commands=[f"sudo chown -R $(id -un) {shell_word(found)}"],
                    words="The first watch entry's folder keeps the queue: it must be writable and have room.")
    return ok("state folder", where)


def _cannot_write(folder: str) -> str:
    """Why a file cannot be made in a folder; empty where it can. Tried, since access(2) knows nothing of full disks."""
    path = os.path.join(folder, f".pysubtask-doctor-{os.getpid()}")
    try:
        with open(path, "xb") as file:
            file.write(b"x")
    except OSError as exc:
        return exc.strerror or str(exc)
    finally:
        if os.path.exists(path):
            os.unlink(path)
    return ""


def free_disk(target: Target, disk: Callable[[str], Any]) -> list[Finding]:
    """Room for snapshots, where they are kept; and whether that is another file system than that of the queue."""
    folder = target.bak_dir
    if folder is None:
        return []
    while not os.path.isdir(folder) and os.path.dirname(folder) != folder:
        folder = os.path.dirname(folder)
    keep = int(target.settings.get("MinFreeBytes", 0))
    free = int(disk(folder).free)
    text = f"{size(free)} for snapshots in {target.bak_dir}"
    if free < keep:
        return [fail("free disk", "disk-low", f"{text}; MinFreeBytes wants {size(keep)} left, so nothing is copied or sent",
                     ("MinFreeBytes", max(0, free // 2)), commands=[f"du -xh {shell_word(folder)} | sort -h | tail"],
                     words="Free some space; ArchiveToFolder and the app's old files are the usual ones.")]
    if free < 4 * keep:
        return [warn("free disk", "disk-low", f"{text}: below {size(keep)} (MinFreeBytes) nothing is sent any more",
                     commands=[f"du -xh {shell_word(folder)} | sort -h | tail"])]
    return [ok("free disk", text)]


def inotify(entries: Iterable[Entry], read: Read = read) -> list[Finding]:
    """Whether the kernel allows as many watched folders as there are. Without file events everything still works, later."""
    if sys.platform != "linux":
        return []
    watches, instances = _number(read(_MAX_WATCHES)), _number(read(_MAX_INSTANCES))
    if watches is None or instances is None:
        return [Finding("inotify", SKIP, "the kernel does not tell its limits")]
    folders = count_folders(entries)
    found = []
    if watches < max(folders, _ENOUGH_WATCHES):
        wanted = max(65536, 2 * folders)
        found.append(warn("inotify", "inotify-watches", f"{folders:,} folders to watch, and the kernel gives this user {watches:,} "
                          "watches in all: files would be found by looking, which is later",
                          commands=[f"sudo sysctl -w fs.inotify.max_user_watches={wanted}"]))
    if instances < _ENOUGH_INSTANCES:
        found.append(warn("inotify", "inotify-instances", f"the kernel gives this user {instances} inotify instances in all",
                          commands=["sudo sysctl -w fs.inotify.max_user_instances=128"]))
    return found or [ok("inotify", f"{folders:,} folder{'s' * (folders != 1)} to watch, {watches:,} allowed")]


def count_folders(entries: Iterable[Entry]) -> int:
    """How many folders the entries are, with those below recursive ones; it stops at many, and after a moment."""
    end = time.monotonic() + _LOOK_SECS
    found = set()
    for entry in entries:
        found.add(entry.path if entry.kind == "dir" else os.path.dirname(entry.path))
        if entry.recursive:
            for folder, _, _ in os.walk(entry.path):
                found.add(folder)
                if len(found) >= _MOST_FOLDERS or time.monotonic() > end:
                    return len(found)
    return len(found)


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.strip().isdigit() else None
