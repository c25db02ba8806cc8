"""A program that writes files, each on a thread of its own: what they have in common."""

from __future__ import annotations

import os
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from ..torture.content import LINE, Streams, number_of, whole
from .model import HEAD, Model, State, grown

_SHARE_OF_SETTLE = 0.12
"""Between two pieces of one version a program pauses at most for such a part of ``settle_secs``."""
_NOTICED = 0.85
"""What stood for such a part of ``settle_secs`` may have been taken for complete: a machine under load stops a program, too."""
_REST = 2.5


class Place(NamedTuple):
    """A watched ``folder``, its ``prefix`` on the server (with a slash, or empty), the ``settle_secs`` of its entry
    (``settle``), and where files are written that are moved in (``scratch``, on the same disk, not watched)."""

    folder: str
    prefix: str
    settle: float
    scratch: str


class Link(NamedTuple):
    """What a program may do to the link: ``hold`` lets nothing pass until ``free``. ``queued``: whether a version was queued under
    a name since it was asked for the first time."""

    hold: Callable[[], None]
    free: Callable[[], None]
    queued: Callable[[str, int], bool]


class Pace:
    """The phases of a run: all programs write, pause and end together."""

    def __init__(self) -> None:
        self._halt = threading.Event()
        self._go = threading.Event()
        self._go.set()
        self.over = False

    def rest(self, secs: float) -> None:
        """Sleep for so many seconds, less where a pause or the end comes."""
        self._halt.wait(secs)

    def pause(self) -> None:
        """Begin a pause: each program stops after its present act."""
        self._go.clear()
        self._halt.set()

    @property
    def pausing(self) -> bool:
        """Whether the programs are to make no change now."""
        return not self._go.is_set()

    def go_on(self) -> None:
        """End the pause."""
        self._halt.clear()
        self._go.set()

    def end(self) -> None:
        """End every program, also one that pauses."""
        self.over = True
        self._halt.set()
        self._go.set()

    def wait(self) -> None:
        """Wait for the end of the pause."""
        self._go.wait()


class Program:
    """``number`` tells the programs of one run apart; what it does follows from it and ``seed``. ``is_still``: it pauses, or has
    ended."""

    def __init__(self, number: int, place: Place, model: Model, seed: int, pace: Pace, link: Link | None = None) -> None:
        self.place, self.model, self.link = place, model, link
        self.chance = random.Random(f"{seed} {number} {type(self).__name__}")
        self.done: Counter[str] = Counter()
        self.failed = ""
        self.pace = pace
        self.is_still = False
        self._versions = number * 1_000_000
        self._generations = number * 10_000
        self._streams = Streams()
        self._acts: list[Callable[[], None]] = []
        self._weights: list[int] = []
        self.thread = threading.Thread(target=self._run, name=type(self).__name__, daemon=True)

    def does(self, *acts: tuple[Callable[[], None], int]) -> None:
        """Add acts, each with its weight in the draw."""
        for act, weight in acts:
            self._acts.append(act)
            self._weights.append(weight)

    def begin(self) -> None:
        """A hook that runs before the first act."""

    def last(self) -> None:
        """A hook that runs before each pause: its change is the last one for a while."""

    def between(self) -> None:
        """A hook that runs after each act."""
        self.rest(self.chance.uniform(0.05, 0.6))

    def _run(self) -> None:
        try:
            self.begin()
            while not self.pace.over:
                if self.pace.pausing:
                    self.last()
                    self.is_still = True
                    self.pace.wait()
                    self.is_still = False
                    continue
                act = self.chance.choices(self._acts, self._weights)[0]
                act()
                self.done[act.__name__.strip("_")] += 1
                self.between()
        except Exception as exc:  # noqa: BLE001 - a thread's end: told with what else was found
            self.failed = f"{type(self).__name__}: {exc!r}"
            self.is_still = True

    # ---- helpers

    def rest(self, secs: float) -> None:
        """Sleep for so many seconds, less where a pause or the end comes."""
        self.pace.rest(secs)

    def calm(self) -> None:
        """Rest long enough for the last version to be sent."""
        self.rest(self.place.settle * _REST)

    def path(self, name: str) -> str:
        """The path of a name in the watched folder."""
        return os.path.join(self.place.folder, name)

    def scratch(self, name: str) -> str:
        """A path beside the watched folder, for a file that is moved in when it is whole."""
        return os.path.join(self.place.scratch, f"{type(self).__name__}-{os.path.basename(name)}")

    def record_state(self, name: str, state: State) -> None:
        """Report to the model that from now on the name holds this state; call it right before it does."""
        self.model.record_state(self.place.prefix + name, state)

    def state(self, name: str) -> State | None:
        """The state of a name that was recorded last."""
        return self.model.last(self.place.prefix + name)

    def version(self, size: int | None = None) -> tuple[State, bytes]:
        """The next complete version."""
        self._versions += 1
        return State(self._versions), whole(self._versions, self.size() if size is None else size, self.chance)

    def size(self) -> int:
        """How long the next version is, in bytes: mostly some thousands, sometimes nothing."""
        return self.chance.choice([0, 900, 5_000, 30_000, 30_000, 60_000, 200_000])

    def generation(self) -> int:
        """The number of the next generation of a growing file."""
        self._generations += 1
        return self._generations

    def pause_within(self) -> float:
        """Seconds between two pieces of one version."""
        return self.chance.uniform(0, self.place.settle * _SHARE_OF_SETTLE)

    def in_pieces(
        self,
        name: str,
        handle: int,
        pieces: Sequence[bytes],
        state: State,
        pause: Callable[[], float] | None = None,
        noticed: float | None = None,
    ) -> None:
        """Write a version piece by piece; it is whole with the last of them. No reader may see it before, unless it stays unchanged
        for so long that it counts as complete (``noticed`` seconds)."""
        bound = self.place.settle * _NOTICED if noticed is None else noticed
        since = time.monotonic()
        for number, piece in enumerate(pieces):
            if number == len(pieces) - 1:
                self.record_state(name, state)
            if time.monotonic() - since > bound:
                self.model.allow(self.place.prefix + name, _content(handle))
            _write(handle, piece)
            since = time.monotonic()
            if number < len(pieces) - 1:
                # Not shortened at the end: a version that was begun is finished.
                time.sleep((pause or self.pause_within)())

    def cut(self, data: bytes, most: int = 6) -> list[bytes]:
        """The data in so many pieces at most; an empty one is one piece."""
        count = min(self.chance.randint(1, most), max(1, len(data)))
        step = -(-len(data) // count) or 1
        return [data[at : at + step] for at in range(0, max(1, len(data)), step)]

    def replace(self, name: str, state: State, data: bytes, times: tuple[int, int] | None = None) -> None:
        """Write the version elsewhere, and rename it to the name in one step. ``times``: (atime, mtime) in ns that it gets
        before."""
        fresh = self.scratch(name)
        with open(fresh, "wb") as file:
            file.write(data)
        if times is not None:
            os.utime(fresh, ns=times)
        self.record_state(name, state)
        os.replace(fresh, self.path(name))

    def in_place(self, name: str, state: State, data: bytes) -> None:
        """Truncate the file and write it again in pieces."""
        handle = os.open(self.path(name), os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
        try:
            self.in_pieces(name, handle, self.cut(data), state)
        finally:
            os.close(handle)

    def remove(self, name: str) -> None:
        """Delete a file; it may have gone already."""
        try:
            os.unlink(self.path(name))
        except FileNotFoundError:
            return

    def content(self, name: str) -> bytes:
        """What the file holds now."""
        with open(self.path(name), "rb") as file:
            return file.read()

    # ---- growing files

    def grow(self, name: str, generation: int, lines: int, headed: bool = False, handle: int | None = None) -> State:
        """Append lines, in one write or in several, the last line in two; the state afterwards."""
        own = os.open(self.path(name), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644) if handle is None else handle
        try:
            size = os.fstat(own).st_size
            begin = size if size or not headed else 0
            upto = max(begin, len(HEAD) if headed else 0) // LINE * LINE + lines * LINE
            if headed:
                upto = len(HEAD) + max(0, begin - len(HEAD)) // LINE * LINE + lines * LINE
            data = grown(self._streams, generation, upto, headed)[size:]
            ends = sorted({self.chance.randrange(1, len(data)) for _ in range(self.chance.choice([0, 0, 1, 3]))} | {len(data)})
            at, state = 0, State(generation, size, headed)
            for end in ends:
                state = State(generation, size + end, headed)
                self.record_state(name, state)
                _write(own, data[at:end])
                at = end
                if end != ends[-1]:
                    time.sleep(self.pause_within())
            return state
        finally:
            if handle is None:
                os.close(own)

    def number_in(self, name: str) -> Any:
        """Which complete version a file is."""
        return number_of(self.content(name))


def _content(handle: int) -> bytes:
    if sys.platform == "win32":
        raise NotImplementedError
    return os.pread(handle, os.fstat(handle).st_size, 0)


def _write(handle: int, data: bytes) -> None:
    done = 0
    while done < len(data):
        done += os.write(handle, data[done:])
