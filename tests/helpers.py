"""Small things that many tests need."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

_T = TypeVar("_T")


def wait_until(condition: Callable[[], _T], secs: float = 20, what: str = "the condition") -> _T:
    """Ask until the answer is true and return it; AssertionError after ``secs``, with the last answer.

    An AssertionError inside ``condition`` counts as "not yet".
    """
    deadline = time.monotonic() + secs
    while True:
        last: object
        try:
            answer = condition()
            if answer:
                return answer
            last = answer
        except AssertionError as exc:
            last = exc
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {secs} s; the last answer was {last!r}")
        time.sleep(0.005)
