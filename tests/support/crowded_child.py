"""The folder child on a system that starts no more threads while the file TEST_CROWDED exists."""

import os
import sys
import threading

from pysubtask.base import main
from tests.support.folder_child import FolderSubtask

_start = threading.Thread.start


def _start_or_not(self):
    if os.path.exists(os.environ["TEST_CROWDED"]):
        raise RuntimeError("can't start new thread")  # threading's own words for EAGAIN
    _start(self)


threading.Thread.start = _start_or_not

if __name__ == "__main__":
    sys.exit(main(FolderSubtask))
