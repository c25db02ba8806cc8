"""File events of the operating system: which paths in the watched folders had one.

One reader, with one thread on Linux, serves all watched folders and the folder of requests, since the kernel gives a user few of
them. It only notes names and wakes the child; everything else happens on the main thread of the child.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from . import inotify
from .event_inbox import EventDistributor, EventInbox, NewEvents, Wants
from .incomplete_events import IncompleteEvents
from .inotify import Inotify, explain
from .watchdog_events import WatchdogEvents

RETRY_SECS = 60.0


class WatchState(NamedTuple):
    """The state of a folder's watch. ``live``: its events report every change; ``renewed``: they do so from now on; ``broken``:
    they stopped since the last scan, so the path may lead to another folder by now."""

    live: bool
    renewed: bool
    broken: bool


class FileEvents:
    """The events of folders. ``wake`` is called, from another thread, when there is something to take.

    ``wants``: for each watched folder, which events of its files are of interest. ``deep``: the folders of these that
    are recursive; the folders inside them are added by :meth:`follow` and removed by :meth:`leave`. ``inbox``: where the thread of
    the events leaves what it has found. Others take part by :meth:`subscribe`.
    """

    def __init__(self, wants: Mapping[str, Wants], wake: Callable[[], None], deep: Iterable[str] = ()) -> None:
        self.inbox = EventInbox(wants, wake, deep)
        self._distributor = EventDistributor(self.inbox)
        self._followed = dict(wants)
        self._subscribed: list[str] = []
        self._reason = ""
        self._ended = False
        self._retry: dict[str, float] = {}
        self._incomplete = IncompleteEvents()
        self._refused: set[str] = set()
        self._source: Inotify | WatchdogEvents | None = None
        self._identities: dict[str, tuple[int, int]] = {}

    def start(self) -> None:
        """Start the events of all existing folders, as far as the platform has events."""
        if self._run():
            for folder in self._followed:
                self._watch(folder)

    def subscribe(self, folder: str, wants: Wants, wake: Callable[[], None]) -> EventInbox:
        """Watch one more folder, for another receiver with an inbox of its own. Whether that folder has events is not seen in
        :meth:`mode`; the receiver must find what happens in it by a timer, too."""
        inbox = EventInbox({folder: wants}, wake)
        self._distributor.add(inbox)
        self._subscribed.append(folder)
        if self._running:
            self._watch_subscribed()
        return inbox

    def _watch_subscribed(self) -> None:
        for folder in self._subscribed:
            # The receiver has a timer.
            with contextlib.suppress(OSError, RuntimeError):
                if self._source is not None:
                    self._source.add(folder)

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
        self.inbox.want(folder, wants)
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
        self._refused.discard(folder)
        self.inbox.want_files(folder, self._followed.get(folder))
        if folder in self._followed:
            # The folder has named files, too, so it stays watched for those.
            return
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
        return folder not in self._incomplete and self._source is not None and self._source.tells_of_touches

    def do_not_tell(self, folder: str) -> None:
        """Note that the events of this folder do not report every change, nor do those of any folder on its file system: these
        folders are scanned by the timer, too, from now on."""
        device = self._identities.get(folder, (None, 0))[0]
        if device is None:
            return
        self._incomplete.note_device(device, [path for path, identity in self._identities.items() if identity[0] == device])

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
        words = self._incomplete.words()
        return ("polling", words) if words else ("events", "")

    def stop(self) -> None:
        """End the threads. Events cannot be started again; a second call does nothing."""
        self._ended, self._reason = True, "stopped"
        source, self._source = self._source, None
        self._identities.clear()
        if source is not None:
            source.close()

    def take(self) -> NewEvents:
        """The events since the last call."""
        return self.inbox.take()

    def _run(self) -> bool:
        """Start the threads; False, with the reason kept, where they cannot be started."""
        try:
            self._source = Inotify(self._distributor) if inotify.available() else WatchdogEvents(self._distributor)
        except ImportError as exc:
            self._reason = f"watchdog is not installed ({exc})"
        except (OSError, RuntimeError) as exc:
            self._reason = explain(exc)
        else:
            self._watch_subscribed()
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
        self._incomplete.check(folder, found.st_dev, parent if same else None)
        self._identities[folder] = (found.st_dev, found.st_ino)
        return True

    def _unwatch(self, folder: str) -> None:
        del self._identities[folder]
        self._incomplete.forget(folder)
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
