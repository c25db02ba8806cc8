"""The inside of the FTP server: pyftpdlib's handlers, made to obey the oddities. Runs on the server's own thread."""

from __future__ import annotations

import hashlib
import logging
import os
import zlib
from typing import TYPE_CHECKING, Any

from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.filesystems import AbstractedFS
from pyftpdlib.handlers import FTPHandler
from pyftpdlib.ioloop import AsyncChat

from .ftp import OddFile
from .ports import PortsInTurn

if TYPE_CHECKING:
    from .ftp import FTPServer

_ALL = "elradfmwMT"
_HASHES = {"SHA-1": "sha1", "SHA-256": "sha256", "MD5": "md5"}


class _Files(AbstractedFS):  # type: ignore[misc]
    """The files, on a disk that can be full or lose bytes."""

    def open(self, filename: str, mode: str) -> Any:
        file, owner = super().open(filename, mode), self.cmd_channel.owner
        if mode == "rb":
            return file
        owner.flips, flips = max(0, owner.flips - 1), owner.flips > 0
        return OddFile(file, owner.oddities, flips, owner.heard)


class _OddHandler:
    """What is common to plain and TLS handlers; ``owner`` is the server it belongs to."""

    owner: FTPServer
    fs: AbstractedFS
    _restart_position: int
    _extra_feats: list[str]
    _hash = "SHA-1"  # the algorithm of HASH until OPTS HASH selects another

    def handle(self) -> None:
        limit = self.owner.oddities.max_sessions
        if limit is not None and len(self.owner.sessions) >= limit:
            self.respond("421 There are too many connected users, please try later.")
            self.close_when_done()  # type: ignore[attr-defined]
            return
        self.owner.sessions.add(self)
        hashes = self.owner.oddities.hashes
        self._extra_feats += ["HASH SHA-1*;SHA-256;MD5" if name == "HASH" else name for name in hashes]
        if self.owner.tls == "implicit":
            self.secure_connection(self.get_ssl_context())  # type: ignore[attr-defined]
        else:
            super().handle()  # type: ignore[misc]

    def handle_ssl_established(self) -> None:
        super().handle_ssl_established()  # type: ignore[misc]
        if self.owner.tls == "implicit":
            super().handle()  # type: ignore[misc]

    def close(self) -> None:
        self.owner.sessions.discard(self)
        super().close()  # type: ignore[misc]

    def _on_dtp_connection(self) -> None:
        super()._on_dtp_connection()  # type: ignore[misc]
        # Its socket is the data handler's now. Kept, it would be closed at the next PORT by a number that by then
        # may be another session's socket, which would hang from there on.
        self._dtp_connector = None

    def push(self, data: str) -> None:
        # pyftpdlib's own cannot send a name back that is not UTF-8.
        AsyncChat.push(self, data.encode("utf-8", "surrogateescape"))

    def process_command(self, cmd: str, *args: Any, **kwargs: Any) -> None:
        self.owner.counts[cmd] += 1
        super().process_command(cmd, *args, **kwargs)  # type: ignore[misc]

    def respond(self, resp: str, **more: Any) -> None:
        reply = resp
        if resp.startswith("426 None;") and self.owner.oddities.full_reply is not None:
            reply = self.owner.oddities.full_reply
        if resp.startswith("226") and self.owner.loses("STOR"):
            self.close()
            return
        super().respond(reply, **more)  # type: ignore[misc]

    def ftp_PASS(self, line: str) -> None:
        self.owner.logins += 1
        if self.owner.logins in self.owner.oddities.busy_logins:
            self.respond("421 Too many users are logged in.")
            self.close_when_done()  # type: ignore[attr-defined]
            return
        super().ftp_PASS(line)  # type: ignore[misc]

    def ftp_STOR(self, file: str, mode: str = "w") -> Any:
        if self.owner.oddities.restart == "refused" and self._restart_position:
            self.respond("451 Append/Restart not permitted, try again.")  # and the offset of REST stays in force
            return None
        return super().ftp_STOR(file, mode)  # type: ignore[misc]

    def ftp_OPTS(self, line: str) -> None:
        if not line.upper().startswith("HASH "):
            super().ftp_OPTS(line)  # type: ignore[misc]
        elif line[5:] not in _HASHES:
            self.respond("501 Unknown algorithm.")
        else:
            self._hash = line[5:]
            self.respond(f"200 {self._hash}")

    def ftp_HASH(self, path: str) -> None:
        self._tell_hash(path, self._hash, "213 {name} 0-{size} {hash} {path}")

    def ftp_XSHA256(self, path: str) -> None:
        self._tell_hash(path, "SHA-256", "250 {hash}")

    def ftp_XMD5(self, path: str) -> None:
        self._tell_hash(path, "MD5", "251 {hash}")

    def ftp_XCRC(self, path: str) -> None:
        self._tell_hash(path, "CRC32", "250 XCRC {hash}")

    def _tell_hash(self, path: str, name: str, words: str) -> None:
        if path.startswith('"') and path.endswith('"'):
            path = path[1:-1]
        try:
            with open(self.fs.ftp2fs(path), "rb") as file:
                data = file.read()
        except OSError as exc:
            self.respond(f"550 {exc.strerror}.")
            return
        found = f"{zlib.crc32(data):X}" if name == "CRC32" else hashlib.new(_HASHES[name], data).hexdigest()
        self.respond(words.format(name=name, size=len(data), hash=found, path=path))

    def ftp_RNTO(self, path: str) -> None:
        if not self.owner.oddities.rename_over and os.path.lexists(path):
            self._rnfr = None
            self.respond("550 Rename failed: a file of that name exists.")
            return
        if self.owner.loses("RNTO"):
            os.replace(self._rnfr, path)  # type: ignore[arg-type]
            self.close()
            return
        super().ftp_RNTO(path)  # type: ignore[misc]


def make_handler(owner: FTPServer, data_ports: range, tls_version: str | None) -> type[Any]:
    """A handler class for one server."""
    authorizer = DummyAuthorizer()
    permissions = _ALL if owner.oddities.rename else _ALL.replace("f", "")
    authorizer.add_user(owner.user, owner.password, str(owner.files), perm=permissions)
    commands = {name: row for name, row in FTPHandler.proto_cmds.items() if name not in owner.oddities.without}
    # No "perm": then pyftpdlib leaves the argument as it came, quotes and all.
    commands |= {name: {"perm": None, "auth": True, "arg": True, "help": name} for name in owner.oddities.hashes}
    values: dict[str, Any] = {
        "owner": owner,
        "authorizer": authorizer,
        "abstracted_fs": _Files,
        "passive_ports": PortsInTurn(data_ports),
        # The same encoding under a name that FEAT does not look for.
        "encoding": "utf-8" if owner.oddities.utf8 else "u8",
        "unicode_errors": "surrogateescape",
        "auth_failed_timeout": 0,
        "proto_cmds": commands,
    }
    if owner.tls is None:
        return type("Handler", (_OddHandler, FTPHandler), values)
    return type("TLSHandler", (_OddHandler, _tls_base()), {**values, **_tls_values(owner, commands, tls_version)})


def _tls_data() -> type[Any]:
    """TLS data connections that tell an end from a cut (RFC 4217 section 12.4); pyftpdlib's own may never answer a cut."""
    from OpenSSL import SSL
    from pyftpdlib.handlers import TLS_DTPHandler

    class Data(TLS_DTPHandler):  # type: ignore[misc]
        _error: bool
        _resp: Any

        def close(self) -> None:
            if self.receive and self._ssl_established and not self.socket.get_shutdown() & SSL.RECEIVED_SHUTDOWN:
                if not self._error:
                    self._resp = ("426 The data ended without a close_notify.", logging.debug)
                self._error = True
            super().close()

    return Data


def _tls_base() -> type[Any]:
    from pyftpdlib.handlers import TLS_FTPHandler

    found: type[Any] = TLS_FTPHandler
    return found


def _tls_values(owner: FTPServer, commands: dict[str, Any], tls_version: str | None) -> dict[str, Any]:
    from OpenSSL import SSL

    assert owner.certificate is not None
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.use_certificate_chain_file(str(owner.certificate.file))
    context.use_privatekey_file(str(owner.certificate.key))
    if tls_version is not None:
        version = SSL.TLS1_2_VERSION if tls_version == "1.2" else SSL.TLS1_3_VERSION
        context.set_min_proto_version(version)
        context.set_max_proto_version(version)
    tls_commands = {name: row for name, row in _tls_base().proto_cmds.items() if name in ("AUTH", "PBSZ", "PROT")}
    return {
        "dtp_handler": _tls_data(),
        "ssl_context": context,
        "tls_control_required": True,
        "tls_data_required": True,
        "proto_cmds": {**commands, **{name: row for name, row in tls_commands.items() if name not in owner.oddities.without}},
    }
