"""Servers that change while a station runs: what they forbid and allow again, and how many files they let be open."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.helpers import wait_until
from tests.support.quirk_station import QuirkStation, Server, received, server_of

WITHIN = 3
"""So many files are enough to know what has changed."""


@contextmanager
def at_work(root: Path, protocol: str) -> Iterator[tuple[Server, QuirkStation]]:
    """A station that has delivered its first files."""
    with server_of(protocol, root) as server:
        station = QuirkStation(root, server)
        try:
            station.write("grow.csv", os.urandom(15_000).hex() + "\n")
            station.write("again.jpg", os.urandom(25_000))
            station.master.start()
            for name in ("grow.csv", "again.jpg"):
                station.notify(name)
            station.wait("grow.csv", "again.jpg")
            yield server, station
        finally:
            station.close()


@contextmanager
def reading(station: QuirkStation, name: str) -> Iterator[list[bytes]]:
    """What a reader of a file on the server sees who hardly rests; each content once in a row."""
    seen: list[bytes] = []
    over = threading.Event()

    def read_remote() -> None:
        while not over.wait(0.001):
            try:
                data = (station.server / name).read_bytes()
            except OSError:
                continue
            if not seen or seen[-1] != data:
                seen.append(data)

    reader = threading.Thread(target=read_remote)
    reader.start()
    try:
        yield seen
    finally:
        over.set()
        reader.join()


def grow(station: QuirkStation) -> None:
    station.write("grow.csv", os.urandom(1_000).hex()[:-1] + "\n", "a")
    station.notify("grow.csv")
    station.wait("grow.csv")


def no_trouble(station: QuirkStation) -> None:
    assert not station.reasons("parked")
    assert not station.reasons("connection_lost")
    wait_until(station.settled, what="rest")
    assert not station.left()


@pytest.mark.slow
@pytest.mark.parametrize("protocol", ["sftp", "ftp"])
def test_appends_are_forbidden_and_allowed_again(tmp_path: Path, protocol: str):
    with at_work(tmp_path, protocol) as (server, station), reading(station, "grow.csv") as seen:
        grow(station)

        def costs() -> list[int]:
            found = []
            for _ in range(WITHIN + 1):
                before = received(server)
                grow(station)
                found.append(received(server) - before)
            return found

        assert costs()[-1] < 4_000
        server.quirks.append = "refused"
        assert costs()[-1] < 1.2 * (station.data / "grow.csv").stat().st_size
        server.quirks.reset()
        assert costs()[-1] < 4_000, "whole, though appends are taken again"
        whole = (station.data / "grow.csv").read_bytes()
        assert all(whole.startswith(one) for one in seen)
        no_trouble(station)


@pytest.mark.slow
@pytest.mark.parametrize("protocol", ["sftp", "ftp"])
def test_renames_over_a_file_are_forbidden_and_allowed_again(tmp_path: Path, protocol: str):
    with at_work(tmp_path, protocol) as (server, station), reading(station, "again.jpg") as seen:
        versions = [(station.data / "again.jpg").read_bytes()]

        def renames() -> list[int]:
            """How many it took for each version."""
            found = []
            for _ in range(WITHIN + 1):
                versions.append(os.urandom(25_000))
                before = count(server)
                station.rewrite("again.jpg", versions[-1])
                station.notify("again.jpg")
                station.wait("again.jpg")
                wait_until(lambda before=before: count(server) > before, what="the rename in the server's log")
                wait_until(station.settled, what="rest")
                found.append(count(server) - before)
            return found

        assert renames()[-1] == 1
        server.quirks.set(rename="new", posix_rename=False)
        renames()
        server.quirks.reset()
        assert renames()[-1] == 1, "put aside, though renames over a file are taken again"
        assert set(seen) <= set(versions)
        no_trouble(station)


def count(server: Any) -> int:
    """Renames that were asked for."""
    if hasattr(server, "counts"):
        return int(server.counts["RNFR"])
    return len(server.operations("rename")) + len(server.operations("rename", failed=True))


@pytest.mark.slow
@pytest.mark.parametrize("protocol", ["sftp", "ftp"])
@pytest.mark.parametrize("limit", [1, 3, 20])
def test_a_limit_of_open_files(tmp_path: Path, protocol: str, limit: int):
    """300 files: all there, none parked, and few requests are refused."""
    with at_work(tmp_path, protocol) as (server, station):
        server.quirks.open_files = limit
        names = [f"box/{number:03d}.bin" for number in range(300)]
        for name in names:
            station.write(name, os.urandom(2_000))
        wait_until(lambda: station.there(*names), 60, what="300 files")
        no_trouble(station)
        if protocol == "sftp":
            refused = [one for one in server.log if one.error]  # type: ignore[union-attr]
            assert len(refused) <= 0.05 * len(server.log)  # type: ignore[union-attr]


@pytest.mark.slow
@pytest.mark.parametrize("protocol", ["sftp", "ftp"])
def test_a_limit_that_comes_and_goes(tmp_path: Path, protocol: str):
    with at_work(tmp_path, protocol) as (server, station):
        for phase, limit in enumerate((None, 1, None, 2)):
            server.quirks.open_files = limit
            names = [f"box/{phase}-{number:02d}.bin" for number in range(30)]
            for name in names:
                station.write(name, os.urandom(20_000))
            wait_until(lambda names=names: station.there(*names), 60, what=f"the files with a limit of {limit}")
        no_trouble(station)
