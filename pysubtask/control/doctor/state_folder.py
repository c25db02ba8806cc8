"""Checks of the state folder: whether the queue can be kept in it, and whether the disk has space for the snapshots."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable
from typing import Any

from ...common import advice, beneath, effective_user
from ...common.state_place import is_inside
from .finding import SKIP, Finding, fail, ok, size, warn
from .source import Target
from .watch_paths import owner_advice, watched

_AT_ONCE = 50  # paths in one command of a remedy
_OF_ANOTHER_USER = "made by another user (was it run with sudo once?)"
_KEEPS_IT = "The first watch entry's folder keeps the queue."
_KEPT_ELSEWHERE = "The queue is kept there and not beside the data (StateFolder names another folder)."


def check(target: Target) -> Finding:
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
    user = None if target.settings.get("RunAs") is None else effective_user.now()
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
        words=f"{_KEEPS_IT if is_inside(where) else _KEPT_ELSEWHERE} {owner_advice(found, 'write there')}",
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
    if not hasattr(os, "geteuid") or effective_user.now() == 0:
        return []
    found = []
    for path in (os.path.join(at, name) for at, folders, files in os.walk(folder) for name in (*folders, *files)):
        with contextlib.suppress(FileNotFoundError):  # a running child removes files there
            info = os.lstat(path)
            if not stat.S_ISLNK(info.st_mode) and info.st_uid != effective_user.now():
                found.append(path)
    return found[:_AT_ONCE]


def _cannot_write(folder: str) -> OSError | None:
    """Why no file can be created in a folder; None where one can. A file is created for it, since access(2) knows nothing of
    full disks."""
    path = os.path.join(os.path.abspath(folder), f".pysubtask-doctor-{os.urandom(8).hex()}")
    try:
        with beneath.to_write(path) as at:
            name = path if at is None else os.path.basename(path)
            handle = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600, dir_fd=at)
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
