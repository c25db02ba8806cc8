"""A shell on the server, in a login of its own beside the SFTP connection, that computes hashes: ``ssh host sh``.

The shell is started for the first hash and ends with the SFTP connection. A server that allows an account only SFTP refuses the
shell, and one whose SFTP has another root does not find the file; then there is no hash.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable

from ...common.errors import TransportError
from ..shared.calls import fail
from .process import SSHStream

# Linux has the first, macOS the second, the BSDs the third (which prints the hash alone, too, when it reads its stdin).
_COMMAND = b"h=$( { sha256sum || shasum -a 256 || sha256; } < %s 2>/dev/null ); printf 'pysubtask %%s %%s\\n' %d \"${h%%%% *}\"\n"
_ANSWER = re.compile(rb"pysubtask (\d+) ([0-9a-f]{64})?\r?")
_LONGEST_LINE = 64 * 1024  # bytes of output that are kept: an answer has about 100, the rest is a login script's


class Shell:
    """``start`` starts the ssh; ``login_secs`` limits its login, ``stall_secs`` each answer."""

    def __init__(self, start: Callable[[], Awaitable[SSHStream]], login_secs: float, stall_secs: float) -> None:
        self._start = start
        self._login_secs = login_secs
        self._stall_secs = stall_secs
        self._turn = asyncio.Lock()
        self._stream: SSHStream | None = None
        self._heard = bytearray()
        self._number = 0
        self._answer: asyncio.Future[str] | None = None
        self._over = ""

    async def sha256(self, path: bytes, patience: float) -> tuple[tuple[str, str] | None, str]:
        """(algorithm, hexadecimal hash) and '', or None and the reason why there is no hash. ``patience``: seconds beyond the stall
        limit."""
        async with self._turn:
            limit = self._stall_secs + patience
            try:
                if self._stream is None and not self._over:
                    limit += self._login_secs
                    self._stream = await self._start()
                    self._stream.start(self)
                if self._over or self._stream is None:
                    return None, self._over
                self._answer = asyncio.get_running_loop().create_future()
                self._number += 1
                self._stream.send([_COMMAND % (_quoted(path), self._number)])
                async with asyncio.timeout(limit):
                    found = await self._answer
            except (TransportError, TimeoutError) as exc:
                self._over = self._over or str(exc) or f"its shell gave no answer for {limit:.0f} s"
                return None, self._over
            finally:
                self._answer = None
        return (("sha256", found), "") if found else (None, "sha256sum does not work there")

    async def close(self) -> None:
        """End the shell's ssh. Never raises."""
        self._over = self._over or "closed"
        stream, self._stream = self._stream, None
        if stream is not None:
            await stream.finish(polite=False)

    # What the stream tells

    def data_received(self, data: bytes) -> None:
        """Listener: complete lines are searched for the answer to the question under way; all else is dropped."""
        self._heard += data
        if b"\n" not in data:
            if len(self._heard) > 2 * _LONGEST_LINE:
                del self._heard[:-_LONGEST_LINE]
            return
        *lines, rest = self._heard.split(b"\n")
        self._heard = rest[-_LONGEST_LINE:]
        for line in lines:
            found = _ANSWER.fullmatch(line)  # the login may print other lines before
            if found is None or int(found[1]) != self._number:
                continue
            if self._stream is not None and not self._stream.logged_in:
                self._stream.login_done()
            if self._answer is not None and not self._answer.done():
                self._answer.set_result((found[2] or b"").decode("ascii"))

    def room_again(self) -> None:
        """Listener: a question is short, so nothing waits for room."""
        return

    def stream_ended(self, why: TransportError) -> None:
        """Listener: the shell is over for this connection; the question under way fails with this reason."""
        self._over = self._over or str(why)
        if self._answer is not None and not self._answer.done():
            fail(self._answer, why)


def _quoted(path: bytes) -> bytes:
    """A path quoted as one word for sh; it cannot be taken for an option, as it follows ``<``."""
    return b"'" + path.replace(b"'", b"'\\''") + b"'"
