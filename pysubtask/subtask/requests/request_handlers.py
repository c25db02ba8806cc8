"""What each request does in a child: settings, pauses, another try, notify, stop. Carried out between two ticks."""

from __future__ import annotations

import contextlib
import json
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from ...common import own_files
from ...common.config import masked
from ...common.entries import Entry, to_json
from ...common.errors import ConfigError
from ...common.events import EventLog, happened, utc
from ...common.notify import Toucher, notify_name
from ...common.requests import Request, waiting
from ...common.settings_file import FILE as SETTINGS_FILE
from ..spool.queue_admin import EVERYTHING
from ..spool.spool_thread import SpoolThread
from ..status.status_model import StatusModel
from .live_settings import LiveSettings
from .request_server import Handler, Later

_KEPT = "kept"


class Levers(NamedTuple):
    """How requests reach the child: ``changed`` (these settings have new values), ``hold`` (call back the uploads that are paused
    now), ``wake`` (the queue changed), ``watched`` (whether a data file is watched), ``stop``, ``again`` (start the child over),
    ``connect`` (connect at once; the outcome, None where there is nothing to connect to)."""

    changed: Callable[[set[str]], None]
    hold: Callable[[], None]
    wake: Callable[[], None]
    watched: Callable[[str], bool]
    stop: Callable[[str], None]
    again: Callable[[], None]
    connect: Callable[[], dict[str, Any] | None]


class RequestHandlers:
    """The handlers of all requests to a child. ``settings`` are those of the child and changed in place; ``closed`` are the paths
    left out inside recursive folders."""

    def __init__(
        self,
        state_dir: str,
        extension: str,
        settings: dict[str, Any],
        entries: list[Entry],
        spool_thread: SpoolThread,
        status_model: StatusModel,
        events: EventLog,
        log: logging.Logger,
        levers: Levers,
        wall: Callable[[], float],
        clock: Callable[[], float],
        closed: Sequence[str] = (),
    ) -> None:
        self._state_dir = state_dir
        self._settings = settings
        self._entries = entries
        self._closed = closed
        self._spool_thread = spool_thread
        self._status_model = status_model
        self._events = events
        self._log = log
        self._levers = levers
        self._wall = wall
        self._clock = clock
        self._queue_admin = spool_thread.spool.queue_admin
        self._toucher = Toucher()
        self._early = {request.id for request in waiting(state_dir)}
        self._live_settings = LiveSettings(extension, settings)
        changes, overruled = self._live_settings.recall(str(spool_thread.run(spool_thread.spool.meta.get, _KEPT) or ""))
        for change in changes:
            log.info("Setting [%s] is [%s], as kept (the config says [%s])", change.key, change.new, change.old)
        for key in overruled:
            log.info("Setting [%s] is as in the config, which was changed since another value was kept", key)
        self._say()
        self._paused()

    def handlers(self) -> Mapping[str, Handler]:
        """The handlers by the names of the requests."""
        return {
            "set": self._set,
            "get": self._get,
            "pause": self._pause,
            "resume": self._resume,
            "retry": self._retry,
            "drop": self._drop,
            "queue": self._queue,
            "notify": self._notify,
            "stop": self._stop,
            "reset": self._reset,
            "start": self._start,
        }

    # -- settings -----------------------------------------------------------------------------------------

    def _set(self, request: Request) -> Any:
        requested = request.args.get("settings")
        if not isinstance(requested, dict) or not requested:
            raise ValueError("name at least one setting: KEY=VALUE")
        keep = bool(request.args.get("keep"))
        changes = self._live_settings.change(requested)
        if keep:
            self._spool_thread.run(self._spool_thread.spool.meta.set, _KEPT, self._live_settings.keep(requested))
        if changes:
            self._levers.changed({change.key for change in changes})
        for change in changes:
            self._events.emit("setting_changed", key=change.key, old=change.old, new=change.new, kept=keep, **_who(request))
            self._log.info("SETTING [%s] = [%s], was [%s], by %s", change.key, change.new, change.old, request.who)
        self._say()
        return {"changed": [change._asdict() for change in changes], "kept": keep, "live": self._live_settings.values()}

    def _get(self, request: Request) -> Any:
        return {"settings": masked(self._settings), "live": self._live_settings.values(), "kept": sorted(self._live_settings.kept)}

    def _say(self) -> None:
        """Write the settings file, for commands that ask while no child lives."""
        page = {
            "settings": masked(self._settings),
            "live": sorted(self._live_settings.values()),
            "kept": sorted(self._live_settings.kept),
            "watched": {"entries": to_json(self._entries), "closed": list(self._closed)},
            "cwd": _cwd(),
        }
        # On a full disk the file keeps the settings of before.
        with contextlib.suppress(OSError):
            own_files.replace(self._state_dir, SETTINGS_FILE, json.dumps(page).encode("ascii"))

    # -- the queue: changed on the spool's thread together with the events, because a status page is taken there -----------

    def _pause(self, request: Request) -> Any:
        names = self._names(request) or [EVERYTHING]

        def pause() -> None:
            self._queue_admin.pause(names, str(request.who), utc(self._wall()))
            with self._status_model.guard:
                self._events.emit("paused", names=names if names != [EVERYTHING] else None, **_who(request))
                self._paused()

        self._spool_thread.run(pause)
        self._levers.hold()
        return {"paused": names if names != [EVERYTHING] else "everything"}

    def _resume(self, request: Request) -> Any:
        # Without names all pauses end, those of single files too.
        names = self._names(request) or sorted(self._queue_admin.paused)

        def resume() -> list[str]:
            ended = self._queue_admin.resume(names)
            with self._status_model.guard:
                self._events.emit("resumed", names=[name for name in ended if name] or None, **_who(request))
                self._paused()
            return ended

        ended = self._spool_thread.run(resume)
        self._levers.wake()
        listed = ["everything" if name == EVERYTHING else name for name in ended]
        return {"resumed": listed} | self._connection()

    def _paused(self) -> None:
        self._status_model.set(paused=self._queue_admin.pauses())

    def _retry(self, request: Request) -> Any:
        names = self._names(request)

        def retry() -> int:
            count = self._queue_admin.retry(names or None)
            self._events.emit("retry_ordered", names=names or None, count=count, **_who(request))
            return count

        count = self._spool_thread.run(retry)
        self._levers.wake()
        return {"offered": count} | self._connection()

    def _connection(self, *, coming: bool = False) -> dict[str, Any]:
        """Connect at once; the outcome, empty where there is nothing to send, unless something is ``coming``."""
        paused = EVERYTHING in self._queue_admin.paused
        if not coming and not paused and self._spool_thread.run(self._spool_thread.spool.job_claims.next_due) is None:
            return {}
        connection = self._levers.connect()
        return {} if connection is None else {"connection": connection}

    def _drop(self, request: Request) -> Any:
        names = self._names(request)
        if not names:
            raise ValueError("name the files to drop")

        def drop() -> tuple[list[str], list[str]]:
            dropped, moving, garbage = self._queue_admin.drop(names)
            with self._status_model.guard:
                self._events.emit_all([happened("dropped", name=name, **_who(request)) for name in dropped])
                self._paused()
            self._spool_thread.drop(garbage)
            return dropped, moving

        dropped, moving = self._spool_thread.run(drop)
        self._levers.wake()
        if moving:
            raise ValueError(f"{', '.join(moving)}: on its way just now. Pause it first, then drop it.")
        return {"dropped": dropped}

    def _queue(self, request: Request) -> Any:
        limit = request.args.get("limit", 1000)
        rows = self._spool_thread.run(self._queue_admin.rows, limit if isinstance(limit, int) and limit > 0 else 1000)
        now = self._clock()
        return [
            {key: value for key, value in row._asdict().items() if key != "due"}
            | {"next_try_secs": round(max(0.0, row.due - now), 1)}
            for row in rows
        ]

    def _names(self, request: Request) -> list[str]:
        asked = request.args.get("names") or []
        if not isinstance(asked, list) or not all(isinstance(name, str) for name in asked):
            raise ValueError("names must be a list of texts")
        try:
            return list(self._spool_thread.run(self._queue_admin.names_of, asked, str(request.args.get("cwd") or "")))
        except KeyError as exc:
            raise ValueError(f"{exc.args[0]!r} is neither in the queue nor paused; 'pysubtask queue' shows what is") from None

    # -- the child ----------------------------------------------------------------------------------------

    def _notify(self, request: Request) -> Any:
        asked = request.args.get("files") or [entry.path for entry in self._entries if entry.kind == "file"]
        paths = [os.path.abspath(os.path.join(str(request.args.get("cwd") or "/"), str(path))) for path in asked]
        for path in paths:
            if not self._levers.watched(path):
                raise ConfigError(path, "this task does not watch it", "Name a file of its entries or in its folders.")
        for path in paths:
            self._toucher.touch(notify_name(path))
        self._events.emit("notify_ordered", files=paths, **_who(request))
        self._levers.wake()
        return {"notified": paths} | self._connection(coming=True)

    def _stop(self, request: Request) -> Any:
        self._events.emit("stop_ordered", **_who(request))
        self._levers.stop(str(request.who))
        return {"stopping": True}

    def _start(self, request: Request) -> Any:
        # There is nothing to do: this child runs. One that does not run is started by its master, which answers itself.
        return {"running": True}

    def _reset(self, request: Request) -> Any:
        # The child answers after it has started over: a reset request that exists at a start is done by that start.
        if request.id not in self._early:
            self._levers.again()
            raise Later
        self._events.emit("reset_ordered", **_who(request))
        return {"begun anew": True}


def _who(request: Request) -> dict[str, Any]:
    return {"by": {"user": request.who.user, "pid": request.who.pid, "command": request.who.command, "host": request.who.host}}


def _cwd() -> str:
    """The folder that relative paths of settings start from, '' where it is gone."""
    with contextlib.suppress(OSError):
        return os.getcwd()
    return ""
