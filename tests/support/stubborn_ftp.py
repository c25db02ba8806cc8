"""An FTPS server that refuses data connections which resume a TLS session."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pysubtask.testing.servers.ftp import Oddities
from pysubtask.testing.servers.quirk_ftp import QuirkFTPServer
from pysubtask.testing.servers.quirks import Quirks


class _Stubborn(QuirkFTPServer):
    """Refuses data connections that go on with a session; over these versions of TLS, or over 1.3 all of them."""

    refused: tuple[str, ...] = ()

    def _handler(self, data_ports: range, tls_version: str | None) -> type[Any]:
        from OpenSSL import SSL

        handler = super()._handler(data_ports, tls_version)
        base, refused = handler.dtp_handler, self.refused

        class Data(base):  # type: ignore[misc, valid-type]
            def handle_ssl_established(self) -> None:
                version = {"TLSv1.2": "1.2", "TLSv1.3": "1.3"}[self.socket.get_protocol_version_name()]
                reused = bool(SSL._lib.SSL_session_reused(self.socket._ssl))  # type: ignore[attr-defined]
                if version in refused and (reused or len(refused) == 1):
                    self._resp = ("522 SSL connection failed", logging.debug)
                    self._error = True
                    self.close()
                    return
                super().handle_ssl_established()

        handler.dtp_handler = Data
        return handler


@contextlib.contextmanager
def stubborn_server(root: Path, refused: tuple[str, ...]) -> Iterator[_Stubborn]:
    root.parent.mkdir(parents=True, exist_ok=True)
    server = _Stubborn(root, "explicit", None, Quirks(), Oddities())
    server.refused = refused
    try:
        server.start()
        yield server
    finally:
        server.close()
