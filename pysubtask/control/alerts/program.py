"""The user's program while it runs: in a session of its own, with a time limit. Its output is read without waiting."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ...common.alert_command import check_command, program_of, why_not_there
from ...common.errors import ConfigError
from ...common.handoff import nameless

_KEPT_BYTES = 4096
"""The part of the output that is kept; the rest is read and dropped, so that a full pipe does not stop the program."""
_READ_BYTES = 65536
_MOST_READS = 64
"""Reads per poll: a program that writes without end must not keep the loop busy."""
_OUTPUT = subprocess.PIPE if hasattr(os, "set_blocking") else subprocess.DEVNULL
"""Where a pipe cannot be non-blocking, the output is not read."""
_GRACE_SECS = 2.0
"""From SIGTERM to SIGKILL."""


class Ended(NamedTuple):
    """``problem``: how the program failed, '' for the exit status 0; ``output``: the beginning of its output; ``secs``: how
    long it ran."""

    problem: str
    output: str
    secs: float


class Program:
    """A running program. ``poll`` reports its end; no method but ``kill`` waits."""

    def __init__(self, words: Sequence[str], environ: Mapping[str, str], stdin: bytes, limit: float, now: float) -> None:
        """Start the program. ``limit``: its time limit in seconds; ``now``: monotonic seconds. Raises OSError where it cannot
        be started, and ConfigError where another user could have written it."""
        check_command(words, environ)
        path = program_of(words, environ)
        if path is None:
            raise FileNotFoundError(why_not_there(words, environ))
        self._began, self._limit = now, limit
        self._asked: float | None = None
        self._output, self._dropped = b"", 0
        given = nameless(stdin)
        try:
            self._process = subprocess.Popen(
                [path, *words[1:]],
                stdin=given,
                stdout=_OUTPUT,
                stderr=subprocess.STDOUT,
                env=dict(environ),
                close_fds=True,
                start_new_session=sys.platform != "win32",
            )
        finally:
            os.close(given)
        self._pipe = -1
        if self._process.stdout is not None:
            self._pipe = self._process.stdout.fileno()
            if sys.platform != "win32":
                os.set_blocking(self._pipe, False)
        self.pid = self._process.pid

    def poll(self, now: float) -> Ended | None:
        """The end of the program, None while it runs. After the time limit it gets SIGTERM, and SIGKILL ``_GRACE_SECS`` later."""
        self._read()
        if not self._has_ended():
            if self._asked is None and now - self._began >= self._limit:
                self._asked = now
                self._signal(signal.SIGTERM)
            elif self._asked is not None and now - self._asked >= _GRACE_SECS:
                self._signal(getattr(signal, "SIGKILL", signal.SIGTERM))
            return None
        return self._end(now)

    def kill(self) -> None:
        """Kill the program and its process group; waits ``_GRACE_SECS`` at most."""
        self._signal(getattr(signal, "SIGKILL", signal.SIGTERM))
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_GRACE_SECS)
        self._close()

    def _end(self, now: float) -> Ended:
        # The kill comes before the reaping: until then no other process group can get this number.
        self._signal(getattr(signal, "SIGKILL", signal.SIGTERM))
        code = self._process.wait()
        self._read()
        self._close()
        if self._asked is not None:
            problem = f"it took longer than {self._limit:g} s (TimeoutSecs) and was ended"
        elif code < 0:
            problem = f"it was ended by signal {-code}"
        else:
            problem = f"its exit status was {code}" if code else ""
        more = f" ... ({self._dropped} more bytes)" if self._dropped else ""
        return Ended(problem, self._output.decode("utf-8", "replace").strip() + more, now - self._began)

    def _has_ended(self) -> bool:
        if sys.platform == "win32" or not hasattr(os, "waitid"):
            return self._process.poll() is not None
        try:
            return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        except ChildProcessError:
            return True

    def _signal(self, number: int) -> None:
        with contextlib.suppress(OSError):  # the processes have ended
            if sys.platform == "win32":
                self._process.terminate()
            elif self._process.returncode is None:
                os.killpg(self.pid, number)

    def _read(self) -> None:
        for _ in range(_MOST_READS if self._pipe >= 0 else 0):
            try:
                data = os.read(self._pipe, _READ_BYTES)
            except OSError:
                return  # no data at the moment
            if not data:
                return
            kept = data[: max(0, _KEPT_BYTES - len(self._output))]
            self._output += kept
            self._dropped += len(data) - len(kept)

    def _close(self) -> None:
        if self._process.stdout is not None:
            self._process.stdout.close()


def begin(words: Sequence[str], environ: Mapping[str, str], stdin: bytes, limit: float, now: float) -> Program | str:
    """Start the program; returns the reason as text where that fails."""
    try:
        return Program(words, environ, stdin, limit, now)
    except ConfigError as exc:
        return f"it is not run: {exc.problem}. {exc.remedy}"
    except FileNotFoundError as exc:
        return str(exc) if exc.errno is None else f"it cannot be started: {exc.strerror}"
    except (OSError, ValueError) as exc:
        return f"it cannot be started: {getattr(exc, 'strerror', None) or exc}"
