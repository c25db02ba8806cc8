"""STAT of a name, repeated for a moment while the file is shorter than it should be: some servers store asynchronously, or report
a cached size."""

from __future__ import annotations

import asyncio

from . import packets
from .client import Client
from .packets import Attrs, Reply, string

_AGAIN_SECS = (0.1, 0.4, 0.7)  # 1.2 s in all: servers that store asynchronously mostly have the file by then


async def settled(client: Client, path: bytes, size: int, first: Reply | None = None) -> Reply:
    """The last reply to STAT; ``first``: a reply that has come already."""
    found = first if first is not None else await client.request(packets.STAT, string(path))
    for secs in _AGAIN_SECS:
        if not isinstance(found, Attrs) or found.size is None or found.size >= size:
            break
        await asyncio.sleep(secs)
        found = await client.request(packets.STAT, string(path))
    return found
