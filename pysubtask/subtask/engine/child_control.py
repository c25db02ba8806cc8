"""What requests change in the process of a child; see :class:`~pysubtask.subtask.requests.request_context.RunningChild`."""

from __future__ import annotations

from typing import Any

from ...common.logs import set_level
from .child_context import OpenChild
from .delivery import Delivery
from .disk_checks import DiskChecks


class ChildControl:
    """``starts_over``: whether the process is to be replaced after this tick. ``own_settings``: the dictionary of the user's
    subtask, which belongs to the main thread."""

    def __init__(self, child: OpenChild, delivery: Delivery, disk_checks: DiskChecks, own_settings: dict[str, Any]) -> None:
        self._child = child
        self._delivery = delivery
        self._disk_checks = disk_checks
        self._own_settings = own_settings
        self.starts_over = False

    def settings_changed(self, keys: set[str]) -> None:
        """These settings have new values: hand them to all who work with them."""
        settings = self._child.context.settings.current
        self._own_settings.update({key: settings[key] for key in keys})
        set_level(self._child.context.log, settings["LogLevel"])
        if "HeartbeatIntervalSecs" in keys:
            self._child.heartbeat.change(float(settings["HeartbeatIntervalSecs"]))
        self._delivery.settings_changed(settings)

    def queue_changed(self) -> None:
        """The queue, or which jobs of it may be sent, was changed."""
        self._child.status_writer.touch()
        self._child.context.alarm.tick_soon()
        self._delivery.queue_changed()

    def stop(self, who: str) -> None:
        """End; ``who`` requested it."""
        context = self._child.context
        context.stop.request(who)
        # Written before the reply: the command reads the status page as soon as it has the reply.
        context.status_model.state("stopping", f"stopped by {who}")
        self._child.write_page(force=True)

    def start_over(self) -> None:
        """Start over after this tick, by exec."""
        self._disk_checks.forget()
        self.starts_over = True
        self._child.context.alarm.tick_soon()
