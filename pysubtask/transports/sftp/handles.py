"""Open files on the server: no more at once than it is known to take; a refused OPEN is tried again where that may be the reason.

Many servers say "Failure" to one open file too many, and the same to a name that they do not like. So a limit is believed where
the words name it, where a second file is refused while no more are open, or where the same file is taken when fewer are open. A
file is to blame where it is refused while nothing else is open, or another one was taken when as many were.
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
"""So many at once are asked of a server that nothing is known of."""
_NEVER = (packets.NO_SUCH_FILE, packets.PERMISSION_DENIED, packets.OP_UNSUPPORTED, packets.BAD_MESSAGE, packets.OK)


def names_limit(answer: Reply) -> bool:
    """Whether the server says that it is a limit."""
    return isinstance(answer, Status) and answer.code != packets.OK and server_limit.names_limit(answer.message)


def may_be_limit(answer: Reply) -> bool:
    """Whether it may be one, from the answer alone."""
    return isinstance(answer, Status) and (answer.code not in _NEVER or names_limit(answer))


_WAITS = (0.05, 0.2, 0.5)


class Handles:
    """Over one connection. ``allowance`` outlives it. Every file is opened between ``enter`` and ``close``."""

    def __init__(self, client: Client, profile: Profile, allowance: Allowance) -> None:
        self._client = client
        self._profile = profile
        self._allowance = allowance
        self._using = 0
        self._granted = 0
        self._suspected = 0  # a file was refused while so many were open, and nobody was asked since
        self._suspected_by: object = None  # which one: the same, refused twice, shows nothing more
        self._taken_at = 0  # the most that were open since
        self._changed = asyncio.Event()

    @property
    def limit(self) -> int:
        """How many may be open."""
        return self._allowance.limit

    async def enter(self, count: int = 1) -> None:
        """Wait until so many more may be opened, all of them together."""
        while self._using and self._using + count > self._allowance.limit:
            await self._change()
        self._using += count

    def leave(self, count: int = 1) -> None:
        """That many will not be opened."""
        self._using -= count
        self._wake()

    async def granted(self, answer: Reply, again: Callable[[], asyncio.Future[Reply]]) -> Reply:
        """What comes of an OPEN that was answered so, after ``enter``; ``again`` asks once more. What is not a Handle has been
        left."""
        before, tried, waits = None, False, iter(_WAITS)
        while True:
            if isinstance(answer, Handle):
                self._took()
                if before is not None:
                    self._believe(before)
                return answer
            others = self._granted
            if not others and names_limit(answer) and (secs := next(waits, None)) is not None:
                # Another session of this account has them open, or the last one is not quite closed yet.
                answer = await self._again(again, secs)
                continue
            named = names_limit(answer)  # then it is no matter of this file, whatever others were granted meanwhile
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
        """Ask once more, after ``enter``."""
        try:
            await asyncio.sleep(secs)
            return await again()
        except BaseException:
            self.leave()
            raise

    def beside(self, answer: Reply) -> None:
        """The answer to the OPEN of a second file of the same upload."""
        if isinstance(answer, Handle):
            self._took()
        else:
            self.leave()

    def close(self, handle: bytes) -> asyncio.Future[Reply]:
        """CLOSE; another file may be opened when it is answered."""
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
        """One more than so many is refused."""
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
