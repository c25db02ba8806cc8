"""The retry rules with what they need to remember: the present settings, and the failures in a row of each file."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from ...common.errors import AttemptFailed
from ...delivery_rules.failure_counts import FailureCounts
from ...delivery_rules.retry import Decision, Policy, decide


class RetryRules:
    """Belongs to the dispatcher's event loop. ``chance`` returns a random number in [0, 1)."""

    def __init__(self, policy: Policy, chance: Callable[[], float] = random.random) -> None:
        self._policy = policy
        self._chance = chance
        self._counts = FailureCounts()

    def settings_changed(self, policy: Policy) -> None:
        """Take new values."""
        self._policy = policy

    def decide(self, name: str, attempts: int, error: Exception) -> Decision:
        """What follows from a failed attempt at the file of this name, after ``attempts`` of this version before."""
        others = True
        if isinstance(error, AttemptFailed):
            attempts, others = self._counts.failed(name, error)
        else:
            attempts += 1
        return decide(attempts, error, self._policy, self._chance(), others)

    def park(self) -> Decision:
        """The decision about a file that nothing else can be done about."""
        return Decision("park", self._policy.parked_wait)

    def waits(self, name: str, reason: str, until: float) -> list[dict[str, Any]]:
        """The file waits alone ``until`` this time (wall clock), or is parked (``reason`` is '' then); all such files, for the
        status page."""
        self._counts.waits(name, reason, until)
        return self._counts.page()

    def arrived(self, *names: str) -> list[dict[str, Any]]:
        """The files were delivered; the files that wait alone, for the status page."""
        for name in names:
            self._counts.arrived(name)
        return self._counts.page()

    def withdrawn(self, name: str) -> None:
        """The file left the queue undelivered."""
        self._counts.over(name)
