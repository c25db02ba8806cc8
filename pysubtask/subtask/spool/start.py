"""The start of a child, as its queue sees it: a new epoch begins, and the queue belongs to the present destination."""

from __future__ import annotations

import sqlite3
from typing import NamedTuple

from ...common.clock import EARLIEST, is_plausible
from ...common.destination import is_same_place
from .database import Commit
from .meta import Meta

_DAY_SECS = 86400
_TEMP_DAYS = 30


class Start(NamedTuple):
    """The number of this start (``epoch``); ``moved``: whether the destination is another one than at the start before;
    ``former``: the destination by the protocol before, where only the protocol has changed ('' otherwise)."""

    epoch: int
    moved: bool
    former: str


def begin(db: sqlite3.Connection, commit: Commit, meta: Meta, destination: str, wall: float) -> Start:
    """Start a new epoch: nothing is in flight, everything is due, and the queue belongs to ``destination``. ``wall``: seconds since
    the epoch of the system's clock."""
    # One commit: a queue with the new destination and the old knowledge would append to files of another server.
    with commit():
        epoch = int(meta.get("epoch", 0)) + 1
        meta.set("epoch", epoch)
        before = str(meta.get("destination", destination))
        moved = before != destination
        meta.set("destination", destination)
        if moved:
            _come_from(db, meta, before, destination)
        former = str(meta.get("former", ""))
        # Where a newer snapshot waits, the job that was in flight is dropped.
        db.execute("DELETE FROM job WHERE state = 'sending' AND name IN (SELECT name FROM job WHERE state <> 'sending')")
        # The server may have what was in flight: it is compared before it is sent again.
        db.execute("UPDATE job SET state = 'waiting', compare = 1 WHERE state = 'sending'")
        db.execute("UPDATE job SET state = 'waiting', due = 0, attempts = 0, reason = NULL")
        if moved:
            db.execute("UPDATE job SET compare = 0, resume = ''")
            db.execute("DELETE FROM source")
        db.execute("DELETE FROM profile WHERE destination <> ?", (destination,))
        _date_temps(db, wall)
    return Start(epoch, moved, former)


def _date_temps(db: sqlite3.Connection, wall: float) -> None:
    """Temporary names that were noted before the clock was set count as new; those of a month ago are forgotten."""
    if is_plausible(wall):
        db.execute("UPDATE temp SET at = ? WHERE at < ? OR at > ?", (wall, EARLIEST, wall + _DAY_SECS))
    db.execute("DELETE FROM temp WHERE at < ?", (wall - _TEMP_DAYS * _DAY_SECS,))


def _come_from(db: sqlite3.Connection, meta: Meta, before: str, destination: str) -> None:
    """The destination was changed: the knowledge about the one ``before`` is kept where it is the same place over another
    protocol."""
    same = is_same_place(before, destination)
    meta.set("former", before if same else "")
    if same:
        # What is known from an earlier time over this protocol is older, so it is removed.
        for table in ("remote", "signature"):
            db.execute(
                f"DELETE FROM {table} WHERE destination = ? AND name IN (SELECT name FROM remote WHERE destination = ?)",
                (destination, before),
            )
