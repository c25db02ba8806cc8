"""A client's way to one daemon: its socket, or request files where there is none, and what its lock tells when no answer comes."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from ..common import own_folders, requests
from . import errors, records
from .errors import DaemonError, NoAnswer, NoSuchDaemon
from .folders import SOCKET
from .journal import read_rows
from .peer import is_trusted
from .records import DaemonRecord

ANSWER_SECS = 10.0
"""Seconds to wait for an answer that needs no code of the daemon's."""
_CHECK_SECS = 0.5
_FILES_SECS = 0.01
OnProgress = Callable[[dict[str, Any]], None]


class Wire:
    """One connection: ``client`` is its socket, ``buffer`` what was read and not used yet."""

    def __init__(self, client: socket.socket) -> None:
        self.client, self.buffer = client, b""

    def send(self, request: Mapping[str, Any]) -> None:
        """Send one line. Raises OSError."""
        self.client.settimeout(ANSWER_SECS)
        self.client.sendall(json.dumps(request).encode("ascii") + b"\n")

    def line(self, until: float | None) -> bytes:
        """The next line; ``until``: monotonic seconds. Raises TimeoutError, and EOFError where the daemon has closed."""
        while b"\n" not in self.buffer:
            left = None if until is None else until - time.monotonic()
            if left is not None and left <= 0:
                raise TimeoutError
            self.client.settimeout(left)
            data = self.client.recv(262144)
            if not data:
                raise EOFError
            self.buffer += data
        line, _, self.buffer = self.buffer.partition(b"\n")
        return line

    def is_usable(self) -> bool:
        """Whether nothing came and the daemon has not closed: an idle connection is good for one more request."""
        try:
            self.client.setblocking(False)
            return self.buffer == b"" and self.client.recv(1) is None
        except BlockingIOError:
            return self.buffer == b""
        except OSError:
            return False

    def close(self) -> None:
        """Close it."""
        self.client.close()


class _Starting(NoSuchDaemon):
    """It has its name, and clients do not see it yet."""


class Connection:
    """The way to the daemon ``name``, over its restarts and those of this process. Several threads may use it at a time."""

    def __init__(self, name: str, command: str = "") -> None:
        self.name = name
        self._command = command or " ".join([os.path.basename(sys.argv[0] or "python"), *sys.argv[1:]])[:200]
        self._idle: list[Wire] = []
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._who: dict[str, Any] | None = None

    def record(self) -> DaemonRecord:
        """The record of the daemon, which lives. NoSuchDaemon, with what is known, where it does not."""
        holder, record = records.holder_of(self.name), records.read(self.name)
        if holder is not None and (record is None or record.pid != holder.pid):
            raise _Starting(f"process {holder.pid} begins to be this daemon: clients do not see it yet", daemon=self.name)
        if record is None:
            raise NoSuchDaemon(self._nobody(), daemon=self.name)
        if holder is None:
            raise NoSuchDaemon(_how_it_ended(record), daemon=self.name)
        return record

    def _visible_record(self, until: float | None) -> DaemonRecord:
        """The record, as soon as a daemon that has begun is visible; until then at most, and some seconds."""
        end = time.monotonic() + ANSWER_SECS if until is None else until
        while True:
            try:
                return self.record()
            except _Starting:
                if time.monotonic() >= end:
                    raise
            time.sleep(_FILES_SECS)

    def who(self) -> dict[str, Any]:
        """Who asks."""
        if self._who is None or self._who["pid"] != os.getpid():
            self._who = requests.myself(self._command)._asdict()
        return self._who

    def ask(
        self,
        op: str,
        args: Mapping[str, Any],
        *,
        part: str = "",
        id: str = "",
        timeout: float | None = ANSWER_SECS,
        on_progress: OnProgress | None = None,
    ) -> Any:
        """Send a request and return its result. ``timeout``: seconds, None to wait as long as the daemon lives; ``id``: one that
        was sent before, to repeat it; ``part``: the item or method, for errors.

        Raises what the daemon sends; NoSuchDaemon where none runs, NoAnswer where none comes in time or it ends meanwhile.
        """
        until = None if timeout is None else time.monotonic() + timeout
        request = {"id": id or requests.new_id(time.time()), "op": op, "args": dict(args), "who": self.who()}
        for attempt in (1, 2):
            wire = self._wire(until, fresh=attempt == 2)
            if wire is None:
                return self._by_files(request, part, until)
            try:
                wire.send(request)
                result = self._answer(wire, part, until, on_progress)
            except (TimeoutError, EOFError, OSError) as exc:
                wire.close()
                if isinstance(exc, TimeoutError):
                    raise NoAnswer(
                        f"no answer within {timeout:g} s to {op!r}; it may still be done", daemon=self.name, part=part
                    ) from None
                # An idle connection may have been of a daemon that was started anew. By its id the request is done once at most.
                if attempt == 2 or records.holder_of(self.name) is None:
                    raise self._gone(op, part) from None
            else:
                self._keep(wire)
                return result
        raise self._gone(op, part)

    def open(self) -> Wire | None:
        """A connection for one use, such as to follow; None where the daemon has no socket. Raises NoSuchDaemon, OSError."""
        return self._wire(time.monotonic() + ANSWER_SECS, fresh=True)

    def close(self) -> None:
        """Close what is idle."""
        with self._lock:
            for wire in self._idle:
                wire.close()
            self._idle.clear()

    # ---- inside

    def _answer(self, wire: Wire, part: str, until: float | None, on_progress: OnProgress | None) -> Any:
        try:
            while True:
                reply = json.loads(wire.line(until))
                if "ok" not in reply:
                    if on_progress is not None:
                        on_progress(reply)
                elif reply["ok"]:
                    return reply.get("result")
                else:
                    raise errors.of_json({"part": part, **{key: value for key, value in reply.items() if value}}, self.name)
        except DaemonError:
            self._keep(wire)
            raise

    def _wire(self, until: float | None, *, fresh: bool) -> Wire | None:
        """A connection; None where the daemon has no socket. Raises NoSuchDaemon."""
        with self._lock:
            if self._pid != os.getpid():  # of the process that this one was forked from
                self._idle, self._pid = [], os.getpid()
            while self._idle and not fresh:
                wire = self._idle.pop()
                if wire.is_usable():
                    return wire
                wire.close()
        record = self._visible_record(until)
        if not hasattr(socket, "AF_UNIX"):
            return None
        client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with own_folders.opened_folder(record.folder):
                client.connect(os.path.join(record.folder, SOCKET))
            if not is_trusted(client):
                raise own_folders.NotOurs(record.folder, "has a socket of another user in it")
        except own_folders.NotOurs:
            client.close()
            raise
        except OSError:
            client.close()
            if records.holder_of(self.name) is None:
                raise NoSuchDaemon(_how_it_ended(record), daemon=self.name) from None
            return None
        return Wire(client)

    def _keep(self, wire: Wire) -> None:
        with self._lock:
            if len(self._idle) < 4 and self._pid == os.getpid():
                self._idle.append(wire)
                return
        wire.close()

    def _by_files(self, request: Mapping[str, Any], part: str, until: float | None) -> Any:
        record = self._visible_record(until)
        folder = record.folder
        who = requests.Who(**{key: request["who"][key] for key in requests.Who._fields})
        id = requests.send(folder, request["op"], request["args"], who, id=request["id"])
        next_check = time.monotonic() + _CHECK_SECS
        while (reply := requests.reply_to(folder, id)) is None:
            now = time.monotonic()
            if until is not None and now >= until:
                raise NoAnswer(f"no answer in time to {request['op']!r}; it may still be done", daemon=self.name, part=part)
            if now >= next_check:
                next_check = now + _CHECK_SECS
                if records.holder_of(self.name) is None:
                    requests.withdraw(folder, id)
                    if id in read_rows(folder):
                        raise self._gone(str(request["op"]), part)
                    raise NoSuchDaemon(_how_it_ended(records.read(self.name) or record), daemon=self.name)
            time.sleep(_FILES_SECS)
        if reply.ok:
            return reply.result
        found = {"reason": reply.error}
        with contextlib.suppress(ValueError):
            found = json.loads(reply.error)
        raise errors.of_json({"part": part, **{key: value for key, value in found.items() if value}}, self.name)

    def _gone(self, op: str, part: str) -> NoAnswer:
        return NoAnswer(
            f"the daemon ended before it answered {op!r}; whether it was done is not known", daemon=self.name, part=part
        )

    def _nobody(self) -> str:
        import difflib

        known = [record.name for record in records.every()]
        near = difflib.get_close_matches(self.name, known, 1)
        hint = f"; did you mean {near[0]!r}?" if near else "; 'pysubtask list' shows those that are known here"
        return f"no daemon of this name runs, or ran, for this user on this machine{hint}"


def _how_it_ended(record: DaemonRecord) -> str:
    if record.error:
        return f"it runs no more, since {record.ended}: {record.error}"
    if record.ended:
        return f"it runs no more: it ended at {record.ended}. Start it again"
    return f"it runs no more: process {record.pid}, started {record.since}, is gone without a word. Start it again"
