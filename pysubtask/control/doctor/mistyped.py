"""Whether a name that is not there was meant to be one that is. Pure."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

_ALIKE = 0.8


def meant(name: str, there: Iterable[str]) -> str:
    """The name among those that are there which differs by a slip of the hand, '' where none does. Names that differ in their
    numbers alone (a day, a station) are another's."""
    others = [one for one in there if one != name and _without_numbers(one) != _without_numbers(name)]
    return next(iter(difflib.get_close_matches(name, others, n=1, cutoff=_ALIKE)), "")


def _without_numbers(name: str) -> str:
    return re.sub(r"\d+", "0", name)
