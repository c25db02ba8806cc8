"""The classes of children that upload, for people to subclass."""

from __future__ import annotations

from .base_subtask import BaseSubtask


class UploadSubtask(BaseSubtask):
    """Snapshots and queues like every child, and sends the queue to ``transport`` (a name of TRANSPORTS; where it
    is empty, UseSFTP chooses).

    ``process_notify`` is called with each snapshot before it is sent and need not do anything.
    """

    transport = ""

    def process_heartbeat(self, file: str) -> None:
        """Called when a heartbeat is due: the dispatcher writes and sends it."""
        self._pysubtask_services.send_heartbeat()

    def process_notify(self, snapshot: str) -> None:
        """Called with the path of each new snapshot before it is sent."""


class FTPSubtask(UploadSubtask):
    """Uploads by SFTP or FTP what its master notifies."""


class DropboxSubtask(UploadSubtask):
    """Uploads to Dropbox what its master notifies."""

    transport = "dropbox"
