"""File events of other systems than Linux, by way of the library ``watchdog``."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from typing import Any

from ...common.place import real_path
from .inotify import EventReceiver

# Each takes a thread. The folder of requests does not count.
MOST_FOLDERS = 200
_LAST_MOMENT = 0.1


class WatchdogEvents:
    """The same as :class:`.inotify.Inotify`. The constructor raises ImportError, OSError or RuntimeError."""

    # Only Linux reports that a file was closed, which ends most touches, and watchdog does not report a bare utime(2) there
    # either.
    tells_of_touches = False

    def __init__(self, receiver: EventReceiver) -> None:
        # Imported here: the library is optional, and its import takes 40 ms.
        from watchdog.events import (
            DirCreatedEvent,
            DirDeletedEvent,
            DirMovedEvent,
            FileClosedEvent,
            FileCreatedEvent,
            FileMovedEvent,
        )
        from watchdog.observers import Observer

        if "Polling" in getattr(Observer, "__name__", ""):
            raise RuntimeError("this platform has none")
        self._filter = [FileCreatedEvent, FileMovedEvent, FileClosedEvent, DirCreatedEvent, DirMovedEvent, DirDeletedEvent]
        self._receiver = receiver
        self._observer: Any = Observer()
        self._watches: dict[str, Any] = {}
        self._observer.start()
        self._hear_overflow()

    def add(self, path: str) -> None:
        """Watch this folder from now on; a second call does nothing. Raises OSError or RuntimeError."""
        if self.has(path):
            return
        self.remove(path)
        if len(self._watches) > MOST_FOLDERS:
            raise RuntimeError(f"there are more than {MOST_FOLDERS} folders")
        # Watchdog does not report a folder that it may not read, and does not follow links.
        os.scandir(path).close()
        real = real_path(path)
        handler = _Handler(path, real, self._receiver, self._end)
        self._watches[path] = self._observer.schedule(handler, real, recursive=False, event_filter=self._filter)

    def remove(self, path: str) -> None:
        """Stop watching this folder; does nothing where it is not watched."""
        watch = self._watches.pop(path, None)
        if watch is not None and watch not in self._watches.values():
            # The watch of a removed folder has ended with it.
            with contextlib.suppress(OSError, KeyError):
                self._observer.unschedule(watch)

    def has(self, path: str) -> bool:
        """Whether this folder is watched: an emitter ends when its folder is deleted."""
        return any(emitter.is_alive() and emitter.should_keep_running() for emitter in self._emitters(path))

    def _emitters(self, path: str) -> list[Any]:
        watch = self._watches.get(path)
        return [] if watch is None else [emitter for emitter in list(self._observer.emitters) if emitter.watch == watch]

    def alive(self) -> bool:
        """Whether any events come."""
        return bool(self._observer.is_alive())

    def close(self) -> None:
        """End the threads; a second call does nothing."""
        self._watches.clear()
        self._observer.stop()
        self._observer.join(5)

    def _end(self, path: str) -> None:
        # The emitter ends a moment after its last event; one that goes on belongs to a folder that was created again.
        for emitter in self._emitters(path):
            emitter.join(_LAST_MOMENT)
        self._receiver.folder(path)

    def _hear_overflow(self) -> None:
        """Get notice of dropped events. Watchdog 7 logs them, older versions ignore them; no version has a public interface for
        it. Where this hook does not fit, the slow full scan remains."""
        reader = getattr(self._observer, "_inotify_fd", None)
        handle = getattr(reader, "handle_event", None)
        if reader is None or handle is None:
            return

        def listen(event: Any) -> None:
            handle(event)
            if getattr(event, "is_queue_overflow", False):
                self._receiver.lose()

        reader.handle_event = listen


class _Handler:
    """What watchdog calls for each event of one folder."""

    def __init__(self, folder: str, real: str, receiver: EventReceiver, end: Callable[[str], None]) -> None:
        self._folder = folder
        self._real = real
        self._receiver = receiver
        self._end = end

    def dispatch(self, event: Any) -> None:
        if event.event_type == "deleted" and os.fsdecode(event.src_path) == self._real:
            self._end(self._folder)
            return
        moved = event.event_type == "moved"
        for path in (event.src_path, event.dest_path) if moved else (event.src_path,):
            folder, name = os.path.split(os.fsdecode(path))
            # The target of a move may lie outside the folder.
            if not name or folder != self._real:
                continue
            if event.is_directory:
                self._receiver.folder(os.path.join(self._folder, name))
            elif not moved or path == event.dest_path:
                self._receiver.file(self._folder, name, event.event_type in ("created", "moved"))
