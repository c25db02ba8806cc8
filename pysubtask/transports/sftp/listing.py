"""What a folder on an SFTP server shows."""

from __future__ import annotations

import os

from ..shared.altered_names import LONGEST_LISTING, Row
from . import packets
from .client import Client
from .packets import Handle, Names, string

_OVERHEAD = 100  # bytes of each name beside itself: its attributes, and a line for people


async def rows_of(client: Client, folder: bytes) -> list[Row] | None:
    """All that a folder (b'' is the login's own) shows; None where the server will not list it, or it shows more than is worth
    reading."""
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
