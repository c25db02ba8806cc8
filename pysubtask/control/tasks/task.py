"""One task as a command sees it: found by its state folder, read and steered by files, with the rights of whose it is."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

from ...common import as_user, present, registry
from ...common.lock import Holder, StateLock
from ...common.process import is_alive
from ...common.requests import Reply, Who, myself, reply_to, send, withdraw
from ...common.status import read_shared_status, read_status
from ..exit_status import FAILED, NO_ANSWER, CommandError
from .owners import Owner

_T = TypeVar("_T")
_POLL_SECS = 0.02
_GONE_POLLS = 3
"""So many looks in a row must find no child before it counts as gone: one that has just taken its lock has no record yet."""


class Real(NamedTuple):
    """The paths of a task with links followed, '' for a path that it has not. ``state_dir``: of the child; ``folder``: the first
    that is watched; ``config_file``: the config that the task is from."""

    state_dir: str
    folder: str
    config_file: str


def real_of(record: registry.Record) -> Real:
    """The paths of a record, with links followed."""
    return Real(*(os.path.realpath(path) if path else "" for path in (record.state_dir, record.folder, record.config_file)))


class Task:
    """One child, alive or dead, by its state folder. A task with two destinations has two, with the same ``key``.

    That of another ``owner`` is looked at and steered with his rights, where this process is root's; else what he lets a group see
    of it is all there is. ``real``: where its paths lead, where that was found out with his rights.
    """

    def __init__(self, record: registry.Record, owner: Owner | None = None, real: Real | None = None) -> None:
        record = registry.completed(record)
        self.owner = owner
        """Whose it is, where it is another user's."""
        self.real = real or real_of(record)
        self.task = record.task
        self.extension = record.extension
        self.state_dir = record.state_dir
        self.name = record.label
        """What people call the task."""
        self.folder = record.folder
        """The first folder that is watched."""
        self.config_file = record.config_file
        self._destination = record.destination
        self.record = record

    @property
    def label(self) -> str:
        """How the child is called: ``station/ftp``."""
        return f"{self.name}/{self.extension}"

    @property
    def user(self) -> str:
        """Whose it is; '' for one of this user's."""
        return self.owner.name if self.owner is not None else ""

    @property
    def called(self) -> str:
        """The label, and whose the child is, where it is another user's: ``station:roof/ftp``."""
        return f"{self.user}:{self.label}" if self.owner is not None else self.label

    @property
    def key(self) -> str:
        """The folder of the task, which is what tells it from every other of its user."""
        return os.path.dirname(self.real.state_dir)

    @property
    def place(self) -> tuple[int, str]:
        """What tells the child from every other: whose it is, and its state folder."""
        return (-1 if self.owner is None else self.owner.uid), self.real.state_dir

    @property
    def is_page_only(self) -> bool:
        """Whether its page is all that may be seen of it, by a group of this user's."""
        return self.owner is not None and not self.owner.is_acted_for and self.owner.uid != os.geteuid()

    def ask(self, question: Callable[[], _T], *, patience: float = as_user.MOST_SECS) -> _T:
        """What ``question`` returns (a value of JSON) with the rights of whose it is. Raises OSError where there is no answer."""
        return question() if self.owner is None else self.owner.ask(question, patience=patience)

    @property
    def destination(self) -> str:
        """Where it uploads to, a URL without secrets."""
        page = self.page()
        return str(page.get("destination") or self._destination) if page else self._destination

    def why_waiting(self) -> str:
        """Why its folder cannot be used now: it is missing, or its disk is; '' where it can."""
        return self.ask(lambda: registry.why_waiting(self.record))

    def page(self) -> dict[str, Any] | None:
        """What the child last wrote about itself (status.json), None where there is nothing."""
        if self.owner is not None and self.is_page_only:
            return read_shared_status(self.state_dir, self.owner.uid)
        return self.ask(lambda: read_status(self.state_dir))

    def holder(self) -> Holder | None:
        """The living child, None where there is none."""
        if self.is_page_only:
            return self._holder_by_page()
        found = self.ask(lambda: self._lock().holder())
        return None if found is None else Holder(*found)

    def _holder_by_page(self) -> Holder | None:
        """Who lives, by what the page says: the lock is not for this user to see."""
        page = self.page() or {}
        pid, start = page.get("pid"), page.get("pid_start")
        if page.get("state") in ("stopped", "failed") or not isinstance(pid, int) or not isinstance(start, str):
            return None
        return Holder(pid, start, None, None) if is_alive(pid, start) else None

    def _lock(self) -> StateLock:
        return StateLock(os.path.join(self.state_dir, "lock"))

    def is_elsewhere(self) -> bool:
        """Whether a child lives that cannot be seen from here: in another container, or on another host, that has the folder."""
        return self.ask(lambda: self._lock().is_held_elsewhere())

    def lives(self) -> bool:
        """Whether a child lives, here or elsewhere."""
        return self.holder() is not None or self.is_elsewhere()

    def locked_at(self) -> float | None:
        """When its lock was last taken, in seconds since the epoch; None where there is none."""
        return self.ask(lambda: present.locked_at(self.state_dir))

    def master(self) -> int | None:
        """The pid of the living process that started this child last and starts it again; None where there is none."""
        page = self.page() or {}
        pid, start = page.get("master_pid"), page.get("master_start")
        return pid if isinstance(pid, int) and is_alive(pid, start if isinstance(start, str) else "") else None

    def state(self) -> str:
        """One word: running, stopped (by an order or its master), dead, or never run."""
        if self.lives():
            return "running"
        page = self.page()
        return "never run" if page is None else "stopped" if page.get("state") == "stopped" else "dead"

    def last_sign(self) -> float | None:
        """When the child last wrote its page, an event or a receipt, in seconds since the epoch; None where it never did."""
        return self.ask(lambda: present.last_sign(self.state_dir))

    def nobody_starts(self) -> str:
        """What is said where neither a child lives nor anybody who starts one."""
        return (
            "no child runs, and nobody is there to start one, so nothing was ordered. Start its app, or "
            f"'pysubtask run{' ' + self.config_file if self.config_file else ''}': that starts the child."
        )

    def order(
        self, op: str, args: Mapping[str, Any], command: str, *, patience: float = 10.0, may_be_dead: bool = False, name: str = ""
    ) -> Reply:
        """Give an order and wait for its answer, ``patience`` seconds at most; for a child that does not live only where it
        ``may_be_dead`` and as long as somebody is there who starts it. ``name``: how errors call it.

        CommandError where the order cannot be written, or was not answered (it stays, and is carried out later).
        """
        if self.is_page_only:
            raise CommandError(f"{name or self.called}: it is another user's ({self.user}), who alone, with root, steers it.")
        who = myself(command)
        return Reply(
            *self.ask(
                lambda: tuple(self._order(op, args, who, patience, may_be_dead, name or self.called)),
                patience=patience + as_user.MOST_SECS,
            )
        )

    def _order(self, op: str, args: Mapping[str, Any], who: Who, patience: float, may_be_dead: bool, name: str) -> Reply:
        try:
            id = send(self.state_dir, op, args, who)
        except (OSError, ValueError) as exc:
            raise CommandError(f"{name}: the order cannot be given: {exc}") from exc
        reply, there = answered(
            lambda: reply_to(self.state_dir, id), lambda: self.lives() or (may_be_dead and self.master() is not None), patience
        )
        if reply is None and not there and may_be_dead:
            # Kept, it would be carried out by whoever starts the child for another reason, at any time.
            withdraw(self.state_dir, id)
            reply = reply_to(self.state_dir, id)
        if reply is not None:
            return reply
        if not there and may_be_dead:
            raise CommandError(f"{name}: {self.nobody_starts()}", FAILED)
        if not there or not self.lives():
            raise CommandError(
                f"{name}: no child runs. The order stays and is carried out when one starts; the app that it belongs "
                "to, or 'pysubtask run', starts it.",
                NO_ANSWER,
            )
        raise CommandError(
            f"{name}: no answer within {patience:g} s. The order stays and is carried out when the child "
            "looks; 'pysubtask status' says what it does.",
            NO_ANSWER,
        )


def answered(
    reply: Callable[[], Reply | None], is_there: Callable[[], bool], patience: float, *, waits_for_dead: bool = False
) -> tuple[Reply | None, bool]:
    """Wait for a ``reply``, ``patience`` seconds at most, and unless it ``waits_for_dead`` no longer than whoever gives it
    ``is_there``; the reply, and whether he is.

    Whoever answers may end right after it, so the answer is looked for once more when he was seen to be gone.
    """
    until = time.monotonic() + patience
    gone = 0
    while True:
        found = reply()
        if found is not None:
            return found, True
        late = time.monotonic() >= until
        if late or not waits_for_dead:
            gone = 0 if is_there() else gone + 1
            if gone >= _GONE_POLLS or (late and not gone):
                return reply(), not gone
        time.sleep(_POLL_SECS)
