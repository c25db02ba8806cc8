"""Whether a missing name is a typing error for an existing one."""

from __future__ import annotations

import difflib
import itertools
import os
import re
from collections.abc import Container, Iterable

_MOST_NAMES = 20_000  # a folder with more files is compared in part
_ALIKE = 0.8  # the ratio of difflib for a slip in a name of a few characters


def meant(name: str, there: Iterable[str]) -> str:
    """The existing name of which ``name`` is a typing error, '' where there is none. Names that differ only in digits (a day, a
    station) are different files. Pure."""
    others = [one for one in there if one != name and _without_numbers(one) != _without_numbers(name)]
    return next(iter(difflib.get_close_matches(name, others, n=1, cutoff=_ALIKE)), "")


def near_file(path: str, named: Container[str]) -> str:
    """The name in the same folder for which a watched file's name may be a typing error, '' where there is none. ``named``: the
    paths of all entries, none of which is a typing error for another one."""
    folder, name = os.path.split(path)
    try:
        with os.scandir(folder) as found:
            there = sorted(item.name for item in itertools.islice(found, _MOST_NAMES))
    except OSError:
        return ""
    return meant(name, [one for one in there if not one.startswith(".") and os.path.join(folder, one) not in named])


def _without_numbers(name: str) -> str:
    return re.sub(r"\d+", "0", name)
