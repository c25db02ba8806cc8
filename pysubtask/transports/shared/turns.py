"""Names that a server may treat as the same are published one after the other, so that the second check sees the first file."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Turn:
    """``name``: the name whose turn it is; ``key``: its key; ``users``: attempts at this name under way; ``waiting``: futures of
    the attempts at other names, done when the last user has left."""

    def __init__(self, name: str, key: str) -> None:
        self.name, self.key, self.users = name, key, 0
        self.waiting: list[asyncio.Future[None]] = []


class Turns:
    """For one event loop. ``key`` is equal for names that a server may treat as the same."""

    def __init__(self, key: Callable[[str], str]) -> None:
        self._key = key
        self._turns: dict[str, Turn] = {}

    async def enter(self, name: str) -> Turn:
        """Wait until it is this name's turn; several attempts at one name share a turn. The turn is to be passed to ``leave``."""
        same = self._key(name)
        while (turn := self._turns.get(same)) is not None and turn.name != name:
            over = asyncio.get_running_loop().create_future()
            turn.waiting.append(over)
            await over
        if turn is None:
            turn = self._turns[same] = Turn(name, same)
        turn.users += 1
        return turn

    def leave(self, turn: Turn) -> None:
        """One attempt is over; the last one wakes those that wait."""
        turn.users -= 1
        if not turn.users:
            del self._turns[turn.key]
            for over in turn.waiting:
                if not over.done():  # a waiting attempt may have been cancelled
                    over.set_result(None)
