"""The bytes that the link has carried, each assigned to one receipt or to the heartbeats."""

from __future__ import annotations

from ...transports.base import Transport
from ..status.status_model import StatusModel


class LinkUsage:
    """Belongs to the dispatcher's event loop.

    Files in flight share one connection, so a byte cannot be assigned to one of them. When an upload ends, its receipt takes all
    bytes counted since the receipt before: the login is on the first receipt, an attempt that was cut is on the next receipt.
    When a heartbeat ends and no file was in flight meanwhile, the bytes since are those of the heartbeat. So the receipts of a
    child, its heartbeats and the bytes not assigned yet add up to the transport's total.
    """

    def __init__(self, transport: Transport, status_model: StatusModel) -> None:
        self._transport = transport
        self._status_model = status_model
        self._taken = 0
        self._in_flight = 0
        self._mixed = False
        self._beats = 0

    def begin(self) -> None:
        """A file is in flight."""
        self._in_flight += 1
        self._mixed = True

    def end(self) -> None:
        """A file is not in flight any more."""
        self._in_flight -= 1

    def take(self) -> int | None:
        """The bytes for the receipt of an upload that has just ended; None where the transport does not count."""
        self._mixed = self._in_flight > 0
        return self._since()

    def heartbeat_ended(self) -> None:
        """A heartbeat was sent, or its sending failed."""
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
