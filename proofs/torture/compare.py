"""What the local folders hold, what the server holds, and what the receipts say: compared."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from pysubtask.common.notify import is_signal_file
from pysubtask.common.receipts import read_receipts
from pysubtask.common.status import read_status

TEMP = ".pysubtask-"
_ON_SERVER = " on the server"
_LITTER = re.compile(r"^([\d,]+) temporary files? could not be removed", re.MULTILINE)


class Difference(NamedTuple):
    """What differs: files ``missing`` on the server or other there than here, what is ``left`` behind, and what ``receipts``
    say wrongly."""

    missing: list[str]
    left: list[str]
    receipts: list[str]

    @property
    def none(self) -> bool:
        """Whether nothing differs."""
        return not (self.missing or self.left or self.receipts)


class Digests:
    """SHA-256 of files, remembered while a file's stamp stays."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[tuple[int, ...], str]] = {}

    def of(self, path: str) -> str:
        """The SHA-256 of a file in hexadecimal digits, '' where it does not exist."""
        try:
            with open(path, "rb") as file:
                info = os.fstat(file.fileno())
                # SFTP sets whole seconds, and an inode's number is soon another file's.
                stamp = (info.st_ino, info.st_mtime_ns, info.st_ctime_ns, info.st_size)
                found = self._known.get(path)
                if found is None or found[0] != stamp:
                    found = self._known[path] = stamp, hashlib.file_digest(file, "sha256").hexdigest()
        except OSError:
            return ""
        return found[1]


def data_files(folders: Iterable[str]) -> dict[str, str]:
    """Name and path of the regular data files directly in these folders."""
    found = {}
    for folder in folders:
        with os.scandir(folder) as entries:
            found.update(
                {
                    entry.name: entry.path
                    for entry in entries
                    if entry.is_file(follow_symlinks=False) and not is_signal_file(entry.name)
                }
            )
    return found


def compare(files: dict[str, str], server: str, bak: str, state: str, digests: Digests) -> Difference:
    """``files``: the files that must be on the server, by name; ``bak`` and ``state`` are the child's folders."""
    there = {entry.name for entry in os.scandir(server)}
    missing = [
        name for name, path in files.items() if name not in there or digests.of(os.path.join(server, name)) != digests.of(path)
    ]
    left = [name + _ON_SERVER for name in there - files.keys()]
    left += [f"{name} in the bak folder" for name in _not_kept(bak, read_status(state) or {})]
    last = {receipt.name: receipt for receipt in read_receipts(state)}
    wrong = []
    for name, path in files.items():
        receipt = last.get(name)
        if receipt is None:
            wrong.append(f"no receipt of {name}")
        elif (receipt.size, receipt.digest) != (os.path.getsize(path), digests.of(path)):
            wrong.append(f"the last receipt of {name} is of another content")
    return Difference(sorted(missing), sorted(left), wrong)


def _not_kept(bak: str, page: Mapping[str, Any]) -> list[str]:
    """The snapshots that are left, but for those of growing files that the status page counts as kept: so many, so many bytes."""
    if not os.path.isdir(bak):
        return []
    sizes = {}
    for entry in os.scandir(bak):
        with contextlib.suppress(FileNotFoundError):
            sizes[entry.name] = entry.stat().st_size
    is_kept = (len(sizes), sum(sizes.values())) == (page.get("kept_copies"), page.get("kept_bytes"))
    return [] if is_kept else sorted(sizes)


def without_reported(found: Difference, page: Mapping[str, Any], most: int) -> tuple[Difference, int]:
    """The difference without the temporary files that the server lets nobody remove, where the status page counts exactly
    those, and there are no more than ``most``; and their number."""
    litter = [text for text in found.left if text.startswith(TEMP) and text.endswith(_ON_SERVER)]
    counted = _LITTER.search("\n".join(page.get("server") or ()))
    reported = int(counted[1].replace(",", "")) if counted else 0
    if len(litter) != reported:
        return found._replace(left=[*found.left, f"{reported} temporary files by the status page"]), len(litter)
    if reported > most:
        return found, reported
    return found._replace(left=[text for text in found.left if text not in litter]), reported
