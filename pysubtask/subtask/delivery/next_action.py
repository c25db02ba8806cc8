"""What the dispatcher does next: a pure decision from a small record of facts.

The rows are read from the top; the first one that holds is the action. "Wanted" means that a job is due, or that a heartbeat or a
snapshot that is being made needs the connection; neither of the latter two counts during a stop.

==  ============  ==============================================================  ==========================================
#   connected     facts                                                           action
==  ============  ==============================================================  ==========================================
1   yes           the connection broke                                            ``Disconnect("lost")``
2   any           the deadline of a stop has passed                               ``End``
3   no            a connection is wanted, and a login may be tried                ``Connect``
4   no            a stop, and the login is held or nothing can be sent in time    ``End``
5   no            a connection is wanted, and the next login is later             ``Hold(try_at)``
6   no            no connection is wanted                                         ``Sleep(due_at)``
7   yes           the server asked for a pause                                    ``Hold(busy_until)``, or ``End`` as in row 4
8   yes           a heartbeat is due                                              ``SendHeartbeat``
9   yes           a job is due, a place is free, few places were claimed lately   ``Claim(n, large)``
10  yes           a job is due, and few places are free                           ``Sleep`` until more are, or a moment
11  yes           uploads are in flight                                           ``Sleep`` until one ends, or a job is due (*)
12  yes           nothing in flight, a stop, and no job is due before its end     ``End``
13  yes           nothing in flight, and the dead time is over                    ``Disconnect("idle")``
14  yes           nothing in flight                                               ``Sleep`` until a job is due, or idle (*)
==  ============  ==============================================================  ==========================================

(*) With a standing claim for the free places, unless a stop was asked for or nothing may be sent: a job that comes meanwhile is
claimed in the commit that puts it into the queue.
"""

from __future__ import annotations

from typing import NamedTuple

NEVER = float("inf")
CLAIM_SECS = 0.02
"""Seconds. While most places for uploads are taken, jobs are not claimed one by one but together after this time: each claim costs
a commit."""
LONGEST_SLEEP = 3600.0
"""Seconds. A timer of an event loop must not be set for ever."""


class Facts(NamedTuple):
    """What the decision needs. All times are in seconds of one monotonic clock; ``NEVER`` stands for a time that does not come.

    ``connected``: a login went well, and the connection was not closed since. ``broken``: the connection is of no use any more.
    ``held``: the last login was refused, or a setting cannot be used. ``try_at``: no login before this time. ``busy_until``: the
    server wants no request before this time.
    ``due_at``: when a job can be claimed; a time that has passed where one can be claimed now. ``claimed_at``: when a job was
    claimed last. ``heartbeat_due``: a heartbeat is to be sent.
    ``in_flight``, ``large_in_flight``: numbers of uploads, and of large ones among them. ``uncommitted``: uploads are finished,
    and their commit is not. ``places``, ``large_places``: how many of each may be in flight.
    ``expected_until``: until then a snapshot is expected that will have to be sent. ``idle_at``: when the dead time is over.
    ``deadline``: when a stop ends, NEVER where none was asked for. ``paused``: nothing of the queue may be sent.
    """

    now: float
    connected: bool = False
    broken: bool = False
    held: bool = False
    try_at: float = 0.0
    busy_until: float = 0.0
    due_at: float = NEVER
    claimed_at: float = 0.0
    heartbeat_due: bool = False
    in_flight: int = 0
    large_in_flight: int = 0
    uncommitted: bool = False
    places: int = 1
    large_places: int = 1
    expected_until: float = 0.0
    idle_at: float = NEVER
    deadline: float = NEVER
    paused: bool = False

    @property
    def is_busy(self) -> bool:
        """Whether something is in flight, or waits for its commit."""
        return self.in_flight > 0 or self.uncommitted

    @property
    def is_stopping(self) -> bool:
        """Whether a stop was asked for."""
        return self.deadline != NEVER


class Connect(NamedTuple):
    """Open the connection and log in."""


class Claim(NamedTuple):
    """Claim up to ``places`` due jobs, at most ``large`` of them large, and begin their uploads."""

    places: int
    large: int


class SendHeartbeat(NamedTuple):
    """Begin the upload of the heartbeat files."""


class Disconnect(NamedTuple):
    """Close the connection. ``why``: 'lost' or 'idle'."""

    why: str


class Hold(NamedTuple):
    """Something is to be sent, but the retry rules or the server allow no request before ``until``."""

    until: float


class Sleep(NamedTuple):
    """There is nothing to do before ``until``, unless the loop is woken, or no more than ``wake_below`` uploads are in flight.
    ``standing``: the claim that is left with the queue meanwhile."""

    until: float
    wake_below: int = -1
    standing: Claim | None = None


class End(NamedTuple):
    """A stop is carried out: nothing more can be sent before its deadline."""


Action = Connect | Claim | SendHeartbeat | Disconnect | Hold | Sleep | End


def next_action(facts: Facts) -> Action:
    """The next action of the dispatcher; see the table of this module."""
    if facts.broken:
        return Disconnect("lost")
    if facts.now >= facts.deadline:
        return End()
    if not facts.connected:
        return _without_connection(facts)
    if facts.busy_until > facts.now:
        return _until(facts, Hold(facts.busy_until))
    if facts.heartbeat_due:
        return SendHeartbeat()
    room = facts.places - facts.in_flight
    if room > 0 and facts.due_at <= facts.now:
        few = max(1, facts.places // 4)
        claim_at = facts.now if room >= few else facts.claimed_at + CLAIM_SECS
        if claim_at <= facts.now:
            return Claim(room, max(0, facts.large_places - facts.large_in_flight))
        return _until(facts, Sleep(claim_at, facts.places - few))
    return _without_work(facts)


def _without_connection(facts: Facts) -> Action:
    """Rows 3 to 6."""
    due_at = facts.due_at
    if not facts.is_stopping and (facts.heartbeat_due or (facts.now < facts.expected_until and not facts.paused)):
        due_at = facts.now
    at = max(due_at, facts.try_at)
    if at <= facts.now:
        return Connect()
    if facts.held and facts.is_stopping:
        return End()
    return _until(facts, Hold(at) if due_at <= facts.now else Sleep(at))


def _without_work(facts: Facts) -> Action:
    """Rows 11 to 14: nothing can be claimed now."""
    if facts.is_busy:
        is_full = facts.due_at <= facts.now
        return _until(facts, Sleep(NEVER, facts.in_flight - 1) if is_full else Sleep(facts.due_at, standing=_standing(facts)))
    if facts.is_stopping:
        return _until(facts, Sleep(facts.due_at))
    idle_at = max(facts.idle_at, facts.expected_until)
    if idle_at <= facts.now:
        return Disconnect("idle")
    return _until(facts, Sleep(min(facts.due_at, idle_at), standing=_standing(facts)))


def _standing(facts: Facts) -> Claim | None:
    """The claim for the free places that is left with the queue during a wait."""
    room = facts.places - facts.in_flight
    if room <= 0 or facts.is_stopping or facts.paused:
        return None
    return Claim(room, max(0, facts.large_places - facts.large_in_flight))


def _until(facts: Facts, wait: Hold | Sleep) -> Action:
    """The wait, cut at the deadline of a stop; the end where nothing is in flight and nothing happens before the deadline."""
    if facts.is_stopping and not facts.is_busy and wait.until >= facts.deadline:
        return End()
    until = min(wait.until, facts.deadline, facts.now + LONGEST_SLEEP)
    return Hold(until) if isinstance(wait, Hold) else wait._replace(until=until)
