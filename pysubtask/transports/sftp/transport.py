"""SFTPTransport: the contract of a transport, put together from the parts of this package."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import sys
import time
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from typing import Any, ClassVar

from ...common.account import has_entry
from ...common.advice import install
from ...common.errors import ConfigError, LoginRefused, ServerNotTrusted, TransportLost
from ..base import Job, Progress, RemoteStat, Sent, Traits, Transport, Wire
from ..shared.allowance import Allowance
from ..shared.altered_names import AlteredNames
from ..shared.checksum import Checks, WrongHash
from ..shared.dial import DELAY_SECS
from ..shared.key_file import explained
from ..shared.means import APPEND, SIZE, WRITES
from ..shared.meter import Meter
from ..shared.pace import Pace
from ..shared.profile import Profile
from ..shared.reach import other_speaker, place, unanswered
from ..shared.remote_text import remote_text
from ..shared.sftp_names import folder_of, identity_of, path_of
from ..shared.source import open_source
from ..shared.ssh_login import AnotherKey, Login, another_key, login_of
from ..shared.standstill import REMEDY
from ..shared.swap_record import SwapRecord
from ..shared.workdir import make_workdir
from ..ssh.process import SSHStream, start_ssh
from ..ssh.route import Route, dial_route, find_route
from ..ssh.shell import Shell
from ..ssh.socket_handover import possible
from ..ssh.stream import ByteStream
from . import packets
from .checksum import Checksums
from .client import Client
from .handles import FIRST, KIND
from .leftovers import Leftovers
from .packets import Attrs, string
from .publish import Publisher
from .swap import Swaps

_SLACK_SECS = 1.0  # ssh's own time limit, with its reason, comes before this one
_SSH_PORT = 22  # the port where no HostPort is set (RFC 4253 section 4.1)
_LISTEN_SECS = 3.0  # for the greeting of whatever answers there; it only improves a message
_FIRST_WORDS = 256  # bytes: an identification line has 255 at most (RFC 4253 section 4.2)
_SPARE_HANDLES = 8  # for files that are built upon, listings and trials, beside the files in flight
_UNTOLD = 64  # files in flight where a server reports no limits: some servers end the session above a limit of their own


class SFTPTransport(Transport):
    """SFTP version 3 over the system's ssh, or over asyncssh where there is no ssh or it does nothing for this user.

    Constructing it raises ConfigError for a host, login name or path that cannot be used. ``workdir``
    gets ``ssh.json`` (the running child) and, for a server without posix-rename, ``swaps.json``.
    """

    name: ClassVar[str] = "sftp"

    def __init__(self, settings: Mapping[str, Any], workdir: str) -> None:
        self._settings = dict(settings)
        self._workdir = workdir
        self._login = login_of(settings)
        self._folder = folder_of(settings)
        self._stall = float(settings.get("StallSecs", 60))
        self.pace = Pace(float(settings.get("RateLimit", 0)))
        self._concurrency = int(settings.get("Concurrency", 32))
        self._meter = Meter()
        self._checks = Checks(settings)
        self._follow = settings.get("RemoteLinks", "follow") == "follow"
        self.profile: Profile = Profile(time.time, in_place=bool(settings.get("StoreInPlace")))
        self.profile.opened[KIND] = Allowance(self._concurrency, FIRST)
        self._altered_names = AlteredNames(self.profile)
        self._shell: Shell | None = None
        self._stream: ByteStream | None = None
        self._swallowed = False
        self._route: Route | None = None
        self._route_known = False
        self._client: Client | None = None
        self._publisher: Publisher | None = None
        self._swaps: Swaps | None = None
        self._listened: TransportLost | str | None = None
        self._traits_from: tuple[object, ...] | None = None
        self.traits = Traits(atomic_replace=True, keeps_mtime=True, concurrency=self._concurrency)

    @classmethod
    def identity(cls, settings: Mapping[str, Any]) -> str:
        """``sftp://user@host:port/folder``; see ``Transport.identity``."""
        return identity_of(settings)

    def wire(self) -> Wire | None:
        """Of the SFTP connections and of the logins of the shell that computes hashes; see ``Transport.wire``."""
        return self._meter.wire()

    async def connect(self) -> None:
        """Start ssh (or asyncssh), log in, negotiate SFTP 3 and finish the swaps on record. TransportLost where no login is reached
        within ``ConnectTimeoutSecs``, LoginRefused where the account or the host key is refused."""
        await self.close()
        make_workdir(self._workdir)
        limit = self._login.connect_secs + _SLACK_SECS
        try:
            try:
                async with asyncio.timeout(limit):
                    await self._connect()
            except (TransportLost, TimeoutError) as exc:
                other = await self._other_speaker(exc)
                if other is not None:
                    raise other from exc
                raise
            self._listened = None
        except TimeoutError as exc:
            stderr = self._stream.stderr if isinstance(self._stream, SSHStream) else ""
            why = self._stream.standstill() if self._stream is not None else ""
            await self.close()
            more = remote_text(stderr.strip().encode("utf-8", "replace"))
            where = place(self._login.host, self._login.port)
            reason = f"no login within {limit:.0f} s at {where}"
            if why:
                raise TransportLost(f"{reason}: the server says its name and nothing more comes; {why}", REMEDY) from exc
            raise unanswered(
                TransportLost(
                    reason + (f". ssh said: {more!r}" if more else ""),
                    "Is HostPort that of the SSH server, and is the server well?",
                )
            ) from exc
        except LoginRefused as exc:
            by_ssh = isinstance(self._stream, SSHStream)
            await self.close()
            raise await asyncio.to_thread(
                explained, exc, self._login.key_file, self._login.user, by_ssh=by_ssh, password=self._login.has_password
            ) from exc
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """End the session, politely where no request is under way, and ssh with it; below 3 s. See ``Transport.close``."""
        stream, client, shell = self._stream, self._client, self._shell
        self._shell = None
        self._stream = self._client = self._publisher = self._swaps = None
        if isinstance(stream, SSHStream) and stream.logged_in:
            self._swallowed = stream.swallowed
        closed = TransportLost("the connection was closed from here")
        polite = client is not None and client.lost is None and not client.busy
        if client is not None and not polite:
            client.fail(closed)
        try:
            if shell is not None:
                await shell.close()
            if isinstance(stream, SSHStream):
                await stream.finish(polite)
            elif stream is not None:
                stream.abort()
        finally:
            if client is not None:
                client.fail(closed)

    async def upload(self, job: Job, progress: Progress) -> Sent:
        """See ``Transport.upload`` and ``publish``; afterwards ``traits`` are those that the server has shown by then."""
        client, publisher = self._open()
        try:
            return await publisher.upload(job, progress)
        finally:
            if self._traits_from is None or self._traits_from != self._known(publisher):
                self._learn_traits(client, publisher)

    def _known(self, publisher: Publisher) -> tuple[object, ...] | None:
        """The values that the traits depend on and that may change during a connection; None where the traits also depend on the
        time, as a better rung is to be tried again."""
        profile = self.profile
        if profile.rung(APPEND) != APPEND.rungs[0] or profile.rung(WRITES) != WRITES.rungs[0]:
            return None
        return profile.steps, publisher.keeps_mtime, publisher.tells_mtime, profile.opened[KIND].worth_asking

    def _learn_traits(self, client: Client, publisher: Publisher) -> None:
        """Set ``traits`` to what the server is known to support, or is to be tried again."""
        self._traits_from = self._known(publisher)
        profile, atomic = self.profile, publisher.atomic
        handles = client.limits.handles
        at_once = max(1, handles - _SPARE_HANDLES) if handles else _UNTOLD
        # Without times on the server, a file that was changed there cannot be recognized.
        builds = publisher.tells_mtime and profile.rung(SIZE) == "before_close"
        writes = profile.rung(WRITES) == "any" or profile.is_due(WRITES)
        self.traits = Traits(
            atomic_replace=atomic,
            keeps_mtime=publisher.keeps_mtime,
            concurrency=min(self._concurrency, at_once, profile.opened[KIND].worth_asking),
            appends=builds and (profile.rung(APPEND) == "in_place" or profile.is_due(APPEND)),
            copies=builds and atomic and writes and packets.COPY_DATA in client.extensions,
        )

    async def stat(self, name: str) -> RemoteStat | None:
        """Size and time by STAT, which follows links; None also where the server does not tell a size."""
        client, _ = self._open()
        answer = await client.request(packets.STAT, string(path_of(self._folder, name)))
        # Without a size the file is not known to exist.
        return RemoteStat(answer.size, answer.mtime) if isinstance(answer, Attrs) and answer.size is not None else None

    async def verify(self, job: Job) -> str:
        """See ``Transport.verify``; a hash comes from an SFTP extension or from a shell on the server."""
        client, _ = self._open()
        fd = open_source(job)
        try:
            # New Checks: a wrong hash here does not count as a failed upload of that name.
            return await Checksums(client, Checks(self._settings), self._shell).check(job, fd, path_of(self._folder, job.name))
        except WrongHash:
            return ""
        finally:
            os.close(fd)

    async def remove(self, names: Iterable[str]) -> set[str]:
        """Remove temporary files in all the forms their names may have got, after the swaps that belong to them are finished."""
        _, publisher = self._open()
        paths = {name: path_of(self._folder, name) for name in names}
        if self._swaps is not None:
            for path in paths.values():
                await self._swaps.mend_recorded(path)
        # One that cannot be removed is no reason to give up the connection: its own upload will meet it again.
        return await publisher.remove(paths)

    def _open(self) -> tuple[Client, Publisher]:
        if self._client is None or self._publisher is None:
            raise TransportLost("not connected")
        if self._client.lost is not None:
            raise TransportLost(str(self._client.lost))
        return self._client, self._publisher

    async def _connect(self) -> None:
        """Log in; where the pinned host key is not the one presented, ask for the server's keys of other kinds."""
        presented: list[str] = []
        login = self._login
        while True:
            try:
                await self._log_in(login)
            except AnotherKey as exc:
                presented.append(exc.presented)
                if exc.kind in login.without:
                    raise another_key(presented) from exc
                await self.close()
                login = login._replace(without=(*login.without, exc.kind))
            except LoginRefused as exc:
                if presented:  # it has no others
                    raise another_key(presented) from exc
                if not isinstance(exc, ServerNotTrusted) or login.loud or "fingerprint is" in exc.cause:
                    raise
                # ssh tells which key it does not take only where it is asked to tell more.
                await self.close()
                login = login._replace(loud=True)
            else:
                self._login = login._replace(loud=False)
                return

    async def _other_speaker(self, exc: Exception) -> TransportLost | None:
        """The error for a server that speaks another protocol than SSH, so that ssh waits for it; None for any other. The server's
        first bytes are read once until a login succeeds, as it may count connections without a login."""
        reason = str(exc)
        self._route_known = False  # ssh's configuration may be another one now
        if isinstance(exc, TransportLost) and ("Connection refused" in reason or "resolved" in reason or "no way" in reason):
            return None
        if self._listened is None:
            where = place(self._login.host, self._login.port or _SSH_PORT)
            self._listened = other_speaker(await self._first_words(), where) or "nothing else"
        return self._listened if isinstance(self._listened, TransportLost) else None

    async def _first_words(self) -> bytes:
        """The first bytes that the server sends on a new TCP connection; none where it cannot be reached directly."""
        heard = b""
        with contextlib.suppress(OSError, ValueError):  # TimeoutError is an OSError
            async with asyncio.timeout(_LISTEN_SECS):
                reader, writer = await asyncio.open_connection(
                    self._login.host, self._login.port or _SSH_PORT, happy_eyeballs_delay=DELAY_SECS
                )
                self._meter.add(writer.get_extra_info("socket"))
                try:
                    heard = await reader.read(_FIRST_WORDS)
                finally:
                    self._meter.end(writer.get_extra_info("socket"))
                    writer.transport.abort()
                    # A failed connect leaves nothing open: the socket is closed by the loop's next turn.
                    with contextlib.suppress(OSError):
                        await writer.wait_closed()
        return heard

    async def _log_in(self, login: Login) -> None:
        stream = self._stream = await self._reach(login)
        client = self._client = Client(stream, self._stall, self.pace)
        await client.start()
        if isinstance(stream, SSHStream):
            stream.login_done()
        leftovers = Leftovers(client, self.profile)
        self._swaps = Swaps(client, SwapRecord(self._workdir, identity_of(self._settings)), leftovers)
        await self._swaps.mend_all()
        if self.profile.left or self.profile.pending:
            await leftovers.sweep(idle=True)
        self._shell = self._new_shell(login) if self._checks.shell and isinstance(stream, SSHStream) else None
        self._publisher = Publisher(
            client,
            self._folder,
            self._swaps,
            Checksums(client, self._checks, self._shell),
            self.profile,
            follow=self._follow,
            names=self._altered_names,
            syncs=bool(self._settings.get("ServerSync", True)),
        )
        self._learn_traits(client, self._publisher)

    def _new_shell(self, login: Login) -> Shell:
        program = shutil.which(str(self._settings.get("SSHProgram") or "ssh"))
        password = self._settings.get("Password") or None

        async def start() -> SSHStream:
            sock = await self._dial(program or "ssh", login)
            return await start_ssh(program or "ssh", login, password, self._workdir, self._meter, shell=True, sock=sock)

        return Shell(start, login.connect_secs, self._stall)

    async def _dial(self, program: str, login: Login) -> socket.socket | None:
        """A connection for ssh to a server with several addresses, of which some may be dead: ssh would wait its whole limit
        for each of them. None where ssh shall connect itself."""
        if not possible():
            return None
        if not self._route_known:
            self._route, self._route_known = await find_route(program, login), True
        return None if self._route is None else await dial_route(self._route, login.connect_secs)

    async def _reach(self, login: Login) -> ByteStream:
        program_name = str(self._settings.get("SSHProgram") or "ssh")
        program = shutil.which(program_name)
        password = self._settings.get("Password") or None
        # Elsewhere a pipe of a process cannot be waited for together with sockets.
        if (
            program is not None and sys.platform != "win32" and (has_entry() or find_spec("asyncssh") is None)
        ):  # ssh does nothing for an unknown user
            sock = await self._dial(program, login)
            stream = await start_ssh(program, login, password, self._workdir, self._meter, sock=sock)
            stream.swallowed_before = self._swallowed
            return stream
        try:
            from ..ssh.asyncssh_stream import open_asyncssh
        except ImportError as exc:
            raise ConfigError(
                "ftp.SSHProgram",
                f"there is no program {program_name!r} and no asyncssh",
                f"Install OpenSSH's ssh client or {install('asyncssh')}.",
            ) from exc
        return await open_asyncssh(login, password, self._meter)
