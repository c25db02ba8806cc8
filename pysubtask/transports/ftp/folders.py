"""Folders on the server: created by their paths, or step by step where a server creates none by a path. Blocking."""

from __future__ import annotations

import ftplib

from ...common.errors import AttemptFailed
from .options import parent_of, path_of
from .replies import Reply
from .session import Session


def make_folders(session: Session, folder: str) -> Reply | None:
    """Create a folder and its missing parents; the last reply, negative where the folder existed already. None where nothing
    had to be asked."""
    if session.known.steps:
        return _by_steps(session, folder) or _by_path(session, folder)
    reply = _by_path(session, folder)
    if reply is None or reply.ok or "/" not in folder.strip("/"):
        return reply
    # The folder may exist, or this server creates folders only in the session's present folder.
    return _by_steps(session, folder) or reply


def _by_path(session: Session, folder: str) -> Reply | None:
    reply: Reply | None = None
    missing: list[str] = []
    while folder not in ("", "/", "."):
        reply = session.ask(f"MKD {folder}")
        if reply.ok:
            break
        missing.append(folder)
        folder = parent_of(folder)
    # The highest folder was refused just now, so it is not asked for again.
    if reply is not None and not reply.ok:
        missing.pop()
    for folder in reversed(missing):
        reply = session.ask(f"MKD {folder}")
    return reply


def _by_steps(session: Session, folder: str) -> Reply | None:
    """Enter each folder on the path, creating those that cannot be entered; the reply that decides, None where the server does
    not tell the present folder. Afterwards the session is back in the folder where it was. Raises AttemptFailed where it is
    not."""
    reply = session.ask("PWD")
    home = ftplib.parse257(reply.lines[0]) if reply.code == 257 else ""
    if not home:
        return None
    there = session.ask(f"CWD {folder}")
    if not there.ok:
        there = _down(session, folder)
    back = session.ask(f"CWD {home}")
    if not back.ok:
        session.control.spoilt = True  # relative paths lead to another folder from now on
        raise AttemptFailed(
            f"the server does not lead back to {home!r}: {back}", step="making its folder", file=folder, server_text=back.text
        )
    return there


def _down(session: Session, folder: str) -> Reply:
    if folder.startswith("/"):
        session.ask("CWD /")
    for part in filter(None, folder.split("/")):
        name = path_of("", part) if part != "." else part
        entered = session.ask(f"CWD {name}")
        if entered.ok:
            continue
        mkd_reply = session.ask(f"MKD {name}")
        entered = session.ask(f"CWD {name}")
        session.known.steps = session.known.steps or (mkd_reply.ok and entered.ok)
        if not entered.ok:
            return mkd_reply if not mkd_reply.ok else entered
    return entered
