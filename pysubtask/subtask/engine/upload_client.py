"""The child as its dispatcher sees it: what the dispatcher asks of it and reports to it, from its own thread."""

from __future__ import annotations

from collections import deque

from ..spool.jobs import ClaimedJob
from .child_context import OpenChild
from .live_files import LiveFiles
from .task_names import TaskNames


class UploadClient:
    """See DispatcherClient, SourceFiles and NameOwners in ``delivery/interfaces``. ``may_have_tails``: whether nobody relies on
    whole snapshots. ``harmed``: names under which the server has put another file, for the main thread."""

    def __init__(self, child: OpenChild, names: TaskNames, live_files: LiveFiles, *, may_have_tails: bool) -> None:
        self._child = child
        self._names = names
        self._live_files = live_files
        self._may_have_tails = may_have_tails
        self.harmed: deque[str] = deque()

    def page_changed(self) -> None:
        """The status page is out of date."""
        if self._child.status_writer.touch():
            self._child.context.alarm.ring()

    def snapshot_lost(self, path: str) -> None:
        """The snapshot of this data file cannot be read, or is not what it was, so the file has to be copied again, and whole."""
        self._child.aids.growing_copies.release(path)
        self._child.retakes.ask(path)

    def confirm(self, version: ClaimedJob) -> None:
        """Raise SourceChanged where a live file was changed since it was queued."""
        self._live_files.confirm(version)

    def open_live(self, path: str) -> int:
        """A descriptor of a live file for reading. Raises OSError."""
        return self._live_files.open(path)

    def write_heartbeat(self) -> list[str]:
        """Write the heartbeat files now; the paths of those to be sent. Raises OSError."""
        return self._child.heartbeat.write()

    def server_can(self, builds: bool, copies: bool) -> None:
        """Whether the server can build upon the file it has, and whether it can copy parts of it."""
        self._child.aids.signature_cache.needed = copies
        self._child.aids.wants_tails = builds and self._may_have_tails

    def is_anothers(self, name: str, path: str) -> bool:
        """Whether a remote name belongs to another data file than the one given."""
        return self._names.is_anothers(name, path)

    def name_harmed(self, name: str) -> None:
        """The server has put another file under such a name."""
        self.harmed.append(name)
        self._child.context.alarm.tick_soon()
