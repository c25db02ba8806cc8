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

from ...common import advice
from ...common.errors import ConfigError, LoginRefused, PysubtaskError, TransportLost
from ...transports import TRANSPORTS
from ...transports.shared.key_file import is_rsa
from ...transports.shared.ssh_login import AnotherKey
from . import certificate, identity, in_secret_file, in_url, login_files, network, prepare
from .bbr import Read, read
from .causes import dropbox_finding, login_finding, may_be_overload
from .endpoint_checks import AGAIN_SECS, HEAR_SECS, PORT_SECS, EndpointChecks
from .finding import SKIP, Finding, Remedy, fail, ok, port_of
from .network import Resolve
from .remote import open_remote
from .server_checks import ServerChecks
from .source import Target

ALL_SECS = 22.0
"""Seconds for one destination. With the cleaning (``probe._CLEAN_SECS``) an examination takes less than thirty seconds."""
_LOGIN_SECS, _STALL_SECS = 10.0, 8.0
_NOBODY = "SHA256:" + "A" * 43
_HOST_KEY = re.compile(r"((?:ssh|ecdsa|sk|rsa)\S* SHA256:[A-Za-z0-9+/]{43})")
_DROPBOX = ("api.dropboxapi.com", 443)


class Times:
    """The time limits of the steps, in seconds; tests pass shorter ones."""

    def __init__(
        self, everything: float = ALL_SECS, port: float = PORT_SECS, hear: float = HEAR_SECS, login: float = _LOGIN_SECS
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
        self._place = prepare.Endpoint("", 0)
        self._endpoint = self._checks_of(self._place)

    def _checks_of(self, place: prepare.Endpoint) -> EndpointChecks:
        limits = {"port": self._times.port, "hear": self._times.hear}
        return EndpointChecks(self._target, self._settings, place, resolve=self._resolve, read=self._read, **limits)

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
            endpoint = self._endpoint = self._checks_of(self._place)
            for step in (endpoint.name, endpoint.port) if dropbox else (endpoint.name, endpoint.port, endpoint.protocol):
                found = await step()
                yield found
                if found.state == "fail":
                    return
                dead = await endpoint.dead() if step == endpoint.port else None
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

    async def _log_in(self) -> AsyncGenerator[Finding, None]:
        with tempfile.TemporaryDirectory(prefix="pysubtask-doctor-") as workdir:
            try:
                remote = open_remote(self._target.transport, self._settings, workdir)
            except (ConfigError, ImportError) as exc:
                yield self._refused(exc)
                return
            try:
                for secs in (*AGAIN_SECS, None):
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
                checks = ServerChecks(remote, self._checks_settings(), self._until - 1.0, speed=self._speed)
                async with aclosing(checks.findings()) as findings:
                    async for finding in findings:
                        yield finding
            finally:
                await remote.close()

    def _checks_settings(self) -> Mapping[str, Any]:
        """The settings for the checks of the server. Dropbox counts as SFTP there, so that the checks of FTP are left out."""
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
                lambda: certificate.inspect(
                    self._endpoint.addresses[0], host, starttls, self._settings.get("CAFile"), self._times.hear
                ),
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
