"""The contract of a transport: one protocol, translated, nothing else.

A transport connects, publishes one whole file under its name, and reports what the server has. A transport does not
sleep, retry, queue or log, and does not know why a file is sent. Every error of the library or the server is translated
into one of :mod:`pysubtask.common.errors` at the transport's edge (``raise ... from exc``):

* ``TransportLost``: the connection is unusable and is to be closed: it ended, the server was silent, or a reply belongs to no
  request. A reply about one file never has this effect. The subclass ``ServerBusy`` says that the server asks for a pause and
  that the connection is still good;
* ``AttemptFailed``: this attempt at this file has failed; the connection stays good, and the caller tries the file again;
* ``NotAsLeft``: a job with ``append`` or ``copies`` found another file than the one it builds upon; the caller sends all of it;
* ``FileRefused``: the server refuses this file; the connection stays good for other files;
* ``LoginRefused``: the server refuses the account, or the host key is not trusted.

Everything runs on one asyncio event loop. ``upload`` and ``stat`` may be awaited many at a time, up
to ``traits.concurrency``. Every await ends within a time limit taken from the settings.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

if TYPE_CHECKING:
    from .shared.pace import Pace
    from .shared.profile import Profile


def _nothing() -> None:
    return None


def _unheard(note: str) -> None:
    return None


def _nobodys(name: str) -> bool:
    return False


class RemoteStat(NamedTuple):
    """What the server shows under a name: ``size`` in bytes, ``mtime`` in whole seconds since the
    epoch (None where the server does not tell). ``rev`` changes with every change of the file, ``hash`` is the
    server's own of the content, as ``Transport.hash_of`` computes it; both are empty where the server has no such thing."""

    size: int
    mtime: int | None
    rev: str = ""
    hash: str = ""


class Append(NamedTuple):
    """The server's file holds the first ``at`` bytes of the source. Where an earlier append was cut, the file may hold more of
    them, at most ``until``; otherwise both numbers are equal."""

    at: int
    until: int


class Copy(NamedTuple):
    """``size`` bytes at ``at`` of the new file are those at ``origin`` of the one that the server has."""

    at: int
    size: int
    origin: int


class Job(NamedTuple):
    """One file to put on the server.

    ``source``: path of the bytes; exactly the first ``size`` bytes of the version are sent. ``base``: number of bytes that the
    source lacks at its beginning; then only an ``append`` or ``copies`` that need none of these bytes can be done.
    ``mtime_ns``: modification time the remote file shall carry, as far as the server can; None leaves it the time by
    the server's own clock.
    ``name``: remote name below the destination's folder, ``/`` between its parts, never absolute.
    ``temp``: remote name in the same folder, used by this attempt alone and on record before the
    upload starts.
    ``stale``: temp names of earlier attempts at this name; these files are removed before any file is renamed to the name,
    so that a request still waiting in a stalled server cannot put an old version over this one.
    ``confirm``: called once, after the server has confirmed every byte and before the name shows
    them; what it raises stops the publication and comes out of ``upload``.
    ``replaces``: the stat that the last delivery left under the name, None where there was no delivery.
    ``resume``: the note of the last attempt at the same bytes, empty where there was none. ``note`` is called with such a
    text whenever the server has more bytes to resume from; the caller keeps the text over restarts and does not interpret it.
    Where ``resume`` is set, ``temp`` is the name that attempt had.
    ``append``: send only what the server's file lacks, in place, so that a reader sees a true prefix at any moment;
    ``confirm`` is asked before the first byte goes. ``whole_records``: such a prefix shall never end within a line, but
    where the source does; None asks for it only where it costs nothing.
    ``copies``: let the server take these parts of the new file from the one it has, in order of ``at``; the name changes as
    for any upload.
    ``append`` and ``copies`` need the trait of the same purpose and a file that still matches ``replaces``; otherwise NotAsLeft is
    raised. Only an append that was cut may continue on a file with another time, if the bytes before its end are the source's.
    ``sha256``: of the first ``size`` bytes, hexadecimal; empty where it is not known.
    ``snapshot``: ``source`` is a copy that pysubtask has made; a file of another owner or a link in its place is refused.
    ``opener``: opens the source for reading, where its path alone is not to be trusted; the caller closes the descriptor. Raises
    OSError, SourceError.
    ``prefix``: a number of bytes and the hashlib.sha256 object that has hashed that many bytes from the beginning; not below
    ``base``, and not above the offset where an ``append`` begins.
    ``ours``: whether another file is sent to this remote name. ``harmed``: called with such a name where the server has put this
    job's file in the place of that one.
    """

    source: str
    size: int
    mtime_ns: int | None
    name: str
    temp: str
    stale: tuple[str, ...] = ()
    confirm: Callable[[], None] = _nothing
    replaces: RemoteStat | None = None
    resume: str = ""
    note: Callable[[str], None] = _unheard
    append: Append | None = None
    whole_records: bool | None = False
    copies: tuple[Copy, ...] = ()
    base: int = 0
    sha256: str = ""
    snapshot: bool = False
    prefix: tuple[int, Any] | None = None
    opener: Callable[[], int] | None = None
    ours: Callable[[str], bool] = _nobodys
    harmed: Callable[[str], None] = _unheard


VERIFIED = ("hash", "size", "reply", "taken")
"""How an upload was checked, for its receipt. 'hash': the server's hash of the file was right; 'size': its size was right; 'reply':
the server acknowledged the file and reports neither; 'taken': the size or hash was right under the temporary name, the server
acknowledged the rename, and a moment later there was no file under the final name, as where a program takes finished files away.
Each of the four is a delivery."""


class Link(NamedTuple):
    """The name on the server is, or was, a symbolic link. ``done``: 'followed' (the link stays, and the file it points to was
    written) or 'replaced' (a regular file is in its place now). ``target``: where the link points, empty where the server does not
    report that. ``why``: the reason for the replacement where ``RemoteLinks`` is 'follow', else empty."""

    done: str
    target: str = ""
    why: str = ""


class Sent(NamedTuple):
    """A finished upload. ``remote`` is what the server now shows under the name, ``bytes_sent`` the
    file bytes handed to the connection, ``verified`` how the result was checked (:data:`VERIFIED`); for 'taken',
    ``remote`` has the size that was sent and no time. ``link``: what was done with a link under the name, None without one."""

    remote: RemoteStat
    bytes_sent: int
    verified: str = "size"
    link: Link | None = None


class Wire(NamedTuple):
    """Bytes that went over the link in both directions, for any purpose: ``sent`` and ``received`` as the protocols above TCP
    count them, ``again`` the bytes of ``sent`` that had to be retransmitted, ``headers`` the bytes of IP and TCP headers."""

    sent: int
    received: int
    again: int = 0
    headers: int = 0

    @property
    def total(self) -> int:
        """What a metered link counts, as closely as this machine can know; see :mod:`pysubtask.transports.shared.meter`."""
        return sum(self)


class Traits(NamedTuple):
    """What the server at the other end can do; true only after ``connect``.

    ``atomic_replace``: a rename replaces the old file in one step; without it a reader may for a
    moment see no file. ``keeps_mtime``: the remote file carries the source's time.
    ``concurrency``: how many uploads may be in flight at once. ``appends``: takes jobs with ``append``; ``copies``: with
    ``copies``.
    """

    atomic_replace: bool
    keeps_mtime: bool
    concurrency: int
    appends: bool = False
    copies: bool = False


Progress = Callable[[int], None]
"""Called with the number of bytes of this file that the server has acknowledged so far."""


class Transport(ABC):
    """One destination. Constructing it opens nothing; ``settings`` are the resolved values of the
    extension's section, ``workdir`` is a private folder that outlives the process."""

    name: ClassVar[str]
    label: ClassVar[str] = "S/FTP"
    """What the log calls it."""
    case_sensitive: ClassVar[bool] = True
    """Whether two names that differ in upper and lower case alone are two files."""
    big_at_once: ClassVar[int] = 8
    """How many big files may be in flight at once. More of them would share one link, so each would arrive later and all at the
    end."""
    traits: Traits
    pace: Pace | None = None
    """The token bucket that all uploads share for ``RateLimit``; its rate may be set at any time. None in a transport without a
    limit."""
    profile: Profile | None = None
    """What the server has been found to support; the profile outlives the connection. A caller that keeps it (``Profile.to_json``)
    loads it before the first connect. None in a transport that learns nothing."""

    @abstractmethod
    def __init__(self, settings: Mapping[str, Any], workdir: str) -> None: ...

    @classmethod
    @abstractmethod
    def identity(cls, settings: Mapping[str, Any]) -> str:
        """The identity of this destination, as a URL without secrets: protocol, user, host, port, folder."""

    @staticmethod
    def hash_of(path: str, size: int) -> str:
        """The server's kind of hash of the first ``size`` bytes of a local file, to compare with ``RemoteStat.hash``;
        empty for a server without. Blocks while it reads. SourceError where the file cannot be read."""
        return ""

    def wire(self) -> Wire | None:
        """The bytes of all connections of this object, past and present, with failed logins and attempts; the sum never decreases.
        None where the sum is not known, as with a transport that has no link of its own. Cheap; never waits."""
        return None

    @abstractmethod
    async def connect(self) -> None:
        """Open the connection, log in, learn the traits. A failed connect leaves nothing open."""

    @abstractmethod
    async def close(self) -> None:
        """Drop the connection. Never raises, may be called twice; awaits in progress end in
        ``TransportLost``. A closed transport may be connected again."""

    @abstractmethod
    async def upload(self, job: Job, progress: Progress) -> Sent:
        """Put the file under ``job.name``, whole or not at all, making missing folders.

        Repeatable: after any failure the same file may be uploaded again under another temp name.
        A temp file of a refused upload is removed; one of a lost upload may stay behind.
        SourceError where the source is not there, cannot be read or is shorter than ``job.size``.
        """

    async def verify(self, job: Job) -> str:
        """Compare the file under ``job.name``, whose size is known to be right, with the source: 'hash' where the server's hash is
        that of the source, 'size' where the server offers no hash or the settings ask for none, '' where it is another file.

        FileRefused where the comparison is not possible, SourceError where the source cannot be read."""
        return "size"

    @abstractmethod
    async def stat(self, name: str) -> RemoteStat | None:
        """Size and time of the file under a remote name, or None where there is none."""

    @abstractmethod
    async def remove(self, names: Iterable[str]) -> set[str]:
        """Remove temp files; returns the names whose files existed and are removed now. A missing file is no error."""
