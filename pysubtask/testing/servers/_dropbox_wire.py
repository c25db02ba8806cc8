"""The way in: an HTTPS proxy that is itself the end of the TLS it is asked for, and HTTP/1.1 inside (RFC 9110, 9112)."""

from __future__ import annotations

import contextlib
import itertools
import secrets
import socket
import ssl
import struct
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Protocol

from ._dropbox_answers import Answer, text
from ._dropbox_drip import hostile_answer
from ._dropbox_faults import Faults
from ._dropbox_sessions import Body

HOSTS = ("api.dropboxapi.com", "content.dropboxapi.com", "notify.dropboxapi.com", "www.dropbox.com")
_PIECE_BYTES = 256 * 1024
_WORDS_BYTES = 8 * 1024 * 1024
_END_SECS = 10.0
_TOKEN_PATHS = ("/oauth2/token", "/1/oauth2/token")  # the second is that of older clients


@dataclass
class Call:
    """One call. ``route``: "files/upload"; ``at``: monotonic seconds of its arrival; ``host``: the one it was made to.

    ``status``: of the answer, 0 while there is none (or the connection was cut instead); ``answered``: monotonic
    seconds of it; ``retry_after``: seconds that the answer asks for. ``content_bytes``: bytes of file content that
    arrived with it, also where it was cut or refused.
    """

    route: str
    at: float
    host: str
    status: int = 0
    retry_after: int | None = None
    content_bytes: int = 0
    answered: float | None = None


class Account(Protocol):
    """The server's view of the object that answers the calls."""

    uploads: dict[str, Any]

    def answer(self, route: str, host: str, headers: Mapping[str, str], body: Body, words: bytes) -> Answer:
        """Carry out a call; the names of ``headers`` are in lower case."""


class Cut(Exception):
    """The connection ends here, without an answer."""


class HttpServer:
    """Listens on ``host``; ``calls`` is every call in the order of arrival. ``start`` works again after ``stop``."""

    def __init__(self, host: str, account: Account, faults: Faults, temp: Path, context: ssl.SSLContext) -> None:
        self.host = host
        self.port = 0
        self.account = account
        self.faults = faults
        self.context = context
        self.calls: list[Call] = []
        self._temp = temp
        self._number = itertools.count(1)
        self._open: set[socket.socket] = set()
        self._change = threading.Condition()
        self._busy = 0
        self._ended = False
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Listen; the second time on the port it had."""
        self.faults.begin()
        self._ended = False
        self._server = _Server(self, (self.host, self.port))
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name=f"dropbox-{self.port}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the listener and every connection. RuntimeError where one does not end."""
        server, self._server = self._server, None
        if server is None or self._thread is None:
            return
        server.shutdown()
        server.server_close()
        self._thread.join(_END_SECS)
        self.faults.end()
        with self._change:
            self._ended = True
            for one in self._open:
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
            if not self._change.wait_for(lambda: self._busy == 0, _END_SECS):
                raise RuntimeError(f"{self._busy} connections of the Dropbox stand-in did not end within {_END_SECS:.0f} s")

    def new_body(self) -> Body:
        """A body with a file name of its own."""
        return Body(self._temp / f"body-{next(self._number)}")

    def enter(self) -> None:
        """Count the thread of a connection in."""
        with self._change:
            self._busy += 1

    def leave(self) -> None:
        """Count the thread of a connection out."""
        with self._change:
            self._busy -= 1
            self._change.notify_all()

    def watch(self, sock: socket.socket) -> None:
        """Register a socket that ``stop`` is to shut down; Cut where the server has ended already."""
        with self._change:
            if self._ended:
                raise Cut
            self._open.add(sock)

    def unwatch(self, sock: socket.socket) -> None:
        """Remove a socket that its thread has closed."""
        with self._change:
            self._open.discard(sock)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, wire: HttpServer, address: tuple[str, int]) -> None:
        self.wire = wire
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        self.wire.enter()
        super().process_request(request, client_address)

    def finish_request(self, request: Any, client_address: Any) -> None:
        try:
            super().finish_request(request, client_address)
        except (OSError, Cut):
            return  # the client has gone, or is meant to see the server go
        finally:
            self.wire.leave()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "pysubtask-dropbox-stand-in"
    disable_nagle_algorithm = True
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.name = ""
        self.wire = self.server.wire
        self.wire.watch(self.connection)

    def finish(self) -> None:
        self.wire.unwatch(self.connection)
        with contextlib.suppress(OSError):
            super().finish()
        self.connection.close()

    def handle(self) -> None:
        try:
            super().handle()
        except Cut:
            # Closing with nothing left to linger for sends a reset.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def do_CONNECT(self) -> None:
        name, _, port = self.path.rpartition(":")
        if self.name or name not in HOSTS or port != "443":
            self._send(text(403, f"this stand-in is no way to {self.path}"), last=True)
            return
        plain = self.connection
        plain.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        self.name, self.close_connection = name, False
        self.wire.unwatch(plain)
        # The handshake comes last, so that "stop" finds the new socket in its list meanwhile.
        self.connection = self.request = self.wire.context.wrap_socket(plain, server_side=True, do_handshake_on_connect=False)
        self.wire.watch(self.connection)
        self.rfile = self.connection.makefile("rb", _PIECE_BYTES)
        self.wfile = self.connection.makefile("wb")
        self.connection.do_handshake()

    def do_GET(self) -> None:
        self._send(text(404 if self.name else 405, "this stand-in knows nothing but calls of the HTTP API"), last=True)

    do_PUT = do_HEAD = do_DELETE = do_OPTIONS = do_PATCH = do_GET

    def do_POST(self) -> None:
        if not self.name:
            self.do_GET()
            return
        route = "oauth2/token" if self.path in _TOKEN_PATHS else self.path.removeprefix("/2/")
        call = Call(route, time.monotonic(), self.name)
        self.wire.calls.append(call)
        plan = self.wire.faults.plan(route)
        body = self.wire.new_body()
        try:
            words = self._read_body(call, body, plan.cut)
            answer = plan.answer or self._work(call, body, words)
        finally:
            body.drop()
        if plan.lost:
            raise Cut
        call.status, call.retry_after, call.answered = answer.status, answer.retry_after, time.monotonic()
        if plan.drip:
            hostile_answer(plan.drip, self.connection, self.path, answer)
            raise Cut
        self._send(answer)

    def _work(self, call: Call, body: Body, words: bytes) -> Answer:
        if not self.wire.faults.wait(call.route):
            raise Cut
        try:
            headers = {name.lower(): value for name, value in self.headers.items()}
            return self.wire.account.answer(call.route, call.host, headers, body, words)
        except OSError as exc:
            return text(500, f"the disk of the stand-in: {exc}")

    def _read_body(self, call: Call, body: Body, cut: int | None) -> bytes:
        """Read the whole body: file content goes into the body's file, anything else is returned."""
        if hasattr(socket, "TCP_QUICKACK"):
            # urllib3 leaves Nagle's algorithm on towards a proxy: its body waits until the head is acknowledged.
            self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        content = call.route in self.wire.account.uploads
        read, view = 0, memoryview(bytearray(_PIECE_BYTES))
        words = bytearray()
        with contextlib.ExitStack() as stack:
            file = stack.enter_context(open(body.file, "xb", buffering=0)) if content else None

            def keep(data: memoryview) -> None:
                if file is None:
                    words.extend(data)
                    if len(words) > _WORDS_BYTES:
                        raise Cut
                else:
                    body.hash.update(data)
                    file.write(data)

            for size in self._lengths():
                filled, left = 0, size
                while left:
                    room = min(left, len(view) - filled)
                    if cut is not None:
                        room = min(room, cut - read)
                        if room == 0:
                            raise Cut
                    got = self.rfile.readinto1(view[filled : filled + room])
                    if not got:
                        raise Cut
                    filled, left, read = filled + got, left - got, read + got
                    if content:
                        call.content_bytes = read
                    if filled == len(view) or not left:
                        keep(view[:filled])
                        filled = 0
            if cut is not None:
                raise Cut
        return bytes(words)

    def _lengths(self) -> Any:
        """The lengths of the pieces that the body comes in, each to be read before the next is asked for."""
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            yield _number(self.headers.get("Content-Length") or "0", 10)
            return
        while size := _number(self._line().partition(b";")[0], 16):
            yield size
            self._line()
        while self._line().strip():
            pass

    def _line(self) -> bytes:
        line = self.rfile.readline(65537)
        if not line.endswith(b"\n"):
            raise Cut
        return bytes(line)

    def _send(self, answer: Answer, last: bool = False) -> None:
        length = answer.length if answer.file else len(answer.body)
        headers = {
            **answer.headers,
            "Content-Length": str(length),
            "X-Dropbox-Request-Id": secrets.token_hex(16),
            "Date": self.date_time_string(),
            "Server": self.server_version,
        }
        if last:
            headers["Connection"], self.close_connection = "close", True
        phrase = self.responses[answer.status][0] if answer.status in self.responses else "Unknown"
        lines = [f"HTTP/1.1 {answer.status} {phrase}", *(f"{key}: {value}" for key, value in headers.items()), "", ""]
        self.connection.sendall("\r\n".join(lines).encode("latin-1") + answer.body)
        if answer.file is not None:
            with answer.file as file:
                left = length
                while left:
                    piece = file.read(min(left, _PIECE_BYTES))
                    if not piece:
                        raise Cut
                    self.connection.sendall(piece)
                    left -= len(piece)

    def handle_expect_100(self) -> bool:
        self.connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        return True

    def log_message(self, format: str, *args: Any) -> None:
        return


def _number(words: str | bytes, base: int) -> int:
    try:
        return int(words, base)
    except ValueError:
        raise Cut from None
