"""Settings from environment variables: ``PYSUBTASK_<TASK>__<SECTION>__<KEY>``, as ``PYSUBTASK_ROOF__FTP__HOST``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from ...common.config import SECTIONS, nearest

_FORM = re.compile(r"PYSUBTASK_(.+?)__(.+)__(.+)")


class Override(NamedTuple):
    """One environment variable. ``variable``: its name as it is set; ``task``: the task's name in it, in the form of
    :func:`variable_name`; ``section`` and ``key``: as the settings table spells them (as the variable does, where the table has no
    such section or key); ``text``: the value."""

    variable: str
    task: str
    section: str
    key: str
    text: str


def variable_name(task: str) -> str:
    """A task's name as it is written inside a variable: ``ROOF_2`` for ``roof-2``."""
    return re.sub(r"[^A-Z0-9]", "_", task.upper())


def overrides(environ: Mapping[str, str], keys: Mapping[str, Iterable[str]]) -> list[Override]:
    """The variables of the form ``PYSUBTASK_<TASK>__<SECTION>__<KEY>``, sorted by name. ``keys``: the known keys of each
    section."""
    found = []
    for variable, text in sorted(environ.items()):
        form = _FORM.fullmatch(variable.upper())
        if form is not None:
            section = {name.upper(): name for name in SECTIONS}.get(form[2], form[2].lower())
            key = {name.upper(): name for name in keys.get(section, ())}.get(form[3], form[3])
            found.append(Override(variable, form[1], section, key, text))
    return found


def unused(found: Iterable[Override], tasks: Iterable[str]) -> list[str]:
    """A line for each variable whose task is none of ``tasks``, with the name that was probably meant."""
    names = {variable_name(task): task for task in tasks}
    lines = []
    for one in found:
        if one.task not in names:
            near = nearest(one.task, names)
            hint = f"Did you mean PYSUBTASK_{near}__...?" if near else f"There is: {', '.join(names.values())}."
            lines.append(f"{one.variable}: no task has this name here, so it is not used. {hint}")
    return lines
