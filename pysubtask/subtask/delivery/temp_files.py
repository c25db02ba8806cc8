"""Removes the temp files that earlier attempts may have left on the server."""

from __future__ import annotations

from collections.abc import Iterable

from ...common.errors import AttemptFailed, FileRefused
from ...transports.base import Transport
from .context import DeliveryContext


class TempFiles:
    """Belongs to the dispatcher's event loop."""

    def __init__(self, transport: Transport, context: DeliveryContext) -> None:
        self._transport = transport
        self._context = context
        self._removed_once: set[str] = set()

    async def sweep(self) -> None:
        """Remove the files, which are on record in the spool. Raises TransportError."""
        temps = await self._context.ask(self._context.spool.temps.names)
        if not temps:
            return
        try:
            removed = await self._transport.remove(temps)
        except (FileRefused, AttemptFailed):
            removed = await self._remove_each(temps)
        # A server that is still busy with an upload that was cut (rclone over FTP) may write the file once more after its removal:
        # the name stays on record until the removal was asked for twice.
        final = self._removed_once.intersection(temps)
        self._removed_once = removed - final
        await self._context.ask(self._context.spool.temps.swept, temps, final, self._context.wall())

    async def _remove_each(self, temps: Iterable[str]) -> set[str]:
        """Remove each temp file; the names that are gone. A name that cannot be removed (kept by the server, or impossible there)
        is handled again by the upload of its own file, and must not keep the others."""
        removed: set[str] = set()
        for temp in temps:
            try:
                removed |= await self._transport.remove([temp])
            except (FileRefused, AttemptFailed) as exc:
                self._context.log.info("A temporary file of an earlier attempt stays for now: %s", exc)
        return removed
