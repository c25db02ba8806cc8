"""What is computed and kept while files are copied so that the upload, or the next copy, is cheaper: signatures, hash states,
snapshots of ends and of growing files."""

from __future__ import annotations

from ..delta.signature_cache import SignatureCache
from .growing_copies import GrowingCopies
from .prefix_hashes import Prefixes


class CopyAids:
    """Shared by pipeline and delivery. ``wants_tails``: whether a snapshot of the end of a file is of use. ``signature_cache``:
    signatures of big files that were copied. ``prefixes``: hash states of the beginnings of growing files. ``shares_snapshots``:
    whether a snapshot may be continued for the next job, as nobody relies on its length; ``growing_copies``: those that are kept
    for it."""

    def __init__(self) -> None:
        self.wants_tails = False
        self.shares_snapshots = False
        self.growing_copies = GrowingCopies()
        self.signature_cache = SignatureCache()
        self.prefixes = Prefixes()
