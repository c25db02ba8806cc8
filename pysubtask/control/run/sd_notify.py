"""What a service tells systemd: sd_notify(3), one datagram of lines to the socket that ``$NOTIFY_SOCKET`` names."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Mapping

VARIABLES = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
"""What a service takes out of its environment: its own children are not meant."""


class Notifier:
    """Tells what listens at ``NOTIFY_SOCKET`` (a path, or ``@name`` in the abstract namespace); without one it does nothing.

    ``watchdog_secs``: within so many seconds a sign of life is wanted, None where nobody waits for one.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        name = environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + name[1:] if name.startswith("@") else name
        self._socket: socket.socket | None = None
        if self._address and hasattr(socket, "AF_UNIX") and name[0] in "/@":
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | getattr(socket, "SOCK_CLOEXEC", 0))
            # A reader that takes nothing must not hold the service up.
            self._socket.setblocking(False)
        self.watchdog_secs = _watchdog(environ) if self._socket is not None else None
        self._status = ""

    @property
    def is_heard(self) -> bool:
        """Whether there is a socket to tell."""
        return self._socket is not None

    def say(self, *lines: str) -> None:
        """Send lines such as ``READY=1``."""
        if self._socket is not None:
            # Whoever listened may be gone or busy; that is no reason to stop working.
            with contextlib.suppress(OSError):
                self._socket.sendto("\n".join(lines).encode("utf-8", "backslashreplace"), self._address)

    def status(self, text: str) -> None:
        """Say what goes on, in one line; the same as before is not said again."""
        text = text.replace("\n", " ")
        if text != self._status:
            self._status = text
            self.say(f"STATUS={text}")

    def close(self) -> None:
        """Say nothing more."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def _watchdog(environ: Mapping[str, str]) -> float | None:
    """sd_watchdog_enabled(3): the limit is for this process, or for any if no pid is named."""
    if environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    try:
        micros = int(environ.get("WATCHDOG_USEC", ""))
    except ValueError:
        return None
    return micros / 1e6 if micros > 0 else None
