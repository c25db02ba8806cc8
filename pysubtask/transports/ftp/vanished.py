"""A temporary file that something on the server removed before it was renamed: how the loss is detected, and what follows.
Blocking.

A server that refuses to rename the file may refuse all renames. Where no size tells which of the two is the case, empty files
do: one under the same name and, where that one is not renamed either, one of each other kind of name.
"""

from __future__ import annotations

import os
import tempfile
from typing import TYPE_CHECKING

from ...common.errors import FileRefused, MeansRefused, TransportError
from ..shared.means import TEMP
from ..shared.temp_names import own_folder
from .data import Source, Tally
from .server_features import CannotTell
from .session import Session

if TYPE_CHECKING:
    from .attempt import Attempt
    from .temps import Temps

_WHY = "something on the server takes such files away, too"
_STEP = "looking for it"


def after_refusal(session: Session, temps: Temps, attempt: Attempt, server_text: str) -> TransportError | None:
    """The error for a file that was stored whole and whose rename was refused with ``server_text``. None where the file still
    exists, or where every kind of name is refused alike."""
    if _renames(session, attempt.temp):
        return None
    try:
        if session.size(attempt.temp) is not None:
            return None
    except CannotTell:
        if not _survives(session, temps, attempt):
            return _another(session, temps, attempt, server_text)
    return gone(attempt, server_text)


def gone(attempt: Attempt, server_text: str = "") -> TransportError:
    """The error for a temporary file that is gone: MeansRefused for the next kind of temporary name; FileRefused where no other
    kind is left."""
    if attempt.walk is not None and attempt.walk.refused(_WHY, unknown=True, costly=True) is None:
        return FileRefused(_words(attempt), TEMP.remedy, step=_STEP, file=attempt.temp, server_text=server_text)
    return _next_name(attempt, server_text)


def _another(session: Session, temps: Temps, attempt: Attempt, server_text: str) -> TransportError | None:
    """The error that names the first other kind of temporary name under which an empty file can be renamed."""
    while attempt.walk is not None and attempt.walk.refused(_WHY, unknown=True) is not None:
        temps.take(attempt, attempt.walk.rung)
        if _survives(session, temps, attempt):
            return _next_name(attempt, server_text)
    return None


def _words(attempt: Attempt) -> str:
    return f"{attempt.job.name}: its temporary file went away before it could be renamed: {_WHY}"


def _next_name(attempt: Attempt, server_text: str) -> MeansRefused:
    return MeansRefused(TEMP.name, _words(attempt), step=_STEP, file=attempt.temp, server_text=server_text)


def _survives(session: Session, temps: Temps, attempt: Attempt) -> bool:
    """Whether an empty file under this attempt's temporary name could be renamed; it is removed again."""
    path = attempt.temp
    folder = own_folder(os.fsencode(path))
    if folder is not None:
        session.ask(f"MKD {os.fsdecode(folder)}")
    with tempfile.TemporaryFile(buffering=0) as file:
        stored = session.store(path, Source(file.fileno(), 0), 0, Tally.silent()).ok
    survives = stored and _renames(session, path)
    if stored:
        session.delete(path)
    temps.tidy(session, attempt)
    return survives


def _renames(session: Session, path: str) -> bool:
    """Whether the server would rename this temporary file. The file is renamed to its own name: some servers accept nothing but
    RNTO after an RNFR (RFC 959 section 4.1.3)."""
    there = session.ask(f"RNFR {path}").code == 350
    if there:
        session.ask(f"RNTO {path}")
    return there
