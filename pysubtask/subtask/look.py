"""The queue of a child that does not live, read from its file, and whose a name is: a look begins, repairs and changes nothing."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from typing import NamedTuple

from ..common.lock import StateLock
from .backlog import Backlog, Counts, Row
from .claims import Claims as Claims
from .claims import Other as Other
from .database import FILE, reading


class Found(NamedTuple):
    """What a dead child left: its queue, oldest first, the same in numbers, and who paused what ('' is everything)."""

    rows: list[Row]
    counts: Counts
    paused: dict[str, str]


def look(state_dir: str, limit: int = 1000) -> Found | None:
    """The queue in this state folder, at most ``limit`` rows of it; None while a child (or somebody else who looks) has it
    open, and where it cannot be read. What was on its way counts as waiting. A ``due`` says nothing here.
    """
    with StateLock(os.path.join(state_dir, "lock")).looking() as alone:
        path = os.path.join(state_dir, FILE)
        if not alone or not os.path.exists(path):
            return None
        try:
            with reading(path) as db:
                backlog = Backlog(db, _never)
                rows = [row._replace(due=0.0, state="waiting") if row.state == "sending" else row._replace(due=0.0)
                        for row in backlog.rows(limit)]  # fmt: skip
                counts = backlog.counts()
                return Found(rows, counts._replace(waiting=counts.waiting + counts.sending, sending=0), backlog.paused)
        except sqlite3.Error:
            # Of another version, damaged, or on a file system that does not let it be read: the next start mends it.
            return None


@contextlib.contextmanager
def _never() -> Iterator[None]:
    raise AssertionError("a look changes nothing")
    yield
