"""Which one task an order is meant for: an order that could be for several is for none."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Sequence

from ..exit_status import NO_TASK, CommandError
from . import find
from .find import Task

Pick = Callable[[Sequence[Task]], bool]
"""Whether the children of a task make it the one that is meant, where a word fits several tasks."""


def lives(children: Sequence[Task]) -> bool:
    """For most orders: a task that lives is meant rather than one that does not."""
    return any(child.lives() for child in children)


def waits_for_a_start(children: Sequence[Task]) -> bool:
    """For ``start``: a task with a child that does not live while there is who starts it."""
    return any(not child.lives() and child.master() is not None for child in children)


def meant(words: Sequence[str], pick: Pick = lives) -> list[Task]:
    """The children of the tasks that are meant: each word is for exactly one task, and no word is for the only one.

    Where a word (or none) fits several, the only one of them that ``pick`` wants is meant. CommandError otherwise, with what
    there is.
    """
    found: dict[tuple[int, str], Task] = {}
    every: Sequence[str | None] = words or [None]
    for word in every:
        found.update((child.place, child) for child in _one(word, pick))
    return list(found.values())


def grouped(children: Iterable[Task]) -> list[list[Task]]:
    """The children of each task together, in the order in which they come."""
    found: dict[tuple[int, str], list[Task]] = {}
    for child in children:
        found.setdefault(_one_task(child), []).append(child)
    return list(found.values())


def _one_task(child: Task) -> tuple[int, str]:
    """What tells a task from every other: whose it is, and its folder."""
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
    """The children that the task has now: of one that lives, a destination that it had once (another master, or none, started
    its child) is left out."""
    holders = [child.holder() for child in children]
    masters = {holder.master_pid for holder in holders if holder is not None} - {None}
    if not any(holders):
        return children
    return [child for child, holder in zip(children, holders, strict=True) if holder is not None or child.master() in masters]


def several(word: str | None, candidates: Sequence[Sequence[Task]], what: str = "tasks") -> CommandError:
    """The error that lists what could be meant, and what to type for each."""
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
    """What means each of these and no other task that is known: its label, else its folder, else that of its state."""
    everything = {_one_task(children[0]): children[0] for children in [*grouped(find.known()), *candidates]}.values()
    names, folders = [name_of(child) for child in everything], [child.folder for child in everything]
    found = []
    for children in candidates:
        child = children[0]
        name = name_of(child)
        found.append(name if names.count(name) == 1 else child.folder if folders.count(child.folder) == 1 else child.key)
    return list(map(shlex.quote, found))


def name_of(child: Task) -> str:
    """Its label, and whose it is, where it is another user's."""
    return f"{child.user}:{child.name}" if child.owner is not None else child.name
