"""Which daemons there are, and the way to one of them."""

from __future__ import annotations

import time
from typing import NamedTuple

from . import records
from .connection import Connection
from .errors import NoSuchDaemon
from .following import Follower
from .proxy import Proxy

_WAIT_SECS = 0.05


class Known(NamedTuple):
    """A daemon of this user on this machine: ``name``, ``type`` (its class), whether it is ``alive``, ``pid``, ``since`` (UTC, its
    last start), ``ended`` (UTC, '' where that is not known) and ``error`` (why it ended, '' for no error)."""

    name: str
    type: str
    alive: bool
    pid: int
    since: str
    ended: str
    error: str


def daemons(*, type: str = "", all: bool = False) -> list[Known]:
    """The daemons that run, by name; with ``all`` also those that ran. ``type``: only those of this class."""
    found = []
    for record in records.every():
        holder = records.holder_of(record.name)
        alive = holder is not None and holder.pid == record.pid
        if (alive or all) and type in ("", record.type):
            found.append(Known(record.name, record.type, alive, record.pid, record.since, record.ended, record.error))
    return found


def get(name: str, *, wait: float = 0.0, command: str = "") -> Proxy:
    """The daemon ``name`` of this user on this machine. ``wait``: seconds to wait for it to be started; ``command``: what its
    record says of who asks, by default the command line of this process.

    NoSuchDaemon where none of the name runs, and for ``name@machine``, which needs the fleet.
    """
    if "@" in name:
        reason = "a daemon of another machine is reached through the fleet's broker, which this version does not have"
        raise NoSuchDaemon(reason, daemon=name)
    until = time.monotonic() + wait
    while True:
        try:
            return Proxy(Connection(name, command))
        except NoSuchDaemon:
            if time.monotonic() >= until:
                raise
            time.sleep(_WAIT_SECS)


def follow(name: str, after: tuple[int, int] | None = None) -> Follower:
    """Follow the daemon ``name``: its page, then each change behind it; see :class:`Follower`. NoSuchDaemon where none runs."""
    return Follower(Connection(name), after)
