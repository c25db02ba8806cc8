"""Ports for the servers of tests that run side by side, in several processes, and are started again on the ports they had."""

from __future__ import annotations

import errno
import itertools
import random
import socket
from collections.abc import Iterator

ADDRESS = "127.0.0.2"  # where a relay listens on the ports that its server has on 127.0.0.1
_CLAIM_ADDRESS = "127.41.0.1"
_FIRST_PORT, _LAST_PORT, _ROW = 20_032, 32_000, 64


class PortRow:
    """So many TCP ports in a row, below those the system gives out, that nobody listens on and no other PortRow has, in any
    process of this machine, until it is closed or its process ends. RuntimeError where there are none.

    A server's passive ports are free most of the time. Another server that began in the same row would have its first
    caller taken for a data connection of this one's.
    """

    def __init__(self, count: int) -> None:
        if count > _ROW:
            raise ValueError(f"a row has {_ROW} ports, not {count}")
        starts = list(range(_FIRST_PORT, _LAST_PORT, _ROW))
        random.shuffle(starts)
        for start in starts:
            self._claim = socket.socket()
            self.ports = range(start, start + count)
            # Bound and never listening, on an address of its own: the process that holds it owns the row.
            if _bind(self._claim, _CLAIM_ADDRESS, start) and all(map(_is_free, self.ports)):
                return
            self._claim.close()
        raise RuntimeError(f"no {count} free ports in a row")

    def close(self) -> None:
        """Release the ports; harmless twice."""
        self._claim.close()


class PortsInTurn:
    """Passive ports of pyftpdlib, which takes one of those that it is given at random: each iteration yields one port alone, the
    free one that was used longest ago. A data connection that a relay brings late then finds a closed port, not the port of
    the next transfer, which would be left without a connection."""

    def __init__(self, ports: range) -> None:
        self._count = len(ports)
        self._turn = itertools.cycle(ports)

    def __iter__(self) -> Iterator[int]:
        for port in itertools.islice(self._turn, self._count):
            if _may_listen(port):
                yield port
                return


class OwnPorts:
    """A server's ports: its own from the first start on, also while it is stopped, until it is closed."""

    _row: PortRow | None = None

    def stop(self) -> None:
        """End the server; it may be started again."""
        raise NotImplementedError

    def close(self) -> None:
        """End the server and release its ports: other servers may have them."""
        self.stop()
        self._leave_ports()

    def _take_ports(self, count: int) -> range:
        """The ports it has, or so many new ones."""
        self._row = self._row or PortRow(count)
        return self._row.ports

    def _leave_ports(self) -> None:
        if self._row is not None:
            self._row.close()
            self._row = None


def _may_listen(port: int) -> bool:
    """Whether nobody listens on it; connections that have ended do not count."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return _bind(probe, "127.0.0.1", port)


def _is_free(port: int) -> bool:
    for address in ("127.0.0.1", ADDRESS):
        with socket.socket() as probe:
            if not _bind(probe, address, port):
                return False
    return True


def _bind(one: socket.socket, address: str, port: int) -> bool:
    try:
        one.bind((address, port))
    except OSError as exc:
        # Other systems than Linux have one loopback address alone: the address cannot be bound, and no process has it.
        return exc.errno == errno.EADDRNOTAVAIL
    return True
