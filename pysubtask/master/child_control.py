"""The events of the children, and the requests of the app to them while they run."""

import logging
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..common.entries import Entry, first_folder
from .managed_child import ManagedChild
from .state_dir import make_ready

if TYPE_CHECKING:
    from typing import Unpack

    from ..common.settings_types import LiveSettings
    from .child_events import ChildEvent, EventCallback, EventPosition, Listeners


class ChildControl:
    """The events and requests of a master. Modules that not every app needs are loaded by the call that needs them."""

    display_name: str
    logger: logging.Logger
    _children: Sequence[ManagedChild]
    _entries: list[Entry]
    _listeners: "Listeners | None" = None

    def _supervise(self) -> None:
        raise NotImplementedError

    def check_pending_notifications(self) -> None:
        """See :meth:`.BaseMaster.check_pending_notifications`, which does the work."""
        raise NotImplementedError

    def _state_dirs(self) -> Mapping[str, str]:
        return {managed.plan.extension: managed.plan.state_dir for managed in self._children}

    def _serve(self) -> None:
        """Call the app's callbacks."""
        if self._listeners is not None:
            self._listeners.serve()

    def events(self, since: Mapping[str, tuple[int, int]] | None = None) -> "tuple[list[ChildEvent], EventPosition]":
        """The events of the children, by time: those behind the position ``since`` (None: all that the files hold), and the
        position to ask with the next time. Each event has ``extension`` and ``event`` (epoch, n, at, kind, fields)."""
        from .child_events import events_since

        self._supervise()
        return events_since(self._state_dirs(), since)

    def on_event(self, callback: "EventCallback") -> "EventCallback":
        """Have ``callback(child_event)`` called for each event from now on, by :meth:`check_pending_notifications`, in the app's
        own thread. An error that it raises is logged. Returns the callback (so it may decorate one); :meth:`off_event` ends it."""
        from .child_events import Listeners

        if self._listeners is None:
            self._listeners = Listeners(self._state_dirs(), self.logger)
        self._listeners.add(callback)
        return callback

    def off_event(self, callback: "EventCallback") -> None:
        """Call this one no more. ValueError where it was never added."""
        if self._listeners is None:
            raise ValueError("this callback was never added")
        self._listeners.remove(callback)

    def wait_delivered(self, path: str | bytes | os.PathLike[str], timeout: float) -> bool:
        """Wait, ``timeout`` seconds at most, until every destination has confirmed the file as it is now (size and time);
        whether it has. For scripts: an app that must not wait asks :meth:`events` or ``receipts.jsonl`` instead."""
        from .child_events import wait_delivered

        whole = os.path.abspath(os.fsdecode(path))
        return wait_delivered(whole, list(self._state_dirs().values()), timeout, self.check_pending_notifications)

    def pause(self, *names: str) -> None:
        """Send nothing, or these files not (remote names or paths that are queued), until :meth:`resume`; kept over restarts.

        A request, like ``resume`` and ``set``: it does not wait. The children carry it out at their next tick and confirm it by
        an event; a dead child does so at its next start. OSError where the request cannot be written.
        """
        self._order("pause", {"names": list(names)})

    def resume(self, *names: str) -> None:
        """Go on with these files, or, without a name, with everything that was paused. OSError as for ``pause``."""
        self._order("resume", {"names": list(names)})

    def set(self, keep: bool = False, **settings: "Unpack[LiveSettings]") -> None:
        """Change live settings (see ``docs/config.md``) of the children that have them: ``master.set(RateLimit=50_000)``.

        ``keep`` keeps the values over restarts, until the config is changed. All are checked first: after a ConfigError nothing
        is changed. OSError as for ``pause``.
        """
        from .live_settings import checked

        for state_dir, values in checked([managed.plan for managed in self._children], settings):
            self._order("set", {"settings": values, "keep": keep}, state_dir)

    def _order(self, op: str, args: dict[str, Any], state_dir: str | None = None) -> None:
        from ..common.requests import myself, send

        for folder in [state_dir] if state_dir is not None else self._state_dirs().values():
            make_ready(folder, first_folder(self._entries), fresh=False)
            send(folder, op, args, myself(f"{self.display_name}.{op}"))
        self._supervise()
