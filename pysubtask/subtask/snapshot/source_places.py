"""In which folder a due file must really be, should a link lead to it."""

from __future__ import annotations

import os
from collections.abc import Sequence

from ...common.entries import Entry, below
from ...common.paths import folder_of
from ..watch.watcher import RESIDUAL, Due
from .sources import Place, place_of


class SourcePlaces:
    """The places of the folders of ``entries``, each found out once until :meth:`forget`."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self._entries = entries
        self._real: dict[str, Place] = {}

    def forget(self) -> None:
        """Find all places out again: folders and links may be others now."""
        self._real.clear()

    def within(self, due: Due) -> Place | None:
        """The folder that a file must really be in; None for a named file. Raises OSError."""
        folder = folder_of(due.path)
        if due.entry_index == RESIDUAL:
            return self._real_place(folder)
        entry = self._entries[due.entry_index]
        if entry.kind == "file":
            return None
        # The folder of the entry may be a link, the folders inside it may not.
        inside, top = below(entry, folder), self._real_place(entry.path)
        return top._replace(path=os.path.normpath(os.path.join(top.path, inside))) if inside else top

    def _real_place(self, folder: str) -> Place:
        found = self._real.get(folder)
        if found is None:
            found = self._real[folder] = place_of(folder)
        return found
