"""Rechecks: files that must be checked once more at a certain time, as the clock of the file system was too coarse, or their
content may be another one though their stamp is the same."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from ...common.notify import Stamp
from ..platform.timestamp_granularity import again, undecided
from .due import Due


class Recheck(NamedTuple):
    """A file is checked ``at`` this time (monotonic seconds); ``source``: its stamp until now; ``unseen``: its content may differ
    though the stamp is the same; ``entry_index``: the entry it belongs to, or RESIDUAL."""

    at: float
    source: Stamp | None
    unseen: bool
    entry_index: int


class Rechecks:
    """The rechecks to come, one for each path, and those that have just been made due. ``now`` is in monotonic seconds, ``wall`` in
    nanoseconds since the epoch."""

    def __init__(self) -> None:
        self._waiting: dict[str, Recheck] = {}
        self._checked: dict[str, Stamp | None] = {}

    def put(self, path: str, recheck: Recheck) -> None:
        """Have a file checked, instead of any recheck that is to come."""
        self._waiting[path] = recheck

    def read_again(self, path: str, index: int, last: Stamp, now: float, secs: float) -> None:
        """Have the content of a file compared after ``secs`` without a change: its stamp is the same, but its ctime is
        another."""
        self._waiting.setdefault(path, Recheck(now + secs, last, True, index))

    def doubt(self, path: str, index: int, last: Stamp, now: float, wall: int) -> None:
        """Recheck a file with an unchanged stamp at the start: the recheck that was due may have been lost with the last
        child."""
        more = undecided(last, wall)
        if more is not None:
            self._waiting[path] = Recheck(now + more.in_ns / 1e9, last, True, index)

    def take(self, now: float, everything: bool) -> Iterator[tuple[str, Recheck, bool]]:
        """The rechecks whose time has come, which are taken out; with ``everything`` also the others, which stay: each with its
        path and whether it is early."""
        for path, recheck in list(self._waiting.items()):
            early = now < recheck.at
            if early and not everything:
                continue
            if not early:
                del self._waiting[path]
            yield path, recheck, early

    def note_checked(self, path: str, source: Stamp | None) -> None:
        """Note that a file is due by its recheck; ``source``: its stamp before."""
        self._checked[path] = source

    def after_snapshot(
        self, due: Due, last: Stamp | None, since: int, now: float, wall: int, *, in_folder: bool, each: bool
    ) -> None:
        """Have a file checked again after its snapshot, where a change may be hidden. ``last``: the stamp of the snapshot;
        ``since``: the wall clock when the file was found due; ``each``: every change of it counts."""
        checked = due.cause == "recheck" and due.path in self._checked
        before = self._checked.pop(due.path, None)
        # One recheck is enough, as it includes all that was notified within the tick. Only where each change counts, a change
        # that the recheck found may hide another one.
        if checked and (before == last or not each):
            return
        more = again(due.stamp, last, since, wall, alone=in_folder or each)
        if more is not None:
            self._waiting[due.path] = Recheck(now + more.in_ns / 1e9, last, more.unseen, due.entry_index)

    def next_at(self) -> float | None:
        """When the next recheck is to be made (monotonic seconds); None where there is none."""
        return min((recheck.at for recheck in self._waiting.values()), default=None)
