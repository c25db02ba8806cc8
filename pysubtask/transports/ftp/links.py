"""Names that are symbolic links on the server (``RemoteLinks``): found, followed to the file they point to, or replaced.
Blocking.

Where the queue knows of no file under a name, SIZE tells whether there is one. If there is, or if the queue knows of one, STAT
(RFC 959, over the control connection) shows a link. STAT is not asked for names that servers take for patterns; where STAT
shows nothing, the listing of the folder decides: vsftpd matches the name against the link's target, too. A dangling link from
before the first upload answers no server's SIZE and is replaced.

The target of a followed link is replaced as any file is: a temporary file beside it, and a rename. That temporary file is
recorded in ``elsewhere.json`` first, as the queue knows temporary names in the destination's own folders only.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterable

from ...common import own_files
from ...common.errors import AttemptFailed, FileRefused
from ...common.state_files import LINKS_RECORD
from ..base import Link
from .options import is_line, parent_of
from .server_features import CannotTell
from .session import Session

_RECORD = LINKS_RECORD
_MOST_NAMES = 1000  # names that are kept; only a bound for the memory and the record
_MOST_STEPS = 8  # links behind links; a longer chain is a circle
_PATTERN = frozenset("*?[]{}")


def _is_there(session: Session, path: str) -> bool:
    """Whether there is such a file; True where the server cannot tell."""
    try:
        return session.size(path) is not None
    except CannotTell:
        rows = session.rows(parent_of(path))
        return rows is None or any(row.name == path.rpartition("/")[2] for row in rows)


class TempRecord:
    """Temporary files in folders that the queue does not know: the queue's name -> the path. Kept in one small file in
    ``workdir``."""

    def __init__(self, workdir: str, identity: str) -> None:
        self._workdir = workdir
        self._identity = identity
        self._lock = threading.Lock()
        self._known: dict[str, str] = {}
        # Without a readable record a temporary file may stay behind beside a link's target.
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
            read = json.loads(own_files.read(workdir, _RECORD))
            if read["identity"] == identity:
                self._known = {str(name): str(path) for name, path in read["temps"].items()}

    def of(self, name: str) -> str | None:
        """The path where a temporary file of this name may be, or None."""
        return self._known.get(name)

    def add(self, name: str, path: str) -> bool:
        """Record a path before a file is stored there; False where the record cannot be written, and then nothing may be stored
        there."""
        with self._lock:
            if self._known.get(name) == path:
                return True
            self._known[name] = path
            while len(self._known) > _MOST_NAMES:
                del self._known[next(iter(self._known))]
            return self._write()

    def gone(self, names: Iterable[str]) -> None:
        """Forget temporary files that were renamed or removed."""
        with self._lock:
            if [name for name in names if self._known.pop(name, None) is not None]:
                self._write()

    def _write(self) -> bool:
        record = json.dumps({"identity": self._identity, "temps": self._known})
        try:
            # Synced before a byte is stored there: after a power cut, nothing else leads to the temporary file.
            own_files.replace(self._workdir, _RECORD, record.encode("ascii"), sync=True)
        except OSError:
            return False
        return True


class Links:
    """The links of one destination. ``follow``: the setting. For any thread, one at a time for a name."""

    def __init__(self, temp_record: TempRecord, follow: bool) -> None:
        self.temp_record = temp_record
        self.follow = follow
        self._lock = threading.Lock()
        self._refused: dict[str, str] = {}

    def find(self, session: Session, path: str) -> str | None:
        """The target of the link under a path, '' where the server does not tell the target; None for no link, and where the
        server cannot tell."""
        row = None if _PATTERN & set(path) else session.row(path)
        if row is not None:
            return row.link
        try:
            rows = session.rows(parent_of(path)) or ()
        except AttemptFailed:
            return None  # a listing that fails is no reason to refuse the upload
        return next((row.link for row in rows if row.name == path.rpartition("/")[2]), None)

    def place(self, session: Session, path: str) -> tuple[str, Link | None]:
        """The path of the file to replace for an existing name, and the ``Link`` for the receipt (None for no link)."""
        target = self.find(session, path)
        if target is None:
            return path, None
        if not self.follow:
            return path, Link("replaced", target)
        if path in self._refused:
            return path, Link("replaced", target, self._refused[path])
        end, why = self._end_of(session, path, target)
        return (path, Link("replaced", target, why)) if why else (end, Link("followed", target))

    def _end_of(self, session: Session, path: str, target: str) -> tuple[str, str]:
        """The file at the end of a chain of links, or the reason why it cannot be followed."""
        for _ in range(_MOST_STEPS):
            if not target:
                return "", "the server does not tell where it points"
            if not is_line(target):
                return "", "where it points is no path that can be asked for"
            folder = parent_of(path)
            path = target if target.startswith("/") else f"{folder.rstrip('/')}/{target}" if folder else target
            following = self.find(session, path)
            if following is None:
                return (path, "") if _is_there(session, path) else ("", "it points to no file that this login can reach")
            target = following
        return "", "it leads round and round"

    def refused(self, path: str, exc: FileRefused) -> None:
        """Record that the target of this link cannot be replaced: from now on the link itself is."""
        with self._lock:
            while len(self._refused) >= _MOST_NAMES:
                del self._refused[next(iter(self._refused))]
            self._refused[path] = f"what it points to cannot be replaced: {exc.server_text or exc.cause}"
