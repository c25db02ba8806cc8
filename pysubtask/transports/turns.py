"""Names that a server may take for the same are published one after the other, so that the second sees what the first has left."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable


class _Turn:
    """Whose it is, how many attempts at that name are under way, and what is set when the last of them is over."""

    def __init__(self, name: str) -> None:
        self.name, self.users, self.over = name, 0, asyncio.Event()


class Turns:
    """Used on one event loop. ``key`` is equal for names that a server may take for the same."""

    def __init__(self, key: Callable[[str], str]) -> None:
        self._key = key
        self._turns: dict[str, _Turn] = {}

    @contextlib.asynccontextmanager
    async def of(self, name: str) -> AsyncIterator[None]:
        """While it is this name's turn; several attempts at one name are no matter of this."""
        same = self._key(name)
        while (turn := self._turns.get(same)) is not None and turn.name != name:
            await turn.over.wait()
        turn = self._turns.setdefault(same, _Turn(name))
        turn.users += 1
        try:
            yield
        finally:
            turn.users -= 1
            if not turn.users:
                del self._turns[same]
                turn.over.set()
