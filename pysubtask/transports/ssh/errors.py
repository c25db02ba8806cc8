"""What ssh's last words mean: pure, from stderr and exit status to one of the three errors.

The phrases are those of OpenSSH's sources (ssh.c, sshconnect.c, sshconnect2.c, clientloop.c), which are
never translated. What is not known is a lost connection: trying again later is never wrong there.
"""

from __future__ import annotations

import re
import time

from ...common.advice import install
from ...common.errors import LoginRefused, TransportError, TransportLost
from ..shared.reach import (
    NOT_YET,
    OVER,
    host_in,
    no_answer,
    no_route,
    nobody_listens,
    not_valid_now,
    place,
    unanswered,
    unknown_name,
)
from ..shared.remote_text import remote_text
from ..shared.ssh_login import AnotherKey, changed_key, revoked_key, unknown_key
from .algorithms import ssh_config_remedy
from .options import NOT_PINNED

NO_ACCOUNT = r"No user exists for uid \d+"
_REFUSED: tuple[tuple[str, str, str], ...] = (
    (
        r"Too many authentication failures",
        "the server ended the login after too many keys were offered (with KeyFile only one is)",
        "Set KeyFile to the one key it knows",
    ),
    (r"Permission denied \(", "the login was refused", "Check User, KeyFile or Password, and the account on the server"),
    (r"(?:Unable to negotiate|no matching .* found)", "the server and this ssh share no algorithm", "Update the older of the two"),
    (
        r"subsystem request failed",
        "the login works, but the server offers no SFTP to it",
        "Have the sftp subsystem switched on there",
    ),
    (
        r"Bad configuration option: knownhostscommand|unsupported option .*knownhostscommand",
        "this ssh is too old for HostKey (it needs OpenSSH 8.5)",
        "Use KnownHostsFile instead",
    ),
    (
        r"(?:Bad configuration option|terminating, \d+ bad configuration|Can't open user config file|Bad owner or permissions)",
        "ssh does not take its configuration",
        "Mend the file it names, or set SSHConfigFile to 'none'",
    ),
)
_BEFORE_ITS_NAME = "kex_exchange_identification"
_PARTIAL = re.compile(r'^Authenticated (?:using "([\w-]+)" )?with partial success', re.MULTILINE)
_DENIED = re.compile(r"Permission denied \(([a-z0-9,.@-]+)\)")
AS_WELL = "as well, which was not given or not accepted"
"""Of a server that takes one step of a login and wants another."""
BETWEEN = "the ProxyCommand or ProxyJump of ssh's configuration"
_BY_HAND = "Does that program reach the server when it is run by hand?"
_NO_PEER = re.compile(r"UNKNOWN port 65535")
_CLOSED = re.compile(r"(?:Connection reset|Connection closed|Broken pipe|banner exchange|kex_exchange_identification)")
_REACHED_FOR = re.compile(r"connect to (?:host|address) (\S+) port (\d+): ")
_REVOKED = re.compile(r"REVOKED HOST KEY|(?i:host key \S+ .*revoked)")
_CHANGED = re.compile(r"REMOTE HOST IDENTIFICATION HAS CHANGED")
_CERT_INVALID = re.compile(r"^Certificate invalid: (?:(not yet valid)|expired)", re.MULTILINE)
_UNKNOWN = re.compile(r"(?:No \S+ host key is known for|Host key verification failed)")
_CHANGED_KEY = re.compile(r"The fingerprint for the (\S+) key sent by the remote host is\s+(SHA256:\S+?)\.?\s")
_KEY_IN_DEBUG = re.compile(r"Server host key: (\S+ SHA256:\S+)")
_LONGEST = 8192  # characters of the output that are read: the last ones
_LONGEST_LINE = 1024  # characters of a line: the patterns are not to search more
_LONGEST_CAUSE, _MOST_CAUSES = 160, 3
# Lines that ssh writes itself, of sshkey.c, authfile.c, sshconnect2.c, readconf.c; above the one that says what came of it.
_FIRST_CAUSE = re.compile(
    r"Load key |Certificate |Permissions \S+ for |Warning: Identity file |sign_and_send_pubkey: |identity_sign: |"
    r"no such identity: |Bad owner or permissions |\S+:? line \d+: |Received disconnect from |Unable to load host key"
)
_BEFORE_KEYS = re.compile(
    r"kex_exchange_identification: |ssh_exchange_identification: |banner exchange: |"
    r"Connection (?:closed|reset) by UNKNOWN port 65535|Connection to UNKNOWN port 65535 timed out"
)
_NOISE = re.compile(r"^(Warning: Permanently added|@+|debug\d: |\s*$|Authenticated |Transferred: sent |Bytes per second: sent )")


def verdict(
    stderr: str, code: int | None, asked: str | None = None, logged_in: bool = False, where: str = "the server"
) -> TransportError:
    """The error for a connection that ended; after the login (``logged_in``) it is always TransportLost.

    ``stderr``: ssh's output. ``code``: ssh's exit status, below 0 a signal. ``asked``: a question of ssh that got no answer.
    ``where``: the server, for the message.
    """
    stderr = "\n".join(line[:_LONGEST_LINE] for line in stderr[-_LONGEST:].splitlines()) + "\n"
    last = _last(stderr)
    excerpt = _excerpt(stderr, last)
    lost = _lost(
        last, excerpt, where
    )  # from the last line alone: the lines above may be the server's banner, which can contain any text
    if lost is not None:
        return lost
    if logged_in:
        return TransportLost(_ended(code, excerpt))
    invalid = _CERT_INVALID.search(stderr) if _UNKNOWN.search(stderr) else None
    wrong = not_valid_now(NOT_YET if invalid[1] else OVER, time.time()) if invalid is not None else None
    if wrong is not None:
        return wrong
    presented = _key_not_pinned(stderr)
    if presented is not None and re.search(r"Host key verification failed|No \S+ host key is known", stderr):
        return AnotherKey(presented)
    if _REVOKED.search(stderr):
        return revoked_key(where, _key_in_stderr(stderr))
    if _CHANGED.search(stderr):
        return changed_key(where, _key_in_stderr(stderr))
    if _UNKNOWN.search(stderr):
        return unknown_key(where, _key_in_stderr(stderr))
    for pattern, meaning, remedy in _REFUSED:
        if re.search(pattern, stderr):
            if "Permission denied" in pattern:
                meaning, remedy = _one_of_several(stderr) or (meaning, remedy)
                if asked is not None:
                    meaning += f" (ssh asked {asked!r}, which is not answered from here)"
            if "no matching" in pattern:
                remedy = ssh_config_remedy(stderr, host_in(where)) or remedy
            return LoginRefused(f"{meaning}. ssh said: {excerpt!r}", remedy)
    return TransportLost(_ended(code, excerpt))


def _one_of_several(stderr: str) -> tuple[str, str] | None:
    """Cause and remedy of a login of which the server accepted one step and requires another; None where it accepted none."""
    taken, left = _PARTIAL.findall(stderr), _DENIED.search(stderr)
    if not taken or left is None:
        return None
    keys = {"publickey", "hostbased"}
    took = "the key" if all(method in keys or not method for method in taken) else "the password"
    methods = left[1].split(",")
    wants_key = keys >= set(methods)
    missing = "a key" if wants_key else "a password"
    return (
        f"the server took {took} and wants {missing} {AS_WELL} ({', '.join(methods)})",
        f"Set {'KeyFile' if wants_key else 'Password'}, too, or check it",
    )


def _lost(last: str, excerpt: str, where: str) -> TransportLost | None:
    found = _REACHED_FOR.search(last)
    if found is not None:
        where = place(found[1], found[2])
    if "Could not resolve hostname" in last:
        host, _, why = last.partition("Could not resolve hostname ")[2].partition(": ")
        return unknown_name(host, why or last)
    if re.search(NO_ACCOUNT, last):
        return TransportLost(
            f"ssh does nothing for a user without an entry in /etc/passwd. ssh said: {last!r}",
            f"Give this user one, or run: {install('asyncssh')}",
        )
    if "Connection refused" in last:
        return nobody_listens(where)
    if re.search(r"(?:Connection timed out|Operation timed out|Timeout, server|Connection to \S+ port \d+ timed out)", last):
        failed = no_answer(where)
        if _NO_PEER.search(last):
            return TransportLost(f"{failed.cause} through {BETWEEN}. ssh said: {excerpt!r}", _BY_HAND)
        return unanswered(TransportLost(f"{failed.cause}. ssh said: {excerpt!r}", failed.remedy))
    if re.search(r"(?:No route to host|Network is unreachable|Network is down)", last):
        return no_route(where, last.rpartition(": ")[2])
    if _NO_PEER.search(last) and _CLOSED.search(last):
        return TransportLost(
            f"{BETWEEN} came to its end, or what it leads to closed the connection. ssh said: {excerpt!r}", _BY_HAND
        )
    if _CLOSED.search(last):
        closed = TransportLost(f"the server or something on the way closed the connection. ssh said: {excerpt!r}")
        return unanswered(closed) if _BEFORE_ITS_NAME in last else closed
    return None


def _key_in_stderr(stderr: str) -> str:
    """Type and fingerprint of the key that the server has presented, where ssh's output has them, else ''."""
    found = _KEY_IN_DEBUG.findall(stderr)
    if found:
        return str(found[-1])
    matches = _CHANGED_KEY.findall(stderr)
    return " ".join(matches[-1]) if matches else ""


def _ended(code: int | None, excerpt: str) -> str:
    how = "" if code is None else f" (ssh ended by signal {-code})" if code < 0 else f" (ssh ended with {code})"
    return f"the connection ended{how}" + (f". ssh said: {excerpt!r}" if excerpt else "")


def _last(stderr: str) -> str:
    """The last line of ssh's output that is not noise."""
    lines = [line for line in stderr.splitlines() if not _NOISE.match(line)]
    return remote_text(lines[-1].encode("utf-8", "replace"), 200) if lines else ""


def _excerpt(stderr: str, last: str) -> str:
    """The last line of ssh's output, preceded by the lines with the first cause: those about a key or a configuration that ssh does
    not accept, and before the key exchange all lines, as these come from ssh or a ProxyCommand and not from the server's banner."""
    lines = [line for line in stderr.splitlines() if not _NOISE.match(line)][:-1]
    early = bool(_BEFORE_KEYS.search(last)) or any(_BEFORE_KEYS.match(line) for line in lines)
    first = [line for line in lines if early or _FIRST_CAUSE.match(line)]
    first_causes = dict.fromkeys(remote_text(line.encode("utf-8", "replace"), _LONGEST_CAUSE) for line in first)
    return "; ".join([*list(first_causes)[:_MOST_CAUSES], last])


def _key_not_pinned(stderr: str) -> str | None:
    found = re.findall(re.escape(NOT_PINNED) + r" (\S+ SHA256:\S+)", stderr)
    return found[-1] if found else None
