"""Whose rights a task has: the setting ``RunAs``, and why root does not work over a folder of somebody else.

Who owns a watched folder may put a link, another file or another folder in the place of any that is in it, at any moment. What root
does there by name it would do wherever he likes. So a task of root's watches folders of root's alone; one over a user's folder runs
as that user, and the kernel holds it to his rights.
"""

import os
import sys
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from . import effective_user
from .entries import Entry
from .errors import ConfigError
from .problem import spelt
from .trust import user_name

KEY = "base.RunAs"
_FORMS = "Give the name of a user of this machine, or 'uid:gid' in numbers, such as '1000:1000'."
_LARGEST_ID = 2**32 - 2  # 2**32 - 1 means "leave it as it is" (setresuid(2))
_OF_A_SESSION = ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR")
"""Variables that lead to folders of the user who started this process."""


class Identity(NamedTuple):
    """A user (``uid``) and his groups. ``groups``: all of them, ``gid`` among them; ``name`` is '' and ``home`` the root folder
    where the system has no entry for him. ``pair``: it was given as numbers, so that the group counts too."""

    uid: int
    gid: int
    groups: tuple[int, ...]
    name: str
    home: str
    pair: bool = False

    def __str__(self) -> str:
        return self.name or f"{self.uid}:{self.gid}"

    @property
    def is_this_process(self) -> bool:
        """Whether this process has these rights already."""
        if sys.platform == "win32":
            raise NotImplementedError
        return effective_user.now() == self.uid and (not self.pair or os.getegid() == self.gid)


def identity(text: str, key: str = KEY) -> Identity:
    """The user that a setting names. ConfigError for what names none."""
    if sys.platform == "win32":
        raise NotImplementedError
    try:
        import pwd
    except ImportError:
        raise ConfigError(key, "this system has no users of that kind", "Leave it out.") from None
    head, colon, tail = text.partition(":")
    if colon:
        if not (_is_id(head) and _is_id(tail)):
            raise ConfigError(key, (spelt(text), " is no user"), _FORMS)
        uid, gid = int(head), int(tail)
        try:
            entry = pwd.getpwuid(uid)
        except KeyError:
            return Identity(uid, gid, (gid,), "", os.sep, True)
        return Identity(uid, gid, (gid,), entry.pw_name, entry.pw_dir, True)
    try:
        entry = pwd.getpwuid(int(text)) if _is_id(text) else pwd.getpwnam(text)
    except (KeyError, ValueError):
        remedy = f"Give 'uid:gid', such as '{text}:{text}'." if _is_id(text) else _FORMS
        raise ConfigError(key, ("there is no user ", spelt(text), " on this machine"), remedy) from None
    groups = tuple(dict.fromkeys([entry.pw_gid, *os.getgrouplist(entry.pw_name, entry.pw_gid)]))
    return Identity(entry.pw_uid, entry.pw_gid, groups, entry.pw_name, entry.pw_dir)


def _is_id(text: str) -> bool:
    return text.isascii() and text.isdecimal() and int(text) <= _LARGEST_ID


def become(one: Identity) -> None:
    """Give this process, with all its threads, the rights of that user and no others; this cannot be undone. HOME, USER and LOGNAME
    become his. OSError where the system refuses, PermissionError where the rights are not his afterwards."""
    if sys.platform == "win32":
        raise NotImplementedError
    os.setgroups(one.groups)
    if sys.platform == "darwin":  # setgid(2) and setuid(2) of root set the saved ids, too
        os.setgid(one.gid)
        os.setuid(one.uid)
        done = (os.getuid(), os.geteuid(), os.getgid(), os.getegid()) == (one.uid, one.uid, one.gid, one.gid)
    else:
        os.setresgid(one.gid, one.gid, one.gid)
        os.setresuid(one.uid, one.uid, one.uid)
        done = os.getresuid() == (one.uid,) * 3 and os.getresgid() == (one.gid,) * 3
    effective_user.forget()
    if not done:
        raise PermissionError(1, f"the system did not make this process one of {one}")
    for name in _OF_A_SESSION:
        os.environ.pop(name, None)
    os.environ["HOME"] = one.home
    os.environ["USER"] = os.environ["LOGNAME"] = str(one)


class Stranger(NamedTuple):
    """``folder`` belongs to another user; ``who``: he, as RunAs names him."""

    folder: str
    who: str

    @property
    def problem(self) -> str:
        """What is wrong with the folder, as a clause of an error."""
        return (
            f"{self.folder} belongs to another user ({self.who}), and root does not work over his folder: he could have root "
            "read, change or run what he may not"
        )

    def remedy(self, how: str) -> str:
        """``how``: how it is run as that user, as words with ``{who}`` in them."""
        return (
            f"{how.format(who=self.who)} Or watch a folder that belongs to root. (Giving this one to root is right only where "
            "nobody else is to put files there.)"
        )


BY_RUN = "Run it with his rights: RunAs = '{who}' below [base], or pysubtask run --run-as {who}."
IN_APP = (
    "Start the app as {who}, or leave the uploading to a run of its own (pysubtask run --run-as {who}), which sees by itself "
    "what changes in the folder."
)
BY_HAND = "Start it as {who}."


def stranger(entries: Iterable[Entry]) -> Stranger | None:
    """The first folder that root does not work over; None where this process is not root's, or there is none. A missing folder
    counts only where one would be made (``stranger_above``)."""
    if not hasattr(os, "geteuid") or effective_user.now() != 0:
        return None
    folders = dict.fromkeys(entry.path if entry.kind == "dir" else os.path.dirname(entry.path) for entry in entries)
    return next((found for folder in folders if (found := _of_another(folder)) is not None), None)


def stranger_above(folder: str) -> Stranger | None:
    """The folder that root would make something in, where it belongs to another user. For root alone."""
    if not hasattr(os, "geteuid") or effective_user.now() != 0:
        return None
    while not os.path.lexists(folder) and os.path.dirname(folder) != folder:
        folder = os.path.dirname(folder)
    return _of_another(folder)


def _of_another(folder: str) -> Stranger | None:
    if sys.platform == "win32":
        raise NotImplementedError
    try:
        found = os.stat(folder)
    except OSError:
        return None  # not there: checked again when it is
    if found.st_uid == 0:
        return None
    import pwd

    try:
        return Stranger(folder, pwd.getpwuid(found.st_uid).pw_name)
    except KeyError:
        return Stranger(folder, f"{found.st_uid}:{found.st_gid}")


def check_folders(entries: Sequence[Entry], how: str) -> None:
    """ConfigError where root would work over a folder of another user; nothing was touched then. ``how``: see ``Stranger``."""
    found = stranger(entries)
    if found is not None:
        raise ConfigError(KEY, found.problem, found.remedy(how))


def check_process(settings: Iterable[str | None]) -> None:
    """ConfigError where ``RunAs`` names another user than this process's: a master inside an app does not change whose the app
    is."""
    for text in settings:
        if text is None:
            continue
        one = identity(text)
        if one.is_this_process:
            continue
        if effective_user.now() == 0:
            raise ConfigError(
                KEY, f"this app is root's, and a master inside it cannot become {one}: all of the app would", IN_APP.format(who=one)
            )
        raise not_root(one)


def not_root(one: Identity) -> ConfigError:
    """Only root can become somebody else."""
    return ConfigError(
        KEY,
        f"it names {one}, and this process is of another user ({user_name(effective_user.now())})",
        f"Run it as {one}, or as root, or remove RunAs.",
    )
