"""An SFTP server with the quirks of a profile as a process of its own, which can be killed, stopped and started again.

``python -m proofs.torture.quirk_daemon FOLDER PORT PROFILE`` runs it until it is ended.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pysubtask.testing.servers._daemon import Daemon
from pysubtask.testing.servers.sshd import fingerprint

from ..profiles import PROFILES, ServerProfile

_USER = "demo"


class QuirkDaemon(Daemon):
    """The server's process; ``files`` is the root of a login. Created by ``quirk_daemon``. ``host_key``: its fingerprint."""

    name = "the server with quirks"
    greeting = b"SSH-"

    def __init__(self, root: Path, profile: ServerProfile) -> None:
        super().__init__(root)
        self.profile = profile
        self.host_key = ""

    def settings(self, **more: Any) -> dict[str, Any]:
        """Settings of a transport that logs in here."""
        return {
            "Host": self.host,
            "HostPort": self.port,
            "User": _USER,
            "KeyFile": str(self.root / "client_key"),
            "HostKey": self.host_key,
            "SSHConfigFile": "none",
            **more,
        }

    def server_pids(self) -> list[int]:
        """The one process that listens and serves."""
        return [process.pid for process in self._processes]

    def _prepare(self, ports: range) -> list[list[str]]:
        return [[sys.executable, "-m", __name__, str(self.root), str(ports[0]), self.profile.name]]

    def _environment(self) -> dict[str, str]:
        above = str(Path(__file__).resolve().parents[2])
        return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (above, os.environ.get("PYTHONPATH", ""))))}

    def _started(self) -> None:
        self.host_key = self.host_key or fingerprint(self.root / "host_key")


@contextlib.contextmanager
def quirk_daemon(root: Path, profile: ServerProfile) -> Iterator[QuirkDaemon]:
    """A running one in a folder of its own."""
    root.mkdir(parents=True, exist_ok=True)
    server = QuirkDaemon(root, profile)
    server.start()
    try:
        yield server
    finally:
        server.close()


def main() -> None:
    """Serve until a signal comes."""
    if sys.platform == "win32":
        raise NotImplementedError
    from pysubtask.testing.servers.quirk_sftp import quirk_sftp_server

    root, port, name = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    signals = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)  # for the server's own thread, too
    with quirk_sftp_server(root / "files", PROFILES[name].quirks(), user=_USER, keys=root, port=port):
        signal.sigwait(signals)


if __name__ == "__main__":
    main()
