"""The tasks of this machine that a command can see: those of this user, and those of others that root or a group may see."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

from ...common import account, effective_user, registry
from ...common.config import nearest
from ...common.own_folders import is_root
from ...common.state_files import LOCK
from ...common.state_place import hash_of, home_base, is_inside, path_beside, tops
from ...common.status import FILE as STATUS_FILE
from ...common.status import read_status
from ..config.config_names import DROP_INS, MAIN_FILE
from ..exit_status import NO_TASK, CommandError
from ..terminal import say
from .owners import Owner, home_of, others
from .task import Real as Real
from .task import Task as Task
from .task import answered as answered

NONE_KNOWN = "No task is known here. An app or 'pysubtask run' starts one; 'pysubtask init' makes a config for it."
_PATIENCE_SECS = 5.0
"""Seconds that root waits for the records of one user, whose folders may hang (a dead NFS server)."""


def names(tasks: Sequence[Task]) -> list[str]:
    """A name for each of these children: its label, and with its folder or its task's name behind it where several have one
    label."""
    called = [task.called for task in tasks]
    more = [name if called.count(name) == 1 else f"{name} in {task.folder}" for name, task in zip(called, tasks, strict=True)]
    return [name if more.count(name) == 1 else f"{name} ({task.task})" for name, task in zip(more, tasks, strict=True)]


def names_here(tasks: Sequence[Task]) -> list[str]:
    """A name for each of these children that no other child known here has."""
    everything = known()
    here = {task.place for task in everything}
    everything += [task for task in tasks if task.place not in here]
    called = {task.place: name for task, name in zip(everything, names(everything), strict=True)}
    return [called[task.place] for task in tasks]


def own() -> list[Task]:
    """Every child of this user on this machine, living ones first, then by label. The children of one task get the same name: that
    of the child that lives, else of the first whose record has a config file."""
    found: dict[tuple[int, str], list[Task]] = {}
    for record in sorted(registry.records(), key=lambda record: not record.config_file):
        task = Task(record, _whose(record.state_dir))  # earlier versions let root run a task over a user's folder
        found.setdefault((task.place[0], task.key), []).append(task)
    for children in found.values():
        first = next((child for child in children if child.lives()), children[0])
        for child in children:
            child.name, child.config_file = first.name, first.config_file
    return _in_order([child for children in found.values() for child in children])


def known() -> list[Task]:
    """Every child that this user may send requests to: the user's own, and for root those of all users behind them."""
    return _with_others(own(), missing=False)


def find(words: Sequence[str], *, missing: bool = False, shared: bool = False) -> list[Task]:
    """The children that the words of a command line name, living ones first; without a word all of them.

    A word is a label, the name of a task (TaskName), either also as NAME/EXTENSION and as USER:NAME, a config file, or a folder
    (the first watched one, or a state folder). They are tried in this order, and the first kind that fits decides. ``missing``:
    also tasks whose folder does not exist now; ``shared``: also tasks of other users whose page a group of this user may read.
    CommandError (NO_TASK) where a word fits no task.
    """
    everything = _with_others(own() + [Task(record) for record in (registry.missing() if missing else ())], missing=missing)
    if shared:
        everything += [task for owner in others() if not owner.is_acted_for for task in _shared_by(owner)]
    if not words:
        return everything
    found: dict[tuple[int, str], Task] = {}
    for word in words:
        fitting = _fitting(word, everything)
        if not fitting:
            raise CommandError(f"There is no task {word!r}. {_hint(word, everything)}", NO_TASK)
        found.update((task.place, task) for task in fitting)
    return _in_order(found.values())


def _with_others(mine: list[Task], *, missing: bool) -> list[Task]:
    """The tasks ``mine`` and, for root, those of other users: by their records and by the folders that their services watch, both
    read with their rights."""
    found = {task.place: task for task in mine}
    for owner in others() if is_of_root() else ():
        for task in _asked(owner, lambda owner=owner: _records_of(owner, missing)):  # type: ignore[misc]
            found.setdefault(task.place, task)
    return list(found.values())


def is_of_root() -> bool:
    """Whether this process has root's rights; False on a system without users."""
    return effective_user.now() == 0


def _records_of(owner: Owner, missing: bool) -> list[Task]:
    """The tasks of ``owner``. To be called in a process with that user's rights and registry."""
    found = own() + ([Task(record) for record in registry.missing()] if missing else [])
    here = {task.place for task in found}
    return found + [task for folder in owner.folders for task in in_folder(folder) if task.place not in here]


def _asked(owner: Owner, question: Callable[[], list[Task]]) -> list[Task]:
    """The tasks that ``question`` returns in a process with the rights of ``owner``; where that fails, none and a line on
    stderr."""
    try:
        rows = owner.ask(lambda: [(_named(task), task.real) for task in question()], patience=_PATIENCE_SECS)
        return [Task(registry.Record(*record), owner, Real(*real)) for record, real in rows]
    except (OSError, ValueError, CommandError) as exc:
        say([f"pysubtask: the tasks of {owner.name} cannot be looked at: {exc}"], error=True)
        return []


def _named(task: Task) -> registry.Record:
    """The record of a task, with the name and config file that were found for it."""
    return task.record._replace(label=task.name, config_file=task.config_file)


def _shared_by(owner: Owner) -> list[Task]:
    """The tasks of another user whose status page a group of this user may read (StatusGroup)."""
    return [
        Task(record, owner, Real(record.state_dir, record.folder, record.config_file))
        for record in registry.shared(os.path.realpath(owner.registry), owner.uid)
    ]


def forget_never_run(files: Collection[str], state_dirs: Collection[str]) -> None:
    """Remove the records of tasks that waited for a folder, never ran, and are in no config any more. ``files``: the config files
    that were read; ``state_dirs``: those of all tasks in them. OSError where a record cannot be removed."""
    for record in registry.missing():
        # A task that ran once has a destination in its record, and may have left a queue: it stays on the list.
        if not record.destination and record.config_file in files and record.state_dir not in state_dirs:
            registry.forget(record)


def in_folder(folder: str) -> list[Task]:
    """The children of this user whose first watched folder is ``folder``, with or without a record here."""
    place = os.path.realpath(folder)
    announced = [task for task in own() if task.real.folder == place]
    here = {task.place for task in announced}
    return announced + [task for task in map(_at, _in_folder(place)) if task.place not in here]


def _in_order(tasks: Iterable[Task]) -> list[Task]:
    return sorted(tasks, key=lambda task: (not task.lives(), task.name, task.folder, task.task, task.extension))


def _fitting(word: str, everything: Sequence[Task]) -> list[Task]:
    return (
        [task for task in everything if word in _called_by(task, task.name)]
        or [task for task in everything if word in _called_by(task, task.task)]
        or _at_path(os.path.realpath(word), everything)
    )


def _called_by(task: Task, name: str) -> tuple[str, ...]:
    words = (name, f"{name}/{task.extension}")
    return words if task.owner is None else (*words, *(f"{task.user}:{word}" for word in words))


def _hint(word: str, everything: Sequence[Task]) -> str:
    near = nearest(word, sorted({name for task in everything for name in (task.name, task.label, task.task)}))
    if near:
        return f"Did you mean {near!r}?"
    there = sorted({task.name for task in everything})
    return f"There are: {', '.join(there)}." if there else "None is known here."


def _at_path(path: str, everything: Sequence[Task]) -> list[Task]:
    """The tasks whose config file, first watched folder, or state folder is ``path``, also those without a record here."""
    found = [task for task in everything if path == task.real.config_file]
    if found:
        return found
    known_here = {task.place: task for task in everything}
    meant = {place: task for place, task in known_here.items() if path in (task.real.folder, task.real.state_dir, task.key)}
    for task in _unannounced(path):
        meant.setdefault(task.place, known_here.get(task.place) or task)
    return list(meant.values()) or [task for task in everything if path == _config_folder(task.real.config_file)]


def _unannounced(path: str) -> list[Task]:
    """The tasks whose state is found by ``path`` alone. Root reads a folder of another user with that user's rights."""
    owner = _whose(path)
    if owner is not None:
        return _asked(owner, lambda: [_at(folder) for folder in _in_folder(path)])
    found = []
    for folder in _in_folder(path):
        inside = _whose(folder)
        found += [_at(folder)] if inside is None else _asked(inside, lambda folder=folder: [_at(folder)])  # type: ignore[misc]
    return found


def _whose(path: str) -> Owner | None:
    """The other user to whom a folder belongs, for root; None for root's own, and in a process of anybody else."""
    with contextlib.suppress(OSError):
        uid = os.lstat(path).st_uid if is_of_root() else 0
        if uid:
            home = home_of(uid)
            return Owner(uid, registry.folder({"HOME": home or os.sep}), home)
    return None


def _config_folder(file: str) -> str:
    """The folder of the config that this file (its real path, '' for none) is a part of; '' where the file is a config of its
    own."""
    folder, name = os.path.split(file)
    if os.path.basename(folder) == DROP_INS:
        return os.path.dirname(folder)
    return folder if name == MAIN_FILE else ""


def _in_folder(path: str) -> list[str]:
    """The state folders that a path means: itself, those of a task's folder, or those of a watched folder, wherever its state is
    kept."""
    if os.path.exists(os.path.join(path, STATUS_FILE)):
        return [path]
    if is_root(os.path.basename(os.path.dirname(path))):
        return _children(path)
    found = [path] if is_root(os.path.basename(path)) else [*tops(path), *_tops_of_others(path)]
    return [folder for top in found for task in _folders(top) for folder in _children(task)]


def _tops_of_others(path: str) -> list[str]:
    """Further places for the state of a folder that belongs to another user: the home of that user, and that of the service."""
    found = [os.path.join("/var/lib/pysubtask", hash_of(path))]
    with contextlib.suppress(OSError):
        home = account.home_of(os.stat(path).st_uid)
        if not home:
            return found
        found.append(os.path.join(home_base({"XDG_STATE_HOME": os.path.join(home, ".local/state")}), hash_of(path)))
    return found


def _children(task_folder: str) -> list[str]:
    return [folder for folder in _folders(task_folder) if os.path.exists(os.path.join(folder, LOCK))]


def _at(state_dir: str) -> Task:
    page = read_status(state_dir) or {}
    head, extension = os.path.split(state_dir)
    more: dict[str, Any] = {"folder": path_beside(state_dir)} if not is_inside(state_dir) else {}
    more |= {key: value for key in ("label", "folder", "config_file") if isinstance(value := page.get(key), str)}
    return Task(registry.Record(os.path.basename(head), extension, str(page.get("destination", "")), state_dir, **more))


def _folders(path: str) -> list[str]:
    try:
        return sorted(entry.path for entry in os.scandir(path) if entry.is_dir())
    except OSError:
        return []
