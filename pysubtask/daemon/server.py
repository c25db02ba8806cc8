"""What a daemon's clients reach: a socket in its runtime folder, and request files where there is none.

One line of JSON is a request, one or more are its answer. Each connection has a thread of its own.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

from ..common import own_files, requests
from ..common.requests import Request
from ..common.trust import user_name
from . import errors
from .errors import Refused
from .folders import SOCKET
from .peer import is_trusted, peer_of
from .work import Work

if TYPE_CHECKING:
    from .core import Core

MOST_BYTES = 4 * 1024 * 1024
"""A request that is longer is none, and its connection is closed."""
FILES_SECS = 0.25
"""Seconds between two checks for request files."""
ALONE_SECS = 0.02
"""The same where there is no socket."""
LATE_SECS = 60.0
"""A request file that is older was for a daemon that is gone: it is refused, and not carried out by surprise."""
SWEEP_SECS = 3600.0
"""Seconds between two removals of old replies."""
_MOST_CLIENTS = 200


class Server:
    """The clients of one daemon. ``folder``: its runtime folder."""

    def __init__(self, core: Core, folder: str) -> None:
        self._core, self._folder = core, folder
        self._work = Work(core)
        self._socket: socket.socket | None = None
        self._clients: set[socket.socket] = set()
        self._ended = threading.Event()
        self._begun: set[str] = set()  # request files that are being answered

    def begin(self) -> None:
        """Listen from now on. Without a socket (a path that is too long, a system without them) requests come by files."""
        if not hasattr(socket, "AF_UNIX"):
            return
        with contextlib.suppress(OSError):
            own_files.remove(self._folder, SOCKET)
            found = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                found.bind(os.path.join(self._folder, SOCKET))
                found.listen(64)
            except OSError as exc:
                found.close()
                self._core.log.warning("No socket (%s): requests come by files alone", exc)
                raise
            self._socket = found
            threading.Thread(target=self._accept, args=(found,), name="clients", daemon=True).start()
        threading.Thread(target=self._read_files, name="request files", daemon=True).start()

    def end(self) -> None:
        """Answer nobody any more."""
        self._ended.set()
        if self._socket is not None:
            with contextlib.suppress(OSError):
                own_files.remove(self._folder, SOCKET)
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
            self._socket.close()
        self._work.wait_for_answers()
        for client in list(self._clients):
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)

    # ---- the socket

    def _accept(self, listening: socket.socket) -> None:
        while not self._ended.is_set():
            try:
                client, _ = listening.accept()
            except OSError:
                if self._ended.wait(0.05):
                    return
                continue
            if len(self._clients) >= _MOST_CLIENTS or not is_trusted(client):
                client.close()
                continue
            self._clients.add(client)
            threading.Thread(target=self._serve, args=(client,), name="client", daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        peer, own_lock = peer_of(client), threading.Lock()

        def send(reply: dict[str, Any]) -> None:
            data = json.dumps(reply).encode("ascii") + b"\n"
            with own_lock, contextlib.suppress(OSError):  # a client that is gone: what it asked for goes on
                client.sendall(data)

        try:
            with client.makefile("rb") as lines:
                while line := lines.readline(MOST_BYTES):
                    if not line.endswith(b"\n") or self._ended.is_set():
                        break
                    self._answer(line, client, peer, send)
        except OSError:
            pass  # the client is gone
        finally:
            self._core.page.followers.remove(client)
            self._clients.discard(client)
            client.close()

    def _answer(self, line: bytes, client: socket.socket, peer: Any, send: Any) -> None:
        try:
            request = json.loads(line)
            op, args, who = request["op"], request["args"], request["who"]
            if not (isinstance(op, str) and isinstance(args, dict) and isinstance(who, dict)):
                raise TypeError("a field is of a wrong type")
        except (ValueError, KeyError, TypeError, RecursionError) as exc:
            send({"ok": False, **errors.to_json(Refused(f"the request cannot be read ({type(exc).__name__}: {exc})"), "")})
            return
        by = {key: str(who.get(key, ""))[:200] for key in ("user", "command", "host")}
        if peer is not None:  # the system knows better than the client
            by |= {"pid": peer.pid, "uid": peer.uid, "user": _name_of(peer.uid)}
        if op == "follow":
            send({"ok": True, "result": self._core.page.as_dict()})
            # Woken only now, so that nothing stands in the page's line; what has happened meanwhile is in the file of events.
            self._core.page.followers.add(client, by)
            self._core.page.followers.wake()
            return
        self._work.handle(op, str(request.get("id", "")), args, by, send)

    # ---- request files

    def _read_files(self) -> None:
        pause = FILES_SECS if self._socket is not None else ALONE_SECS
        next_sweep = 0.0
        while not self._ended.wait(pause):
            if time.monotonic() >= next_sweep:
                next_sweep = time.monotonic() + SWEEP_SECS
                requests.sweep(self._folder, time.time())
            for request in requests.waiting(self._folder):
                problem = request.problem or ("it was given too long ago" if self._is_late(request) else "")
                if problem:
                    self._reply(request, {"ok": False, "error": "Refused", "reason": problem})
                elif request.id not in self._begun:
                    self._begun.add(request.id)
                    self._answer_file(request)

    def _is_late(self, request: Request) -> bool:
        try:
            given = own_files.changed_at(os.path.join(self._folder, requests.REQUESTS), request.id + ".json")
        except OSError:  # withdrawn meanwhile
            return True
        return time.time() - given > LATE_SECS and request.id not in self._begun

    def _answer_file(self, request: Request) -> None:
        by = {**request.who._asdict(), "uid": os.geteuid() if hasattr(os, "geteuid") else 0}

        def send(reply: dict[str, Any]) -> None:
            if "ok" in reply:
                self._core.page.flush()  # who reads the file of the page must find what he has set
                self._reply(request, reply)

        threading.Thread(target=self._work.handle, args=(request.op, request.id, request.args, by, send), daemon=True).start()

    def _reply(self, request: Request, reply: dict[str, Any]) -> None:
        error = "" if reply["ok"] else json.dumps({key: reply.get(key, "") for key in ("error", "reason", "part", "kind")})
        with contextlib.suppress(OSError):
            requests.answer(self._folder, request.id, result=reply.get("result"), error=error)
        self._begun.discard(request.id)


_names: dict[int, str] = {}


def _name_of(uid: int) -> str:
    return _names.setdefault(uid, _names.get(uid) or user_name(uid))
