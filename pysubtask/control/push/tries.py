"""What follows from the failed attempts of a push: the retry rules of the child, and the end that --tries sets. Pure."""

from __future__ import annotations

from collections.abc import Callable

from ...common.errors import AttemptFailed
from ...delivery_rules.failure_counts import FailureCounts
from ...delivery_rules.retry import Decision, Policy, decide


class Tries:
    """``policy``: the retry settings. ``most``: after this number of attempts in a row without progress a push gives up.
    ``chance``: gives random numbers in [0, 1).

    As in a child, the wait after a lost connection goes by the losses since a file was last delivered, and the wait of a file that
    failed alone by its own failures in a row.
    """

    def __init__(self, policy: Policy, most: int, chance: Callable[[], float]) -> None:
        self._policy, self._most, self._chance = policy, most, chance
        self._rows = FailureCounts()
        self._losses = 0
        self._moved = False
        self.without_progress = 0

    @property
    def spent(self) -> bool:
        """Whether so many connections in a row brought no progress that the push gives up."""
        return self.without_progress >= self._most

    def moved(self) -> None:
        """Some file got further than ever before."""
        self._moved = True

    def delivered(self, name: str) -> None:
        """The file with the remote ``name`` is delivered."""
        self._rows.over(name)
        self._losses = 0
        self._moved = True

    def lost(self, error: Exception) -> Decision:
        """Count a connection that was lost or not made, or a server that asks for a pause, and decide what follows."""
        self._losses += 1
        self.without_progress = 1 if self._moved else self.without_progress + 1
        self._moved = False
        return decide(self._losses, error, self._policy, self._chance())

    def failed(self, name: str, error: Exception) -> tuple[Decision, int]:
        """What follows from an attempt at the file with the remote ``name``, and the number of its failures in a row. An ``error``
        that concerns all files is not counted here but by ``lost``."""
        if not isinstance(error, AttemptFailed):
            return decide(self._losses + 1, error, self._policy, self._chance()), 1
        failures, _ = self._rows.failed(name, error)
        if failures >= self._most:
            return Decision("park", 0.0), failures
        # A person who asks for more tries than RetryCount gets them, so the file is not left before.
        return decide(failures, error, self._policy, self._chance(), others=False), failures
