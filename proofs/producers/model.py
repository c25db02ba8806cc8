"""The whole versions of each name, as the programs record them, and what a reader may find on the server."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterable
from typing import NamedTuple

from ..torture.content import Streams, number_of

HEAD = b"".join(b"# %-60s %03d\n" % (b"the same comment at the head of every file of this logger", number) for number in range(70))
"""More than the first 4 KB of a logger that begins each file alike."""


class State(NamedTuple):
    """The content of a file: version ``number`` of a file of complete versions, or, with a ``size``, so many bytes of
    generation ``number`` of a growing one, behind HEAD where it is ``headed``. ``copied``: it was written by a copy, so that a
    beginning of it is no valid state; a file that grows is valid at any moment."""

    number: int
    size: int = -1
    headed: bool = False
    copied: bool = False

    def __str__(self) -> str:
        return f"version {self.number}" if self.size < 0 else f"{self.size:,} bytes of generation {self.number}"


def grown(streams: Streams, generation: int, size: int, headed: bool) -> bytes:
    """The first ``size`` bytes of a growing file."""
    if not headed:
        return streams.of(generation).upto(size)
    return (HEAD + streams.of(generation).upto(max(0, size - len(HEAD))))[:size]


Seen = tuple[int, int]
"""Which state of its name a content is, or leads to, counted from 0, and its size."""
NOTHING: Seen = (-1, -1)


class Verdict(NamedTuple):
    """The verdict on a content under a name: what is ``wrong``, '' where nothing is, and ``seen``: which state of the name it
    is."""

    wrong: str
    seen: Seen = NOTHING


class Torn(NamedTuple):
    """A content that stood under a ``name`` and is no state of it: its SHA-256 (``digest``) and ``size``, ``at`` which second
    of the run it was found, and in ``words`` what is wrong."""

    name: str
    digest: str
    size: int
    at: float
    words: str


class Model:
    """The states of all names, recorded from many threads. ``began`` is a monotonic second. Names are those on the server."""

    def __init__(self, began: float | None = None) -> None:
        self.began = time.monotonic() if began is None else began
        self._guard = threading.Lock()
        self._history: dict[str, list[State]] = {}
        self._times: dict[str, list[float]] = {}
        self._allowed: set[tuple[str, str]] = set()
        self.owed: dict[str, State] = {}

    def record_state(self, name: str, state: State) -> None:
        """Record that the name has this state from now on; call it right before the change."""
        with self._guard:
            self._history.setdefault(name, []).append(state)
            self._times.setdefault(name, []).append(time.monotonic() - self.began)
            self.owed.pop(name, None)

    def owes(self, name: str, state: State) -> None:
        """Record that the data file is gone, but was queued before: it must arrive, unless another one comes by this name."""
        with self._guard:
            self.owed[name] = state

    def allow(self, name: str, data: bytes) -> None:
        """Allow an incomplete version: no program changed it for so long that it counts as complete by the documents."""
        with self._guard:
            self._allowed.add((name, hashlib.sha256(data).hexdigest()))

    def is_allowed(self, name: str, digest: str) -> bool:
        """Whether the content with this SHA-256 was allowed under the name (see ``allow``)."""
        return (name, digest) in self._allowed

    @property
    def states(self) -> int:
        """How many states there were."""
        with self._guard:
            return sum(map(len, self._history.values()))

    @property
    def names(self) -> set[str]:
        """Every name that had a state."""
        with self._guard:
            return set(self._history)

    def last(self, name: str) -> State | None:
        """The state of a name that was recorded last; None where it has none."""
        with self._guard:
            return (self._history.get(name) or [None])[-1]  # type: ignore[list-item]

    def tell(self, name: str) -> str:
        """The last states of a name, for people."""
        with self._guard:
            states, times = self._history.get(name, [])[-6:], self._times.get(name, [])[-6:]
        return ", ".join(f"{state} at {at:.2f} s" for state, at in zip(states, times, strict=True))

    def judge(self, name: str, data: bytes, last: Seen, streams: Streams) -> Verdict:
        """Whether a reader may find ``data`` under ``name`` after the state it has seen there ``last``."""
        with self._guard:
            history = list(self._history.get(name, ()))
        if not history:
            return Verdict("this name never stood in a watched folder")
        number = number_of(data)
        if number is not None:
            fitting = [place for place, state in enumerate(history) if state.size < 0 and state.number == number]
        else:
            fitting = self._beginning(history, data, streams)
        if not fitting:
            return Verdict(f"{len(data):,} bytes that are no version of it ({data[:40]!r}...)")
        seen = next((seen for place in fitting if (seen := (place, len(data))) >= last), NOTHING)
        if seen == NOTHING:
            words = f"{len(data):,} bytes of {history[fitting[-1]]} after {last[1]:,} bytes of {history[last[0]]}"
            return Verdict(f"{words}: an older one again", last)
        return Verdict("", seen)

    def _beginning(self, history: list[State], data: bytes, streams: Streams) -> list[int]:
        """Which states of a growing file this content is, or leads to."""
        fitting: list[int] = []
        for generation, headed in dict.fromkeys((state.number, state.headed) for state in reversed(history) if state.size >= 0):
            mine = [
                (place, state)
                for place, state in enumerate(history)
                if state.size >= 0 and (state.number, state.headed) == (generation, headed)
            ]
            longest = max(state.size for _, state in mine)
            if longest < len(data) or not _may_be(generation, headed, data):
                continue
            if grown(streams, generation, len(data), headed) == data:
                fitting += _reached(mine, len(data))
        return sorted(fitting)


def _may_be(generation: int, headed: bool, data: bytes) -> bool:
    """A cheap check before the whole content is compared."""
    own = data[len(HEAD) :] if headed else data
    return data[:64] == HEAD[: min(64, len(data))] if headed and not own else own[:6] == b"%06d" % generation or len(own) < 6


def _reached(mine: Iterable[tuple[int, State]], size: int) -> list[int]:
    """Those of the states of one generation that a content of this size is, or leads to from an earlier one."""
    found, least = [], None
    for place, state in mine:
        begins = state.size == size or not state.copied or (least is not None and least <= size)
        if state.size >= size and begins:
            found.append(place)
        least = state.size if least is None else min(least, state.size)
    return found
