"""Temporary files: their names, whether they are gone, and what is done where the server lets no file be removed. Blocking."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from ...common.errors import TransportError
from ..shared.means import DELETE, SIZE, TEMP
from ..shared.profile import Profile, Walk
from ..shared.temp_names import formed, moved_on, own_folder
from .links import TempRecord
from .options import parent_of
from .replies import Reply, refusal
from .session import Session
from .swap import Swaps

if TYPE_CHECKING:
    from .attempt import Attempt

_MISSING = re.compile(r"no such|not found|not exist", re.IGNORECASE)
RUNGS = ("hidden", "hidden_ending", "visible", "ending", "subfolder")


class Temps:
    """The temporary files of one destination; for any thread. Files that could not be removed are recorded in the profile."""

    def __init__(self, profile: Profile, temp_record: TempRecord) -> None:
        self._profile = profile
        self.temp_record = temp_record

    def walk(self) -> Walk:
        """The kinds of temporary names that one file may try."""
        return self._profile.walk(TEMP, RUNGS)

    def take(self, attempt: Attempt, rung: str = "") -> None:
        """Give an attempt its temporary name, of the given kind or of the kind known to work. A name that the queue does not
        know is recorded before its first use; where it cannot be recorded, the queue's own name is used."""
        if attempt.in_place:
            return
        path = os.fsdecode(formed(os.fsencode(attempt.recorded), rung or self._known(), os.fsencode(attempt.target)))
        if self._profile.rung(DELETE) == "refused" and attempt.borrows and not attempt.borrowed:
            # The upload writes to a file that could not be removed, so that the number of such files does not grow.
            attempt.borrowed = self._profile.take_left(parent_of(path)) or ""
        path = attempt.borrowed or path
        known = path == attempt.recorded and not attempt.link_path
        attempt.temp = path if known or self.temp_record.add(attempt.job.temp, path) else attempt.recorded

    def give_back(self, attempt: Attempt) -> None:
        """Return a borrowed file whose name was refused; the attempt borrows no other."""
        if attempt.borrowed:
            self._profile.leave(attempt.borrowed, reusable=True)
        attempt.borrowed, attempt.borrows = "", False

    def _known(self) -> str:
        rung = self._profile.rung(TEMP)
        return rung if rung in RUNGS else RUNGS[-1]

    def tidy(self, session: Session, attempt: Attempt) -> None:
        """Forget a temporary file that is gone, and remove the folder that was made for it, unless others use the folder."""
        self._profile.gone([attempt.temp])
        folder = own_folder(os.fsencode(attempt.temp))
        if folder is not None and not attempt.in_place:
            session.ask(f"RMD {os.fsdecode(folder)}")

    def remove(self, session: Session, path: str, *, reusable: bool = True) -> bool:
        """Remove a temporary file; whether it is gone. A file that stays is recorded, ``reusable`` where no request about it is
        unanswered."""
        reply = session.delete(path)
        if reply.ok:
            self._profile.walk(DELETE, trial=False).came_to("allowed", "")
            self._profile.gone([path])
            return True
        if not self._may_be_there(session, path, reply):
            self._profile.gone([path])
            return True
        self._refused(path, reply, reusable=reusable)
        return False

    def _may_be_there(self, session: Session, path: str, reply: Reply) -> bool:
        """Whether a file may still exist after its removal was refused. Where the server tells no size, the text of the reply
        decides."""
        return session.is_there(path) or (self._profile.rung(SIZE) == "never" and not _MISSING.search(str(reply)))

    def _refused(self, path: str, reply: Reply, *, reusable: bool) -> None:
        self._profile.walk(DELETE, trial=False).came_to("refused", str(reply), unknown=reply.unknown)
        self._profile.leave(path, reusable=reusable)

    def disarm(self, session: Session, path: str) -> None:
        """Rename an earlier attempt's file that cannot be removed, so that a late request to rename it finds nothing. The file
        is not reused for a while, as a late request may still write to it. Where the renaming is refused as well, no late
        rename can succeed either."""
        other = _moved_on(path)
        if session.rename(path, other).ok:
            self._profile.gone([path])
            self._profile.leave(other, reusable=True, rests=True)

    def clear(self, session: Session, path: str) -> None:
        """Remove an earlier attempt's file, or rename it where no file can be removed. A recorded file is left alone: a later
        upload may be writing to it."""
        if path in self._profile.left:
            return
        reply = session.delete(path)
        if reply.ok:
            self._profile.walk(DELETE, trial=False).came_to("allowed", "")
            self._profile.gone([path])
        else:
            self.stays(session, path, reply)

    def _find(self, session: Session, path: str) -> None:
        """Record a file that an earlier process renamed just before it ended."""
        known = self._profile.crowded or path in self._profile.left
        if not known and session.is_there(path) and not self.remove(session, path):
            self._profile.leave(path, reusable=True, rests=True)

    def sweep(self, session: Session) -> None:
        """Try again to remove the recorded files, while no upload is under way; the first refusal ends the attempt. Files that
        an upload was using when it was cut are renamed."""
        names = list(self._profile.left)
        for number, path in enumerate(names):
            if not self.remove(session, path, reusable=self._profile.left.get(path, False)):
                for name in names[number:]:
                    if not self._profile.left.get(name, True):
                        self._sort(session, name)
                return

    def _sort(self, session: Session, path: str) -> None:
        if session.is_there(path):
            self.disarm(session, path)
        else:
            self._profile.gone([path])
            self._find(session, _moved_on(path))

    def stays(self, session: Session, path: str, reply: Reply) -> bool:
        """Record a temporary file whose removal was refused with this reply; whether there is still a file of that name."""
        if path in self._profile.left:
            return False
        if self._may_be_there(session, path, reply):
            self._refused(path, reply, reusable=False)
            self.disarm(session, path)
            return path in self._profile.left
        self._profile.gone([path])
        if self._profile.rung(DELETE) == "refused" or not _MISSING.search(str(reply)):
            self._find(session, _moved_on(path))
        return False


def _moved_on(path: str) -> str:
    return os.fsdecode(moved_on(os.fsencode(path)))


def remove(session: Session, paths: dict[str, str], swaps: Swaps, temps: Temps) -> set[str]:
    """DELE files; the names of those that existed. Raises the refusal where a file stays and none was removed."""
    gone: set[str] = set()
    failed: TransportError | None = None
    for name, path in paths.items():
        # A temporary file beside a link's target, or under another kind of name, is found by its record alone.
        path = temps.temp_record.of(name) or path
        swaps.mend_recorded(session, path)
        reply = session.delete(path)
        if reply.ok:
            gone.add(name)
        elif temps.stays(session, path, reply):
            failed = refusal("clear", name, reply)
    temps.temp_record.gone(gone)
    if failed is not None and not gone:
        raise failed
    return gone
