"""One child of a task as a command sees it. It is read, and sent requests, by the files of its state folder, with the rights of its
user."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

from ...common import as_user, effective_user, present, registry
from ...common.lock import Holder, StateLock
from ...common.process import is_alive
from ...common.requests import Reply, Who, myself, reply_to, send, withdraw
from ...common.state_files import LOCK
from ...common.status import read_shared_status, read_status
from ..exit_status import FAILED, NO_ANSWER, CommandError
from .owners import Owner

_T = TypeVar("_T")
_POLL_SECS = 0.02
"""Seconds between two checks for a reply: a living child replies within a few hundredths of a second."""
_GONE_POLLS = 3
"""Checks in a row that must find no child before it counts as gone: a child that has just taken its lock has not yet written its
pid into it."""


class Real(NamedTuple):
    """The paths of a task with links followed, '' for a path that it has not. ``state_dir``: of the child; ``folder``: the first
    that is watched; ``config_file``: the config that the task is from."""

    state_dir: str
    folder: str
    config_file: str


def real_of(record: registry.Record) -> Real:
    """The paths of a record with links followed, by the rights of this process."""
    return Real(*(os.path.realpath(path) if path else "" for path in (record.state_dir, record.folder, record.config_file)))


class Task:
    """One child, alive or dead, by its state folder. A task with two destinations has two children, with the same ``key``.

    ``owner``: the other user to whom it belongs, None for this one. Root reads it with the owner's rights; anybody else sees only
    the status page that the owner shares with a group. ``real``: its paths with links followed, where a process with the owner's
    rights has done that.
    """

    def __init__(self, record: registry.Record, owner: Owner | None = None, real: Real | None = None) -> None:
        record = registry.completed(record)
        self.owner = owner
        """The user to whom it belongs, None for the user of this process."""
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
        """The name of the child: ``station/ftp``."""
        return f"{self.name}/{self.extension}"

    @property
    def user(self) -> str:
        """The name of its user; '' for the user of this process."""
        return self.owner.name if self.owner is not None else ""

    @property
    def called(self) -> str:
        """The label, with the user before it where that is another one: ``station:roof/ftp``."""
        return f"{self.user}:{self.label}" if self.owner is not None else self.label

    @property
    def key(self) -> str:
        """The real path of the task's folder, which no other task of the user has."""
        return os.path.dirname(self.real.state_dir)

    @property
    def place(self) -> tuple[int, str]:
        """A key that no other child has: the uid of its user (-1 for this one), and the real path of its state folder."""
        return (-1 if self.owner is None else self.owner.uid), self.real.state_dir

    @property
    def is_page_only(self) -> bool:
        """Whether this user may read nothing of it but the status page, by a group."""
        return self.owner is not None and not self.owner.is_acted_for and self.owner.uid != effective_user.now()

    def ask(self, question: Callable[[], _T], *, patience: float = as_user.MOST_SECS) -> _T:
        """What ``question`` returns (a value of JSON) with the rights of the child's user. OSError where that process gives no
        reply within ``patience`` seconds; CommandError as the question raises it."""
        return question() if self.owner is None else self.owner.ask(question, patience=patience)

    @property
    def destination(self) -> str:
        """The URL that it uploads to, without secrets: that of its page, or else of its record."""
        page = self.page()
        return str(page.get("destination") or self._destination) if page else self._destination

    def why_waiting(self) -> str:
        """Why its folder cannot be used now (the folder or its disk is missing); '' where it can."""
        return self.ask(lambda: registry.why_waiting(self.record))

    def page(self) -> dict[str, Any] | None:
        """The status page that the child wrote last (status.json), None where there is none."""
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
        """The process by the status page, as this user may not read the lock."""
        page = self.page() or {}
        pid, start = page.get("pid"), page.get("pid_start")
        if page.get("state") in ("stopped", "failed") or not isinstance(pid, int) or not isinstance(start, str):
            return None
        return Holder(pid, start, None, None) if is_alive(pid, start) else None

    def _lock(self) -> StateLock:
        return StateLock(os.path.join(self.state_dir, LOCK))

    def is_elsewhere(self) -> bool:
        """Whether a child lives where this process cannot see it: in another container, or on another host that shares the
        folder."""
        return self.ask(lambda: self._lock().is_held_elsewhere())

    def lives(self) -> bool:
        """Whether a child lives, here or elsewhere."""
        return self.holder() is not None or self.is_elsewhere()

    def locked_at(self) -> float | None:
        """The time at which its lock was last taken, in seconds since the epoch; None where there is no lock."""
        return self.ask(lambda: present.locked_at(self.state_dir))

    def master(self) -> int | None:
        """The pid of the master, if it lives: the process that has started this child and starts it again; else None."""
        page = self.page() or {}
        pid, start = page.get("master_pid"), page.get("master_start")
        return pid if isinstance(pid, int) and is_alive(pid, start if isinstance(start, str) else "") else None

    def state(self) -> str:
        """One of ``running``, ``stopped`` (by a request or its master), ``dead``, ``never run``."""
        if self.lives():
            return "running"
        page = self.page()
        return "never run" if page is None else "stopped" if page.get("state") == "stopped" else "dead"

    def last_sign(self) -> float | None:
        """The time at which the child last wrote its page, an event or a receipt, in seconds since the epoch; None where it never
        has."""
        return self.ask(lambda: present.last_sign(self.state_dir))

    def no_master_message(self) -> str:
        """The message where no child lives and no process is there to start one."""
        return (
            "no child runs, and nobody is there to start one, so nothing was ordered. Start its app, or "
            f"'pysubtask run{' ' + self.config_file if self.config_file else ''}': that starts the child."
        )

    def request(
        self, op: str, args: Mapping[str, Any], command: str, *, patience: float = 10.0, may_be_dead: bool = False, name: str = ""
    ) -> Reply:
        """Send a request and wait for the reply, ``patience`` seconds at most. ``command``: the command line, for the record.
        ``may_be_dead``: wait also while no child lives, as long as a process is there that starts one. ``name``: of the child, for
        errors.

        CommandError where the request cannot be written, where the child is another user's, and where no reply came. In the last
        case the request stays and is carried out later; with ``may_be_dead`` it is withdrawn where no process is there any more
        that would start the child.
        """
        if self.is_page_only:
            raise CommandError(f"{name or self.called}: it is another user's ({self.user}), who alone, with root, steers it.")
        who = myself(command)
        return Reply(
            *self.ask(
                lambda: tuple(self._request(op, args, who, patience, may_be_dead, name or self.called)),
                patience=patience + as_user.MOST_SECS,
            )
        )

    def _request(self, op: str, args: Mapping[str, Any], who: Who, patience: float, may_be_dead: bool, name: str) -> Reply:
        try:
            id = send(self.state_dir, op, args, who)
        except (OSError, ValueError) as exc:
            raise CommandError(f"{name}: the order cannot be given: {exc}") from exc
        reply, there = answered(
            lambda: reply_to(self.state_dir, id), lambda: self.lives() or (may_be_dead and self.master() is not None), patience
        )
        if reply is None and not there and may_be_dead:
            # If it were kept, the child would carry it out whenever it is started next, for whatever reason.
            withdraw(self.state_dir, id)
            reply = reply_to(self.state_dir, id)
        if reply is not None:
            return reply
        if not there and may_be_dead:
            raise CommandError(f"{name}: {self.no_master_message()}", FAILED)
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
    """Wait for a ``reply``, ``patience`` seconds at most, and unless ``waits_for_dead`` no longer than the process that replies
    ``is_there``. Returns the reply (None: none came), and whether the process is there.

    The process may end right after its reply, so the reply is checked once more after the process was found to be gone.
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
