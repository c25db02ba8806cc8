"""Words in braces that are replaced by what differs between stations: ``{hostname}``, ``{task}``. Stations can share a config."""

from __future__ import annotations

import re
import socket

from .config import nearest
from .errors import ConfigError
from .problem import Path

WORDS = ("hostname", "task")
_WORD = re.compile(r"\{([A-Za-z_]+)\}")


def filled(key: str | Path, text: str, task: str) -> str:
    """The ``text`` of the setting ``key`` with this machine's host name for ``{hostname}`` and the label of the task for
    ``{task}``; other braces stay as they are. ConfigError for a word that is nearly one of these, and for a host name that is
    not set."""
    if "{" not in text:
        return text

    def value(found: re.Match[str]) -> str:
        word = found[1]
        if word == "task":
            return task
        if word == "hostname":
            return _hostname(key)
        near = nearest(word.lower(), WORDS)
        if near:
            remedy = f"Did you mean {{{near}}}? {{hostname}} and {{task}} are known."
            raise ConfigError(key, f"{found[0]} stands for nothing", remedy)
        return found[0]

    return _WORD.sub(value, text)


def _hostname(key: str | Path) -> str:
    found = socket.gethostname().strip()
    if not found or "/" in found or found in (".", ".."):
        raise ConfigError(key, "{hostname} stands in it, and this machine has no host name", "Set one, or write the name itself.")
    return found
