"""Whether a server's words name a limit of its own for how much may be done at once: pure.

Such a reply says nothing about the file: the file waits, and is never parked for it (``AttemptFailed.limit``).
"""

from __future__ import annotations

import re

_LIMIT = re.compile(
    r"too many|\blimit|maximum|\bmax\b|open files|file handles|EMFILE|resources? (?:temporarily )?unavailable|"
    r"out of resources|\bbusy\b",
    re.IGNORECASE,
)
_FOR_ROOM_OR_NAMES = re.compile(
    r"space|quota|\bsizes?\b|too large|\bnames?\b|filename|\blength|\blong\b|characters|\bdepth|"
    r"attempts|fail(?:ed|ures)\b.{0,20}login",
    re.IGNORECASE,
)
_FILE_BUSY = re.compile(r"(?<!server )(?<!server is )(?<!too )(?<!service )\bbusy\b", re.IGNORECASE)


def smells_of_limit(words: str) -> bool:
    """Whether the text may name a limit: a retry with fewer uploads under way is worth while."""
    return _LIMIT.search(words) is not None and _FOR_ROOM_OR_NAMES.search(words) is None


def names_limit(words: str) -> bool:
    """Whether the text certainly names a limit. The word "busy" alone may be about the file."""
    return smells_of_limit(_FILE_BUSY.sub("", words))
