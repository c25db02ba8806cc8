"""Whose word counts: what a command reads and does as it says must not be writable by others.

A config names programs that are run and files that are read. It is obeyed where it, and the folder it lies in, belong to this user
or to root, and nobody else may write them. A group counts as nobody else where it is the owner's own. Behind sudo the user who
typed the command counts as root: he may do all this anyway.
"""

from __future__ import annotations

import os
import stat

from ...common import advice
from ...common.errors import ConfigError
from ...common.trust import others_write, owners, user_name

_OWN_FOLDERS = ("pysubtask", "conf.d")
"""Folders of this name are for configs alone, so that their mode may be told to be changed."""


def check_config(path: str, found: os.stat_result) -> None:
    """ConfigError where others may say what is in a config. ``found``: fstat of the opened file. Raises OSError where its folder
    cannot be looked at. Nothing is wrong on a system without users and modes."""
    if not hasattr(os, "geteuid"):
        return
    if found.st_uid not in owners():
        whose, me = user_name(found.st_uid), user_name(os.geteuid())
        run = "".join(f" If every line of it is your own, run: {line}" for line in advice.hand_over_config(path, me))
        raise ConfigError(path, f"it belongs to another user ({whose}), whom {me} does not obey", f"Run this as {whose}.{run}")
    if not stat.S_ISREG(found.st_mode):
        return  # a pipe of a shell, mostly: it has no folder
    if others_write(found):
        raise ConfigError(
            path,
            f"others may write it (mode {stat.S_IMODE(found.st_mode):04o}), and so have it do what they like",
            f"Run: {advice.only_you_write(path, sudo=found.st_uid != os.geteuid())}",
        )
    for folder in _folders(path):
        _check_folder(path, folder, os.stat(folder))


def check_owner(key: str, path: str, found: os.stat_result) -> None:
    """ConfigError where a file with a secret is somebody else's: the secret is what he says, and he may read it."""
    if hasattr(os, "geteuid") and stat.S_ISREG(found.st_mode) and found.st_uid not in owners():
        raise ConfigError(
            key,
            f"{path} belongs to another user ({user_name(found.st_uid)})",
            f"Keep the secret in a file that belongs to {user_name(os.geteuid())}.",
        )


def _folders(path: str) -> list[str]:
    """Where a config lies, and where it really is; with a drop-in also the folder above, which says where conf.d is."""
    found = []
    for each in (os.path.abspath(path), os.path.realpath(path)):
        folder = os.path.dirname(each)
        found += [folder, os.path.dirname(folder)] if os.path.basename(folder) == "conf.d" else [folder]
    return list(dict.fromkeys(found))


def _check_folder(path: str, folder: str, found: os.stat_result) -> None:
    move = f"Keep the config in a folder that only {user_name(os.geteuid())} may write, such as "
    move += "/etc/pysubtask." if os.geteuid() == 0 else "~/.config/pysubtask."
    if found.st_uid not in owners():
        whose = f"another user ({user_name(found.st_uid)})"
        raise ConfigError(path, f"its folder {folder} belongs to {whose}, who may put another file there", move)
    # In a sticky folder, as /tmp is, nobody else may replace a file of ours.
    if others_write(found) and not found.st_mode & stat.S_ISVTX:
        if os.path.basename(folder) in _OWN_FOLDERS and not os.path.islink(folder):
            move = f"Run: {advice.only_you_write(folder, sudo=found.st_uid != os.geteuid())}"
        mode = f"mode {stat.S_IMODE(found.st_mode):04o}"
        raise ConfigError(path, f"others may write its folder {folder} ({mode}), and put another file there", move)
