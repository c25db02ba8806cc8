"""A real ``rclone serve`` on loopback, over SFTP or FTP: a file system that is an object store's, as far as rclone makes one.

::

    with rclone_server(tmp_path, "sftp") as server:
        transport = SFTPTransport(server.settings(), workdir)

Without a cache (its default here) no file can be written to at an offset, and none be appended to. ``missing()`` says why there can
be none.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ._daemon import Daemon
from ._programs import absent, environment, find_server
from ._settings import ftp_settings, login_settings
from ._ssh_keys import find_program, fingerprint, login_by_key, make_key, write_known_hosts

PROTOCOLS = ("sftp", "ftp")
_DATA_PORTS = 40


@functools.cache
def missing(protocol: str = "sftp") -> str | None:
    """The reason why no rclone can serve this here; None when it can. Debian's has no ``serve ftp``."""
    program = find_server("rclone")
    if program is None:
        return absent("rclone", "rclone")
    completed = subprocess.run([program, "serve", "--help"], capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    if not re.search(rf"^ +{protocol} ", completed.stdout, re.MULTILINE):
        return absent(f"rclone with 'serve {protocol}'", "rclone")
    return None if find_program("ssh-keygen") else "ssh-keygen is not installed (apt-get install openssh-client)"


class RcloneServer(Daemon):
    """A running ``rclone serve``. ``files`` is what a login sees as "/". With SFTP ``host_key`` is the fingerprint of its key,
    ``known_hosts`` and ``key_file`` are files."""

    name = "rclone"

    def __init__(self, root: Path, protocol: str, flags: tuple[str, ...]) -> None:
        if protocol not in PROTOCOLS:
            raise ValueError(f"{protocol!r} is none of {PROTOCOLS}")
        super().__init__(root)
        self.protocol = protocol
        self.user, self.password = "pi", "a-password"
        self.known_hosts, self.key_file, self.host_key = root / "known_hosts", root / "id_ed25519", ""
        self._flags = flags
        if protocol == "sftp":
            self.greeting = b"SSH-"
            for key in ("host_ed25519", "id_ed25519"):
                make_key(root / key)
            self.host_key = fingerprint(root / "host_ed25519.pub")
        else:
            self.ports_needed = _DATA_PORTS + 1

    def settings(self, **more: Any) -> dict[str, Any]:
        """Settings of a transport that logs in here, and knows the host key."""
        if self.protocol == "sftp":
            return {**login_settings(self.host, self.port, self.user), **login_by_key(self.key_file, self.known_hosts), **more}
        settings = ftp_settings(self.host, self.port, self.user, self.password, tls=None, certificate=None)
        return {**settings, **more}

    def _environment(self) -> dict[str, str]:
        kept = {key: value for key, value in environment().items() if not key.startswith("RCLONE_")}
        # Not on its command line, which others may read.
        return {
            **kept,
            "HOME": str(self.root),
            "RCLONE_CONFIG": str(self.root / "rclone.conf"),
            "RCLONE_USER": self.user,
            "RCLONE_PASS": "" if self.protocol == "sftp" else self.password,
        }

    def _prepare(self, ports: range) -> list[list[str]]:
        program = find_server("rclone")
        assert program is not None
        # Short, so that files which a test writes into the folder are seen soon. At 0 s rclone never ends its search where several
        # folders are created at a time.
        words = [
            program,
            "serve",
            self.protocol,
            str(self.files),
            "--addr",
            f"{self.host}:{ports[0]}",
            "--cache-dir",
            str(self.root / "cache"),
            "--dir-cache-time",
            "100ms",
            "--poll-interval",
            "0s",
            "--log-file",
            str(self.root / "log"),
        ]
        if self.protocol == "sftp":
            words += ["--authorized-keys", str(self.root / "id_ed25519.pub"), "--key", str(self.root / "host_ed25519")]
        else:
            words += ["--passive-port", f"{ports[1]}-{ports[-1]}"]
        return [[*words, *self._flags]]

    def _started(self) -> None:
        if self.protocol == "sftp":
            write_known_hosts(self.known_hosts, self.host, self.port, self.root / "host_ed25519.pub")


@contextlib.contextmanager
def rclone_server(root: str | os.PathLike[str], protocol: str = "sftp", *, flags: tuple[str, ...] = ()) -> Iterator[RcloneServer]:
    """A running ``rclone serve`` whose files are in ``root``/files; ended with everything it serves at the end.

    ``protocol``: "sftp" or "ftp". ``flags``: more words of its command line, such as ``"--vfs-cache-mode=writes"``.
    """
    server = RcloneServer(Path(root).absolute(), protocol, flags)
    try:
        server.start()
        yield server
    finally:
        server.close()
