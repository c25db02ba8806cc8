"""A remedy for a config whose ``Host`` is a URL: what it says of protocol, port, server and folder is mended in the URL, which a
setting beside it would contradict. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...common import address
from ...common.errors import ConfigError
from .finding import Finding

RIGHT_PORT, RIGHT_NAME = "the right port", "the right name or address"
"""What stands in a remedy where nobody can tell."""
_TO_FILL_IN = {RIGHT_PORT: "PORT", RIGHT_NAME: "NAME"}
_WORDS = address.Words("ftp.Host", "", "")
_USUAL = {"sftp": 22, "ftp": 21, "ftps": 21}
_IMPLICIT_PORT = 990


def remedied(finding: Finding, host: str) -> Finding:
    """The finding with its settings as they are written where the config says ``host``; as it is where that is no URL."""
    settings = finding.remedy.settings
    said = _said(host) if settings else None
    if said is None:
        return finding
    changes = {key: value for key, value in settings if key in _keys(said)}
    if not changes:
        return finding
    made: list[tuple[str, Any]] = []
    for key, value in settings:
        if key not in changes:
            made.append((key, value))
        elif not any(one == "Host" for one, _ in made):
            made += _lines(said, changes)
    return finding._replace(remedy=finding.remedy._replace(settings=tuple(made)))


def _said(host: str) -> dict[str, Any] | None:
    if not address.is_address(host):
        return None
    try:
        section, said = address.parsed(host, _WORDS)
    except ConfigError:
        return None
    return said if section == "ftp" else None


def _keys(said: Mapping[str, Any]) -> set[str]:
    """The settings that a URL says; the folder only where it names one."""
    return {"UseSFTP", "UseTLS", "Host", "HostPort", *(("HostPath",) if said["HostPath"] else ())}


def _lines(said: Mapping[str, Any], changes: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """The URL with the changes, and beside it what it cannot say: which kind of TLS at an unusual port."""
    before = _scheme(said)
    wanted = {**said, **changes}
    if wanted["UseSFTP"]:
        wanted["UseTLS"] = None
    after = _scheme(wanted)
    if "HostPort" not in changes and after != before and said.get("HostPort") in (_USUAL[before], _IMPLICIT_PORT):
        wanted["HostPort"] = None  # it was that of the protocol
    implicit = wanted.get("UseTLS") == "implicit"
    if wanted.get("HostPort") == _USUAL[after] and not implicit and (said.get("HostPort") is None or after != before):
        wanted["HostPort"] = None
    wanted = {key: _TO_FILL_IN.get(value, value) if isinstance(value, str) else value for key, value in wanted.items()}
    # A URL means TLS from the start with this port, and only with it.
    says_implicit = wanted.get("HostPort") == _IMPLICIT_PORT
    beside = [("UseTLS", wanted["UseTLS"])] if after == "ftps" and implicit is not says_implicit else []
    return [("Host", address.written("ftp", wanted)), *beside]


def _scheme(said: Mapping[str, Any]) -> str:
    return "sftp" if said["UseSFTP"] else "ftps" if said.get("UseTLS") else "ftp"
