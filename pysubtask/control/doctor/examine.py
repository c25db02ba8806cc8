"""One destination, from its name to the speed of an upload, within a time limit. The first check that fails ends the
examination: the checks after it would fail for the same reason."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import tempfile
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

from ...common import address, advice
from ...common.errors import ConfigError, LoginRefused, PysubtaskError, TransportLost
from ...transports import TRANSPORTS
from ...transports.shared.key_file import is_rsa
from ...transports.shared.reach import PORTAL
from ...transports.shared.ssh_login import AnotherKey
from . import certificate, identity, in_secret_file, in_url, login_files, network, prepare
from .bbr import Read, read
from .causes import dropbox_finding, login_finding, may_be_overload
from .finding import NOTE, SKIP, Finding, Remedy, fail, ok, port_of, warn
from .network import Address, Heard, NoAddress, NoAnswer, Resolve
from .remote import open_remote
from .server import Visit
from .source import Target

ALL_SECS = 22.0
"""Seconds for one destination. With the cleaning (``server._CLEAN_SECS``) an examination takes less than thirty seconds."""
_NAME_SECS, _PORT_SECS, _LOGIN_SECS, _STALL_SECS, _OTHER_SECS = 6.0, 5.0, 10.0, 8.0, 1.0
_HEAR_SECS = 7.0  # some servers resolve the client's name before they greet, which may take seconds
_TLS_SECS = 3.0  # for the further questions to a server whose greeting is known or missing
_DEAD_SECS = 3.0  # for an address beside one that answers
_AGAIN_SECS = (0.3, 1.0)  # waits before another attempt, while the server may still count closed connections
_NOBODY = "SHA256:" + "A" * 43
_HOST_KEY = re.compile(r"((?:ssh|ecdsa|sk|rsa)\S* SHA256:[A-Za-z0-9+/]{43})")
_DROPBOX = ("api.dropboxapi.com", 443)


class Times:
    """The time limits of the steps, in seconds; tests pass shorter ones."""

    def __init__(
        self, everything: float = ALL_SECS, port: float = _PORT_SECS, hear: float = _HEAR_SECS, login: float = _LOGIN_SECS
    ) -> None:
        self.everything, self.port, self.hear, self.login = everything, port, hear, login


async def examine(
    target: Target, times: Times | None = None, resolve: Resolve = socket.getaddrinfo, read: Read = read, *, speed: bool = False
) -> AsyncGenerator[Finding, None]:
    """The findings of a destination, one after the other. Raises nothing but CancelledError; any other exception is a bug."""
    times = times or Times()
    until = time.monotonic() + times.everything
    async with aclosing(_Examination(target, times, until, resolve, read, speed).findings()) as findings:
        while True:
            try:
                async with asyncio.timeout(max(0.1, until - time.monotonic())):
                    finding = await anext(findings)
            except StopAsyncIteration:
                return
            except TimeoutError:
                yield fail(
                    "time",
                    "too-slow",
                    f"the look was not over after {times.everything:g} s: server or link are slow",
                    words="Try again; what was found so far stands above.",
                )
                return
            yield in_url.remedied(in_secret_file.remedied(finding, target.secret_files), target.host)


class _Examination:
    def __init__(self, target: Target, times: Times, until: float, resolve: Resolve, read: Read, speed: bool) -> None:
        self._speed = speed
        self._target, self._times, self._until, self._resolve, self._read = target, times, until, resolve, read
        # No single connection or stall may use up the time of the whole examination.
        self._settings: dict[str, Any] = {
            **target.settings,
            "ConnectTimeoutSecs": min(float(target.settings.get("ConnectTimeoutSecs", 20)), times.login),
            "StallSecs": min(float(target.settings.get("StallSecs", 60)), _STALL_SECS),
        }
        self._addresses: list[Address] = []
        self._place = prepare.Endpoint("", 0)

    async def findings(self) -> AsyncGenerator[Finding, None]:
        """All checks, in the order in which an upload meets their subjects."""
        dropbox = self._target.section == "dropbox"
        ready = True
        try:
            if self._target.transport in ("sftp", "pysftp"):
                for finding in await network.in_thread(lambda: prepare.check(self._settings), 10.0):
                    yield finding
                    ready = ready and finding.state != "fail"
                self._place = await network.in_thread(lambda: prepare.endpoint(self._settings), 10.0)
            else:
                for finding in await network.in_thread(lambda: login_files.check_ftp(self._settings), 10.0):
                    yield finding
                    ready = ready and finding.state != "fail"
                self._place = (
                    _dropbox_endpoint(self._settings)
                    if dropbox
                    else prepare.Endpoint(str(self._settings["Host"]).strip("[]"), port_of(self._settings))
                )
        except ConfigError as exc:
            yield fail("config", "config-wrong", f"{exc.key}: {exc.problem}", words=exc.remedy)
            return
        except TimeoutError:
            yield fail("ssh program", "ssh-hangs", "ssh does not end", words="Have a look at ssh's configuration.")
            return
        if self._place.direct:
            for step in (self._name, self._port) if dropbox else (self._name, self._port, self._who):
                found = await step()
                yield found
                if found.state == "fail":
                    return
                dead = await self._dead() if step == self._port else None
                if dead is not None:
                    yield dead
        else:
            yield Finding("name", SKIP, "ssh's configuration goes through another host: the login tells")
        if not ready:
            return
        if self._target.hidden:
            names = ", ".join(self._target.hidden)
            yield Finding(
                "login",
                SKIP,
                f"not tried: {names} is set, but kept from everybody who looks",
                "secret-hidden",
                with_config(self._target),
            )
            return
        async with aclosing(self._log_in()) as findings:
            async for finding in findings:
                yield finding

    async def _name(self) -> Finding:
        host, port = self._place.host, self._place.port
        try:
            self._addresses = await network.addresses_of(host, port, _NAME_SECS, self._resolve)
        except NoAddress as exc:
            return self._no_address(exc, host)
        numbers = list(dict.fromkeys(str(address[0]) for _, address in self._addresses))
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

    async def _port(self) -> Finding:
        try:
            begun = time.monotonic()
            sock, address = await network.connect(self._addresses, self._times.port)
        except NoAnswer as exc:
            return await self._no_answer(exc)
        sock.close()
        return ok("port", f"{address} answers on port {self._place.port} after {(time.monotonic() - begun) * 1000:.1f} ms")

    async def _dead(self) -> Finding | None:
        """The addresses of the server that do not answer while another address does."""
        dead = await network.dead_among(self._addresses, min(_DEAD_SECS, self._times.port)) if len(self._addresses) > 1 else []
        if not dead:
            return None
        take = "take" if len(dead) > 1 else "takes"
        text = (
            f"{len(dead)} of the {len(self._addresses)} addresses of {self._place.host} {take} no connection: "
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
            places = [(family, (address[0], port, *address[2:])) for family, address in self._addresses]
            try:
                sock, _ = await network.connect(places, _OTHER_SECS)
            except NoAnswer:
                return None
            heard = await network.hear(sock, _OTHER_SECS)
            return (port, heard) if heard.kind in (network.SSH, network.FTP) else None

        order = (22, 2222, 21) if self._target.transport != "ftp" else (21, 2121, 22)
        answers = await asyncio.gather(*(ask(port) for port in order if port != self._place.port))
        return next((answer for answer in answers if answer is not None), None)

    async def _who(self) -> Finding:
        """Whether the protocol at the port is the one that the settings expect."""
        sftp, implicit = self._target.transport != "ftp", self._settings.get("UseTLS") == "implicit"
        if implicit:
            heard = await network.hear_within_tls(self._addresses, self._times.hear)
            if heard.kind == network.FTP:
                return ok("protocol", f"FTP within TLS: {heard.words}")
        for secs in (*_AGAIN_SECS, None):
            try:
                sock, _ = await network.connect(self._addresses, self._times.port)
            except NoAnswer as exc:
                return await self._no_answer(exc)
            # A server may resolve the client's name first. The wait for its greeting here does not limit the login.
            heard = await network.hear(sock, self._times.hear)
            if secs is None or heard.kind not in (network.FTP_CROWDED, network.CLOSED):
                break
            await asyncio.sleep(secs)  # the server may still count the connection of the previous step
        if heard.kind == network.SILENT:
            inside = await network.hear_within_tls(self._addresses, min(_TLS_SECS, self._times.hear))
            heard = Heard(network.TLS, inside.words) if inside.kind == network.FTP else heard
        if heard.kind == (network.SSH if sftp else network.FTP) and not implicit:
            return ok("protocol", heard.words)
        tls = heard.kind == network.FTP and await network.offers_tls(self._addresses, min(_TLS_SECS, self._times.hear))
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
                f"port {port} takes the connection and says nothing for {self._times.hear:g} s",
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

    async def _log_in(self) -> AsyncGenerator[Finding, None]:
        with tempfile.TemporaryDirectory(prefix="pysubtask-doctor-") as workdir:
            try:
                remote = open_remote(self._target.transport, self._settings, workdir)
            except (ConfigError, ImportError) as exc:
                yield self._refused(exc)
                return
            try:
                for secs in (*_AGAIN_SECS, None):
                    begun = time.monotonic()
                    try:
                        await remote.connect()
                        break
                    except PysubtaskError as exc:
                        # The server may still count connections of this examination that are closed already.
                        if secs is None or not may_be_overload(exc):
                            yield await self._refused_login(exc)
                            return
                        await asyncio.sleep(secs)
                took = time.monotonic() - begun
                for finding in await identity.of_login(remote, self._settings, self._place.host):
                    yield finding
                yield ok("login", f"{self._as_whom()} after {took:.1f} s")
                visit = Visit(remote, self._visit_settings(), self._until - 1.0, speed=self._speed)
                async with aclosing(visit.findings()) as findings:
                    async for finding in findings:
                        yield finding
            finally:
                await remote.close()

    def _visit_settings(self) -> Mapping[str, Any]:
        """The settings for the visit. Dropbox counts as SFTP there, so that the checks of FTP are left out."""
        return self._settings if self._target.section == "ftp" else {**self._settings, "UseSFTP": True}

    def _as_whom(self) -> str:
        if self._target.section == "dropbox":
            return "the token is good"
        user = self._settings.get("User") or self._place.user or ("anonymous" if self._target.transport == "ftp" else "")
        return f"as {user}" if user else "done"

    async def _refused_login(self, exc: Exception) -> Finding:
        """Why the login failed. For a refused host key or certificate, the server is asked for the one that it presents."""
        reason = str(exc)
        if (
            self._target.transport in ("sftp", "pysftp")
            and isinstance(exc, LoginRefused)
            and (isinstance(exc, AnotherKey) or ("host key" in reason and "no algorithm" not in reason))
        ):
            return await self._host_key(exc)
        if "certificate" in reason and self._target.transport == "ftp":
            return await self._certificate(exc)
        return self._refused(exc)

    def _refused(self, exc: Exception) -> Finding:
        if isinstance(exc, ImportError):
            return fail(
                "login",
                "library-missing",
                f"{exc.name} is not installed",
                commands=[advice.install(TRANSPORTS[self._target.transport][1])],
            )
        return (
            dropbox_finding(exc)
            if self._target.section == "dropbox"
            else login_finding(
                exc,
                self._settings,
                missing_key=self._place.missing_key,
                named=self._target.login_words,
                public=_has_public(self._settings),
                rsa=is_rsa(str(self._settings.get("KeyFile") or "")),
            )
        )

    async def _host_key(self, exc: Exception) -> Finding:
        reason = str(exc)
        host_keys = _HOST_KEY.findall(reason) or await self._host_keys_offered()
        return identity.of_host_key(reason, host_keys, self._place, named=bool(self._settings.get("KnownHostsFile")))

    async def _host_keys_offered(self) -> list[str]:
        """The server's host keys: a connection that requires a key of no server fails with the offered key in its error, before
        any login."""
        settings = {**self._settings, "HostKey": _NOBODY, "KnownHostsFile": None, "Password": None}
        with tempfile.TemporaryDirectory(prefix="pysubtask-doctor-") as workdir:
            remote = open_remote(self._target.transport, settings, workdir)
            try:
                await remote.connect()
            except LoginRefused as exc:
                return _HOST_KEY.findall(str(exc))
            except TransportLost:
                return []
            finally:
                await remote.close()
        return []

    async def _certificate(self, exc: Exception) -> Finding:
        host, starttls = self._place.host, self._settings.get("UseTLS") == "explicit"
        try:
            presented = await network.in_thread(
                lambda: certificate.inspect(self._addresses[0], host, starttls, self._settings.get("CAFile"), self._times.hear),
                3 * self._times.hear,
            )
        except (OSError, TimeoutError):
            return self._refused(exc)
        return identity.of_certificate(str(exc), presented, host, time.time())


def _has_public(settings: Mapping[str, Any]) -> bool:
    """Whether the public half of KeyFile lies beside it (``KeyFile`` with .pub)."""
    return os.path.exists(os.path.expanduser(f"{settings.get('KeyFile') or ''}.pub"))


def with_config(target: Target) -> Remedy:
    """The command that examines a task with its config, where only the settings that its child left are known here."""
    if target.task_config:
        command = f"pysubtask doctor {advice.word(target.task_config)}"
        return Remedy(commands=(command,), words="With the config, all of it can be tried.")
    return Remedy(words="An app has its config: 'pysubtask doctor' with that Python file, or module:name, can try all of it.")


def _settings_for(kind: str, port: int, tls: bool = False) -> list[tuple[str, Any]]:
    """The settings for a protocol at a port; ``tls``: whether an FTP server offers AUTH TLS."""
    meant: dict[str, list[tuple[str, Any]]] = {
        network.SSH: [("UseSFTP", True)],
        network.FTP: [("UseSFTP", False), ("UseTLS", "explicit" if tls else None)],
        network.TLS: [("UseSFTP", False), ("UseTLS", "implicit")],
    }
    return [*meant[kind], ("HostPort", port)] if kind in meant else []


def _dropbox_endpoint(settings: Mapping[str, Any]) -> prepare.Endpoint:
    """The endpoint of Dropbox's first connection: Dropbox's own server, or the proxy."""
    import urllib.parse
    import urllib.request

    proxy = settings.get("Proxy")
    if proxy is None and not urllib.request.proxy_bypass(_DROPBOX[0]):
        proxy = urllib.request.getproxies().get("https")
    if not proxy:
        return prepare.Endpoint(*_DROPBOX)
    from ...transports.shared.proxy_url import quoted_login

    found = urllib.parse.urlsplit(quoted_login(proxy))
    return prepare.Endpoint(found.hostname or "", found.port or (443 if found.scheme == "https" else 80))


def is_online(read: Read = read) -> bool:
    """Whether this machine has a route to any network except the loopback, by /proc/net. True where /proc/net cannot be read."""
    four, six = read("/proc/net/route"), read("/proc/net/ipv6_route")
    if four is None:
        return True
    if len(four.splitlines()) > 1:
        return True
    # The last word of a line is its device; the loopback has routes of its own.
    return any(not line.endswith((" lo", "\tlo")) and not line.startswith("fe80") for line in (six or "").splitlines())
