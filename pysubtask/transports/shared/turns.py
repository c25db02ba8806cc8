"""Names that a server may take for the same are published one after the other, so that the second sees what the first has left."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Turn:
    """Whose it is, under which key, how many attempts at that name are under way, and who waits until the last of them is over."""

    def __init__(self, name: str, key: str) -> None:
        self.name, self.key, self.users = name, key, 0
        self.waiting: list[asyncio.Future[None]] = []


class Turns:
    """Used on one event loop. ``key`` is equal for names that a server may take for the same."""

    def __init__(self, key: Callable[[str], str]) -> None:
        self._key = key
        self._turns: dict[str, Turn] = {}

    async def enter(self, name: str) -> Turn:
        """Wait until it is this name's turn; several attempts at one name are no matter of this. To be given to ``leave``."""
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
        """One attempt is over."""
        turn.users -= 1
        if not turn.users:
            del self._turns[turn.key]
            for over in turn.waiting:
                if not over.done():  # whoever waited may have been cancelled
                    over.set_result(None)
