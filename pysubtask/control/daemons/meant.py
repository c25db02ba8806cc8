"""Whether the words of ``-t`` mean named daemons."""

from __future__ import annotations

from collections.abc import Sequence

from ...daemon import records
from ..exit_status import USAGE, CommandError


def daemons_meant(words: Sequence[str]) -> list[str]:
    """The daemons that the words of ``-t`` name; none where they name tasks. CommandError where they name both."""
    found = [word for word in words if records.read(word) is not None]
    if found and len(found) < len(words):
        others = [word for word in words if word not in found]
        raise CommandError(f"{', '.join(found)} is a daemon, and {', '.join(others)} is none: name them in two commands.", USAGE)
    return found
