"""Which delivery a child has, by the class of its subtask."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...common.errors import ConfigError
from ...transports import transport_class
from ..base_subtask import BaseSubtask
from ..upload_subtask import UploadSubtask
from .child_context import OpenChild
from .delivery import Delivery
from .hook_delivery import HookDelivery
from .start_report import StartReport
from .upload_delivery import UploadDelivery


def destination_of(subtask: BaseSubtask, settings: Mapping[str, Any]) -> str:
    """Whose queue this is: the identity of server and account. Raises ConfigError for a child that was not given the section of its
    transport."""
    if not isinstance(subtask, UploadSubtask):
        return f"hook://{subtask.handoff.module}"
    section, key = ("dropbox", "AppKey") if subtask.transport == "dropbox" else ("ftp", "Host")
    if key not in settings:
        raise ConfigError(
            "SubtaskModuleName",
            f"{subtask.handoff.module} uploads but was not given the {section} section",
            f"Call the module {section}.py, so that it gets that section too.",
        )
    return transport_class(transport_of(subtask, settings)).identity(settings)


def transport_of(subtask: UploadSubtask, settings: Mapping[str, Any]) -> str:
    """The transport to use, a name of TRANSPORTS."""
    if subtask.transport:
        return subtask.transport
    return (settings["SFTPLibrary"] or "sftp") if settings["UseSFTP"] else "ftp"


def delivery_of(subtask: BaseSubtask, child: OpenChild, report: StartReport) -> Delivery:
    """The delivery of a child whose state is open, not started yet. Raises ConfigError."""
    if not isinstance(subtask, UploadSubtask):
        return HookDelivery(child)
    transport = transport_of(subtask, child.context.settings.current)
    # A subclass with its own process_notify may rely on whole snapshots.
    may_have_tails = type(subtask).process_notify is UploadSubtask.process_notify
    return UploadDelivery(child, transport, report.when_there_is_room, may_have_tails=may_have_tails)
