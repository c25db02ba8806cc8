"""A child whose library hangs once, where nothing can reach it: in the first connect, while a marker file is there."""

from __future__ import annotations

import os
import sys
import time
from typing import Any

from pysubtask import defaults_config
from pysubtask.base import main
from pysubtask.common.config import values_of
from pysubtask.common.handoff import Handoff
from pysubtask.subtask.upload_subtask import UploadSubtask
from pysubtask.transports.folder.transport import FolderTransport

MARKER, SERVER = "PYSUBTASK_TORTURE_MARKER", "PYSUBTASK_TORTURE_SERVER"
_connect = FolderTransport.connect


async def _hang_once(self: FolderTransport) -> None:
    marker = os.environ[MARKER]
    if os.path.exists(marker):  # noqa: ASYNC240
        os.unlink(marker)
        time.sleep(1000)  # noqa: ASYNC251 - that is the fault
    await _connect(self)


class HangingSubtask(UploadSubtask):
    """Sends to a folder."""

    transport = "folder"

    def __init__(self, handoff: Handoff, **clocks: Any) -> None:
        settings = {**values_of(defaults_config.ftp), **handoff.settings, "HostPath": os.environ[SERVER]}
        super().__init__(handoff._replace(settings=settings), **clocks)


if __name__ == "__main__":
    FolderTransport.connect = _hang_once  # type: ignore[method-assign]
    sys.exit(main(HangingSubtask))
