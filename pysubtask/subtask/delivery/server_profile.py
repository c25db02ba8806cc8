"""The capabilities and quirks of the server that the transport found out: read before the first connect, stored at each change,
and reported once in words."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .context import DeliveryContext

if TYPE_CHECKING:
    from ...transports.base import Transport
    from ...transports.shared.profile import Profile, Step


class StoredProfile:
    """Belongs to the dispatcher's event loop; the profile may be changed on any thread."""

    def __init__(self, context: DeliveryContext, profile: Profile) -> None:
        self._context = context
        self._profile = profile
        self._loop = asyncio.get_running_loop()
        self._due = False

    async def begin(self) -> None:
        """Load the stored profile; from here on each change of it is stored and reported."""
        self._profile.load(await self._context.ask(self._context.spool.meta.profile))
        self._profile.on_step = lambda step: self._soon(self._tell, step)
        self._profile.on_change = lambda: self._soon(self._changed)
        self._show()

    def _soon(self, call: Callable[..., None], *args: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended: the next child finds it out again
            self._loop.call_soon_threadsafe(call, *args)

    def _tell(self, step: Step) -> None:
        context = self._context
        because = f" (it said: {step.why})" if step.why and not step.better else ""
        (context.log.info if step.better else context.log.warning)("SERVER: %s%s", step.text, because)
        with context.status_model.guard:
            context.events.emit(
                "server_profile", means=step.means, before=step.before, now=step.rung, text=step.text, reason=step.why
            )
            self._show()

    def _changed(self) -> None:
        self._show()
        if not self._due:  # several at once are one commit
            self._due = True
            self._loop.call_soon(self._keep)

    def _keep(self) -> None:
        self._due = False
        # Not awaited: a profile that is lost in a crash or on a full disk is found out again.
        self._context.spool_thread.submit(self._context.spool.meta.keep_profile, self._profile.to_json())

    def _show(self) -> None:
        lines = self._profile.lines()
        self._context.status_model.set(server=lines or None)


async def follow(context: DeliveryContext, transport: Transport) -> None:
    """Load and follow the profile of a transport that has one; on the dispatcher's loop, before its first connect."""
    if transport.profile is not None:
        await StoredProfile(context, transport.profile).begin()
