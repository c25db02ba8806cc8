"""The other users who have tasks on this machine: for root all of them, for others those who share a status page with a group.

Root reads the tasks of a user, and sends them requests, with that user's rights alone (``common/as_user``): a link or a path in a
record of the user cannot lead root to a file that the user may not open. Where ``$PYSUBTASK_REGISTRY`` is set, only that registry
is read.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, TypeVar

from ...common import account, as_user, effective_user, registry
from ...common.trust import user_name
from ..exit_status import CommandError
from ..run import unit_files

_T = TypeVar("_T")
_PROC = "/proc"
_MOST_ENVIRON = 1024 * 1024
_MOST_REGISTRIES = 8
"""The most registries that are read for one user's processes: their environment is the user's to choose, and each costs root a
process."""
_KEYS = (registry.VARIABLE, "XDG_STATE_HOME", "HOME")


class Owner(NamedTuple):
    """Another user. ``uid``: of the user; ``registry``: the folder of the user's records; ``home``: of the user ('' where it is not
    known); ``folders``: those that services of the user watch, which are searched for tasks without a record, too."""

    uid: int
    registry: str
    home: str = ""
    folders: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The name of the user; the uid as text where the system has no name for it."""
        return user_name(self.uid)

    @property
    def is_acted_for(self) -> bool:
        """Whether this process is root's, which must act with the user's rights in the user's folders."""
        return as_user.is_needed(self.uid)

    def ask(self, question: Callable[[], _T], *, patience: float = as_user.MOST_SECS) -> _T:
        """What ``question`` returns (a value of JSON) in a process with this user's rights. Raises what :func:`as_user.ask` raises,
        and a CommandError of the question."""
        if not self.is_acted_for:
            return question()

        def answer() -> list[Any]:
            self._settle()
            try:
                return [True, question()]
            except CommandError as exc:
                return [False, str(exc), exc.status]

        found = as_user.ask(self.uid, answer, patience=patience)
        if not found[0]:
            raise CommandError(str(found[1]), int(found[2]))
        value: _T = found[1]
        return value

    def stream(self, begin: Callable[[], Iterator[Any]]) -> as_user.Stream:
        """The values that ``begin`` yields in a process with this user's rights. For root alone."""

        def settled() -> Iterator[Any]:
            self._settle()
            yield from begin()

        return as_user.Stream(self.uid, settled)

    def _settle(self) -> None:
        """Set the environment of a process with the user's rights, so that it finds the user's home and registry, and not
        root's."""
        os.environ[registry.VARIABLE] = self.registry
        os.environ["HOME"] = self.home or os.sep
        os.environ.pop("XDG_STATE_HOME", None)


def others(environ: Mapping[str, str] = os.environ) -> list[Owner]:
    """The other users who may have tasks, each with a folder where the records may be (a user may have several). Empty on a system
    without users."""
    if effective_user.now() == -1 or environ.get(registry.VARIABLE):
        return []
    found: dict[tuple[int, str], Owner] = {}
    for one in (*_of_units(), *_of_homes(), *(_of_processes() if effective_user.now() == 0 else ())):
        if one.uid not in (0, effective_user.now()):
            known = found.get((one.uid, one.registry), one)
            found[one.uid, one.registry] = known._replace(folders=tuple(dict.fromkeys((*known.folders, *one.folders))))
    return list(found.values())


def _of_homes() -> Iterator[Owner]:
    """The users with a home that belongs to them."""
    if sys.platform == "win32":
        return
    import pwd

    for entry in pwd.getpwall():
        with contextlib.suppress(OSError):
            if os.path.isabs(entry.pw_dir) and os.stat(entry.pw_dir).st_uid == entry.pw_uid:
                yield Owner(entry.pw_uid, registry.folder({"HOME": entry.pw_dir}), entry.pw_dir)


def _of_units() -> Iterator[Owner]:
    """The users for whom 'pysubtask service --install' has written a unit."""
    for unit in unit_files.installed():
        uid = unit_files.uid_of(unit)
        if uid is not None:
            home = home_of(uid)
            environ = {"HOME": home or os.sep, **({registry.VARIABLE: unit.registry} if unit.registry else {})}
            yield Owner(uid, registry.folder(environ), home, unit.folders)


def _of_processes() -> Iterator[Owner]:
    """The users whose processes of this package run now, with the registry that their environment names. A user can write anything
    there, so the value is used only as a path that is read with that user's rights."""
    seen: dict[int, set[str]] = {}
    for pid in _pids():
        try:
            uid = os.stat(f"{_PROC}/{pid}").st_uid
            words = _read(pid, "cmdline").split(b"\0")
            if uid == 0 or not any(_is_ours(word) for word in words):
                continue
            environ = {key: value for key in _KEYS if os.path.isabs(value := _variable(_read(pid, "environ"), key))}
        except OSError:
            continue  # the process has ended meanwhile
        place = registry.folder({"HOME": home_of(uid) or os.sep, **environ})
        known = seen.setdefault(uid, set())
        if place not in known and len(known) < _MOST_REGISTRIES:
            known.add(place)
            yield Owner(uid, place, environ.get("HOME", ""))


def _pids() -> list[str]:
    with contextlib.suppress(OSError):
        return [name for name in os.listdir(_PROC) if name.isdecimal()]
    return []


def _is_ours(word: bytes) -> bool:
    return word == b"pysubtask" or word.startswith(b"pysubtask.") or word.endswith(b"/pysubtask")


def _read(pid: str, name: str) -> bytes:
    with open(f"{_PROC}/{pid}/{name}", "rb") as file:
        return file.read(_MOST_ENVIRON)


def _variable(environ: bytes, key: str) -> str:
    start = os.fsencode(f"{key}=")
    return next((os.fsdecode(line[len(start) :]) for line in environ.split(b"\0") if line.startswith(start)), "")


def home_of(uid: int) -> str:
    """The home of a user; '' where the system does not know the uid."""
    return account.home_of(uid)
