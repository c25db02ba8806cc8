"""All checks: this machine, then each destination. The destinations are examined at the same time and reported one after the
other."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from contextlib import aclosing
from typing import NamedTuple

from ...common import advice, limits
from ...common.errors import ConfigError, PysubtaskError
from ..config.config_file import find_files, load
from ..exit_status import NO_TASK, CommandError
from ..run.run_as import turn_into_users_of
from ..tasks import find
from . import bbr, local, network
from .examine import Times, examine
from .finding import FAIL, Finding, fail
from .source import Target, load_python, of_config, of_task, of_task_config

Tell = Callable[[str, Finding, str, str], None]
"""Reports a finding. Arguments: the group, the finding, the section of the config, the config's style."""
HERE = "this machine"
_HERE_SECS = 15.0  # a network disk that is gone blocks its readers for ever


def of_word(word: str) -> tuple[list[Target], list[str]]:
    """The destinations of a config by its file, folder or name, and lines about the config. Raises ConfigError and
    CommandError."""
    if not word.endswith(".toml") and not os.path.isdir(word):
        return of_config(load_python(word)), []
    config = load(word, os.environ)
    return [target for task in config.tasks for target in of_task_config(task)], list(config.notes)


class Meant(NamedTuple):
    """``targets``: the destinations to examine; ``notes``: lines that are printed first; ``left_out``: the tasks that are not
    examined, each with the command that does."""

    targets: list[Target]
    notes: list[str]
    left_out: list[str]


def meant(word: str | None) -> Meant:
    """The destinations of a config, by its file, folder or name; without a word those of the config that 'pysubtask run' finds,
    or else the known tasks. Raises ConfigError and CommandError."""
    if word is None or word.endswith(".toml") or os.path.isdir(word):
        try:
            word = turn_into_users_of(word, os.environ)
        except CommandError as exc:
            if word is not None or exc.status != NO_TASK:
                raise  # without a config, the known tasks are examined
    if word is not None:
        return Meant(*of_word(word), [])
    try:
        files = find_files(None, os.environ)
    except CommandError as exc:
        return _known(str(exc))
    config = load(None, os.environ)
    found = [target for task in config.tasks for target in of_task_config(task)]
    here = {os.path.realpath(target.state_dir) for target in found}
    read = {os.path.realpath(file) for file in files}
    others = [
        task
        for task in find.own()
        if os.path.realpath(task.state_dir) not in here and not (task.config_file and os.path.realpath(task.config_file) in read)
    ]
    return Meant(found, [f"The config: {', '.join(config.files)}", *config.notes], _with_their_configs(others))


def _known(no_config: str) -> Meant:
    """The known tasks, by the settings that their children left."""
    every = find.own()
    found = [(task, of_task(task)) for task in every]
    examined = [target._replace(host=_host_of(target)) for _, target in found if target is not None]
    if not examined:
        raise CommandError(
            f"{no_config} No task is known here either that could be looked at. For an app, or a config that is "
            "elsewhere: pysubtask doctor CONFIG",
            NO_TASK,
        )
    notes = ["There is no config where 'pysubtask run' looks for one; these are the tasks that ran here."]
    return Meant(examined, notes, _with_their_configs([task for task, target in found if target is None]))


def _host_of(target: Target) -> str:
    """Host as the config of a known task writes it, where that config can be read now; else ''."""
    if not target.task_config.endswith(".toml"):
        return ""
    try:
        every = [one for task in load(target.task_config, os.environ).tasks for one in of_task_config(task)]
    except (PysubtaskError, OSError):
        return ""
    return next((one.host for one in every if os.path.realpath(one.state_dir) == os.path.realpath(target.state_dir)), "")


def _with_their_configs(left_out: Sequence[find.Task]) -> list[str]:
    """Each task with the command that examines it. The config of an app is unknown."""
    rows = zip(left_out, find.names_here(left_out), strict=True) if left_out else ()
    return [
        f"{name} (pysubtask doctor {advice.word(task.config_file)})" if task.config_file else f"{name} (of an app)"
        for task, name in rows
    ]


async def run(targets: Sequence[Target], tell: Tell, times: Times | None = None, *, speed: bool = False) -> list[Finding]:
    """Examine everything and report each finding by ``tell``; returns all findings in that order. ``speed``: whether the speed
    of an upload is measured, with at most a megabyte."""
    found: list[Finding] = []

    def report(group: str, finding: Finding, target: Target | None) -> None:
        found.append(finding)
        tell(group, finding, target.section if target else "base", target.style if target else style)

    style = targets[0].style if targets else "python"
    examinations = [asyncio.ensure_future(_all_of(target, times, speed)) for target in targets]
    try:
        for finding in await _here(targets):
            report(HERE, finding, None)
        faster = bbr.advice()
        for target, examination in zip(targets, examinations, strict=True):
            group = f"{target.label}  {_destination(target)}"
            for finding in await examination:
                report(group, finding, target)
        if faster is not None:
            report("this kernel", faster, None)
    finally:
        # After Ctrl-C: each examination removes the files that it created on its server.
        for examination in examinations:
            examination.cancel()
        await asyncio.gather(*examinations, return_exceptions=True)
    return found


async def _here(targets: Sequence[Target]) -> list[Finding]:
    try:
        return await network.in_thread(lambda: local.check(targets), _HERE_SECS)
    except RuntimeError as exc:
        if not limits.is_limit(exc):
            raise
        return [local.no_more()]
    except TimeoutError:
        return [
            fail(
                "watch path",
                "disk-hangs",
                "a watched folder or its disk does not answer: a network disk that is gone?",
                commands=["mount | grep -E 'nfs|cifs|fuse'"],
            )
        ]


async def _all_of(target: Target, times: Times | None, speed: bool) -> list[Finding]:
    found = []
    try:
        # aclosing: a cancelled examination removes the files that it created on the server.
        async with aclosing(examine(target, times, speed=speed)) as findings:
            async for finding in findings:
                found.append(finding)
    except Exception as exc:  # noqa: BLE001 - a bug in one examination must not hide the findings of the others
        if limits.is_limit(exc):
            return [*found, local.no_more()]
        found.append(Finding("doctor", FAIL, f"an error of the program itself: {type(exc).__name__}: {exc}", "bug"))
    return found


def _destination(target: Target) -> str:
    from ...transports import transport_class

    try:
        return transport_class(target.transport).identity(target.settings)
    except ConfigError:
        return ""
