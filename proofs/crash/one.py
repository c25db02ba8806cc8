"""``python -m proofs.crash.one ROOT KIND CHANGE``: one whole life of the child in ROOT, so that strace can record it."""

from __future__ import annotations

import functools
import os
import sys

from .child import KINDS, Station, live
from .explore import contents, write_on
from .steps import Steps


def main() -> None:
    """Run one life; the exit status as of ``child.live``."""
    root, kind, change = sys.argv[1:]
    station = Station(root)
    more = functools.partial(write_on, station, contents(change))
    os._exit(live(station, KINDS[kind], Steps(0), lambda: None, more, slow=False, late_at="connect"))


if __name__ == "__main__":
    main()
