"""What one server can do, learned by doing: for each of several means (:mod:`means`) the best rung that it has taken.

Pure: the clock is passed in. A refused means is not a refused file: whoever is refused takes the next rung at once (``Walk``), and
only when that has worked for the same file is the server known to lack the better one. Nobody is condemned while a rung is left;
where the last one is refused, too, the profile stays as it was, as then the file may be the reason.

The state table of one means, with rungs 0 (best) to n; ``r`` is the one known to work, ``k`` the one of this walk:

    walk begins      at r; at the best rung where a trial is due, and then nobody else tries for a while
    k refused        the walk goes on at the next allowed rung below k, then at better ones that it has not tried; none left:
                     Condemned, r stays
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
from .leftover_temps import Left
from .means import ALL, BY_NAME, Means, by_default, lower

TRIAL_SECS = 24 * 3600.0
"""Seconds after which a better rung is tried again at the latest."""
SOON = 3
"""Every so-manieth use of a means is a trial of a better rung at first."""
SELDOM = 256
_PATIENT, _PATIENT_UNKNOWN = 16, 4  # trials refused one after the other before they become more seldom
_LONGEST_WHY = 300
_MOST_KINDS = 200


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


class Condemned(NamedTuple):
    """The last rung that is allowed was refused. ``others_pass``: another use of this means has worked since this walk began, or
    the last one before it did, so that the file is the reason; else it is the server or the account. ``remedy``: the setting that
    allows one more rung, or nothing."""

    others_pass: bool
    remedy: str


def due(state: State, means: Means, now: float) -> bool:
    """Whether a better rung than the known one shall be tried by the next walk."""
    if state.rung == means.rungs[0]:
        return False
    if not 0 <= now - state.tried < TRIAL_SECS:  # a clock that was set back counts as a day, too
        return True
    return state.uses + 1 >= distance(state.refused, unknown=state.unknown)


def distance(refused: int, *, unknown: bool = False) -> int:
    """How many uses from one trial to the next, after so many of them came to nothing."""
    return min(SELDOM, SOON << min(16, max(0, refused - (_PATIENT_UNKNOWN if unknown else _PATIENT))))


def after(state: State, means: Means, rung: str, refusals: Mapping[str, str], now: float, *, trial: bool, unknown: bool) -> State:
    """The state when ``rung`` has worked for one who was refused ``refusals`` (rungs, and the server's words), at its ``trial``
    of a better one than is known to work, or not. A rung that it could not try, as the connection or the settings do not offer it,
    counts as refused."""
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
    """One file's way down one ladder. ``rung``: what to do now; ``trial``: it is a better one than is known to work."""

    _refusals: Mapping[str, str] = {}
    _unknown = True

    def __init__(self, profile: Profile, means: Means, rung: str, allowed: frozenset[str], *, trial: bool) -> None:
        self._profile, self._means, self._allowed = profile, means, allowed
        self.rung, self.trial = rung, trial
        self._passed = profile._passed[means.name]

    def refused(self, why: str, *, unknown: bool = False, costly: bool = False) -> str | None:
        """The server refused this rung with these words; the next one, which is ``rung`` now. None where none is left: then
        ``condemned`` says what that means. ``unknown``: it does not know the request at all. ``costly``: each rung costs the whole
        file, so that after a trial that failed the one known to work is next."""
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
        """This rung is what the server did, which shows in what came of it and not in an answer."""
        better = self._means.rungs[: self._means.rungs.index(rung)]
        if better:
            self._refusals = {**self._refusals, **{each: why for each in better if each not in self._refusals}}
        self._unknown = unknown
        self.rung = rung
        self.worked()

    def condemned(self) -> Condemned:
        """What it means that no rung is left."""
        unasked = set(self._means.unasked) - self._allowed
        passes = self._profile.passed(self._means) != self._passed or self._profile.state(self._means).proven
        return Condemned(passes, self._means.remedy if unasked else "")

    def worked(self) -> None:
        """The present rung did it."""
        profile, means, refused = self._profile, self._means, self._refusals
        if not refused and means.name in profile._as_ever and self.rung == means.rungs[0]:
            profile._passed[means.name] += 1  # nothing else is to be noted
            return
        unoffered = {each: "it is not offered" for each in means.rungs if each not in self._allowed}
        profile._worked(
            means, self.rung, {**unoffered, **refused}, trial=self.trial and bool(refused), unknown=self._unknown and bool(refused)
        )


def _unheard(step: Step) -> None:
    return None


class Profile(Left):
    """Of one server; for any thread. ``wall``: the wall clock, in seconds. ``in_place``: the settings allow what loses a
    promise (``Means.unasked``). ``on_step`` hears each step once, ``on_change`` that there is something to keep (``to_json``); on
    whatever thread has learned it, and nothing else is learned meanwhile.

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
        """What is known of one means; the best rung where nothing is."""
        return self._states.get(means.name) or _UNKNOWN.get(means.name) or State(means.rungs[0])

    def rung(self, means: Means) -> str:
        """What is known to work, or is to be tried first."""
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
        """For a person: what this server does not do, and what is done instead."""
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
        """Begin one file's way. ``offered``: the rungs that this server may know at all, where the connection has told;
        ``trial``: whether a better rung than is known to work may be tried with this file, as that would show something."""
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
                # From now on, so that of many files at once one tries.
                self._put(means, state._replace(tried=now, uses=0))
            return Walk(self, means, usable[0] if trial else known, allowed, trial=trial)

    def learn(self, means: Means, rung: str, why: str = "", *, unknown: bool = False) -> None:
        """Something was noticed beside: this rung works, and the better ones do not."""
        if means.name in self._as_ever and rung == means.rungs[0]:
            self._passed[means.name] += 1  # nothing else is to be noted
            return
        with self._guard:
            state = self.state(means)
            if rung == state.rung or means.rungs.index(rung) < means.rungs.index(state.rung):
                refusals = {}
            else:
                refusals = dict.fromkeys(means.rungs[: means.rungs.index(rung)], why)
            self._worked(means, rung, refusals, trial=False, unknown=unknown)

    def struck(self, means: Means) -> bool:
        """A rung was refused that may have worked before: whether it is given up now, after ``strikes`` of them in a row."""
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
        """Something that is no ladder was noticed of the server: told once by whoever notices it."""
        with self._guard:
            self.on_step(Step(means, before, rung, False, "", text))

    # Kept over restarts

    def to_json(self) -> str:
        """All of it, as text that ``load`` takes."""
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
        """Go on from what was kept; what cannot be read is not known, and is learned anew."""
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
