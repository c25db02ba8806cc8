"""What the thread of the file events hands to the main thread: the paths that had an event of interest."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

Wants = Callable[[str, bool], bool]
"""Whether an event of a file is of interest: given its name, and whether it was created (or moved in) rather than closed after
writing. Called on the thread of the events."""


class NewEvents(NamedTuple):
    """Events since the last scan: ``paths`` -> whether the file was created or moved in (else closed after writing); ``folders``:
    folders inside recursive ones that were created, removed, or have no events any more; ``lost``: some events were dropped, so
    everything has to be scanned."""

    paths: dict[str, bool]
    folders: set[str]
    lost: bool


class EventInbox:
    """The events for one receiver. ``wants``: for each folder, which events of its files are of interest. ``wake`` is called, from
    the thread of the events, when there is something to take. ``deep``: the folders of these of which the subfolders count,
    too."""

    def __init__(self, wants: Mapping[str, Wants], wake: Callable[[], None], deep: Iterable[str] = ()) -> None:
        self._wants = dict(wants)
        self._deep = set(deep)
        self._wake = wake
        self._lock = threading.Lock()  # guards the three below, which the thread of the events fills
        self._paths: dict[str, bool] = {}
        self._folders: set[str] = set()
        self._lost = False

    # -- on the main thread -----------------------------------------------------------------------------------

    def want(self, folder: str, wants: Wants) -> None:
        """Take the events of a folder, and of the folders inside it, from now on."""
        self._wants[folder] = wants
        self._deep.add(folder)

    def want_files(self, folder: str, wants: Wants | None) -> None:
        """Take no more events of the folders inside a folder, and those of its files only as far as ``wants`` says; None: none."""
        self._deep.discard(folder)
        if wants is None:
            self._wants.pop(folder, None)
        else:
            self._wants[folder] = wants

    def take(self) -> NewEvents:
        """The events since the last call."""
        with self._lock:
            taken = NewEvents(self._paths, self._folders, self._lost)
            self._paths, self._folders, self._lost = {}, set(), False
        return taken

    # -- on the thread of the events --------------------------------------------------------------------------

    def file(self, folder: str, name: str, created: bool) -> bool:
        """Note the event of a file in a folder; whether it is of interest."""
        wants = self._wants.get(folder)
        if wants is None or not wants(name, created):
            return False
        path = f"{folder}{os.sep}{name}" if folder != os.sep else folder + name
        with self._lock:
            first = not self._paths and not self._folders and not self._lost
            self._paths[path] = created or self._paths.get(path, False)
        if first:
            self._wake()
        return True

    def folder(self, path: str) -> bool:
        """Note that a folder was created or removed, or has no events any more; whether that is of interest."""
        if path not in self._wants and os.path.dirname(path) not in self._deep:
            return False
        with self._lock:
            first = not self._paths and not self._folders and not self._lost
            self._folders.add(path)
        if first:
            self._wake()
        return True

    def lose(self) -> None:
        """Note that events were dropped: the next scan must be of everything."""
        with self._lock:
            self._lost = True
        self._wake()


class EventDistributor:
    """Gives each event to all inboxes, so that one reader of events serves the whole child."""

    def __init__(self, first: EventInbox) -> None:
        self._inboxes = [first]

    def add(self, inbox: EventInbox) -> None:
        """Give this inbox the events, too, from now on."""
        self._inboxes = [*self._inboxes, inbox]

    def file(self, folder: str, name: str, created: bool) -> bool:
        """As :meth:`EventInbox.file`: whether the event is of interest to any of them."""
        matters = False
        for inbox in self._inboxes:
            matters |= inbox.file(folder, name, created)
        return matters

    def folder(self, path: str) -> bool:
        """As :meth:`EventInbox.folder`: whether that is of interest to any of them."""
        matters = False
        for inbox in self._inboxes:
            matters |= inbox.folder(path)
        return matters

    def lose(self) -> None:
        """As :meth:`EventInbox.lose`."""
        for inbox in self._inboxes:
            inbox.lose()
