"""The life of a daemon, from its options to its cleanup."""

from __future__ import annotations

import json
import logging
import os
import platform
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from typing import Any

from .. import _version
from ..common import own_files
from ..common.events import utc
from ..common.lock import StateLock
from ..common.logs import setup_logging
from . import folders, records
from .daemon import Daemon
from .errors import DaemonError
from .kinds import as_json
from .records import DaemonRecord
from .server import Server

BEFORE = ("announce", "on_announced")
ROUND = ("on_loop_begin", "loop", "on_loop_end")


class Hurry(BaseException):
    """The loop takes too long to end. No Exception, so that the daemon's code does not catch it."""


class HookError(DaemonError):
    """A hook of a daemon has failed. The text names the hook, the line in the program, and the exception; ``__cause__`` is that
    exception."""


class Life:
    """One run of ``daemon`` under ``name`` (None: that of its class). ConfigError for a name that none can have. ``log``: where it
    writes, None for stderr; ``initial``: values of items, over the kept ones."""

    def __init__(
        self, daemon: Daemon, name: str | None = None, log: logging.Logger | None = None, initial: Mapping[str, Any] | None = None
    ) -> None:
        self._daemon, self._core = daemon, daemon._core
        self.name = folders.check_name(name or getattr(type(daemon), "daemon_name", None) or type(daemon).__name__)
        self._log = log or setup_logging(f"daemon.{self.name}.{os.getpid()}", None, True)
        self._record: DaemonRecord | None = None
        self._server: Server | None = None
        self._lock: StateLock | None = None
        self._error = ""
        self.in_loop = False
        self.initial = dict(initial or {})

    def take(self) -> None:
        """Become the daemon of the name. AlreadyRunning, with who and since when, where there is one."""
        self._lock = records.take(self.name)

    def begin(self) -> bool:
        """All up to and with ``announce``; whether the loop shall begin. HookError where a hook has failed."""
        core = self._core
        core.begin(self.name, self._log, type(self._daemon).kept_store)
        self._hook("setup")
        core.load_kept()
        core.set_initial(self.initial)
        self._hook("setup_final")
        folder = folders.make_runtime(self.name)
        core.calls.open(folder)
        core.page.open(folder)
        description = as_json(core.describe())
        own_files.replace(folder, folders.DESCRIPTION, json.dumps(description).encode("ascii"))
        core.page.flush()
        self._server = Server(core, folder)
        self._server.begin()
        self._record = DaemonRecord(
            self.name, type(self._daemon).__name__, os.getpid(), platform.node(), _version.__version__, folder, utc(time.time())
        )
        records.write(self._record)
        core.polls.begin_all()
        for name, period in core.declared.loops.items():
            threading.Thread(target=self._loop_apart, args=(name, period), name=name, daemon=True).start()
        self._log.info("%s (%s), pysubtask %s, PID %d", self.name, self._record.type, _version.__version__, os.getpid())
        self._log.info("Waiting for clients")
        return all(self._hook(hook) is not False for hook in BEFORE)

    def go_round(self) -> bool:
        """One round of the loop; whether there shall be another one. HookError where a hook has failed."""
        self.in_loop = True
        try:
            return all(self._hook(hook) is not False for hook in ROUND if not self._core.stopping.is_set())
        except Hurry:
            self._log.warning("The loop did not end in time, and was interrupted")
            return False
        finally:
            self.in_loop = False

    def end(self) -> None:
        """Take it out of sight; what it keeps is saved, ``cleanup`` is called, once, and the name is free. HookError where that
        fails."""
        core = self._core
        core.stopping.set()
        core.calls.cancel_all()
        if self._server is not None:
            self._server.end()
        core.page.close()
        core.save_kept()
        try:
            self._hook("cleanup")
        except HookError as exc:
            self._error = self._error or str(exc)
            raise
        finally:
            self._end_record()
            self.release()
            self._log.info("Ended")

    def release(self) -> None:
        """Give the name back; harmless where it is not held."""
        if self._lock is not None:
            self._lock.release()

    def fail(self, exc: HookError) -> None:
        """Note why it ends."""
        self._error = self._error or str(exc)
        self._core.note_error(str(exc))

    @property
    def stopping(self) -> threading.Event:
        """Set when it shall end."""
        return self._core.stopping

    @property
    def loop_secs(self) -> float:
        """Seconds between two rounds."""
        return float(self._daemon.loop_secs)

    def _hook(self, name: str) -> Any:
        hook: Callable[[], Any] | None = getattr(self._daemon, name, None)
        if not callable(hook):
            return None
        try:
            return hook()
        except Exception as exc:  # the daemon's own code
            raise HookError(failure(name, exc), daemon=self.name) from exc

    def _loop_apart(self, name: str, period: float) -> None:
        while not self._core.stopping.is_set():
            try:
                getattr(self._daemon, name)()
            except Exception as exc:  # noqa: BLE001 - the daemon's own code; the other loops go on
                self._core.note_error(failure(name, exc))
            self._core.stopping.wait(period)

    def _end_record(self) -> None:
        if self._record is None:
            return
        ended = self._record._replace(ended=utc(time.time()), error=self._error)
        try:
            records.write(ended)
        except OSError as exc:
            self._log.warning("The record in the registry cannot be written: %s", exc)


def failure(name: str, exc: BaseException) -> str:
    """A sentence about a hook that failed: where, and how."""
    here = os.path.dirname(__file__)
    frames = [frame for frame in traceback.extract_tb(exc.__traceback__) if not frame.filename.startswith(here)]
    place = f" ({os.path.basename(frames[-1].filename)}:{frames[-1].lineno})" if frames else ""
    return f"{name}() failed{place}: {type(exc).__name__}: {exc}"
