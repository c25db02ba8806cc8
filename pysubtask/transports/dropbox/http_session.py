"""The HTTP session that the SDK uses: proxy and certificates as the settings say, and sockets that can be cut."""

from __future__ import annotations

import contextlib
import math
import select
import socket
import struct
import sys
import threading
import time
import urllib.parse
import urllib.request
import weakref
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from typing import Any

from ...common.errors import LONGEST_PAUSE, ConfigError
from ...common.named_files import check_files
from ...common.redact import know, secrets_of_url
from ..shared.dial import dial_name
from ..shared.meter import Meter
from ..shared.pace import Pace
from ..shared.proxy_url import quoted_login

_HOST = "api.dropboxapi.com"
_POLL_SECS = 0.1  # how often the kernel is asked for unsent bytes
_QUIET_SECS = 2.0  # without movement for this long, readable bytes are taken for the reply
_PART = 64 * 1024  # bytes between two looks at the pace and at the progress
_LONGEST_DATE = 64  # longer Retry-After headers are no dates


class HttpSession:
    """Every connection of one session. ``stall``: seconds without progress after which a connection is given up.
    ``connect_secs``: limit for all addresses of a name together, until one accepts (``stall`` where none is given). ``pace``:
    how fast the connections may send together. ``meter`` counts their bytes. ``session``: the ``requests.Session``."""

    def __init__(
        self,
        proxy: str | None,
        ca_file: str | None,
        connections: int,
        stall: float,
        pace: Pace,
        meter: Meter,
        connect_secs: float | None = None,
    ) -> None:
        self.session = make_session(proxy, ca_file)
        self._stall = stall
        self._connect_secs = stall if connect_secs is None else connect_secs
        self._pace = pace
        self._meter = meter
        self._ended = threading.Event()
        self._open: weakref.WeakSet[Any] = weakref.WeakSet()
        self._answers = threading.local()
        self.session.hooks["response"].append(self._answered)
        self.session.mount("https://", self._adapter(connections))

    def cut(self) -> None:
        """End every connection at once, those that another thread waits on included; none is opened any more."""
        self._ended.set()
        for connection in list(self._open):
            sock = connection.sock
            if sock is not None:
                with contextlib.suppress(OSError, ValueError):  # the socket is closed already
                    # SSLSocket.shutdown would drop the TLS state while another thread uses it.
                    socket.socket.shutdown(sock, socket.SHUT_RDWR)
        self.session.close()

    def forget_answer(self) -> None:
        """In the thread of a call, before the call: no reply has come yet."""
        self._answers.retry_after = 0.0

    def retry_after(self) -> float:
        """In the thread of a call, after the call: the seconds in the reply's Retry-After header, or 0."""
        return float(getattr(self._answers, "retry_after", 0.0))

    def _dialled(self, connection: Any) -> socket.socket:
        """Connect in place of urllib3, which tries one address after the other, each for the whole limit (see ``dial``)."""
        from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

        limit = connection.timeout if isinstance(connection.timeout, int | float) else self._stall
        secs = min(float(limit), self._connect_secs)
        host, port = connection._dns_host.strip("[]"), connection.port
        try:
            sock = dial_name(host, port, secs, over=self._ended.is_set)
        except TimeoutError as exc:
            raise ConnectTimeoutError(connection, f"{host} does not answer within {secs:g} s") from exc
        except (OSError, UnicodeError) as exc:
            raise NewConnectionError(connection, f"no connection: {exc}") from exc
        for option in connection.socket_options or ():
            sock.setsockopt(*option)
        sock.settimeout(limit)
        return sock

    def _paced(self, data: Any) -> Iterator[Any]:
        """A request body in parts, each when the pace permits; any other body unchanged."""
        if not isinstance(data, bytes) or not self._pace.rate:
            yield data
            return
        view = memoryview(data)
        while view:
            while (wait := self._pace.wait()) > 0:
                if self._ended.wait(min(wait, 1.0)):
                    raise ConnectionAbortedError("closed")
            part = view[: self._pace.piece(_PART)]
            self._pace.spend(len(part))
            yield part
            view = view[len(part) :]

    def _answered(self, response: Any, *args: Any, **kwargs: Any) -> None:
        # The SDK reports the header of a 429 only, and accepts whole seconds only.
        header = response.headers.get("retry-after")
        if header is not None:
            secs = self._answers.retry_after = pause_in(header, time.time())
            response.headers["retry-after"] = str(math.ceil(secs))

    def _adapter(self, connections: int) -> Any:
        from requests.adapters import HTTPAdapter
        from urllib3.connection import HTTPSConnection
        from urllib3.connectionpool import HTTPSConnectionPool

        from .answer import bounded, timed

        http = self

        class Connection(HTTPSConnection):
            counted: Any = None
            response_class: Any = timed(self._stall)

            def connect(self) -> None:
                http._open.add(self)
                if http._ended.is_set():
                    raise ConnectionAbortedError("closed")
                super().connect()
                # Through a proxy that speaks TLS itself, urllib3 wraps the socket in an object of its own.
                through = getattr(self.sock, "socket", self.sock)
                http._meter.swap(self.counted, through)
                self.counted = through

            def _new_conn(self) -> Any:
                self.counted = http._dialled(self)
                http._meter.add(self.counted)
                return self.counted

            def close(self) -> None:
                http._meter.end(self.counted)
                super().close()

            def send(self, data: Any) -> None:
                for part in http._paced(data):
                    super().send(part)

            def getresponse(self, *args: Any, **kwargs: Any) -> Any:
                _drained(self.sock, http._stall, http._ended)
                return super().getresponse(*args, **kwargs)

        class Pool(HTTPSConnectionPool):
            ConnectionCls = Connection

        class Adapter(HTTPAdapter):
            def build_response(self, req: Any, resp: Any) -> Any:
                return super().build_response(req, bounded(resp))

            def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
                super().init_poolmanager(*args, **kwargs)
                _use(self.poolmanager, Pool)

            def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
                # Towards a proxy urllib3 leaves Nagle's algorithm on, which delays small requests.
                return _use(super().proxy_manager_for(*args, socket_options=Connection.default_socket_options, **kwargs), Pool)

        return Adapter(pool_connections=4, pool_maxsize=connections)


def pause_in(words: str, now: float) -> float:
    """The seconds in a Retry-After header (RFC 9110 section 10.2.3: a number, or a date), from 0 to an hour; 0 for any other
    text. ``now``: the wall clock. Pure."""
    words = words.strip()[:_LONGEST_DATE]
    try:
        secs = float(words)
    except ValueError:
        try:
            secs = parsedate_to_datetime(words).timestamp() - now
        except (ValueError, TypeError, IndexError, OverflowError):
            return 0.0
    return min(secs, LONGEST_PAUSE) if secs > 0 else 0.0


def make_session(proxy: str | None, ca_file: str | None) -> Any:
    """A ``requests.Session`` that obeys the settings alone. ``proxy``: URL, "" for none, None for the environment's.
    ``ca_file``: PEM file, None for the certificates that come with requests. Raises ConfigError for a file that cannot be read."""
    import requests

    session = requests.Session()
    # With trust_env, REQUESTS_CA_BUNDLE would silently override ca_file, and .netrc the token.
    session.trust_env = False
    # Dropbox's API never redirects; a redirect comes from something else, as a portal.
    session.max_redirects = 0
    if proxy is None and not urllib.request.proxy_bypass(_HOST):
        proxy = urllib.request.getproxies().get("https")
    proxy = quoted_login(proxy) if proxy else proxy
    know(secrets_of_url(proxy or ""))
    session.proxies = {"https": proxy} if proxy else {}
    if ca_file is not None:
        check_files("dropbox", {"CAFile": ca_file})
        try:
            with open(ca_file, "rb"):
                session.verify = ca_file
        except OSError as exc:
            remedy = "Name a file of certificates (PEM), or None."
            raise ConfigError("dropbox.CAFile", f"{ca_file}: {exc.strerror}", remedy) from exc
    return session


def _use(manager: Any, pool: type) -> Any:
    manager.pool_classes_by_scheme = {**manager.pool_classes_by_scheme, "https": pool}
    return manager


def _drained(sock: Any, stall: float, ended: threading.Event) -> None:
    """Wait until the kernel has sent its buffer, or until ``ended``: a slow link is not a silent server. Raises TimeoutError
    where nothing moved for ``stall`` seconds. Source: SIOCOUTQ in tcp(7)."""
    left, moved = _unsent(sock), time.monotonic()
    while left and not ended.is_set():
        # The readable bytes may be the reply of a server that takes no more, or only a ticket of TLS 1.3: the reply
        # is read when no byte moves any more.
        readable = bool(select.select([sock], [], [], 0)[0])
        quiet = time.monotonic() - moved
        if readable and (sock.pending() or quiet > min(_QUIET_SECS, stall / 4)):
            return
        if quiet > stall:
            raise TimeoutError(f"nothing was taken for {stall:g} s")
        ended.wait(min(_POLL_SECS, quiet + 0.001))
        before, left = left, _unsent(sock)
        if left < before:
            moved = time.monotonic()


def _unsent(sock: Any) -> int:
    if sys.platform != "linux":
        return 0
    import fcntl
    import termios

    with contextlib.suppress(OSError):
        return int(struct.unpack("i", fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, b"\0\0\0\0"))[0])
    return 0
