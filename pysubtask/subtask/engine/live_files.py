"""Live data files, which are uploaded themselves where there is no snapshot folder."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable

from ...common.entries import Entry
from ...common.errors import SourceChanged
from ..snapshot.file_copies import content_digest
from ..snapshot.sources import Place, opened, place_of
from ..spool.jobs import ClaimedJob


class LiveFiles:
    """For any thread."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._named = frozenset(entry.path for entry in entries if entry.kind == "file")

    def confirm(self, version: ClaimedJob) -> None:
        """Raise SourceChanged where a live file does not hold the queued content any more, so that it is not published."""
        if not version.live:
            return
        digest = ""
        with contextlib.suppress(OSError):
            digest = content_digest(version.snapshot, version.size, self._within(version.snapshot))
        if digest != version.digest:
            raise SourceChanged(f"{version.path} was rewritten while it was sent")

    def open(self, path: str) -> int:
        """A descriptor for reading. Raises OSError."""
        with opened(path, self._within(path)) as (handle, _):
            return os.dup(handle)

    def _within(self, path: str) -> Place | None:
        """The folder in which a live file must really be; None for a named one. Raises OSError."""
        return None if path in self._named else place_of(os.path.dirname(path))
