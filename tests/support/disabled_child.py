"""A real child that runs and does nothing."""

import sys

from pysubtask.base import main
from tests.support.folder_child import FolderSubtask


class DisabledSubtask(FolderSubtask):
    Enabled = False


if __name__ == "__main__":
    sys.exit(main(DisabledSubtask))
