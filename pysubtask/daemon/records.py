"""Which daemons this user runs, or ran, on this machine: a record for each name, and a lock that tells whether it lives."""

from __future__ import annotations

import json
import os
from typing import NamedTuple

from ..common import own_files, own_folders, registry
from ..common.errors import AlreadyRunning
from ..common.lock import Holder, StateLock, process_start
from .folders import NAME, records_folder

_MOST_BYTES = 65536


class DaemonRecord(NamedTuple):
    """One daemon: its ``name``, ``type`` (its class), ``pid``, ``host``, ``version`` (of pysubtask), the ``folder`` with its
    socket, page and events, ``since`` (UTC, its start), ``ended`` (UTC, '' while it lives or where it was killed) and ``error``
    (why it ended)."""

    name: str
    type: str
    pid: int
    host: str
    version: str
    folder: str
    since: str
    ended: str = ""
    error: str = ""


def write(record: DaemonRecord) -> None:
    """Put a record in the registry. Raises OSError."""
    own_files.replace(registry.make_folder("daemons"), record.name + ".json", json.dumps(record._asdict()).encode("ascii"))


def read(name: str) -> DaemonRecord | None:
    """The record of a name, None where there is none. What another user has written is not read."""
    if NAME.fullmatch(name) is None:
        return None
    try:
        found = json.loads(own_files.read(records_folder(), name + ".json", most=_MOST_BYTES))
        record = DaemonRecord(**{key: found[key] for key in DaemonRecord._fields})
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    texts = [value for key, value in record._asdict().items() if key != "pid"]
    return record if type(record.pid) is int and all(isinstance(text, str) for text in texts) else None


def every() -> list[DaemonRecord]:
    """All records, by name."""
    try:
        names = own_folders.names(records_folder())
    except OSError:
        return []
    found = [read(name.removesuffix(".json")) for name in sorted(names) if name.endswith(".json")]
    return [record for record in found if record is not None]


def forget(name: str) -> None:
    """Take a record away. Raises OSError."""
    own_files.remove(records_folder(), name + ".json")


def lock_of(name: str) -> StateLock:
    """The lock that a daemon of this name holds for life."""
    return StateLock(os.path.join(records_folder(), name + ".lock"))


def holder_of(name: str) -> Holder | None:
    """The process that runs the daemon of this name now; None where none does."""
    return lock_of(name).holder() if NAME.fullmatch(name) else None


def take(name: str) -> StateLock:
    """Become the daemon of this name: its lock. AlreadyRunning, naming who runs it and since when, where there is one."""
    lock = lock_of(name)
    registry.make_folder("daemons")
    try:
        lock.acquire(Holder(os.getpid(), process_start(os.getpid()) or "", None, None), patience=1.0)
    except AlreadyRunning as exc:
        holder, record = lock.holder(), read(name)
        who = f"process {holder.pid}" if holder else "another process"
        since = f" since {record.since}" if record and holder and record.pid == holder.pid else ""
        raise AlreadyRunning(
            f"{name!r} is run already, by {who}{since}. Stop that one first, or give this one another name."
        ) from exc
    return lock


def free_name(wished: str) -> str:
    """The name, or the first of ``name-2``, ``name-3`` ... that no daemon runs under."""
    number = 1
    name = wished
    while holder_of(name) is not None:
        number += 1
        name = f"{wished[:58]}-{number}"
    return name
