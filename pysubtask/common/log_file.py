"""A log file that several processes write to, and that is put aside when it is full.

Whole lines are appended by one write each (O_APPEND), so lines of two writers never mix. The file is put aside by a
rename under a lock that no process waits for; a process that has the file open notices at its next line that the name means
another file, and opens that one. A line written in between is in the file that was put aside.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Iterator, Sequence

from .log_place import open_log, put_aside

_OUTPUTS = (1, 2)  # the descriptors of stdout and stderr
_MOST_TOGETHER = 16 * 1024
"""Bytes: lines that are logged together are written in pieces of about this size."""


def _stat_of(fd: int) -> os.stat_result | None:
    """What a descriptor means; None where it is closed."""
    try:
        return os.fstat(fd)
    except OSError:
        return None


def _identity(fd: int) -> tuple[int, int] | None:
    found = _stat_of(fd)
    return None if found is None else (found.st_dev, found.st_ino)


def _pieces(lines: list[bytes], most: int) -> Iterator[list[bytes]]:
    """Lines in their order, as many together as have ``most`` bytes; a longer one goes by itself."""
    piece: list[bytes] = []
    size = 0
    for line in lines:
        if piece and size + len(line) > most:
            yield piece
            piece, size = [], 0
        piece.append(line)
        size += len(line)
    if piece:
        yield piece


class LogFile(logging.Handler):
    """Appends to ``path``; above ``max_bytes`` (0: never) the file becomes ``path.1``, that one ``path.2``, up to ``keep``.

    ``own_output``: where stdout or stderr of this process is the log, too, they follow to the new file. ``own_process``: this is no
    app's process, which may be forked or have all its descriptors closed.
    OSError where the file cannot be opened. A line that cannot be written is dropped and counted in ``dropped``.
    """

    def __init__(
        self, path: str, max_bytes: int = 0, keep: int = 1, *, own_output: bool = False, own_process: bool = False
    ) -> None:
        self._fd: int | None = None  # first, for at the end of the program every handler is closed that was begun
        super().__init__()
        self.dropped = 0
        self.path = os.path.abspath(path)
        self._max, self._keep = max_bytes, keep
        self._own_output, self._own_process = own_output, own_process
        self._fd = open_log(self.path)
        self._identity = _identity(self._fd)
        self._torn = False
        self._pid = os.getpid()
        self._most_together = min(_MOST_TOGETHER, max_bytes or _MOST_TOGETHER)

    def emit(self, record: logging.LogRecord) -> None:
        """Append the line. Never raises: a line that cannot be written is counted in ``dropped``."""
        try:
            self._append(self._line(record))
        except Exception:  # noqa: BLE001 - whatever it is, the caller's work is worth more than a line of its log
            self.handleError(record)

    def handle_all(self, records: Sequence[logging.LogRecord]) -> None:
        """As ``handle`` for each of them, in few writes."""
        passed = [record for record in records if self.filter(record)] if self.filters else records
        with self.lock or contextlib.nullcontext():
            lines = []
            for record in passed:
                try:
                    lines.append(self._line(record))
                except Exception:  # noqa: BLE001 - as in emit
                    self.handleError(record)
            for piece in _pieces(lines, self._most_together):
                try:
                    self._append(b"".join(piece))
                except Exception:  # noqa: BLE001 - as in emit
                    self.dropped += len(piece)

    def _line(self, record: logging.LogRecord) -> bytes:
        return (self.format(record) + "\n").encode("utf-8", "backslashreplace")

    def follow(self) -> None:
        """Let a file go that was moved away, though nothing is logged: it would keep its room on the disk. Never raises."""
        with self.lock or contextlib.nullcontext(), contextlib.suppress(OSError):
            if self._fd is not None and os.getpid() == self._pid:
                self._follow()

    def handleError(self, record: logging.LogRecord) -> None:
        """Count the line that was lost, where logging would print a traceback to stderr."""
        self.dropped += 1

    def close(self) -> None:
        """Close the file, unless the app has closed its descriptor already: the number may be another file's by now."""
        with self.lock or contextlib.nullcontext():
            fd, self._fd = self._fd, None
        if fd is not None and _identity(fd) == self._identity:
            os.close(fd)
        super().close()

    def _append(self, lines: bytes) -> None:
        """Whole lines, at the end of the file that has the name now."""
        if self._fd is None:
            # An app that configures its own logging closes every handler there is.
            self._fd, self._pid = open_log(self.path), os.getpid()
            self._identity = _identity(self._fd)
        self._rotate(self._follow(), len(lines))
        self._write(lines)

    def _write(self, line: bytes) -> None:
        assert self._fd is not None
        # What a full disk left of the line before it must not run into this one.
        rest = memoryview(b"\n" + line if self._torn else line)
        while rest:
            done = os.write(self._fd, rest)
            rest = rest[done:]
            self._torn = bool(rest)

    def _follow(self) -> int:
        """Open the log again where the name means another file: another process, or a person, has put the open one aside. Returns
        the size in bytes of the file that is open afterwards."""
        assert self._fd is not None
        if self._own_process:
            with contextlib.suppress(OSError):
                named = os.stat(self.path)
                if (named.st_dev, named.st_ino) == self._identity:
                    return named.st_size
        # An app that turns into a daemon closes all it has: the number may be a file of its own by now. Nothing is written there.
        open_now = _stat_of(self._fd)
        mine = open_now is not None and (open_now.st_dev, open_now.st_ino) == self._identity
        size = open_now.st_size if mine and open_now is not None else 0
        try:
            # A forked copy opens it for itself: one that is shared would share the lock as well.
            if mine and os.getpid() == self._pid and open_now is not None and os.path.samestat(os.stat(self.path), open_now):
                return size
        except FileNotFoundError:
            pass
        except OSError:
            if mine:
                return size
        try:
            fd = open_log(self.path)
        except OSError:
            if not mine:
                raise
            return size  # the old one takes the line
        self._take(fd, mine)
        return os.fstat(fd).st_size

    def _take(self, fd: int, mine: bool) -> None:
        """``mine``: whether the descriptor until now is the log still."""
        old, self._fd, self._torn, self._pid = self._fd, fd, False, os.getpid()
        self._identity = _identity(fd)
        assert old is not None
        if not mine:
            return
        if self._own_output:
            for number in _OUTPUTS:
                with contextlib.suppress(OSError):
                    if os.path.samestat(os.fstat(number), os.fstat(old)):
                        os.dup2(fd, number)
        os.close(old)

    def _rotate(self, size: int, coming: int) -> None:
        if sys.platform == "win32":  # no open file is renamed there: the log grows
            return
        import fcntl

        if not self._max or self._fd is None:
            return
        if not size or size + coming <= self._max:
            return
        fd = self._fd
        # The holder of the lock is putting the file aside already. Where a rename fails the line goes into the full file,
        # and the next line tries again.
        with contextlib.suppress(OSError):
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            try:
                if os.path.samestat(os.stat(self.path), os.fstat(fd)):
                    put_aside(self.path, self._keep)
                    self._follow()
            finally:
                if fd == self._fd:
                    fcntl.flock(fd, fcntl.LOCK_UN)
