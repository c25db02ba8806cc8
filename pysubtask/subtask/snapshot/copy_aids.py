"""What is computed while a file is copied so that the upload is cheaper: signatures, hash states, snapshots of ends."""

from __future__ import annotations

from ..delta.signature_cache import SignatureCache
from .prefix_hashes import Prefixes


class CopyAids:
    """Shared by pipeline and delivery. ``wants_tails``: whether a snapshot of the end of a file is of use. ``signature_cache``:
    signatures of big files that were copied. ``prefixes``: hash states of the beginnings of growing files."""

    def __init__(self) -> None:
        self.wants_tails = False
        self.signature_cache = SignatureCache()
        self.prefixes = Prefixes()
