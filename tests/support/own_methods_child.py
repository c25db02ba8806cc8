"""Real children whose classes have methods of their own with names that the engine of a child has, or once had, too. Each of them
notes in a folder, named by the environment, that it was called, and fails."""

import os
import sys
from pathlib import Path

from pysubtask import BaseSubtask
from pysubtask.base import main
from tests.support.folder_child import FolderSubtask

NAMES = (
    *("begin", "begin_anew", "check", "claim", "clash", "close", "coming", "connect_now", "destination", "end", "finish", "gone"),
    *("hold", "hold_paused", "lock", "loop", "names", "open", "poll", "queue_changed", "queue_name", "queued", "release", "run"),
    *("run_", "scan", "send_heartbeat", "serve", "settings_changed", "take", "tick", "tick_of", "transport_name", "wait", "wake"),
    *(
        "when_there_is_room",
        "work",
        "write",
        "__call__",
        "_announce",
        "_begin",
        "_begin_names",
        "_builds",
        "_check",
        "_check_disks",
    ),
    *(
        "_close",
        "_confirm",
        "_deliver",
        "_end",
        "_guarded",
        "_hand_on",
        "_hook_due",
        "_hurried",
        "_is_anothers",
        "_live",
        "_listen",
    ),
    *("_master_gone", "_name_harmed", "_noticed", "_on_signal", "_open", "_open_live", "_page_changed", "_poll_soon", "_replace"),
    *(
        "_queue_changed",
        "_reset_ordered",
        "_same",
        "_settings_changed",
        "_settle",
        "_snapshot_lost",
        "_start_over",
        "_stop_ordered",
    ),
    *("_take_lock", "_take_names", "_take_what_settles", "_wait", "_within", "_work", "_write_handled", "_yield_names"),
)


def _noting(name):
    def method(self, *args, **kwargs):
        (Path(os.environ["TEST_CALLED"]) / name).touch()
        raise AssertionError(f"{name} is the user's")

    return method


METHODS = {name: _noting(name) for name in NAMES}


class OwnMethods(FolderSubtask):
    vars().update(METHODS)


class PlainOwnMethods(BaseSubtask):
    vars().update(METHODS)

    def process_notify(self, snapshot):
        target = Path(os.environ["TEST_SERVER_FOLDER"]) / os.path.basename(self.source_path)
        target.write_bytes(Path(snapshot).read_bytes())


if __name__ == "__main__":
    sys.exit(main(PlainOwnMethods if os.environ["TEST_PLAIN"] == "1" else OwnMethods))
