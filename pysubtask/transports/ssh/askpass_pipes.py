"""Askpass by two named pipes and a shell script: for a frozen program, where there is no interpreter to run a client.

To start the frozen program itself would unpack it and run its main at each login.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

_LONGEST = 4096  # bytes of a question: as in ``askpass``, and a write of so many to a pipe is atomic (PIPE_BUF)
# The pipe of the answer is opened first, so that it is at its end as soon as the answering side has closed it. The password is
# in no argument of a command and in no here-document, which some shells write to a file.
_SCRIPT = """#!/bin/sh
exec 3<{answers} || exit 1
printf '%s\\000' "$1" 1<>{questions} || exit 1
IFS= read -r verdict <&3 || exit 1
[ "$verdict" = yes ] || exit 1
exec head -n 1 <&3
"""


class AskpassPipes:
    """The pipes in a private ``folder``, and the ``script`` for ssh. ``answer``: the question -> the answer, None for none."""

    def __init__(self, folder: str, answer: Callable[[str], str | None]) -> None:
        self._answer = answer
        self._heard = bytearray()
        self._loop: asyncio.AbstractEventLoop | None = None
        questions, answers = os.path.join(folder, "q"), os.path.join(folder, "r")
        self._fds: list[int] = []
        try:
            for path in (questions, answers):
                self._fds.append(_pipe_at(path))
        except OSError:
            self.close()
            raise
        self.script = _SCRIPT.format(questions=shlex.quote(questions), answers=shlex.quote(answers))

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Answer from now on, on this loop."""
        self._loop = loop
        loop.add_reader(self._fds[0], self._hear)

    def close(self) -> None:
        """Stop answering and close the pipes. May be called twice."""
        if self._loop is not None and self._fds:
            with contextlib.suppress(OSError, ValueError):
                self._loop.remove_reader(self._fds[0])
        while self._fds:
            os.close(self._fds.pop())

    def _hear(self) -> None:
        try:
            self._heard += os.read(self._fds[0], _LONGEST)
        except OSError:
            return  # a spurious wakeup: no bytes to read
        question, end, rest = self._heard.partition(b"\0")
        if end:
            self._heard = rest
            answer = self._answer(question.decode("utf-8", "replace"))
            with contextlib.suppress(OSError):  # a full pipe: no script reads the answers
                os.write(self._fds[1], b"no\n" if answer is None else f"yes\n{answer}\n".encode())
        del self._heard[:-_LONGEST]


def _pipe_at(path: str) -> int:
    """A new named pipe, opened for both directions: the open does not block, and an end of file is never read."""
    if sys.platform == "win32":
        raise NotImplementedError
    os.mkfifo(path, 0o600)
    return os.open(path, os.O_RDWR | os.O_NONBLOCK)
