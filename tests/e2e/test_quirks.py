"""A station on servers with quirks: each alone, and a sample of pairs. ``python -m tests.e2e.quirk_pairs`` tries more of those."""

from __future__ import annotations

from pathlib import Path

import pytest

from pysubtask.testing.servers.quirks import Switch, pairs, switch, switches
from tests.support.quirk_station import problems, run

TLS_MATTERS = ("early 226", "reset after the last byte", "data connection never closed", "wrong address in PASV", "one connection")


def singles() -> list[tuple[str, Switch]]:
    """FTP over TLS with what TLS makes a difference to."""
    return [
        (protocol, one)
        for protocol in ("sftp", "ftp", "ftps")
        for one in switches(protocol)
        if protocol != "ftps" or "ftp" not in one.protocols or one.name in TLS_MATTERS
    ]


@pytest.mark.slow
@pytest.mark.parametrize(("protocol", "one"), singles(), ids=lambda value: getattr(value, "name", value))
def test_one_quirk(tmp_path: Path, protocol: str, one: Switch):
    outcome = run(tmp_path, protocol, (one,))
    assert not problems(outcome, (one,)), outcome


KILLED = [
    ("sftp", "no rename over a file"),
    ("sftp", "object store"),
    ("sftp", "delete refused"),
    ("sftp", "hidden names refused"),
    ("sftp", "one open file"),
    ("ftp", "no rename over a file"),
    ("ftp", "append refused"),
    ("ftp", "delete refused"),
    ("ftp", "size grows late"),
    ("ftps", "data connection never closed"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("protocol", "name"), KILLED)
def test_kills_on_a_server_with_a_quirk(tmp_path: Path, protocol: str, name: str):
    one = switch(name)
    outcome = run(tmp_path, protocol, (one,), kills=3, seed=7)
    assert not problems(outcome, (one,), kills=True), outcome


SAMPLE = [(protocol, *pair) for protocol, count in (("sftp", 6), ("ftp", 4)) for pair in pairs(protocol, count, seed=14)]


@pytest.mark.slow
@pytest.mark.parametrize(("protocol", "one", "other"), SAMPLE, ids=lambda value: getattr(value, "name", value))
def test_two_quirks(tmp_path: Path, protocol: str, one: Switch, other: Switch):
    outcome = run(tmp_path, protocol, (one, other))
    assert not problems(outcome, (one, other)), outcome
