"""Temporary files: under which name, whether they are gone, and what is done where the server lets none be removed. Blocking."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ...common.errors import TransportError
from ..means import DELETE, TEMP
from ..profile import Profile, Walk
from ..temp_names import formed, own_folder
from .links import Elsewhere
from .options import parent_of
from .replies import refusal
from .session import Session
from .swap import Swaps

if TYPE_CHECKING:
    from .publish import Attempt

RUNGS = ("hidden", "hidden_ending", "visible", "ending", "subfolder")
_LEFT = ".left"


class Temps:
    """Of one destination; for any thread. What could not be removed is on record in the profile."""

    def __init__(self, profile: Profile, elsewhere: Elsewhere) -> None:
        self._profile = profile
        self.elsewhere = elsewhere

    def walk(self) -> Walk:
        """One file's way down the kinds of names."""
        return self._profile.walk(TEMP, RUNGS)

    def take(self, attempt: Attempt, rung: str = "") -> None:
        """Give an attempt its temporary name, of the kind that is known to work or of this one. Another name than the queue knows
        is on record before it is used; where that cannot be, it is the queue's."""
        if attempt.in_place:
            return
        path = os.fsdecode(formed(os.fsencode(attempt.recorded), rung or self._known(), os.fsencode(attempt.target)))
        if self._profile.rung(DELETE) == "refused" and not attempt.job.resume:
            # Write to a file that had to stay, so that there are never more of them.
            path = self._profile.take_left(parent_of(path)) or path
        known = path == attempt.recorded and not attempt.named
        attempt.temp = path if known or self.elsewhere.add(attempt.job.temp, path) else attempt.recorded

    def _known(self) -> str:
        rung = self._profile.rung(TEMP)
        return rung if rung in RUNGS else RUNGS[-1]

    def tidy(self, session: Session, attempt: Attempt) -> None:
        """Remove the folder that was made for a temporary file; one that others use stays."""
        folder = own_folder(os.fsencode(attempt.temp))
        if folder is not None and not attempt.in_place:
            session.ask(f"RMD {os.fsdecode(folder)}")

    def remove(self, session: Session, path: str, *, reusable: bool = True) -> bool:
        """Remove a file of ours; whether it is gone. If not it is on record, ``reusable`` where nothing that was asked about it is
        unanswered."""
        said = session.delete(path)
        if said.ok:
            self._profile.walk(DELETE, trial=False).came_to("allowed", "")
            self._profile.gone([path])
            return True
        if not session.is_there(path):
            self._profile.gone([path])
            return True
        self._profile.walk(DELETE, trial=False).came_to("refused", str(said), unknown=said.unknown)
        self._profile.leave(path, reusable=reusable)
        return False

    def disarm(self, session: Session, path: str) -> None:
        """An earlier attempt's file that cannot be removed gets another name, so that an old request to rename it finds nothing.
        Where that is refused, too, nothing can be renamed over what is to come, either."""
        if session.rename(path, path + _LEFT).ok:
            self._profile.gone([path])
            self._profile.leave(path + _LEFT, reusable=True)

    def sweep(self, session: Session) -> None:
        """Try again to remove what had to stay; at the first that is refused the rest stays."""
        for path in list(self._profile.left):
            if not self.remove(session, path, reusable=self._profile.left.get(path, False)):
                return


def remove(session: Session, paths: dict[str, str], swaps: Swaps, temps: Temps) -> set[str]:
    """DELE files: the names of those that were there. Raises where one stays and none went."""
    gone: set[str] = set()
    failed: TransportError | None = None
    for name, path in paths.items():
        # One beside what a link points to, or of another kind of name, was put nowhere else.
        path = temps.elsewhere.of(name) or path
        swaps.mend_recorded(session, path)
        said = session.delete(path)
        if said.ok:
            gone.add(name)
        elif session.is_there(path):
            failed = refusal("clear", name, said)
    temps.elsewhere.gone(gone)
    if failed is not None and not gone:
        raise failed
    return gone
