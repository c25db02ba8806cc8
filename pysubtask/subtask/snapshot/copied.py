"""The copy of one version of a data file."""

from __future__ import annotations

from typing import NamedTuple

from ..delta.signature import Signature
from .append_tracker import Digest


class Copied(NamedTuple):
    """The copy of one version of a data file.

    ``path``: the name of the snapshot after :meth:`Snapshotter.seal`, or the data file itself where ``live``. ``temp``: the name
    until then; None where ``live``. ``size`` in bytes, ``mtime_ns`` and ``inode`` are those of the data file. ``digest``:
    SHA-256, hexadecimal, of exactly the first ``size`` bytes. ``source``: the data file. ``prefixes``: the digests of its
    beginnings, for each requested size that is not above ``size``. ``base``: the snapshot begins with this byte of the file.
    ``sha``: the digest from which the next snapshot may continue. ``signature``: of the whole content, where it was requested and
    could be made. ``synced``: its bytes outlast a power cut already. ``continued``: a kept snapshot was continued, which has its
    name since it was made (``temp`` is None then, too).
    """

    path: str
    temp: str | None
    size: int
    mtime_ns: int
    inode: int
    digest: str
    source: str
    live: bool
    prefixes: dict[int, str]
    base: int
    sha: Digest
    signature: Signature | None = None
    synced: bool = False
    continued: bool = False
