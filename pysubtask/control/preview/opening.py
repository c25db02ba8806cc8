"""The log lines at the start of a task: for each entry, the watched path and its destination."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator

from ...common.entries import Entry
from ...common.errors import ConfigError
from ...common.remedy import says_more, sentence
from ...common.triggers import when_sent
from ...master.child_config import Plan
from ...transports import transport_class
from ..config.task_config import TaskConfig
from ..doctor import login_files
from ..doctor.finding import FAIL, WARN, remedy_lines
from .dry_run import transport_of


def say(task: TaskConfig, log: logging.Logger) -> None:
    """Log those lines, and warnings about missing folders and unusable login files. To be called before the start, which may create
    the folders."""
    for line in lines(task):
        log.info("%s", line)
    for line in unfit(task):
        log.warning("%s", line)
    for path in missing(task):
        log.warning("[%s] is not there: nothing is sent from it before it is; %s", path, says_more(task.file))


def lines(task: TaskConfig) -> Iterator[str]:
    """One line for each entry and destination."""
    for entry in task.entries:
        for plan in task.plans:
            yield f"watching {entry.path} -> {_destination(plan, entry)} ({plan.label or task.name}): {when_sent(entry)}"


def unfit(task: TaskConfig) -> list[str]:
    """A line for each login file (key, known_hosts, certificate) that cannot be used, with the words of 'pysubtask check'."""
    found = []
    for plan in task.plans:
        for finding in login_files.of_plan(plan):
            if finding.state in (FAIL, WARN):
                advice = "; ".join(remedy_lines(finding, plan.extension, "toml"))
                words = sentence(finding.text, advice, says_more(task.file))
                found.append(f"[{plan.label or task.name}/{plan.extension}] {finding.check}: {words}")
    return found


def missing(task: TaskConfig) -> list[str]:
    """The folders of entries that do not exist; for an entry with a file, the folder of the file."""
    folders = [entry.path if entry.kind == "dir" else os.path.dirname(entry.path) for entry in task.entries]
    return [path for path in dict.fromkeys(folders) if not os.path.isdir(path)]


def _destination(plan: Plan, entry: Entry) -> str:
    try:
        where = transport_class(transport_of(plan)).identity(plan.settings)
    except ConfigError as exc:
        return f"{plan.extension}, where {exc.key} cannot be used"
    return f"{where.rstrip('/')}/{entry.remote}" if entry.remote else where
