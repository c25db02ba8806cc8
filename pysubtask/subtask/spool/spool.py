"""The spool: one SQLite file, one connection, one thread. It opens the file and hands it to its parts, each of which has the SQL
of one thing.

What is delivered leaves the queue and stays as the known state of the remote name plus a receipt. Paths are stored as bytes, so
that any name the file system allows survives.
"""

from __future__ import annotations

import functools

from . import database
from .deliveries import Deliveries
from .meta import Meta
from .queue import Queue
from .queue_admin import QueueAdmin
from .remote_files import RemoteFiles
from .stamps import Stamps
from .start import begin
from .temp_names import TempNames


class Spool:
    """Opened with the path of the file and the identity of the destination. Not thread-safe: one thread calls it and its parts.
    ``wall``: the system's clock, in seconds since the epoch.

    After a change of destination the queue goes to the new one, and what was known of the files on the old server is forgotten.
    Where only the protocol is another (``start.former``: the destination by the protocol before), each file is compared with the
    server before it is sent. Raises SpoolDamaged on opening a file that is no queue, SpoolTooNew on one of a later format, and
    DiskLow where the disk is full.

    The parts: ``meta`` (small values), ``queue`` (the jobs), ``queue_admin`` (the jobs as people see and change them),
    ``deliveries`` (what is delivered, receipts), ``remote_files`` (what is known of the server),
    ``temps`` (temporary names on the server), ``stamps`` (what is handled). ``start``: the epoch, and the destination before.
    """

    def __init__(self, path: str, destination: str, wall: float) -> None:
        self.path = path
        self.destination = destination = database.storable(destination)
        with database.opening(path) as db:
            self._db = db
            commit = functools.partial(database.commit, db, path)
            self.meta = Meta(db, commit, destination)
            # First of all, as it changes what the parts read.
            self.start = begin(db, commit, self.meta, destination, wall)
            self.stamps = Stamps(db, commit)
            self.queue_admin = QueueAdmin(db, commit)
            self.remote_files = RemoteFiles(db, commit, destination, self.start.former)
            self.temps = TempNames(db, commit, destination)
            self.queue = Queue(db, commit, destination, self.queue_admin.paused, self.stamps, self.remote_files, self.temps)
            self.deliveries = Deliveries(db, commit, destination, self.meta, self.remote_files, self.temps)

    def shrink(self) -> None:
        """Give free room in the file back to the disk, where there is much of it. Raises sqlite3.Error."""
        database.shrink(self._db)

    def close(self) -> None:
        """Close the file; SQLite merges the WAL into it."""
        self._db.close()
