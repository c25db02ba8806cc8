"""``pysubtask run`` whose dead children are started again soon: with the waits that spare an edge machine few would be alive."""

from __future__ import annotations

import sys

from pysubtask.common import restarts
from pysubtask.control.cli import main

FIRST_SECS, LONGEST_SECS = 0.3, 2.0

if __name__ == "__main__":
    restarts.FIRST_WAIT_SECS, restarts.LONGEST_WAIT_SECS = FIRST_SECS, LONGEST_SECS
    sys.exit(main())
