"""A dry run of a task: the files that it would send, leave alone, archive and skip if it were started now, and why. Nothing is
changed, and no server is asked."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from ...common import registry
from ...common.destination import is_same_place, protocol_of
from ...common.entries import Entry, below, first_folder, left_out, remote_name, selects
from ...common.links import why_not_followed
from ...common.never_sent import NeverSent
from ...common.notify import is_signal_file
from ...common.place import why_not
from ...common.receipts import Receipt, read_receipts
from ...common.state_place import holding, inside_of, own_folders
from ...common.status import read_status
from ...common.temporary import DATABASE_SIDES, database_of
from ...common.triggers import when_sent
from ...common.watched import Dirs
from ...master.archive import expiry, is_data, is_ours, is_proven, scope
from ...master.child_config import Plan
from ...master.mover import Old
from ...master.task_plan import closed_paths
from ...transports import transport_class
from ..config.config_file import own_of
from ..config.task_config import TaskConfig
from ..doctor import mistyped
from .name_owners import NameOwners
from .not_watched import NotWatched

_DATABASE = (
    "an SQLite database that is in use: what stands in its -wal or -journal is not in this file. For a copy that can be "
    "opened with all that is committed, have one made with VACUUM INTO and watch that"
)


class Sent(NamedTuple):
    """A file that would be sent. ``path``: here; ``name``: on the server, relative to the destination; ``size``: bytes that would
    be uploaded at most; ``why``: in a few words."""

    path: str
    name: str
    size: int
    why: str


class Skipped(NamedTuple):
    """A file or folder at ``path`` that would not be sent, and ``why``."""

    path: str
    why: str


class Child(NamedTuple):
    """One destination of a task. ``label``: what its child is called; ``destination``: a URL without secrets; ``send``: the files
    that would be sent; ``delivered``: how many files are there already as they are here; ``skipped``: the files that this
    destination would not get. ``held``: why nothing goes, or ''. ``kept``: where the state is kept that is not in the first folder,
    and why, or ''."""

    label: str
    destination: str
    send: tuple[Sent, ...]
    delivered: int
    skipped: tuple[Skipped, ...]
    held: str
    kept: str = ""


class Outlook(NamedTuple):
    """What a task would do. ``name``: its label; ``children``: one for each destination; ``skipped``: the files that no destination
    would get; ``missing``: watched folders that cannot be used now, and why. ``archive``: (file, why) of what would be moved to
    ``root``; ``root`` None: nothing ever is. ``watched``: each entry's path, and what makes its files go."""

    name: str
    children: tuple[Child, ...]
    skipped: tuple[Skipped, ...]
    missing: tuple[Skipped, ...]
    root: str | None
    archive: tuple[tuple[str, str], ...]
    watched: tuple[tuple[str, str], ...] = ()


def transport_of(plan: Plan) -> str:
    """The name of the transport that a child would use."""
    if plan.extension != "ftp":
        return plan.extension
    settings = plan.settings
    return str(settings["SFTPLibrary"] or "sftp") if settings["UseSFTP"] else "ftp"


def dry_run(task: TaskConfig, now: float, names: NameOwners | None = None) -> Outlook:
    """What this task would do at ``now`` (seconds since the epoch). ``names``: the owners of names on the server, shared by the dry
    runs of all tasks of a config (None: of this task alone). ConfigError where a library is missing."""
    names = NameOwners() if names is None else names
    logs = [
        os.path.abspath(log)
        for plan in task.plans
        for key in ("Master_Log_FileName", "Subtask_Log_FileName")
        if (log := plan.settings[key]) is not None
    ]
    closed = (*closed_paths(task.entries, task.plans, logs), *task.closed)
    skipped: list[Skipped] = []
    own = own_of(task)
    found = list(_files(task.entries, {*closed, *logs}, own, skipped))
    # A start may move the state folder first; the receipts are still in the old one.
    plans = [plan._replace(state_dir=holding(plan.state_dir, plan.state_elsewhere)) for plan in task.plans]
    receipts = [_newest(plan) for plan in plans]
    children = tuple(_child(plan, found, newest, names) for plan, newest in zip(plans, receipts, strict=True))
    children = tuple(
        child._replace(kept=f"{plan.state_dir}: {plan.state_why}" if plan.state_why else "")
        for child, plan in zip(children, task.plans, strict=True)
    )
    root, archive = _archive(task, [newest for _, newest in receipts], own, now)
    watched = tuple((entry.path, when_sent(entry)) for entry in task.entries)
    return Outlook(task.plans[0].label, children, tuple(skipped), tuple(_missing(task)), root, archive, watched)


def _missing(task: TaskConfig) -> Iterator[Skipped]:
    """The watched folders that do not exist, or have no disk mounted where RequiresMount asks for one."""
    settings, state_dir = task.plans[0].settings, task.plans[0].state_dir
    first = first_folder(task.entries)
    record = registry.known(inside_of(first, task.plans[0].task, task.plans[0].extension))
    for folder in dict.fromkeys(entry.path if entry.kind == "dir" else os.path.dirname(entry.path) for entry in task.entries):
        device = record.device or None if record is not None and folder == first else None
        why = why_not(folder, state_dir, mount=settings["RequiresMount"], device=device)
        if why and settings["MakeFolders"] and not os.path.exists(folder) and why.startswith("there is no folder"):
            why = "it is not there, and is made at the start (MakeFolders)"
        elif why:
            why += "; the task waits for it" if folder == first else "; its files are sent when it is there"
        if why:
            yield Skipped(folder, why)


def _files(
    entries: Sequence[Entry], closed: set[str], own: NeverSent, skipped: list[Skipped]
) -> Iterator[tuple[Entry, str, os.stat_result]]:
    """Every data file that would be considered, with its entry and its stat; files and folders that would not are added to
    ``skipped``."""
    dirs, not_watched = Dirs(entries, closed, own), NotWatched()
    static = {entry.path for entry in entries if entry.kind == "file"}
    for entry in entries:
        if entry.kind == "file":
            try:
                yield entry, entry.path, os.stat(entry.path)
            except OSError as exc:
                how = "" if entry.on_change else " and is notified"
                near = mistyped.near_file(entry.path, static) if isinstance(exc, FileNotFoundError) else ""
                asked = f" (did you mean {near}?)" if near else ""
                skipped.append(Skipped(entry.path, f"{exc.strerror}{asked}; it is sent when it comes{how}"))
            continue
        waiting = [entry.path]
        while waiting:
            folder = waiting.pop()
            try:
                items = sorted(os.scandir(folder), key=lambda item: item.name)
            except OSError as exc:
                if folder != entry.path or not isinstance(exc, (FileNotFoundError, NotADirectoryError)):
                    skipped.append(Skipped(folder, str(exc.strerror)))
                continue  # _missing() reports a watched folder that does not exist
            for item in items:
                if item.is_dir(follow_symlinks=False):
                    if entry.recursive and dirs.covers(item.path) is entry:
                        waiting.append(item.path)
                    elif not entry.recursive and (reason := _below(entry, item.path, dirs, closed, own, not_watched)):
                        skipped.append(Skipped(os.path.join(item.path, ""), reason))
                elif is_signal_file(item.name) or item.path in static:
                    continue
                elif why := _why_own(item, own):
                    skipped.append(Skipped(item.path, why))
                elif item.path not in closed:
                    yield from _in_dir(entry, folder, item, closed, skipped)


def _below(entry: Entry, folder: str, dirs: Dirs, closed: set[str], own: NeverSent, not_watched: NotWatched) -> str:
    """Why a folder inside a folder that is not watched recursively is worth a note; '' where ``recursive = true`` would send
    nothing more."""

    def is_data(path: str) -> bool:
        name = below(entry, path)
        counts = not is_signal_file(path) and path not in closed and selects(entry, name) and not left_out(entry, name)
        return counts and not own.why(path)

    def is_closed(path: str) -> bool:
        return path in closed or os.path.realpath(path) in closed or dirs.covers(path) is not None

    return not_watched.reason(folder, is_data, is_closed)


def _why_own(item: os.DirEntry[str], own: NeverSent) -> str:
    """Why a file is no data: it is one of pysubtask's own by its name, or a link to one; '' for a data file."""
    why = own.why(item.path) or (own.why(os.path.realpath(item.path)) if item.is_symlink() else "")
    if why:
        return why
    try:
        return own.why_same(item.stat()) if own else ""
    except OSError:
        return ""


def _in_dir(
    entry: Entry, folder: str, item: os.DirEntry[str], closed: set[str], skipped: list[Skipped]
) -> Iterator[tuple[Entry, str, os.stat_result]]:
    if not selects(entry, below(entry, item.path)):
        skipped.append(Skipped(item.path, "left out by include or exclude"))
    elif left_out(entry, below(entry, item.path)):
        skipped.append(Skipped(item.path, _why_temporary(item.path)))
    elif not item.is_file():
        skipped.append(Skipped(item.path, "it is no plain file"))
    elif item.is_symlink() and (why := why_not_followed(item.path, folder, closed)):
        skipped.append(Skipped(item.path, why))
    else:
        try:
            yield entry, item.path, item.stat()
        except OSError as exc:
            skipped.append(Skipped(item.path, f"it cannot be read ({exc.strerror})"))


def _why_temporary(path: str) -> str:
    database = database_of(path)
    if database and os.path.exists(database):
        return f"SQLite keeps it beside the open database {os.path.basename(database)}; default_exclude = false sends it"
    return "has the name of another program's temporary file; default_exclude = false sends it"


def _newest(plan: Plan) -> tuple[str, dict[str, Receipt]]:
    """The destination of a plan, and for each path the newest receipt for that destination."""
    destination = transport_class(transport_of(plan)).identity(plan.settings)
    found = {receipt.path: receipt for receipt in read_receipts(plan.state_dir) if receipt.destination == destination}
    return destination, found


def _left_before(plan: Plan, destination: str) -> dict[str, Receipt]:
    """For each path the newest receipt, if it is for the same folder of the same server over any protocol."""
    newest = {receipt.path: receipt for receipt in read_receipts(plan.state_dir)}
    return {path: receipt for path, receipt in newest.items() if is_same_place(receipt.destination, destination)}


def _child(
    plan: Plan, found: Sequence[tuple[Entry, str, os.stat_result]], receipts: tuple[str, Mapping[str, Receipt]], names: NameOwners
) -> Child:
    destination, newest = receipts
    exact = transport_class(transport_of(plan)).case_sensitive
    owners: dict[str, str] = {}
    before = _left_before(plan, destination)
    send, skipped, delivered = [], [], 0
    page = read_status(plan.state_dir) or {}
    parked = {row.get("path"): row.get("reason") for row in page.get("parked") or [] if isinstance(row, dict)}
    for entry, path, stat in found:
        name = remote_name(entry, path)
        receipt = newest.get(path)
        owner = owners.setdefault(name if exact else name.casefold(), path)
        if owner != path:
            skipped.append(Skipped(path, f"its name on the server, {name!r}, belongs to {owner}: give one of them an 'as'"))
        elif (other := names.other(f"{plan.label}/{plan.extension}", plan.state_dir, destination, exact, name, path)) is not None:
            whose = f"belongs to {other.path} of the task {other.task}"
            skipped.append(Skipped(path, f"its name on the server, {name!r}, {whose}: give one of the two entries an 'as'"))
        elif not os.access(path, os.R_OK):
            skipped.append(Skipped(path, "this user may not read it"))
        elif receipt is not None and (receipt.size, receipt.mtime_ns) == (stat.st_size, stat.st_mtime_ns):
            delivered += 1
        else:
            why = "new" if receipt is None else f"changed since {receipt.at}"
            left = before.get(path)
            if left is not None and (left.name, left.size, left.mtime_ns) == (name, stat.st_size, stat.st_mtime_ns):
                why = f"delivered over {protocol_of(left.destination)} before; only if the server does not show it as it was left"
            if any(os.path.exists(path + side) for side in DATABASE_SIDES):
                why += "; " + _DATABASE
            if path in parked:
                why += f"; the server refused it before: {parked[path]}"
            send.append(Sent(path, name, stat.st_size, why))
    paused = [row.get("name") for row in page.get("paused") or [] if isinstance(row, dict)]
    held = "paused: nothing goes until 'pysubtask resume'" if None in paused else ""
    return Child(f"{plan.label}/{plan.extension}", destination, tuple(send), delivered, tuple(skipped), held)


def _archive(
    task: TaskConfig, newest: Sequence[Mapping[str, Receipt]], own: NeverSent, now: float
) -> tuple[str | None, tuple[tuple[str, str], ...]]:
    settings = task.plans[0].settings
    if not task.archives:
        return None, ()
    others = [folder for plan in task.plans for folder in (plan.bak_dir, *own_folders(plan.state_dir, first_folder(task.entries)))]
    where = scope(task.entries, settings["ArchiveToFolder"], others, own)
    before = expiry(now, settings["ArchiveAfterDaysOld"])
    moved = []
    for folder in where.folders:
        try:
            items = sorted(os.scandir(folder), key=lambda item: item.name)
        except OSError:
            continue  # _files() has reported it
        for item in items:
            if not is_data(item.name) or not item.is_file(follow_symlinks=False) or _why_own(item, own):
                continue
            stat = item.stat(follow_symlinks=False)
            ours = is_ours(where, item.path)
            old = Old(item.path, stat.st_size, stat.st_mtime_ns, stat.st_ino)
            if stat.st_mtime < before and (not ours or is_proven(old, newest)):
                moved.append((item.path, "delivered and old" if ours else "old, and nothing that is sent"))
    return where.root or first_folder(task.entries), tuple(moved)
