"""The name of the task in a first config: two configs that watch the same folder must not have a task name, and so a queue, in
common."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

from ...common.label import FIRST_TASK
from ..config.config_names import MAIN_FILE
from ..tasks.find import in_folder
from .template import Watched

_LONGEST_STEM = 80
"""In bytes. The name of a task may have 100, and a number may be added to the stem."""
_STEM_OF_MAIN = os.path.splitext(MAIN_FILE)[0]


def task_name(config: str, watched: Sequence[Watched]) -> str | None:
    """The name for the task of a new ``config`` (absolute): that of its file, with a number behind it where another config or an
    app uses the name in the first watched folder. None for the ``pysubtask.toml`` of a config folder, whose task needs no name."""
    stem = re.sub(r"[^\w.-]", "-", os.path.splitext(os.path.basename(config))[0]).lstrip(".-") or _STEM_OF_MAIN
    while len(os.fsencode(stem)) > _LONGEST_STEM:
        stem = stem[:-1]
    taken = _taken(config, watched)
    if stem == _STEM_OF_MAIN and FIRST_TASK not in taken:
        return None
    number, name = 1, stem
    while name in taken:
        number += 1
        name = f"{stem}-{number}"
    return name


def _taken(config: str, watched: Sequence[Watched]) -> set[str]:
    """The task names that other configs and apps use in the first watched folder."""
    if not watched:
        return set()
    first = os.path.join(os.path.dirname(config), watched[0].path)
    place = first if watched[0].kind == "dir" else os.path.dirname(first)
    mine = os.path.realpath(config)
    return {task.task for task in in_folder(place) if not task.config_file or os.path.realpath(task.config_file) != mine}
