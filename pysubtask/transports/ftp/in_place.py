"""Files that are stored under their final names at once (``StoreInPlace``): whether the server overwrites a file, and what is
left under the name where an upload fails. Blocking."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ...common.errors import AttemptFailed, FileRefused, TransportError
from ..shared.means import OVERWRITE
from ..shared.profile import Profile
from .data import Source, Tally
from .server_features import CannotTell
from .session import Session

if TYPE_CHECKING:
    from .attempt import Attempt

_TRIAL = b"ab"
_RENAMED_TO = (".1", ".2")  # pure-ftpd adds these endings where the name is taken (its option --autorename)


class Overwrites:
    """Whether one server overwrites files; for any thread. Some servers refuse, others store the new file under another name
    and acknowledge. A trial on a temporary name shows which, so that no other file is lost or duplicated."""

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self._tried = False

    def prepare(self, session: Session, attempt: Attempt) -> None:
        """Remove the old file first where the server does not overwrite. Raises FileRefused where the server neither overwrites
        nor removes."""
        if attempt.job.replaces is None and not session.tells_size(attempt.target):
            return
        if not self._tried or self._profile.is_due(OVERWRITE):
            self._try_out(session, attempt.recorded)
        if self._profile.rung(OVERWRITE) == "over":
            return
        # Removed last, when the source is open and all trials are over: from here on readers have no file until the STOR.
        reply = session.delete(attempt.target)
        if not reply.ok and session.is_there(attempt.target):
            raise FileRefused(
                f"{attempt.job.name}: the server writes over no file, and does not let this one be removed: {reply}",
                step="removing the old file",
                file=attempt.job.name,
                server_text=reply.text,
            )

    def _try_out(self, session: Session, path: str) -> None:
        """Store two bytes over one byte under ``path``, a temporary name. Nothing is learned where the name itself is refused."""
        if self._profile.state(OVERWRITE).proven and not self._profile.is_due(OVERWRITE):
            self._tried = True
            return
        walk, beside = self._profile.walk(OVERWRITE), False
        with tempfile.TemporaryFile(buffering=0) as file:
            file.write(_TRIAL)
            try:
                if not session.store(path, Source(file.fileno(), 0), 1, Tally.silent()).ok:
                    return
                reply = session.store(path, Source(file.fileno(), 0), 2, Tally.silent())
                works = reply.ok and self._has_two(session, path)
                if not works:
                    beside = reply.ok
                    walk.refused("it stores the new one under another name" if beside else reply.text)
                    works = (
                        session.delete(path).ok
                        and session.store(path, Source(file.fileno(), 0), 2, Tally.silent()).ok
                        and self._has_two(session, path)
                    )
                if works:
                    walk.worked()
                    self._tried = True
            finally:
                for name in (path, *(path + ending for ending in _RENAMED_TO if beside)):
                    session.delete(name)

    @staticmethod
    def _has_two(session: Session, path: str) -> bool:
        try:
            return session.size(path, stored=True) == len(_TRIAL)
        except CannotTell:
            return True  # without a size, the reply to STOR is the only evidence


@contextlib.contextmanager
def reporting_damage(session: Session, attempt: Attempt) -> Iterator[None]:
    """Add to the error of an upload in place what has become of the file under the final name."""
    try:
        yield
    except (FileRefused, AttemptFailed) as exc:
        words = _damage(session, attempt) if attempt.in_place else ""
        if words:
            exc.spoilt(words)
        raise


def _damage(session: Session, attempt: Attempt) -> str:
    left = attempt.job.replaces
    try:
        remote_size = session.size(attempt.target)
    except (CannotTell, TransportError):
        return ""
    if remote_size is None:
        return "" if left is None else "nothing stands under this name now (StoreInPlace)"
    if left is not None and remote_size == left.size:
        return ""
    return f"the file under this name is not whole now ({remote_size:,} bytes), as it was written in place (StoreInPlace)"
