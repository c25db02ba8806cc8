"""File events of the operating system: which paths in the watched folders had one.

The threads behind it only note names and wake the child; everything else happens on the main thread of the child.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from ..platform.mounts import misses_events
from . import inotify
from .inotify import Inotify, explain
from .watchdog_events import WatchdogEvents

RETRY_SECS = 60.0
_DEAF = "on a file system that makes no events of all changes: a new file was found of which none had told"

Wants = Callable[[str, bool], bool]


class Taken(NamedTuple):
    """Events since the last scan: ``paths`` -> whether the file was created or moved in (else closed after writing); ``folders``:
    folders inside recursive ones that were created, removed, or have no events any more; ``lost``: some events were dropped, so
    everything has to be scanned."""

    paths: dict[str, bool]
    folders: set[str]
    lost: bool


class WatchState(NamedTuple):
    """The state of a folder's watch. ``live``: its events report every change; ``renewed``: they do so from now on; ``broken``:
    they stopped since the last scan, so the path may lead to another folder by now."""

    live: bool
    renewed: bool
    broken: bool


class FileEvents:
    """The events of folders. ``wake`` is called, from another thread, when there is something to take.

    ``wants``: for each watched folder, a function of a file's name and whether the file was created (or moved in) rather than
    closed after writing; called on another thread, it says whether that event is of interest. ``deep``: the folders of these that
    are recursive; the folders inside them are added by :meth:`follow` and removed by :meth:`leave`.
    """

    def __init__(self, wants: Mapping[str, Wants], wake: Callable[[], None], deep: Iterable[str] = ()) -> None:
        self._followed = dict(wants)
        self._deep = set(deep)
        self._wants = dict(wants)
        self._wake = wake
        self._reason = ""
        self._ended = False
        self._retry: dict[str, float] = {}
        self._shared: dict[str, str] = {}
        self._deaf: set[int] = set()
        self._refused: set[str] = set()
        self._lock = threading.Lock()
        self._paths: dict[str, bool] = {}
        self._came: set[str] = set()
        self._lost = False
        self._source: Inotify | WatchdogEvents | None = None
        self._identities: dict[str, tuple[int, int]] = {}

    # -- on the main thread -----------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the events of all existing folders, as far as the platform has events."""
        if self._run():
            for folder in self._followed:
                self._watch(folder)

    def refresh_watch(self, folder: str, now: float) -> WatchState:
        """Check the watch of a folder, and renew it where it has ended; ``now`` in monotonic seconds."""
        broken = False
        if folder in self._identities:
            if self._healthy(folder):
                return WatchState(self._tells(folder), False, False)
            self._unwatch(folder)
            broken = True
        # Only after a refusal there is a pause before the next try: a missing folder may be created at any moment.
        if self._ended or now < self._retry.get(folder, now) or not os.path.isdir(folder):
            return WatchState(False, False, broken)
        if (self._running or self._run()) and self._watch(folder):
            return WatchState(self._tells(folder), True, broken)
        self._retry[folder] = now + RETRY_SECS
        return WatchState(False, False, broken)

    def follow(self, folder: str, parent: str, wants: Wants, now: float) -> bool:
        """Watch a folder inside ``parent``, if possible; whether its events report every change from now on."""
        self._wants[folder] = wants
        self._deep.add(folder)
        if folder in self._identities:
            if self._source is None or self._source.has(folder):
                return self.hears(folder)
            self._unwatch(folder)
        if now < self._retry.get(folder, now):
            return False
        if self._running and self._watch(folder, parent):
            self._refused.discard(folder)
            self._retry.pop(folder, None)
            return self._tells(folder)
        self._refused.add(folder)
        self._retry[folder] = now + RETRY_SECS
        return False

    def leave(self, folder: str) -> None:
        """Stop watching a folder inside another one."""
        self._deep.discard(folder)
        self._refused.discard(folder)
        if folder in self._followed:
            # The folder has named files, too, so it stays watched for those.
            self._wants[folder] = self._followed[folder]
            return
        self._wants.pop(folder, None)
        self._retry.pop(folder, None)
        if folder in self._identities:
            self._unwatch(folder)

    def hears(self, folder: str) -> bool:
        """Whether the events of a folder added by :meth:`follow` report every change."""
        if folder not in self._identities or self._source is None:
            return False
        return self._tells(folder) and self._source.has(folder) and self._source.alive()

    def _tells(self, folder: str) -> bool:
        """Whether a folder's events, as long as they come, report every change."""
        return folder not in self._shared and self._source is not None and self._source.tells_of_touches

    def do_not_tell(self, folder: str) -> None:
        """Note that the events of this folder do not report every change, nor do those of any folder on its file system: these
        folders are scanned by the timer, too, from now on."""
        device = self._identities.get(folder, (None, 0))[0]
        if device is None:
            return
        self._deaf.add(device)
        for path, identity in self._identities.items():
            if identity[0] == device:
                self._shared.setdefault(path, _DEAF)

    def renew(self) -> None:
        """Watch all folders again: events were dropped, and one that reported the end of a watch may have been among them."""
        for folder in list(self._identities):
            if self._source is not None:
                try:
                    self._source.add(folder)
                except (OSError, RuntimeError):
                    self._unwatch(folder)

    def mode(self) -> tuple[str, str]:
        """'events' or 'polling', and for the latter the reason in plain words."""
        if not self._running or any(folder not in self._identities and os.path.isdir(folder) for folder in self._followed):
            return "polling", self._reason
        if self._refused:
            return "polling", f"{self._reason}: [{len(self._refused)}] folders are looked at by the timer"
        if self._shared:
            first = min(self._shared)
            return "polling", f"{first} is {self._shared[first]}"
        return "events", ""

    def stop(self) -> None:
        """End the threads. Events cannot be started again; a second call does nothing."""
        self._ended, self._reason = True, "stopped"
        source, self._source = self._source, None
        self._identities.clear()
        if source is not None:
            source.close()

    def take(self) -> Taken:
        """The events since the last call."""
        with self._lock:
            taken = Taken(self._paths, self._came, self._lost)
            self._paths, self._came, self._lost = {}, set(), False
        return taken

    def _run(self) -> bool:
        """Start the threads; False, with the reason kept, where they cannot be started."""
        try:
            self._source = Inotify(self) if inotify.available() else WatchdogEvents(self)
        except ImportError as exc:
            self._reason = f"watchdog is not installed ({exc})"
        except (OSError, RuntimeError) as exc:
            self._reason = explain(exc)
        return self._source is not None

    @property
    def _running(self) -> bool:
        return self._source is not None and self._source.alive()

    def _watch(self, folder: str, parent: str | None = None) -> bool:
        assert self._source is not None
        try:
            found = os.stat(folder)
            self._source.add(folder)
        except (OSError, RuntimeError) as exc:
            self._reason = explain(exc)
            return False
        same = parent is not None and self._identities.get(parent, (-1, -1))[0] == found.st_dev
        why = _DEAF if found.st_dev in self._deaf else self._shared.get(parent or "", "") if same else misses_events(folder)
        if why:
            self._shared[folder] = why
        self._identities[folder] = (found.st_dev, found.st_ino)
        return True

    def _unwatch(self, folder: str) -> None:
        del self._identities[folder]
        self._shared.pop(folder, None)
        if self._source is not None:
            self._source.remove(folder)

    def _healthy(self, folder: str) -> bool:
        """Whether the events of a watched folder still come, and its path still leads to the same folder."""
        if self._source is None or not self._running:
            return False
        try:
            found = os.stat(folder)
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == self._identities[folder] and self._source.has(folder)

    # -- on another thread ------------------------------------------------------------------------------------

    def file(self, folder: str, name: str, created: bool) -> bool:
        """Note the event of a file in a folder; whether it is of interest."""
        wants = self._wants.get(folder)
        if wants is None or not wants(name, created):
            return False
        path = f"{folder}{os.sep}{name}" if folder != os.sep else folder + name
        with self._lock:
            first = not self._paths and not self._came and not self._lost
            self._paths[path] = created or self._paths.get(path, False)
        if first:
            self._wake()
        return True

    def folder(self, path: str) -> bool:
        """Note that a folder was created or removed, or has no events any more; whether that is of interest."""
        if path not in self._wants and os.path.dirname(path) not in self._deep:
            return False
        with self._lock:
            first = not self._paths and not self._came and not self._lost
            self._came.add(path)
        if first:
            self._wake()
        return True

    def lose(self) -> None:
        """Note that events were dropped: the next scan must be of everything."""
        with self._lock:
            self._lost = True
        self._wake()
