"""A real Pure-FTPd on loopback: own files, own certificate, one login of its own.

::

    with pureftpd_server(tmp_path, tls="explicit") as server:
        transport = FTPTransport(server.settings(), workdir)

``missing()`` says why there can be none: it wants to be started by root, and serves as nobody. It is found in the PATH, or where
``PYSUBTASK_SERVERS`` says (``.ci/servers``).
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ._certificate import Certificate, make_certificate
from ._daemon import Daemon
from ._programs import absent, find_server
from ._settings import ftp_settings

_NOBODY = 65_534  # it takes no login as root
_DATA_PORTS = 40


def missing() -> str | None:
    """The reason why no Pure-FTPd can be started here; None when it can."""
    if sys.platform == "win32":
        raise NotImplementedError
    for name in ("pure-ftpd", "pure-authd"):
        if find_server(name) is None:
            return absent(name, "pure-ftpd")
    return None if os.getuid() == 0 else "pure-ftpd: needs root"


class PureFTPdServer(Daemon):
    """A running Pure-FTPd. ``files`` is the folder that a login is locked into; it belongs to nobody, as whom it writes."""

    name = "pure-ftpd"
    ports_needed = _DATA_PORTS + 1

    def __init__(self, root: Path, tls: str | None, flags: tuple[str, ...]) -> None:
        if sys.platform == "win32":
            raise NotImplementedError
        super().__init__(root)
        self.tls = tls
        self.user, self.password = "pi", "a password"
        self.certificate: Certificate | None = None
        self._flags = flags
        self._place = tempfile.mkdtemp(prefix="pure-")  # a socket's name may have 107 bytes, and a test's folder has a long one
        os.chown(self.files, _NOBODY, _NOBODY)
        if tls is not None:
            self.certificate = make_certificate(root / "tls")

    def settings(self, **more: Any) -> dict[str, Any]:
        """Settings of an FTPTransport that logs in here and verifies the certificate."""
        if sys.platform == "win32":
            raise NotImplementedError
        settings = ftp_settings(self.host, self.port, self.user, self.password, tls=self.tls, certificate=self.certificate)
        return {**settings, **more}

    def make_folder(self, name: str) -> Path:
        """A folder below ``files`` that it may write to."""
        if sys.platform == "win32":
            raise NotImplementedError
        folder = self.files / name
        folder.mkdir()
        os.chown(folder, _NOBODY, _NOBODY)
        return folder

    def close(self) -> None:
        """End the server, release its ports and remove its temporary folder."""
        if sys.platform == "win32":
            raise NotImplementedError
        super().close()
        shutil.rmtree(self._place, ignore_errors=True)

    def _prepare(self, ports: range) -> list[list[str]]:
        if sys.platform == "win32":
            raise NotImplementedError
        program, asks = find_server("pure-ftpd"), find_server("pure-authd")
        assert program is not None and asks is not None
        socket = os.path.join(self._place, "login")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(socket)
        answer = self.root / "answer.sh"
        grant = f"uid:{_NOBODY}\\ngid:{_NOBODY}\\ndir:{self.files}/./\\nend\\n"
        answer.write_text(
            "#!/bin/sh\n"
            f'if [ "$AUTHD_ACCOUNT" = {shlex.quote(self.user)} ] && [ "$AUTHD_PASSWORD" = {shlex.quote(self.password)} ]\n'
            f"then printf 'auth_ok:1\\n{grant}'\nelse printf 'auth_ok:-1\\nend\\n'\nfi\n"
        )
        os.chmod(answer, 0o700)
        words = [
            program,
            "--bind",
            f"{self.host},{ports[0]}",
            "--ipv4only",
            "--login",
            f"extauth:{socket}",
            "--noanonymous",
            "--minuid",
            "1",
            "--chrooteveryone",
            "--dontresolve",
            "--maxclientsperip",
            "100",
            "--maxclientsnumber",
            "100",
            "--pidfile",
            str(self.root / "pid"),
            "--passiveportrange",
            f"{ports[1]}:{ports[-1]}",
            "--umask",
            "022:022",
        ]
        if self.certificate is not None:
            words += ["--tls", "3", "--certfile", str(self.certificate.whole)]
        return [[asks, "--socket", socket, "--run", str(answer)], [*words, *self._flags]]


@contextlib.contextmanager
def pureftpd_server(
    root: str | os.PathLike[str], *, tls: str | None = None, flags: tuple[str, ...] = ()
) -> Iterator[PureFTPdServer]:
    """A running Pure-FTPd whose files are in ``root``/files; ended with everything it serves at the end.

    ``tls``: None or "explicit", which it then demands. ``flags``: more words of its command line, such as ``"--norename"`` (no
    rename over a file), ``"--autorename"`` (a file that exists is kept, the new one gets another name) or
    ``"--prohibitdotfileswrite"``.
    """
    server = PureFTPdServer(Path(root).absolute(), tls, flags)
    try:
        server.start()
        yield server
    finally:
        server.close()
