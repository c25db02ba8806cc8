"""Transfers that begin in the middle of a file (RFC 3659 section 5, REST and STOR): whether this server means it. Blocking.

``APPE`` is never used: a server that froze and wakes up would put what is late behind bytes that are newer. REST and STOR put
the same bytes at the same place however late and however often, if the server leaves alone what it is not told to
write. Some cut the file off there (pure-ftpd) or at its beginning, some ignore REST or refuse it (ProFTPD's default).
So a server has to show it on a file of ours first, and its word (FEAT) is not taken for it.
"""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Callable

from ...common import own_files
from ...common.errors import AttemptFailed, FileRefused, NotAsLeft, TransportLost
from ..shared.means import APPEND, FINAL_STAT
from ..shared.profile import Profile
from .arrival import settled_size
from .data import LEAST, Source, Tally
from .replies import CannotRestart, Reply, cannot_hold, has, no_room, refusal
from .server_features import CannotTell, DataLost, Known
from .session import Session

TAIL = 4096
"""So many bytes at the end of what the server has are compared with the source, before anything is put behind them."""
_RECORD = "restarts.json"
_TRIAL = b"01234567ab"
_STEPS = ((0, 8, 8), (4, 6, 8), (8, 10, 10))  # from, to, size afterwards
_TRIES = 3


class Restarts:
    """What is known of it. ``refused``: REST is of no use here, as long as the process lives. That what a server does is not good
    enough for a file that others read is in the profile; that it has shown it is remembered in ``workdir``, for this
    destination and as long as its FEAT says the same."""

    def __init__(self, workdir: str, identity: str, profile: Profile) -> None:
        self.refused = False
        self._profile = profile
        self._workdir = workdir
        self._identity = identity
        self._shown: str | None = None
        # Not there or not readable: then it has to be shown again.
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            read = json.loads(own_files.read(workdir, _RECORD))
            if read["identity"] == identity:
                self._shown = str(read["server"])

    def possible(self, known: Known) -> bool:
        """Whether a job with ``append`` is worth a try, from all that is known."""
        if self._profile.rung(FINAL_STAT) != "stays":
            return False  # it may be taken away between a look and the first byte
        if self._profile.rung(APPEND) == "none" and not self._profile.is_due(APPEND):
            return False
        tells_size = known.size or has(known.found, "MLST", "size")
        tells_time = known.mdtm or has(known.found, "MLST", "modify")
        return tells_size and tells_time and (not known.found or "REST" in known.found)

    def shown(self, known: Known) -> bool:
        """Whether this server has shown that it writes just what it is told, just there."""
        return self._shown == _server(known)

    def show(self, known: Known) -> None:
        """It has."""
        if self.shown(known):
            return
        self._shown = _server(known)
        with contextlib.suppress(OSError):  # then it has to be shown again by the next process
            text = json.dumps({"identity": self._identity, "server": self._shown})
            own_files.replace(self._workdir, _RECORD, text.encode("ascii"))

    def sent_whole(self) -> None:
        """A file that was there before was sent whole, as nothing is appended here: so many uses, and that is tried again."""
        if self._profile.rung(APPEND) == "none":
            self._profile.learn(APPEND, "none")

    def refuse(self, why: str) -> None:
        """It did something else."""
        self.refused, self._shown = True, None
        self._profile.learn(APPEND, "none", why)
        with contextlib.suppress(OSError):
            own_files.remove(self._workdir, _RECORD)

    def try_out(self, session: Session, name: str, path: str, remove: Callable[[str], object]) -> None:
        """Let it show that on ``path``, a name of ours, which ``remove`` has go afterwards. NotAsLeft where it does not; else as an
        upload.

        Eight bytes; two over the middle of them, and still there must be eight; two behind them, and there must be ten.
        That tells one that cuts off at the place, at the beginning, ignores it or always appends, without reading it.
        """
        walk = self._profile.walk(APPEND)
        if walk.rung == "none":
            raise NotAsLeft(f"{name}: this server cannot go on in the middle of a file")
        if self.shown(session.known) and not walk.trial:
            return
        # What it does otherwise than asked it always does, and is asked for once a day; what it refuses it may allow again.
        self.refused, wrong, lasting = False, "", False
        try:
            with tempfile.TemporaryFile(buffering=0) as file:
                file.write(_TRIAL)
                for start, end, wanted in _STEPS:
                    said = session.store(path, Source(file.fileno(), 0), end, Tally.silent(), start)
                    if not said.ok:
                        wrong = _refused(name, said, anyway=not start)
                    elif (there := settled_size(session, path, wanted)) != wanted:
                        wrong, lasting = f"{there} bytes after a transfer to {start} of {wanted}", True
                    if wrong:
                        break
        except FileRefused as exc:
            if not no_room(exc.server_text):  # else it may be possible again in a while
                walk.refused(exc.server_text)
                walk.worked()
            raise NotAsLeft(f"{name}: nothing can be tried out: {exc}") from exc
        except (CannotRestart, CannotTell) as exc:
            wrong, lasting = str(exc) or "it tells no size", isinstance(exc, CannotTell)
        finally:
            remove(path)
        if wrong:
            walk.refused(wrong, unknown=lasting)
            walk.worked()
            raise NotAsLeft(f"{name}: this server cannot go on in the middle of a file: {wrong}")
        walk.worked()
        self.show(session.known)


def foothold(session: Session, path: str, source: Source, size: int, tally: Tally, restarts: Restarts) -> tuple[int, bool]:
    """How many bytes of a temp file of ours an upload can go on from, 0 where none; and whether the server has shown here
    that it leaves alone what it is not told to write. Raises CannotRestart.

    A server that has not shown what it does with REST gets one byte of them again, the last but one: then none or one may be
    missing behind it, and what is left must be the source's.
    """
    try:
        kept = there = session.size(path) or 0
        tried = False
        for _ in range(_TRIES):
            if not LEAST <= there <= size:
                return 0, False
            if there == size or restarts.shown(session.known):
                break
            tried = True
            said = session.store(path, source, there - 1, tally, there - 2)
            if not said.ok:
                raise CannotRestart(_refused(path, said))
            kept = session.size(path, stored=True) or 0
            if kept in (there, there - 1):
                break
            if kept < there:
                raise CannotRestart(f"{there:,} bytes became {kept:,}")
            there = kept  # what the attempt that was cut had on its way may still arrive
        else:
            raise CannotRestart(f"it grows to {kept:,} bytes and on")
    except CannotTell:
        return 0, False
    same = ends_as(session, path, source, kept)
    if kept != there and not same:
        raise CannotRestart("what lies before the place is lost")
    if same is None:
        same = True  # it may not be read by us: then its size is all there is
    return (kept, tried and kept == there) if same else (0, False)


def ends_as(session: Session, path: str, source: Source, size: int) -> bool | None:
    """Whether a file of ``size`` bytes there ends with the source's before that; None where that cannot be told. What came
    behind them meanwhile has to be the source's, too."""
    start = max(source.base, size - TAIL)
    if size <= start:
        return True if size == 0 else None
    heard = session.fetch(path, start, size - start)
    if heard is None:
        return None
    if len(heard) < size - start:
        raise DataLost(f"{path}: {size - start:,} bytes were to come and {len(heard):,} came, as after a cut on the way")
    return heard == source.read(start, len(heard))


def _refused(name: str, said: Reply, anyway: bool = False) -> str:
    """Why a transfer into the middle of a file was refused, if that is the reason; else it is raised."""
    failed = refusal("store", name, said)
    if anyway or cannot_hold(said) or isinstance(failed, TransportLost | AttemptFailed):
        raise failed
    return str(said)


def _server(known: Known) -> str:
    return "; ".join(f"{name} {more}" for name, more in sorted(known.found.items()))
