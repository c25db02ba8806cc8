"""All of it: this machine, then each destination, those at the same time; told one after the other."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from contextlib import aclosing

from ...common import limits
from ...common.errors import ConfigError
from .. import tasks
from ..config_file import load
from ..exits import NO_TASK, CommandError
from . import bbr, local, network
from .examine import Times, examine
from .finding import FAIL, Finding, fail
from .source import Target, load_python, of_config, of_plan, of_task

Tell = Callable[[str, Finding, str, str], None]
"""Told of a finding: its group, itself, the section of the config and how that writes a setting."""
HERE = "this machine"
_HERE_SECS = 15.0


def of_word(word: str) -> tuple[list[Target], list[str]]:
    """The destinations of a config by its file, folder or name, and what is to be said of it. ConfigError, CommandError."""
    if not word.endswith(".toml") and not os.path.isdir(word):
        return of_config(load_python(word)), []
    config = load(word, os.environ)
    return [of_plan(plan, list(task.entries), "toml") for task in config.tasks for plan in task.plans], list(config.notes)


def targets(word: str | None) -> tuple[list[Target], list[str]]:
    """The destinations that are meant, and what is to be said of those that cannot be looked at. ConfigError, CommandError."""
    if word is not None:
        return of_word(word)
    found, notes = [], []
    for task in tasks.known():
        target = of_task(task)
        if target is not None:
            found.append(target)
        else:
            notes.append(f"{task.label}: its settings are not known here; run: pysubtask doctor CONFIG")
    if not found:
        raise CommandError("No task is known here that could be looked at. Name its config: pysubtask doctor CONFIG", NO_TASK)
    return found, notes


async def run(targets: Sequence[Target], tell: Tell, times: Times | None = None, *, speed: bool = False) -> list[Finding]:
    """Look at everything; all findings, in the order in which they were told. ``speed``: measure it, with a megabyte at most."""
    found: list[Finding] = []

    def told(group: str, finding: Finding, target: Target | None) -> None:
        found.append(finding)
        tell(group, finding, target.section if target else "base", target.style if target else style)

    style = targets[0].style if targets else "python"
    looks = [asyncio.ensure_future(_all_of(target, times, speed)) for target in targets]
    try:
        for finding in await _here(targets):
            told(HERE, finding, None)
        advice = bbr.advice()
        for target, look in zip(targets, looks, strict=True):
            group = f"{target.label}  {_destination(target)}"
            for finding in await look:
                told(group, finding, target)
        if advice is not None:
            told("this kernel", advice, None)
    finally:
        # After Ctrl-C: each removes what it made on its server.
        for look in looks:
            look.cancel()
        await asyncio.gather(*looks, return_exceptions=True)
    return found


async def _here(targets: Sequence[Target]) -> list[Finding]:
    try:
        return await network.apart(lambda: local.look(targets), _HERE_SECS)
    except RuntimeError as exc:
        if not limits.is_limit(exc):
            raise
        return [local.no_more()]
    except TimeoutError:
        return [fail("watch path", "disk-hangs", "a watched folder or its disk does not answer: a network disk that is gone?",
                     commands=["mount | grep -E 'nfs|cifs|fuse'"])]


async def _all_of(target: Target, times: Times | None, speed: bool) -> list[Finding]:
    found = []
    try:
        # Closed even when it is cancelled: it removes then what it made on the server.
        async with aclosing(examine(target, times, speed=speed)) as looking:
            async for finding in looking:
                found.append(finding)
    except Exception as exc:  # noqa: BLE001 - a look that breaks must not hide what the others found
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
