"""What one server supports, learned from its replies: for each of several means (:mod:`means`) the best rung that has worked.

Pure: the clock is passed in. A refused rung is no refusal of the file: the upload takes the next rung at once (``Walk``), and
only when that has worked for the same file, the profile notes that the server lacks the better rung. A file is not refused while a
rung is left; where the last rung is refused, too, the profile does not change, as the file may be the reason.

The state table of one means, with rungs 0 (best) to n; ``r`` is the one known to work, ``k`` the one of this walk:

    walk begins      at r; at the best rung where a trial is due, and then no other walk tries it for a while
    k refused        the walk goes on at the next allowed rung below k, then at better ones that it has not tried; none left:
                     Exhausted, r stays
    k worked, k > r  every rung from r up to k was refused to this walk: r := k, one step down, told once
    k worked, k < r  r := k, one step up, told once
    k worked, k = r  counted; a refused trial doubles the distance to the next one, after a few of them

A better rung is tried again with every third file at first, then more and more seldom (up to every 256th; sooner so where the
server says that it does not know such a thing at all, ``unknown``), and in any case once a day and when asked to (``try_again``).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from .allowance import Allowance
from .leftover_temps import LeftoverTemps
from .means import ALL, BY_NAME, Means, by_default, lower

TRIAL_SECS = 24 * 3600.0
"""Seconds after which a better rung is tried again at the latest: a day, within which somebody may have changed the server."""
SOON = 3
"""At first, one use of a means in this many is a trial of a better rung: a refusal that was an accident costs few files."""
SELDOM = 256
"""One use in this many is a trial at least: a server that was changed is noticed, and trials are a small part of the costs."""
_PATIENT, _PATIENT_UNKNOWN = (
    16,
    4,
)  # trials refused one after the other before they become more seldom: a server that knows no such thing seldom learns it
_LONGEST_WHY = 300  # characters of a server's words that are kept with a rung
_MOST_KINDS = 200  # kinds that are kept; only a bound for the record


class State(NamedTuple):
    """What is known of one means. ``rung``: the one that works; ``since``: when that was learned, ``tried``: when a better one was
    tried last, both in seconds since the epoch; ``why``: the server's words. ``uses`` since the last trial, ``refused``: trials
    in a row that came to nothing; ``unknown``: the server says that it does not know the better one.
    ``proven``: it has worked. ``struck``: refusals in a row of a rung that had worked."""

    rung: str
    since: float = 0.0
    tried: float = 0.0
    why: str = ""
    uses: int = 0
    refused: int = 0
    unknown: bool = False
    proven: bool = False
    struck: int = 0


_UNKNOWN = {means.name: State(means.rungs[0]) for means in ALL}


class Step(NamedTuple):
    """Another rung of ``means`` is the known one: ``rung`` after ``before``. ``better``: the server does more than was known.
    ``why``: the server's words, empty where there are none. ``text``: for a person, one line."""

    means: str
    before: str
    rung: str
    better: bool
    why: str
    text: str


class Exhausted(NamedTuple):
    """The last allowed rung was refused. ``others_pass``: another use of this means has worked since this walk began, or the last
    one before it did, so that the file is the reason; else the server or the account is. ``remedy``: the setting that allows one
    more rung, or ''."""

    others_pass: bool
    remedy: str


def due(state: State, means: Means, now: float) -> bool:
    """Whether the next walk is to try a better rung than the known one."""
    if state.rung == means.rungs[0]:
        return False
    if not 0 <= now - state.tried < TRIAL_SECS:  # a clock that was set back counts as a day
        return True
    return state.uses + 1 >= distance(state.refused, unknown=state.unknown)


def distance(refused: int, *, unknown: bool = False) -> int:
    """Number of uses from one trial to the next, after ``refused`` trials have failed."""
    return min(SELDOM, SOON << min(16, max(0, refused - (_PATIENT_UNKNOWN if unknown else _PATIENT))))


def after(state: State, means: Means, rung: str, refusals: Mapping[str, str], now: float, *, trial: bool, unknown: bool) -> State:
    """The state after ``rung`` has worked for a walk that was refused ``refusals`` (rung -> the server's text). ``trial``: the walk
    was a trial of a better rung than the known one. A rung that the connection or the settings do not offer counts as refused."""
    before, at = means.rungs.index(state.rung), means.rungs.index(rung)
    why = list(refusals.values())[-1][:_LONGEST_WHY] if refusals else ""
    if at == before:
        if trial:
            return state._replace(proven=True, struck=0, uses=0, tried=now, refused=state.refused + 1, unknown=unknown)
        return state._replace(proven=True, struck=0, uses=state.uses + 1)
    if at < before:
        return State(rung, now, now, "" if at == 0 else why, proven=True, unknown=unknown)
    if state.rung not in refusals:
        return state  # it did not try what is known to work
    # A better one that was not tried with it is tried with the next file.
    untried = any(each not in refusals for each in means.rungs[:at])
    return State(rung, now, now, why, uses=SOON if untried else 0, proven=True, unknown=unknown and not untried)


class Walk:
    """The search of one file for a rung that works. ``rung``: the one to use now; ``trial``: it is better than the known one."""

    _refusals: Mapping[str, str] = {}
    _unknown = True

    def __init__(self, profile: Profile, means: Means, rung: str, allowed: frozenset[str], *, trial: bool) -> None:
        self._profile, self._means, self._allowed = profile, means, allowed
        self.rung, self.trial = rung, trial
        self._passed = profile._passed[means.name]

    def refused(self, why: str, *, unknown: bool = False, costly: bool = False) -> str | None:
        """The server refused this rung with the text ``why``. Returns the next one, which is ``rung`` now; None where none is left:
        then ``condemned`` has the verdict. ``unknown``: the server does not know the request. ``costly``: each rung costs the whole
        file, so that after a failed trial the known rung is next."""
        refusals = self._refusals = {**self._refusals, self.rung: why}
        self._unknown = self._unknown and unknown
        left = self._allowed - refusals.keys()
        following = lower(self._means, self.rung, left) or next((each for each in self._means.rungs if each in left), None)
        if costly and self.trial and (known := self._profile.state(self._means).rung) in left:
            following = known
        if following is not None:
            self.rung = following
        return following

    def came_to(self, rung: str, why: str, *, unknown: bool = False) -> None:
        """The outcome, and not a reply, has shown that the server works by this rung."""
        better = self._means.rungs[: self._means.rungs.index(rung)]
        if better:
            self._refusals = {**self._refusals, **{each: why for each in better if each not in self._refusals}}
        self._unknown = unknown
        self.rung = rung
        self.worked()

    def exhausted(self) -> Exhausted:
        """The verdict when no rung is left."""
        unasked = set(self._means.unasked) - self._allowed
        passes = self._profile.passed(self._means) != self._passed or self._profile.state(self._means).proven
        return Exhausted(passes, self._means.remedy if unasked else "")

    def worked(self) -> None:
        """The present rung has worked: update the profile."""
        profile, means, refused = self._profile, self._means, self._refusals
        if not refused and means.name in profile._as_ever and self.rung == means.rungs[0]:
            profile._passed[means.name] += 1  # the known rung worked again: nothing else changes
            return
        unoffered = {each: "it is not offered" for each in means.rungs if each not in self._allowed}
        profile._worked(
            means, self.rung, {**unoffered, **refused}, trial=self.trial and bool(refused), unknown=self._unknown and bool(refused)
        )


def _unheard(step: Step) -> None:
    return None


class Profile(LeftoverTemps):
    """The profile of one server; for any thread. ``wall``: the wall clock, in seconds. ``in_place``: the settings allow the rungs
    that give up a promise (``Means.unasked``). ``on_step`` is called once for each step, ``on_change`` when there is a change to
    store (``to_json``); both on the thread that learned it and under the lock, so that steps keep their order.

    ``opened``: by kind ('handles', 'connections', ...) how many of them may be open at once. ``kept_kinds``: the kinds of names
    that the server has shown unaltered (``altered_names.kinds``). ``asked_again``: how often somebody has asked for another try of
    everything. ``steps``: how often another rung than before has become the known one.
    """

    def __init__(self, wall: Callable[[], float], *, in_place: bool = False) -> None:
        super().__init__(wall)
        self._allowed = {means.name: frozenset(means.rungs) if in_place else by_default(means) for means in ALL}
        self._states: dict[str, State] = {}
        self._as_ever: set[str] = set()  # the means whose best rung has worked, and worked last: of most servers, all
        self._passed: Counter[str] = Counter()
        self.opened: dict[str, Allowance] = {}
        self.kept_kinds: set[str] = set()
        self.asked_again = self.steps = 0
        self.on_step: Callable[[Step], None] = _unheard

    # What is known

    def state(self, means: Means) -> State:
        """The state of one means; its best rung where nothing is known."""
        return self._states.get(means.name) or _UNKNOWN.get(means.name) or State(means.rungs[0])

    def rung(self, means: Means) -> str:
        """The known rung, or the first one to try."""
        if means.name in self._as_ever:
            return means.rungs[0]
        allowed, rung = self._allowed[means.name], self.state(means).rung
        if rung in allowed:
            return rung
        return lower(means, rung, allowed) or next(each for each in reversed(means.rungs) if each in allowed)

    def allows(self, means: Means, rung: str) -> bool:
        """Whether the settings allow it."""
        return rung in self._allowed[means.name]

    def is_due(self, means: Means) -> bool:
        """Whether a better rung than is known to work shall be tried with the next file."""
        return due(self.state(means), means, self._wall())

    @property
    def stepped(self) -> frozenset[str]:
        """The means of which another rung than the best has ever been used."""
        return frozenset(name for name, state in self._states.items() if state.since)

    def passed(self, means: Means) -> int:
        """How often this means has worked since this object was made."""
        return self._passed[means.name]

    def lines(self) -> list[str]:
        """Lines for a person: what this server does not support, and what is done instead."""
        with self._guard:
            found = [means.lacks[state.rung] for means in ALL if (state := self.state(means)).rung != means.rungs[0]]
            found += [each.line(kind) for kind, each in sorted(self.opened.items()) if each.learned]
            if self.left:
                count = len(self.left) + self.left_more
                found.append(
                    f"{count:,} temporary file{'s' if count > 1 else ''} could not be removed there: "
                    + ", ".join(list(self.left)[:3])
                    + (", ..." if count > 3 else "")
                )
            return found

    def known(self) -> dict[str, str]:
        """The rung of each means of which something is known."""
        return {means.name: self.state(means).rung for means in ALL if means.name in self._states}

    # What is learned

    def walk(self, means: Means, offered: Iterable[str] | None = None, *, trial: bool = True) -> Walk:
        """Begin the walk of one file. ``offered``: the rungs that the connection offers, None for all; ``trial``: whether a trial
        of a better rung with this file would prove anything, and so is allowed."""
        allowed = self._allowed[means.name]
        if offered is not None:
            allowed &= frozenset(offered)
        if means.name in self._as_ever and means.rungs[0] in allowed:
            return Walk(self, means, means.rungs[0], allowed, trial=False)
        with self._guard:
            now, state = self._wall(), self.state(means)
            usable = [each for each in means.rungs if each in allowed]
            known = state.rung if state.rung in allowed else lower(means, state.rung, allowed) or usable[-1]
            trial = trial and known != usable[0] and due(state, means, now)
            if trial:
                # Stored before the trial ends, so that of many files at once only one is a trial.
                self._put(means, state._replace(tried=now, uses=0))
            return Walk(self, means, usable[0] if trial else known, allowed, trial=trial)

    def learn(self, means: Means, rung: str, why: str = "", *, unknown: bool = False) -> None:
        """Note without a walk that this rung works and the better ones do not."""
        if means.name in self._as_ever and rung == means.rungs[0]:
            self._passed[means.name] += 1  # the known rung worked again: nothing else changes
            return
        with self._guard:
            state = self.state(means)
            if rung == state.rung or means.rungs.index(rung) < means.rungs.index(state.rung):
                refusals = {}
            else:
                refusals = dict.fromkeys(means.rungs[: means.rungs.index(rung)], why)
            self._worked(means, rung, refusals, trial=False, unknown=unknown)

    def struck(self, means: Means) -> bool:
        """The known rung was refused: whether it is given up now, after ``strikes`` successive refusals."""
        with self._guard:
            state = self.state(means)
            if not state.proven or state.struck + 1 >= means.strikes:
                return True
            self._put(means, state._replace(struck=state.struck + 1))
            return False

    def try_again(self, *names: str) -> None:
        """Try the better rungs again with the next file (all of them, or these means)."""
        with self._guard:
            self.asked_again += not names
            for name in names or tuple(self._states):
                if name in self._states:
                    self._states[name] = self._states[name]._replace(tried=-TRIAL_SECS)
            for each in self.opened.values():
                each.try_again()

    def _put(self, means: Means, state: State) -> None:
        self.steps += state.rung != self.state(means).rung
        self._states[means.name] = state
        if state.rung == means.rungs[0] and state.proven and not state.struck:
            self._as_ever.add(means.name)
        else:
            self._as_ever.discard(means.name)

    def _worked(self, means: Means, rung: str, refusals: Mapping[str, str], *, trial: bool, unknown: bool) -> None:
        with self._guard:
            self._passed[means.name] += 1
            state, known = self.state(means), means.name in self._states
            new = after(state, means, rung, refusals, self._wall(), trial=trial, unknown=unknown)
            self._put(means, new)
            if new.rung != state.rung:
                better = means.rungs.index(new.rung) < means.rungs.index(state.rung)
                text = means.again if better else means.lacks[new.rung]
                self.on_step(Step(means.name, state.rung, new.rung, better, new.why, text))
                self.on_change()
            elif not known or (new.tried, new.proven) != (state.tried, state.proven):
                self.on_change()

    def limit_met(self, kind: str, *, is_new: bool) -> None:
        """The allowance for this kind was refused more; ``is_new``: no limit was known."""
        with self._guard:
            one = self.opened[kind]
            if is_new:
                self.on_step(Step(kind, str(one.most), str(one.limit), False, "", one.line(kind)))
            self.on_change()

    def add_kept_kinds(self, kinds: Iterable[str]) -> bool:
        """Names of these kinds were shown unaltered; whether any of these kinds was not in ``kept_kinds`` before."""
        with self._guard:
            added = set(kinds) - self.kept_kinds
            if added and len(self.kept_kinds) < _MOST_KINDS:
                self.kept_kinds |= added
                self.on_change()
            return bool(added)

    def tell(self, means: str, before: str, rung: str, text: str) -> None:
        """Report a fact about the server that is not a rung; the caller reports it once."""
        with self._guard:
            self.on_step(Step(means, before, rung, False, "", text))

    # Kept over restarts

    def to_json(self) -> str:
        """The whole profile as text, for ``load``."""
        with self._guard:
            return json.dumps(
                {
                    "means": {name: state._replace(why=state.why[:_LONGEST_WHY])._asdict() for name, state in self._states.items()},
                    "opened": {kind: each.to_dict() for kind, each in self.opened.items()},
                    **self._left_to_dict(),
                    "shown": sorted(self.kept_kinds),
                }
            )

    def load(self, text: str) -> None:
        """Restore what ``to_json`` has written; a part that cannot be read is unknown, and is learned again."""
        with self._guard:
            try:
                kept = json.loads(text or "{}")
                means, opened = kept.get("means", {}), kept.get("opened", {})
                states = {name: state for name, raw in means.items() if (state := _state(name, raw)) is not None}
                self._states, self._as_ever = {}, set()
                for name, state in states.items():
                    self._put(BY_NAME[name], state)
                for kind, raw in opened.items():
                    if kind in self.opened:
                        self.opened[kind].load(raw)
                self._load_left(kept)
                self.kept_kinds = set(map(str, kept.get("shown", [])))
            except (ValueError, TypeError, AttributeError):
                self._states, self._as_ever, self.kept_kinds = {}, set(), set()
                self._load_left({})


def _state(name: str, raw: Mapping[str, Any]) -> State | None:
    """None for what this version does not know."""
    try:
        state = State(
            str(raw["rung"]),
            float(raw["since"]),
            float(raw["tried"]),
            str(raw["why"]),
            int(raw["uses"]),
            int(raw["refused"]),
            bool(raw["unknown"]),
            bool(raw["proven"]),
            int(raw["struck"]),
        )
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    return state if name in BY_NAME and state.rung in BY_NAME[name].rungs else None
