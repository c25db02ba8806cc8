"""The choice of the one task that a request is for. Where several tasks fit, the request goes to none of them."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Sequence

from ..exit_status import NO_TASK, CommandError
from . import find
from .find import Task

Pick = Callable[[Sequence[Task]], bool]
"""Called with the children of each task where a word fits several: the task is meant if it is the only one with True."""


def lives(children: Sequence[Task]) -> bool:
    """The :data:`Pick` of most requests: a task of which a child lives."""
    return any(child.lives() for child in children)


def waits_for_a_start(children: Sequence[Task]) -> bool:
    """The :data:`Pick` of ``start``: a task with a dead child whose master lives."""
    return any(not child.lives() and child.master() is not None for child in children)


def meant(words: Sequence[str], pick: Pick = lives) -> list[Task]:
    """The children of the tasks that are meant: each word names exactly one task, and without a word it is the only task there is.

    Where a word (or none) fits several tasks, ``pick`` decides. CommandError (NO_TASK), with a list of the tasks, where it does not
    decide for exactly one.
    """
    found: dict[tuple[int, str], Task] = {}
    every: Sequence[str | None] = words or [None]
    for word in every:
        found.update((child.place, child) for child in _one(word, pick))
    return list(found.values())


def grouped(children: Iterable[Task]) -> list[list[Task]]:
    """The children grouped by task, in the order of their first appearance."""
    found: dict[tuple[int, str], list[Task]] = {}
    for child in children:
        found.setdefault(_one_task(child), []).append(child)
    return list(found.values())


def _one_task(child: Task) -> tuple[int, str]:
    """A key that no other task has: the uid of its user, and its folder."""
    return child.place[0], child.key


def _one(word: str | None, pick: Pick) -> list[Task]:
    candidates = grouped(find.find([word] if word is not None else []))
    if not candidates:
        raise CommandError(find.NONE_KNOWN, NO_TASK)
    if len(candidates) == 1:
        return _present(candidates[0])
    picked = [children for children in candidates if pick(children)]
    if len(picked) != 1:
        raise several(word, candidates)
    return _present(picked[0])


def _present(children: list[Task]) -> list[Task]:
    """The children that the task has now. Where one lives, a dead one with another master, or none, is left out: it belongs to a
    destination that the task no longer has."""
    holders = [child.holder() for child in children]
    masters = {holder.master_pid for holder in holders if holder is not None} - {None}
    if not any(holders):
        return children
    return [child for child, holder in zip(children, holders, strict=True) if holder is not None or child.master() in masters]


def several(word: str | None, candidates: Sequence[Sequence[Task]], what: str = "tasks") -> CommandError:
    """A CommandError that lists the tasks that could be meant, with the -t option for each. ``what``: the noun for them."""
    typed = _typed(candidates)
    rows = []
    for name, children in zip(typed, candidates, strict=True):
        states = {child.state() for child in children}
        state = next((state for state in ("running", "dead", "stopped") if state in states), "never run")
        where = ", ".join(dict.fromkeys(child.destination or child.extension for child in children))
        rows.append((f"-t {name}", state, children[0].folder, where))
    wide = [max(len(row[at]) for row in rows) for at in range(3)]
    lines = [f"  {row[0]:{wide[0]}}  {row[1]:{wide[1]}}  {row[2]:{wide[2]}}  {row[3]}" for row in rows]
    subject = f"{word!r} fits" if word is not None else "There are"
    head = f"{subject} {len(candidates)} {what}, so nothing was done. Say which one is meant:"
    return CommandError("\n".join([head, *lines]), NO_TASK)


def _typed(candidates: Sequence[Sequence[Task]]) -> list[str]:
    """For each of these tasks a word that no other known task fits, quoted for a shell: its label, else its watched folder, else
    its state folder."""
    everything = {_one_task(children[0]): children[0] for children in [*grouped(find.known()), *candidates]}.values()
    names, folders = [name_of(child) for child in everything], [child.folder for child in everything]
    found = []
    for children in candidates:
        child = children[0]
        name = name_of(child)
        found.append(name if names.count(name) == 1 else child.folder if folders.count(child.folder) == 1 else child.key)
    return list(map(shlex.quote, found))


def name_of(child: Task) -> str:
    """The label of the child's task, with the user before it where that is another one: ``station:roof``."""
    return f"{child.user}:{child.name}" if child.owner is not None else child.name
