"""Programs whose app notifies what it wrote: the entries of a TaskMaster."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from .loggers import Copying, CopyingAlike, Renaming
from .model import Model
from .program import Pace, Place, Program

Notify = Callable[[str], object]


class Growing(Renaming):
    """An ``append`` entry, rotated by renames to names that nobody watches."""

    FILE = "grow.csv"

    def __init__(self, number: int, place: Place, model: Model, seed: int, pace: Pace, notify: Notify) -> None:
        super().__init__(number, place, model, seed, pace)
        self._notify = notify

    def told(self) -> None:
        self._notify(self.path(self.FILE))


class Truncated(Copying):
    """A file that is truncated and refilled by a writer that keeps it open."""

    FILE = "event.log"
    KEEPS_COPY = False

    def __init__(self, number: int, place: Place, model: Model, seed: int, pace: Pace, notify: Notify) -> None:
        super().__init__(number, place, model, seed, pace)
        self._notify = notify

    def told(self) -> None:
        self._notify(self.path(self.FILE))


class TruncatedAlike(CopyingAlike):
    """The same as an ``append`` entry, with the same comment at its head each time."""

    FILE = "probe.csv"
    KEEPS_COPY = False

    def __init__(self, number: int, place: Place, model: Model, seed: int, pace: Pace, notify: Notify) -> None:
        super().__init__(number, place, model, seed, pace)
        self._notify = notify

    def told(self) -> None:
        self._notify(self.path(self.FILE))


class Saved(Program):
    """Named files that are saved, each in its way, and notified when they are whole."""

    REPLACED, WRITTEN = "result.bin", "report.txt"

    def __init__(self, number: int, place: Place, model: Model, seed: int, pace: Pace, notify: Notify) -> None:
        super().__init__(number, place, model, seed, pace)
        self._notify = notify

    def begin(self) -> None:
        self.does((self.replaced, 5), (self.written, 3), (self.touched, 1), (self.stamp_kept, 2))

    def last(self) -> None:
        self.rest_notified()
        self.stamp_kept()

    def rest_notified(self) -> None:
        """Long enough for what was notified before to be taken."""
        time.sleep(self.place.settle * 3)

    def replaced(self) -> None:
        for _ in range(self.chance.choice([1, 1, 4])):
            self.replace(self.REPLACED, *self.version())
            self._notify(self.path(self.REPLACED))
            self.rest(self.chance.choice([0.0, 0.02, 0.3]))

    def written(self) -> None:
        """In place; the next time not before it was surely taken."""
        self.in_place(self.WRITTEN, *self.version())
        self._notify(self.path(self.WRITTEN))
        self.calm()
        self.calm()

    def stamp_kept(self) -> None:
        """Another file of the same size and time."""
        if os.path.exists(self.path(self.REPLACED)):
            before = os.stat(self.path(self.REPLACED))
            size = len(self.content(self.REPLACED).partition(b"\n")[2])
            self.replace(self.REPLACED, *self.version(size), (before.st_atime_ns, before.st_mtime_ns))
            self._notify(self.path(self.REPLACED))

    def touched(self) -> None:
        """Notified though nothing is new."""
        if os.path.exists(self.path(self.REPLACED)):
            self._notify(self.path(self.REPLACED))


class Box(Program):
    """A folder in which changes count where they are notified: new files, and old ones that are written anew and touched."""

    def __init__(self, number: int, place: Place, model: Model, seed: int, pace: Pace, notify: Notify) -> None:
        super().__init__(number, place, model, seed, pace)
        self._notify = notify

    def begin(self) -> None:
        self._count = 0
        self._there: list[str] = []
        self.does((self.new, 6), (self.linked, 3), (self.written_anew, 2), (self.made_again, 2))

    def between(self) -> None:
        while len(self._there) > 30:
            name = self._there.pop(0)
            self.remove(name)
            self.remove(name + ".notify")
        self.rest(self.chance.uniform(0.05, 0.8))

    def _name(self) -> str:
        self._count += 1
        self._there.append(f"scan_{self._count:05d}.bin")
        return self._there[-1]

    def new(self) -> None:
        self.in_place(self._name(), *self.version())

    def linked(self) -> None:
        state, data = self.version()
        name = self._name()
        fresh = self.scratch(name)
        with open(fresh, "wb") as file:
            file.write(data)
        self.stands(name, state)
        os.link(fresh, self.path(name))
        os.unlink(fresh)

    def made_again(self) -> None:
        if self._there:
            name = self.chance.choice(self._there)
            self.remove(name)
            self.in_place(name, *self.version())
            self.calm()

    def written_anew(self) -> None:
        if self._there:
            name = self.chance.choice(self._there)
            state, data = self.version()
            self.in_place(name, state, data)
            self._notify(self.path(name))
            self.calm()
            self.calm()


class Burst(Program):
    """A file with ``burstmode`` that is appended to and notified much too often."""

    FILE = "fast.csv"

    def __init__(self, number: int, place: Place, model: Model, seed: int, pace: Pace, notify: Notify) -> None:
        super().__init__(number, place, model, seed, pace)
        self._notify = notify

    def begin(self) -> None:
        self._generation = self.generation()
        self.does((self.burst, 1))

    def between(self) -> None:
        self.rest(self.chance.uniform(0.2, 3.0))

    def burst(self) -> None:
        for _ in range(self.chance.randint(2, 40)):
            self.grow(self.FILE, self._generation, self.chance.randint(1, 4))
            self._notify(self.path(self.FILE))
            self.rest(self.chance.uniform(0.0, 0.1))
            if self.pace.pausing:
                return


