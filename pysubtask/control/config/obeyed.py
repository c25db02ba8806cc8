"""Trust in config files: a config that a command obeys must not be writable by other users.

A config names programs that are run and files that are read. It is obeyed where the file and its folder belong to this user or to
root and nobody else may write them. Write permission of a group is accepted where the group is the owner's private one. Under sudo
files of the user who typed the command are trusted like root's, since that user may run commands as root anyway.
"""

from __future__ import annotations

import os
import stat

from ...common import advice, effective_user
from ...common.errors import ConfigError
from ...common.trust import others_write, owners, user_name

_OWN_FOLDERS = ("pysubtask", "conf.d")
"""Folders with these names hold nothing but configs, so that the remedy may ask for a change of their mode."""


def check_config(path: str, found: os.stat_result) -> None:
    """ConfigError where another user may change the config at ``path``; OSError where its folder cannot be examined. ``found``:
    fstat of the opened file, so that the file that is checked is the file that is read. On a system without users and modes nothing
    is checked."""
    if not hasattr(os, "geteuid"):
        return
    if found.st_uid not in owners():
        whose, me = user_name(found.st_uid), user_name(effective_user.now())
        run = "".join(f" If every line of it is your own, run: {line}" for line in advice.hand_over_config(path, me))
        raise ConfigError(path, f"it belongs to another user ({whose}), whom {me} does not obey", f"Run this as {whose}.{run}")
    if not stat.S_ISREG(found.st_mode):
        return  # mostly a pipe of a shell, as in <(...): there is no folder to check
    if others_write(found):
        raise ConfigError(
            path,
            f"others may write it (mode {stat.S_IMODE(found.st_mode):04o}), and so have it do what they like",
            f"Run: {advice.only_you_write(path, sudo=found.st_uid != effective_user.now())}",
        )
    for folder in _folders(path):
        _check_folder(path, folder, os.stat(folder))


def _folders(path: str) -> list[str]:
    """The folder of a config, before and after links are followed; for a drop-in also the folder above, whose owner could replace
    conf.d."""
    found = []
    for each in (os.path.abspath(path), os.path.realpath(path)):
        folder = os.path.dirname(each)
        found += [folder, os.path.dirname(folder)] if os.path.basename(folder) == "conf.d" else [folder]
    return list(dict.fromkeys(found))


def _check_folder(path: str, folder: str, found: os.stat_result) -> None:
    move = f"Keep the config in a folder that only {user_name(effective_user.now())} may write, such as "
    move += "/etc/pysubtask." if effective_user.now() == 0 else "~/.config/pysubtask."
    if found.st_uid not in owners():
        whose = f"another user ({user_name(found.st_uid)})"
        raise ConfigError(path, f"its folder {folder} belongs to {whose}, who may put another file there", move)
    # In a folder with the sticky bit, such as /tmp, others may not replace a file of this user.
    if others_write(found) and not found.st_mode & stat.S_ISVTX:
        if os.path.basename(folder) in _OWN_FOLDERS and not os.path.islink(folder):
            move = f"Run: {advice.only_you_write(folder, sudo=found.st_uid != effective_user.now())}"
        mode = f"mode {stat.S_IMODE(found.st_mode):04o}"
        raise ConfigError(path, f"others may write its folder {folder} ({mode}), and put another file there", move)
