"""``python -m pysubtask.common.guarded_restart``: what a guard asks when its child has ended by itself. It prints how many
seconds to wait before the next start. Its exit status is 1 where the child is not to be started again, since the master is
gone or has other settings for the child by now (it starts the child itself then), or a folder of the task is: what is there in
its place may be what a disk was mounted on, where nothing may be made."""

import sys
import time
from collections.abc import Sequence

from . import guard_record, restarts
from .process import is_alive


def main(argv: Sequence[str]) -> int:
    """``argv``: a word that tells an app that is taken for an interpreter (``program.is_taken_for_python``), the descriptor of
    the record, how the child ended, the first and the longest wait, the master's pid and start."""
    _, fd, status, first, longest, pid, start = argv
    restarts.FIRST_WAIT_SECS, restarts.LONGEST_WAIT_SECS = float(first), float(longest)
    record = guard_record.read(int(fd))
    if record.is_changed or not is_alive(int(pid), start) or not all(folder.is_there() for folder in record.folders):
        return 1
    again = record.restarts.ended(time.monotonic())
    guard_record.replace(int(status), again, record.folders, int(fd))
    print(f"{again.wait:g}")  # noqa: T201 - the answer
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
