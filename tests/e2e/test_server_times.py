"""Times on a server that are rounded, shifted, local or change with the season: no unchanged byte travels again for that."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from pysubtask.common.receipts import read_receipts
from tests.support.helpers import wait_until
from tests.support.quirk_station import QuirkStation, server_of

pytestmark = pytest.mark.slow

HEAD = 40_000
LINE = b"2026-11-30T10:00:00Z,12.5,13.7\n"
SEASONS: list[tuple[str, list[dict[str, Any]]]] = [
    ("summer time begins and ends", [{"time_shift": 3600}, {"time_shift": 0}]),
    ("another zone", [{"time_shift": 5 * 3600 + 1800}, {"time_shift": -8 * 3600}]),
    ("of two seconds, later than it was told", [{"time_step": 2}]),
    ("of a minute, later than it was told", [{"time_step": 60}]),
    ("of a minute and local", [{"time_step": 60, "time_shift": 7200}, {"time_step": 60, "time_shift": 3600}]),
]


CASES = [("sftp", changes) for _, changes in SEASONS] + [("ftp", SEASONS[0][1]), ("ftp", SEASONS[-1][1])]
NAMES = [f"sftp, {name}" for name, _ in SEASONS] + [f"ftp, {SEASONS[0][0]}", f"ftp, {SEASONS[-1][0]}"]


@pytest.mark.parametrize(("protocol", "changes"), CASES, ids=NAMES)
def test_only_growth_is_sent_and_an_unchanged_file_is_free(protocol: str, changes: list[dict[str, Any]], tmp_path: Path):
    with server_of(protocol, tmp_path) as server:
        one = QuirkStation(tmp_path, server)
        try:
            one.write("again.jpg", os.urandom(30_000))
            one.write("grow.csv", (os.urandom(HEAD // 2).hex()[:-1] + "\n").encode())
            one.master.start()
            one.notify("grow.csv")
            one.notify("again.jpg")
            one.wait("grow.csv", "again.jpg")
            for _ in range(2):  # by now an append has worked
                one.write("grow.csv", LINE, "a")
                one.notify("grow.csv")
                one.wait("grow.csv")
            before = len(list(read_receipts(str(one.state))))
            grown = 0
            for change in changes:
                wait_until(one.settled, 30, what="rest")
                server.quirks.set(**change)
                # A new connection, and a touch of what is the same: the server is asked before anything is sent.
                one.kill()
                one.notify("again.jpg")
                one.write("grow.csv", LINE * 5, "a")
                grown += len(LINE) * 5
                one.notify("grow.csv")
                one.wait("grow.csv", "again.jpg")
            wait_until(one.settled, 30, what="rest")
            sent = [(r.name, r.bytes_sent) for r in list(read_receipts(str(one.state)))[before:]]
            assert sum(size for _, size in sent) <= 1.5 * grown, sent
            assert "not_as_left" not in one.kinds()
        finally:
            one.close()


@pytest.mark.parametrize("protocol", ["sftp", "ftp"])
def test_a_file_that_somebody_changed_there_is_still_found(protocol: str, tmp_path: Path):
    """One of the same size, whose time differs by an hour as a shifted one would."""
    with server_of(protocol, tmp_path) as server:
        one = QuirkStation(tmp_path, server)
        try:
            one.write("grow.csv", (os.urandom(HEAD // 2).hex()[:-1] + "\n").encode())
            one.master.start()
            for _ in range(3):
                one.write("grow.csv", LINE, "a")
                one.notify("grow.csv")
                one.wait("grow.csv")
            # Its bytes are there before the server was asked what it made of them: what is changed until then counts as ours.
            wait_until(one.settled, 30, what="rest")
            there = one.server / "grow.csv"
            found = os.stat(there)
            there.write_bytes(b"x" * found.st_size)
            os.utime(there, (found.st_atime + 3600, found.st_mtime + 3600))
            one.write("grow.csv", LINE, "a")
            one.notify("grow.csv")
            one.wait("grow.csv")
            assert "not_as_left" in one.kinds()
        finally:
            one.close()
