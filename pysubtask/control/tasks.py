"""The tasks of this machine and user, as a command sees them: found by their state folders, read and steered by files."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Mapping, Sequence
from typing import Any

from ..common import registry
from ..common.config import nearest
from ..common.entries import STATE_FOLDER
from ..common.events import FILE as EVENTS_FILE
from ..common.lock import Holder, StateLock
from ..common.receipts import FILE as RECEIPTS_FILE
from ..common.requests import Reply, myself, reply_to, send
from ..common.status import FILE as STATUS_FILE
from ..common.status import read_status
from .exits import NO_ANSWER, NO_TASK, CommandError

_LOOK_SECS = 0.02


class Task:
    """One child, alive or dead, by its state folder."""

    def __init__(self, record: registry.Record) -> None:
        self.task = record.task
        self.extension = record.extension
        self.state_dir = record.state_dir
        self._destination = record.destination
        self._record = record

    @property
    def label(self) -> str:
        """How it is called: ``main/ftp``."""
        return f"{self.task}/{self.extension}"

    @property
    def destination(self) -> str:
        """Where it uploads to, a URL without secrets."""
        page = self.page()
        return str(page.get("destination") or self._destination) if page else self._destination

    def why_waiting(self) -> str:
        """Why its folder cannot be used now: it is missing, or its disk is; '' where it can."""
        return registry.why_waiting(self._record)

    def page(self) -> dict[str, Any] | None:
        """What the child last wrote about itself (status.json), None where there is nothing."""
        return read_status(self.state_dir)

    def holder(self) -> Holder | None:
        """The living child, None where there is none."""
        return StateLock(os.path.join(self.state_dir, "lock")).holder()

    def last_sign(self) -> float | None:
        """When the child last wrote its page, an event or a receipt, in seconds since the epoch; None where it never did."""
        signs = []
        for name in (STATUS_FILE, EVENTS_FILE, RECEIPTS_FILE):
            with contextlib.suppress(OSError):
                signs.append(os.stat(os.path.join(self.state_dir, name)).st_mtime)
        return max(signs, default=None)

    def order(
        self, op: str, args: Mapping[str, Any], command: str, *, patience: float = 10.0, may_be_dead: bool = False
    ) -> Reply:
        """Give an order and wait for its answer, ``patience`` seconds at most; for a child that does not live only where it
        ``may_be_dead``.

        CommandError where the order cannot be written, or was not answered (it stays, and is carried out later).
        """
        try:
            id = send(self.state_dir, op, args, myself(command))
        except (OSError, ValueError) as exc:
            raise CommandError(f"{self.label}: the order cannot be given: {exc}") from exc
        until = time.monotonic() + patience
        while True:
            reply = reply_to(self.state_dir, id)
            if reply is not None:
                return reply
            if (not may_be_dead or time.monotonic() >= until) and self.holder() is None:
                raise CommandError(
                    f"{self.label}: no child runs. The order stays and is carried out when one starts; the app that it belongs "
                    "to, or 'pysubtask run', starts it.", NO_ANSWER,
                )  # fmt: skip
            if time.monotonic() >= until:
                raise CommandError(
                    f"{self.label}: no answer within {patience:g} s. The order stays and is carried out when the child "
                    "looks; 'pysubtask status' says what it does.", NO_ANSWER,
                )  # fmt: skip
            time.sleep(_LOOK_SECS)


def names(tasks: Sequence[Task]) -> list[str]:
    """What to call each of these tasks: its label, and its folder where several are called the same."""
    labels = [task.label for task in tasks]
    return [
        label if labels.count(label) == 1 else f"{label} in {os.path.dirname(task.state_dir.rpartition(os.sep + STATE_FOLDER)[0])}"
        for label, task in zip(labels, tasks, strict=True)
    ]


def known() -> list[Task]:
    """Every task of this machine and user, alive or dead."""
    return [Task(record) for record in registry.records()]


def find(words: Sequence[str], *, missing: bool = False) -> list[Task]:
    """The tasks that are meant (``missing``: those too whose folder is not there now): each word is ``task``,
    ``task/extension``, or a folder: one that is watched, or a state folder. No word means all. CommandError where a word fits
    none."""
    everything = known() + [Task(record) for record in (registry.missing() if missing else ())]
    if not words:
        return everything
    found: dict[str, Task] = {}
    for word in words:
        fitting = [task for task in everything if word in (task.task, task.label)] or _in_folder(word)
        if not fitting:
            names = sorted({name for task in everything for name in (task.task, task.label)})
            near = nearest(word, names)
            hint = f"Did you mean {near!r}?" if near else f"There are: {', '.join(names)}." if names else "None is known here."
            raise CommandError(f"There is no task {word!r}. {hint}", NO_TASK)
        found.update((task.state_dir, task) for task in fitting)
    return list(found.values())


def one(words: Sequence[str]) -> Task:
    """The one task that is meant; CommandError where there is none, or several."""
    found = find(words)
    if not found:
        raise CommandError(
            "No task is known here. An app or 'pysubtask run' starts one; 'pysubtask init' makes a config for it.", NO_TASK
        )
    if len(found) > 1:
        raise CommandError(f"There are several: {', '.join(task.label for task in found)}. Name one of them.", NO_TASK)
    return found[0]


def _in_folder(word: str) -> list[Task]:
    """The tasks whose state is in this folder (a state folder, or a watched one with ``.pysubtask`` in it)."""
    path = os.path.abspath(word)
    if os.path.exists(os.path.join(path, STATUS_FILE)):
        return [_at(path)]
    top = path if os.path.basename(path) == STATE_FOLDER else os.path.join(path, STATE_FOLDER)
    found = []
    for task in _folders(top):
        found += [_at(folder) for folder in _folders(task) if os.path.exists(os.path.join(folder, "lock"))]
    return found


def _at(state_dir: str) -> Task:
    page = read_status(state_dir) or {}
    head, extension = os.path.split(state_dir)
    return Task(registry.Record(os.path.basename(head), extension, str(page.get("destination", "")), state_dir))


def _folders(path: str) -> list[str]:
    try:
        return sorted(entry.path for entry in os.scandir(path) if entry.is_dir())
    except OSError:
        return []
