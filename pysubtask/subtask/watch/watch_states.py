"""Whether the events of the watched folders still come, checked at each tick, or less often where the folders are many."""

from __future__ import annotations

from collections.abc import ItemsView, Iterable

from .event_inbox import NewEvents
from .file_events import FileEvents, WatchState

# To check whether a folder is still the same takes some 10 us. Up to this number the check is made at each tick; of more folders
# each one delays the next check by _REFRESH_SECS.
_FEW_FOLDERS = 100
_REFRESH_SECS = 0.002


class WatchStates:
    """The state of the watch of each of these ``folders``, which are those of the entries; without ``events`` none is watched."""

    def __init__(self, folders: Iterable[str], events: FileEvents | None) -> None:
        self._states = dict.fromkeys(folders, WatchState(False, False, False))
        self._events = events
        self._next = float("-inf")

    def __getitem__(self, folder: str) -> WatchState:
        return self._states[folder]

    def items(self) -> ItemsView[str, WatchState]:
        """The folders with their states."""
        return self._states.items()

    def refresh(self, now: float, new: NewEvents) -> None:
        """Check and renew the watches of all folders. ``now`` in monotonic seconds; ``new``: the events since the last scan."""
        if self._events is None:
            return
        if new.lost:
            self._events.renew()
        if now < self._next and not new.lost and self._states.keys().isdisjoint(new.folders):
            for path, state in self._states.items():
                self._states[path] = WatchState(state.live, False, False)
            return
        for path in self._states:
            self._states[path] = self._events.refresh_watch(path, now)
        self._next = now + (_REFRESH_SECS * len(self._states) if len(self._states) > _FEW_FOLDERS else 0.0)
