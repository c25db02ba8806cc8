"""An FTP server with the quirks that servers have, each a switch that may be turned while it runs. Extra ``testing``.

::

    with quirk_ftp_server(tmp_path / "remote", tls="explicit", delete=False) as server:
        transport = FTPTransport(server.settings(), workdir)
        server.quirks.append = "refused"
        server.quirks.reset()

It is ``ftp_server`` besides. What each quirk does: ``Quirks``.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ._quirk_disk import QuirkDisk, TakenFile
from .ftp import FTPServer, Oddities
from .quirks import Quirks


class QuirkFTPServer(FTPServer):
    """A running server with ``quirks``; created by ``quirk_ftp_server``. ``stored``: the bytes that came by data connections."""

    def __init__(self, root: Path, tls: str | None, tls_version: str | None, quirks: Quirks, oddities: Oddities) -> None:
        super().__init__(root, "127.0.0.1", tls, tls_version, oddities)
        self.quirks = quirks
        self.disk = QuirkDisk(str(root), quirks)
        self.stored = 0

    @property
    def taken(self) -> list[TakenFile]:
        """The files taken away so far (``after_publish="taken"``)."""
        return list(self.disk.taken)

    @property
    def turned_away(self) -> int:
        """How many connections and logins were refused (``connections``, ``logins``)."""
        return self.disk.turned_away

    def _handler(self, data_ports: range, tls_version: str | None) -> type[Any]:
        from ._quirk_ftp_handler import make_quirk_handler

        return make_quirk_handler(self, data_ports, tls_version)


@contextlib.contextmanager
def quirk_ftp_server(
    root: str | os.PathLike[str],
    quirks: Quirks | None = None,
    *,
    tls: str | None = None,
    tls_version: str | None = None,
    without: tuple[str, ...] = (),
    hashes: tuple[str, ...] = (),
    **values: Any,
) -> Iterator[QuirkFTPServer]:
    """A running one whose files are in ``root``; ended at the end. ``quirks`` are kept as they are given, or made of ``values``
    (``rename="new"``); the rest as for ``ftp_server``.

    Raises ConfigError where pyftpdlib is missing.
    """
    active = quirks or Quirks()
    active.set(**values)
    server = QuirkFTPServer(Path(os.path.realpath(root)), tls, tls_version, active, Oddities(without=without, hashes=hashes))
    try:
        server.start()
        yield server
    finally:
        server.close()
