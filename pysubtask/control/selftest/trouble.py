"""The schedule of the troubles. Pure: the same seed gives the same schedule."""

from __future__ import annotations

import random
from typing import NamedTuple

CUT, DROP, STALL, REFUSE, KILL = "cut", "drop", "stall", "refuse", "kill"
WORDS = {
    CUT: "link cut",
    DROP: "link cut in the middle of a transfer",
    STALL: "link frozen, then cut",
    REFUSE: "connections refused",
    KILL: "child killed",
}
_CALM = 0.3  # the share of the time without troubles, at the end
_EVERY_SECS = 4.0
_FEWEST = 3


class KeyFault(NamedTuple):
    """``at``: seconds from the beginning of the test. ``kind``: a key of ``WORDS``. ``secs``: how long it lasts. ``after``:
    bytes until a DROP cuts the link."""

    at: float
    kind: str
    secs: float = 0.0
    after: int = 0


def schedule(secs: float, seed: int, kinds: tuple[str, ...]) -> list[KeyFault]:
    """Troubles for ``secs`` seconds, one about every ``_EVERY_SECS``, three at least; the kinds take turns. The last part
    (``_CALM``) has none, so that all files can arrive."""
    drawn = random.Random(seed)
    count = max(_FEWEST, int(secs * (1 - _CALM) / _EVERY_SECS))
    step = secs * (1 - _CALM) / count
    found = []
    for number in range(count):
        kind = kinds[number % len(kinds)]
        at = step * (number + drawn.uniform(0.3, 0.8))
        length = drawn.uniform(0.5, 1.5) if kind in (STALL, REFUSE) else 0.0
        found.append(KeyFault(at, kind, length, drawn.randint(1, 30_000) if kind == DROP else 0))
    return found
