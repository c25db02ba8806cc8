"""Reads what a dead child has left (its queue and settings) and who has claimed a name. Reading starts, repairs and changes
nothing."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from ...common.errors import ConfigError
from ...common.lock import StateLock
from ...common.settings_file import read_settings_page
from ...common.state_files import LOCK
from ..spool.database import FILE, reading
from ..spool.name_claims import NameClaims as NameClaims
from ..spool.name_claims import Other as Other
from ..spool.queue_admin import Counts, QueueAdmin, Row

_T = TypeVar("_T")


class Found(NamedTuple):
    """What a dead child left: the ``rows`` of its queue, oldest first, the ``counts`` of all rows, and in ``paused`` who paused
    which remote name ('' is everything)."""

    rows: list[Row]
    counts: Counts
    paused: dict[str, str]


def read_queue(state_dir: str, limit: int = 1000) -> Found | None:
    """The queue in this state folder, at most ``limit`` rows of it; None while a child (or another reader) has it open, and where
    it cannot be read. Jobs in flight count as waiting. ``due`` is 0 in all rows."""

    def found(queue_admin: QueueAdmin) -> Found:
        rows = [
            row._replace(due=0.0, state="waiting") if row.state == "sending" else row._replace(due=0.0)
            for row in queue_admin.rows(limit)
        ]
        counts = queue_admin.counts()
        return Found(rows, counts._replace(waiting=counts.waiting + counts.sending, sending=0), queue_admin.paused)

    return _asked(state_dir, found)


def snapshots(state_dir: str, bak_dir: str) -> list[str]:
    """The paths of the snapshots that the queue in this state folder has, or had, in ``bak_dir``, which others share. Raises
    OSError."""
    from ..snapshot.bak_folder import BakFolder  # imported here: reading the queue needs neither
    from ..state_migration import tag_of

    tag = _asked(state_dir, lambda queue_admin: queue_admin.tag()) or tag_of(state_dir)
    try:
        names = BakFolder(bak_dir).names()
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [os.path.join(bak_dir, name) for name in sorted(names) if name.startswith((f"{tag}-", f".{tag}-"))]


def remove_snapshots(bak_dir: str, paths: Sequence[str]) -> None:
    """Remove these snapshots, and the folder where it is empty then; files that cannot be removed stay."""
    from ..snapshot.bak_folder import BakFolder

    bak = BakFolder(bak_dir)
    bak.remove(*paths)
    with contextlib.suppress(OSError):  # others have copies in it
        bak.remove_empty()


def stranger(state_dir: str, words: Sequence[str], cwd: str) -> str | None:
    """The first of these remote names and paths (relative to ``cwd``) that is neither queued nor paused in this state folder;
    None where there is no such word, and where the queue cannot be read."""

    def found(queue_admin: QueueAdmin) -> str | None:
        try:
            queue_admin.names_of(words, cwd)
        except KeyError as exc:
            return str(exc.args[0])
        return None

    return _asked(state_dir, found)


def wrong_setting(state_dir: str, extension: str, requested: Mapping[str, Any]) -> str:
    """The problem of these settings for the child ``extension``, whose last run has left its settings in this state folder; ''
    where there is none."""
    from ..requests.live_settings import (
        LiveSettings,
        defaults_of,
    )  # imported here: reading the queue does not need the table of settings

    found = read_settings_page(state_dir).get("settings")
    try:
        LiveSettings(extension, defaults_of(extension) | (found if isinstance(found, dict) else {})).change(requested)
    except ConfigError as exc:
        return str(exc)
    return ""


def _asked(state_dir: str, question: Callable[[QueueAdmin], _T]) -> _T | None:
    with StateLock(os.path.join(state_dir, LOCK)).briefly_held() as alone:
        path = os.path.join(state_dir, FILE)
        if not alone or not os.path.exists(path):
            return None
        try:
            with reading(path) as db:
                return question(QueueAdmin(db, _never))
        except (sqlite3.Error, OSError):
            # The file is of another version, damaged, or on a file system that refuses the read. The next start of the child
            # repairs it.
            return None


@contextlib.contextmanager
def _never() -> Iterator[None]:
    raise AssertionError("a look changes nothing")
    yield
