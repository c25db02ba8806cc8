"""Copies of files that share their blocks with the original until one of them is written: Btrfs, XFS and others."""

from __future__ import annotations

import os
import sys

if sys.platform == "linux":
    import fcntl

_FICLONE = 0x40049409
"""ioctl_ficlone(2), the same number on all Linux architectures but alpha, mips, powerpc and sparc."""
_OTHERS = ("alpha", "mips", "ppc", "powerpc", "sparc")


class Reflinks:
    """Whether file systems can do it is found out once for each pair of them."""

    def __init__(self) -> None:
        self._cannot: set[tuple[int, int]] = set()

    def clone(self, source: int, target: int) -> bool:
        """Make the empty open file ``target`` a copy of the open file ``source`` as it is at this moment; False where that is not
        possible, and ``target`` is as it was."""
        pair = (os.fstat(source).st_dev, os.fstat(target).st_dev)
        if sys.platform == "linux" and pair not in self._cannot and not os.uname().machine.startswith(_OTHERS):
            try:
                fcntl.ioctl(target, _FICLONE, source)
            except OSError:
                self._cannot.add(pair)
            else:
                return True
        return False
