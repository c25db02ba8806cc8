"""Whose tasks there are on this machine besides one's own: for root everybody's, for others what a group of theirs may see.

Root reads and steers a user's task with that user's rights alone (``common/as_user``): what lies in his folders, and what his
records say, leads root nowhere that he may not go himself. Where ``$PYSUBTASK_REGISTRY`` is set, that registry is all there is.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, TypeVar

from ...common import as_user, registry
from ...common.trust import user_name
from ..exit_status import CommandError
from ..run import unit_files

_T = TypeVar("_T")
_PROC = "/proc"
_MOST_ENVIRON = 1024 * 1024
_MOST_REGISTRIES = 8
"""So many of one user's processes' making are looked at."""
_KEYS = (registry.VARIABLE, "XDG_STATE_HOME", "HOME")


class Owner(NamedTuple):
    """Another user. ``uid``: of the user; ``registry``: where his records are; ``home``: his home ('' where that is not known);
    ``folders``: what his services watch, where tasks without a record are looked for, too."""

    uid: int
    registry: str
    home: str = ""
    folders: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What the system calls him; his number where it does not."""
        return user_name(self.uid)

    @property
    def is_acted_for(self) -> bool:
        """Whether this process is root's, which does what it does in his folders with his rights."""
        return as_user.is_needed(self.uid)

    def ask(self, question: Callable[[], _T], *, patience: float = as_user.MOST_SECS) -> _T:
        """What ``question`` returns (a value of JSON) with this user's rights. Raises what as_user.ask does, and CommandError."""
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
        """What ``begin`` yields with this user's rights. For root alone."""

        def settled() -> Iterator[Any]:
            self._settle()
            yield from begin()

        return as_user.Stream(self.uid, settled)

    def _settle(self) -> None:
        """In the process with his rights: his places, and not root's."""
        os.environ[registry.VARIABLE] = self.registry
        os.environ["HOME"] = self.home or os.sep
        os.environ.pop("XDG_STATE_HOME", None)


def others(environ: Mapping[str, str] = os.environ) -> list[Owner]:
    """The users whose tasks there may be, each with a place where his records may be; nobody for a system without users."""
    if not hasattr(os, "geteuid") or environ.get(registry.VARIABLE):
        return []
    found: dict[tuple[int, str], Owner] = {}
    for one in (*_of_units(), *_of_homes(), *(_of_processes() if os.geteuid() == 0 else ())):
        if one.uid not in (0, os.geteuid()):
            known = found.get((one.uid, one.registry), one)
            found[one.uid, one.registry] = known._replace(folders=tuple(dict.fromkeys((*known.folders, *one.folders))))
    return list(found.values())


def _of_homes() -> Iterator[Owner]:
    """Whoever has a home of his own."""
    import pwd

    for entry in pwd.getpwall():
        with contextlib.suppress(OSError):
            if os.path.isabs(entry.pw_dir) and os.stat(entry.pw_dir).st_uid == entry.pw_uid:
                yield Owner(entry.pw_uid, registry.folder({"HOME": entry.pw_dir}), entry.pw_dir)


def _of_units() -> Iterator[Owner]:
    """Whom 'pysubtask service --install' made a service for."""
    for unit in unit_files.installed():
        uid = unit_files.uid_of(unit)
        if uid is not None:
            home = home_of(uid)
            environ = {"HOME": home or os.sep, **({registry.VARIABLE: unit.registry} if unit.registry else {})}
            yield Owner(uid, registry.folder(environ), home, unit.folders)


def _of_processes() -> Iterator[Owner]:
    """Whose programs of this package run now, with the environment that they were started with. It is theirs: it says where to look
    with their rights, and nothing else."""
    seen: dict[int, set[str]] = {}
    for pid in _pids():
        try:
            uid = os.stat(f"{_PROC}/{pid}").st_uid
            words = _read(pid, "cmdline").split(b"\0")
            if uid == 0 or not any(_is_ours(word) for word in words):
                continue
            environ = {key: value for key in _KEYS if os.path.isabs(value := _variable(_read(pid, "environ"), key))}
        except OSError:
            continue  # it has ended
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
    """A user's home; '' where the system has no entry for him."""
    import pwd

    try:
        return pwd.getpwuid(uid).pw_dir
    except KeyError:
        return ""
