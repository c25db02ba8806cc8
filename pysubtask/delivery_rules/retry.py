"""When a failed attempt is made again: a pure decision."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from ..common.errors import LONGEST_PAUSE, AttemptFailed, ConfigError, FileRefused, LoginRefused, NotAsLeft, ServerBusy, SourceError

JITTER = 0.2
LOGIN_WAIT_FACTOR = 20
EXTRA_LOGIN_SECS = 60.0
"""Seconds. After a refused login a person may request an earlier try, but no more often than this: servers lock accounts."""


class Policy(NamedTuple):
    """The retry settings. Waits in seconds; jitter makes them longer, never shorter.

    ``tries``: attempts in one set (RetryCount). ``wait``: between two attempts of a set (RetryWaitSecs). ``long_wait``: between
    two sets (RetryLongWaitSecs). ``parked_wait``: until a refused file is offered again (ParkedRetrySecs).
    """

    tries: int
    wait: float
    long_wait: float
    parked_wait: float

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Policy:
        """The policy by the present values of the settings of a child."""
        return cls(settings["RetryCount"], settings["RetryWaitSecs"], settings["RetryLongWaitSecs"], settings["ParkedRetrySecs"])


class Decision(NamedTuple):
    """What follows from a failed attempt, and nothing besides. ``action``:

    * 'wait': all files wait. The connection is opened again, or kept and left alone where the server is busy;
    * 'hold': all files wait, because the login was refused or a setting cannot be used;
    * 'again': this file alone waits and is sent again, others go on over the same connection;
    * 'park': this file is left, others go on;
    * 'next': the next method for this file at once, over the same connection (the whole file in place of the missing part);
    * 'anew': the snapshot of this file cannot be used, a new one is taken.

    ``secs``: how long to wait before that.
    """

    action: str
    secs: float


def decide(attempts: int, error: Exception, policy: Policy, chance: float, others: bool = True) -> Decision:
    """What to do after ``attempts`` failures in a row, the last of them ``error``.

    Lost connections are tried in sets of ``tries``, ``wait`` apart, with ``long_wait`` between sets,
    for ever. A refused login gets one short wait; after that the wait doubles from ``long_wait`` to
    twenty times that, so that no server locks the account. A busy server may say itself how long, up to an hour.
    An attempt that failed alone is made again after ``wait``, which doubles up to ``long_wait``; after ``tries`` in a row the file
    is parked, if ``others`` arrived meanwhile. Where none did it may not be this file's fault, and the wait doubles up to that
    of a parked one. Where the server names a limit of its own, the file is never parked and waits ``long_wait`` at most. A parked
    file of which the server has no whole version any more is offered after ``long_wait``.
    ``chance`` is a random number in [0, 1).
    """
    parked = Decision("park", min(policy.parked_wait, policy.long_wait) if getattr(error, "damaged", False) else policy.parked_wait)
    if isinstance(error, FileRefused):
        return parked
    if isinstance(error, NotAsLeft):
        return Decision("next", 0.0)
    if isinstance(error, SourceError):
        return Decision("anew", 0.0)
    if isinstance(error, AttemptFailed):
        if attempts >= policy.tries and others and not error.limit:
            return parked
        secs = _own_wait(attempts, policy)
        if error.limit:
            secs = min(secs, max(1.0, policy.wait, policy.long_wait))
        return Decision("again", secs * (1 + JITTER * chance))
    if isinstance(error, ServerBusy) and error.retry_after > 0:
        return Decision("wait", min(error.retry_after * (1 + JITTER * chance), LONGEST_PAUSE))
    if isinstance(error, LoginRefused | ConfigError):
        return Decision("hold", login_wait(attempts, policy))
    secs = policy.long_wait if attempts % policy.tries == 0 else policy.wait
    return Decision("wait", secs * (1 + JITTER * chance))


def _own_wait(attempts: int, policy: Policy) -> float:
    """Seconds that one file waits alone after ``attempts`` failures in a row."""
    if attempts < policy.tries:
        return max(policy.wait, min(policy.wait * 2.0 ** min(attempts - 1, 16), policy.long_wait))
    first = max(1.0, policy.wait, policy.long_wait)
    return min(first * 2.0 ** min(attempts - policy.tries, 16), max(policy.parked_wait, policy.wait))


def login_wait(attempts: int, policy: Policy) -> float:
    """Seconds from the ``attempts``-th refused login to the next try."""
    if attempts <= 1:
        return policy.wait
    return min(policy.long_wait * 2.0 ** min(attempts - 2, 16), policy.long_wait * LOGIN_WAIT_FACTOR)


def held_for(attempts: int, last_try: float, now: float, policy: Policy) -> float:
    """Seconds that a login refused before a restart is still held. Both times by the wall clock; a clock that was set back since
    counts as no time passed."""
    gone = max(0.0, now - last_try)
    return max(0.0, login_wait(attempts, policy) - gone)


def extra_login_in(last: float, now: float) -> float:
    """Seconds until a refused login may be tried on request; ``last``: the time of the last such try. Both by the wall clock; a
    clock that was set back since counts as no time passed."""
    return max(0.0, EXTRA_LOGIN_SECS - max(0.0, now - last))
