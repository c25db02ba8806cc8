"""What is told of one condition of one task, and when. Pure: the clock is passed in.

    quiet --seen--> forming --it lasts--> open: "begins" --a day--> "lasts" ... --gone for long enough--> "over" --> quiet

A condition that comes and goes stays one incident: it is over when it has been gone for SettleSecs, and with each return within
a day that takes four times as long. So a day has at most a handful of alerts of a kind, however often it comes.

Times are of the wall clock, as they have to outlast the process. A clock that was set back makes nothing older than now.
"""

from __future__ import annotations

from typing import NamedTuple

from .kinds import Seen

BEGINS, LASTS, OVER = "begins", "lasts", "over"
DAY_SECS = 86400.0
_GROWTH = 4.0


class Rules(NamedTuple):
    """The settings SettleSecs (``settle_secs``) and RepeatSecs (``repeat_secs``), in seconds."""

    settle_secs: float
    repeat_secs: float


class Incident(NamedTuple):
    """All times in seconds since the epoch, None for never. ``open``: whether its begin was told, or tried to be.

    ``since``: when it began; ``first``: the look that saw it first; ``gone``: since when it is not there, None where it is.
    ``begun``: when the last one was opened; ``reported``: when a person heard of this one last. ``times``: how many were opened
    within a day of another."""

    open: bool = False
    since: float | None = None
    first: float | None = None
    gone: float | None = None
    begun: float | None = None
    reported: float | None = None
    times: int = 0


QUIET = Incident()


def observed(before: Incident, seen: Seen, now: float, rules: Rules) -> Incident:
    """After a look; no step of it is told to anybody."""
    one = _not_after(before, now)
    if seen.there is None:
        return one
    if seen.there:
        since = one.since if one.since is not None else min(now, seen.since if seen.since is not None else now)
        return one._replace(since=since, first=one.first if one.first is not None else now, gone=None)
    if one.since is None:
        return one
    gone = one.gone if one.gone is not None else now
    if not one.open and now - gone >= rules.settle_secs:
        return one._replace(since=None, first=None, gone=None)
    return one._replace(gone=gone)


def due(one: Incident, seen: Seen, now: float, rules: Rules) -> str:
    """What is to be told of it now: one of BEGINS, LASTS, OVER, or ''."""
    if seen.there:
        if one.open and one.reported is not None:
            return LASTS if now - one.reported >= rules.repeat_secs else ""
        lasts = rules.settle_secs if seen.lasts_secs is None else seen.lasts_secs
        return BEGINS if one.open or now - (one.first if one.first is not None else now) >= lasts else ""
    if one.open and one.gone is not None and now - one.gone >= over_after(one, rules):
        return OVER
    return ""


def over_after(one: Incident, rules: Rules) -> float:
    """How long it has to be gone to be over, in seconds."""
    return float(min(DAY_SECS, rules.settle_secs * _GROWTH ** min(one.times, 16)))


def tried(one: Incident, what: str, now: float, *, heard: bool) -> Incident:
    """After ``what`` was told; ``heard``: the user's program has taken it."""
    if what == BEGINS:
        if not one.open:
            again = one.begun is not None and now - one.begun < DAY_SECS
            one = one._replace(open=True, begun=now, times=one.times + 1 if again else 0, reported=None)
        return one._replace(reported=now) if heard else one
    if what == LASTS:
        return one._replace(reported=now) if heard else one
    return Incident(begun=one.begun, times=one.times) if heard else one


def _not_after(one: Incident, now: float) -> Incident:
    """No time of it lies in the future: a clock may have been set back."""
    times = {
        key: min(value, now) for key in ("since", "first", "gone", "begun", "reported") if (value := getattr(one, key)) is not None
    }
    return one._replace(**times)
