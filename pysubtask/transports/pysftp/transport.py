"""PySFTPTransport: the contract of a transport, kept over pysftp."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, ClassVar, TypeVar

from ...common.advice import install
from ...common.errors import AttemptFailed, ConfigError, FileRefused, LoginRefused, SourceError, TransportError, TransportLost
from ..base import Job, Progress, RemoteStat, Sent, Traits, Transport, Wire
from ..shared.calls import Call
from ..shared.checksum import Checks
from ..shared.means import DELETE, SYNC, TEMP, TIME
from ..shared.meter import Meter
from ..shared.pace import Pace
from ..shared.profile import Profile
from ..shared.reach import of_socket
from ..shared.sent_hash import SentHash
from ..shared.server_limit import names_limit
from ..shared.sftp_names import folder_of, identity_of, parent_of, path_of
from ..shared.source import open_source
from ..shared.ssh_login import AnotherKey, another_key, login_of
from ..shared.temp_names import every
from .link import Link, Status
from .temps import Temps

_T = TypeVar("_T")

_SLOW_DISK = 1024 * 1024  # bytes/s: the slowest sync that is waited for
_LAST_SECOND = 0xFFFFFFFF  # SFTP 3 sends a time in 32 bits
_SSH_PORT = 22  # RFC 4253 section 4.1
_LEFT = b".left"
_MOST_HUNG = 32  # threads given up before connect refuses to add to them


class PySFTPTransport(Transport):
    """SFTP version 3 through pysftp 0.2.9 and paramiko, in threads.

    One file at a time: any thread that waits for a reply reads paramiko's client. ssh's configuration files are not read
    (``SSHConfigFile``, ``SSHProgram``), and ``KeepAliveCount`` means nothing to paramiko. A server without posix-rename is
    refused: the default client can replace files there. ``connect`` raises ConfigError where pysftp is missing.
    """

    name: ClassVar[str] = "pysftp"

    def __init__(self, settings: Mapping[str, Any], workdir: str) -> None:
        self._login = login_of(settings)
        self._password = settings.get("Password") or None
        self._folder = folder_of(settings)
        self._stall = float(settings.get("StallSecs", 60))
        self.pace = self._pace = Pace(float(settings.get("RateLimit", 0)))
        self._meter = Meter()
        self._checks = Checks(settings)
        self._syncs = bool(settings.get("ServerSync", True))
        self.profile: Profile = Profile(time.time)
        self._link: Link | None = None
        self._hung: list[threading.Thread] = []
        self.traits = Traits(atomic_replace=True, keeps_mtime=True, concurrency=1)

    @classmethod
    def identity(cls, settings: Mapping[str, Any]) -> str:
        """As ``sftp_names.identity_of``."""
        return identity_of(settings)

    def wire(self) -> Wire | None:
        """Bytes of all sockets so far, as the kernel counts them."""
        return self._meter.wire()

    async def connect(self) -> None:
        """Raises TransportLost, LoginRefused, and ConfigError where pysftp is missing. TransportLost, too, where too many
        earlier calls still hang."""
        await self.close()
        self._hung[:] = [thread for thread in self._hung if thread.is_alive()]
        if len(self._hung) >= _MOST_HUNG:
            raise TransportLost(f"{len(self._hung)} earlier calls still hang")
        link = self._link = Link()
        try:
            await self._apart(link, lambda call: self._reach(call, link), self._login.connect_secs)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Shut the socket down; the thread at work ends by itself."""
        link, self._link = self._link, None
        if link is not None:
            link.closed.set_result(None)
            link.cut()

    async def upload(self, job: Job, progress: Progress) -> Sent:
        """Write under the temporary name, set the time, sync, close, stat, rename. No upload resumes or appends."""
        link = self._open()
        target = path_of(self._folder, job.name)
        temps = Temps(self.profile, path_of(self._folder, job.temp), target)
        stale = [form for name in job.stale if name != job.temp for form in temps.forms(path_of(self._folder, name))]
        async with link.turn:
            stat = await self._apart(link, lambda call: self._send(call, link, job, temps, stale, progress))
            temp = temps.path
            try:
                job.confirm()
            except BaseException:
                # The temporary file is on record, so the exception of confirm is the one to raise.
                with contextlib.suppress(TransportError):
                    await self._apart(link, lambda call: _discard(link, temp))
                raise
            await self._apart(link, lambda call: _publish(call, link, job.name, temp, target))
            temps.published()
        return Sent(stat, job.size)

    async def stat(self, name: str) -> RemoteStat | None:
        """Size and time of a file; None where there is none."""
        link, path = self._open(), path_of(self._folder, name)
        async with link.turn:
            return await self._apart(link, lambda call: _stat(link, name, path))

    async def remove(self, names: Iterable[str]) -> set[str]:
        """Remove temporary files under every kind of name that an upload may have used."""
        link, paths = self._open(), {name: path_of(self._folder, name) for name in names}
        stepped = TEMP.name in self.profile.stepped

        def work(call: Call[set[str]]) -> set[str]:
            gone = set()
            for name, path in paths.items():
                for form in every(path, path) if stepped else [path]:
                    with contextlib.suppress(Status):  # the next upload of that name removes the file
                        link.connection.remove(form)
                        gone.add(name)
                    call.step()
            return gone

        async with link.turn:
            return await self._apart(link, work)

    def _open(self) -> Link:
        if self._link is None:
            raise TransportLost("not connected")
        return self._link

    async def _apart(self, link: Link, work: Callable[[Call[_T]], _T], limit: float | None = None) -> _T:
        """Call ``work`` in a thread. Any error but a file's own ends the connection, as nobody knows then which request is
        under way."""
        if link.is_cut:
            raise TransportLost("the connection is over")
        limit = limit or self._stall
        late = f"the server did not answer within {limit:g} s"

        def translated_work(call: Call[_T]) -> _T:
            return _translated(work, call)

        try:
            return await Call(translated_work, "pysftp-transport").outcome(link.closed, limit, late, self._hung)
        except (AttemptFailed, FileRefused, SourceError):
            raise
        except BaseException:
            link.cut()
            raise

    # --- in the thread

    def _reach(self, call: Call[None], link: Link) -> None:
        try:
            self._log_in(call, link)
        except OSError as exc:
            failed = of_socket(exc, self._login.host, self._login.port or _SSH_PORT, self._login.connect_secs)
            if failed is None:
                raise
            raise failed from exc

    def _log_in(self, call: Call[None], link: Link) -> None:
        """Connect; where the pinned host key is not the one offered, ask for the server's keys of other kinds."""
        try:
            from .connection import POSIX_RENAME, NothingInCommon, Options, ReconnectNeeded, open_connection
        except ImportError as exc:
            raise ConfigError(
                "ftp.SFTPLibrary",
                f"pysftp cannot be loaded ({exc})",
                f"Run: {install('pysftp')}, or leave it unset for the default client.",
            ) from exc
        call.step()  # loading pysftp may have taken seconds, which are not the server's
        options, offered_keys = Options(self._login, self._password, link, self._meter), list[str]()
        while True:
            try:
                opened = open_connection(options)
                break
            except AnotherKey as exc:
                offered_keys.append(exc.presented)
                login = options.login
                options = options._replace(login=login._replace(without=(*login.without, exc.kind)))
            except ReconnectNeeded as exc:
                options = options._replace(skip=exc.number)
            except NothingInCommon as exc:
                if offered_keys:  # the server has no other keys
                    raise another_key(offered_keys) from exc
                raise
        if POSIX_RENAME not in opened.sftp_client.extensions:
            raise LoginRefused(
                "the server cannot rename over a file (it has no posix-rename), and this client would have to show "
                "no file in between",
                "Leave SFTPLibrary unset: the default client can do it and mends a broken swap",
            )
        opened.sftp_client.get_channel().settimeout(self._stall)
        self._login = options.login
        link.connection = opened
        for path in list(self.profile.pending):  # temporary files of a process that ended before it could remove them
            with contextlib.suppress(Status):
                link.connection.remove(os.fsencode(path))
            self.profile.gone([path])
            call.step()

    def _send(
        self, call: Call[RemoteStat], link: Link, job: Job, temps: Temps, stale: list[bytes], progress: Progress
    ) -> RemoteStat:
        """Everything but the rename; the stat of the temporary file."""
        client = link.connection.sftp_client
        self._checks.without(job, "the library pysftp asks for none")
        fd = open_source(job)
        own = SentHash(job, fd)
        handle: bytes | None = None

        def moved(done: int) -> None:
            call.step()
            call.tell(progress, done)

        try:
            with _errors_about(job.name, "removing an earlier temporary file"):
                for path in stale:
                    _clear(link, path, self.profile)
                    call.step()
            handle = _make(link, job.name, temps)
            temp = temps.path
            with _errors_about(job.name, "writing"):
                client.write(handle, fd, job.size, moved, self._pace, call.step, own.took)
            own.check()
            if job.mtime_ns is not None:
                self._set_time(client, temp, job.mtime_ns)
            call.step(job.size / _SLOW_DISK)
            if self._syncs:
                self._sync(client, handle, job)
            call.step()
            with _errors_about(job.name, "closing"):
                closing, handle = handle, None
                client.close_handle(closing)
            call.step()
            stat = _stat(link, job.name, temp)
            if stat is None or stat.size != job.size:
                has = "none" if stat is None else f"{stat.size:,}"
                raise FileRefused(f"{job.name}: {job.size:,} bytes were written and the server has {has}")
        except (AttemptFailed, FileRefused, SourceError):
            _discard(link, temps.path, handle)
            temps.over()
            raise
        finally:
            os.close(fd)
        return stat

    def _set_time(self, client: Any, path: bytes, mtime_ns: int) -> None:
        secs = min(max(mtime_ns // 10**9, 0), _LAST_SECOND)
        try:
            client.utime(path, (secs, secs))
        except Status as exc:
            self.traits = self.traits._replace(keeps_mtime=False)
            self.profile.learn(TIME, "refused", str(exc))
        else:
            self.profile.learn(TIME, "kept")

    def _sync(self, client: Any, handle: bytes, job: Job) -> None:
        """fsync. Where the server refuses, CLOSE without error has to do; after one that succeeded the file is tried again."""
        try:
            with _errors_about(job.name, "writing it to the server's disk"):
                client.sync(handle, job.size / _SLOW_DISK)
        except FileRefused as exc:
            if not self.profile.struck(SYNC):
                raise AttemptFailed(str(exc)) from exc
            self.profile.learn(SYNC, "refused", exc.server_text or str(exc))
        else:
            self.profile.learn(SYNC, "kept")


def _translated(work: Callable[[Call[_T]], _T], call: Call[_T]) -> _T:
    """Call ``work``; paramiko's errors about the connection become TransportLost."""
    try:
        return work(call)
    except Exception as exc:
        with contextlib.suppress(ImportError):  # without paramiko, the exception is not one of paramiko's
            from .connection import LOST

            if isinstance(exc, LOST):
                raise TransportLost(f"the connection is lost: {type(exc).__name__}: {str(exc)[:200]!r}") from exc
        raise


@contextlib.contextmanager
def _errors_about(name: str, what: str) -> Iterator[None]:
    """Turn a server's status inside this block into an error of this file."""
    try:
        yield
    except Status as exc:
        message = f"{name}: {what}: server said: {exc}"
        if names_limit(str(exc)):
            crowded = AttemptFailed(message, step=what, server_text=str(exc))
            crowded.limit = True
            raise crowded from exc
        if exc.code in (Status.NO_CONNECTION, Status.CONNECTION_LOST):
            raise AttemptFailed(message, step=what, server_text=str(exc)) from exc  # the server's storage may be away for a while
        raise FileRefused(message, step=what, server_text=str(exc)) from exc


def _publish(call: Call[None], link: Link, name: str, temp: bytes, target: bytes) -> None:
    call.step()
    try:
        with _errors_about(name, "renaming it into place"):
            link.connection.sftp_client.posix_rename(temp, target)
    except (AttemptFailed, FileRefused):
        _discard(link, temp)
        raise


def _stat(link: Link, name: str, path: bytes) -> RemoteStat | None:
    with _errors_about(name, "looking it up"):
        try:
            attributes = link.connection.stat(path)
        except Status as exc:
            if exc.code == Status.NO_SUCH_FILE:
                return None
            raise
    if attributes.st_size is None:
        raise FileRefused(f"{name}: the server does not tell its size")
    return RemoteStat(attributes.st_size, attributes.st_mtime)


def _clear(link: Link, path: bytes, profile: Profile) -> None:
    """Remove a file, or rename it where this server lets none be removed, so that no late request finds it. Raises Status where
    the server refuses both."""
    try:
        link.connection.remove(path)
    except Status as refused:
        try:
            link.connection.lstat(path)
        except Status as exc:
            if exc.code == Status.NO_SUCH_FILE:  # some servers reply Failure to the removal of a missing file
                return
        try:
            link.connection.sftp_client.posix_rename(path, path + _LEFT)
        except Status:
            raise refused from None
        profile.learn(DELETE, "refused", str(refused))
        profile.leave(os.fsdecode(path + _LEFT), reusable=False)


def _make(link: Link, name: str, temps: Temps) -> bytes:
    """The handle of the new temporary file, under the next kind of name where the server refuses the present kind."""
    first: FileRefused | None = None
    while True:
        try:
            with _errors_about(name, "making the temporary file"):
                return _open_new(link, temps.path)
        except FileRefused as exc:
            first = first or exc
            status = exc.__cause__
            # A missing folder says nothing about the kind of name.
            if (isinstance(status, Status) and status.code == Status.NO_SUCH_FILE) or not temps.refused(exc.server_text):
                raise first from exc


def _open_new(link: Link, path: bytes) -> bytes:
    client = link.connection.sftp_client
    try:
        return bytes(client.open_new(path))
    except Status as exc:
        folder = parent_of(path)
        if exc.code != Status.NO_SUCH_FILE or not folder:
            raise
    _make_folder(link, folder)
    return bytes(client.open_new(path))


def _make_folder(link: Link, folder: bytes) -> None:
    """Create a folder and its missing parents. Errors are left to the open that follows: SFTP 3 has no code of its own for a
    folder that exists."""
    try:
        link.connection.mkdir(folder)
    except Status as exc:
        above = parent_of(folder)
        if exc.code == Status.NO_SUCH_FILE and above not in (b"", b"/"):
            _make_folder(link, above)
            with contextlib.suppress(Status):
                link.connection.mkdir(folder)


def _discard(link: Link, temp: bytes, handle: bytes | None = None) -> None:
    """Close and remove a temporary file. Errors are ignored: the file is on record, and the first error is the one to report."""
    with contextlib.suppress(Status):
        if handle is not None:
            link.connection.sftp_client.close_handle(handle)
    with contextlib.suppress(Status):
        link.connection.remove(temp)
