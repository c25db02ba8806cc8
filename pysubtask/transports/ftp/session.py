"""One logged-in connection: what the transport needs of a server, in commands. Blocking, for one thread at a time.

Everything raised here is one of the package's errors.
"""

from __future__ import annotations

import contextlib
import ftplib
import re
import socket
import ssl
import tempfile
import time
from collections.abc import Iterator

from ...common.errors import LoginRefused, SourceError, TransportError, TransportLost
from ..base import RemoteStat
from ..meter import Meter
from ..pace import Pace
from ..reach import no_answer, of_socket, place
from .data import Source, Tally, Upload, receive, receive_lines
from .known import CannotTell, DataLost, Known
from .options import EXPLICIT, IMPLICIT, Login, parent_of
from .replies import (
    CannotRestart,
    NotFTP,
    Reply,
    Row,
    facts_in,
    features,
    greeting_error,
    has,
    listed,
    listed_size,
    login_error,
    machine_rows,
    number_in,
    rows_in,
    size_in,
    text,
    time_in,
    why,
)
from .wire import Wire

# A proxy, or the server's own buffers, may hold this much that we were told is there; and at this rate it goes on.
_HELD_BYTES = 4 * 1024 * 1024
_SLOW_BYTES = 128 * 1024
_REFUSED_SIZES = 3  # of files that are there, after which SIZE is not asked any more
_TELNET = re.compile(rb"\xff[\xf0-\xff]")
_TELNET_NOP = b"\xff\xf1".decode("utf-8", "surrogateescape")
_LONGEST_FOLDER = 256 * 1024
_LAST_STAMP = 253402300800  # the year 10000


class Session:
    """``open`` it in a thread. ``wire`` can be aborted from any. ``doubt``: the data connection of the last transfer ended oddly
    when all was sent, and the server acknowledged it all the same: then its size has to tell."""

    def __init__(self, login: Login, known: Known, pace: Pace, meter: Meter) -> None:
        self.wire = Wire(login, pace, meter)
        self.wire.epsv = known.epsv
        self.wire.escapes = bool(known.telnet)
        self.known = known
        self.used_at = time.monotonic()
        self.chosen_hash = ""
        self.doubt: DataLost | None = None
        self._login = login

    # --- login

    def open(self, context: ssl.SSLContext | None) -> None:
        """Connect, secure, log in, learn what the server can."""
        wire, login = self.wire, self._login
        wire.until = time.monotonic() + login.connect_secs
        with self.edge(login.connect_secs):
            try:
                said = wire.open(context)
                if said.code != 220:
                    raise greeting_error(said)
                if login.tls == EXPLICIT:
                    self._secure()
                self._log_in()
                if login.tls:
                    self._protect()
                self.known.learn(features(wire.ask("FEAT")))
                if has(self.known.found, "UTF8"):
                    wire.ask("OPTS UTF8 ON")  # names are UTF-8 whatever is said (RFC 2640)
                said = wire.ask("TYPE I")
                if not said.ok:
                    raise TransportLost(f"the server takes no binary files: {said}")
            except TimeoutError as exc:
                hint = "; port 990 most often speaks TLS from the start (UseTLS = 'implicit')" if (
                    login.port == 990 and login.tls != IMPLICIT) else ""
                where = place(login.host, login.port)
                if wire.sock is None:
                    raise no_answer(where, login.connect_secs) from exc
                raise TransportLost(f"no login within {login.connect_secs:g} s at {where}{hint}",
                                    "Is HostPort that of the FTP server, and does no firewall stand in between?") from exc
            except OSError as exc:
                failed = of_socket(exc, login.host, login.port, login.connect_secs)
                if failed is None:
                    raise
                raise failed from exc
        wire.until = None

    def _secure(self) -> None:
        """RFC 4217 section 4. Never goes on without."""
        said = self.wire.ask("AUTH TLS")
        if said.code != 234:
            if 400 <= said.code < 500:
                raise TransportLost(f"the server cannot do TLS now: {said}")
            raise LoginRefused(f"the server offers no TLS. It said: {said}",
                               "Have it switched on there, or set ftp.UseTLS to None if password and data may travel in the clear")
        self.wire.secure()

    def _log_in(self) -> None:
        wire, login = self.wire, self._login
        said = wire.ask(f"USER {login.user or 'anonymous'}")
        if said.code == 331:
            said = wire.ask(f"PASS {login.password if login.user else login.password or 'anonymous@'}")
        if not said.ok:
            raise login_error(said, bool(login.tls))

    def _protect(self) -> None:
        """RFC 4217 sections 8 and 9: data connections are protected as well."""
        self.wire.ask("PBSZ 0")
        said = self.wire.ask("PROT P")
        # With TLS from the start some servers know no PROT and protect everything; and nothing is sent unprotected anyway.
        if not said.ok and not (self._login.tls == IMPLICIT and said.code in (500, 502, 503, 504)):
            raise LoginRefused(f"the server would take the data in the clear only. It said: {said}",
                               "Have protected data connections switched on there")

    # --- commands

    def ask(self, command: str, patience: float = 0.0) -> Reply:
        """Any command that transfers nothing; the server may take ``patience`` seconds longer than usual."""
        with self.edge():
            return self.wire.ask(command, patience)

    def store(self, path: str, source: Source, size: int, tally: Tally, start: int = 0) -> Reply:
        """STOR the first ``size`` bytes of a file, or those from ``start`` on (REST); the last reply, good or bad. Raises
        SourceError besides, and CannotRestart where the server refuses REST."""
        with self.edge():
            sock, said = self._transfer(f"STOR {path}", start)
            return said if sock is None else self._send(sock, source, size, tally, start)

    def _send(self, sock: socket.socket, source: Source, size: int, tally: Tally, start: int) -> Reply:
        upload = Upload(self.wire, sock, tally, start)
        broken: OSError | None = None
        whole, self.doubt = False, None
        try:
            try:
                for block in source.blocks(start, size):
                    upload.send(block)
                whole = True
                upload.finish()
            except SourceError:
                self.wire.drop(sock)
                self.wire.hear()  # whatever it is: what arrived is removed
                raise
            except OSError as exc:
                broken = exc
                self.wire.drop(sock)
            # A broken data connection alone does not tell why: the server does.
            if isinstance(broken, TimeoutError):
                said = self.wire.last_words()
            else:
                patience = 0.0 if broken else min(size - start, _HELD_BYTES) / _SLOW_BYTES
                said = self.wire.hear(None if broken else upload.moved, patience)
        finally:
            tally.sent += upload.sent
            self.wire.drop(sock)
        if broken is not None and said.code < 400:
            words = why(broken, self._login.stall_secs)
            lost = DataLost(f"the data connection broke: {words}", step="sending its bytes", said=text(" ".join(said.lines)))
            if not whole or not said.ok:
                raise lost from broken
            self.doubt = lost
        return said

    def list_one(self, path: str) -> list[str]:
        """LIST one file; no lines where the server will not."""
        with self.edge():
            sock, _ = self._transfer(f"LIST {path}")
            if sock is None:
                return []
            try:
                lines = receive_lines(self.wire, sock)
            finally:
                self.wire.drop(sock)
            return lines if self.wire.hear().ok else []

    def rows(self, folder: str) -> list[Row] | None:
        """What a folder ('' is the login's own) shows; None where the server will not list it, shows nothing that can be read, or
        more than is worth reading. Hidden names may be missing."""
        by_machine = "MLST" in self.known.found
        if not by_machine and any(sign in folder for sign in "*?[{"):
            return None  # LIST takes such a name for a pattern
        command = f"{'MLSD' if by_machine else 'LIST'} {folder}".rstrip() if folder.strip() else ("MLSD" if by_machine else "LIST")
        with self.edge():
            sock, _ = self._transfer(command)
            if sock is None:
                return None
            try:
                heard = receive(self.wire, sock, _LONGEST_FOLDER)
            finally:
                self.wire.drop(sock)
            if not self.wire.hear().ok or len(heard) > _LONGEST_FOLDER:
                return None
        lines = [line for line in heard.decode("utf-8", "surrogateescape").split("\n") if line.strip()]
        found = machine_rows(lines) if by_machine else rows_in(lines)
        return found if found or all(line.startswith("total ") for line in lines) or by_machine else None

    def row(self, path: str) -> Row | None:
        """The line of a file in the reply to STAT; None where there is none, also where the server will not."""
        if not self.known.stat:
            return None
        said = self.ask(f"STAT {path}")
        self.known.stat = not said.unknown
        if not said.ok or len(said.lines) < 3:
            return None
        # RFC 959 4.2 has each line in the middle begin with a space, which some leave out.
        return listed((line.removeprefix(" ") for line in said.lines[1:-1]), path)

    def patience_for(self, size: int) -> float:
        """Seconds that the server may take to be done with so many bytes which it has acknowledged."""
        return self._login.stall_secs + size / _SLOW_BYTES

    def rest(self, secs: float) -> None:
        """Wait for a moment, unless the connection was given up."""
        with self.edge():
            self.wire.look()
            time.sleep(secs)

    def fetch(self, path: str, start: int, most: int) -> bytes | None:
        """RETR what a file has from ``start`` on, at most a little more than ``most`` bytes; None where the server will not."""
        with self.edge():
            try:
                sock, _ = self._transfer(f"RETR {path}", start)
            except CannotRestart:
                return None
            if sock is None:
                return None
            try:
                heard = receive(self.wire, sock, most)
            finally:
                self.wire.drop(sock)
            # It may complain of an end before its own.
            return heard if self.wire.hear().ok or len(heard) > most else None

    def listing(self, command: str, most: int) -> bytes:
        """What a listing sends, at most a little more than ``most`` bytes of it; empty where the server will not."""
        with self.edge():
            sock, _ = self._transfer(command)
            if sock is None:
                return b""
            try:
                found = receive(self.wire, sock, most)
            finally:
                self.wire.drop(sock)
            self.wire.hear()
            return found

    def _transfer(self, command: str, start: int = 0) -> tuple[socket.socket | None, Reply]:
        try:
            sock, said = self.wire.open_data(command, start)
            if sock is None and start:
                self.wire.ask("REST 0")  # or it may hold for the next transfer, which is another file's
            return sock, said
        except (OSError, EOFError) as exc:
            # It may have refused TLS or the session on the data connection: then it says so.
            if isinstance(exc, ssl.SSLError | ConnectionError):
                with contextlib.suppress(OSError, EOFError, NotFTP, ftplib.Error):
                    raise TransportLost(f"the data connection failed: {why(exc, 0)}. The server said: {self.wire.hear()}") from exc
            raise
        finally:
            self.known.epsv = self.wire.epsv

    # --- what the server shows

    def look(self, path: str) -> RemoteStat | None:
        """Size and time of a file; None where there is none. CannotTell where the server tells no size."""
        size = self.size(path)
        return None if size is None else RemoteStat(size, self.time(path))

    def size(self, path: str, stored: bool = False) -> int | None:
        """A file's size by SIZE, MLST (RFC 3659) or LIST; None where there is no such file. ``stored``: there is one.

        A question that this server never answered well for any name is no evidence: one that refuses SIZE says 550, too.
        """
        known, gone = self.known, False
        if known.size:
            said = self.ask(f"SIZE {path}")
            if (size := size_in(said)) is not None:
                known.size_shown = True
                return size
            known.size, gone = not said.unknown, known.size_shown and not said.unknown
            if stored and not known.size_shown:
                known.size_refused += 1
                known.size = known.size and known.size_refused < _REFUSED_SIZES
        if has(known.found, "MLST", "size"):
            said = self.ask(f"MLST {path}")
            facts = facts_in(said)
            if (size := number_in(facts.get("size", ""))) is not None and facts.get("type", "file").lower() == "file":
                known.mlst_shown = True
                return size
            gone = gone or said.ok or (known.mlst_shown and not said.unknown)
        if gone and not stored:
            return None
        size = listed_size(self.list_one(path), path)
        if size is None:
            raise CannotTell
        return size

    def tells_size(self, path: str) -> bool:
        """Whether the server answers SIZE for this name: then something stands there; else nothing may."""
        if not self.known.size:
            return False
        said = self.ask(f"SIZE {path}")
        self.known.size = not said.unknown
        self.known.size_shown = self.known.size_shown or size_in(said) is not None
        return size_in(said) is not None

    def time(self, path: str) -> int | None:
        """A file's time by MDTM or MLST, in whole seconds; None where the server does not tell."""
        if self.known.mdtm:
            said = self.ask(f"MDTM {path}")
            if said.code == 213:
                return time_in(said.lines[0][3:])
            self.known.mdtm = not said.unknown
        if has(self.known.found, "MLST", "modify"):
            return time_in(facts_in(self.ask(f"MLST {path}")).get("modify", ""))
        return None

    def set_time(self, path: str, mtime_ns: int) -> None:
        """Give a file its source's time where the server can (draft-somers-ftp-mfxx MFMT, or MDTM with a time)."""
        secs, known = mtime_ns // 1_000_000_000, self.known
        if known.setter and 0 <= secs < _LAST_STAMP:
            stamp = time.strftime("%Y%m%d%H%M%S", time.gmtime(secs))
            said = self.ask(f"{known.setter} {stamp} {path}")
            if not said.ok:
                self.no_setter()

    def no_setter(self) -> None:
        """The server does not set times after all."""
        self.known.refused_setters.add(self.known.setter)
        self.known.setter, self.known.keeps_mtime = "", False

    def make_folders(self, folder: str) -> Reply | None:
        """MKD a folder and what is missing above it; the last answer, which is bad, too, where it stood there already."""
        said: Reply | None = None
        missing: list[str] = []
        while folder not in ("", "/", "."):
            said = self.ask(f"MKD {folder}")
            if said.ok:
                break
            missing.append(folder)
            folder = parent_of(folder)
        # The highest one was answered just now.
        if said is not None and not said.ok:
            missing.pop()
        for folder in reversed(missing):
            said = self.ask(f"MKD {folder}")
        return said

    def learn_telnet(self, path: str, temp: str) -> None:
        """Whether the server takes bytes of a name for a Telnet command (RFC 959 3.3: ProFTPD does, vsftpd and pure-ftpd do not).
        It shows that on a name of ours, which is gone afterwards, when ``path`` is the first that has such bytes."""
        if self.known.telnet is None and _TELNET.search(path.encode("utf-8", "surrogateescape")):
            plain = f"{temp}.255"
            with tempfile.TemporaryFile(buffering=0) as file:
                said = self.store(plain + _TELNET_NOP, Source(file.fileno(), 0), 0, Tally.silent())
            if said.ok:
                self.known.telnet = self.delete(plain).ok
                if not self.known.telnet:
                    self.delete(plain + _TELNET_NOP)
        self.wire.escapes = bool(self.known.telnet)

    def rename(self, old: str, new: str) -> Reply:
        """RNFR and RNTO: the answer that counts."""
        said = self.ask(f"RNFR {old}")
        return self.ask(f"RNTO {new}") if said.code == 350 else said

    def delete(self, path: str) -> Reply:
        return self.ask(f"DELE {path}")

    def is_gone(self, path: str) -> bool:
        """Whether no file stands there; False where the server cannot tell."""
        try:
            return self.size(path) is None
        except CannotTell:
            return False

    def is_there(self, path: str) -> bool:
        """Whether a file stands there; False where the server cannot tell."""
        try:
            return self.size(path) is not None
        except CannotTell:
            return False

    @contextlib.contextmanager
    def edge(self, limit: float | None = None) -> Iterator[None]:
        """Turn what the libraries raise into ours."""
        try:
            yield
        except (TransportError, SourceError, CannotRestart):
            raise
        except (OSError, EOFError, NotFTP, ftplib.Error, ValueError) as exc:
            # ValueError: a socket that was closed under us, a host name that cannot be one.
            self.wire.ended = isinstance(exc, EOFError | ConnectionError)
            remedy = exc.remedy if isinstance(exc, NotFTP) else ""
            raise TransportLost(why(exc, self._login.stall_secs if limit is None else limit), remedy) from exc
