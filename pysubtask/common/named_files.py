"""The files and programs that settings name, and whether other users may write them.

A known_hosts file says which server is the right one, ssh's configuration and program are run: a user who may write or replace
one of them controls the task. So each must belong to this user or to root and be writable by no other user, and so must every
folder on its path, links included. In a sticky folder, as ``/tmp`` is, other users cannot replace files of this user. The private
group of the owner does not count as another user. Behind sudo the user who typed the command counts as root.

A private key is only read: ssh and the server check its mode, and 'pysubtask doctor' reports it.
"""

import errno
import os
import stat
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from .errors import ConfigError
from .trust import others_write, owners, user_name

OBEYED = {"ftp": ("SSHProgram", "SSHConfigFile", "KnownHostsFile", "CAFile"), "dropbox": ("CAFile",)}
"""The settings of a section that name what is obeyed."""
_MOST_LINKS = 40  # as many as Linux follows in a path (path_resolution(7))


class Doubt(NamedTuple):
    """Why a file is not obeyed: ``problem``, and ``remedy``: what to do about it."""

    problem: str
    remedy: str


def check_files(section: str, settings: Mapping[str, Any]) -> None:
    """ConfigError where one of the files that a destination's settings name is not obeyed; one that is not there is no such."""
    if not hasattr(os, "geteuid"):
        return
    for key in OBEYED.get(section, ()):
        given = settings.get(key)
        if not given or not isinstance(given, str) or _is_no_path(key, given):
            continue
        found = doubt_about(os.path.expanduser(given))
        if found is not None:
            raise ConfigError(f"{section}.{key}", found.problem, found.remedy)


def _is_no_path(key: str, given: str) -> bool:
    """A program by its name alone is the system's; 'none' is no file."""
    return (key == "SSHProgram" and os.sep not in given) or (key == "SSHConfigFile" and given.lower() == "none")


def doubt_about(path: str) -> Doubt | None:
    """Why a file, or a folder whose files are run, is not obeyed; None where it is. Always None where there are no users and
    modes."""
    if not hasattr(os, "geteuid"):
        return None
    mine = owners()
    for part, found, last, following in _leading_parts(path):
        is_folder = stat.S_ISDIR(found.st_mode)
        subject = part if last else f"{part}, on the way to {path},"
        if found.st_uid not in mine:
            whose, me = user_name(found.st_uid), user_name(os.geteuid())
            return Doubt(
                f"{subject} belongs to another user ({whose}), whom {me} does not obey",
                f"Name a file that belongs to {me}, in a folder of his own.",
            )
        if stat.S_ISLNK(found.st_mode) or not others_write(found):
            continue
        if is_folder and found.st_mode & stat.S_ISVTX and following:
            continue
        mode = f"(mode {stat.S_IMODE(found.st_mode):04o})"
        if is_folder:
            problem = f"others may write the folder {part} {mode}, and put another {os.path.basename(path)} there"
            return Doubt(problem, f"Keep it in a folder that only {user_name(os.geteuid())} may write.")
        return Doubt(f"others may write {part} {mode}", "Let nobody but its owner write it, or name another file.")
    return None


def _leading_parts(path: str) -> Iterator[tuple[str, os.stat_result, bool, bool]]:
    """Every folder and link that leads to a path, and what it leads to: (path, lstat of it, whether it is the end, whether the part
    after it is there). It ends before what is not there, or may not be read."""
    todo = [os.path.abspath(path)]
    for _ in range(_MOST_LINKS):
        if not todo:
            return
        whole = todo.pop()
        parts = whole.split(os.sep)
        for index in range(1, len(parts) + 1):
            part = os.sep.join(parts[:index]) or os.sep
            try:
                found = os.lstat(part)
                target = os.readlink(part) if stat.S_ISLNK(found.st_mode) else None
            except OSError:
                break
            last = target is None and index == len(parts)
            yield part, found, last, index < len(parts) and os.path.lexists(os.sep.join(parts[: index + 1]))
            if target is not None:
                rest = parts[index:]
                # As the system does it: a '..' behind a link is that of where the link leads.
                folder = os.path.realpath(os.path.dirname(part))
                todo.append(os.path.join(_joined(folder, target), *rest))
                break
    if todo:
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)


def _joined(folder: str, target: str) -> str:
    """Where a link in ``folder`` leads, without '..' in it."""
    if os.pardir not in target.split(os.sep):
        return os.path.normpath(os.path.join(folder, target))
    return os.path.realpath(os.path.join(folder, target))
