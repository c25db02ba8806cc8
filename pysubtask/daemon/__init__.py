"""Named daemons: a program whose items, methods and events other programs of the same user see and use.

::

    from pysubtask import Daemon, Refused, item, method          # dome.py; pysubtask run dome:Dome

    class Dome(Daemon):
        azimuth = item(0.0, unit="deg", low=0, high=360, keep=True)

        @method
        def park(self) -> str: ...

    dome = pysubtask.get("Dome")                                  # any other program
    dome.azimuth = 180
    dome.park(timeout=60)

docs/daemons.md has the whole of it. Nothing is loaded before it is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .aio import AsyncProxy, aget
    from .daemon import Daemon
    from .errors import Cancelled, DaemonError, Failed, NoAnswer, NoSuchDaemon, Refused
    from .find import Known, daemons, follow, get
    from .following import Change, Follower
    from .items import Item, item
    from .life import HookError
    from .methods import event, loop, method
    from .programs import main
    from .proxy import CallHandle, Proxy, call, set_items
    from .settings import Settings

_HOMES = {
    "AsyncProxy": "aio",
    "CallHandle": "proxy",
    "Cancelled": "errors",
    "Change": "following",
    "Daemon": "daemon",
    "DaemonError": "errors",
    "Failed": "errors",
    "Follower": "following",
    "HookError": "life",
    "Item": "items",
    "Known": "find",
    "NoAnswer": "errors",
    "NoSuchDaemon": "errors",
    "Proxy": "proxy",
    "Refused": "errors",
    "Settings": "settings",
    "aget": "aio",
    "call": "proxy",
    "daemons": "find",
    "event": "methods",
    "follow": "find",
    "get": "find",
    "item": "items",
    "loop": "methods",
    "main": "programs",
    "method": "methods",
    "set_items": "proxy",
}
__all__ = [
    "AsyncProxy",
    "CallHandle",
    "Cancelled",
    "Change",
    "Daemon",
    "DaemonError",
    "Failed",
    "Follower",
    "HookError",
    "Item",
    "Known",
    "NoAnswer",
    "NoSuchDaemon",
    "Proxy",
    "Refused",
    "Settings",
    "aget",
    "call",
    "daemons",
    "event",
    "follow",
    "get",
    "item",
    "loop",
    "main",
    "method",
    "set_items",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
