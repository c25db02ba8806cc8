"""File events: which paths in some folders had one, from the operating system by way of ``watchdog``.

The threads of watchdog only note names and wake the child; everything else happens on the child's main thread.
"""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from .mounts import on_network

RETRY_SECS = 60.0

Wants = Callable[[str, bool], bool]


class Taken(NamedTuple):
    """Events since the last look: ``paths`` -> whether it was made or moved in (else closed after writing);
    ``lost``: some events were dropped, so look at everything."""

    paths: dict[str, bool]
    lost: bool


class Tended(NamedTuple):
    """How a folder stands: ``live``: its events tell of every change; ``renewed``: they do so from now on;
    ``broken``: they stopped since the last look, so it may be another folder by now."""

    live: bool
    renewed: bool
    broken: bool


class FileEvents:
    """Watches folders, not what is below them. ``wake`` is called, from another thread, when there is something to take.

    ``wants``: for each folder, a function of a file's name and whether the file was made (or moved in) rather than
    closed after writing; asked on another thread, it tells whether that event is of interest.
    """

    def __init__(self, wants: Mapping[str, Wants], wake: Callable[[], None]) -> None:
        self._wants = wants
        self._wake = wake
        self._reason = ""
        self._ended = False
        self._retry: dict[str, float] = {}
        self._shared: set[str] = set()
        self._lock = threading.Lock()
        self._paths: dict[str, bool] = {}
        self._lost = False
        self._observer: Any = None
        self._filter: list[Any] = []
        self._folders: dict[str, tuple[Any, tuple[int, int]]] = {}

    def start(self) -> None:
        """Have the events of all folders that are there, as far as the platform gives them."""
        if self._run():
            for folder in self._wants:
                self._watch(folder)

    def tend(self, folder: str, now: float) -> Tended:
        """Keep the events of a folder coming; ``now`` in monotonic seconds."""
        broken = False
        if folder in self._folders:
            if self._healthy(folder):
                return Tended(folder not in self._shared, False, False)
            self._unwatch(folder)
            broken = True
        # Only a refusal is left alone for a while: a folder that is not there may come any moment.
        if self._ended or now < self._retry.get(folder, now) or not os.path.isdir(folder):
            return Tended(False, False, broken)
        if (self._running or self._run()) and self._watch(folder):
            return Tended(folder not in self._shared, True, broken)
        self._retry[folder] = now + RETRY_SECS
        return Tended(False, False, broken)

    def mode(self) -> tuple[str, str]:
        """'events' or 'polling', and for the latter why, in plain words."""
        if not self._running or any(folder not in self._folders and os.path.isdir(folder) for folder in self._wants):
            return "polling", self._reason
        if self._shared:
            return "polling", f"{min(self._shared)} is on a network file system, where changes by others make no events"
        return "events", ""

    def _run(self) -> bool:
        """Start the threads; False, with the reason kept, where that cannot be."""
        try:
            # Optional at run time, and 40 ms that a child without it need not spend.
            from watchdog.events import FileClosedEvent, FileCreatedEvent, FileMovedEvent
            from watchdog.observers import Observer
        except ImportError as exc:
            self._reason = f"watchdog is not installed ({exc})"
            return False
        if "Polling" in getattr(Observer, "__name__", ""):
            self._reason = "this platform has no file events"
            return False
        self._filter = [FileCreatedEvent, FileMovedEvent, FileClosedEvent]
        try:
            observer: Any = Observer()
            observer.start()
        except (OSError, RuntimeError) as exc:
            self._reason = _explain(exc)
            return False
        self._observer = observer
        self._hear_overflow(observer)
        return True

    @property
    def _running(self) -> bool:
        return self._observer is not None and bool(self._observer.is_alive())

    def stop(self) -> None:
        """End the threads, for good; harmless twice."""
        self._ended, self._reason = True, "stopped"
        observer, self._observer = self._observer, None
        self._folders.clear()
        if observer is not None:
            observer.stop()
            observer.join(5)

    def _watch(self, folder: str) -> bool:
        try:
            found = os.stat(folder)
            # Watchdog does not report a folder that it may not read.
            os.close(os.open(folder, os.O_RDONLY))
            # It does not follow links either.
            real = os.path.realpath(folder)
            handler = _Handler(folder, real, self._wants[folder], self._note)
            watch = self._observer.schedule(handler, real, recursive=False, event_filter=self._filter)
        except (OSError, RuntimeError) as exc:
            self._reason = _explain(exc)
            return False
        if on_network(folder):
            self._shared.add(folder)
        self._folders[folder] = (watch, (found.st_dev, found.st_ino))
        return True

    def _unwatch(self, folder: str) -> None:
        watch, _ = self._folders.pop(folder)
        self._shared.discard(folder)
        if self._observer is not None:
            # Where the folder is gone, its watch went with it.
            with contextlib.suppress(OSError, KeyError):
                self._observer.unschedule(watch)

    def _healthy(self, folder: str) -> bool:
        """Whether a watched folder's events arrive, and it is still the same folder."""
        watch, identity = self._folders[folder]
        if not self._running:
            return False
        try:
            found = os.stat(folder)
        except OSError:
            return False
        if (found.st_dev, found.st_ino) != identity:
            return False
        # An emitter ends when its folder is deleted.
        emitters = [emitter for emitter in list(self._observer.emitters) if emitter.watch == watch]
        return any(emitter.is_alive() and emitter.should_keep_running() for emitter in emitters)

    def take(self) -> Taken:
        """What there was since the last call."""
        with self._lock:
            taken = Taken(self._paths, self._lost)
            self._paths, self._lost = {}, False
        return taken

    def _note(self, path: str, made: bool) -> None:
        with self._lock:
            first = not self._paths and not self._lost
            self._paths[path] = made or self._paths.get(path, False)
        if first:
            self._wake()

    def lose(self) -> None:
        """Events were dropped: the next look must be at everything."""
        with self._lock:
            self._lost = True
        self._wake()

    def _hear_overflow(self, observer: Any) -> None:
        """Learn of IN_Q_OVERFLOW (inotify(7)). Watchdog 7 logs it and throws its pending events away, older ones
        ignore it; none has a public way to hear of it. Where this hook does not fit, the slow full look remains."""
        reader = getattr(observer, "_inotify_fd", None)
        handle = getattr(reader, "handle_event", None)
        if reader is None or handle is None:
            return

        def listen(event: Any) -> None:
            handle(event)
            if getattr(event, "is_queue_overflow", False):
                self.lose()

        reader.handle_event = listen


class _Handler:
    """What watchdog calls for each event of one folder."""

    def __init__(self, folder: str, real: str, wants: Wants, note: Callable[[str, bool], None]) -> None:
        self._folder = folder
        self._real = real
        self._wants = wants
        self._note = note

    def dispatch(self, event: Any) -> None:
        if event.is_directory:
            return
        if event.event_type == "moved":
            path, made = event.dest_path, True
        else:
            path, made = event.src_path, event.event_type == "created"
        folder, name = os.path.split(os.fsdecode(path))
        # A file that is moved out of the folder ends elsewhere.
        if name and folder == self._real and self._wants(name, made):
            self._note(os.path.join(self._folder, name), made)


def _explain(exc: Exception) -> str:
    if isinstance(exc, OSError) and exc.errno == errno.ENOSPC:
        return "the limit of watched folders is reached (sysctl fs.inotify.max_user_watches)"
    if isinstance(exc, OSError) and exc.errno == errno.EMFILE:
        return "the limit of file event queues is reached (sysctl fs.inotify.max_user_instances)"
    return f"file events cannot be had: {exc}"
