"""The same byte stream where there is no ssh program: the sftp subsystem's channel of an asyncssh connection.

The rules for host keys are those of the ssh child: known_hosts with the port, a pinned fingerprint, or
accept-new, which writes the key down. asyncssh is licensed EPL-2.0 or GPL-2.0+ and used unmodified.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import os
import socket
from collections.abc import Sequence
from typing import Any

import asyncssh

from ...common import account
from ...common.errors import LoginRefused, ServerNotTrusted, TransportError, TransportLost
from ..shared.known_hosts import keys_on_file, remember
from ..shared.meter import Meter
from ..shared.reach import of_socket, place
from ..shared.remote_text import remote_text
from ..shared.ssh_login import AnotherKey, Login, asks_for_password, changed_key, is_among, revoked_key, unknown_key
from ..shared.standstill import of_upload
from .route import Route, dial_route, is_address
from .stream import Listener

_SSH_PORT = 22  # the port where no HostPort is set (RFC 4253 section 4.1)
_KINDS = ("ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "rsa-sha2-256", "rsa-sha2-512")
_KNOWN = "~/.ssh/known_hosts"
_GLOBAL = ("/etc/ssh/ssh_known_hosts",)


class _Client(asyncssh.SSHClient):  # type: ignore[misc, unused-ignore]
    """Decides about a host key that is not among the trusted ones, and gives the password once, to one question."""

    def __init__(self, login: Login, password: str | None, meter: Meter) -> None:
        self._login = login
        self._meter = meter
        self._sock: socket.socket | None = None
        self._password = password
        self._had_password = password is not None
        self.refused: str | None = None
        self._file = os.path.expanduser(login.known_hosts or _KNOWN)
        self._known = _read_known(self._file, login)
        self._files = [self._file] if login.known_hosts else [self._file, *_GLOBAL]
        self.presented = ""
        self.revoked = False
        self.on_file = False

    def connection_made(self, conn: Any) -> None:
        theirs = conn.get_extra_info("socket")
        if theirs is None:
            self._meter.blind()  # asyncssh connects through another connection or a program, whose bytes cannot be counted
            return
        # A duplicate descriptor, as asyncssh may close its own before connection_lost.
        self._sock = socket.socket(fileno=os.dup(theirs.fileno()))
        self._meter.add(self._sock)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._sock is not None:
            self._meter.end(self._sock)
            self._sock.close()

    def validate_host_public_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
        fingerprint = key.get_fingerprint("sha256")
        self.presented = f"{key.get_algorithm()} {fingerprint}"
        self.on_file = self._is_known(host, addr, port)
        if self._login.host_key is not None:
            return bool(fingerprint == self._login.host_key)
        if self.is_revoked(host, addr, port, key):
            self.revoked = True
            return False
        if not self._login.accept_new or self.on_file:
            return False
        kind, blob = key.export_public_key("openssh").decode("ascii").split()[:2]
        return remember(self._file, host, port, kind, blob)

    def known_hosts(self) -> Any:
        """What asyncssh shall know: the trusted keys but those that are revoked. A key that is not trusted is sent to
        ``validate_host_public_key``."""
        return self._found if self._known is not None else ([], [], [])

    def _found(self, host: str, addr: str, port: int | None) -> Any:
        assert self._known is not None
        # Its own search forgets what is revoked for a port where no key is trusted for that port.
        trusted, authorities, revoked, *others = self._known.match(host, addr, port)
        bad = [key for key in trusted if self.is_revoked(host, addr, port or _SSH_PORT, key)]
        return [key for key in trusted if key not in bad], authorities, [*revoked, *bad], *others

    def is_revoked(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
        """Whether a known_hosts file revokes this key for this host, with its port or without."""
        try:
            return any(
                key.public_data in keys_on_file(self._files, name, at).revoked
                for name in {host, addr} - {""}
                for at in {port, _SSH_PORT}
            )
        except OSError:
            return True  # the file cannot be read, so any key may be revoked

    def password_auth_requested(self) -> str | None:
        password, self._password = self._password, None
        return password

    def kbdint_auth_requested(self) -> str | None:
        return "" if self._password is not None else None

    def kbdint_challenge_received(
        self, name: str, instructions: str, lang: str, prompts: Sequence[tuple[str, bool]]
    ) -> Sequence[str] | None:
        if not prompts:
            return []  # only a message
        password, self._password = self._password, None
        expected = len(prompts) == 1 and asks_for_password(prompts[0][0])
        if password is None and expected and self._had_password:
            return None  # the same again only means that it was wrong
        if password is None or not expected:
            self.refused = remote_text(prompts[0][0].encode("utf-8", "replace"))
            return None
        return [password]

    def _is_known(self, host: str, addr: str, port: int) -> bool:
        """Whether another key is on file (or revoked) for this host: a new key is then a changed one and not the first."""
        return self._known is not None and any(self._known.match(host, addr, port))


class ChannelStream(asyncssh.SSHClientSession[bytes]):  # type: ignore[misc, unused-ignore]
    """An asyncssh channel as a ByteStream."""

    def __init__(self) -> None:
        self._chan: Any = None
        self._connection: Any = None
        self._listener: Listener | None = None
        self._early: list[bytes] = []
        self._over: TransportError | None = None
        self._ended = False

    # What asyncssh calls

    def connection_made(self, chan: Any) -> None:
        """asyncssh: the channel is open; its buffer is limited to what keeps a fast link busy."""
        self._chan = chan
        chan.set_write_buffer_limits(high=512 * 1024, low=128 * 1024)

    def data_received(self, data: bytes, datatype: Any) -> None:
        """asyncssh: bytes of stdout, kept until there is a listener. Those of stderr are dropped."""
        if datatype is not None:
            return  # stderr of the server's program
        if self._listener is None:
            self._early.append(data)
        else:
            self._listener.data_received(data)

    def resume_writing(self) -> None:
        """asyncssh: the write buffer is below its low limit."""
        if self._listener is not None:
            self._listener.room_again()

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncssh: the channel is closed, with the error where there is one."""
        self._end(TransportLost(f"the connection ended: {_words(exc)}" if exc else "the server closed the connection"))

    def eof_received(self) -> bool:
        """asyncssh: the server sends no more; False has asyncssh close the channel."""
        self._end(TransportLost("the server closed the connection"))
        return False

    # ByteStream

    def start(self, listener: Listener) -> None:
        """See ``ByteStream.start``. Bytes, or an end, that came before are passed on at once."""
        self._listener = listener
        early, self._early = self._early, []
        for data in early:
            listener.data_received(data)
        if self._over is not None:
            listener.stream_ended(self._over)

    def send(self, parts: Sequence[bytes]) -> None:
        """See ``ByteStream.send``."""
        # A closing channel raises here; connection_lost reports its end.
        with contextlib.suppress(OSError):
            for part in parts:
                self._chan.write(part)

    def backlog(self) -> int:
        """Bytes in asyncssh's write buffer."""
        return int(self._chan.get_write_buffer_size())

    def abort(self) -> None:
        """End the whole SSH connection at once, without a goodbye."""
        self._listener = None
        if self._connection is not None:
            self._connection.abort()

    def standstill(self) -> str:
        """See ``ByteStream.standstill``: as the kernel shows the TCP connection."""
        sock = self._connection.get_extra_info("socket") if self._connection is not None else None
        return of_upload(sock) if sock is not None else ""

    def adopt(self, connection: Any) -> None:
        """Take over the connection, which is closed together with this channel."""
        self._connection = connection

    def _end(self, why: TransportError) -> None:
        if self._ended:
            return
        self._ended = True
        self._over = why
        if self._listener is not None:
            self._listener.stream_ended(why)


async def open_asyncssh(login: Login, password: str | None, meter: Meter) -> ChannelStream:
    """Connect, log in, open the sftp subsystem. Raises LoginRefused or TransportLost."""
    client = _Client(login, password, meter)
    if not account.has_entry():  # asyncssh asks getpass for a local name, which finds none
        os.environ.setdefault("LOGNAME", login.user or str(account.uid()))
    options: dict[str, Any] = {
        "known_hosts": client.known_hosts(),
        "client_factory": lambda: client,
        "connect_timeout": login.connect_secs,
        "login_timeout": login.connect_secs,
        "keepalive_interval": login.alive_secs,
        "keepalive_count_max": login.alive_count,
        "agent_forwarding": False,
    }
    if login.config_file is not None:
        options["config"] = None if login.config_file == "none" else [login.config_file]
    if login.host_key is not None:
        options["server_host_key_algs"] = [kind for kind in _KINDS if not is_among(kind, login.without)]
    if login.user:
        options["username"] = login.user
    if login.port is not None:
        options["port"] = login.port
    if login.key_file is not None:
        options |= {"client_keys": [login.key_file], "agent_path": None}
    if password:
        options["preferred_auth"] = "publickey,password,keyboard-interactive"
        if login.key_file is None:
            options |= {"client_keys": None, "agent_path": None}
    connection: Any = None
    sock: socket.socket | None = None
    try:
        if _connects_straight(login):
            sock = await dial_route(Route(login.host, login.port or _SSH_PORT), login.connect_secs)
            options |= {"sock": sock} if sock is not None else {}
        connection = await asyncssh.connect(login.host, **options)
        stream: ChannelStream
        _, stream = await connection.create_session(ChannelStream, subsystem="sftp", encoding=None)
    except asyncio.CancelledError:
        _end(connection, sock)
        raise
    except TransportError:
        raise
    except Exception as exc:
        _end(connection, sock)
        raise _translated(exc, client, login) from exc
    stream.adopt(connection)
    return stream


def _connects_straight(login: Login) -> bool:
    """Whether asyncssh may be given a connection: only where it reads no configuration, which could name another host or a jump
    host."""
    read = login.config_file or "~/.ssh/config"
    known = "sock" in inspect.signature(asyncssh.connect).parameters  # later than 2.14
    return known and not is_address(login.host) and (read == "none" or not os.path.exists(os.path.expanduser(read)))


def _end(connection: Any, sock: socket.socket | None) -> None:
    if connection is not None:
        connection.abort()
    elif sock is not None:
        sock.close()


def _read_known(file: str, login: Login) -> Any:
    if login.host_key is not None or not os.path.exists(file):
        return None
    try:
        return asyncssh.read_known_hosts(file)
    except (OSError, ValueError, asyncssh.Error) as exc:
        raise ServerNotTrusted(
            "known hosts not readable",
            f"{file} cannot be read ({_words(exc)}), so no host key is known",
            "Mend it, or set KnownHostsFile or HostKey",
        ) from exc


def _translated(exc: Exception, client: _Client, login: Login) -> TransportError:
    reason = _words(exc)
    if isinstance(exc, asyncssh.HostKeyNotVerifiable):
        if login.host_key is not None and client.presented:
            return AnotherKey(client.presented)
        where = place(login.host, login.port)
        if client.revoked or "revoked" in reason.lower():
            return revoked_key(where, client.presented)
        if login.accept_new and not client.on_file:
            return ServerNotTrusted(
                "host key not written down",
                f"the new host key of {where} cannot be written to known_hosts",
                "Make that file writable, or set KnownHostsFile",
            )
        return (changed_key if client.on_file else unknown_key)(where, client.presented)
    if isinstance(exc, asyncssh.PermissionDenied):
        if client.refused is not None:
            reason = f"the server asked {client.refused!r}, which is not answered from here"
        return LoginRefused(f"the login was refused ({reason})", "Check User, KeyFile or Password, and the account on the server")
    if isinstance(exc, (asyncssh.KeyImportError, asyncssh.KeyEncryptionError)):
        return LoginRefused(f"the key file cannot be used: {reason}", "Set KeyFile to one without a passphrase, or use an agent")
    if isinstance(exc, asyncssh.ConfigParseError):
        return LoginRefused(f"ssh's configuration cannot be read: {reason}", "Mend it, or set SSHConfigFile to 'none'")
    if isinstance(exc, asyncssh.ChannelOpenError):
        return LoginRefused(f"the login works, but the server offers no SFTP to it: {reason}", "Have it switched on there")
    if login.without and isinstance(exc, (asyncssh.ConnectionLost, ConnectionResetError)):
        # A server that has no key of another kind hangs up in the middle of the key exchange.
        return LoginRefused(f"the server has no host key of another kind: {reason}")
    if isinstance(exc, asyncssh.KeyExchangeFailed):
        return LoginRefused(f"the server and this asyncssh share no algorithm: {reason}", "Update the older of the two")
    if isinstance(exc, FileNotFoundError):
        return LoginRefused(f"a file for the login is not there: {exc.filename or reason}", "Check KeyFile")
    return of_socket(exc, login.host, login.port or 22, login.connect_secs) or TransportLost(f"no connection: {reason}")


def _words(exc: BaseException) -> str:
    return remote_text(str(exc).encode("utf-8", "replace")) or type(exc).__name__
