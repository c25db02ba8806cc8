"""The listing of a folder on an SFTP server."""

from __future__ import annotations

import os

from ..shared.altered_names import LONGEST_LISTING, Row
from . import packets
from .client import Client
from .packets import Handle, Names, string

_OVERHEAD = 100  # bytes of a name's attributes and of its long form (section 7)


async def rows_of(client: Client, folder: bytes) -> list[Row] | None:
    """The names and sizes in a folder (b'' is the login's own); None where the server does not list it, or the listing is longer
    than ``LONGEST_LISTING``."""
    opened = await client.request(packets.OPENDIR, string(folder or b"."))
    if not isinstance(opened, Handle):
        return None
    found: list[Row] = []
    size = 0
    try:
        while isinstance(answer := await client.request(packets.READDIR, string(opened.handle)), Names) and answer.names:
            found += [Row(os.fsdecode(name), attrs.size) for name, attrs in zip(answer.names, answer.attrs, strict=True)]
            size += sum(2 * len(name) + _OVERHEAD for name in answer.names)
            if size > LONGEST_LISTING:
                return None
    finally:
        client.request(packets.CLOSE, string(opened.handle))
    return found if isinstance(answer, packets.Status) and answer.code == packets.EOF else None
