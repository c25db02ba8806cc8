"""Programs that drop files and let them lie: cameras, transfers by other programs, rings of names, deletion by retention."""

from __future__ import annotations

import contextlib
import os
import time

from ..torture.content import sealed
from .model import State
from .program import Program

_KEPT = 40
_RING, _RING_BODY = 5, 20_000
_LONGEST_QUEUE_SECS = 12.0


class Transfers(Program):
    """New files by the ways of rsync, browsers, WinSCP, GLib and a camera's own, and some of them replaced later by the same ways.
    What is temporary stays unchanged for longer than ``settle_secs``, as in a slow transfer: it must never be sent."""

    def begin(self) -> None:
        """The acts and their weights."""
        self._count = 0
        self._there: list[str] = []
        self.does(
            (self.rsync, 3),
            (self.browser, 3),
            (self.linked, 3),
            (self.glib, 2),
            (self.directly, 3),
            (self.sparse, 1),
            (self.moved_in, 2),
            (self.given_up, 1),
        )

    def between(self) -> None:
        """Remove the oldest files above the number that is kept, and rest."""
        while len(self._there) > _KEPT:
            self.remove(self._there.pop(0))  # retention: delivered or not
        self.rest(self.chance.uniform(0.05, 0.5))

    def _name(self) -> str:
        if self._there and self.chance.random() < 0.2:
            # Late enough: a name is used again once its last version was sent, or could have been.
            return self.chance.choice(self._there)
        self._count += 1
        self._there.append(f"img_{self._count:05d}.jpg")
        return self._there[-1]

    def _temporary(self, name: str, temporary: str, *, link: bool = False) -> None:
        state, data = self.version()
        with open(self.path(temporary), "wb", buffering=0) as file:
            for piece in self.cut(data, 3):
                file.write(piece)
                self.rest(self.chance.choice([0.0, 0.05, self.place.settle * 1.4]))
        self.record_state(name, state)
        if link:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.path(name))
            os.link(self.path(temporary), self.path(name))
            self.rest(self.chance.choice([0.0, 0.02, self.place.settle * 1.4]))
            os.unlink(self.path(temporary))
        else:
            os.replace(self.path(temporary), self.path(name))

    def rsync(self) -> None:
        """A hidden name with six characters at its end, renamed when the file is whole, as rsync does it."""
        name = self._name()
        self._temporary(name, f".{name}.{''.join(self.chance.choices('abcdefXYZ0123', k=6))}")

    def browser(self) -> None:
        """The name with an ending of its own, renamed when the file is whole, as browsers and WinSCP do it."""
        name = self._name()
        self._temporary(name, name + self.chance.choice([".part", ".crdownload", ".filepart", ".tmp", ".partial", ".download"]))

    def linked(self) -> None:
        """As WinSCP does it: create, close, link the final name, unlink."""
        name = self._name()
        self._temporary(name, f"{name}.filepart", link=True)

    def glib(self) -> None:
        """A name that begins with ``.goutputstream-``, renamed when the file is whole, as GLib does it."""
        self._temporary(self._name(), f".goutputstream-{self._count:06X}")

    def given_up(self) -> None:
        """A temporary file of a transfer that was broken off; it stays."""
        with open(self.path(f"broken_{self._count:05d}.jpg.part"), "wb") as file:
            file.write(self.chance.randbytes(5000))

    def directly(self) -> None:
        """A file written in pieces under its final name; an existing one is rewritten."""
        name = self._name()
        self.remove(name)
        self.in_place(name, *self.version())

    def moved_in(self) -> None:
        """A whole file moved in from a folder that is not watched."""
        self.replace(self._name(), *self.version())

    def sparse(self) -> None:
        """A file with a hole: the bytes behind it are written first."""
        name = self._name()
        self._versions += 1
        state = State(self._versions)
        data = sealed(state.number, bytes(150_000) + self.chance.randbytes(3000))
        self.remove(name)
        with open(self.path(name), "wb", buffering=0) as file:
            file.seek(len(data) - 3000)
            file.write(data[-3000:])
            time.sleep(self.pause_within())
            file.seek(0)
            self.record_state(name, state)
            file.write(data[:100])


class Ring(Program):
    """A ring of names, each deleted and written again with other content of the same size, or replaced."""

    def begin(self) -> None:
        """One act, turn by turn."""
        self._turn = 0
        self.does((self.next, 1))

    def between(self) -> None:
        """Rest for a share of the ring's time, which is three settle times or longer."""
        self.rest(max(0.6, self.place.settle * 3 / _RING))

    def next(self) -> None:
        """The next name of the ring, replaced, or deleted and written in place."""
        name = f"{self._turn % _RING:02d}M00S60.mp4"
        self._turn += 1
        state, data = self.version(_RING_BODY)
        if self.chance.random() < 0.3:
            self.replace(name, state, data)
        else:
            self.remove(name)
            self.in_place(name, state, data)


class Deleted(Program):
    """Files that are deleted while they wait in the queue: the snapshot must arrive."""

    def begin(self) -> None:
        """The acts and their weights."""
        self._count = 0
        self.does((self.deleted_while_queued, 3), (self.deleted_and_recreated, 1), (self.deleted_at_once, 1))

    def between(self) -> None:
        """Rest for 2 to 6 s."""
        self.rest(self.chance.uniform(2.0, 6.0))

    def _wait_queued(self, name: str, size: int) -> bool:
        assert self.link is not None
        deadline = time.monotonic() + _LONGEST_QUEUE_SECS
        while not self.link.queued(self.place.prefix + name, size):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        return True

    def _queued(self, name: str) -> State | None:
        """Write a version while the link is held; its state once it is queued, or None."""
        assert self.link is not None
        state, data = self.version(self.chance.randrange(2000, 60_000))
        self.replace(name, state, data)
        return state if self._wait_queued(name, len(data)) else None

    def deleted_while_queued(self) -> None:
        """A file is deleted once it is queued, and the link is held meanwhile: the snapshot must arrive."""
        assert self.link is not None
        self._count += 1
        name = f"night_{self._count:04d}.jpg"
        self.link.hold()
        try:
            state = self._queued(name)
            self.remove(name)
            if state is not None:
                self.model.owes(self.place.prefix + name, state)
                self.done["owed"] += 1
            self.rest(0.5)
        finally:
            self.link.free()

    def deleted_and_recreated(self) -> None:
        """As ``deleted_while_queued``, and the name gets another file before the link passes again."""
        assert self.link is not None
        self._count += 1
        name = f"night_{self._count:04d}.jpg"
        self.link.hold()
        try:
            self._queued(name)
            self.remove(name)
            self.rest(self.chance.choice([0.0, 0.5]))
            self.in_place(name, *self.version())
        finally:
            self.link.free()

    def deleted_at_once(self) -> None:
        """A file that is deleted before it settles: it need not be sent."""
        self._count += 1
        name = f"night_{self._count:04d}.jpg"
        self.replace(name, *self.version())
        self.rest(self.chance.uniform(0, self.place.settle * 1.5))
        self.remove(name)


class Webcam(Program):
    """One picture that is rewritten in place all the time, never quiet for ``settle_secs``, for a while, and then a rest. By the
    documents a shorter and shorter pause will do for it, and after ten times ``settle_secs`` none."""

    FILE = "image.jpg"
    PERIOD, WITHIN = 0.75, 0.05
    LONGEST = 9.2

    def begin(self) -> None:
        """One act."""
        self.does((self.never_quiet, 1))

    def between(self) -> None:
        """Rest until the last version was queued, so that the next one begins a new settle time."""
        assert self.link is not None
        deadline = time.monotonic() + _LONGEST_QUEUE_SECS
        while not self.link.queued(self.FILE, os.path.getsize(self.path(self.FILE))) and time.monotonic() < deadline:
            self.rest(0.1)

    def never_quiet(self) -> None:
        """Rewrite one picture for several settle times without a pause that is long enough to settle."""
        first = time.monotonic()
        until = first + self.chance.uniform(6.0, self.LONGEST) * self.place.settle
        while time.monotonic() < until and not self.pace.pausing:
            begun = time.monotonic()
            enough = 2 * self.place.settle * (1 - (begun + 0.5 - first) / (10 * self.place.settle))
            state, data = self.version(self.chance.randrange(20_000, 90_000))
            handle = os.open(self.path(self.FILE), os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
            try:
                self.in_pieces(self.FILE, handle, self.cut(data, 5), state, lambda: self.WITHIN, noticed=0.8 * enough)
            finally:
                os.close(handle)
            self.rest(max(0.4, self.PERIOD - (time.monotonic() - begun)))
