"""Programs whose app notifies what it wrote: the entries of a TaskMaster."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from .loggers import Copying, CopyingAlike, Renaming
from .model import Model
from .program import Link, Pace, Place, Program

Notify = Callable[[str], object]
_LONGEST_SECS = 30.0


class Notifying(Program):
    """A program whose app notifies what it writes. ``notify`` takes the path of a file."""

    def __init__(self, number: int, place: Place, model: Model, seed: int, pace: Pace, link: Link, notify: Notify) -> None:
        super().__init__(number, place, model, seed, pace, link)
        self._notify = notify

    def written_and_notified(self, name: str) -> None:
        """Write a file in place, notify it, and leave it alone until it was queued: a file that is rewritten before that may be
        taken half."""
        state, data = self.version(self.chance.randrange(100, 70_000))
        self.in_place(name, state, data)
        self._notify(self.path(name))
        assert self.link is not None
        deadline = time.monotonic() + _LONGEST_SECS
        while not self.link.queued(self.place.prefix + name, len(data)) and not self.pace.over:
            if time.monotonic() > deadline:
                # The child was killed before it recorded the notify: the file is replaced in one step, and notified again.
                self.replace(name, *self.version())
                self._notify(self.path(name))
                return
            time.sleep(0.05)


class Growing(Notifying, Renaming):
    """An ``append`` entry, rotated by renames to names that nobody watches."""

    FILE = "grow.csv"

    def report_change(self) -> None:
        """Notify the file."""
        self._notify(self.path(self.FILE))


class Truncated(Notifying, Copying):
    """A file that is truncated and refilled by a writer that keeps it open."""

    FILE = "event.log"
    KEEPS_COPY = False

    def report_change(self) -> None:
        """Notify the file."""
        self._notify(self.path(self.FILE))


class TruncatedAlike(Notifying, CopyingAlike):
    """As ``Truncated``, as an ``append`` entry, with the same comment at its head each time."""

    FILE = "probe.csv"
    KEEPS_COPY = False

    def report_change(self) -> None:
        """Notify the file."""
        self._notify(self.path(self.FILE))


class Saved(Notifying):
    """Named files that are saved by various methods, and notified when they are whole."""

    REPLACED, WRITTEN = "result.bin", "report.txt"

    def begin(self) -> None:
        """The acts and their weights."""
        self.does((self.replaced, 5), (self.written, 3), (self.touched, 1), (self.stamp_kept, 2))

    def last(self) -> None:
        """A last change that leaves size and time as they were."""
        self.rest_notified()
        self.stamp_kept()

    def rest_notified(self) -> None:
        """Rest long enough for a notified version to be queued."""
        time.sleep(self.place.settle * 3)

    def replaced(self) -> None:
        """Replace the file by a rename, once or four times, each with a notify."""
        for _ in range(self.chance.choice([1, 1, 4])):
            self.replace(self.REPLACED, *self.version())
            self._notify(self.path(self.REPLACED))
            self.rest(self.chance.choice([0.0, 0.02, 0.3]))

    def written(self) -> None:
        """Write the file in place, and notify it when it is whole."""
        self.written_and_notified(self.WRITTEN)

    def stamp_kept(self) -> None:
        """Replace the file by another of the same size and time, and notify it."""
        if os.path.exists(self.path(self.REPLACED)):
            before = os.stat(self.path(self.REPLACED))
            size = len(self.content(self.REPLACED).partition(b"\n")[2])
            self.replace(self.REPLACED, *self.version(size), (before.st_atime_ns, before.st_mtime_ns))
            self._notify(self.path(self.REPLACED))

    def touched(self) -> None:
        """Notify the file without a change."""
        if os.path.exists(self.path(self.REPLACED)):
            self._notify(self.path(self.REPLACED))


class Box(Notifying):
    """A folder in which changes count where they are notified: new files, and old ones that are rewritten and touched."""

    def begin(self) -> None:
        """The acts and their weights."""
        self._count = 0
        self._there: list[str] = []
        self.does((self.new, 6), (self.linked, 3), (self.written_anew, 2), (self.recreated, 2))

    def between(self) -> None:
        """Remove the oldest of more than 30 files with their notify files, and rest."""
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
        """A new file, written in place."""
        self.in_place(self._name(), *self.version())

    def linked(self) -> None:
        """A new file that appears whole, by a hard link."""
        state, data = self.version()
        name = self._name()
        fresh = self.scratch(name)
        with open(fresh, "wb") as file:
            file.write(data)
        self.record_state(name, state)
        os.link(fresh, self.path(name))
        os.unlink(fresh)

    def recreated(self) -> None:
        """Delete a file, and write another under its name."""
        if self._there:
            name = self.chance.choice(self._there)
            self.remove(name)
            self.in_place(name, *self.version())
            self.calm()

    def written_anew(self) -> None:
        """Write a file in place once more, and notify it."""
        if self._there:
            self.written_and_notified(self.chance.choice(self._there))


class Burst(Notifying):
    """A file with ``burstmode`` that is appended to and notified much too often."""

    FILE = "fast.csv"

    def begin(self) -> None:
        """The one act."""
        self._generation = self.generation()
        self.does((self.burst, 1))

    def between(self) -> None:
        """Rest for 0.2 to 3 s."""
        self.rest(self.chance.uniform(0.2, 3.0))

    def burst(self) -> None:
        """Append a few lines and notify, 2 to 40 times in quick succession."""
        for _ in range(self.chance.randint(2, 40)):
            self.grow(self.FILE, self._generation, self.chance.randint(1, 4))
            self._notify(self.path(self.FILE))
            self.rest(self.chance.uniform(0.0, 0.1))
            if self.pace.pausing:
                return
