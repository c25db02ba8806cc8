"""A real SFTP server on 127.0.0.1, storing into a folder of yours, with faults on demand.

::

    with sftp_server("server_root") as server:
        config.ftp = Section("test", **server.settings())      # or: sftp -P {server.port} -i {server.key_file} ...
        ...
        assert server.count("rename", "*.csv") == 3
        server.fail("write", "big*")                           # from now on: SSH_FX_FAILURE
        server.room = 10_000                                   # the disk is full after 10,000 more bytes

It is asyncssh's server (extra ``testing``) in a thread of its own, for any client: the system's ``sftp``
works. Clients see the folder as ``/``; symbolic links that lead out of it are followed. It speaks version 3
of draft-ietf-secsh-filexfer-02 with OpenSSH's extensions. Starting one keeps asyncssh's own log at warnings.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import tempfile
import threading
from collections.abc import Iterable
from fnmatch import fnmatchcase
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from ._extra import needs_libraries

if TYPE_CHECKING:
    import asyncssh

    from ...common.settings_types import FTPSettings

OPERATIONS = ("open", "write", "close", "fsync", "setstat", "rename", "remove", "mkdir", "rmdir", "check")

FAILURE = 4
"""SSH_FX_FAILURE; 2 is NO_SUCH_FILE, 3 PERMISSION_DENIED, 8 OP_UNSUPPORTED (filexfer-02, section 7)."""

_ORDER_SECS = 30.0


class Operation(NamedTuple):
    """One request of a client. ``kind`` is one of ``OPERATIONS``; ``name`` is relative to the root, without a leading
    slash; ``other`` is the new name of a rename; ``mode`` is ``"r"``, ``"w"`` (open) or ``"posix"`` (rename); ``size`` the
    bytes written until a close; ``error`` what it was refused with, or empty. Single writes are counted, not listed, unless
    refused."""

    kind: str
    name: str
    other: str = ""
    mode: str = ""
    size: int = 0
    error: str = ""


class Fault(NamedTuple):
    """What ``fail`` ordered: operations of this ``kind`` on names that match ``pattern`` (as in :mod:`fnmatch`) are refused
    with the status ``code`` (filexfer-02, section 7) and this ``message``."""

    kind: str
    pattern: str
    code: int
    message: str


class SFTPServer:
    """A running server; created by ``sftp_server``, ended by ``close`` or by leaving its ``with``.

    ``host``, ``port``, ``user``: where and as whom. ``key_file``: the client's private key (None when an
    ``authorized_key`` was given). ``host_key``: fingerprint, ``SHA256:...``. ``known_hosts``: the line for a
    known_hosts file. ``log``: every ``Operation`` so far. ``bytes_written``: over all files. ``room``: bytes that
    may still be written before the disk counts as full, None for no limit. ``refused``: every (user, method)
    turned away. ``logins``, ``failed_logins``: connections that got in, and that tried and never did. Of so many files as
    ``flips`` says the first byte is changed as it is written.
    """

    host = "127.0.0.1"

    def __init__(
        self,
        root: str,
        user: str,
        password: str | None,
        authorized_key: str | None,
        keys: str | None,
        port: int,
        room: int | None,
        without: frozenset[str],
        hashes: tuple[str, ...] = (),
    ) -> None:
        with needs_libraries("sftp_server"):
            import asyncssh
        logger = logging.getLogger("asyncssh")
        if logger.level == logging.NOTSET:
            logger.setLevel(logging.WARNING)
        self.root = os.path.realpath(root)
        self.user = user
        self.room = room
        self.without = without
        self.hashes = hashes
        self.flips = 0
        self.log: list[Operation] = []
        self.bytes_written = 0
        self.logins = 0
        self.failed_logins = 0
        self.refused: list[tuple[str, str]] = []
        self.connections: set[asyncssh.SSHServerConnection] = set()
        self._password = password
        self._faults: list[tuple[Fault, list[int]]] = []
        self._temporary = None if keys else tempfile.mkdtemp(prefix="pysubtask-sftp-")
        self._loop = asyncio.new_event_loop()
        self._thread: threading.Thread | None = None
        try:
            os.makedirs(self.root, exist_ok=True)
            place = keys or str(self._temporary)
            os.makedirs(place, mode=0o700, exist_ok=True)
            host_key = _key(asyncssh, os.path.join(place, "host_key"))
            self.host_key: str = host_key.get_fingerprint()
            if authorized_key is None:
                self.key_file: str | None = os.path.join(place, "client_key")
                allowed = _key(asyncssh, self.key_file).convert_to_public()
            else:
                self.key_file = None
                allowed = _public_key(asyncssh, authorized_key)
            self._thread = threading.Thread(target=self._loop.run_forever, name="sftp-server", daemon=True)
            self._thread.start()
            self._acceptor: asyncssh.SSHAcceptor = self._run(
                asyncssh.listen(
                    self.host,
                    port,
                    server_factory=lambda: self._login(allowed, password),
                    server_host_keys=[host_key],
                    sftp_factory=self._session,
                    allow_scp=False,
                    gss_host=None,
                    agent_forwarding=False,
                    x11_forwarding=False,
                    tcp_keepalive=True,
                )
            )
            self.port: int = self._acceptor.sockets[0].getsockname()[1]
            algorithm, text = host_key.export_public_key().decode().split()[:2]
            self.known_hosts = f"[{self.host}]:{self.port} {algorithm} {text}\n"
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> SFTPServer:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<SFTPServer {self.user}@{self.host}:{self.port} {self.root!r}>"

    def settings(self, *, password: bool | None = None, **more: Any) -> dict[str, Any]:
        """The values of an ``ftp`` section that uploads here, whatever the user's own ssh configuration says.

        ``password`` True logs in by password, False by key; None takes the key where there is one. ``more``
        is added, or replaces.
        """
        if password is None:
            password = self.key_file is None and self._password is not None
        values: dict[str, Any] = {
            "UseFTP": True,
            "UseSFTP": True,
            "Host": self.host,
            "HostPort": self.port,
            "User": self.user,
            "HostKey": self.host_key,
            "SSHConfigFile": "none",
        }
        if password:
            values["Password"] = self._password
        elif self.key_file is not None:
            values["KeyFile"] = self.key_file
        return {**values, **more}

    def section(self, *, password: bool | None = None) -> FTPSettings:
        """The values of :meth:`settings`, typed: the section ``ftp`` of a config."""
        return cast("FTPSettings", self.settings(password=password))

    def operations(self, kind: str, pattern: str = "*", *, failed: bool = False) -> list[Operation]:
        """The operations of a kind on names that match a shell pattern (``*`` also matches ``/``), in order;
        a rename matches by its new name. ``failed`` lists the refused ones instead."""
        return [
            one
            for one in list(self.log)
            if one.kind == kind and bool(one.error) == failed and fnmatchcase(one.other or one.name, pattern)
        ]

    def count(self, kind: str, pattern: str = "*") -> int:
        """How many operations of a kind were done; ``count("rename", "a.csv")`` counts uploads of ``a.csv``."""
        return len(self.operations(kind, pattern))

    def fail(
        self, kind: str, pattern: str = "*", *, code: int = FAILURE, message: str = "as ordered", times: int | None = None
    ) -> None:
        """Refuse an operation (one of ``OPERATIONS``) on names that match, with an SFTP status code.

        A rename matches by either name. It is spent after ``times`` refusals; None lasts until ``heal``. ValueError where
        ``kind`` is no operation.
        """
        if kind not in OPERATIONS:
            raise ValueError(f"{kind!r} is none of {OPERATIONS}")
        self._faults.append((Fault(kind, pattern, code, message), [-1 if times is None else times]))

    def heal(self) -> None:
        """Take every fault off; room is without limit again."""
        self._faults = []
        self.room = None

    def fault(self, kind: str, *names: str) -> Fault | None:
        """The fault that hits an operation now; used by the sessions."""
        for fault, left in self._faults:
            if fault.kind == kind and left[0] and any(fnmatchcase(name, fault.pattern) for name in names if name):
                left[0] -= 1
                return fault
        return None

    def disconnect(self) -> None:
        """Drop every client's connection; new ones are taken."""
        self._run(self._abort())

    def close(self) -> None:
        """End the server and its thread, remove keys it made in a temporary folder. May be called twice. RuntimeError where the
        thread does not end within 30 s."""
        if self._thread is not None and self._thread.is_alive():
            self._run(self._stop())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(_ORDER_SECS)
            if self._thread.is_alive():
                raise RuntimeError(f"the server's thread did not end within {_ORDER_SECS:.0f} s")
        if not self._loop.is_closed():
            self._loop.close()
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)

    def _login(self, allowed: asyncssh.SSHKey, password: str | None) -> asyncssh.SSHServer:
        """The handler of a connection."""
        from ._sftp_session import Login

        return Login(self, allowed, password)

    def _session(self, channel: asyncssh.SSHServerChannel[bytes]) -> asyncssh.SFTPServer:
        """The handler of a session's requests."""
        from ._sftp_session import Files

        return Files(self, channel)

    def _run(self, order: Any) -> Any:
        async def run() -> Any:
            return await order

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(_ORDER_SECS)

    async def _abort(self) -> None:
        for connection in list(self.connections):
            connection.abort()
            await connection.wait_closed()

    async def _stop(self) -> None:
        if hasattr(self, "_acceptor"):
            self._acceptor.close()
        await self._abort()
        if hasattr(self, "_acceptor"):
            await self._acceptor.wait_closed()  # from Python 3.12 on it waits for the connections too
        rest = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)


def sftp_server(
    root: str | os.PathLike[str],
    *,
    user: str = "demo",
    password: str | None = None,
    authorized_key: str | None = None,
    posix_rename: bool = True,
    without: Iterable[str] = (),
    limit_bytes: int | None = None,
    keys: str | os.PathLike[str] | None = None,
    port: int = 0,
    hashes: Iterable[str] = (),
) -> SFTPServer:
    """Start an SFTP server that stores into ``root`` (made where missing); a context manager.

    ``user`` logs in with a key made for it (``server.key_file``), or with the one whose public half is
    ``authorized_key`` (an OpenSSH line, or a file holding it), and with ``password`` where one is given.
    ``posix_rename=False`` gives a server without ``posix-rename@openssh.com``, whose plain RENAME refuses a target
    that exists, as version 3 says. ``without`` names further extensions not to offer, such as ``fsync@openssh.com``.
    ``limit_bytes`` fills the disk after so many bytes written. ``keys`` is a folder for the host key and the client key
    (0600), which are used again if they are there; None makes new ones that go with the server. ``port`` 0
    takes a free one. ``hashes``: algorithms of check-file, as ``hashlib`` calls them; none offers no such thing.

    Raises ConfigError where asyncssh is missing, OSError where the port cannot be had.
    """
    off = frozenset(without) | (frozenset() if posix_rename else frozenset({"posix-rename@openssh.com"}))
    return SFTPServer(
        os.fspath(root),
        user,
        password,
        authorized_key,
        os.fspath(keys) if keys is not None else None,
        port,
        limit_bytes,
        off,
        tuple(hashes),
    )


def _key(asyncssh: Any, path: str) -> Any:
    """The private key in a file, made (0600) where there is none."""
    with contextlib.suppress(FileNotFoundError):
        return asyncssh.read_private_key(path)
    key = asyncssh.generate_private_key("ssh-ed25519")
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(key.export_private_key())
    return key


def _public_key(asyncssh: Any, given: str) -> Any:
    return asyncssh.read_public_key(given) if os.path.isfile(given) else asyncssh.import_public_key(given)
