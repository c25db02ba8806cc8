"""pysftp's connection with what pysftp lacks; importing this module loads pysftp and paramiko. Blocking: for a thread.

pysftp 0.2.9 searches host keys without the port, logs in with RSA keys alone and has no time limits; paramiko's client drops
the server's extensions and the codes of its replies. Each fault is corrected by overriding the method at fault.
"""

from __future__ import annotations

import contextlib
import getpass
import logging
import os
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import paramiko
from paramiko.pkey import UnknownKeyType
from paramiko.sftp import (
    CMD_CLOSE,
    CMD_EXTENDED,
    CMD_INIT,
    CMD_OPEN,
    CMD_VERSION,
    CMD_WRITE,
    SFTP_FLAG_CREATE,
    SFTP_FLAG_EXCL,
    SFTP_FLAG_WRITE,
    SFTPError,
    int64,
)

from ...common.errors import LoginRefused, ServerNotTrusted, SourceChanged, TransportLost
from ..shared.dial import dial_name
from ..shared.key_file import explained
from ..shared.known_hosts import KnownKeys, keys_on_file, remember
from ..shared.meter import CountedSocket, Meter
from ..shared.pace import Pace
from ..shared.reach import place
from ..shared.ssh_login import AnotherKey, Login, asks_for_password, changed_key, is_among, revoked_key, unknown_key
from .link import Link, Status, hang_up

if not hasattr(paramiko, "DSSKey"):
    # pysftp uses this name at import; paramiko 4 dropped DSA. No key of that kind is ever created here.
    paramiko.DSSKey = type("DSSKey", (), {})

import pysftp

LOST = (EOFError, OSError, paramiko.SSHException, SFTPError)
"""Exceptions of paramiko after which a connection is of no more use."""

FSYNC, POSIX_RENAME = "fsync@openssh.com", "posix-rename@openssh.com"

_KNOWN = ("~/.ssh/known_hosts", "/etc/ssh/ssh_known_hosts")
_KEYS = ("~/.ssh/id_ed25519", "~/.ssh/id_ecdsa", "~/.ssh/id_rsa")
_MOST_KEYS = 5  # OpenSSH's server hangs up at the sixth failure (MaxAuthTries)
_BAD_KEY = (OSError, ValueError, TypeError, paramiko.SSHException, UnknownKeyType)
_BLOCK = 32 * 1024  # every server takes a WRITE of this size (section 3 of draft-ietf-secsh-filexfer-02)
_IN_FLIGHT = 32  # blocks; well below a channel's window, so that a slow link is not mistaken for one that hangs
_VERSION, _OK = 3, 0

# paramiko's threads log broken connections, on stderr unless there is a handler.
logging.getLogger("paramiko").addHandler(logging.NullHandler())


class Options(NamedTuple):
    """Passed in place of pysftp.CnOpts, whose attributes ``log``, ``compression``, ``ciphers`` and ``hostkeys`` pysftp reads
    (``hostkeys`` None skips pysftp's own search for host keys). ``login``, ``password``: the account. ``link`` and ``meter``
    are given each new socket."""

    login: Login
    password: str | None
    link: Link
    meter: Meter
    skip: int = 0
    """The number of login attempts made already."""
    log: bool = False
    compression: bool = False
    ciphers: None = None
    hostkeys: None = None

    @property
    def port(self) -> int:
        """The port, 22 where none is set."""
        return 22 if self.login.port is None else self.login.port

    def __repr__(self) -> str:
        return f"Options({self.login!r})"


class ReconnectNeeded(Exception):
    """The server hung up at the second attempt to log in, as some do since paramiko begins each attempt with a service request
    of its own (RFC 4253 section 10): attempt ``number`` needs a connection of its own."""

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(number)


class NothingInCommon(LoginRefused):
    """The server and this client share no algorithm or, after a key was refused, no other kind of host key."""


def open_connection(options: Options) -> Connection:
    """Connect, log in, open the sftp subsystem. Raises LoginRefused, TransportLost, ReconnectNeeded, or one of ``LOST``."""
    connection = Connection(options.login.host, options.login.user or getpass.getuser(), port=options.port, cnopts=options)
    try:
        connection.sftp_client  # noqa: B018 - pysftp opens the channel when it is asked for
    except paramiko.SSHException as exc:
        if connection.is_alive():
            raise LoginRefused(
                f"the login works, but the server offers no SFTP to it ({exc})", "Have it switched on there"
            ) from exc
        raise
    return connection


class Connection(pysftp.Connection):  # type: ignore[misc]
    """pysftp's connection, whose ``sftp_client`` is a ``Client``."""

    _sftp_live: bool

    def _start_transport(self, host: str, port: int) -> None:
        limit = self._cnopts.login.connect_secs
        sock = dial_name(host, port, limit)
        sock.settimeout(limit)
        try:
            sock = CountedSocket(sock, self._cnopts.meter)
            self._cnopts.link.hold(sock)
            transport = _Session(sock)
        except BaseException:
            sock.close()
            raise
        transport.options = self._cnopts
        # The caller limits the whole login; paramiko's own limits must not be shorter.
        transport.banner_timeout = transport.handshake_timeout = transport.auth_timeout = transport.channel_timeout = limit
        self._transport = transport

    def _set_authentication(self, *_: Any) -> None:
        """Does nothing: ``_Session`` logs in, as pysftp would take RSA keys alone."""

    def _sftp_connect(self) -> None:
        if not self._sftp_live:
            self._sftp = Client.from_transport(self._transport)
            self._sftp_live = True

    def is_alive(self) -> bool:
        """Whether paramiko's thread still runs."""
        return bool(self._transport.is_active())

    def close(self) -> None:
        """Shut the socket down. The garbage collector calls this as well, so it must not wait."""
        if self._transport is not None:
            hang_up(self._transport.sock)


class _Session(paramiko.Transport):  # type: ignore[misc]
    """paramiko's transport, which checks the host key for the right port and logs in with any kind of key."""

    options: Options

    def connect(self, hostkey: None = None, username: str = "", password: None = None, pkey: None = None) -> None:
        """Called by pysftp in the end; see ``open_connection``."""
        login = self.options.login
        files = [login.known_hosts] if login.known_hosts else [os.path.expanduser(path) for path in _KNOWN]
        try:
            known = keys_on_file(() if login.host_key else files, login.host, self.options.port)
        except OSError as exc:
            raise ServerNotTrusted(
                "known hosts not readable",
                f"known_hosts cannot be read ({exc}), so no host key is known",
                "Mend it, or set KnownHostsFile or HostKey",
            ) from exc
        # A server offers one of its keys only, so known kinds are asked for first.
        security, kinds = self.get_security_options(), [kind for kind, _ in known.keys]
        allowed = [kind for kind in security.key_types if not is_among(kind, login.without)]
        security.key_types = tuple(sorted(allowed, key=lambda kind: not is_among(kind, kinds)))
        try:
            self.start_client()
        except paramiko.IncompatiblePeer as exc:
            raise NothingInCommon(f"the server and this paramiko share no algorithm: {exc}", "Update the older of the two") from exc
        self._check(self.get_remote_server_key(), known, files[0])
        self.set_keepalive(login.alive_secs)
        self._log_in(username)

    def _check(self, key: Any, known: KnownKeys, new_file: str) -> None:
        login, kind = self.options.login, key.get_name()
        offered_key, where = f"{kind} {key.fingerprint}", place(login.host, login.port)
        if login.host_key is not None:
            if key.fingerprint != login.host_key:
                raise AnotherKey(offered_key)
        elif key.asbytes() in known.revoked:
            raise revoked_key(where, offered_key)
        elif known.keys:
            if (kind, key.asbytes()) not in known.keys:
                raise changed_key(where, offered_key)
        elif not login.accept_new:
            raise unknown_key(where, offered_key)
        elif not remember(new_file, login.host, self.options.port, kind, key.get_base64()):
            raise ServerNotTrusted(
                "host key not written down",
                f"the new host key of {where} cannot be written to {new_file}",
                "Make it writable, or set KnownHostsFile",
            )

    def _log_in(self, user: str) -> None:
        login, password = self.options.login, self.options.password
        agent = paramiko.Agent() if login.key_file is None and password is None else None
        reason = "there is no key, no agent and no Password to log in with"
        attempts: list[tuple[str, Callable[[], Any]]] = []
        try:
            for key in _keys(login, agent)[:_MOST_KEYS]:
                attempts.append(("publickey", partial(self.auth_publickey, user, key)))
            if password is not None:
                attempts.append(("password", partial(self.auth_password, user, password, fallback=False)))
                attempts.append(("question", partial(self.auth_interactive, user, _Replies(password))))
            for number, (method, attempt) in list(enumerate(attempts))[self.options.skip :]:
                try:
                    attempt()
                except paramiko.AuthenticationException as exc:
                    reason = str(exc)
                    if not self.is_active():
                        if number > self.options.skip:
                            raise ReconnectNeeded(number) from exc
                        raise TransportLost(f"the connection ended during the login: {reason}") from exc
                    if method == "password" and "keyboard-interactive" not in getattr(exc, "allowed_types", ()):
                        break  # a wrong password is not tried twice
                if self.is_authenticated():
                    return
        finally:
            if agent is not None:
                agent.close()
        raise LoginRefused(f"the login was refused ({reason})", "Check User, KeyFile or Password, and the account on the server")


class _Replies:
    """Replies to keyboard-interactive questions (RFC 4256): the password once, to a question for a password. Called in
    paramiko's own thread, which ends with what this raises and hands the exception on."""

    def __init__(self, password: str) -> None:
        self._password, self._answered = password, False

    def __call__(self, title: str, instructions: str, questions: list[tuple[str, bool]]) -> list[str]:
        for question, _ in questions:
            if len(questions) > 1 or self._answered or not asks_for_password(question):
                raise LoginRefused(
                    f"the login was refused (the server asked {question[:80]!r}, which is not answered from here)",
                    "Check User, KeyFile or Password, and the account on the server",
                )
        self._answered = self._answered or bool(questions)
        return [self._password for _ in questions]


def _keys(login: Login, agent: Any) -> list[Any]:
    """The key in KeyFile alone, or the agent's keys and those in the usual files; none where only a password is set."""
    if login.key_file is not None:
        try:
            return [paramiko.PKey.from_path(login.key_file)]
        except _BAD_KEY as exc:
            refused = LoginRefused(
                f"the key file {login.key_file} cannot be used: {exc}", "Set KeyFile to one without a passphrase, or use an agent"
            )
            raise explained(refused, login.key_file, login.user, by_ssh=False) from exc
    keys = list(agent.get_keys()) if agent is not None else []
    for path in _KEYS if agent is not None else ():
        with contextlib.suppress(*_BAD_KEY):  # a missing or locked key file is skipped
            keys.append(paramiko.PKey.from_path(os.path.expanduser(path)))
    return keys


class Client(paramiko.SFTPClient):  # type: ignore[misc]
    """paramiko's client, which records the server's extensions, raises ``Status``, and checks the reply to every WRITE. For one
    thread at a time."""

    extensions: frozenset[str] = frozenset()

    def open_new(self, path: bytes) -> bytes:
        """The handle of a new file, open for writing. No paramiko.SFTPFile is used: it may talk to the server when it is
        garbage collected, and hides the reply to CLOSE."""
        _, answer = self._request(CMD_OPEN, path, SFTP_FLAG_WRITE | SFTP_FLAG_CREATE | SFTP_FLAG_EXCL, paramiko.SFTPAttributes())
        return bytes(answer.get_binary())

    def write(
        self,
        handle: bytes,
        fd: int,
        size: int,
        moved: Callable[[int], None],
        pace: Pace,
        step: Callable[[], None],
        took: Callable[[int, bytes], None] = lambda at, data: None,
    ) -> None:
        """Write the first ``size`` bytes of a file, at ``pace``. ``moved`` is called with the number of bytes acknowledged so
        far, ``step`` while the pace makes it wait, ``took`` with the offset and the bytes of each piece sent.

        Raises SourceChanged where the source is shorter or cannot be read, Status where the server refuses a WRITE.
        """
        answers, sent, channel = _Answers(self), 0, self.get_channel()
        while sent < size or answers.waiting:
            full = len(answers.waiting) >= _IN_FLIGHT or sent >= size
            if full or (answers.waiting and channel.recv_ready()):
                self._read_response()
                if answers.failed is not None:
                    raise answers.failed
                moved(answers.confirmed)
                continue
            block = _read(fd, min(pace.piece(_BLOCK), size - sent))
            took(sent, block)
            pace.hold(len(block), step)
            answers.waiting[self._async_request(answers, CMD_WRITE, handle, int64(sent), block)] = len(block)
            sent += len(block)

    def sync(self, handle: bytes, secs: float) -> None:
        """fsync@openssh.com, where the server offers it; the reply may take ``secs`` seconds longer than others."""
        if FSYNC not in self.extensions:
            return
        channel = self.get_channel()
        limit = channel.gettimeout()
        channel.settimeout(limit + secs)
        try:
            self._request(CMD_EXTENDED, FSYNC, handle)
        except Status as exc:
            if exc.code != Status.OP_UNSUPPORTED:
                raise
        finally:
            channel.settimeout(limit)

    def close_handle(self, handle: bytes) -> None:
        """CLOSE, and read the reply: without a sync the server may only now know that its disk is full."""
        self._request(CMD_CLOSE, handle)

    def _send_version(self) -> int:
        hello = paramiko.Message()
        hello.add_int(_VERSION)
        self._send_packet(CMD_INIT, hello)
        kind, data = self._read_packet()
        if kind != CMD_VERSION:
            raise SFTPError("the server's first word is not SFTP")
        answer, names = paramiko.Message(data), []
        version = int(answer.get_int())
        while answer.get_remainder():
            names.append(answer.get_binary().decode("ascii", "replace"))
            answer.get_binary()
        self.extensions = frozenset(names)
        return version

    def _convert_status(self, message: Any) -> None:
        code = message.get_int()
        if code != _OK:
            raise Status(code, message.get_binary().decode("utf-8", "replace"))


class _Answers:
    """paramiko's receiver of the replies to WRITE requests, in whatever order they arrive. ``waiting``: request number ->
    bytes."""

    def __init__(self, client: Client) -> None:
        self.waiting: dict[int, int] = {}
        self.confirmed = 0
        self.failed: Status | None = None
        self._client = client

    def _async_response(self, kind: int, message: Any, number: int) -> None:
        size = self.waiting.pop(number)
        try:
            self._client._convert_status(message)
        except Status as exc:
            self.failed = self.failed or exc  # not raised here: the caller may be waiting for another file's reply
        else:
            self.confirmed += size


def _read(fd: int, size: int) -> bytes:
    try:
        block = os.read(fd, size)
    except OSError as exc:
        raise SourceChanged(f"the source cannot be read: {exc.strerror}") from exc
    if not block:
        raise SourceChanged("the source ended before the size that was to be sent")
    return block
