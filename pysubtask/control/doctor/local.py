"""Checks of this machine: the watched paths, the folders of queue and snapshots, the limits of the kernel, programs and
versions."""

from __future__ import annotations

import contextlib
import errno
import os
import platform
import re
import shutil
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Container, Iterable
from importlib import metadata
from typing import Any

from ... import __version__
from ...common import advice, beneath, clock, limits
from ...common.config import is_secret
from ...common.entries import Entry
from ...common.program import for_others
from ...common.run_as import BY_RUN, stranger
from ...common.state_place import is_inside
from . import mistyped
from .bbr import Read, read
from .finding import NOTE, SKIP, Finding, fail, ok, size, warn
from .source import Target

_MAX_WATCHES = "/proc/sys/fs/inotify/max_user_watches"
_MAX_INSTANCES = "/proc/sys/fs/inotify/max_user_instances"
_ENOUGH_WATCHES, _ENOUGH_INSTANCES = 1024, 16  # below these a warning comes even for few folders
_MOST_FOLDERS = 20_000
_COUNT_SECS = 3.0
_ROOM_FOR_A_CHILD = 16  # processes and threads: a child has about ten, and ssh some
_AT_ONCE = 50  # paths in one command of a remedy
_OF_ANOTHER_USER = "made by another user (was it run with sudo once?)"
_LIBRARIES = ("asyncssh", "dropbox", "pysftp", "pyfastcdc")


def check(
    targets: Iterable[Target],
    *,
    read: Read = read,
    wall: Callable[[], float] = time.time,
    disk: Callable[[str], Any] = shutil.disk_usage,
) -> list[Finding]:
    """All local checks, for all destinations. ``read`` reads files of /proc, ``disk`` is shutil.disk_usage; tests replace both."""
    targets = list(targets)
    found = [versions()]
    wrong = clock.blame(wall())
    if wrong:
        found.append(
            warn(
                "this clock",
                "clock-not-set",
                f"{wrong}, which cannot be right",
                commands=[advice.SET_CLOCK],
                words="Certificates look not yet valid or out of date, and files get wrong times. pysubtask goes on by "
                "itself when it is right.",
            )
        )
    found += processes(read)
    known = [target.entries for target in targets if target.entries is not None]
    entries = list(dict.fromkeys(entry for some in known for entry in some))
    if any(target.remembered for target in targets):
        found.append(Finding("watch paths", SKIP, "what is watched stands in the config, which was not read", "config-not-read"))
    elif not known:
        found.append(Finding("watch paths", SKIP, "the config names none: they are the app's own"))
    else:
        named = {entry.path for entry in entries}
        found += [watch_path(entry, named) for entry in entries]
        found += inotify(entries, read)
        found += _rights(targets)
    for target in targets:
        found += [*config_file(target), state_folder(target), *free_disk(target, disk)]
    return list(dict.fromkeys(found))


def _rights(targets: Iterable[Target]) -> list[Finding]:
    """For root alone: a folder over which a run as root is refused."""
    strange = stranger(entry for target in targets if target.settings.get("RunAs") is None for entry in target.entries or ())
    if strange is None:
        return []
    return [
        warn("rights", "folder-of-another-user", f"started by root it is refused: {strange.problem}", words=strange.remedy(BY_RUN))
    ]


def config_file(target: Target) -> list[Finding]:
    """Whether other users may read a Python config with a secret in it (a TOML config is refused then). Empty where they may
    not."""
    path = target.config_file
    secrets = [value for key, value in target.settings.items() if is_secret(key) and isinstance(value, str) and value]
    if path is None or not secrets or os.name != "posix":
        return []
    try:
        mode = os.stat(path).st_mode
        with open(path, encoding="utf-8", errors="replace") as file:
            text = file.read()
    except OSError:
        return []  # the config was loaded a moment ago, so its file is not the problem
    if not mode & 0o077 or not any(secret in text for secret in secrets):
        return []
    return [
        warn(
            "config",
            "config-open",
            f"{path} has a password in it and can be read by others (mode {stat.S_IMODE(mode):04o})",
            commands=[advice.keep_private(path)],
        )
    ]


def processes(read: Read = read) -> list[Finding]:
    """Whether the system can start another thread, and ``_ROOM_FOR_A_CHILD`` more: a child needs about ten, and ssh some. Empty
    where it can."""
    try:
        one = threading.Thread(target=int, name="probe", daemon=True)
        one.start()
        one.join()
    except RuntimeError as exc:
        if not limits.is_limit(exc):
            raise
        return [no_more(read)]
    near = [one for one in limits.limits(read) if one.used is not None and one.most - one.used < _ROOM_FOR_A_CHILD]
    if near:
        return [
            warn("processes", "process-limit-near", f"soon no more of them can be started: {near[0]}", words=f"{limits.REMEDY}.")
        ]
    return []


def no_more(read: Read = read) -> Finding:
    """The system cannot start a single thread more."""
    return fail("processes", "process-limit", limits.reached(read), words=f"{limits.REMEDY}.")


def versions() -> Finding:
    """The versions of every program and library that may matter in a bug report."""
    words = [f"pysubtask {__version__}", f"Python {platform.python_version()}", f"{platform.system()} {platform.release()}"]
    ssh = shutil.which("ssh")
    if ssh is not None:
        try:
            result = subprocess.run(
                [ssh, "-V"], stdin=subprocess.DEVNULL, capture_output=True, timeout=5, check=False, env=for_others()
            )
            version = re.match(r"\S*SSH_\S+", result.stderr.decode("utf-8", "replace"))  # other output is an error message
            words.append(version[0].rstrip(",") if version else "ssh does not start")
        except (OSError, subprocess.TimeoutExpired):
            words.append("ssh does not start")
    for name in _LIBRARIES:
        try:
            words.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            continue
    return ok("versions", ", ".join(words))


def watch_path(entry: Entry, named: Container[str] = ()) -> Finding:
    """Whether the path of an entry exists and can be read. ``named``: the paths of all entries, none of which is a typing error
    for another one."""
    path = entry.path
    folder = watched(entry)
    if not os.path.isdir(folder):
        return _missing(folder)
    if not os.access(folder, os.R_OK | os.X_OK) or (os.path.exists(path) and not os.access(path, os.R_OK)):
        return fail(
            "watch path",
            "watch-path-unreadable",
            f"{path}: this user may not read it",
            commands=[advice.list_path(path)],
            words=_owner_advice(path, "read it"),
        )
    if not os.access(folder, os.W_OK):
        return fail(
            "watch path",
            "watch-path-readonly",
            f"{folder}: this user may not write there, and the queue and the notifies are files beside the data",
            commands=[advice.list_path(folder)],
            words=_owner_advice(folder, "write there"),
        )
    if entry.kind == "file" and not os.path.exists(path):
        near = mistyped.near_file(path, named)
        if near:
            return warn(
                "watch path",
                "watch-path-mistyped",
                f"{path} is not there; did you mean {near}?",
                words="Mend the name in the watch entries. Where it is right, it is sent when it comes.",
            )
        return Finding("watch path", NOTE, f"{path} is not there yet")
    return too_wide(entry) or ok("watch path", path)


def too_wide(entry: Entry) -> Finding | None:
    """A warning for an entry that watches the whole system or a home folder, which hold more than data; None for others."""
    real = os.path.realpath(entry.path)
    if entry.kind != "dir" or not (real in ("/", "/root", "/home") or os.path.dirname(real) == "/home" or real in _homes()):
        return None
    what = "the root of the system" if real == "/" else "where the homes are" if real == "/home" else "a home folder"
    return warn(
        "watch path",
        "watch-path-wide",
        f"{entry.path} is {what}: all its files are sent, but those with well-known names of secrets",
        words="Name the folders and files with your data, or say by 'include' which files count.",
    )


def _homes() -> set[str]:
    """This user's home folders, by the environment and by the password database."""
    found = {os.path.expanduser("~")}
    if os.name == "posix":
        import pwd

        with contextlib.suppress(KeyError):
            found.add(pwd.getpwuid(os.getuid()).pw_dir)
    return {os.path.realpath(home) for home in found if os.path.isabs(home)}


def watched(entry: Entry) -> str:
    """The folder that an entry watches."""
    return entry.path if entry.kind == "dir" else os.path.dirname(entry.path)


def _missing(folder: str) -> Finding:
    """A missing folder: mistyped, not mounted, or to be created."""
    if os.path.exists(folder):
        return fail("watch path", "watch-path-missing", f"{folder}: it is a file", words="Watch it as a 'file', or name a folder.")
    above, name = os.path.split(folder)
    text = f"{folder}: there is no such folder"
    relative = "a relative path begins where the app is started, or beside the config"
    if not os.path.isdir(above):
        disk = "Is its disk mounted? " if advice.is_mount_point_missing(folder) else ""
        return fail(
            "watch path",
            "watch-path-missing",
            f"{text}, nor {above}",
            words=f"{disk}Mend the path in the watch entries: {relative}.",
        )
    near = near_names(name, _folders_in(above))
    if near:
        return fail(
            "watch path",
            "watch-path-missing",
            f"{text}; did you mean {os.path.join(above, near[0])}?",
            words=f"Mend the path in the watch entries: {relative}.",
        )
    if advice.is_mount_point_missing(folder):
        return fail("watch path", "watch-path-missing", text, commands=["findmnt"], words="Is its disk mounted?")
    return fail(
        "watch path",
        "watch-path-missing",
        text,
        commands=advice.make_folder(folder),
        words=f"Make it, or mend the path in the watch entries: {relative}.",
    )


def _folders_in(folder: str) -> list[str]:
    try:
        return sorted(item.name for item in os.scandir(folder) if item.is_dir() and not item.name.startswith("."))
    except OSError:
        return []


def near_names(name: str, known: Iterable[str]) -> list[str]:
    """The known names that may have been meant, the likeliest first."""
    import difflib

    known = list(known)
    longer = [one for one in known if len(name) > 1 and one.casefold().startswith(name.casefold())]
    return list(dict.fromkeys([*difflib.get_close_matches(name, known, n=3, cutoff=0.6), *longer]))


def _owner_advice(path: str, may: str) -> str:
    """Who can help where this user lacks a right. No advice is to run as root."""
    owner = _owner(path)
    if owner == "root":
        return f"{path} is root's: watch a folder of this user, or have whoever runs this machine let this user {may}."
    return f"Run pysubtask as the user whom {path} belongs to ({owner}), or have that one let this one {may}."


def _owner(path: str) -> str:
    """The owner's name, or the number where the number has no name."""
    try:
        uid = os.stat(path).st_uid
    except OSError:
        return "its owner cannot be told"
    try:
        import pwd

        return pwd.getpwuid(uid).pw_name
    except (ImportError, KeyError):
        return f"uid {uid}"


_KEEPS_IT = "The first watch entry's folder keeps the queue."
_KEPT_ELSEWHERE = "The queue is kept there and not beside the data (StateFolder names another folder)."


def state_folder(target: Target) -> Finding:
    """Whether the queue can be kept in its folder: the folder is writable, or the nearest existing one above it is."""
    if _watched_folder_missing(target):
        return Finding("state folder", SKIP, f"{target.state_dir} belongs into a watched folder that is not there")
    where, found = target.state_dir, target.state_dir
    while not os.path.exists(found) and os.path.dirname(found) != found:
        found = os.path.dirname(found)
    if not os.path.isdir(found):
        return fail(
            "state folder",
            "state-folder",
            f"{where}: {found} is a file",
            commands=[advice.list_path(found)],
            words="The queue needs a folder there: whoever made that file has to put it elsewhere.",
        )
    problem = _cannot_write(found)
    user = None if target.settings.get("RunAs") is None else os.geteuid()
    if not problem:
        strange = _foreign_paths(where)
        if strange:
            return fail(
                "state folder",
                "state-folder",
                f"{strange[0]} belongs to another user, so nothing of it is used",
                commands=advice.give_back(strange, os.path.dirname(os.path.dirname(where)), user),
                words=f"It is pysubtask's own, {_OF_ANOTHER_USER}.",
            )
        return ok("state folder", where if is_inside(where) else f"{where}, not beside the data (StateFolder)")
    text = f"{where} cannot be written: {problem.strerror or problem}"
    if problem.errno in (errno.EROFS, errno.ENOSPC, errno.EDQUOT):
        return fail(
            "state folder",
            "state-folder",
            text,
            commands=[advice.list_disk(found)],
            words="The disk is full, or mounted read-only (a file system with errors is, too): that must be mended first.",
        )
    top = os.path.dirname(os.path.dirname(where))
    commands = _reclaim(found, top, user) if problem.errno in (errno.EACCES, errno.EPERM) else ()
    if commands:
        others = "chown" in commands[0]
        whose = _OF_ANOTHER_USER if others else "and may not be used by its owner"
        return fail("state folder", "state-folder", text, commands=commands, words=f"It is pysubtask's own folder, {whose}.")
    return fail(
        "state folder",
        "state-folder",
        text,
        commands=[advice.list_path(found)],
        words=f"{_KEEPS_IT if is_inside(where) else _KEPT_ELSEWHERE} {_owner_advice(found, 'write there')}",
    )


def _watched_folder_missing(target: Target) -> bool:
    """Whether the watched folder is missing in which queue and snapshots would be kept. The check of the watch path reports
    that."""
    return target.entries is not None and bool(target.entries) and not os.path.isdir(watched(target.entries[0]))


def _reclaim(folder: str, top: str, user: int | None) -> tuple[str, ...]:
    """The commands that make a folder of pysubtask (``top``, or one below it) writable again, with the folders of pysubtask
    above it and the files in it."""
    chain = [folder] if advice.is_ours(folder, top) else []
    while chain and advice.is_ours(os.path.dirname(chain[0]), top):
        chain.insert(0, os.path.dirname(chain[0]))
    if not chain or any(os.path.islink(path) for path in chain):
        return ()  # the target of a link is a folder of somebody else
    mine = os.getuid() if hasattr(os, "getuid") else -1
    try:
        files = sorted(item.path for item in os.scandir(folder) if item.is_file(follow_symlinks=False))
    except OSError:
        files = []
    others = [path for path in (*chain, *files) if os.lstat(path).st_uid != mine]
    return advice.give_back(others, top, user) if others else advice.open_again(folder, top)


def _foreign_paths(folder: str) -> list[str]:
    """Paths in a state folder that belong to another user, at most ``_AT_ONCE``; links are ignored. Empty for root, who may be
    examining that user's task."""
    if not hasattr(os, "geteuid") or os.geteuid() == 0:
        return []
    found = []
    for path in (os.path.join(at, name) for at, folders, files in os.walk(folder) for name in (*folders, *files)):
        with contextlib.suppress(FileNotFoundError):  # a running child removes files there
            info = os.lstat(path)
            if not stat.S_ISLNK(info.st_mode) and info.st_uid != os.geteuid():
                found.append(path)
    return found[:_AT_ONCE]


def _cannot_write(folder: str) -> OSError | None:
    """Why no file can be created in a folder; None where one can. A file is created for it, since access(2) knows nothing of
    full disks."""
    path = os.path.join(os.path.abspath(folder), f".pysubtask-doctor-{os.urandom(8).hex()}")
    try:
        with beneath.to_write(path) as at:
            name = path if at is None else os.path.basename(path)
            handle = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=at)
            try:
                os.write(handle, b"x")
            finally:
                os.close(handle)
                os.unlink(name, dir_fd=at)
    except OSError as exc:
        return exc
    return None


def free_disk(target: Target, disk: Callable[[str], Any]) -> list[Finding]:
    """The free space for snapshots, where they are kept."""
    folder = target.bak_dir
    if folder is None:
        return []
    if _watched_folder_missing(target):
        return [Finding("free disk", SKIP, f"{folder} belongs into a watched folder that is not there")]
    while not os.path.isdir(folder) and os.path.dirname(folder) != folder:
        folder = os.path.dirname(folder)
    keep = int(target.settings.get("MinFreeBytes", 0))
    free = int(disk(folder).free)
    text = f"{size(free)} for snapshots in {target.bak_dir}"
    if free < keep:
        return [
            fail(
                "free disk",
                "disk-low",
                f"{text}; MinFreeBytes wants {size(keep)} left, so nothing is copied or sent",
                ("MinFreeBytes", max(0, free // 2)),
                commands=[f"du -xh {advice.word(folder)} | sort -h | tail"],
                words="Free some space; ArchiveToFolder and the app's old files are the usual ones.",
            )
        ]
    if free < 4 * keep:
        return [
            warn(
                "free disk",
                "disk-low",
                f"{text}: below {size(keep)} (MinFreeBytes) nothing is sent any more",
                commands=[f"du -xh {advice.word(folder)} | sort -h | tail"],
            )
        ]
    return [ok("free disk", text)]


def inotify(entries: Iterable[Entry], read: Read = read) -> list[Finding]:
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
