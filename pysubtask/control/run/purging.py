"""The files that pysubtask keeps of a task besides the data, and their removal. A data file is never removed, and nothing is
removed while a child or a runner of the task lives."""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from ...common import beneath, effective_user, own_files, own_folders, registry
from ...common.entries import Entry, from_json
from ...common.lock import StateLock
from ...common.notify import data_name
from ...common.own_folders import STATE_FOLDER
from ...common.settings_file import read_settings_page
from ...common.state_files import LOCK, QUEUE, REPLIES, REQUESTS
from ...common.state_place import MOVED_TO, PATH_FILE, inside_of
from ...common.watched import Watched
from ...defaults_config import SETTINGS
from ...master.child_config import bak_of
from ...subtask.offline.offline_queue import read_queue, remove_snapshots, snapshots
from ..alerts.incidents import FOLDER, name_of
from ..exit_status import FAILED, CommandError
from ..tasks.find import own
from ..tasks.task import Task
from .running_task import RUN_LOCK, task_folder

STATE, COPIES, RECORD, ALERTS, LOG, NOTIFY = "state", "snapshots", "record", "alerts", "log", "notify files"
_LOGS = ("Master_Log_FileName", "Subtask_Log_FileName")
_SIGNALS = (".notify", ".hold")
_DEFAULT_PARENTS = ("upload", ".upload")
"""The parent folders of the default snapshot folders (of an app's config, and of a config file), which go with the last of them."""


class Left(NamedTuple):
    """Something that a task has left. ``kind``: one of the constants above; ``place``: a folder or file; ``paths``: the files in
    the folder that are meant (none: the place as a whole)."""

    kind: str
    place: str
    paths: tuple[str, ...] = ()


class Plan(NamedTuple):
    """What a purge does. ``rows``: what would be removed; ``kept``: the queues that stay, as (name of the child, undelivered files,
    state folder), with -1 undelivered files for a queue that cannot be read."""

    rows: list[Left]
    kept: list[tuple[str, int, str]]


def refusal(children: Sequence[Task]) -> str:
    """Why nothing of this task may be removed now, as the end of a sentence that begins with the task's name; '' where it may."""
    for child in children:
        if child.lives():
            return "runs: 'pysubtask stop' ends it, and then whoever started it"
        if child.master() is not None:
            return "belongs to an app or 'pysubtask run' that lives: end that first"
        runner = StateLock(os.path.join(task_folder(child.state_dir), RUN_LOCK)).holder()
        if runner is not None:
            return f"is run by 'pysubtask run' (process {runner.pid}): end that first"
    return ""


def plan(children: Sequence[Task], *, with_queue: bool) -> Plan:
    """Everything that pysubtask keeps of a task. To be called with the rights of the task's user. Without ``with_queue`` a child
    with undelivered files keeps all of its files, and the task its logs."""
    rows: list[Left] = []
    kept: list[tuple[str, int, str]] = []
    for child in children:
        left = undelivered(child.state_dir)
        if left and not with_queue:
            kept.append((child.called, left, child.state_dir))
            continue
        rows += _of_child(child)
    if not kept:
        everything = [task for task in own() if task.place not in {child.place for child in children}]
        foreign = {path for task in everything for path in _logs(task)}
        for child in children:
            rows += [Left(LOG, path) for path in _logs(child) if path not in foreign]
            rows += [Left(ALERTS, path) for path in _alerts(child)]
        notifies = sorted({path for child in children for path in _signals(child)})
        by_folder: dict[str, list[str]] = {}
        for path in notifies:
            by_folder.setdefault(os.path.dirname(path), []).append(path)
        rows += [Left(NOTIFY, folder, tuple(paths)) for folder, paths in by_folder.items()]
    return Plan(list(dict.fromkeys(rows)), kept)


def undelivered(state_dir: str) -> int:
    """The number of undelivered files in the queue of a dead child; -1 where the queue cannot be read."""
    if not os.path.lexists(os.path.join(state_dir, QUEUE)):
        return 0
    found = read_queue(state_dir, 0)
    return -1 if found is None else found.counts.waiting + found.counts.sending + found.counts.parked


def _of_child(child: Task) -> Iterator[Left]:
    copies = _bak_dir(child)
    if copies is not None and not copies.startswith(os.path.join(child.state_dir, "")):
        with contextlib.suppress(OSError):  # it cannot be read, so it belongs to another user and holds no snapshot of this one
            paths = snapshots(child.state_dir, copies)
            if paths or not os.listdir(copies):
                yield Left(COPIES, copies, tuple(paths))
    inside = inside_of(child.folder, child.task, child.extension)
    for place in (child.state_dir, inside):
        if os.path.isdir(place) and (place == child.state_dir or os.path.lexists(os.path.join(place, MOVED_TO))):
            yield Left(STATE, place)
    record = registry.file_of(child.record)
    if os.path.lexists(record):
        yield Left(RECORD, record)


def _alerts(child: Task) -> list[str]:
    """The files that record which alerts of the task were given."""
    folder, name = os.path.join(os.path.dirname(registry.file_of(child.record)), FOLDER), name_of(child.folder, child.task)
    paths = [os.path.join(folder, name + end) for end in (".json", ".lock")]
    return [path for path in paths if os.path.lexists(path)]


def _bak_dir(child: Task) -> str | None:
    settings = read_settings_page(child.state_dir, any_owner=False).get("settings")
    default = next(row.default for row in SETTINGS["base"] if row.key == "BakToFolder")
    bak = settings.get("BakToFolder", default) if isinstance(settings, dict) else default
    return bak_of(child.extension, bak, child.folder, os.path.abspath(child.state_dir)) if isinstance(bak, str) else None


def _entries(child: Task) -> tuple[list[Entry], Watched] | None:
    try:
        found = read_settings_page(child.state_dir, any_owner=False)["watched"]
        entries = from_json(found["entries"])
        return entries, Watched(entries, set(found["closed"]))
    except (ValueError, LookupError, TypeError):
        return None


def _logs(child: Task) -> list[str]:
    """The logs of a child that exist, rotated ones too. A relative log whose folder is not known is left out, and so is a log that
    the task sends, since it is data."""
    page = read_settings_page(child.state_dir, any_owner=False)
    settings, cwd, watched = page.get("settings"), page.get("cwd"), _entries(child)
    found: list[str] = []
    for key in _LOGS:
        log = settings.get(key) if isinstance(settings, dict) else None
        if not isinstance(log, str):
            continue
        log = os.path.normpath(os.path.join(cwd if isinstance(cwd, str) else "", log))
        if not os.path.isabs(log) or (watched is not None and log in watched[1].files):
            continue
        folder, name = os.path.split(log)
        with contextlib.suppress(OSError):
            found += [
                os.path.join(folder, one)
                for one in sorted(os.listdir(folder))
                if re.fullmatch(re.escape(name) + r"(\.[0-9]+)?", one) and _is_ours(os.path.join(folder, one))
            ]
    return list(dict.fromkeys(found))


def _signals(child: Task) -> Iterator[str]:
    """The notify and hold files beside watched files. A file with content is not one of pysubtask's, and stays."""
    known = _entries(child)
    if known is None:
        return
    entries, watched = known
    for entry in entries:
        if entry.kind == "file":
            yield from (entry.path + end for end in _SIGNALS if _is_ours(entry.path + end, empty=True))
            continue
        for folder, below, names in os.walk(entry.path):
            below[:] = [name for name in below if entry.recursive and name != STATE_FOLDER]
            for path in (os.path.join(folder, name) for name in names if name.endswith(_SIGNALS)):
                if watched.has(data_name(path)) and _is_ours(path, empty=True):
                    yield path


def _is_ours(path: str, *, empty: bool = False) -> bool:
    try:
        return _is_regular(os.lstat(path), empty)
    except OSError:
        return False


def _is_regular(found: os.stat_result, empty: bool) -> bool:
    mine = effective_user.now() in (-1, found.st_uid)
    return stat.S_ISREG(found.st_mode) and mine and not (empty and found.st_size)


def remove(children: Sequence[Task], *, with_queue: bool, agreed: Sequence[Left]) -> list[str]:
    """Remove what the user has ``agreed`` to; a line for each place that could not be removed. To be called with the rights of the
    task's user. The locks of the task are held meanwhile, so that no child can start.

    CommandError, and nothing is removed, where the task was started since, or undelivered files have come into its queue.
    """
    removed = {row.place for row in agreed if row.kind == STATE}
    if not with_queue and any(undelivered(child.state_dir) for child in children if child.state_dir in removed):
        raise CommandError("There are undelivered files in its queue by now. Nothing was removed.", FAILED)
    with contextlib.ExitStack() as held:
        _hold(held, children)
        why = refusal_of_masters(children)
        if why:
            raise CommandError(f"It {why}. Nothing was removed.", FAILED)
        problems: list[str] = []
        # Snapshots before the state folder, whose database names them; the record last, by which the task is found for a next try.
        for row in sorted(agreed, key=lambda row: (NOTIFY, COPIES, LOG, STATE, ALERTS, RECORD).index(row.kind)):
            try:
                _REMOVE[row.kind](row)
            except OSError as exc:
                problems.append(f"{row.place}: {exc.strerror or exc}")
        return problems


def refusal_of_masters(children: Sequence[Task]) -> str:
    """As :func:`refusal`, while the locks of the task are held: only a living master counts, which is about to start a child."""
    return "belongs to an app or 'pysubtask run' that lives" if any(child.master() is not None for child in children) else ""


def _hold(held: contextlib.ExitStack, children: Sequence[Task]) -> None:
    paths = [os.path.join(task_folder(child.state_dir), RUN_LOCK) for child in children]
    for path in dict.fromkeys([*paths, *(os.path.join(child.state_dir, LOCK) for child in children)]):
        if os.path.lexists(path) and not held.enter_context(StateLock(path).briefly_held()):
            raise CommandError(f"{children[0].name} has been started meanwhile. Nothing was removed.", FAILED)


def _remove_state(row: Left) -> None:
    own_folders.remove_folder(row.place)
    task = os.path.dirname(row.place)
    top = os.path.dirname(task)
    for folder, file in ((task, RUN_LOCK), (top, PATH_FILE)):
        # Files of the task, or of the watched folder, as a whole are removed with the last child.
        if own_folders.is_root(os.path.basename(top)) and set(own_folders.names(folder)) <= {file, REQUESTS, REPLIES}:
            own_folders.remove_folder(folder)
        else:
            break


def _remove_copies(row: Left) -> None:
    remove_snapshots(row.place, row.paths)
    above = os.path.dirname(row.place)
    if os.path.basename(above) in _DEFAULT_PARENTS:
        remove_snapshots(above, ())
    left = [path for path in row.paths if os.path.lexists(path)]
    if left:
        raise OSError(0, f"{len(left)} files in it cannot be removed")


def _remove_signals(row: Left) -> None:
    for path in row.paths:
        _unlink(path, empty=True)


def _unlink(path: str, *, empty: bool = False) -> None:
    """Remove a regular file of this user. The folder is opened without following links, and the file is checked once more right
    before it is removed, as another may have taken its place since the plan was made; with ``empty`` a file with content stays."""
    with contextlib.suppress(FileNotFoundError), beneath.to_write(path) as at:
        name = path if at is None else os.path.basename(path)
        if _is_regular(os.stat(name, dir_fd=at, follow_symlinks=False), empty):
            os.unlink(name, dir_fd=at)


def _remove_own(row: Left) -> None:
    own_files.remove(os.path.dirname(row.place), os.path.basename(row.place))


_REMOVE: dict[str, Callable[[Left], None]] = {
    STATE: _remove_state,
    COPIES: _remove_copies,
    NOTIFY: _remove_signals,
    LOG: lambda row: _unlink(row.place),
    ALERTS: _remove_own,
    RECORD: _remove_own,
}
