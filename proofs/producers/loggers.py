"""Programs that write logs, and how these are rotated."""

from __future__ import annotations

import os
import shutil
import time

from ..torture.content import LINE
from .model import HEAD, State
from .program import Program

_KEPT = 3
_LONGEST = 300_000


class Logger(Program):
    """A log that grows, ``headed`` with the same comment each time or not. ``FILE`` is its name."""

    FILE = "app.log"
    HEADED = False

    def begin(self) -> None:
        """The first generation, and the acts with their weights."""
        self._generation = self.generation()
        self.does((self.append, 12), (self.append_much, 2))
        self.rotations()

    def rotations(self) -> None:
        """A hook for more acts."""

    def report_change(self) -> None:
        """Report the change of the file to the task; a watched folder needs no report."""

    def _write(self, lines: int, handle: int | None = None) -> State:
        state = self.grow(self.FILE, self._generation, lines, self.HEADED, handle)
        self.report_change()
        return state

    def append(self) -> None:
        """Append 1 to 20 lines."""
        self._write(self.chance.randint(1, 20))

    def append_much(self) -> None:
        """Append 200 to 1,500 lines, and rotate where the file has become too long."""
        self._write(self.chance.randint(200, 1500))
        if os.path.getsize(self.path(self.FILE)) > _LONGEST:
            self.moved_away()

    def moved_away(self) -> None:
        """Rotate once, by the simplest chain of renames."""
        self.shift()
        self._write(self.chance.randint(1, 60))

    def shift(self) -> None:
        """FILE.2 to FILE.3, FILE.1 to FILE.2, FILE to FILE.1; nothing has the name FILE then."""
        for number in range(_KEPT, 0, -1):
            old = f"{self.FILE}.{number - 1}" if number > 1 else self.FILE
            state = self.state(old)
            if state is not None and os.path.exists(self.path(old)):
                new = f"{self.FILE}.{number}"
                # By this name it does not grow.
                self.record_state(new, state._replace(copied=True))
                os.replace(self.path(old), self.path(new))
        self._generation = self.generation()


class Renaming(Logger):
    """A log that is rotated by a chain of renames, several times at once now and then."""

    def rotations(self) -> None:
        """The acts that rotate or shorten the file."""
        self.does((self.rotate, 2), (self.rotate_often, 1), (self.shrink, 1))

    def rotate(self) -> None:
        """Rotate once, by renames."""
        self.moved_away()

    def rotate_often(self) -> None:
        """Rotate two to five times, with pauses that may be shorter than the file takes to settle."""
        for _ in range(self.chance.randint(2, 5)):
            self.moved_away()
            self.rest(self.chance.choice([0.0, 0.03, 0.3]))

    def shrink(self) -> None:
        """Truncate the file to its first lines, and append after a while."""
        size = os.path.getsize(self.path(self.FILE)) if os.path.exists(self.path(self.FILE)) else 0
        if size > 4 * LINE:
            shorter = size // LINE // 2 * LINE
            self.record_state(self.FILE, State(self._generation, shorter, self.HEADED))
            os.truncate(self.path(self.FILE), shorter)
            self.report_change()
            self.rest(self.chance.choice([0.05, self.place.settle * 2]))


class Copying(Logger):
    """A log that is rotated by copy and truncation while the writer keeps the file open; at times it is refilled at once beyond
    its old length."""

    FILE = "service.log"
    KEEPS_COPY = True

    def begin(self) -> None:
        """The acts; the file stays open for appending from now on."""
        super().begin()
        self._handle = os.open(self.path(self.FILE), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def rotations(self) -> None:
        """The acts that copy the file and truncate it."""
        self.does((self.copytruncate, 2), (self.copytruncate_and_refill, 2))

    def _write(self, lines: int, handle: int | None = None) -> State:
        return super()._write(lines, self._handle if handle is None else handle)

    def moved_away(self) -> None:
        """Rotate by a copy and a truncation."""
        self.copytruncate()

    def _copytruncate(self) -> int:
        path, size = self.path(self.FILE), os.path.getsize(self.path(self.FILE))
        if self.KEEPS_COPY:
            state = self.state(self.FILE)
            assert state is not None
            copy = f"{self.FILE}.1"
            handle = os.open(self.path(copy), os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
            try:
                with open(path, "rb") as file:
                    self.in_pieces(copy, handle, self.cut(file.read()), state._replace(copied=True))
            finally:
                os.close(handle)
        self._generation = self.generation()
        self.record_state(self.FILE, State(self._generation, 0, self.HEADED))
        os.truncate(path, 0)
        return size

    def copytruncate(self) -> None:
        """Copy the file, truncate it, and append after a pause."""
        if os.path.getsize(self.path(self.FILE)):
            self._copytruncate()
            self.rest(self.chance.choice([0.0, 0.1, self.place.settle * 1.5]))
            self._write(self.chance.randint(1, 40))

    def copytruncate_and_refill(self) -> None:
        """Copy and truncate the file, and within milliseconds fill it beyond its old length."""
        if os.path.getsize(self.path(self.FILE)):
            size = self._copytruncate()
            self._write(int(max(0, size - (len(HEAD) if self.HEADED else 0)) * 1.2) // LINE + 2)


class CopyingAlike(Copying):
    """As ``Copying``, with a comment at the head that is the same each time."""

    FILE = "meter.csv"
    HEADED = True


class Midnight(Logger):
    """A log that is renamed to a dated name while it is open: the last lines go there, and the new file begins short."""

    FILE = "today.log"
    DATED = "days"

    def begin(self) -> None:
        """The open file, and the acts."""
        self._handle = self._opened()
        self._day = 0
        super().begin()

    def _opened(self) -> int:
        return os.open(self.path(self.FILE), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def rotations(self) -> None:
        """The one act that rotates."""
        self.does((self.midnight, 2))

    def _write(self, lines: int, handle: int | None = None) -> State:
        return super()._write(lines, self._handle if handle is None else handle)

    def moved_away(self) -> None:
        """Rotate as at midnight."""
        self.midnight()

    def midnight(self) -> None:
        """Rename the file to a dated name while lines still go to the open handle, then open a new one."""
        state = self.state(self.FILE)
        if state is None or not os.path.exists(self.path(self.FILE)):
            return
        self._day += 1
        dated = os.path.join(self.DATED, f"2026{self._day:04d}_{self.FILE}")
        os.makedirs(os.path.dirname(self.path(dated)), exist_ok=True)
        self.record_state(dated, state)
        os.rename(self.path(self.FILE), self.path(dated))
        self.rest(self.chance.choice([0.0, 0.02, self.place.settle * 1.5]))
        # It is open still.
        self.grow(dated, self._generation, 3, self.HEADED, self._handle)
        os.close(self._handle)
        self._generation = self.generation()
        self._handle = self._opened()
        self._write(self.chance.randint(1, 5))


class DayFolders(Program):
    """Folders for days with files in them, renamed and removed as a whole."""

    def begin(self) -> None:
        """The acts and their weights."""
        self._day = 0
        self.does((self.day, 4), (self.rename_folder, 1), (self.remove_folder, 1))

    def between(self) -> None:
        """Rest for 0.3 to 2 s."""
        self.rest(self.chance.uniform(0.3, 2.0))

    def _folders(self) -> list[str]:
        top = self.path("archive-days")
        return sorted(os.listdir(top)) if os.path.isdir(top) else []

    def day(self) -> None:
        """A new folder with up to three files."""
        self._day += 1
        folder = f"archive-days/{self._day:04d}"
        os.makedirs(self.path(folder))
        for number in range(self.chance.randint(0, 3)):
            self.replace(f"{folder}/p{number}.jpg", *self.version())

    def rename_folder(self) -> None:
        """Rename a folder with all that is in it."""
        there = self._folders()
        if there:
            self._day += 1
            old, new = f"archive-days/{self.chance.choice(there)}", f"archive-days/{self._day:04d}-done"
            for name in os.listdir(self.path(old)):
                state = self.state(f"{old}/{name}")
                if state is not None:
                    self.record_state(f"{new}/{name}", state)
            os.rename(self.path(old), self.path(new))

    def remove_folder(self) -> None:
        """Remove the oldest folder where there are more than four, with all that is in it."""
        there = self._folders()
        if len(there) > 4:
            time.sleep(self.pause_within())
            shutil.rmtree(self.path(f"archive-days/{there[0]}"))
