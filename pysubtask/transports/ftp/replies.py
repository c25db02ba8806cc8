"""What a server's replies say: pure. RFC 959 section 4.2 (codes), RFC 2389 (FEAT), RFC 3659 (SIZE, MDTM, MLST)."""

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

LONGEST_ROW = 8192
_STAMP = re.compile(r"(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(?:\.\d+)?\Z", re.ASCII)
_UNIX_LINE = re.compile(r"-[rwxsStT-]{9}\S*\s+(?:\d+\s+)?\S+\s+(?:\S+\s+)?(\d+)\s+[A-Z][a-z]{2}\s+\d+\s+[\d:]+\s", re.ASCII)
_UNIX_OTHER = re.compile(
    r"[a-z][rwxsStT-]{9}\S*\s+(?:\d+\s+)?\S+\s+(?:\S+\s+)?\d+(?:,\s*\d+)?\s+[A-Z][a-z]{2}\s+\d+\s+"
    r"[\d:]+\s",
    re.ASCII,
)
_DOS_FOLDER = re.compile(r"\d\d-\d\d-\d\d(?:\d\d)?\s+\d\d:\d\d(?:[AP]M)?\s+<[A-Z]+>\s+", re.ASCII)
_DOS_LINE = re.compile(r"\d\d-\d\d-\d\d(?:\d\d)?\s+\d\d:\d\d(?:[AP]M)?\s+(\d+)\s", re.ASCII)

# Some servers say a full disk with a code for a broken connection; then only the words tell the two apart.
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
_DATA_CODES = (425, 426, 431, 533, 534, 535, 536, 537)
_TLS = re.compile(r"\b(?:TLS|SSL)\b|session re-?us|resum|operation not permitted", re.IGNORECASE)
_BLAMES_LOGIN = re.compile(r"fail|incorrect|invalid|attempt|wrong|denied", re.IGNORECASE)
_UNKNOWN = (500, 502, 504)
_LOST = (421, 530)
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
    """What came is no reply; its argument says what it may be."""

    @property
    def remedy(self) -> str:
        """What a person can do about it."""
        return _REMEDIES.get(str(self), "Set ftp.HostPort to the FTP server's")


class Standstill(TimeoutError):
    """A time limit that is over for a reason that can be seen: its argument."""


class CannotRestart(Exception):
    """This server begins no transfer in the middle of a file; its argument is what it said."""


class Reply(NamedTuple):
    """A whole reply: its code and its lines, as they came."""

    code: int
    lines: tuple[str, ...]

    @property
    def ok(self) -> bool:
        return 200 <= self.code < 300

    @property
    def unknown(self) -> bool:
        """Whether the server does not know the command, whatever its argument."""
        return self.code in _UNKNOWN

    def __str__(self) -> str:
        words = remote_text(" ".join(self.lines))
        if len(self.lines) > 1 and len(" ".join(self.lines)) > LONGEST:  # the reason stands in the last line, below a banner
            last = remote_text(self.lines[-1])
            words = f"{remote_text(' '.join(self.lines[:-1]))[: max(0, LONGEST - len(last) - 5)]} ... {last}".lstrip(" .")
        return repr(words)


def features(reply: Reply) -> dict[str, str]:
    """RFC 2389 3.2: the lines between the first and the last, each a name and what belongs to it."""
    commands = {}
    for line in reply.lines[1:-1] if reply.code == 211 else ():
        name, _, more = line.strip().partition(" ")
        commands[name.upper()] = more.strip()
    return commands


def number_in(words: str) -> int | None:
    """A number of bytes, below 2**63 as the largest file is; None for anything else."""
    if not re.fullmatch(r"[0-9]{1,19}", words):
        return None
    number = int(words)
    return number if number < 1 << 63 else None


def size_in(reply: Reply) -> int | None:
    """RFC 3659 4: the number of a 213 reply."""
    return number_in(reply.lines[0][3:].strip()) if reply.code == 213 else None


def time_in(words: str) -> int | None:
    """RFC 3659 2.3: YYYYMMDDHHMMSS and perhaps a fraction, always UTC, as whole seconds since the epoch."""
    match = _STAMP.match(words.strip())
    if match is None:
        return None
    year, month, day, hour, minute, second = map(int, match.groups())
    if not (year and 1 <= month <= 12 and 1 <= day <= 31 and hour < 24 and minute < 60 and second <= 60):
        return None
    return calendar.timegm((year, month, day, hour, minute, second))


def facts_in(reply: Reply) -> dict[str, str]:
    """RFC 3659 7.2: the facts of an MLST reply, names in lower case."""
    facts = {}
    for line in reply.lines[1:-1] if reply.ok else ():
        head, space, _ = line.lstrip(" ").partition(" ")
        if space and "=" in head:
            for fact in head.split(";"):
                name, _, value = fact.partition("=")
                facts[name.lower()] = value
    return facts


class Row(NamedTuple):
    """One line of a listing. ``size`` is that of a file, None for anything else; ``link``: where a symbolic link points, empty
    where the listing shows that it is one and not where to, None for what is no link."""

    name: str
    size: int | None
    link: str | None = None


def rows_in(lines: Iterable[str]) -> list[Row]:
    """What a LIST shows, Unix's or DOS's way; lines of any other kind are left out."""
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
    """What an MLSD shows (RFC 3659 7.2); the folder itself and the one above it are left out."""
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
    """Where a fact ``type=OS.unix=slink:/target`` points."""
    if not kind.startswith(("os.unix=slink", "os.unix=symlink")):
        return None
    fact = next(fact for fact in head.split(";") if fact.lower().startswith("type="))
    return fact.partition(":")[2]


def listed(lines: Iterable[str], path: str) -> Row | None:
    """The one line of a LIST of one file; None where it is not just that, as where a server took the name for a pattern."""
    rows = rows_in(lines)
    name = path.rpartition("/")[2]
    return rows[0]._replace(name=name) if len(rows) == 1 and rows[0].name in (path, name, f"./{name}") else None


def listed_size(lines: Iterable[str], path: str) -> int | None:
    """The size in a LIST of one file; None where it is not just that."""
    row = listed(lines, path)
    return None if row is None else row.size


def refusal(step: str, name: str, reply: Reply, more: str = "") -> TransportError:
    """What a bad reply to a command about a file means: the connection is only at an end where the reply belongs to no such
    command, or the login is over. ``step`` is store, rename, clear or aside."""
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
    server_text = remote_text(" ".join(reply.lines))
    if kind is not TransportLost and names_limit(server_text):
        crowded = AttemptFailed(words, step=_STEPS[step], file=name, server_text=server_text)
        crowded.limit = True
        return crowded
    return kind(words, step=_STEPS[step], file=name, server_text=server_text)


def about_tls(reply: Reply) -> bool:
    """Whether a bad reply to a transfer is about its TLS session and not about the file."""
    return reply.code == 522 or (reply.code in _DATA_CODES and _TLS.search(" ".join(reply.lines)) is not None)


def no_room(words: str) -> bool:
    """Whether a server's words say that there is no room."""
    return _FULL.search(words) is not None


def cannot_hold(reply: Reply) -> bool:
    """Whether a bad reply says that there is no room for the file."""
    return reply.code in (452, 552) or _FULL.search(" ".join(reply.lines)) is not None


def greeting_error(reply: Reply) -> TransportError:
    """A greeting that is not 220."""
    if reply.code in (331, 332, 230):
        return TransportLost(f"the server greets out of turn: {reply}")
    return TransportLost(f"the server takes no connection now: {reply}")


def login_error(reply: Reply, has_tls: bool) -> TransportError:
    """A bad reply to USER, PASS or ACCT. RFC 959 5.4, RFC 2228 (533-537), RFC 4217."""
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
    """What speaks at a port that does not answer as FTP: words for an error. ``NotFTP.remedy`` goes with it."""
    if data.startswith(b"SSH-"):
        return _SPEAKS_SSH
    if data[:1] in (b"\x15", b"\x16") and data[1:2] == b"\x03":
        return _SPEAKS_TLS
    if data.startswith((b"HTTP/", b"<")):
        return _SPEAKS_HTTP
    excerpt = remote_text(data[:80].decode("utf-8", "replace"))
    return f"what answers at this port does not speak FTP: {excerpt!r}"


def has(offered: Mapping[str, str], name: str, fact: str = "") -> bool:
    """Whether FEAT lists a command (and, for MLST, a fact of it)."""
    return name in offered and (not fact or fact in offered[name].lower().replace("*", "").split(";"))


def error_text(exc: BaseException, secs: float) -> str:
    """An error of a socket in plain words."""
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
