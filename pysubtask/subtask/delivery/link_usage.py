"""What the link has cost, and what for: everything goes onto one receipt, or counts as heartbeats."""

from __future__ import annotations

from ...transports.base import Transport
from ..status.status_model import StatusModel


class LinkUsage:
    """Belongs to the dispatcher's event loop.

    Files in flight share one connection, so nobody can tell whose a byte was. When an upload ends, its receipt takes what was
    counted since the one before: the login is on the first, an attempt that was cut on the next one that ends. When a
    heartbeat ends, and no file was on its way since, that is the heartbeat's. So all receipts of a child, its heartbeats and
    what has come since add up to the transport's total.
    """

    def __init__(self, transport: Transport, status_model: StatusModel) -> None:
        self._transport = transport
        self._status_model = status_model
        self._taken = 0
        self._in_flight = 0
        self._mixed = False
        self._beats = 0

    def begin(self) -> None:
        """A file is on its way."""
        self._in_flight += 1
        self._mixed = True

    def end(self) -> None:
        """It is not any more."""
        self._in_flight -= 1

    def take(self) -> int | None:
        """For the receipt of an upload that has just ended: bytes, None where the transport cannot tell."""
        self._mixed = self._in_flight > 0
        return self._since()

    def beat(self) -> None:
        """A heartbeat has been sent, or was tried to."""
        if not self._mixed:
            self._beats += self._since() or 0
        self.show()

    def show(self) -> None:
        """Put the totals into the status model."""
        wire = self._transport.wire()
        known = wire is not None
        self._status_model.set(bytes_on_wire=None if wire is None else wire.total, heartbeat_bytes=self._beats if known else None)

    def _since(self) -> int | None:
        wire = self._transport.wire()
        if wire is None:
            return None
        before, self._taken = self._taken, wire.total
        return wire.total - before
