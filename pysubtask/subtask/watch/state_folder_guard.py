"""Whether the state folder is still the one that the child was started with."""

from __future__ import annotations

import os


class StateFolderGuard:
    """Whether the state folder, and the other ``folders`` given, are still the ones that the child was started with: a folder may
    be removed, or go with its disk. ``gone``: the folder that is not, '' while all are. ``state``: the last stat of the state
    folder, which is the first of these."""

    def __init__(self, *folders: str) -> None:
        self._folders = folders
        self._identities = [_identity(_stat(folder)) for folder in folders]
        self.state: os.stat_result | None = None
        self.gone = ""

    def is_gone(self) -> bool:
        """Whether one of the folders is missing, or replaced by another one. False where that cannot be found out."""
        self.state = None
        for number, (folder, identity) in enumerate(zip(self._folders, self._identities, strict=True)):
            try:
                found = _stat(folder)
            except OSError:
                continue
            if number == 0:
                self.state = found
            if _identity(found) != identity:
                self.gone = folder
                return True
        return False


def _stat(folder: str) -> os.stat_result | None:
    try:
        return os.stat(folder)
    except (FileNotFoundError, NotADirectoryError):
        return None


def _identity(found: os.stat_result | None) -> tuple[int, int] | None:
    return None if found is None else (found.st_dev, found.st_ino)
