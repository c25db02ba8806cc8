"""Folders inside a watched folder that are not watched themselves, and the number of data files in them. The work is bounded."""

from __future__ import annotations

import os
from collections.abc import Callable

from ...common.entries import STATE_FOLDER

_MOST = 1000
"""Directory entries that are read in one such folder and below: the number is for a note alone, which says "or more"."""
_MOST_OF_TASK = 20_000
"""Directory entries that are read for one task, so that a check of a large tree does not take long."""


class NotWatched:
    """Counts data files in folders that are not watched. ``most``: the directory entries that are read in one folder and below it;
    ``most_of_task``: those of all folders together. Links are not followed."""

    def __init__(self, most: int = _MOST, most_of_task: int = _MOST_OF_TASK) -> None:
        self._most = most
        self._left = most_of_task

    def reason(self, folder: str, is_data: Callable[[str], bool], is_closed: Callable[[str], bool]) -> str:
        """Why nothing is sent from a folder, with the number of data files in it; '' where no data file is below it. ``is_data``:
        whether the file at a path is data; ``is_closed``: whether the folder at a path is left out in any case."""
        count, every = self._count(folder, is_data, is_closed)
        if not every and not count:
            return "there is too much in this folder to be looked at; it is not watched: recursive = true sends what is in it"
        one = every and count == 1
        number = "1 file is" if one else f"{count} files are" if every else f"{count} files or more are"
        return f"{number} in this folder, which is not watched; recursive = true sends {'it' if one else 'them'}" if count else ""

    def _count(self, folder: str, is_data: Callable[[str], bool], is_closed: Callable[[str], bool]) -> tuple[int, bool]:
        waiting, count, until = [folder], 0, max(self._left - self._most, 0)
        while waiting:
            here = waiting.pop()
            if os.path.basename(here) == STATE_FOLDER or is_closed(here):
                continue
            try:
                with os.scandir(here) as items:
                    for item in items:
                        if self._left <= until:
                            return count, False
                        self._left -= 1
                        if item.is_dir(follow_symlinks=False):
                            waiting.append(item.path)
                        elif item.is_file(follow_symlinks=False):
                            count += is_data(item.path)
            except OSError:
                continue  # the user may not read the folder, or it was removed meanwhile
        return count, True
