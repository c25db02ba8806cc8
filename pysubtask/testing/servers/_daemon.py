"""What the starters of real servers share: a process on ports of its own, and its end with all that it serves."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from ._processes import descendants, dies_with_us
from ._programs import environment
from .ports import OwnPorts

_START_SECS = 20.0
_END_SECS = 10.0


class Daemon(OwnPorts):
    """A server's process at ``host``:``port``. ``files`` is the folder that a login starts in; ``data_ports`` its passive ports;
    ``root`` has its configuration and logs."""

    name = ""
    ports_needed = 1
    greeting: bytes | None = b"220"
    """The first bytes of its greeting; None: it sends none before a request."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.files = root / "files"
        self.host = "127.0.0.1"
        self.port = 0
        self.data_ports = range(0)
        self._processes: list[subprocess.Popen[bytes]] = []
        self.files.mkdir(parents=True, exist_ok=True)

    def start(self) -> None:
        """Start the process; the second time on the ports it had. RuntimeError where the server does not answer."""
        for _ in range(5):
            ports = self._take_ports(self.ports_needed)
            for command in self._prepare(ports):
                with open(self.root / "stderr", "ab") as log:
                    started = subprocess.Popen(
                        [*dies_with_us(), *command],
                        stdin=subprocess.DEVNULL,
                        stdout=log,
                        stderr=log,
                        start_new_session=True,
                        env=self._environment(),
                    )
                self._processes.append(started)
            if self._answers(ports[0]):
                self.port, self.data_ports = ports[0], ports[1:]
                self._started()
                return
            self.kill()
            if not self.port:
                self._leave_ports()
        raise RuntimeError(f"{self.name} does not start: {self.log()[-2000:]}")

    def stop(self) -> None:
        """End the process and every session it serves. ``start`` works again."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End the process and every session it serves with SIGKILL, at once."""
        if sys.platform == "win32":
            raise NotImplementedError
        self._end(signal.SIGKILL)

    def session_pids(self) -> list[int]:
        """The living processes of its sessions."""
        return [pid for process in self._processes for pid in descendants(process.pid)]

    def log(self) -> str:
        """The output and the log of the process so far."""
        found = [self.root / "stderr", self.root / "log"]
        return "".join(path.read_text("utf-8", "replace") for path in found if path.exists())

    def _prepare(self, ports: range) -> list[list[str]]:
        """Write the configuration; return the command lines, each of a process that stays in the foreground."""
        raise NotImplementedError

    def _started(self) -> None:
        """A hook for what a server needs once it answers."""

    def _environment(self) -> dict[str, str]:
        return environment()

    def _answers(self, port: int) -> bool:
        deadline = time.monotonic() + _START_SECS
        while time.monotonic() < deadline and self._live():
            with contextlib.suppress(OSError), socket.create_connection((self.host, port), timeout=2) as probe:
                if self.greeting is None or probe.recv(len(self.greeting)) == self.greeting:
                    # Another server may have had the port first; this process would have ended then.
                    return self._live()
            time.sleep(0.01)
        return False

    def _live(self) -> bool:
        return all(process.poll() is None for process in self._processes)

    def _end(self, number: int) -> None:
        processes, self._processes = self._processes, []
        pids = [pid for process in processes for pid in (process.pid, *descendants(process.pid))]
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        for process in processes:
            try:
                process.wait(_END_SECS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
