"""Whether a name that is not there was meant to be one that is."""

from __future__ import annotations

import difflib
import itertools
import os
import re
from collections.abc import Container, Iterable

_MOST_NAMES = 20_000
_ALIKE = 0.8


def meant(name: str, there: Iterable[str]) -> str:
    """Pure. The name among those that are there which differs by a slip of the hand, '' where none does. Names that differ in their
    numbers alone (a day, a station) are another's."""
    others = [one for one in there if one != name and _without_numbers(one) != _without_numbers(name)]
    return next(iter(difflib.get_close_matches(name, others, n=1, cutoff=_ALIKE)), "")


def near_file(path: str, named: Container[str]) -> str:
    """The name in the same folder that a watched file's name may have been meant for, '' where there is none. ``named``: the paths
    of all entries, none of which is a slip for another."""
    folder, name = os.path.split(path)
    try:
        with os.scandir(folder) as found:
            there = sorted(item.name for item in itertools.islice(found, _MOST_NAMES))
    except OSError:
        return ""
    return meant(name, [one for one in there if not one.startswith(".") and os.path.join(folder, one) not in named])


def _without_numbers(name: str) -> str:
    return re.sub(r"\d+", "0", name)
