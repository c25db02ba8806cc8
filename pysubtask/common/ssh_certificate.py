"""A certificate for a login by key, as ``ssh-keygen -L`` shows it: pure but for the clock, which may be given."""

from __future__ import annotations

import re
import time
from typing import NamedTuple

_VALID = re.compile(r"^\s*Valid: (?P<words>.*)$", re.MULTILINE)
_SINCE, _UNTIL = re.compile(r"(?:from|after) (\S+)"), re.compile(r"(?:to|before) (\S+)")
_FORM = "%Y-%m-%dT%H:%M:%S"


class Certificate(NamedTuple):
    """``since`` and ``until``: local time as ssh-keygen writes it, '' for none; ``names``: the logins it is for, none for any."""

    since: str = ""
    until: str = ""
    names: tuple[str, ...] = ()

    def is_over(self, now: float | None = None) -> bool:
        """Whether its time is over."""
        end = _seconds(self.until)
        return end is not None and end <= (time.time() if now is None else now)

    def is_early(self, now: float | None = None) -> bool:
        """Whether its time has not begun."""
        begin = _seconds(self.since)
        return begin is not None and begin > (time.time() if now is None else now)

    def clock(self, now: float | None = None) -> str:
        """What the clock says, as its times are written."""
        return time.strftime(_FORM, time.localtime(now))


def certificate_of(output: str) -> Certificate:
    """From the words of ``ssh-keygen -L``."""
    found = _VALID.search(output)
    words = found["words"] if found is not None else ""
    since, until = _SINCE.search(words), _UNTIL.search(words)
    names = []
    inside = False
    for line in output.splitlines():
        word = line.strip()
        if word.startswith("Principals:"):
            inside = True
        elif inside and (word.endswith(":") or ": " in word):
            break
        elif inside and word and word != "(none)":
            names.append(word)
    return Certificate(since[1] if since else "", until[1] if until else "", tuple(names))


def _seconds(written: str) -> float | None:
    try:
        return time.mktime(time.strptime(written, _FORM))
    except (ValueError, OverflowError):
        return None
