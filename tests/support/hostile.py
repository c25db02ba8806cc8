"""What becomes of a transport whose server does it ill: the limits of the tests, and one upload within them."""

from __future__ import annotations

import asyncio

from pysubtask.common.errors import TransportError
from pysubtask.transports.base import Job, Sent, Transport

STALL, CONNECT, SLACK = 1.5, 3.0, 5.0


async def outcome(transport: Transport, job: Job) -> Sent | TransportError:
    """What becomes of a connect and an upload; each of them ends in time."""
    try:
        async with asyncio.timeout(CONNECT + SLACK):
            await transport.connect()
        async with asyncio.timeout(STALL + SLACK):
            return await transport.upload(job, lambda done: None)
    except TransportError as exc:
        return exc
    finally:
        async with asyncio.timeout(SLACK):
            await transport.close()
