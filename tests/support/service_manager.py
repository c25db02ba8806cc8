"""A service manager's end of sd_notify."""

from __future__ import annotations

import socket
import time

from tests.support.helpers import wait_until


class Manager:
    """A service manager's end of sd_notify: the messages that came, one a datagram."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.heard: list[tuple[float, str]] = []

    def listen(self, secs: float = 0.05) -> list[str]:
        self.socket.settimeout(secs)
        try:
            while True:
                self.heard.append((time.monotonic(), self.socket.recv(4096).decode()))
        except TimeoutError:
            return [line for _, text in self.heard for line in text.splitlines()]

    def hears(self, line: str) -> None:
        wait_until(lambda: any(one.startswith(line) for one in self.listen()), 40, f"{line} at the manager")

    def close(self) -> None:
        self.socket.close()
