"""The ports of servers that tests start, side by side in several processes."""

from __future__ import annotations

import random
import socket
import subprocess
import sys

import pytest

from pysubtask.testing.servers.ports import PortRow, PortsInTurn

OTHER = """
import random, sys
from pysubtask.testing.servers.ports import PortRow
first = int(sys.argv[1])
random.shuffle = lambda starts: starts.sort(key=lambda start: start != first)
print(PortRow(41).ports[0])
"""


@pytest.fixture
def begin_with(monkeypatch):
    """Which row is tried first."""

    def choose(first: int) -> None:
        monkeypatch.setattr(random, "shuffle", lambda starts: starts.sort(key=lambda start: start != first))

    return choose


def test_no_two_have_a_port_in_common(begin_with):
    row = PortRow(41)
    begin_with(row.ports[0])
    other = PortRow(41)
    try:
        assert set(row.ports).isdisjoint(other.ports)
        completed = subprocess.run([sys.executable, "-c", OTHER, str(row.ports[0])], capture_output=True, text=True, check=True)
        assert int(completed.stdout) != row.ports[0], "another process"
    finally:
        row.close()
        row.close()
        other.close()


def test_a_row_in_which_somebody_listens_is_not_taken(begin_with):
    row = PortRow(64)
    first = row.ports[0]
    with socket.create_server(("127.0.0.1", row.ports[40])):
        row.close()
        begin_with(first)
        other = PortRow(41)
        other.close()
    assert other.ports[0] != first


def test_too_many_ports_are_refused():
    with pytest.raises(ValueError, match="64 ports, not 65"):
        PortRow(65)


def test_the_passive_port_is_the_one_that_was_used_longest_ago():
    row = PortRow(3)
    try:
        first, second, third = row.ports
        turn = PortsInTurn(row.ports)
        with socket.socket() as busy:
            busy.bind(("127.0.0.1", second))
            busy.listen()
            assert [list(turn) for _ in range(4)] == [[first], [third], [first], [third]]
        assert [list(turn) for _ in range(3)] == [[first], [second], [third]]
    finally:
        row.close()
