"""What a watch entry is made of, for type checkers; :mod:`.entries` checks it at run time. No app loads this unless it asks for it.

A list in a variable needs its type: ``files: list[WatchEntry] = [{'file': 'a.csv'}]``.
"""

import os
from collections.abc import Sequence
from typing import Required, TypeAlias, TypedDict

FilePath: TypeAlias = str | bytes | os.PathLike[str] | os.PathLike[bytes]
"""A path in any form that Python's own functions take; a relative one starts at the working folder."""

FileEntry = TypedDict(
    "FileEntry",
    {
        "file": Required[FilePath],
        "as": str | None,
        "burstmode": bool,
        "append": bool,
        "whole_records": bool | None,
        "settle_secs": float,
        "on_change": bool,
    },
    total=False,
)
FileEntry.__doc__ = "One watched file: ``file`` is its path, the rest may be left out (see docs/config.md, Watch entries)."

FolderEntry = TypedDict(
    "FolderEntry",
    {
        "dir": Required[FilePath],
        "as": str | None,
        "burstmode": bool,
        "append": bool,
        "whole_records": bool | None,
        "settle_secs": float,
        "on_change": bool,
        "notify_files": bool,
        "include": str | Sequence[str],
        "exclude": str | Sequence[str],
        "default_exclude": bool,
        "recursive": bool,
    },
    total=False,
)
FolderEntry.__doc__ = "One watched folder: ``dir`` is its path, the rest may be left out (see docs/config.md, Watch entries)."

WatchEntry: TypeAlias = FileEntry | FolderEntry
"""One entry of the list that a master watches."""
