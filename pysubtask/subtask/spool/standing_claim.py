"""A claim that is left with the queue while nothing is due: the next jobs are claimed in the commit that puts them in.

A claim of its own costs one more commit, and so one more sync of the disk, before the first byte of a file is sent. The dispatcher
leaves its claim while it waits with an open connection, and withdraws it before it does anything else.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

from .jobs import ClaimedJob


class ClaimTerms(NamedTuple):
    """What may be claimed: up to ``limit`` jobs that are due at ``now`` (monotonic seconds), at most ``big`` of them big ones.
    ``appends``, ``copies``: as in :meth:`Queue.claim`. ``begun`` is called on the spool's thread with the claimed jobs, right after
    the commit."""

    limit: int
    big: int
    now: float
    appends: bool
    copies: bool
    begun: Callable[[Sequence[ClaimedJob]], None]


class StandingClaim:
    """The dispatcher leaves and withdraws it; the spool's thread takes it up and settles it. The deques, whose methods are atomic,
    decide which of the two comes first."""

    def __init__(self) -> None:
        self._terms: deque[ClaimTerms] = deque()
        self._settled: deque[Sequence[ClaimedJob]] = deque()
        self._is_left = False
        self.commits = 0
        """How many times jobs were put into the queue so far."""
        self.settled_by = -1
        """``commits`` when the last claim was settled."""

    def leave(self, terms: ClaimTerms) -> None:
        """Leave a claim, until it is withdrawn. There is one at a time."""
        self._is_left = True
        self._terms.append(terms)

    def withdraw(self) -> Sequence[ClaimedJob] | None:
        """End the claim that was left, if any; the jobs that were claimed by it. None while the commit runs: call it again on the
        spool's thread, where the commit is over."""
        if not self._is_left:
            return ()
        try:
            self._terms.pop()
        except IndexError:
            if not self._settled:
                return None
            claimed = self._settled.pop()
        else:
            claimed = ()
        self._is_left = False
        return claimed

    def take(self) -> ClaimTerms | None:
        """Take the claim up, on the spool's thread; None where there is none. What is taken has to be settled."""
        try:
            return self._terms.pop()
        except IndexError:
            return None

    def settle(self, terms: ClaimTerms | None, claimed: Sequence[ClaimedJob]) -> None:
        """The commit is over: these jobs were claimed by what was taken. On the spool's thread."""
        if terms is not None:
            self.settled_by = self.commits
            terms.begun(claimed)
            self._settled.append(claimed)
