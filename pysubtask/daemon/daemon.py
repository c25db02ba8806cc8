"""The class that a daemon is made from."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .core import Core
from .declared import DaemonType
from .errors import Cancelled, Refused
from .items import Item
from .methods import method

if TYPE_CHECKING:
    import logging

    from .settings import Settings


class Daemon(metaclass=DaemonType):
    """A program with a name, whose items, methods and events other programs of the same user see and use.

    ::

        class Dome(Daemon):
            azimuth = item(0.0, unit="deg", low=0, high=360, keep=True)

            def set_azimuth(self, value): self.motor.go(value)

            @method(timeout=120)
            def park(self, quietly: bool = False) -> str: ...

    Its life (``run``, or ``pysubtask run dome:Dome``): ``setup()``, the kept values, ``setup_final()``, then clients see it,
    ``announce()`` and ``on_announced()``, then ``on_loop_begin()``, ``loop()`` and ``on_loop_end()`` again and again until one of
    them returns False or it is stopped, and ``cleanup()`` once whatever happened. All of these are optional. ``validate_x``,
    ``set_x`` and ``get_x`` are the hooks of the item ``x``; a misspelt one is an error when the class is made. ``loop_secs``:
    seconds between two loops. ``kept_store``: an object with ``load`` and ``save`` for the kept values, None to keep none.
    """

    loop_secs: float = 0.5
    kept_store: Any = ...
    _core: Core

    def __new__(cls, *_args: Any, **_named: Any) -> Any:
        new = super().__new__(cls)
        new._core = Core(new)
        return new

    @property
    def name(self) -> str:
        """The name by which clients find it; '' before it runs."""
        return self._core.name

    @property
    def running(self) -> bool:
        """Whether it goes on: False from the moment it shall end."""
        return not self._core.stopping.is_set()

    @property
    def log(self) -> logging.Logger:
        """Its log."""
        return self._core.log

    @property
    def settings(self) -> Settings:
        """The values of its config folder (see ``main``)."""
        from .settings import Settings

        if self._core.settings is None:
            self._core.settings = Settings.of_environment()
        found: Settings = self._core.settings
        return found

    def add_item(self, name: str, item: Item) -> Item:
        """Add an item that is known only now, such as a channel found on the hardware: in ``setup()``. TypeError later, and where
        the name is taken."""
        return self._core.add_item(name, item)

    def item(self, name: str) -> Item:
        """The item of this name, for its ``publish``, ``poll`` and ``quality``. KeyError where there is none."""
        return self._core.items[name]

    def apply(self, values: Mapping[str, Any]) -> None:
        """Set items as a client does, all or none: each is validated before the first is set, such as the settings that a method is
        called with. Raises Refused."""
        items = {name: self._core.items.get(name) for name in values}
        for name, found in items.items():
            if found is None:
                raise Refused(f"there is no item {name!r}", part=name)
            found.valid(values[name])
        call = self._core.calls.current()
        for name, found in items.items():
            if found is not None:
                found.set(values[name], None if call is None else call.by)

    def tell(self, kind: str, /, **fields: Any) -> None:
        """Tell those who follow that something happened. TypeError where fields are not as they were declared."""
        self._core.tell(kind, fields)

    def progress(self, fraction: float, text: str = "") -> None:
        """In a method: say how far it is, from 0 to 1. Raises Cancelled where somebody has cancelled the call."""
        call = self._core.calls.current()
        if call is not None:
            if call.cancel.is_set():
                raise Cancelled("somebody has cancelled it", part=call.name)
            self._core.calls.report(call, float(fraction), text)

    def sleep(self, secs: float) -> bool:
        """Wait; whether it shall go on. Ends at once when the daemon is stopped; in a method it raises Cancelled then, and where
        somebody has cancelled the call."""
        call = self._core.calls.current()
        event: threading.Event = self._core.stopping if call is None else call.cancel
        if event.wait(max(secs, 0.0)) and call is not None:
            raise Cancelled("somebody has cancelled it, or the daemon stops", part=call.name)
        return self.running

    @method
    def stop(self) -> None:
        """End: the loop is left, cleanup is done."""
        self._core.stopping.set()

    def run(self, name: str | None = None) -> int:
        """Run from setup to cleanup under this name (None: that of the class) and return the exit status. AlreadyRunning, with who
        and since when, where one of the name runs; ConfigError for a name that none can have; HookError where a hook has
        failed."""
        from .host import Host
        from .life import Life

        return Host([Life(self, name)]).run()
