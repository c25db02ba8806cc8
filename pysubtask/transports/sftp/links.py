"""A name on the server that is a symbolic link: where it leads, and whether the file there can be written in its place."""

from __future__ import annotations

import posixpath
import stat
from typing import NamedTuple

from ..base import Link
from ..shared.remote_text import remote_text
from . import packets
from .client import Client
from .packets import Attrs, Names, Reply, string

_MOST_LINKS = 8  # links behind links; a longer chain is a circle


class ResolvedName(NamedTuple):
    """``path``: where the file of a name is to be written; ``link`` where that is, or was, behind a link. ``exists``:
    whether the name exists now, None where that is not known."""

    path: bytes
    link: Link | None = None
    exists: bool | None = None


def is_link(found: Reply) -> bool:
    """Whether LSTAT shows a symbolic link."""
    return isinstance(found, Attrs) and found.permissions is not None and stat.S_ISLNK(found.permissions)


def exists(found: Reply) -> bool | None:
    """Whether the name exists, from the reply to LSTAT; None where the reply does not tell."""
    if isinstance(found, Attrs):
        return True
    return False if isinstance(found, packets.Status) and found.code == packets.NO_SUCH_FILE else None


async def resolve(client: Client, path: bytes, found: Reply, *, follow: bool) -> ResolvedName:
    """Where to write the file of ``path``, whose LSTAT is ``found``: at the end of at most _MOST_LINKS links where ``follow`` is
    set, else in the place of the link."""
    if not is_link(found):
        return ResolvedName(path, None, exists(found))
    at, first = path, ""
    for _ in range(_MOST_LINKS):
        target = await _target(client, at)
        first = first or remote_text(target)
        if not target:
            return _replaced(path, first, follow, "the server does not tell where it leads")
        at = posixpath.normpath(posixpath.join(posixpath.dirname(at), target)) or b"."
        found = await client.request(packets.LSTAT, string(at))
        if is_link(found):
            continue
        if not isinstance(found, Attrs):
            return _replaced(path, first, follow, f"it leads to nothing ({found})")
        if found.permissions is not None and not stat.S_ISREG(found.permissions):
            return _replaced(path, first, follow, "it leads to what is no file")
        if not follow:
            return _replaced(path, first, follow, "")
        return ResolvedName(at, Link("followed", first), True)
    return _replaced(path, first, follow, "it leads in a circle")


def not_followed(path: bytes, link: Link, why: str) -> ResolvedName:
    """The place after the file that the link points to could not be written: the link is replaced."""
    return ResolvedName(path, Link("replaced", link.target, why), True)


def _replaced(path: bytes, target: str, follow: bool, why: str) -> ResolvedName:
    return ResolvedName(path, Link("replaced", target, why if follow else ""), True)


async def _target(client: Client, path: bytes) -> bytes:
    answer = await client.request(packets.READLINK, string(path))
    return answer.names[0] if isinstance(answer, Names) and answer.names else b""
