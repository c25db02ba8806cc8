"""What ssh's last words mean: pure, from stderr and exit status to one of the three errors.

The phrases are those of OpenSSH's sources (ssh.c, sshconnect.c, sshconnect2.c, clientloop.c), which are
never translated. What is not known is a lost connection: trying again later is never wrong there.
"""

from __future__ import annotations

import re

from ...common.errors import LoginRefused, TransportError, TransportLost
from ..ssh_login import AnotherKey
from .options import KEY_SHOWN
from .packets import text

_CHANGED = "the server shows another host key than the one on file for it: either it was set up anew, or somebody sits in between"
_REFUSED: tuple[tuple[str, str, str], ...] = (
    (r"REVOKED HOST KEY|(?i:host key \S+ .*revoked)", "the server's host key is revoked", "Ask who runs the server"),
    (r"REMOTE HOST IDENTIFICATION HAS CHANGED", _CHANGED,
     "If the server was set up anew, remove the old key (ssh-keygen -R) and add the new one"),
    (r"(?:No \S+ host key is known for|Host key verification failed)", "the server's host key is not known here",
     "Connect once by hand with ssh, or set HostKey to its fingerprint, or HostKeyPolicy to 'accept-new'"),
    (r"Too many authentication failures", "the server ended the login after too many keys were offered",
     "Set KeyFile to the one key it knows"),
    (r"Permission denied \(", "the login was refused", "Check User, KeyFile or Password, and the account on the server"),
    (r"(?:Unable to negotiate|no matching .* found)", "the server and this ssh share no algorithm", "Update the older of the two"),
    (r"subsystem request failed", "the login works, but the server offers no SFTP to it",
     "Have the sftp subsystem switched on there"),
    (r"Bad configuration option: knownhostscommand|unsupported option .*knownhostscommand",
     "this ssh is too old for HostKey (it needs OpenSSH 8.5)", "Use KnownHostsFile instead"),
    (r"(?:Bad configuration option|terminating, \d+ bad configuration|Can't open user config file|Bad owner or permissions)",
     "ssh does not take its configuration", "Mend the file it names, or set SSHConfigFile to 'none'"),
)
_LOST: tuple[tuple[str, str], ...] = (
    (r"Could not resolve hostname", "the server's name cannot be resolved"),
    (r"Connection refused", "the server's machine answers, but nothing listens on that port"),
    (r"(?:Connection timed out|Operation timed out|Timeout, server)", "the server does not answer"),
    (r"(?:No route to host|Network is unreachable|Network is down)", "there is no way to the server's network"),
    (r"(?:Connection reset|Connection closed|Broken pipe|banner exchange|kex_exchange_identification)",
     "the server or something on the way closed the connection"),
)
_LONGEST = 8192  # characters that are looked at, the last ones
_LONGEST_LINE = 1024
_NOISE = re.compile(r"^(Warning: Permanently added|@+|debug\d: |\s*$)")


def verdict(stderr: str, code: int | None, asked: str | None = None, logged_in: bool = False) -> TransportError:
    """The error for a connection that ended; one that was ``logged_in`` is only lost, whatever was said.

    ``code``: ssh's exit status, below 0 a signal. ``asked``: a question of ssh that got no answer.
    """
    stderr = "\n".join(line[:_LONGEST_LINE] for line in stderr[-_LONGEST:].splitlines())
    said = _last(stderr)
    for pattern, meaning in _LOST:  # the last line alone: above it may stand a banner, which can say anything
        if re.search(pattern, said):
            return TransportLost(f"{meaning}. ssh said: {said!r}")
    if logged_in:
        return TransportLost(_ended(code, said))
    shown = _key_shown(stderr)
    if shown is not None and re.search(r"Host key verification failed|No \S+ host key is known", stderr):
        return AnotherKey(shown)
    for pattern, meaning, remedy in _REFUSED:
        if re.search(pattern, stderr):
            if asked is not None and "Permission denied" in pattern:
                meaning += f" (ssh asked {asked!r}, which is not answered from here)"
            return LoginRefused(f"{meaning}. {remedy}. ssh said: {said!r}")
    return TransportLost(_ended(code, said))


def _ended(code: int | None, said: str) -> str:
    how = "" if code is None else f" (ssh ended by signal {-code})" if code < 0 else f" (ssh ended with {code})"
    return f"the connection ended{how}" + (f". ssh said: {said!r}" if said else "")


def _last(stderr: str) -> str:
    """The last line that says something."""
    lines = [line for line in stderr.splitlines() if not _NOISE.match(line)]
    return text(lines[-1].encode("utf-8", "replace"), 200) if lines else ""


def _key_shown(stderr: str) -> str | None:
    found = re.findall(re.escape(KEY_SHOWN) + r" (\S+ SHA256:\S+)", stderr)
    return found[-1] if found else None
