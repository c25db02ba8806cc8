"""Which alerts one condition of one task causes, and when. Pure: the clock is an argument.

    quiet --seen--> forming --it lasts--> open: "begins" --a day--> "lasts" ... --gone for long enough--> "over" --> quiet

A condition that comes and goes stays one incident: it is over when it has been gone for SettleSecs, and that time is four times
as long with each return within a day. So a day has at most a handful of alerts of a kind.

Times are of the wall clock, as they have to outlast the process. After the clock was set back, no time lies in the future.
"""

from __future__ import annotations

from typing import NamedTuple

from .kinds import Seen

BEGINS, LASTS, OVER = "begins", "lasts", "over"
DAY_SECS = 86400.0
_GROWTH = 4.0  # the factor for each return: a condition that comes and goes causes few alerts


class Rules(NamedTuple):
    """The settings SettleSecs (``settle_secs``) and RepeatSecs (``repeat_secs``), in seconds."""

    settle_secs: float
    repeat_secs: float


class Incident(NamedTuple):
    """The state of one condition. All times in seconds since the epoch, None for never. ``open``: whether its beginning was
    reported, or an attempt was made.

    ``since``: when the condition began; ``first``: when an observation found it first; ``gone``: since when it is gone, None
    while it is there. ``begun``: when the last incident was opened; ``reported``: when the user's program last took an alert of
    this one. ``times``: how many incidents were opened within a day of the previous one.
    """

    open: bool = False
    since: float | None = None
    first: float | None = None
    gone: float | None = None
    begun: float | None = None
    reported: float | None = None
    times: int = 0


QUIET = Incident()


def observed(before: Incident, seen: Seen, now: float, rules: Rules) -> Incident:
    """The incident after an observation. The change alone sends no alert."""
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
    """The alert that is due now: BEGINS, LASTS, OVER, or ''."""
    if seen.there:
        if one.open and one.reported is not None:
            return LASTS if now - one.reported >= rules.repeat_secs else ""
        lasts = rules.settle_secs if seen.lasts_secs is None else seen.lasts_secs
        return BEGINS if one.open or now - (one.first if one.first is not None else now) >= lasts else ""
    if one.open and one.gone is not None and now - one.gone >= over_after(one, rules):
        return OVER
    return ""


def over_after(one: Incident, rules: Rules) -> float:
    """For how many seconds the condition has to be gone until the incident is over."""
    return float(min(DAY_SECS, rules.settle_secs * _GROWTH ** min(one.times, 16)))


def tried(one: Incident, what: str, now: float, *, heard: bool) -> Incident:
    """The incident after the alert ``what`` was sent; ``heard``: whether the user's program took it."""
    if what == BEGINS:
        if not one.open:
            again = one.begun is not None and now - one.begun < DAY_SECS
            one = one._replace(open=True, begun=now, times=one.times + 1 if again else 0, reported=None)
        return one._replace(reported=now) if heard else one
    if what == LASTS:
        return one._replace(reported=now) if heard else one
    return Incident(begun=one.begun, times=one.times) if heard else one


def _not_after(one: Incident, now: float) -> Incident:
    """The incident with no time after ``now``: the clock may have been set back."""
    times = {
        key: min(value, now) for key in ("since", "first", "gone", "begun", "reported") if (value := getattr(one, key)) is not None
    }
    return one._replace(**times)
