"""The way to a server before any login: its name, its port, and the protocol that is spoken there."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

from ...common import address, advice
from ...transports.shared.reach import PORTAL
from . import in_url, network
from .bbr import Read, read
from .finding import NOTE, Finding, fail, ok, warn
from .network import Address, Heard, NoAddress, NoAnswer, Resolve
from .prepare import Endpoint
from .source import Target

PORT_SECS, HEAR_SECS = 5.0, 7.0  # some servers resolve the client's name before they greet, which may take seconds
AGAIN_SECS = (0.3, 1.0)
"""Seconds of the waits before another attempt, while the server may still count closed connections."""
_NAME_SECS, _OTHER_SECS = 6.0, 1.0
_TLS_SECS = 3.0  # for the further questions to a server whose greeting is known or missing
_DEAD_SECS = 3.0  # for an address beside one that answers


class EndpointChecks:
    """The checks of one endpoint. ``port``, ``hear``: time limits in seconds of a connect, and of a greeting."""

    def __init__(
        self,
        target: Target,
        settings: Mapping[str, Any],
        place: Endpoint,
        *,
        resolve: Resolve,
        read: Read,
        port: float = PORT_SECS,
        hear: float = HEAR_SECS,
    ) -> None:
        self._target, self._settings, self._place, self._resolve, self._read = target, settings, place, resolve, read
        self._port_secs, self._hear_secs = port, hear
        self.addresses: list[Address] = []
        """The server's addresses; known after ``name``."""

    async def name(self) -> Finding:
        """Whether the name has addresses."""
        host, port = self._place.host, self._place.port
        try:
            self.addresses = await network.addresses_of(host, port, _NAME_SECS, self._resolve)
        except NoAddress as exc:
            return self._no_address(exc, host)
        numbers = list(dict.fromkeys(str(address[0]) for _, address in self.addresses))
        text = f"{host} is an address" if numbers == [host] else f"{host} is {', '.join(numbers[:4])}"
        return ok("name", text)

    def _no_address(self, exc: NoAddress, host: str) -> Finding:
        online = is_online(self._read)
        by_hand = f"getent hosts {advice.word(host)}"
        if not online:
            return fail(
                "name",
                "no-network",
                f"this machine has no network: {exc}",
                commands=["ip -brief address; ip route"],
                words="Plug in, or have the modem or wireless up; pysubtask sends by itself what has gathered.",
            )
        if exc.cause == "name-unknown":
            key = "Proxy" if self._target.section == "dropbox" else "Host"
            return fail(
                "name",
                "name-unknown",
                str(exc),
                (key, in_url.RIGHT_NAME),
                commands=[by_hand],
                words="It is misspelt, or only known in another network.",
            )
        return fail(
            "name",
            "no-name-service",
            str(exc),
            commands=[by_hand, "cat /etc/resolv.conf"],
            words="The network is there, its name servers are not: check DNS, or set Host to the server's address.",
        )

    async def port(self) -> Finding:
        """Whether one of the addresses takes a connection."""
        try:
            begun = time.monotonic()
            sock, address = await network.connect(self.addresses, self._port_secs)
        except NoAnswer as exc:
            return await self._no_answer(exc)
        sock.close()
        return ok("port", f"{address} answers on port {self._place.port} after {(time.monotonic() - begun) * 1000:.1f} ms")

    async def dead(self) -> Finding | None:
        """The addresses of the server that do not answer while another address does."""
        dead = await network.dead_among(self.addresses, min(_DEAD_SECS, self._port_secs)) if len(self.addresses) > 1 else []
        if not dead:
            return None
        take = "take" if len(dead) > 1 else "takes"
        text = (
            f"{len(dead)} of the {len(self.addresses)} addresses of {self._place.host} {take} no connection: "
            f"{'; '.join(map(str, dead))}"
        )
        if all(one.cause == "port-closed" for one in dead):  # a refused connection costs the upload no time
            return Finding("addresses", NOTE, text)
        return warn(
            "addresses",
            "address-dead",
            text,
            commands=[f"getent ahosts {advice.word(self._place.host)}"],
            words="Uploads go by another one, a part of a second later. Have who runs the server mend it, or take it "
            "out of its name (DNS).",
        )

    async def _no_answer(self, exc: NoAnswer) -> Finding:
        settings: tuple[tuple[str, Any], ...] = ()
        words = {
            "port-closed": "Is the server up? Its program does not run now, or the port is another one.",
            "port-filtered": "Is the server up? Check its power and address, and every firewall on the way for this port.",
            "no-route": "Check the network here: 'ip route' must have a default or one to the server's network.",
        }[exc.cause]
        if exc.cause != "no-route" and self._target.section == "ftp":
            found = await self._elsewhere()
            if found is not None:
                port, heard = found
                settings = tuple(_settings_for(heard.kind, port))
                words += f" Only if that is what you were told to use: port {port} of it speaks {heard.kind}."
        if not settings and exc.cause == "port-closed":
            settings = (("HostPort", in_url.RIGHT_PORT),) if self._target.section == "ftp" else (("Proxy", None),)
        host, port = advice.word(self._place.host), self._place.port
        return fail("port", exc.cause, str(exc), *settings, commands=[f"nc -vz -w 5 {host} {port}"], words=words)

    async def _elsewhere(self) -> tuple[int, Heard] | None:
        """Another usual port of the same host, with the protocol (SSH or FTP) that the server speaks there."""

        async def ask(port: int) -> tuple[int, Heard] | None:
            places = [(family, (address[0], port, *address[2:])) for family, address in self.addresses]
            try:
                sock, _ = await network.connect(places, _OTHER_SECS)
            except NoAnswer:
                return None
            heard = await network.hear(sock, _OTHER_SECS)
            return (port, heard) if heard.kind in (network.SSH, network.FTP) else None

        order = (22, 2222, 21) if self._target.transport != "ftp" else (21, 2121, 22)
        answers = await asyncio.gather(*(ask(port) for port in order if port != self._place.port))
        return next((answer for answer in answers if answer is not None), None)

    async def protocol(self) -> Finding:
        """Whether the protocol at the port is the one that the settings expect."""
        sftp, implicit = self._target.transport != "ftp", self._settings.get("UseTLS") == "implicit"
        if implicit:
            heard = await network.hear_within_tls(self.addresses, self._hear_secs)
            if heard.kind == network.FTP:
                return ok("protocol", f"FTP within TLS: {heard.words}")
        for secs in (*AGAIN_SECS, None):
            try:
                sock, _ = await network.connect(self.addresses, self._port_secs)
            except NoAnswer as exc:
                return await self._no_answer(exc)
            # A server may resolve the client's name first. The wait for its greeting here does not limit the login.
            heard = await network.hear(sock, self._hear_secs)
            if secs is None or heard.kind not in (network.FTP_CROWDED, network.CLOSED):
                break
            await asyncio.sleep(secs)  # the server may still count the connection of the previous step
        if heard.kind == network.SILENT:
            inside = await network.hear_within_tls(self.addresses, min(_TLS_SECS, self._hear_secs))
            heard = Heard(network.TLS, inside.words) if inside.kind == network.FTP else heard
        if heard.kind == (network.SSH if sftp else network.FTP) and not implicit:
            return ok("protocol", heard.words)
        tls = heard.kind == network.FTP and await network.offers_tls(self.addresses, min(_TLS_SECS, self._hear_secs))
        return self._other_protocol(heard, tls)

    def _other_protocol(self, heard: Heard, tls: bool) -> Finding:
        implicit = self._settings.get("UseTLS") == "implicit"
        expected = "SFTP (ssh)" if self._target.transport != "ftp" else "FTP within TLS" if implicit else "FTP"
        port, greeting = self._place.port, f": {heard.words!r}" if heard.words else ""
        by_url = address.is_address(self._target.host)
        settings = [pair for pair in _settings_for(heard.kind, port, tls) if by_url or self._settings.get(pair[0], pair) != pair[1]]
        if heard.kind in (network.SSH, network.FTP, network.TLS):
            name = {network.SSH: "SFTP (ssh)", network.FTP: "FTP", network.TLS: "FTP within TLS (implicit)"}[heard.kind]
            return fail(
                "protocol",
                "wrong-protocol",
                f"port {port} speaks {name}, and the config asks for {expected}{greeting}",
                *settings,
                words="Write this, or in the URL the port of the other protocol."
                if by_url
                else "All of this, or set HostPort to the port of the other protocol.",
            )
        if heard.kind == network.FTP_CROWDED:
            return fail(
                "protocol",
                "server-full",
                f"the server takes no more connections{greeting}",
                ("Connections", 1),
                words="End other programs that are logged in there, or have its limit raised.",
            )
        if heard.kind == network.SILENT:
            return fail(
                "protocol",
                "server-silent",
                f"port {port} takes the connection and says nothing for {self._hear_secs:g} s",
                words="The server hangs or is overloaded: have it restarted. Or a firewall answers in its place.",
            )
        if heard.kind == network.CLOSED:
            return fail(
                "protocol",
                "hangs-up",
                f"port {port} takes the connection and hangs up at once",
                words="The server does not let this address in (a ban after wrong logins, a list of allowed addresses), "
                "or is at "
                "its limit of connections. Ask who runs it.",
            )
        return fail(
            "protocol",
            "wrong-protocol",
            f"port {port} speaks {heard.kind}, and the config asks for {expected}{greeting}",
            ("HostPort", 22 if self._target.transport != "ftp" else 21),
            words="It is another service's port." + (f" {PORTAL}." if heard.kind == network.HTTP else ""),
        )


def _settings_for(kind: str, port: int, tls: bool = False) -> list[tuple[str, Any]]:
    """The settings for a protocol at a port; ``tls``: whether an FTP server offers AUTH TLS."""
    meant: dict[str, list[tuple[str, Any]]] = {
        network.SSH: [("UseSFTP", True)],
        network.FTP: [("UseSFTP", False), ("UseTLS", "explicit" if tls else None)],
        network.TLS: [("UseSFTP", False), ("UseTLS", "implicit")],
    }
    return [*meant[kind], ("HostPort", port)] if kind in meant else []


def is_online(read: Read = read) -> bool:
    """Whether this machine has a route to any network except the loopback, by /proc/net. True where /proc/net cannot be read."""
    four, six = read("/proc/net/route"), read("/proc/net/ipv6_route")
    if four is None:
        return True
    if len(four.splitlines()) > 1:
        return True
    # The last word of a line is its device; the loopback has routes of its own.
    return any(not line.endswith((" lo", "\tlo")) and not line.startswith("fe80") for line in (six or "").splitlines())
