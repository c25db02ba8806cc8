"""The host and port that an ssh login connects to by ssh's configuration, and which of several addresses accepts the connection."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import subprocess
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from ...common.errors import TransportLost
from ...common.program import for_others
from ..shared.calls import Call
from ..shared.dial import Place, dial_name, resolve
from ..shared.reach import of_socket
from ..shared.ssh_login import Login, show_words

_T = TypeVar("_T")
_SHOW_SECS = 10.0  # for ``ssh -G``, which answers at once unless a Match exec hangs
_FAMILIES = {"inet": socket.AF_INET, "inet6": socket.AF_INET6}


class Route(NamedTuple):
    """``host`` and ``port`` to connect to; ``family``: 0 for any; ``keep_alive``: ssh's TCPKeepAlive."""

    host: str
    port: int
    family: int = 0
    keep_alive: bool = True


def route_in(listing: str) -> Route | None:
    """The route in the output of ``ssh -G``; None where only ssh itself can connect: through another host or program, or from a
    configured address or interface. Pure."""
    words = {key.lower(): value for key, _, value in (line.partition(" ") for line in listing.splitlines())}
    own = any(words.get(key, "none") != "none" for key in ("proxyjump", "proxycommand", "bindaddress", "bindinterface"))
    host, port = words.get("hostname", ""), words.get("port", "")
    if own or not host or not port.isdigit():
        return None
    return Route(host, int(port), _FAMILIES.get(words.get("addressfamily", "any"), 0), words.get("tcpkeepalive", "yes") == "yes")


async def find_route(program: str, login: Login) -> Route | None:
    """The route of a login; None where its host is an address, or only ssh itself can connect. Raises nothing."""
    if is_address(login.host):
        return None

    def ask(_: Call[str]) -> str:
        finished = subprocess.run(
            show_words(program, login),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_SHOW_SECS,
            check=False,
            env=for_others(),
            start_new_session=True,
        )
        return "" if finished.returncode else finished.stdout.decode("utf-8", "replace")

    try:
        listing = await _apart(ask, _SHOW_SECS)
    except (OSError, subprocess.SubprocessError, TransportLost):
        return None
    return route_in(listing)


async def dial_route(route: Route, secs: float) -> socket.socket | None:
    """A connection to the first of several addresses that answers. None where there is only one, or the name cannot be resolved:
    ssh then connects itself and reports the error. TransportLost where no address answers within ``secs``."""
    loop = asyncio.get_running_loop()
    until = loop.time() + secs

    def find(_: Call[list[Place]]) -> list[Place]:
        return resolve(route.host, route.port, route.family)

    try:
        places = await _apart(find, secs)
    except (OSError, UnicodeError):
        return None
    if len(places) < 2:
        return None
    left = max(0.1, until - loop.time())

    def dialled(call: Call[socket.socket]) -> socket.socket:
        sock = dial_name(route.host, route.port, left, places=places, over=lambda: call.given_up)
        if call.given_up:
            sock.close()
        return sock

    try:
        sock = await _apart(dialled, left + 1.0)
    except OSError as exc:
        raise of_socket(exc, route.host, route.port, secs) or TransportLost(f"no connection: {exc}") from exc
    if route.keep_alive:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    return sock


async def _apart(work: Callable[[Call[_T]], _T], secs: float) -> _T:
    """Run blocking work in a thread; TransportLost where it takes longer than ``secs``."""
    never: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    return await Call(work, "dial").outcome(never, secs, f"nothing came of it within {secs:g} s", [])


def is_address(host: str) -> bool:
    """Whether a host is an IP address, and so needs no resolution."""
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True
