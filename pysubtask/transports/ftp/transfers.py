"""Transfers over one control connection: how each data connection is opened, with which TLS session, and how each transfer
ended. Blocking."""

from __future__ import annotations

import contextlib
import ftplib
import socket
import ssl
import time
from collections.abc import Iterator

from ...common.errors import MeansRefused, SourceError, TransportError, TransportLost
from ..shared.means import DATA, TLS_DATA
from ..shared.meter import Meter
from ..shared.pace import Pace
from ..shared.profile import Walk
from .control_connection import ControlConnection
from .data import Source, Tally, Upload, receive, receive_lines
from .options import Login
from .replies import CannotRestart, NotFTP, Reply, about_tls, error_text
from .server_features import DataLost, NoPassivePort, NotConnected, ServerFeatures

# A proxy or the server's buffers may hold this many bytes that TCP has acknowledged; they are written at SLOW_BYTES per second.
_HELD_BYTES = 4 * 1024 * 1024
SLOW_BYTES = 128 * 1024
_NO_ACTIVE_SECS = 600.0  # each port offered that is never used costs a whole time limit


class Transfers:
    """Commands and data connections over one control connection; the caller has logged in. ``doubt``: the last data connection
    broke when every byte was sent, and the server acknowledged the transfer all the same: then the size decides."""

    def __init__(self, login: Login, known: ServerFeatures, pace: Pace, meter: Meter) -> None:
        self.control = ControlConnection(login, pace, meter)
        self.control.escapes = lambda: bool(known.telnet)  # any session of this server may learn it
        self.known = known
        self.used_at = time.monotonic()
        self.chosen_hash = ""
        self.doubt: DataLost | None = None
        self._login = login

    # --- commands

    def ask(self, command: str, patience: float = 0.0) -> Reply:
        """Send any command that transfers nothing. The server may take ``patience`` seconds longer than usual."""
        with self.translated_errors():
            return self.control.ask(command, patience)

    def store(self, path: str, source: Source, size: int, tally: Tally, start: int = 0) -> Reply:
        """STOR the first ``size`` bytes of a file, or those from ``start`` on (REST, RFC 3659 section 5); the final reply,
        positive or negative. Raises SourceError, CannotRestart where the server refuses REST, DataLost, TransportLost."""
        with self.translated_errors():
            walk = self._tls_walk()
            while True:
                sock, reply = self._transfer(f"STOR {path}", start, walk)
                reply = reply if sock is None else self._send(sock, source, size, tally, start)
                if walk is None or not about_tls(reply):
                    if walk is not None and sock is not None and reply.ok:
                        walk.worked()
                        control = self.control.sock
                        self.known.took_data(control.version() if isinstance(control, ssl.SSLSocket) else None)
                    return reply
                # Some servers check the TLS session only when all bytes have arrived.
                if walk.refused(reply.text) is None:
                    self._older_tls(str(reply))
                    return reply

    def _send(self, sock: socket.socket, source: Source, size: int, tally: Tally, start: int) -> Reply:
        upload = Upload(self.control, sock, tally, start)
        broken: OSError | None = None
        whole, self.doubt = False, None
        try:
            try:
                for block in source.blocks(start, size):
                    upload.send(block)
                whole = True
                upload.finish()
            except SourceError:
                self.control.drop(sock)
                self.control.read_reply()  # the reply does not matter: the stored bytes are removed
                raise
            except OSError as exc:
                broken = exc
                self.control.drop(sock)
            # A broken data connection does not tell the reason; the server's reply does.
            if isinstance(broken, TimeoutError):
                reply = self.control.final_reply()
            else:
                patience = 0.0 if broken else min(size - start, _HELD_BYTES) / SLOW_BYTES
                reply = self.control.read_reply(None if broken else upload.moved, patience)
        finally:
            tally.sent += upload.sent
            self.control.drop(sock)
        if broken is not None and reply.code < 400:
            words = error_text(broken, self._login.stall_secs)
            lost = DataLost(f"the data connection broke: {words}", step="sending its bytes", server_text=reply.text)
            if not whole or not reply.ok:
                raise lost from broken
            self.doubt = lost
        return reply

    def list_one(self, path: str) -> list[str]:
        """LIST one file; no lines where the server refuses."""
        with self.translated_errors():
            sock, _ = self._transfer(f"LIST {path}")
            if sock is None:
                return []
            try:
                lines = receive_lines(self.control, sock)
            finally:
                self.control.drop(sock)
            return lines if self.control.read_reply().ok else []

    def fetch(self, path: str, start: int, most: int) -> bytes | None:
        """RETR the bytes of a file from ``start`` on, at most a little more than ``most``; None where the server refuses."""
        with self.translated_errors():
            try:
                sock, _ = self._transfer(f"RETR {path}", start)
            except CannotRestart:
                return None
            if sock is None:
                return None
            try:
                data = receive(self.control, sock, most)
            finally:
                self.control.drop(sock)
            # The server may reply with an error, as this side closed the connection before the end of the file.
            return data if self.control.read_reply().ok or len(data) > most else None

    def whole_listing(self, command: str, most: int) -> bytes | None:
        """All bytes of a listing; None where the server refuses, or sends more than ``most`` bytes."""
        with self.translated_errors():
            sock, _ = self._transfer(command)
            if sock is None:
                return None
            try:
                data = receive(self.control, sock, most)
            finally:
                self.control.drop(sock)
            return data if self.control.read_reply().ok and len(data) <= most else None

    def listing(self, command: str, most: int) -> bytes:
        """The bytes of a listing, at most a little more than ``most``; empty where the server refuses."""
        with self.translated_errors():
            sock, _ = self._transfer(command)
            if sock is None:
                return b""
            try:
                data = receive(self.control, sock, most)
            finally:
                self.control.drop(sock)
            self.control.read_reply()
            return data

    def _tls_walk(self) -> Walk | None:
        """Which kinds of TLS sessions this transfer may try on its data connection."""
        return self.known.profile.walk(TLS_DATA) if self._login.tls else None

    def _transfer(self, command: str, start: int = 0, walk: Walk | None = None) -> tuple[socket.socket | None, Reply]:
        """Begin a transfer. Raises DataLost where its data connection can be opened or secured by no method."""
        walk = walk or self._tls_walk()
        while True:
            self.control.resumes = walk is None or walk.rung == "resumed"
            try:
                sock, reply = self._open(command, start)
            except MeansRefused as exc:
                if walk is not None and walk.refused(exc.cause) is not None:
                    continue
                self._older_tls(exc.cause)
                raise DataLost(exc.cause, step=exc.step, server_text=exc.server_text) from exc
            if sock is None and start:
                self.control.ask("REST 0")  # or the server may apply the offset to the next transfer, of another file
            return sock, reply

    def _open(self, command: str, start: int) -> tuple[socket.socket | None, Reply]:
        known, control = self.known, self.control
        data_walk = known.profile.walk(DATA) if self._login.passive else None
        first_is_pasv = data_walk is not None and (data_walk.rung in ("pasv", "pasv_control_address") or not known.epsv)
        control.passive_commands, control.data_method = (
            ("pasv",) if not known.epsv else ("pasv", "epsv") if first_is_pasv else ("epsv", "pasv"),
            "",
        )
        try:
            sock, reply = self._open_data(command, start, active=data_walk is not None and data_walk.rung == "active")
        except (OSError, EOFError) as exc:
            # A server that refuses TLS or the TLS session of the data connection says so in a reply.
            if isinstance(exc, ssl.SSLError | ConnectionError):
                with contextlib.suppress(OSError, EOFError, NotFTP, ftplib.Error):
                    reply = control.read_reply()
                    kind = MeansRefused if isinstance(exc, ssl.SSLError) or about_tls(reply) else DataLost
                    words = f"the data connection failed: {error_text(exc, 0)}. The server said: {reply}"
                    step, server_text = "securing a data connection", reply.text
                    raise (
                        MeansRefused("tls_reuse", words, step=step, server_text=server_text)
                        if kind is MeansRefused
                        else DataLost(words, step=step, server_text=server_text)
                    ) from exc
            raise
        if data_walk is not None and control.data_method:
            data_walk.came_to(control.data_method, control.refused, unknown=control.unknown)
            known.epsv = known.epsv and not (control.data_method != "epsv" and control.unknown)
        return sock, reply

    def _open_data(self, command: str, start: int, *, active: bool) -> tuple[socket.socket | None, Reply]:
        """Open a data connection, passive or active: where the server refuses one, the other. A port that cannot be reached is
        no refusal: something on the path drops the packets. A port of this machine that the server never connected to is not
        offered again for ten minutes, as each attempt costs a whole time limit."""
        control, why_not = self.control, ""
        try:
            opened = control.open_data(command, start, active=active)
        except NoPassivePort as passive:
            if time.monotonic() < self.known.no_active_before:
                raise
            try:
                opened = control.open_data(command, start, active=True)
            except DataLost as exc:
                if not isinstance(exc, NotConnected):  # the server accepted the port and never connected
                    self.known.no_active_before = time.monotonic() + _NO_ACTIVE_SECS
                words = f"{passive.cause}, nor does it connect to here: {exc.cause}"
                raise DataLost(words, step=passive.step, server_text=passive.server_text) from exc
            active, why_not = True, passive.server_text
        except NotConnected:
            active, opened = False, control.open_data(command, start)
        if active:
            control.data_method, control.refused, control.unknown = "active", why_not, False
        return opened

    def _older_tls(self, words: str) -> None:
        """Raise TransportLost where the next connection may do better with TLS 1.2."""
        sock = self.control.sock
        if isinstance(sock, ssl.SSLSocket) and sock.version() == "TLSv1.3" and not self.known.tls12:
            self.known.tls12 = words
            raise TransportLost(f"the server takes no data connection over TLS 1.3 ({words}): the next connection uses TLS 1.2")

    @contextlib.contextmanager
    def translated_errors(self, limit: float | None = None) -> Iterator[None]:
        """Raise TransportLost in place of each error of ftplib, ssl and socket. ``limit``: the time limit in seconds that the
        message names, by default ``StallSecs``."""
        try:
            yield
        except (TransportError, SourceError, CannotRestart):
            raise
        except (OSError, EOFError, NotFTP, ftplib.Error, ValueError) as exc:
            # ValueError: ``cut`` closed the socket, or the host name is malformed.
            self.control.ended = isinstance(exc, EOFError | ConnectionError)
            remedy = exc.remedy if isinstance(exc, NotFTP) else ""
            raise TransportLost(error_text(exc, self._login.stall_secs if limit is None else limit), remedy) from exc
