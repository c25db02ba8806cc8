"""Transfers that begin in the middle of a file (REST and STOR, RFC 3659 section 5), and whether a server does what they mean.
Blocking.

``APPE`` is never used: a server that froze and wakes up would put late bytes behind newer ones. REST and STOR put the same
bytes at the same offset however late and however often, if the server leaves the other bytes alone. Some servers truncate the
file at the offset (pure-ftpd) or at its beginning, some ignore REST or refuse it (ProFTPD's default). So a server has to prove
itself on a temporary file first; its FEAT is no proof.
"""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Callable

from ...common import own_files
from ...common.errors import AttemptFailed, FileRefused, NotAsLeft, TransportLost
from ...common.state_files import RESTART_RECORD
from ..shared.means import APPEND, FINAL_STAT
from ..shared.profile import Profile
from .arrival import settled_size
from .data import LEAST, Source, Tally
from .replies import CannotRestart, Reply, cannot_hold, has, no_room, refusal
from .server_features import CannotTell, DataLost, ServerFeatures
from .session import Session

TAIL = 4096
"""Bytes at the end of the server's file that are compared with the source, before more bytes are stored behind them: a few
packets, and hardly ever the same in another file."""
_RECORD = RESTART_RECORD
_TRIAL = b"01234567ab"
_STEPS = ((0, 8, 8), (4, 6, 8), (8, 10, 10))  # offset, end, expected size afterwards
_TRIES = 3  # how often the size may have grown meanwhile, before the attempt that was cut counts as alive


class Restarts:
    """What is known about REST on one server.

    ``refused``: REST is of no use here, as long as the process lives. A server that does something else than asked is recorded
    in the profile. The proof is kept in ``workdir``, for this destination and for as long as FEAT stays the same.
    """

    def __init__(self, workdir: str, identity: str, profile: Profile) -> None:
        self.refused = False
        self._profile = profile
        self._workdir = workdir
        self._identity = identity
        self._proven_server: str | None = None
        # Without a readable record the server has to prove itself again.
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            read = json.loads(own_files.read(workdir, _RECORD))
            if read["identity"] == identity:
                self._proven_server = str(read["server"])

    def possible(self, known: ServerFeatures) -> bool:
        """Whether a job with ``append`` is worth a try on this server, from all that is known."""
        if self._profile.rung(FINAL_STAT) != "stays":
            return False  # a program there removes finished files, perhaps between the check and the first byte
        if self._profile.rung(APPEND) == "none" and not self._profile.is_due(APPEND):
            return False
        tells_size = known.size or has(known.features, "MLST", "size")
        tells_time = known.mdtm or has(known.features, "MLST", "modify")
        return tells_size and tells_time and (not known.features or "REST" in known.features)

    def is_proven(self, known: ServerFeatures) -> bool:
        """Whether this server has proven that a transfer writes exactly the bytes sent, exactly at the offset."""
        return self._proven_server == _server(known)

    def record_proof(self, known: ServerFeatures) -> None:
        """Record the proof, in ``workdir`` too."""
        if self.is_proven(known):
            return
        self._proven_server = _server(known)
        with contextlib.suppress(OSError):  # without a record, the next process asks for the proof again
            text = json.dumps({"identity": self._identity, "server": self._proven_server})
            # Not synced: a record that a power cut loses costs one more proof.
            own_files.replace(self._workdir, _RECORD, text.encode("ascii"))

    def sent_whole(self) -> None:
        """Count a changed file that was sent whole: after a number of them an append is tried again."""
        if self._profile.rung(APPEND) == "none":
            self._profile.learn(APPEND, "none")

    def refuse(self, why: str) -> None:
        """Record that the server did something else than asked."""
        # The profile first: a stop between the two leaves the rung 'none', which only a new proof changes.
        self.refused, self._proven_server = True, None
        self._profile.learn(APPEND, "none", why)
        with contextlib.suppress(OSError):
            own_files.remove(self._workdir, _RECORD)

    def try_out(self, session: Session, name: str, path: str, remove: Callable[[str], object]) -> None:
        """Let the server prove itself on ``path``, a temporary name, which ``remove`` deletes afterwards. Raises NotAsLeft
        where the proof fails; else as an upload does.

        Eight bytes are stored, then two over the middle, after which the size must be eight, then two behind the end, after
        which the size must be ten. The sizes tell apart a server that truncates at the offset, truncates at the beginning,
        ignores REST or always appends, without reading the file.
        """
        walk = self._profile.walk(APPEND)
        if walk.rung == "none":
            raise NotAsLeft(f"{name}: this server cannot go on in the middle of a file")
        if self.is_proven(session.known) and not walk.trial:
            return
        # A server that does something else than asked will always do so, and is tried once a day; a refusal may be lifted.
        self.refused, wrong, lasting = False, "", False
        try:
            with tempfile.TemporaryFile(buffering=0) as file:
                file.write(_TRIAL)
                for start, end, expected in _STEPS:
                    reply = session.store(path, Source(file.fileno(), 0), end, Tally.silent(), start)
                    if not reply.ok:
                        wrong = _refused(name, reply, anyway=not start)
                    elif (there := settled_size(session, path, expected)) != expected:
                        wrong, lasting = f"{there} bytes after a transfer to {start} of {expected}", True
                    if wrong:
                        break
        except FileRefused as exc:
            if not no_room(exc.server_text):  # a full disk says nothing about REST
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
        self.record_proof(session.known)


def resume_point(session: Session, path: str, source: Source, size: int, tally: Tally, restarts: Restarts) -> tuple[int, bool]:
    """From how many bytes of a temporary file an upload can resume, 0 for none; and whether the server has proven here that a
    transfer leaves other bytes alone. Raises CannotRestart.

    A server without proof gets one byte again, the last but one: afterwards none or one may be missing behind that byte, and
    the bytes left must be the source's.
    """
    try:
        kept = there = session.size(path) or 0
        tried = False
        for _ in range(_TRIES):
            if not LEAST <= there <= size:
                return 0, False
            if there == size or restarts.is_proven(session.known):
                break
            tried = True
            reply = session.store(path, source, there - 1, tally, there - 2)
            if not reply.ok:
                raise CannotRestart(_refused(path, reply))
            kept = session.size(path, stored=True) or 0
            if kept in (there, there - 1):
                break
            if kept < there:
                raise CannotRestart(f"{there:,} bytes became {kept:,}")
            there = kept  # bytes of the attempt that was cut may still arrive
        else:
            raise CannotRestart(f"it grows to {kept:,} bytes and on")
    except CannotTell:
        return 0, False
    same = ends_as(session, path, source, kept)
    if kept != there and not same:
        raise CannotRestart("what lies before the place is lost")
    if same is None:
        same = True  # the server refuses RETR: the size is the only evidence
    return (kept, tried and kept == there) if same else (0, False)


def ends_as(session: Session, path: str, source: Source, size: int) -> bool | None:
    """Whether the server's file of ``size`` bytes ends with the source's bytes before that offset; None where the server does
    not tell. Bytes that arrived behind them meanwhile have to be the source's, too. Raises DataLost where fewer bytes come than
    the size promises."""
    start = max(source.base, size - TAIL)
    if size <= start:
        return True if size == 0 else None
    data = session.fetch(path, start, size - start)
    if data is None:
        return None
    if len(data) < size - start:
        raise DataLost(f"{path}: {size - start:,} bytes were to come and {len(data):,} came, as after a cut on the way")
    return data == source.read(start, len(data))


def _refused(name: str, reply: Reply, anyway: bool = False) -> str:
    """Why a transfer into the middle of a file was refused. Raises the error itself where its reason is another one."""
    failed = refusal("store", name, reply)
    if anyway or cannot_hold(reply) or isinstance(failed, TransportLost | AttemptFailed):
        raise failed
    return str(reply)


def _server(known: ServerFeatures) -> str:
    return "; ".join(f"{name} {more}" for name, more in sorted(known.features.items()))
