"""What stands under a name, looked at again for a moment while it is shorter than it should be: some servers store behind their own
back, or tell what they remember."""

from __future__ import annotations

import asyncio

from . import packets
from .client import Client
from .packets import Attrs, Reply, string

_AGAIN_SECS = (0.1, 0.4, 0.7)


async def settled(client: Client, path: bytes, size: int, first: Reply | None = None) -> Reply:
    """The answer to STAT; ``first``: one that has come already."""
    found = first if first is not None else await client.request(packets.STAT, string(path))
    for secs in _AGAIN_SECS:
        if not isinstance(found, Attrs) or found.size is None or found.size >= size:
            break
        await asyncio.sleep(secs)
        found = await client.request(packets.STAT, string(path))
    return found
