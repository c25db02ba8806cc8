"""``pysubtask run MODULE:CLASS``: run a program of the user's own from its setup to its cleanup.

The program is a master and subtask pair (a class derived from ``BaseMaster``), or any object with ``start`` and ``stop`` or with
hooks. Those of these methods that it has are called in this order, without arguments::

    setup   restore   setup_final   start   announce      once each; returning False ends it
    loop                                                  again and again until it returns False, or a signal comes
    stop    cleanup                                       once; stop only after start

``cleanup`` is called once, even after a hook has failed.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import os
import re
import signal
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

from ...common import effective_user, registry
from ...common.errors import AlreadyRunning, ConfigError, PysubtaskError
from ...common.lock import Holder, StateLock, process_start
from ...common.logs import setup_logging
from ...common.named_files import doubt_about
from ...master.task_master import BaseMaster
from ..exit_status import FAILED, LOCKED, OK, CommandError
from ..signals import Signals
from .sd_notify import Notifier

BEFORE = ("setup", "restore", "setup_final", "start", "announce")
"""Hooks before the loop, in their order."""
HOOKS = (*BEFORE, "loop", "stop", "cleanup", "reload")
LOOP_SECS = 0.5
"""Seconds between two calls of ``loop``; an attribute ``loop_secs`` of the object says otherwise."""
_INTERRUPTED = 130
_WORD = re.compile(r"([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*|.+\.py):([A-Za-z_][\w.]*)")
_LONGEST_NAME = 100
"""In bytes: with '.lock' behind it the name still fits into the 255 bytes that file systems allow."""
_REMEDY = "Give it as MODULE:CLASS, such as station:Station for the class Station in station.py."


class _Hurry(BaseException):
    """A second signal has come: the hook that runs is interrupted. No Exception, so that the program does not catch it."""


class HookError(CommandError):
    """A hook has failed. The text names the hook, the line in the program, and the exception; ``__cause__`` is that exception."""

    def __init__(self, hook: str, exc: BaseException) -> None:
        place = ""
        frames = [frame for frame in traceback.extract_tb(exc.__traceback__) if frame.filename != __file__]
        if frames:
            place = f" ({os.path.basename(frames[-1].filename)}:{frames[-1].lineno})"
        super().__init__(f"{hook} failed{place}: {type(exc).__name__}: {exc}. Mend it, or see more with --debug.", FAILED)


def is_meant(word: str) -> bool:
    """Whether a word of the command line is a MODULE:CLASS; an existing file of that name is a config."""
    return _WORD.fullmatch(word) is not None and not os.path.exists(word)


def load(word: str) -> Any:
    """Import what ``module:Class`` or ``file.py:Class`` names, and return it. ConfigError where there is no such thing, where it
    cannot be imported, where another user could change its source, and where it is a subtask, which needs a master."""
    found = _WORD.fullmatch(word)
    if found is None:
        raise ConfigError("MODULE:CLASS", f"{word!r} is none", _REMEDY)
    where, name = found.groups()
    folder = os.getcwd()
    if where.endswith(".py"):
        folder, where = os.path.dirname(os.path.abspath(where)), os.path.basename(where).removesuffix(".py")
    _check(folder, f"modules are looked for in {folder}")
    # The module, and the children that it starts, import other modules of the same folder.
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        parts = where.split(".")
        for count in range(len(parts)):  # find_spec imports the parent packages, so each is checked before it is imported
            spec = importlib.util.find_spec(".".join(parts[: count + 1]))
            if spec is not None and spec.has_location and spec.origin is not None:
                _check(spec.origin, "its program is run")
        thing: Any = importlib.import_module(where)
    except ConfigError:
        raise
    except Exception as exc:
        if isinstance(exc, ModuleNotFoundError) and exc.name and where.startswith(exc.name):
            raise ConfigError("MODULE:CLASS", f"there is no module {where!r} in {folder} or where Python looks", _REMEDY) from exc
        problem = f"{where} cannot be loaded: {type(exc).__name__}: {exc}"
        raise ConfigError("MODULE:CLASS", problem, "Mend it; --debug shows where.") from exc
    for part in name.split("."):
        if not hasattr(thing, part):
            known = [word for word in vars(thing) if not word.startswith("_") and callable(getattr(thing, word))]
            raise ConfigError("MODULE:CLASS", f"{where} has no {part!r}", f"It has: {', '.join(known) or 'nothing to run'}.")
        thing = getattr(thing, part)
    if hasattr(thing, "process_notify") and hasattr(thing, "process_interval"):
        remedy = "Name a class made from BaseMaster that starts this module as its child (docs/your-own-subtask.md)."
        raise ConfigError("MODULE:CLASS", f"{name} is a subtask, which lives in the child of a master", remedy)
    return thing


def check_source(word: str, folder: str) -> None:
    """ConfigError where the source of ``word`` in ``folder`` does not define its name; nothing is imported. Whether a module
    outside the folder has the name is not checked."""
    found = _WORD.fullmatch(word)
    if found is None:
        raise ConfigError("MODULE:CLASS", f"{word!r} is none", _REMEDY)
    where, name = found.groups()
    base = os.path.join(folder, where if where.endswith(".py") else where.replace(".", os.sep))
    path = next((path for path in (base, f"{base}.py", os.path.join(base, "__init__.py")) if os.path.isfile(path)), None)
    if path is None:
        if where.endswith(".py") or importlib.util.find_spec(where.partition(".")[0]) is None:
            raise ConfigError("MODULE:CLASS", f"there is no module {where!r} in {folder} or where Python looks", _REMEDY)
        return
    _check(path, "its program is run")
    try:
        with open(path, "rb") as file:
            tree = ast.parse(file.read())
    except (SyntaxError, ValueError) as exc:
        raise ConfigError("MODULE:CLASS", f"{path} is no Python: {exc}", "Mend it.") from exc
    names = {named for node in tree.body for named in _names_of(node)}
    if name.partition(".")[0] not in names and "*" not in names:
        there = ", ".join(sorted(names)) or "nothing"
        raise ConfigError("MODULE:CLASS", f"{path} has no {name!r}", f"It has: {there}.")


def _names_of(node: ast.stmt) -> list[str]:
    """The names that a top-level statement of a module defines; '*' where they depend on what runs."""
    if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
        return [node.name]
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        return [(alias.asname or alias.name).partition(".")[0] for alias in node.names]
    if isinstance(node, (ast.Assign, ast.AnnAssign)):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        return [target.id for target in targets if isinstance(target, ast.Name)]
    return ["*"] if isinstance(node, (ast.If, ast.Try, ast.With)) else []


def _check(path: str, why: str) -> None:
    """ConfigError where another user could change the file or folder at ``path``. ``why``: why it matters, for the message."""
    doubt = doubt_about(path)
    if doubt is not None:
        me = "root" if effective_user.now() == 0 else "you"
        remedy = f"Keep it in a folder that only {me} may write, and start it there."
        raise ConfigError("MODULE:CLASS", f"{doubt.problem}; {why}", remedy)


class ProgramRun:
    """One run of ``program``: a class, a function that returns the object, or the object. A lock on its ``name`` keeps this user
    from running it twice at a time. ConfigError for a name that no file can have."""

    def __init__(self, word: str, program: Any, name: str | None, notifier: Notifier) -> None:
        self._program = program
        self.name = _check_name(name or getattr(program, "name", None), word)
        self._notifier = notifier
        self._log = setup_logging(f"control.{self.name}.{os.getpid()}", None, True)
        self._lock = StateLock(os.path.join(registry.folder(), "own", f"{self.name}.lock"))
        self._signals = Signals(self._on_stop)
        self._interruptible = False
        self._object: Any = None
        self._started = False

    def run(self) -> int:
        """Call the hooks from setup to cleanup; the exit status. HookError where a hook fails, ConfigError where the object has no
        hooks, CommandError (LOCKED) where the name runs already."""
        try:
            registry.make_folder("own")
            self._lock.acquire(Holder(os.getpid(), process_start(os.getpid()) or "", None, None), patience=1.0)
        except AlreadyRunning as exc:
            holder = self._lock.holder()
            who = f"process {holder.pid}" if holder else "another process"
            raise CommandError(
                f"{self.name!r} is run already, by {who}. Stop that one first, or give this one a name of its own with --name.",
                LOCKED,
            ) from exc
        try:
            with self._signals:
                return self._run_hooks()
        finally:
            self._lock.release()

    def _run_hooks(self) -> int:
        error: HookError | None = None
        status = OK
        try:
            self._object = self._make()
            if not isinstance(self._object, BaseMaster) and not any(self._has(hook) for hook in HOOKS):
                remedy = f"Give it start and stop, or some of: {', '.join(HOOKS)}."
                raise ConfigError("MODULE:CLASS", f"{type(self._object).__name__} has nothing to run", remedy)
            status = self._start_and_loop()
        except HookError as exc:
            error = exc
        except _Hurry:
            self._log.warning("Broken off by a second signal")
        if self._object is not None:
            error = self._shut_down(error)
        if error is not None:
            raise error
        if self._signals.stops:
            return _INTERRUPTED if self._signals.stops[0] == signal.SIGINT else OK
        return status

    def _make(self) -> Any:
        if not callable(self._program):
            return self._program
        try:
            return self._guarded("making it", self._program)
        except HookError as exc:
            if isinstance(exc.__cause__, PysubtaskError):
                raise exc.__cause__ from exc  # the text of a ConfigError is clearer without the hook
            raise

    def _start_and_loop(self) -> int:
        for hook in BEFORE:
            if self._signals.stops:
                return OK
            self._started = self._started or hook == "start"
            if self._call(hook) is False:
                self._log.error("%s() said no: it ends", hook)
                return FAILED
        self._notifier.say("READY=1", f"STATUS={self.name} runs")
        self._log.info("Running: %s", self.name)
        next_ping = 0.0
        while not self._signals.stops:
            if isinstance(self._object, BaseMaster):
                self._guarded("check_pending_notifications()", self._object.check_pending_notifications)
            if self._signals.hung_up:
                self._signals.hung_up = False
                if not self._has("reload"):
                    self._log.info("SIGHUP, and there is no reload(): it ends")
                    return OK
                self._call("reload")
            if self._call("loop") is False:
                self._log.info("loop() said that it is over")
                return OK
            limit = self._notifier.watchdog_secs
            if limit is not None and time.monotonic() >= next_ping:
                next_ping = time.monotonic() + limit / 3
                self._notifier.say("WATCHDOG=1")
            secs = float(getattr(self._object, "loop_secs", LOOP_SECS))
            self._signals.wait(secs if limit is None else min(secs, limit / 4))
        return OK

    def _shut_down(self, error: HookError | None) -> HookError | None:
        """Call ``stop`` and ``cleanup``, even after ``error``; the first error of the run is returned, later ones are logged."""
        self._notifier.say("STOPPING=1")
        for hook in ("stop", "cleanup"):
            if hook == "stop" and not self._started:
                continue
            try:
                self._call(hook)
            except HookError as exc:
                if error is not None:
                    self._log.error("%s", exc)
                error = error or exc
            except _Hurry:
                self._log.warning("%s() was broken off by one more signal", hook)
        self._notifier.close()
        return error

    def _has(self, hook: str) -> bool:
        return callable(getattr(self._object, hook, None))

    def _call(self, hook: str) -> Any:
        if not self._has(hook):
            return None
        method = getattr(self._object, hook)
        if hook == "stop" and isinstance(self._object, BaseMaster):
            return self._guarded("stop()", lambda: method(forcekill=False))
        return self._guarded(f"{hook}()", method)

    def _guarded(self, hook: str, call: Callable[[], Any]) -> Any:
        self._interruptible = True
        try:
            return call()
        except _Hurry:
            raise
        except BaseException as exc:  # the program is foreign code and may raise anything, also by sys.exit()
            if isinstance(exc, SystemExit) and not exc.code:
                return False
            raise HookError(hook, exc) from exc
        finally:
            self._interruptible = False

    def _on_stop(self) -> None:
        """The first signal lets the hook that runs come to its end; each further one interrupts it."""
        if len(self._signals.stops) > 1 and self._interruptible:
            self._interruptible = False
            raise _Hurry


def _check_name(name: Any, word: str) -> str:
    found = name if isinstance(name, str) and name else os.path.basename(word).replace(":", ".")
    if found.startswith(".") or any(sign in found for sign in "/\\\0") or len(os.fsencode(found)) > _LONGEST_NAME:
        raise ConfigError("--name", f"{found!r} cannot be the name of a file", "Give a short plain name, such as 'station-7'.")
    return found
