"""The temporary name of an attempt: a new one, or that of the attempt which it resumes."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import NamedTuple


class AttemptNames(NamedTuple):
    """The temporary name that one attempt writes to (``temp``), and those of earlier attempts at the same remote name (``stale``),
    whose files have to be removed before anything is renamed to it."""

    temp: str
    stale: tuple[str, ...]


def temp_name(name: str) -> str:
    """A temporary name beside a remote name: unique, short whatever the name, hidden from most listings."""
    folder, slash, _ = name.rpartition("/")
    return f"{folder}{slash}.pysubtask-{os.urandom(8).hex()}.part"


def names_of_attempt(name: str, recorded: Iterable[str], last: str, resume: str) -> AttemptNames:
    """The names for the next attempt at the remote ``name``.

    ``recorded``: every temporary name on record for it, oldest first. ``last``: the temporary name of the last attempt at the same
    content, ``resume``: the transport's note of how far that came; both are empty where there was none. Only an attempt that
    resumes keeps the name; any other one gets a new name, so that no late request of an earlier one can reach its file.
    """
    temp = last if resume and last else temp_name(name)
    return AttemptNames(temp, tuple(dict.fromkeys(each for each in recorded if each != temp)))
