"""A data file that is due, and the protocol by which the watch learns what was snapshotted before."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from ...common.notify import Stamp

# The entry index of a file that no entry watches.
RESIDUAL = -1


class Due(NamedTuple):
    """A data file to be snapshotted.

    ``path``: the data file, which may be missing. ``entry_index``: the entry it belongs to, or RESIDUAL. ``stamp``: of
    its notify file, ``hold``: of its hold file, both handled once the snapshot is durable; None without such a file.
    ``cause``: 'notify', 'hold' (a burst held it back until now), 'new' (in a folder), 'change' (``on_change``), 'start'
    (differs from its last snapshot when the child starts), or 'recheck' (the clock of the file system was too coarse to
    show a change: the file is dropped when the content is the same).
    """

    path: str
    entry_index: int
    stamp: Stamp | None
    cause: str
    hold: Stamp | None = None


class Known(Protocol):
    """Stamps of earlier snapshots. Queried often, so the implementation must answer from memory."""

    def handled(self, notify_path: str) -> Stamp | None:
        """The last stamp of a notify file, or hold file, whose snapshot is durable."""

    def source(self, path: str) -> Stamp | None:
        """The stamp a data file had when it was last snapshotted; None where it never was."""
