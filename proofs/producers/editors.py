"""Programs that save one file again and again: editors, tables that are replaced, databases of fixed size."""

from __future__ import annotations

import os
import sys
import time

from ..torture.content import sealed
from .model import State
from .program import Program


class Editor(Program):
    """Saves as Vim, GLib, Emacs and small programs do, moves files away and back, exchanges two, sets times back, and changes
    contents while size and time stay the same. Each name rests for a while after it was written in place."""

    FILES = ("conf.json", "notes.txt", "state.bin")
    BODY = 9000

    def begin(self) -> None:
        """The files as they are at first, and the acts with their weights."""
        for name in self.FILES:
            self.replace(name, *self.version(self.BODY))
        self.does(
            (self.vim, 3),
            (self.glib, 3),
            (self.simply, 3),
            (self.emacs, 2),
            (self.patched, 3),
            (self.stamp_kept, 3),
            (self.stamp_kept_by_rename, 2),
            (self.touched_back, 2),
            (self.exchanged, 1),
            (self.away_and_back, 1),
            (self.copied_over, 2),
            (self.held_open, 1),
        )

    def last(self) -> None:
        """Change each file without a change of its size and time."""
        # The version before is sent first: by then the stamps are those of the last delivery.
        time.sleep(self.place.settle * 4)
        for name in self.FILES:
            self._patch(name, keep_times=True)

    def _one(self) -> str:
        return self.chance.choice(self.FILES)

    def _body(self) -> int | None:
        return self.BODY if self.chance.random() < 0.5 else None

    def vim(self) -> None:
        """Rename the old file to a backup and write the new one in its place; a file 4913 tries whether the folder can be
        written."""
        name = self._one()
        for probe in (f".{name}.swp", "4913"):
            with open(self.path(probe), "wb") as file:
                file.write(b"b0VIM")
        os.unlink(self.path("4913"))
        os.rename(self.path(name), self.path(name + "~"))
        self.in_place(name, *self.version(self._body()))
        self.rest(self.chance.choice([0.0, self.place.settle * 1.4]))
        os.unlink(self.path(name + "~"))
        os.unlink(self.path(f".{name}.swp"))
        self.calm()

    def glib(self) -> None:
        """Save as GLib does: a ``.goutputstream-`` file renamed over the old one, one to four times."""
        name = self._one()
        for _ in range(self.chance.choice([1, 1, 4])):
            temporary = self.path(f".goutputstream-{self.chance.randrange(16**6):06X}")
            state, data = self.version(self._body())
            with open(temporary, "wb") as file:
                file.write(data)
            self.record_state(name, state)
            os.replace(temporary, self.path(name))
            self.rest(self.chance.choice([0.0, 0.05, 0.2]))

    def simply(self) -> None:
        """Truncate the file and write it again."""
        self.in_place(self._one(), *self.version(self._body()))
        self.calm()

    def emacs(self) -> None:
        """Copy the file to a backup and write it in place."""
        name = self._one()
        with open(self.path(f"#{name}#"), "wb") as file:
            file.write(b"saved by itself")
        with open(self.path(name + "~"), "wb") as file:
            file.write(self.content(name))
        self.in_place(name, *self.version(self._body()))
        os.unlink(self.path(f"#{name}#"))
        self.calm()

    def patched(self) -> None:
        """Change some bytes in the middle and at the head, in place, as in a file of records."""
        self._patch(self._one(), keep_times=False)
        self.calm()

    def stamp_kept(self) -> None:
        """As ``patched``, and set the time back: size and time stay the same."""
        self._patch(self._one(), keep_times=True)
        self.calm()

    def _patch(self, name: str, *, keep_times: bool) -> None:
        if sys.platform == "win32":
            raise NotImplementedError
        before = os.stat(self.path(name))
        head, _, body = self.content(name).partition(b"\n")
        changed = bytearray(body)
        if changed:
            at = self.chance.randrange(len(changed))
            changed[at : at + 10] = self.chance.randbytes(len(changed[at : at + 10]))
        self._versions += 1
        state, data = State(self._versions), sealed(self._versions, bytes(changed))
        assert len(data) == before.st_size, head
        handle = os.open(self.path(name), os.O_RDWR)
        try:
            begun = time.monotonic()
            os.pwrite(handle, data[len(head) + 1 :], len(head) + 1)
            time.sleep(self.pause_within())
            if time.monotonic() - begun > self.place.settle * 0.85:
                self.model.allow(self.place.prefix + name, self.content(name))
            self.record_state(name, state)
            os.pwrite(handle, data[: len(head) + 1], 0)
            if keep_times:
                os.utime(handle, ns=(before.st_atime_ns, before.st_mtime_ns))
        finally:
            os.close(handle)

    def stamp_kept_by_rename(self) -> None:
        """Replace the file by another of the same size and time."""
        name = self._one()
        before = os.stat(self.path(name))
        self._versions += 1
        body = self.chance.randbytes(len(self.content(name).partition(b"\n")[2]))
        data = sealed(self._versions, body)
        self.replace(name, State(self._versions), data, (before.st_atime_ns, before.st_mtime_ns))

    def touched_back(self) -> None:
        """Write new content and set the time to years ago."""
        name = self._one()
        when = self.chance.choice([1_000_000_000, 1_500_000_000, 1_700_000_000]) * 10**9 + self.chance.choice([0, 5])
        self.replace(name, *self.version(self._body()), (when, when))

    def exchanged(self) -> None:
        """Exchange the names of two files by way of a third."""
        first, second = self.chance.sample(self.FILES, 2)
        mine, other = self.state(first), self.state(second)
        assert mine is not None and other is not None
        aside = self.scratch(first)
        os.rename(self.path(first), aside)
        self.record_state(first, other)
        os.rename(self.path(second), self.path(first))
        self.record_state(second, mine)
        os.rename(aside, self.path(second))

    def away_and_back(self) -> None:
        """Move a file out of the watched folder, and back unchanged."""
        name = self._one()
        state = self.state(name)
        assert state is not None
        aside = self.scratch(name)
        os.rename(self.path(name), aside)
        self.rest(self.chance.choice([0.05, self.place.settle * 2]))
        self.record_state(name, state)
        os.rename(aside, self.path(name))

    def copied_over(self) -> None:
        """Write an older version over the file in place, with its old time, as ``cp -p`` does."""
        name = self._one()
        before, data = os.stat(self.path(name)), self.content(name)
        state = self.state(name)
        assert state is not None
        self.replace(name, *self.version(self._body()))
        self.calm()
        handle = os.open(self.path(name), os.O_RDWR | os.O_TRUNC)
        try:
            self.in_pieces(name, handle, self.cut(data), state)
            os.utime(handle, ns=(before.st_atime_ns, before.st_mtime_ns))
        finally:
            os.close(handle)
        self.calm()

    def held_open(self) -> None:
        """Write the file twice from one handle that stays open."""
        name = self._one()
        handle = os.open(self.path(name), os.O_RDWR)
        try:
            for _ in range(2):
                state, data = self.version(self.BODY)
                os.lseek(handle, 0, os.SEEK_SET)
                os.ftruncate(handle, 0)
                self.in_pieces(name, handle, self.cut(data), state)
                self.calm()
        finally:
            os.close(handle)


class Table(Program):
    """One file that is replaced as a whole, quickly, at times with one of the same size and time."""

    FILE = "table.csv"

    def begin(self) -> None:
        """The file as it is at first, and the acts with their weights."""
        self.replace(self.FILE, *self.version(4000))
        self.does((self.replaced, 4), (self.same_stamp, 2), (self.removed, 1))

    def last(self) -> None:
        """Replace the file by another of the same size and time, after a while."""
        time.sleep(self.place.settle * 4)
        self.same_stamp()

    def replaced(self) -> None:
        """Replace the file by a rename, up to five times in a row."""
        for _ in range(self.chance.choice([1, 1, 5])):
            self.replace(self.FILE, *self.version(self.chance.choice([4000, None])))
            self.rest(self.chance.choice([0.0, 0.02, 0.3]))

    def same_stamp(self) -> None:
        """Replace the file by another of the same size and modification time; only its inode and ctime differ."""
        if not os.path.exists(self.path(self.FILE)):
            return self.replaced()
        before = os.stat(self.path(self.FILE))
        self.replace(self.FILE, *self.version(4000), (before.st_atime_ns, before.st_mtime_ns))
        return None

    def removed(self) -> None:
        """Remove the file for a while, and write it again."""
        self.remove(self.FILE)
        self.rest(self.chance.uniform(0.0, self.place.settle * 2))
        self.replace(self.FILE, *self.version(4000))
