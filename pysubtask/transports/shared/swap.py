"""The order of a swap, and of its repair, on a server that cannot rename over a file. Pure, but for the record.

The old file is renamed to an aside, the new one is renamed to the name, and the aside is removed. For a moment a reader sees no
file; at no moment is there neither the old file nor the new one. Each order is a generator: it yields a step, the transport carries
the step out in its own way, and sends back what came of it.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Literal, NamedTuple

from .swap_record import SwapRecord

Outcome = Literal["replaced", "refused", "stays"]
"""What became of a swap: the new file has the name; the new file was refused, and the old one has its name again where the server
allowed that; the old file could not be put aside, so nothing has changed."""


class Step(NamedTuple):
    """One request of a swap. ``verb``: 'tell' whether ``path`` exists, 'rename' it to ``to``, 'restore' it to ``to`` (a rename
    after a refusal, which is the reply that decides), or 'remove' it."""

    verb: Literal["tell", "rename", "restore", "remove"]
    path: bytes
    to: bytes = b""


Steps = Generator[Step, bool | None, Outcome | None]
"""Steps of a swap, each answered by whether it succeeded; for ``tell`` by whether the file exists, None where the server does not
tell. ``remove`` has succeeded where nothing about the aside is left to be done by a later connection."""


def swap(record: SwapRecord, temp: bytes, target: bytes, aside: bytes, now: float) -> Steps:
    """The steps that put ``temp`` in the place of ``target``, which exists; ``now``: wall-clock seconds. OSError where the aside
    cannot be recorded: then no step may be taken. After 'stays' the caller forgets the aside in the record."""
    record.add(aside, target, now)  # before the first rename: after a crash, only the record leads to the old file
    return _swap(record, temp, target, aside)


def _swap(record: SwapRecord, temp: bytes, target: bytes, aside: bytes) -> Steps:
    if not (yield Step("rename", target, aside)):
        return "stays"
    if not (yield Step("rename", temp, target)):
        if (yield Step("restore", aside, target)):
            record.forget(aside)  # not where it failed: the next connection restores the old file
        return "refused"
    # The old file goes only now that the new one has the name, and its record only when the old file is gone.
    if (yield Step("remove", aside)):
        record.forget(aside)
    return "replaced"


def mend(aside: bytes, target: bytes) -> Steps:
    """The steps that finish or undo an interrupted swap. The aside stays where the server does not tell whether ``target`` exists,
    and the record stays: a server that was frozen may still carry out an old rename."""
    if not (yield Step("tell", aside)):
        return None
    exists = yield Step("tell", target)
    if exists is False:  # the aside may be the only copy
        if (yield Step("rename", aside, target)):
            return None
        exists = yield Step("tell", target)  # another program may have created the file meanwhile
    if exists:
        yield Step("remove", aside)
    return None
