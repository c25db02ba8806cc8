"""The limit of open files on the server: no more are opened at once than the server is known to allow, and a refused OPEN is
retried where the limit may be the reason.

Many servers reply "Failure" to one open file too many and to a name that they do not accept. So a limit is assumed where
the text names it, where a second file is refused while no more are open, or where the same file is accepted when fewer are open.
The file is the reason where it is refused while no other is open, or another one was accepted while as many were open.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ..shared import server_limit
from ..shared.allowance import Allowance
from ..shared.profile import Profile
from . import packets
from .client import Client
from .packets import Handle, Reply, Status

KIND = "open files"
FIRST = 8
"""Files opened at once on a server of which no limit is known: few enough for the lowest limits, and doubled by each round trip."""
_NEVER = (packets.NO_SUCH_FILE, packets.PERMISSION_DENIED, packets.OP_UNSUPPORTED, packets.BAD_MESSAGE, packets.OK)


def names_limit(answer: Reply) -> bool:
    """Whether the text of a bad status names a limit."""
    return isinstance(answer, Status) and answer.code != packets.OK and server_limit.names_limit(answer.message)


def may_be_limit(answer: Reply) -> bool:
    """Whether a reply may be due to a limit, judged by the reply alone."""
    return isinstance(answer, Status) and (answer.code not in _NEVER or names_limit(answer))


_WAITS = (0.05, 0.2, 0.5)  # before further tries at a refused OPEN while no other file is open; then the queue waits


class Handles:
    """Over one connection. ``allowance`` outlives it. Every file is opened between ``enter`` and ``close``."""

    def __init__(self, client: Client, profile: Profile, allowance: Allowance) -> None:
        self._client = client
        self._profile = profile
        self._allowance = allowance
        self._using = 0
        self._granted = 0
        self._suspected = 0  # the number of open files at the last refusal; 0 once more were granted
        self._suspected_by: object = None  # whose refusal: a second refusal of the same file is no further evidence
        self._taken_at = 0  # the most files open at once since that refusal
        self._changed = asyncio.Event()

    @property
    def limit(self) -> int:
        """How many may be open."""
        return self._allowance.limit

    async def enter(self, count: int = 1) -> None:
        """Wait until ``count`` more files may be opened, all of them together."""
        while self._using and self._using + count > self._allowance.limit:
            await self._change()
        self._using += count

    def leave(self, count: int = 1) -> None:
        """That many will not be opened."""
        self._using -= count
        self._wake()

    async def granted(self, answer: Reply, again: Callable[[], asyncio.Future[Reply]]) -> Reply:
        """The final reply to an OPEN after ``enter``, of which ``answer`` is the first reply; ``again`` sends the OPEN once more.
        For a reply that is no Handle, ``leave`` has been called."""
        before, tried, waits = None, False, iter(_WAITS)
        while True:
            if isinstance(answer, Handle):
                self._took()
                if before is not None:
                    self._believe(before)
                return answer
            others = self._granted
            if not others and names_limit(answer) and (secs := next(waits, None)) is not None:
                # No file is open here: another session of this account has some open, or the last CLOSE is not finished.
                answer = await self._again(again, secs)
                continue
            named = names_limit(answer)  # then the file is not the reason, even if others were granted meanwhile
            if not others or not may_be_limit(answer) or (tried and self._taken_at >= others and not named):
                self.leave()
                return answer
            if named or (self._suspected and others <= self._suspected and self._suspected_by is not again):
                self._believe(others)
            self._suspected, self._suspected_by, self._taken_at, tried = others, again, 0, True
            before = others if before is None else min(before, others)
            self.leave()
            while self._granted >= others and (named or self._taken_at < others):
                await self._change()
            await self.enter()
            answer = await self._again(again, 0.0)

    async def _again(self, again: Callable[[], asyncio.Future[Reply]], secs: float) -> Reply:
        """Send the OPEN once more after ``secs``; ``leave`` where that is cancelled or fails."""
        try:
            await asyncio.sleep(secs)
            return await again()
        except BaseException:
            self.leave()
            raise

    def beside(self, answer: Reply) -> None:
        """Count the reply to the OPEN of one of several files of the same upload, which are not retried."""
        if isinstance(answer, Handle):
            self._took()
        else:
            self.leave()

    def close(self, handle: bytes) -> asyncio.Future[Reply]:
        """CLOSE; the reply lets another file be opened."""
        closing = self._client.request(packets.CLOSE, packets.string(handle))
        closing.add_done_callback(lambda done: self._closed())
        return closing

    def _took(self) -> None:
        self._granted += 1
        self._taken_at = max(self._taken_at, self._granted)
        self._allowance.worked(self._granted)
        if self._suspected:
            if self._granted > self._suspected:
                self._suspected = 0
            self._wake()

    def _believe(self, others: int) -> None:
        """The server refuses one file more than ``others``."""
        if others < self._allowance.limit:
            is_new = not self._allowance.learned
            self._allowance.refused(others)
            self._profile.limit_met(KIND, is_new=is_new)

    def _closed(self) -> None:
        self._granted -= 1
        self.leave()

    async def _change(self) -> None:
        await self._changed.wait()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
