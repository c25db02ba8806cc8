"""The cases to carry out: every crash point, every pair of them, or a sample of the pairs."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator, Mapping, Sequence

from .child import KINDS
from .explore import LATE, Explorer, Outcome, Trial
from .saved_states import SavedState


def singles(explorer: Explorer, chosen: Mapping[str, Sequence[str]], part: Callable[[int], bool]) -> Iterator[Trial]:
    """Every crash point of these kinds and changes, with a quick server and with a frozen one. ``part``: which steps."""
    for kind, changes in chosen.items():
        for change in changes:
            for slow in (False,) if KINDS[kind].dropbox or KINDS[kind].moves else (False, True):
                for step in filter(part, range(1, explorer.count(kind, change, slow=slow) + 1)):
                    for late_at in LATE if slow else LATE[:1]:
                        yield Trial(kind, change, (step,), slow, late_at)
                    if not KINDS[kind].writes_on:
                        yield Trial(kind, change, (step,), slow, LATE[1], rewritten=True)


def pairs(explorer: Explorer, chosen: Mapping[str, Sequence[str]], part: Callable[[int], bool]) -> Iterator[Outcome]:
    """Every pair: killed before a step, and the next life before a step of its own.

    A kill leaves what the disk (and the server) has, so two steps with no change between them are one case: it is carried out
    once, and its outcome is that of all its pairs. ``part``: which of the different states of the first life."""
    for kind, changes in chosen.items():
        for change in changes:
            for number, state in enumerate(_first_states(explorer, Trial(kind, change, ()))):
                if part(number):
                    yield from _pairs_after(explorer, Trial(kind, change, ()), state)


def _first_states(explorer: Explorer, trial: Trial) -> list[SavedState]:
    problem, states = explorer.states_of(trial, os.path.join(explorer.folder, "first"))
    if problem:
        raise RuntimeError(f"{trial}: {problem}")
    return states


def _pairs_after(explorer: Explorer, trial: Trial, first: SavedState) -> Iterator[Outcome]:
    """All pairs whose first kill is in the state ``first``."""
    problem, states = explorer.states_after(trial, first, os.path.join(explorer.folder, "second"))
    if problem:
        yield Outcome(trial._replace(crashes=(first.begin,)), problem, 0, 1, False)
    for second in states:
        outcome = explorer.end_after(trial._replace(crashes=(first.begin, second.begin)), second)
        for one in range(first.begin, first.end):
            for two in range(second.begin, second.end):
                yield outcome._replace(trial=trial._replace(crashes=(one, two)))


def some_pairs(explorer: Explorer, chosen: Mapping[str, Sequence[str]], sample: int, seed: int) -> Iterator[Outcome]:
    """So many pairs, evenly over the kinds and changes."""
    rows = [(kind, change, explorer.count(kind, change)) for kind, changes in chosen.items() for change in changes]
    chance = random.Random(seed)
    for number in range(sample):
        kind, change, steps = rows[number % len(rows)]
        yield explorer.run(Trial(kind, change, (chance.randint(1, steps), chance.randint(1, steps))))
