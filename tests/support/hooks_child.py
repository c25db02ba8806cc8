"""A real child whose hooks fail, as people's hooks do; what it was given is written to a file named by the environment."""

import os
import sys

from pysubtask import BaseSubtask
from pysubtask.base import main


class HooksSubtask(BaseSubtask):
    ticks = 0
    failed = False

    def start(self):
        raise OSError("start does not work")

    def process_interval(self):
        self.ticks += 1
        raise ValueError(f"tick {self.ticks}")

    def process_notify(self, snapshot):
        with open(snapshot) as file:
            text = file.read()
        if not self.failed:
            self.failed = True
            raise RuntimeError("not now")
        with open(os.environ["TEST_GIVEN"], "a") as file:
            file.write(f"{self.ticks > 0} {os.path.basename(self.source_path)} {text}")

    def stop(self):
        raise KeyError("stop does not work either")


if __name__ == "__main__":
    sys.exit(main(HooksSubtask))
