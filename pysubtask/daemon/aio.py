"""The same for asyncio: each wait is on a thread of asyncio's own, and the event loop goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from . import find
from .following import Change, Follower
from .proxy import Proxy, call, set_items

_STEP_SECS = 0.5


class AsyncProxy:
    """What :func:`aget` returns. ``await dome.get("azimuth")``, ``await dome.set(azimuth=180)``, ``await dome.call("park",
    timeout=2)``, and ``async for change in dome.follow()``. Errors are those of :class:`Proxy`."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy

    async def get(self, item: str) -> Any:
        """The value of an item. AttributeError where there is none of the name."""
        return await asyncio.to_thread(getattr, self._proxy, item)

    async def set(self, **values: Any) -> dict[str, Any]:
        """Set items, all or none; the values as they were set. Raises Refused."""
        return await asyncio.to_thread(set_items, self._proxy, values)

    async def call(self, name: str, /, *args: Any, **named: Any) -> Any:
        """Call a method; ``timeout`` as for :class:`Proxy`."""
        more = {"timeout": named.pop("timeout")} if "timeout" in named else {}
        return await asyncio.to_thread(lambda: call(self._proxy, name, args, named, **more))

    async def refresh(self, item: str) -> Any:
        """The value that the daemon's code finds out now."""
        return await asyncio.to_thread(self._proxy.refresh, item)

    async def page(self) -> dict[str, Any]:
        """All items and the calls that run."""
        return await asyncio.to_thread(self._proxy.page)

    async def follow(self, after: tuple[int, int] | None = None) -> AsyncIterator[Change]:
        """Follow the daemon: ``async for change in dome.follow()``."""
        follower: Follower = await asyncio.to_thread(self._proxy.follow, after)
        try:
            while True:
                change = await asyncio.to_thread(follower.next, _STEP_SECS)
                if change is not None:
                    yield change
        finally:
            follower.close()


async def aget(name: str, *, wait: float = 0.0) -> AsyncProxy:
    """The daemon ``name``, for asyncio; see :func:`get`."""
    return AsyncProxy(await asyncio.to_thread(lambda: find.get(name, wait=wait)))
