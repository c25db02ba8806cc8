"""The words of Malacoda, mKTL, quilt_core and MyData for what :mod:`pysubtask.daemon` calls otherwise.

Thin aliases for programs that have them; nothing else imports this module, and it could be deleted. docs/daemons.md has each
system's example in its own words and in ours.
"""

from __future__ import annotations

import inspect
import threading
import time
from collections.abc import Callable
from typing import Any

from .daemon.daemon import Daemon
from .daemon.errors import NoSuchDaemon, Refused
from .daemon.find import get as get
from .daemon.items import Item as _Item
from .daemon.methods import is_method, method
from .daemon.proxy import Proxy
from .daemon.settings import Settings

# ---- Malacoda


class Malacoda(Daemon):
    """A daemon in the words of Malacoda: ``_run`` with ``while self.running``, public methods are called by clients, attributes
    that begin with ``pst`` are kept. Making the object runs it, until it is stopped.

    ``name``: by default that of the class; ``pst_config``: None keeps nothing. TypeError for ``daemonize=True``: a service manager
    does that better (``pysubtask service``).
    """

    finished = False

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        for name, function in list(vars(cls).items()):
            if inspect.isfunction(function) and not name.startswith("_") and not is_method(function) and not hasattr(Daemon, name):
                method(function)

    def __init__(self, name: Any = None, *, daemonize: bool = False, pst_config: Any = ..., **_others: Any) -> None:
        if daemonize:
            raise TypeError(
                "daemonize: start it by a service manager ('pysubtask service MODULE:CLASS'), which keeps it running, too"
            )
        self._before = {key: value for key, value in vars(self).items() if key.startswith("pst")}
        for key in self._before:
            del self.__dict__[key]
        if pst_config is None:
            type(self).kept_store = None
        for key, value in self._before.items():
            self.add_item(key, _Item(value, type=object, keep=True))
        status = self.run(name if isinstance(name, str) else None)
        if status:
            raise SystemExit(status)

    def __getattr__(self, name: str) -> Any:
        items = self.__dict__["_core"].items if "_core" in self.__dict__ else {}
        if name in items:
            return items[name].value
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __setattr__(self, name: str, value: Any) -> None:
        if "_core" in self.__dict__ and name in self._core.items:
            self._core.items[name].publish(value)
        else:
            object.__setattr__(self, name, value)

    def loop(self) -> Any:
        """Call ``_run`` once; it is over when that returns."""
        self._run()
        return False

    def _run(self) -> None:
        raise NotImplementedError("a daemon in Malacoda's words has _run()")


def stop(name: str) -> None:
    """Stop the daemon of this name, as ``malacoda.stop`` does. NoSuchDaemon where none runs."""
    get(name).stop()


# ---- mKTL


class Store(Daemon):
    """A daemon in the words of mKTL: ``add_item(Azimuth, 'AZIMUTH')`` in ``setup``."""

    def add_item(self, name: Any, item: Any = None, **declared: Any) -> Any:
        """Add an item in either order of the words: (class, key) or (name, item)."""
        if isinstance(name, type):
            name, item = item, name(**declared)
        return super().add_item(name, item)


class ClientItem:
    """An item as mKTL's clients have it: ``value``, ``get(refresh=True)``, ``set(v)`` and ``register(callback, prime=True)``."""

    def __init__(self, proxy: Proxy, key: str) -> None:
        self._proxy, self.key = proxy, key

    @property
    def value(self) -> Any:
        """The present value."""
        return getattr(self._proxy, self.key)

    def get(self, refresh: bool = False) -> Any:
        """The present value, or with ``refresh`` the one that the daemon's code finds out now."""
        return self._proxy.refresh(self.key) if refresh else self.value

    def set(self, value: Any) -> None:
        """Set it, and wait for the answer. Raises Refused."""
        setattr(self._proxy, self.key, value)

    def register(self, callback: Callable[[ClientItem, Any, float], object], prime: bool = False) -> None:
        """Call ``callback(item, value, timestamp)`` for each change, on a thread; with ``prime`` for the present value, too."""
        follower = self._proxy.follow()

        def handle() -> None:
            first = True
            for change in follower:
                if change.kind == "page" and (prime or not first):
                    row = change.fields["items"][self.key]
                    callback(self, row["value"], row["at"])
                elif change.key == self.key:
                    callback(self, change.value, change.fields.get("value_at", time.time()))
                first = False

        threading.Thread(target=handle, name=f"register {self.key}", daemon=True).start()


def item_of(words: str) -> ClientItem:
    """What ``mktl.get('store.KEY')`` gives. NoSuchDaemon, and Refused where it has no such item."""
    name, _, key = words.rpartition(".")
    proxy = get(name)
    if key not in dir(proxy):
        raise Refused(f"there is no item {key!r}", daemon=name, part=key)
    return ClientItem(proxy, key)


# ---- quilt_core


class QuiltConfig(Settings):
    """The config in the words of quilt_core: ``quilt.cfg`` and ``smd.d`` in the folder of ``$QUILT_CFG_DIR``."""

    def __new__(cls) -> Any:
        found = Settings.of_environment("QUILT_CFG_DIR", main="quilt.cfg", drop_ins="smd.d")
        found.__class__ = cls
        return found

    def __init__(self) -> None:
        """Read in ``__new__``."""

    def GetValue(self, section: str, name: str, default: Any, kind: Callable[[str], Any] | None = None) -> Any:
        """A value, or the default; ``kind`` converts it. ConfigError where it is of another type than the default."""
        found = self.get(section, name, None if kind is not None else default)
        return default if found is None else kind(found) if kind is not None else found

    def GetSourceManagers(self) -> list[str]:
        """The sections of all files."""
        return [name for name in self.sections() if name not in ("registrar", "query_master", "source_managers", "testing")]


class QuiltDaemon(Daemon):
    """A daemon in the words of quilt_core: OnRegisterEnd, OnFirstEventLoop, OnEventLoopBegin and OnEventLoopEnd; False leaves."""

    _first = True

    def on_announced(self) -> Any:
        """Call OnRegisterEnd."""
        return self._word("OnRegisterEnd")

    def on_loop_begin(self) -> Any:
        """Call OnFirstEventLoop once, and OnEventLoopBegin."""
        if self._first:
            self._first = False
            if self._word("OnFirstEventLoop") is False:
                return False
        return self._word("OnEventLoopBegin")

    def on_loop_end(self) -> Any:
        """Call OnEventLoopEnd."""
        return self._word("OnEventLoopEnd")

    def GetType(self) -> str:
        """The type of this class."""
        return type(self).__name__

    def GetRegisteredName(self) -> str:
        """The name by which clients find it."""
        return self.name

    def _word(self, name: str) -> Any:
        hook = getattr(self, name, None)
        return hook() if callable(hook) else None


__all__ = ["ClientItem", "Malacoda", "NoSuchDaemon", "QuiltConfig", "QuiltDaemon", "Store", "get", "item_of", "stop"]
