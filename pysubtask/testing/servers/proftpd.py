"""A real ProFTPD on loopback, as the user who runs the test: FTP, FTP over TLS, or SFTP (its mod_sftp).

::

    with proftpd_server(tmp_path, "sftp", AllowOverwrite="off") as server:
        transport = SFTPTransport(server.settings(), workdir)

``missing()`` says why there can be none. It is found in the PATH, or where ``PYSUBTASK_SERVERS`` says (``.ci/servers``).
"""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ._certificate import Certificate, make_certificate
from ._daemon import Daemon
from ._programs import absent, find_server, modules
from ._settings import ftp_settings, login_settings
from ._ssh_keys import find_program, fingerprint, login_by_key, make_key, write_known_hosts

PROTOCOLS = ("ftp", "ftps", "sftp")
_DATA_PORTS = 40
_LOGIN = "pi"
_PASSWORD = "a password"
_DIGEST = "$5$pysubtask$2YcdtvjhjUp/8lNezm43l67uDDru7V1cjbX0g.sMjn6"  # SHA-256 crypt of it


def missing(protocol: str = "ftp") -> str | None:
    """The reason why no ProFTPD can be started here that speaks this; None when it can."""
    if find_server("proftpd") is None:
        return absent("proftpd", "proftpd-core proftpd-mod-crypto")
    module = {"ftps": "mod_tls.so", "sftp": "mod_sftp.so"}.get(protocol)
    folder = modules("proftpd")
    if module is not None and (folder is None or not (folder / module).exists()):
        return absent(f"proftpd's {module}", "proftpd-mod-crypto")
    if protocol == "sftp" and find_program("ssh-keygen") is None:
        return "ssh-keygen is not installed (apt-get install openssh-client)"
    return None


class ProFTPDServer(Daemon):
    """A running ProFTPD. ``files`` is the folder that a login starts in; nobody is locked into it. With SFTP ``host_key`` is the
    fingerprint of its key, ``known_hosts`` and ``key_file`` are files; with FTP over TLS ``certificate`` is what it shows."""

    name = "proftpd"

    def __init__(self, root: Path, protocol: str, lines: tuple[str, ...], options: dict[str, Any]) -> None:
        if protocol not in PROTOCOLS:
            raise ValueError(f"{protocol!r} is none of {PROTOCOLS}")
        super().__init__(root)
        self.protocol = protocol
        self.user, self.password = _LOGIN, _PASSWORD
        self.certificate: Certificate | None = None
        self.known_hosts, self.key_file, self.host_key = root / "known_hosts", root / "id_ed25519", ""
        self._lines, self._options = lines, options
        if protocol == "sftp":
            self.greeting = b"SSH-"
            for key in ("host_ed25519", "id_ed25519"):
                make_key(root / key)
            self.host_key = fingerprint(root / "host_ed25519.pub")
            self._write_authorized_keys()
        else:
            self.ports_needed = _DATA_PORTS + 1
        if protocol == "ftps":
            self.certificate = make_certificate(root / "tls")

    def settings(self, **more: Any) -> dict[str, Any]:
        """Settings of a transport that logs in here, and knows the host key or the certificate."""
        if self.protocol == "sftp":
            return {**login_settings(self.host, self.port, self.user), **login_by_key(self.key_file, self.known_hosts), **more}
        settings = ftp_settings(
            self.host,
            self.port,
            self.user,
            self.password,
            tls="explicit" if self.certificate else None,
            certificate=self.certificate,
        )
        return {**settings, **more}

    def _prepare(self, ports: range) -> list[list[str]]:
        if sys.platform == "win32":
            raise NotImplementedError
        program, folder = find_server("proftpd"), modules("proftpd")
        assert program is not None
        uid, gid = os.getuid(), os.getgid()
        users = self.root / "users"
        users.write_text(f"{self.user}:{_DIGEST}:{uid}:{gid}::{self.files}:/bin/sh\n")
        os.chmod(users, 0o600)
        options: dict[str, Any] = {
            "ServerType": "standalone",
            "Port": ports[0],
            "DefaultAddress": self.host,
            "SocketBindTight": "on",
            "UseIPv6": "off",
            "User": pwd.getpwuid(uid).pw_name,
            "Group": grp.getgrgid(gid).gr_name,
            "AuthOrder": "mod_auth_file.c",
            "AuthUserFile": users,
            "RequireValidShell": "off",
            "RootLogin": "on",
            "UseReverseDNS": "off",
            "PidFile": self.root / "pid",
            "ScoreboardFile": self.root / "scoreboard",
            "WtmpLog": "off",
            "SystemLog": self.root / "log",
            "TransferLog": "none",
            "AllowOverwrite": "on",
            "AllowStoreRestart": "on",
            "AllowRetrieveRestart": "on",
            "Umask": "022",
            "MaxInstances": 100,
            "TimesGMT": "on",
        }
        load = []
        if folder is not None:
            load.append(f'ModulePath "{folder}"')
        if self.protocol == "sftp":
            load.append("LoadModule mod_sftp.c")
            options |= {
                "SFTPEngine": "on",
                "SFTPHostKey": self.root / "host_ed25519",
                "SFTPAuthMethods": "publickey",
                "SFTPAuthorizedUserKeys": f'"file:{self.root}/authorized_keys"',
            }
        else:
            options["PassivePorts"] = f"{ports[1]} {ports[-1]}"
        if self.certificate is not None:
            load.append("LoadModule mod_tls.c")
            options |= {
                "TLSEngine": "on",
                "TLSRequired": "on",
                "TLSECCertificateFile": self.certificate.file,
                "TLSECCertificateKeyFile": self.certificate.key,
                "TLSVerifyClient": "off",
            }
        # A path may have a blank; words of the caller's are lines as they are.
        quoted = {key: f'"{value}"' if isinstance(value, Path) else value for key, value in options.items()}
        words = [f"{key} {value}" for key, value in {**quoted, **self._options}.items()]
        # A slowed-down login, its default, is no use here; a module that is built in or not asks for the test.
        words.append("<IfModule mod_delay.c>\nDelayEngine off\n</IfModule>")
        (self.root / "proftpd.conf").write_text("\n".join([*load, *words, *self._lines]) + "\n")
        return [[program, "--nodaemon", "--config", str(self.root / "proftpd.conf")]]

    def _started(self) -> None:
        if self.protocol == "sftp":
            write_known_hosts(self.known_hosts, self.host, self.port, self.root / "host_ed25519.pub")

    def _write_authorized_keys(self) -> None:
        """Write the keys in the format of RFC 4716, which mod_sftp reads."""
        program = find_program("ssh-keygen")
        assert program is not None
        completed = subprocess.run(
            [program, "-e", "-f", str(self.root / "id_ed25519.pub")], check=True, capture_output=True, stdin=subprocess.DEVNULL
        )
        (self.root / "authorized_keys").write_bytes(completed.stdout)


@contextlib.contextmanager
def proftpd_server(
    root: str | os.PathLike[str], protocol: str = "ftp", *, lines: tuple[str, ...] = (), **options: Any
) -> Iterator[ProFTPDServer]:
    """A running ProFTPD whose files are in ``root``/files; ended with everything it serves at the end.

    ``protocol``: "ftp", "ftps" (explicit TLS, which it demands) or "sftp". ``options``: directives of its configuration, in the
    place of what they are here (``AllowOverwrite="off"``); ``lines``: lines at its end, such as a ``<Limit SIZE>`` section.
    """
    server = ProFTPDServer(Path(root).absolute(), protocol, lines, options)
    try:
        server.start()
        yield server
    finally:
        server.close()
