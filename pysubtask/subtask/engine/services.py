"""What the process of a child does for the user's subtask: the helpers that its hooks call."""

from __future__ import annotations

from .child_context import OpenChild
from .delivery import Delivery

_MOST_SECS = 1.0


class SubtaskServices:
    """See :class:`~pysubtask.subtask.base_subtask.Services`."""

    def __init__(self, child: OpenChild, delivery: Delivery) -> None:
        self._child = child
        self._delivery = delivery

    def sleep(self, secs: float) -> None:
        """Sleep politely: a stop ends it."""
        context = self._child.context
        until = context.clock() + secs
        while not context.stop.is_requested and (left := until - context.clock()) > 0:
            context.alarm.wait(min(left, _MOST_SECS))

    def dead_time(self) -> float:
        """Milliseconds since the last notify (or since the start)."""
        return self._child.dead_time.millis()

    def heartbeat_time(self) -> float | None:
        """Milliseconds since the last heartbeat; None where none was sent."""
        return self._child.heartbeat.millis()

    def write_heartbeat(self) -> list[str]:
        """Write the heartbeat files as of now; the paths of those that are to be sent. Raises OSError."""
        return self._child.heartbeat.write()

    def send_heartbeat(self) -> None:
        """Write and send a heartbeat as soon as possible. Raises OSError."""
        self._delivery.send_heartbeat()
