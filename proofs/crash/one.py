"""``python -m proofs.crash.one ROOT KIND``: one whole life of the child in ROOT, so that strace can record it."""

from __future__ import annotations

import os
import sys

from .child import KINDS, Station, live
from .steps import Steps


def main() -> None:
    """Run one life; the exit status as of ``child.live``."""
    root, kind = sys.argv[1:]
    os._exit(live(Station(root), KINDS[kind], Steps(0), lambda: None, slow=False, late_at="connect"))


if __name__ == "__main__":
    main()
