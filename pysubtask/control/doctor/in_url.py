"""A remedy for a config whose ``Host`` is a URL: protocol, port, server and folder are corrected in the URL, as a separate
setting would contradict it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...common import address
from ...common.errors import ConfigError
from .finding import Finding

RIGHT_PORT, RIGHT_NAME = "the right port", "the right name or address"
"""Placeholders of a remedy where the right value is unknown."""
_TO_FILL_IN = {RIGHT_PORT: "PORT", RIGHT_NAME: "NAME"}
_WORDS = address.Words("ftp.Host", "", "")
_USUAL = {"sftp": 22, "ftp": 21, "ftps": 21}
_IMPLICIT_PORT = 990


def remedied(finding: Finding, host: str) -> Finding:
    """The finding with its settings written into the URL ``host``; the finding unchanged where ``host`` is no URL."""
    settings = finding.remedy.settings
    parts = _parts_of(host) if settings else None
    if parts is None:
        return finding
    changes = {key: value for key, value in settings if key in _keys(parts)}
    if not changes:
        return finding
    rewritten: list[tuple[str, Any]] = []
    for key, value in settings:
        if key not in changes:
            rewritten.append((key, value))
        elif not any(one == "Host" for one, _ in rewritten):
            rewritten += _lines(parts, changes)
    return finding._replace(remedy=finding.remedy._replace(settings=tuple(rewritten)))


def _parts_of(host: str) -> dict[str, Any] | None:
    if not address.is_address(host):
        return None
    try:
        section, parts = address.parsed(host, _WORDS)
    except ConfigError:
        return None
    return parts if section == "ftp" else None


def _keys(parts: Mapping[str, Any]) -> set[str]:
    """The settings that a URL determines; HostPath only where the URL has a folder."""
    return {"UseSFTP", "UseTLS", "Host", "HostPort", *(("HostPath",) if parts["HostPath"] else ())}


def _lines(parts: Mapping[str, Any], changes: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """The URL with the changes, and the setting that a URL cannot express: the kind of TLS at an unusual port."""
    before = _scheme(parts)
    changed = {**parts, **changes}
    if changed["UseSFTP"]:
        changed["UseTLS"] = None
    after = _scheme(changed)
    if "HostPort" not in changes and after != before and parts.get("HostPort") in (_USUAL[before], _IMPLICIT_PORT):
        changed["HostPort"] = None  # the old port was the usual one of the old protocol
    implicit = changed.get("UseTLS") == "implicit"
    if changed.get("HostPort") == _USUAL[after] and not implicit and (parts.get("HostPort") is None or after != before):
        changed["HostPort"] = None
    changed = {key: _TO_FILL_IN.get(value, value) if isinstance(value, str) else value for key, value in changed.items()}
    # An ftps URL means implicit TLS with port 990, and only with that port.
    says_implicit = changed.get("HostPort") == _IMPLICIT_PORT
    beside = [("UseTLS", changed["UseTLS"])] if after == "ftps" and implicit is not says_implicit else []
    return [("Host", address.written("ftp", changed)), *beside]


def _scheme(parts: Mapping[str, Any]) -> str:
    return "sftp" if parts["UseSFTP"] else "ftps" if parts.get("UseTLS") else "ftp"
