"""One logged-in connection: the commands that the transport needs. Blocking, for one thread at a time.

Every exception raised here is one of the package's own.
"""

from __future__ import annotations

import re
import ssl
import tempfile
import time

from ...common.errors import LoginRefused, TransportLost
from ..base import RemoteStat
from ..shared.means import TIME
from ..shared.reach import no_answer, of_socket, place, unanswered
from .data import Source, Tally
from .options import EXPLICIT, IMPLICIT
from .replies import (
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
    time_in,
)
from .server_features import CannotTell
from .transfers import SLOW_BYTES, Transfers

_REFUSED_SIZES = 3  # refusals for existing files, after which SIZE is not asked any more
_TELNET = re.compile(rb"\xff[\xf0-\xff]")
_TELNET_TRIALS = tuple(
    (sent.decode("utf-8", "surrogateescape"), read.decode("utf-8", "surrogateescape"))
    for sent, read in ((b"\xff\xf1", b""), (b"\xff\xffx", b"\xffx"))
)
"""Ends of a name as sent, and as a server reads them that knows Telnet: NOP, which disappears (ProFTPD 1.3.8 leaves it in place),
and the byte 255, which is sent twice."""
_LONGEST_FOLDER = 256 * 1024  # bytes of a folder's listing, as many as ``altered_names`` judges
_LAST_STAMP = 253402300800  # the year 10000, which YYYYMMDDHHMMSS cannot express


class Session(Transfers):
    """``open`` it in a thread. Any thread may cut its ``control``."""

    # --- login

    def open(self, context: ssl.SSLContext | None) -> None:
        """Connect, begin TLS, log in, and learn the server's features (FEAT). Raises TransportLost, LoginRefused."""
        control, login = self.control, self._login
        if context is not None and self.known.older_tls():
            context.maximum_version = ssl.TLSVersion.TLSv1_2
        control.until = time.monotonic() + login.connect_secs
        with self.translated_errors(login.connect_secs):
            greeted = False
            try:
                reply = control.open(context)
                greeted = True
                if reply.code != 220:
                    raise greeting_error(reply)
                if login.tls == EXPLICIT:
                    self._secure()
                self._log_in()
                if login.tls:
                    self._protect()
                self.known.learn(features(control.ask("FEAT")))
                if has(self.known.features, "UTF8"):
                    control.ask("OPTS UTF8 ON")  # names are sent in UTF-8 whatever the reply (RFC 2640)
                reply = control.ask("TYPE I")
                if not reply.ok:
                    raise TransportLost(f"the server takes no binary files: {reply}")
            except TimeoutError as exc:
                hint = (
                    "; port 990 most often speaks TLS from the start (UseTLS = 'implicit')"
                    if (login.port == 990 and login.tls != IMPLICIT)
                    else ""
                )
                where = place(login.host, login.port)
                if control.sock is None:
                    raise no_answer(where, login.connect_secs) from exc
                silent = TransportLost(
                    f"no login within {login.connect_secs:g} s at {where}{hint}",
                    "Is HostPort that of the FTP server, and does no firewall stand in between?",
                )
                raise silent if greeted else unanswered(silent) from exc
            except OSError as exc:
                failed = of_socket(exc, login.host, login.port, login.connect_secs)
                if failed is None:
                    raise
                raise failed from exc
        control.until = None

    def _secure(self) -> None:
        """AUTH TLS (RFC 4217 section 4). The login never goes on without TLS."""
        reply = self.control.ask("AUTH TLS")
        if reply.code != 234:
            if 400 <= reply.code < 500:
                raise TransportLost(f"the server cannot do TLS now: {reply}")
            raise LoginRefused(
                f"the server offers no TLS. It said: {reply}",
                "Have it switched on there, or set ftp.UseTLS to None if password and data may travel in the clear",
            )
        self.control.secure()

    def _log_in(self) -> None:
        control, login = self.control, self._login
        reply = control.ask(f"USER {login.user or 'anonymous'}")
        if reply.code == 331:
            reply = control.ask(f"PASS {login.password if login.user else login.password or 'anonymous@'}")
        if not reply.ok:
            raise login_error(reply, bool(login.tls))

    def _protect(self) -> None:
        """PBSZ and PROT (RFC 4217 sections 8 and 9): data connections use TLS as well."""
        self.control.ask("PBSZ 0")
        reply = self.control.ask("PROT P")
        # With implicit TLS some servers know no PROT and protect every data connection; this client sends no data without TLS.
        if not reply.ok and not (self._login.tls == IMPLICIT and reply.code in (500, 502, 503, 504)):
            raise LoginRefused(
                f"the server would take the data in the clear only. It said: {reply}",
                "Have protected data connections switched on there",
            )

    def rows(self, folder: str) -> list[Row] | None:
        """The rows of a folder ('' is the login's own). None where the server refuses to list the folder, sends a format that
        cannot be read, or sends more than 256 KiB. Hidden names may be missing."""
        by_machine = "MLST" in self.known.features
        if not by_machine and any(sign in folder for sign in "*?[{"):
            return None  # servers take such a name for a pattern in LIST
        command = f"{'MLSD' if by_machine else 'LIST'} {folder}".rstrip() if folder.strip() else ("MLSD" if by_machine else "LIST")
        data = self.whole_listing(command, _LONGEST_FOLDER)
        if data is None:
            return None
        lines = [line for line in data.decode("utf-8", "surrogateescape").split("\n") if line.strip()]
        rows = machine_rows(lines) if by_machine else rows_in(lines)
        return rows if rows or all(line.startswith("total ") for line in lines) or by_machine else None

    def row(self, path: str) -> Row | None:
        """The row of one file in the reply to STAT (RFC 959 section 4.1.3); None where there is none or the server refuses
        STAT."""
        if not self.known.stat:
            return None
        reply = self.ask(f"STAT {path}")
        self.known.stat = not reply.unknown
        if not reply.ok or len(reply.lines) < 3:
            return None
        # RFC 959 4.2: each line in the middle begins with a space, which some servers leave out.
        return listed((line.removeprefix(" ") for line in reply.lines[1:-1]), path)

    def patience_for(self, size: int) -> float:
        """How many seconds the server may take to write ``size`` bytes that it has acknowledged."""
        return self._login.stall_secs + size / SLOW_BYTES

    def pause(self, secs: float) -> None:
        """Wait ``secs`` seconds, unless the connection was given up meanwhile."""
        with self.translated_errors():
            self.control.check_open()
            time.sleep(secs)

    # --- what the server shows

    def stat(self, path: str) -> RemoteStat | None:
        """Size and time of a file; None where there is no file. CannotTell where the server tells no size."""
        size = self.size(path)
        return None if size is None else RemoteStat(size, self.time(path))

    def size(self, path: str, stored: bool = False) -> int | None:
        """The size in bytes of a file by SIZE, MLST (RFC 3659) or LIST; None where there is no such file. ``stored``: the file
        is known to exist. Raises CannotTell where the server answers none of these commands.

        A refusal counts as "no such file" only from a server that has answered the command before: a server without SIZE may
        reply 550, too.
        """
        known, gone = self.known, False
        if known.size:
            reply = self.ask(f"SIZE {path}")
            if (size := size_in(reply)) is not None:
                known.size_answered = True
                return size
            known.size, gone = not reply.unknown, known.size_answered and not reply.unknown
            if stored and not known.size_answered:
                known.size_refused += 1
                known.size = known.size and known.size_refused < _REFUSED_SIZES
        if has(known.features, "MLST", "size"):
            reply = self.ask(f"MLST {path}")
            facts = facts_in(reply)
            if (size := number_in(facts.get("size", ""))) is not None and facts.get("type", "file").lower() == "file":
                known.mlst_answered = True
                return size
            gone = gone or reply.ok or (known.mlst_answered and not reply.unknown)
        if gone and not stored:
            return None
        size = listed_size(self.list_one(path), path)
        if size is None:
            raise CannotTell
        return size

    def tells_size(self, path: str) -> bool:
        """Whether the server answers SIZE for this name. True means that a file exists; False does not mean that there is none."""
        if not self.known.size:
            return False
        reply = self.ask(f"SIZE {path}")
        self.known.size = not reply.unknown
        self.known.size_answered = self.known.size_answered or size_in(reply) is not None
        return size_in(reply) is not None

    def time(self, path: str) -> int | None:
        """The modification time of a file by MDTM or MLST (RFC 3659), in whole seconds since the epoch; None where the server
        does not tell."""
        if self.known.mdtm:
            reply = self.ask(f"MDTM {path}")
            if reply.code == 213:
                return time_in(reply.lines[0][3:])
            self.known.mdtm = not reply.unknown
        if has(self.known.features, "MLST", "modify"):
            return time_in(facts_in(self.ask(f"MLST {path}")).get("modify", ""))
        return None

    def set_time(self, path: str, mtime_ns: int) -> Reply | None:
        """Set a file's modification time where the server can (MFMT of draft-somers-ftp-mfxx, or MDTM with a time); the reply,
        or None where nothing was asked."""
        secs, known = mtime_ns // 1_000_000_000, self.known
        if known.setter and 0 <= secs < _LAST_STAMP:
            stamp = time.strftime("%Y%m%d%H%M%S", time.gmtime(secs))
            return self.ask(f"{known.setter} {stamp} {path}")
        return None

    def no_time(self, reply: Reply) -> None:
        """Record that the server refuses to set times, with its reply."""
        self.no_setter()
        self.known.profile.learn(TIME, "refused", reply.text, unknown=reply.unknown)

    def no_setter(self) -> None:
        """Record that the present command sets no times after all."""
        self.known.refused_setters.add(self.known.setter)
        self.known.setter, self.known.keeps_mtime = "", False

    def learn_telnet(self, path: str, temp: str) -> None:
        """Find out whether the server reads the byte 255 in a name as a Telnet command (RFC 959 section 3.3): ProFTPD does,
        vsftpd and pure-ftpd do not. Tried on a temporary name, removed afterwards, when ``path`` is the first name with such
        bytes."""
        if self.known.telnet is None and _TELNET.search(path.encode("utf-8", "surrogateescape")):
            for sent, read in _TELNET_TRIALS:
                with tempfile.TemporaryFile(buffering=0) as file:
                    reply = self.store(f"{temp}.255{sent}", Source(file.fileno(), 0), 0, Tally.silent())
                if not reply.ok:
                    return
                self.known.telnet = self.delete(f"{temp}.255{read}").ok
                if self.known.telnet:
                    return
                self.delete(f"{temp}.255{sent}")

    def rename(self, old: str, new: str) -> Reply:
        """RNFR and RNTO (RFC 959 section 4.1.3): the reply that decides."""
        reply = self.ask(f"RNFR {old}")
        return self.ask(f"RNTO {new}") if reply.code == 350 else reply

    def delete(self, path: str) -> Reply:
        """DELE (RFC 959 section 4.1.3): the server's reply."""
        return self.ask(f"DELE {path}")

    def is_gone(self, path: str) -> bool:
        """Whether there is no such file; False where the server cannot tell."""
        try:
            return self.size(path) is None
        except CannotTell:
            return False

    def is_there(self, path: str) -> bool:
        """Whether there is such a file; False where the server cannot tell."""
        try:
            return self.size(path) is not None
        except CannotTell:
            return False
