"""Whole files read once: their digest, and a copy of a snapshot in another folder."""

from __future__ import annotations

import os

from ...common import beneath
from .append_tracker import Digest
from .bak_folder import BakFolder
from .file_blocks import copy_blocks, hash_blocks
from .sources import Place, opened

_SAFE = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0) | _SAFE


def copy_again(source: int, target: str) -> None:
    """Copy an open snapshot, with its times, to ``target`` in another folder of snapshots; the copy outlasts a power cut. Raises
    OSError; a file under the name ``target`` is always whole."""
    folder, name = os.path.split(target)
    bak, temp = BakFolder(folder), os.path.join(folder, f".{name}")
    if not os.path.isdir(folder):
        beneath.make_folders(folder, 0o700)
    bak.remove(temp)
    found, sha = os.fstat(source), Digest()
    out = bak.open(temp, _NEW)
    try:
        copy_blocks(source, out, found, target, sha, 0)
        os.utime(out, ns=(found.st_mtime_ns, found.st_mtime_ns))
    finally:
        os.close(out)
    bak.publish([(temp, target)])


def content_digest(path: str, size: int, within: str | Place | None = None) -> str:
    """SHA-256, hexadecimal, of the first ``size`` bytes of a file; ``within`` as for :meth:`Snapshotter.copy`.

    Raises SourceMissing, SourceChanged where it is shorter than that, SourceError.
    """
    sha = Digest()
    with opened(path, within) as (handle, found):
        hash_blocks(handle, found, path, sha, upto=size)
    return sha.hexdigest()
