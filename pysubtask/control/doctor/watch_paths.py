"""Checks of the watched paths: whether each exists, can be read, and holds data alone."""

from __future__ import annotations

import os
from collections.abc import Container, Iterable

from ...common import account, advice
from ...common.entries import Entry
from . import mistyped
from .finding import NOTE, Finding, fail, ok, warn


def check(entry: Entry, named: Container[str] = ()) -> Finding:
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
            words=owner_advice(path, "read it"),
        )
    if not os.access(folder, os.W_OK):
        return fail(
            "watch path",
            "watch-path-readonly",
            f"{folder}: this user may not write there, and the queue and the notifies are files beside the data",
            commands=[advice.list_path(folder)],
            words=owner_advice(folder, "write there"),
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
    found.add(account.home_of(account.uid()))
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


def owner_advice(path: str, may: str) -> str:
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
    return account.name_of(uid) or f"uid {uid}"
