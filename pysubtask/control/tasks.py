"""The tasks of this machine and user, as a command sees them: found by their state folders, read and steered by files."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from ..common import registry
from ..common.config import nearest
from ..common.lock import Holder, StateLock
from ..common.own_files import is_root
from ..common.present import last_sign, locked_at
from ..common.process import is_alive
from ..common.requests import Reply, myself, reply_to, send, withdraw
from ..common.state_place import hash_of, home_base, is_inside, path_beside, tops
from ..common.status import FILE as STATUS_FILE
from ..common.status import read_status
from .config_names import DROP_INS, MAIN_FILE
from .exits import FAILED, NO_ANSWER, NO_TASK, CommandError

NONE_KNOWN = "No task is known here. An app or 'pysubtask run' starts one; 'pysubtask init' makes a config for it."
_LOOK_SECS = 0.02
_GONE_LOOKS = 3
"""So many looks in a row must find no child before it counts as gone: one that has just taken its lock has no record yet."""


class Task:
    """One child, alive or dead, by its state folder. A task with two destinations has two, with the same ``key``."""

    def __init__(self, record: registry.Record) -> None:
        record = registry.completed(record)
        self.task = record.task
        self.extension = record.extension
        self.state_dir = record.state_dir
        self.name = record.label
        """What people call the task."""
        self.folder = record.folder
        """The first folder that is watched."""
        self.config_file = record.config_file
        self._destination = record.destination
        self.record = record

    @property
    def label(self) -> str:
        """How the child is called: ``station/ftp``."""
        return f"{self.name}/{self.extension}"

    @property
    def key(self) -> str:
        """The folder of the task, which is what tells it from every other."""
        return os.path.realpath(os.path.dirname(self.state_dir))

    @property
    def destination(self) -> str:
        """Where it uploads to, a URL without secrets."""
        page = self.page()
        return str(page.get("destination") or self._destination) if page else self._destination

    def why_waiting(self) -> str:
        """Why its folder cannot be used now: it is missing, or its disk is; '' where it can."""
        return registry.why_waiting(self.record)

    def page(self) -> dict[str, Any] | None:
        """What the child last wrote about itself (status.json), None where there is nothing."""
        return read_status(self.state_dir)

    def holder(self) -> Holder | None:
        """The living child, None where there is none."""
        return StateLock(os.path.join(self.state_dir, "lock")).holder()

    def is_elsewhere(self) -> bool:
        """Whether a child lives that cannot be seen from here: in another container, or on another host, that has the folder."""
        return StateLock(os.path.join(self.state_dir, "lock")).is_held_elsewhere()

    def lives(self) -> bool:
        """Whether a child lives, here or elsewhere."""
        return self.holder() is not None or self.is_elsewhere()

    def locked_at(self) -> float | None:
        """When its lock was last taken, in seconds since the epoch; None where there is none."""
        return locked_at(self.state_dir)

    def master(self) -> int | None:
        """The pid of the living process that started this child last and starts it again; None where there is none."""
        page = self.page() or {}
        pid, start = page.get("master_pid"), page.get("master_start")
        return pid if isinstance(pid, int) and is_alive(pid, start if isinstance(start, str) else "") else None

    def state(self) -> str:
        """One word: running, stopped (by an order or its master), dead, or never run."""
        if self.lives():
            return "running"
        page = self.page()
        return "never run" if page is None else "stopped" if page.get("state") == "stopped" else "dead"

    def last_sign(self) -> float | None:
        """When the child last wrote its page, an event or a receipt, in seconds since the epoch; None where it never did."""
        return last_sign(self.state_dir)

    def nobody_starts(self) -> str:
        """What is said where neither a child lives nor anybody who starts one."""
        return ("no child runs, and nobody is there to start one, so nothing was ordered. Start its app, or "
                f"'pysubtask run{' ' + self.config_file if self.config_file else ''}': that starts the child.")  # fmt: skip

    def order(
        self, op: str, args: Mapping[str, Any], command: str, *, patience: float = 10.0, may_be_dead: bool = False,
        name: str = "",
    ) -> Reply:  # fmt: skip
        """Give an order and wait for its answer, ``patience`` seconds at most; for a child that does not live only where it
        ``may_be_dead`` and as long as somebody is there who starts it. ``name``: how errors call it.

        CommandError where the order cannot be written, or was not answered (it stays, and is carried out later).
        """
        name = name or self.label
        try:
            id = send(self.state_dir, op, args, myself(command))
        except (OSError, ValueError) as exc:
            raise CommandError(f"{name}: the order cannot be given: {exc}") from exc
        reply, there = answered(
            lambda: reply_to(self.state_dir, id),
            lambda: self.lives() or (may_be_dead and self.master() is not None), patience,
        )  # fmt: skip
        if reply is None and not there and may_be_dead:
            # Kept, it would be carried out by whoever starts the child for another reason, at any time.
            withdraw(self.state_dir, id)
            reply = reply_to(self.state_dir, id)
        if reply is not None:
            return reply
        if not there and may_be_dead:
            raise CommandError(f"{name}: {self.nobody_starts()}", FAILED)
        if not there or not self.lives():
            raise CommandError(
                f"{name}: no child runs. The order stays and is carried out when one starts; the app that it belongs "
                "to, or 'pysubtask run', starts it.", NO_ANSWER,
            )  # fmt: skip
        raise CommandError(
            f"{name}: no answer within {patience:g} s. The order stays and is carried out when the child "
            "looks; 'pysubtask status' says what it does.", NO_ANSWER,
        )  # fmt: skip


def answered(
    reply: Callable[[], Reply | None], is_there: Callable[[], bool], patience: float, *, waits_for_dead: bool = False
) -> tuple[Reply | None, bool]:
    """Wait for a ``reply``, ``patience`` seconds at most, and unless it ``waits_for_dead`` no longer than whoever gives it
    ``is_there``; the reply, and whether he is.

    Whoever answers may end right after it, so the answer is looked for once more when he was seen to be gone.
    """
    until = time.monotonic() + patience
    gone = 0
    while True:
        found = reply()
        if found is not None:
            return found, True
        late = time.monotonic() >= until
        if late or not waits_for_dead:
            gone = 0 if is_there() else gone + 1
            if gone >= _GONE_LOOKS or (late and not gone):
                return reply(), not gone
        time.sleep(_LOOK_SECS)


def names(tasks: Sequence[Task]) -> list[str]:
    """What to call each of these children: its label, and with its folder where several are called the same."""
    called = [task.label for task in tasks]
    more = [name if called.count(name) == 1 else f"{name} in {task.folder}" for name, task in zip(called, tasks, strict=True)]
    return [name if more.count(name) == 1 else f"{name} ({task.task})" for name, task in zip(more, tasks, strict=True)]


def names_here(tasks: Sequence[Task]) -> list[str]:
    """What to call each of these children among all that are known here."""
    everything = known()
    here = {os.path.realpath(task.state_dir) for task in everything}
    everything += [task for task in tasks if os.path.realpath(task.state_dir) not in here]
    called = {os.path.realpath(task.state_dir): name for task, name in zip(everything, names(everything), strict=True)}
    return [called[os.path.realpath(task.state_dir)] for task in tasks]


def known() -> list[Task]:
    """Every child of this machine and user, by its label; living ones first. Children of one task are called alike: like the
    one that lives, or else was given its label."""
    found: dict[str, list[Task]] = {}
    for record in sorted(registry.records(), key=lambda record: not record.config_file):
        task = Task(record)
        found.setdefault(task.key, []).append(task)
    for children in found.values():
        first = next((child for child in children if child.lives()), children[0])
        for child in children:
            child.name, child.config_file = first.name, first.config_file
    return _in_order([child for children in found.values() for child in children])


def find(words: Sequence[str], *, missing: bool = False) -> list[Task]:
    """The children that are meant: each word is a label, label/extension, the name of a task (TaskName), also with its
    extension, a folder (the first that is watched, or of the state), or a config file. What one of these fits is not looked
    for among the next. No word means all; ``missing``: those too whose folder is not there now. Living ones come
    first. CommandError where a word fits none."""
    everything = known() + [Task(record) for record in (registry.missing() if missing else ())]
    if not words:
        return everything
    found: dict[str, Task] = {}
    for word in words:
        fitting = _fitting(word, everything)
        if not fitting:
            raise CommandError(f"There is no task {word!r}. {_hint(word, everything)}", NO_TASK)
        found.update((os.path.realpath(task.state_dir), task) for task in fitting)
    return _in_order(found.values())


def forget_never_run(files: Collection[str], state_dirs: Collection[str]) -> None:
    """Take tasks off the list that waited for a folder, never ran, and are in no config any more: ``files`` are what was read, and
    ``state_dirs`` are of all tasks in them. Raises OSError."""
    for record in registry.missing():
        # One that ran once has a destination; it may have left a queue.
        if not record.destination and record.config_file in files and record.state_dir not in state_dirs:
            registry.forget(record)


def in_folder(folder: str) -> list[Task]:
    """The children whose first watched folder this is, known here or not."""
    place = os.path.realpath(folder)
    announced = [task for task in known() if os.path.realpath(task.folder) == place]
    here = {os.path.realpath(task.state_dir) for task in announced}
    return announced + [_at(found) for found in _in_folder(place) if os.path.realpath(found) not in here]


def _in_order(tasks: Iterable[Task]) -> list[Task]:
    return sorted(tasks, key=lambda task: (not task.lives(), task.name, task.folder, task.task, task.extension))


def _fitting(word: str, everything: Sequence[Task]) -> list[Task]:
    return (
        [task for task in everything if word in (task.name, task.label)]
        or [task for task in everything if word in (task.task, f"{task.task}/{task.extension}")]
        or _at_path(os.path.realpath(word), everything)
    )


def _hint(word: str, everything: Sequence[Task]) -> str:
    near = nearest(word, sorted({name for task in everything for name in (task.name, task.label, task.task)}))
    if near:
        return f"Did you mean {near!r}?"
    there = sorted({task.name for task in everything})
    return f"There are: {', '.join(there)}." if there else "None is known here."


def _at_path(path: str, everything: Sequence[Task]) -> list[Task]:
    """The tasks whose config file, first watched folder, or state folder this is, also those that nobody has announced."""
    found = [task for task in everything if task.config_file and os.path.realpath(task.config_file) == path]
    if found:
        return found
    known_here = {os.path.realpath(task.state_dir): task for task in everything}
    meant = {place: task for place, task in known_here.items() if path in (os.path.realpath(task.folder), place, task.key)}
    for folder in _in_folder(path):
        place = os.path.realpath(folder)
        meant.setdefault(place, known_here.get(place) or _at(folder))
    return list(meant.values()) or [task for task in everything if task.config_file and _config_folder(task.config_file) == path]


def _config_folder(file: str) -> str:
    """The folder that means the whole config which this file belongs to; '' where it is a config of its own."""
    folder, name = os.path.split(os.path.realpath(file))
    if os.path.basename(folder) == DROP_INS:
        return os.path.dirname(folder)
    return folder if name == MAIN_FILE else ""


def _in_folder(path: str) -> list[str]:
    """The state folders in this folder: itself, those of a task, or those of a watched folder, wherever its state is kept."""
    if os.path.exists(os.path.join(path, STATUS_FILE)):
        return [path]
    if is_root(os.path.basename(os.path.dirname(path))):
        return _children(path)
    found = [path] if is_root(os.path.basename(path)) else [*tops(path), *_tops_of_others(path)]
    return [folder for top in found for task in _folders(top) for folder in _children(task)]


def _tops_of_others(path: str) -> list[str]:
    """Where else the state may be of a folder that belongs to another user than the one who looks: in his home, or in that of a
    service."""
    found = [os.path.join("/var/lib/pysubtask", hash_of(path))]
    with contextlib.suppress(ImportError, OSError, KeyError):
        import pwd

        home = pwd.getpwuid(os.stat(path).st_uid).pw_dir
        found.append(os.path.join(home_base({"XDG_STATE_HOME": os.path.join(home, ".local/state")}), hash_of(path)))
    return found


def _children(task_folder: str) -> list[str]:
    return [folder for folder in _folders(task_folder) if os.path.exists(os.path.join(folder, "lock"))]


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
