"""From the error of a file's upload to the cause and the remedy. Pure.

The functions search the error's text as those for the errors of a login do (``causes``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ...common.errors import LoginRefused, TransportError
from ...transports.ftp.arrival import TEXT_MODE
from ...transports.shared.standstill import MTU
from .causes import login_finding, of_mtu
from .finding import Finding, fail

_NO_ROOM = re.compile(
    r"full disk or a quota|disk (?:is )?full|no space|not enough .{0,15}space|insufficient|quota|has no room|"
    r"\b(?:552|452)\b|too large",
    re.IGNORECASE,
)
_NO_FILE = re.compile(r"no such file|not found|does not exist", re.IGNORECASE)


def file_finding(check: str, exc: Exception, settings: Mapping[str, Any], folder: str) -> Finding:
    """Why a server did not take a small file. ``folder``: the destination's folder, as the server names it."""
    reason = str(exc)
    if MTU in reason:
        return of_mtu(check, exc, settings)
    place = f"the folder {folder!r}" if folder else "the login's own folder"
    if ("data connection" in reason and "broke" not in reason) or "passive port" in reason or "does not connect to here" in reason:
        return _data_connection(reason, settings)
    if TEXT_MODE in reason:
        return fail(check, "text-mode", reason, ("UseSFTP", True))
    if _NO_ROOM.search(reason):
        return fail(
            check,
            "no-room",
            f"the server has no room: its disk or the account's quota is full ({reason})",
            words="Free some space there, or have the quota raised. Nothing here helps.",
        )
    if re.search(r"\b(?:426|451)\b|data connection broke", reason):
        return fail(
            check,
            "transfer-broken-off",
            f"the server takes the file and breaks off in the middle ({reason})",
            words="A full disk or quota there is the usual reason, or a program that checks what comes in.",
        )
    if "went away before it could be renamed" in reason or ("renaming it into place" in reason and _NO_FILE.search(reason)):
        return fail(
            check,
            "temp-taken",
            f"something on the server takes a temporary file away before it gets its name ({reason})",
            ("StoreInPlace", True),
            words="A reader may then find half a file. Better have what takes files there leave those alone whose names "
            "begin with a dot, or end in .part.",
        )
    if "renaming it into place" in reason:
        return fail(
            "rename over",
            "rename-refused",
            f"the server takes the file, but does not let it be renamed ({reason})",
            ("StoreInPlace", True),
            words="A reader may then find half a file. Better have renaming allowed for this account.",
        )
    if "making the temporary file" in reason and "StoreInPlace" in reason:
        return fail(
            check,
            "temp-refused",
            f"the server takes no temporary file, whatever it is called ({reason})",
            ("StoreInPlace", True),
            words="A reader may then find half a file. Better have any name allowed in that folder.",
        )
    if "not a folder below" in reason or "leaves the" in reason:
        return fail(check, "folder-wrong", reason)
    if "writing it to the server's disk" in reason:
        return fail(
            check,
            "sync-refused",
            f"the server cannot put the file on its disk ({reason})",
            words="Have its disk looked at: it may be broken.",
        )
    if re.search(r"permission|553|550|read.?only|denied|may not write", reason, re.IGNORECASE) and not isinstance(
        exc, LoginRefused
    ):
        return fail(
            check,
            "no-permission",
            f"the login works, but it may not write into {place} ({reason})",
            words=f"Have who runs the server allow writing there to {settings.get('User') or 'this login'} (the whole "
            "server may be read-only), or take another folder:",
        )
    if isinstance(exc, LoginRefused):
        return login_finding(exc, settings)
    if isinstance(exc, TransportError) and "no answer" in reason:
        return fail(
            check, "server-silent", f"the server stopped answering ({reason})", words="It is overloaded, or the link is dead."
        )
    return fail(check, "write-failed", reason)


def _data_connection(reason: str, settings: Mapping[str, Any]) -> Finding:
    """FTP's second connection, which carries the files (RFC 959, section 3.2), failed."""
    if re.search(r"session.{0,20}reuse|reuse.{0,20}session|\b522\b", reason, re.IGNORECASE):
        return fail(
            "session reuse",
            "session-reuse",
            f"the server wants its TLS session continued for data, and did not get it ({reason})",
            words="On the server: require_ssl_reuse=NO (vsftpd), TLSOptions NoSessionReuseRequired (ProFTPD), or the box "
            "'Require TLS session resumption' (FileZilla Server).",
        )
    if re.search(r"TLS failed|CERTIFICATE|handshake", reason):
        return fail(
            "passive mode",
            "data-tls",
            f"TLS fails on the data connection ({reason})",
            words="Something between here and the server cuts or changes it: a firewall that looks into FTP.",
        )
    if not settings.get("PassiveMode", True):
        return fail(
            "passive mode", "active-blocked", f"the server cannot connect back to this machine ({reason})", ("PassiveMode", True)
        )
    host = settings.get("Host")
    return fail(
        "passive mode",
        "data-blocked",
        f"the login works, but no data connection: the files cannot pass ({reason})",
        ("PassiveMode", False),
        ("UseSFTP", True),
        words=f"In front of {host} open its passive ports (pasv_min_port to pasv_max_port) in the firewall, and forward "
        f"them "
        "where there is NAT. Else: PassiveMode = False where this machine can be reached from there, or SFTP, which needs "
        "one port only.",
    )
