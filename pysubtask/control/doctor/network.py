"""The connection to a server before any login: whether its name resolves, whether the port answers, and which protocol the
server speaks."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from ...transports.shared.dial import dial, ordered

_T = TypeVar("_T")

SSH, FTP, FTP_CROWDED, SMTP, HTTP, TLS, CLOSED, SILENT, OTHER = (
    "SSH",
    "FTP",
    "FTP, but it is full",
    "mail",
    "HTTP",
    "TLS",
    "closed",
    "silent",
    "other",
)

Address = tuple[int, Any]
"""Family and socket address."""
Resolve = Callable[..., Any]
"""``socket.getaddrinfo``, or a function of a test in its place."""


class NoAddress(Exception):
    """A name has no address. ``cause``: "name-unknown" or "no-name-service"."""

    def __init__(self, cause: str, text: str) -> None:
        super().__init__(text)
        self.cause = cause


class NoAnswer(Exception):
    """A connection failed. ``cause``: "port-closed", "port-filtered" or "no-route"."""

    def __init__(self, cause: str, text: str) -> None:
        super().__init__(text)
        self.cause = cause


class Heard(NamedTuple):
    """``kind``: the protocol, one of the constants above; ``words``: the server's first line, printable characters only."""

    kind: str
    words: str = ""


async def in_thread(work: Callable[[], _T], secs: float) -> _T:
    """Run blocking work in a daemon thread and await it for ``secs``. Raises TimeoutError after that; the thread ends when its
    work ends, as a thread cannot be stopped."""
    loop = asyncio.get_running_loop()
    result: asyncio.Future[_T] = loop.create_future()

    def tell(answer: Callable[[Any], None], value: Any) -> None:
        def settle() -> None:
            if not result.done():
                answer(value)

        with contextlib.suppress(RuntimeError):  # the loop is closed: no caller awaits the result
            loop.call_soon_threadsafe(settle)

    def run() -> None:
        try:
            value = work()
        except BaseException as exc:  # noqa: BLE001 - every exception goes to the awaiting side
            tell(result.set_exception, exc)
        else:
            tell(result.set_result, value)

    threading.Thread(target=run, name="doctor", daemon=True).start()
    async with asyncio.timeout(secs):
        return await result


async def addresses_of(host: str, port: int, secs: float, resolve: Resolve = socket.getaddrinfo) -> list[Address]:
    """The addresses of a name. Raises NoAddress."""
    try:
        found = await in_thread(lambda: resolve(host, port, type=socket.SOCK_STREAM), secs)
    except TimeoutError:
        raise NoAddress("no-name-service", f"no name server answered within {secs:g} s") from None
    except UnicodeError:
        raise NoAddress("name-unknown", f"{host!r} cannot be a host's name") from None
    except socket.gaierror as exc:
        wrong = exc.errno in (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME))
        if wrong:
            raise NoAddress("name-unknown", f"no name server knows {host!r}") from exc
        raise NoAddress("no-name-service", f"the name servers cannot be asked ({exc.strerror})") from exc
    return list(dict.fromkeys((int(family), address) for family, _, _, _, address in found))


async def connect(addresses: list[Address], secs: float) -> tuple[socket.socket, str]:
    """A non-blocking connection to the first address that answers, and the address as text. The order of the addresses is that
    of an upload. Raises NoAnswer."""
    given_up = threading.Event()

    def work() -> socket.socket:
        return dial(ordered(addresses), time.monotonic() + secs, over=given_up.is_set)

    try:
        sock = await in_thread(work, secs + 1.0)
    except OSError as exc:  # includes TimeoutError
        failures = getattr(exc, "failures", None) or [(str(addresses[0][1][0]) if addresses else "", exc)]
        answers = [_no_answer(error, address, addresses[0][1][1] if addresses else 0, secs) for address, error in failures]
        order = ("port-closed", "port-filtered", "no-route")
        found = min(answers, key=lambda one: order.index(one.cause))
        raise found if len(answers) == 1 else NoAnswer(found.cause, "; ".join(map(str, answers))) from exc
    finally:
        given_up.set()
    sock.setblocking(False)
    return sock, str(sock.getpeername()[0])


async def dead_among(addresses: list[Address], secs: float) -> list[NoAnswer]:
    """The addresses that accept no connection. An address without a route from this machine is not counted, as the server is
    not at fault. Each address gets one connection."""

    async def ask(place: Address) -> NoAnswer | None:
        try:
            sock, _ = await connect([place], secs)
        except NoAnswer as exc:
            return None if exc.cause == "no-route" else exc
        sock.close()
        return None

    return [found for found in await asyncio.gather(*map(ask, addresses)) if found is not None]


def _no_answer(exc: OSError, address: str, port: int, secs: float) -> NoAnswer:
    where = f"{address} port {port}"
    if isinstance(exc, ConnectionRefusedError):
        return NoAnswer("port-closed", f"{where}: the machine answers, but nothing listens there (connection refused)")
    if isinstance(exc, TimeoutError) or exc.errno == errno.ETIMEDOUT:
        return NoAnswer("port-filtered", f"{where}: no answer at all within {secs:g} s: switched off, or a firewall swallows it")
    return NoAnswer("no-route", f"{where}: {exc.strerror or exc}")


async def hear(sock: socket.socket, secs: float) -> Heard:
    """The server's greeting. Closes the socket."""
    try:
        async with asyncio.timeout(secs):
            heard = await asyncio.get_running_loop().sock_recv(sock, 512)
    except TimeoutError:
        return Heard(SILENT)
    except OSError:
        return Heard(CLOSED)
    finally:
        sock.close()
    return who_speaks(heard)


def who_speaks(heard: bytes) -> Heard:
    """The protocol, from the first bytes of a server. Pure."""
    lines = heard.decode("utf-8", "replace").splitlines()
    words = re.sub(r"[^\x20-\x7e]+", " ", lines[0] if lines else "")[:120].strip()
    if not heard:
        return Heard(CLOSED)
    # Lines may come before the version (RFC 4253, section 4.2).
    if any(line.startswith("SSH-") for line in lines):
        return Heard(SSH, next(line for line in lines if line.startswith("SSH-"))[:120])
    if re.match(rb"220[ -]", heard):
        return Heard(SMTP if re.search(rb"\bE?SMTP\b", heard) else FTP, words)
    if re.match(rb"(?:421|120|530)[ -]", heard):
        return Heard(FTP_CROWDED, words)
    if heard.startswith((b"HTTP/", b"<")):
        return Heard(HTTP, words)
    if heard[:1] in (b"\x15", b"\x16") and heard[1:2] == b"\x03":
        return Heard(TLS)
    return Heard(OTHER, words)


async def offers_tls(addresses: list[Address], secs: float) -> bool:
    """Whether an FTP server lists AUTH TLS before a login (FEAT, RFC 2389; RFC 4217, section 6)."""
    loop = asyncio.get_running_loop()
    try:
        sock, _ = await connect(addresses, secs)
    except NoAnswer:
        return False
    with sock:
        heard = b""
        try:
            async with asyncio.timeout(secs):
                await loop.sock_recv(sock, 4096)
                await loop.sock_sendall(sock, b"FEAT\r\n")
                while not re.search(rb"^\d{3} ", heard, re.MULTILINE) and len(heard) < 65536:
                    block = await loop.sock_recv(sock, 4096)
                    if not block:
                        break
                    heard += block
        except OSError:  # includes TimeoutError: a server without a reply in time counts as one without TLS
            return False
    return re.search(rb"^ *AUTH\b.*TLS", heard, re.MULTILINE | re.IGNORECASE) is not None


async def hear_within_tls(addresses: list[Address], secs: float) -> Heard:
    """The greeting inside of TLS, for a server that waits for the client to begin; SILENT where the server does not answer to
    TLS either."""
    try:
        sock, _ = await connect(addresses, secs)
    except NoAnswer:
        return Heard(SILENT)

    def talk() -> Heard:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = (
            False,
            ssl.CERT_NONE,
        )  # the handshake only reads the greeting; no secret is sent
        sock.settimeout(secs / 2)
        try:
            with context.wrap_socket(sock) as wrapped:
                return who_speaks(wrapped.recv(512))
        except TimeoutError:
            return Heard(SILENT)
        except (OSError, ValueError):
            return Heard(OTHER)

    try:
        return await in_thread(talk, secs)
    except TimeoutError:
        return Heard(SILENT)
    finally:
        sock.close()
