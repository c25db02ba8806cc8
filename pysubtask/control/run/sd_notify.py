"""Messages from a service to systemd by the protocol of sd_notify(3): a datagram of lines to the socket in ``$NOTIFY_SOCKET``."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Mapping

VARIABLES = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
"""The variables of the protocol, which a service removes from its environment: its children must not send in its name."""


class Notifier:
    """Sends to ``NOTIFY_SOCKET`` (a path, or ``@name`` in the abstract namespace); without one it does nothing.

    ``watchdog_secs``: the seconds within which systemd expects the next ``WATCHDOG=1``, None where the watchdog is off.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        name = environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + name[1:] if name.startswith("@") else name
        self._socket: socket.socket | None = None
        if self._address and hasattr(socket, "AF_UNIX") and name[0] in "/@":
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | getattr(socket, "SOCK_CLOEXEC", 0))
            # A receiver that reads nothing must not block the service.
            self._socket.setblocking(False)
        self.watchdog_secs = _watchdog(environ) if self._socket is not None else None
        self._status = ""

    @property
    def is_heard(self) -> bool:
        """Whether there is a socket to send to."""
        return self._socket is not None

    def say(self, *lines: str) -> None:
        """Send lines such as ``READY=1``."""
        if self._socket is not None:
            # The receiver may be gone or its buffer full; the service goes on without it.
            with contextlib.suppress(OSError):
                self._socket.sendto("\n".join(lines).encode("utf-8", "backslashreplace"), self._address)

    def status(self, text: str) -> None:
        """Send the status in one line, unless it is the same as before."""
        text = text.replace("\n", " ")
        if text != self._status:
            self._status = text
            self.say(f"STATUS={text}")

    def close(self) -> None:
        """Close the socket; later messages are dropped."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def _watchdog(environ: Mapping[str, str]) -> float | None:
    """The watchdog limit in seconds by sd_watchdog_enabled(3): it applies to the process in WATCHDOG_PID, or to any without
    that."""
    if environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    try:
        micros = int(environ.get("WATCHDOG_USEC", ""))
    except ValueError:
        return None
    return micros / 1e6 if micros > 0 else None
