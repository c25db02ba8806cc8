"""A real uploading child whose server is a folder, named by the environment: for tests of everything but a protocol."""

import os
import sys
import time

from pysubtask import defaults_config
from pysubtask.base import main
from pysubtask.common.config import values_of
from pysubtask.subtask.snapshot import file_blocks, read_errors
from pysubtask.subtask.upload_subtask import UploadSubtask
from pysubtask.transports.folder.transport import FolderTransport

_connect = FolderTransport.connect


async def _hang_once(self):
    marker = os.environ.get("TEST_HANG_MARKER", "")
    if os.path.exists(marker):
        os.unlink(marker)
        time.sleep(1000)  # noqa: ASYNC251 - a library that blocks the loop
    await _connect(self)


FolderTransport.connect = _hang_once

_blocks = file_blocks.blocks


def _slow_disk(*args):
    rate = float(os.environ.get("TEST_SLOW_READS", "0"))
    for data, offset, block in _blocks(*args):
        if rate:
            time.sleep(len(block) / rate)
        yield data, offset, block


file_blocks.blocks = _slow_disk

read_errors.FIRST_WAIT = float(os.environ.get("TEST_FIRST_WAIT", read_errors.FIRST_WAIT))


class FolderSubtask(UploadSubtask):
    transport = "folder"

    def __init__(self, handoff, **clocks):
        settings = {**values_of(defaults_config.ftp), **handoff.settings, "HostPath": os.environ["TEST_SERVER_FOLDER"]}
        settings["DeadTimeMilli"] = float(os.environ.get("TEST_DEAD_TIME_MILLI", "180000"))
        super().__init__(handoff._replace(settings=settings), **clocks)


if __name__ == "__main__":
    sys.exit(main(FolderSubtask))
