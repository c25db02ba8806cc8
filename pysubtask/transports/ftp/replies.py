"""How replies are read. Pure: no network. Codes: RFC 959 section 4.2; FEAT: RFC 2389; SIZE, MDTM, MLST and MLSD: RFC 3659."""

from __future__ import annotations

import calendar
import re
import ssl
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from ...common.errors import AttemptFailed, FileRefused, LoginRefused, TransportError, TransportLost
from ..shared.reach import PORTAL
from ..shared.remote_text import LONGEST, remote_text
from ..shared.server_limit import names_limit

LONGEST_ROW = 8192  # characters of a line of a listing: a name has 255 bytes, and the patterns are not to search more
_STAMP = re.compile(r"(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(?:\.\d+)?\Z", re.ASCII)
_UNIX_LINE = re.compile(r"-[rwxsStT-]{9}\S*\s+(?:\d+\s+)?\S+\s+(?:\S+\s+)?(\d+)\s+[A-Z][a-z]{2}\s+\d+\s+[\d:]+\s", re.ASCII)
_UNIX_OTHER = re.compile(
    r"[a-z][rwxsStT-]{9}\S*\s+(?:\d+\s+)?\S+\s+(?:\S+\s+)?\d+(?:,\s*\d+)?\s+[A-Z][a-z]{2}\s+\d+\s+"
    r"[\d:]+\s",
    re.ASCII,
)
_DOS_FOLDER = re.compile(r"\d\d-\d\d-\d\d(?:\d\d)?\s+\d\d:\d\d(?:[AP]M)?\s+<[A-Z]+>\s+", re.ASCII)
_DOS_LINE = re.compile(r"\d\d-\d\d-\d\d(?:\d\d)?\s+\d\d:\d\d(?:[AP]M)?\s+(\d+)\s", re.ASCII)

# Some servers report a full disk with the code of a broken connection; only the text tells the two apart.
_FULL = re.compile(
    r"no space|not enough (?:disk )?space|insufficient (?:disk |storage )?space|disk (?:is )?full|quota|"
    r"file too large|file size limit",
    re.IGNORECASE,
)
_CROWDED = re.compile(
    r"too many (?:users|connections|clients|sessions|logins)|(?:maximum|max\.?) (?:number|connections|"
    r"logins|users|clients|sessions)|(?:connection|session|user) limit|already logged in",
    re.IGNORECASE,
)
# Codes with which servers refuse a data connection: RFC 959 section 4.2, RFC 2228 section 8.
_DATA_CODES = (425, 426, 431, 533, 534, 535, 536, 537)
_TLS = re.compile(r"\b(?:TLS|SSL)\b|session re-?us|resum|operation not permitted", re.IGNORECASE)
_BLAMES_LOGIN = re.compile(r"fail|incorrect|invalid|attempt|wrong|denied", re.IGNORECASE)
_UNKNOWN = (500, 502, 504)  # the command, or its parameter, is not known or not implemented (RFC 959 section 4.2.1)
_LOST = (421, 530)  # the server closes the connection, or is not logged in any more: RFC 959 section 4.2.1
# The data connection is to be protected in another way (RFC 2228 section 8); 522 is vsftpd's.
_WANTS_TLS = (522, 533, 534, 535, 536, 537)

_SPEAKS_SSH = "this looks like an SSH server: this port speaks SSH"
_SPEAKS_TLS = "this port speaks TLS from the start"
_SPEAKS_HTTP = "this port speaks HTTP, not FTP"
_REMEDIES = {
    _SPEAKS_HTTP: f"Set ftp.HostPort to the FTP server's. {PORTAL}",
    _SPEAKS_SSH: "Set ftp.UseSFTP to True, or ftp.HostPort to the FTP server's",
    _SPEAKS_TLS: "Set ftp.UseTLS to 'implicit'",
}

_STEPS = {
    "store": "storing it",
    "temporary": "storing it under a temporary name",
    "rename": "renaming it into place",
    "clear": "removing an earlier temporary file",
    "aside": "putting the old file aside",
}


class NotFTP(Exception):
    """The bytes that came are no FTP reply; the exception's argument says what the peer may speak instead (see ``not_ftp``)."""

    @property
    def remedy(self) -> str:
        """What a person can do about the wrong protocol."""
        return _REMEDIES.get(str(self), "Set ftp.HostPort to the FTP server's")


class Standstill(TimeoutError):
    """A time limit is over and the cause is visible in the socket; the exception's argument is that cause."""


class CannotRestart(Exception):
    """The server begins no transfer in the middle of a file; the exception's argument is the server's reply."""


class Reply(NamedTuple):
    """A whole reply (RFC 959 section 4.2): its ``code`` and its ``lines`` as they came, each with the code in front."""

    code: int
    lines: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether the command was carried out (2yz)."""
        return 200 <= self.code < 300

    @property
    def unknown(self) -> bool:
        """Whether the server does not know the command, whatever its argument (500, 502, 504)."""
        return self.code in _UNKNOWN

    @property
    def text(self) -> str:
        """The whole reply on one line, fit for a log line."""
        return remote_text(" ".join(self.lines))

    def __str__(self) -> str:
        words = self.text
        if len(self.lines) > 1 and len(" ".join(self.lines)) > LONGEST:  # the reason is in the last line, below a banner
            last = remote_text(self.lines[-1])
            words = f"{remote_text(' '.join(self.lines[:-1]))[: max(0, LONGEST - len(last) - 5)]} ... {last}".lstrip(" .")
        return repr(words)


def features(reply: Reply) -> dict[str, str]:
    """The lines of a reply to FEAT (RFC 2389 section 3.2): command in upper case -> its parameters. Empty for any other reply."""
    commands = {}
    for line in reply.lines[1:-1] if reply.code == 211 else ():
        name, _, more = line.strip().partition(" ")
        commands[name.upper()] = more.strip()
    return commands


def number_in(words: str) -> int | None:
    """A number of bytes below 2**63, the limit of a file's size; None for any other text."""
    if not re.fullmatch(r"[0-9]{1,19}", words):
        return None
    number = int(words)
    return number if number < 1 << 63 else None


def size_in(reply: Reply) -> int | None:
    """The size in bytes in a reply to SIZE (RFC 3659 section 4); None for any other reply."""
    return number_in(reply.lines[0][3:].strip()) if reply.code == 213 else None


def time_in(words: str) -> int | None:
    """A time YYYYMMDDHHMMSS[.fraction] in UTC (RFC 3659 section 2.3) as whole seconds since the epoch; None for any other text."""
    match = _STAMP.match(words.strip())
    if match is None:
        return None
    year, month, day, hour, minute, second = map(int, match.groups())
    if not (year and 1 <= month <= 12 and 1 <= day <= 31 and hour < 24 and minute < 60 and second <= 60):
        return None
    return calendar.timegm((year, month, day, hour, minute, second))


def facts_in(reply: Reply) -> dict[str, str]:
    """The facts in a reply to MLST (RFC 3659 section 7.2), their names in lower case."""
    facts = {}
    for line in reply.lines[1:-1] if reply.ok else ():
        head, space, _ = line.lstrip(" ").partition(" ")
        if space and "=" in head:
            for fact in head.split(";"):
                name, _, value = fact.partition("=")
                facts[name.lower()] = value
    return facts


class Row(NamedTuple):
    """One line of a listing. ``name``: the last part of the path. ``size``: bytes of a regular file, None for anything else.
    ``link``: the target of a symbolic link, empty where the listing shows a link without its target, None for no link."""

    name: str
    size: int | None
    link: str | None = None


def rows_in(lines: Iterable[str]) -> list[Row]:
    """The rows of a reply to LIST in the format of Unix's ``ls -l`` or of DOS; lines in any other format are left out."""
    rows = []
    for line in (line.rstrip("\r\n") for line in lines):
        if len(line) > LONGEST_ROW:
            continue
        if file := _UNIX_LINE.match(line) or _DOS_LINE.match(line):
            rows.append(Row(line[file.end() :], number_in(file.group(1))))
        elif other := _UNIX_OTHER.match(line):
            name, arrow, target = line[other.end() :].partition(" -> ")
            rows.append(Row(name, None, target if line[0] == "l" and arrow else "" if line[0] == "l" else None))
        elif other := _DOS_FOLDER.match(line):
            rows.append(Row(line[other.end() :], None))
    return rows


def machine_rows(lines: Iterable[str]) -> list[Row]:
    """The rows of a reply to MLSD (RFC 3659 section 7.2) without the folder itself and its parent."""
    rows = []
    for line in (line.rstrip("\r\n") for line in lines):
        head, space, name = line.partition(" ")
        if not space or "=" not in head or len(line) > LONGEST_ROW:
            continue
        facts = dict(fact.partition("=")[::2] for fact in head.lower().split(";") if fact)
        kind = facts.get("type", "file")
        if kind in ("cdir", "pdir"):
            continue
        rows.append(Row(name, number_in(facts.get("size", "")) if kind == "file" else None, _link_of(head, kind)))
    return rows


def _link_of(head: str, kind: str) -> str | None:
    """The target of a symbolic link, from a fact ``type=OS.unix=slink:/target``; None for no link."""
    if not kind.startswith(("os.unix=slink", "os.unix=symlink")):
        return None
    fact = next(fact for fact in head.split(";") if fact.lower().startswith("type="))
    return fact.partition(":")[2]


def listed(lines: Iterable[str], path: str) -> Row | None:
    """The only row in a LIST of one file; None for any other listing, for example where the server took the name for a pattern."""
    rows = rows_in(lines)
    name = path.rpartition("/")[2]
    return rows[0]._replace(name=name) if len(rows) == 1 and rows[0].name in (path, name, f"./{name}") else None


def listed_size(lines: Iterable[str], path: str) -> int | None:
    """The size in bytes in a LIST of one file; None for any other listing."""
    row = listed(lines, path)
    return None if row is None else row.size


def refusal(step: str, name: str, reply: Reply, more: str = "") -> TransportError:
    """The error for a negative reply to a command about the file ``name``. ``step``: store, temporary, rename, clear or aside.

    The connection is lost only where the reply belongs to no such command or the login is over. A server that is full is the
    file's trouble, whatever the code.
    """
    words = f"{name}: {_STEPS[step]}: server said: {reply}" + (f" ({more})" if more else "")
    kind: type[TransportError] = FileRefused
    if _FULL.search(" ".join(reply.lines)):
        kind = FileRefused
    elif reply.code < 400:
        kind, words = TransportLost, f"{words} (not an answer to that)"
    elif reply.code in _LOST:
        kind = TransportLost
    elif reply.code in _WANTS_TLS or (reply.code < 500 and reply.code not in (450, 451, 452)):
        kind = AttemptFailed
    server_text = reply.text
    if kind is not TransportLost and names_limit(server_text):
        crowded = AttemptFailed(words, step=_STEPS[step], file=name, server_text=server_text)
        crowded.limit = True
        return crowded
    return kind(words, step=_STEPS[step], file=name, server_text=server_text)


def about_tls(reply: Reply) -> bool:
    """Whether a negative reply to a transfer is about the TLS session of the data connection and not about the file."""
    return reply.code == 522 or (reply.code in _DATA_CODES and _TLS.search(" ".join(reply.lines)) is not None)


def no_room(words: str) -> bool:
    """Whether the server's text says that the disk or the quota is full."""
    return _FULL.search(words) is not None


def cannot_hold(reply: Reply) -> bool:
    """Whether a negative reply says that there is no room for the file."""
    return reply.code in (452, 552) or _FULL.search(" ".join(reply.lines)) is not None


def greeting_error(reply: Reply) -> TransportError:
    """The error for a greeting other than 220 (RFC 959 section 5.4)."""
    if reply.code in (331, 332, 230):
        return TransportLost(f"the server greets out of turn: {reply}")
    return TransportLost(f"the server takes no connection now: {reply}")


def login_error(reply: Reply, has_tls: bool) -> TransportError:
    """The error for a negative reply to USER, PASS or ACCT (RFC 959 section 5.4, RFC 2228 for 533 to 537, RFC 4217)."""
    words = " ".join(reply.lines)
    if reply.code == 421 or (_CROWDED.search(words) and not _BLAMES_LOGIN.search(words)):
        return TransportLost(f"the server takes no more logins now: {reply}")
    if 400 <= reply.code < 500 and reply.code != 430:
        return TransportLost(f"the login failed for now: {reply}")
    if not has_tls and (reply.code in _WANTS_TLS or re.search(r"\b(?:TLS|SSL|encrypt\w*)\b", words)):
        return LoginRefused(f"the server wants TLS. It said: {reply}", "Set ftp.UseTLS to 'explicit'")
    if reply.code in (332, 532):
        return LoginRefused(f"the server wants an account besides user and password, which is not supported. It said: {reply}")
    return LoginRefused(
        f"the login was refused. It said: {reply}", "Check ftp.User and ftp.Password, and the account on the server"
    )


def not_ftp(data: bytes) -> str:
    """What a peer speaks that does not answer as FTP, in words for ``NotFTP``. ``data``: its first bytes."""
    if data.startswith(b"SSH-"):
        return _SPEAKS_SSH
    if data[:1] in (b"\x15", b"\x16") and data[1:2] == b"\x03":
        return _SPEAKS_TLS
    if data.startswith((b"HTTP/", b"<")):
        return _SPEAKS_HTTP
    excerpt = remote_text(data[:80].decode("utf-8", "replace"))
    return f"what answers at this port does not speak FTP: {excerpt!r}"


def has(offered: Mapping[str, str], name: str, fact: str = "") -> bool:
    """Whether the reply to FEAT lists a command and, for MLST, one of its facts. ``offered``: as ``features`` returns it."""
    return name in offered and (not fact or fact in offered[name].lower().replace("*", "").split(";"))


def error_text(exc: BaseException, secs: float) -> str:
    """A socket's or ftplib's error in plain words. ``secs``: the time limit that was in force."""
    if isinstance(exc, TimeoutError):
        return f"no answer for {secs:g} s" + (f": {exc}" if isinstance(exc, Standstill) else "")
    if isinstance(exc, EOFError | ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return "the server closed the connection"
    if isinstance(exc, NotFTP):
        return str(exc)
    if isinstance(exc, ssl.SSLError):
        return f"TLS failed: {exc.reason or exc}"
    if isinstance(exc, OSError):
        return exc.strerror or remote_text(str(exc)) or type(exc).__name__
    return remote_text(str(exc)) or type(exc).__name__
