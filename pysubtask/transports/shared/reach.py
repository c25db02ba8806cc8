"""The errors for a server that is not reached, or that speaks another protocol at its port; the same for all protocols. Pure."""

from __future__ import annotations

import errno
import socket
from collections.abc import Sequence

from ...common.advice import SET_CLOCK
from ...common.clock import is_plausible, reading
from ...common.errors import TransportLost

_REFUSED = (errno.ECONNREFUSED,)
_SILENT = (errno.ETIMEDOUT, errno.EHOSTDOWN)
_NO_ROUTE = (errno.ENETUNREACH, errno.ENETDOWN, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL)


PORTAL = (
    "Where it has worked before, something on the way answers in the server's place: a network that wants you to log in on a "
    "web page first, or a proxy"
)
"""Hint for a server that replies in another protocol, or with another certificate, than before."""


def place(host: str, port: int | str | None) -> str:
    """``data.example.org:22``; an address of IPv6 in brackets."""
    host_part = f"[{host}]" if ":" in host else host
    return host_part if port is None else f"{host_part}:{port}"


def host_in(where: str) -> str:
    """The host of a place, without brackets."""
    host, colon, port = where.rpartition(":")
    return (host if colon and port.isdigit() and (":" not in host or host.endswith("]")) else where).strip("[]")


def nobody_listens(where: str) -> TransportLost:
    """The machine is there and refuses the connection."""
    return unanswered(TransportLost(f"Connection refused: nothing listens at {where}", "Is the server up, and is HostPort right?"))


def unanswered(failed: TransportLost) -> TransportLost:
    """The same error, marked as one that also a banned address gets (``TransportLost.unanswered``)."""
    failed.unanswered = True
    return failed


def no_answer(where: str, secs: float | None = None) -> TransportLost:
    """The error for a connection that timed out; ``secs``: the limit, for the message."""
    within = "" if secs is None else f" within {secs:g} s"
    return unanswered(
        TransportLost(
            f"Connection timed out: {where} does not answer{within}",
            "Is the server up, are Host and HostPort right, and does no firewall stand in between?",
        )
    )


NOT_YET, OVER = 9, 10  # X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED of OpenSSL


def not_valid_now(code: int, now: float) -> TransportLost | None:
    """The error for a certificate that is not valid at ``now``, where the own clock may be wrong: the certificate is not valid yet,
    or it has expired by a clock that cannot be right. None for any other.

    ``code``: OpenSSL's verify result. The error is no refusal, as it ends when the clock is set; and no key must be pinned for it.
    """
    if code == NOT_YET or (code == OVER and not is_plausible(now)):
        when = "not valid yet" if code == NOT_YET else "out of date"
        wrong = "" if is_plausible(now) else ", which cannot be right"
        return TransportLost(
            f"by this machine's clock the server's certificate is {when}: {reading(now)}{wrong}. Nothing was sent",
            f"It goes on by itself when the clock is right ({SET_CLOCK} has it follow the network's)",
        )
    return None


def no_address_answers(where: str, failures: Sequence[tuple[str, OSError]], secs: float | None = None) -> TransportLost:
    """The error where none of several addresses accepts a connection; the message has each address with its error."""
    outcomes = "; ".join(f"{address}: {_came_of(error, secs)}" for address, error in failures)
    if all(error.errno in _NO_ROUTE for _, error in failures):
        return no_route(where, outcomes)
    return TransportLost(
        f"none of the {len(failures)} addresses of {where} takes a connection ({outcomes})",
        "Is the server up, are Host and HostPort right, and does no firewall stand in between?",
    )


def _came_of(error: OSError, secs: float | None) -> str:
    if isinstance(error, TimeoutError) or error.errno in _SILENT:
        return "no answer" if secs is None else f"no answer within {secs:g} s"
    if error.errno in _REFUSED:
        return "Connection refused"
    return error.strerror or str(error)


def unknown_name(host: str, reason: str) -> TransportLost:
    """The name service does not know the host, or there is none."""
    return TransportLost(
        f"the name {host} cannot be resolved ({reason})", "Is Host written right, and has this machine a network and a name server?"
    )


def no_route(where: str, reason: str) -> TransportLost:
    """This machine has no route there."""
    return TransportLost(f"there is no way to the network of {where} ({reason})", "Is the network of this machine up?")


def of_socket(exc: BaseException, host: str, port: int | None, secs: float) -> TransportLost | None:
    """The error for an exception of connect(2) or of the name service; None for any other exception."""
    where = place(host, port)
    failures = getattr(exc, "failures", ())  # of a server with several addresses: see dial.NoAddressAnswers
    if failures:
        return no_address_answers(where, [(one.address, one.error) for one in failures], secs)
    if isinstance(exc, socket.gaierror):
        return unknown_name(host, exc.strerror or str(exc))
    if isinstance(exc, TimeoutError):
        return no_answer(where, secs)
    number = getattr(exc, "errno", None)
    if number in _REFUSED or isinstance(exc, ConnectionRefusedError):
        return nobody_listens(where)
    if number in _SILENT:
        return no_answer(where)
    if number in _NO_ROUTE:
        return no_route(where, getattr(exc, "strerror", None) or str(exc))
    return None


def other_speaker(heard: bytes, where: str) -> TransportLost | None:
    """The error for a server whose first bytes are not those of SSH but of SMTP, FTP or HTTP; None for any others."""
    if heard.startswith(b"SSH-") or not heard:
        return None
    if heard[:3].isdigit() and heard[3:4] in (b" ", b"-"):
        if b"SMTP" in heard[:200].upper():
            return TransportLost(f"this looks like a mail server, not SSH: {where}", "Set ftp.HostPort to the SSH server's (22)")
        return TransportLost(
            f"this looks like an FTP server, not SSH: {where}",
            "Write UseSFTP = False, or set HostPort to the SSH server's port (22)",
        )
    if heard.startswith((b"HTTP/", b"<")):
        return TransportLost(
            f"this looks like a web server, not SSH: {where}", f"Set HostPort to the SSH server's port (22). {PORTAL}"
        )
    return None
