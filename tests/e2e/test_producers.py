"""Files as programs write them: rotation in all its forms, editors, links, rings of names, writers with an offset of their own. In
the end the server has every file as it is here, each under its name, and nothing else."""

from __future__ import annotations

import contextlib
import gzip
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.helpers import wait_until
from tests.support.station import Station

pytestmark = pytest.mark.slow

FOLDER = {"on_change": True, "settle_secs": 0.3, "notify_files": False, "default_exclude": True}


@contextlib.contextmanager
def station(tmp_path: Path, *entries: dict[str, Any]) -> Iterator[Station]:
    own_entries = [
        {key: str(tmp_path / "data" / value) if key in ("dir", "file") else value for key, value in entry.items()}
        for entry in entries or ({"dir": ".", **FOLDER},)
    ]
    one = Station(tmp_path, own_entries)
    shutil.rmtree(one.data / "box")
    try:
        one.master.start()
        one.pid()
        yield one
    finally:
        one.close()


def local(one: Station) -> dict[str, bytes]:
    return {
        path.name: path.read_bytes()
        for path in one.data.iterdir()
        if path.is_file() and not path.name.endswith((".notify", ".part", "~"))
    }


def settled(one: Station) -> None:
    """Wait until the server has just what is here."""

    def same() -> bool:
        one.master.check_pending_notifications()
        here = local(one)
        there = {path.name: path.read_bytes() for path in one.server.iterdir()}
        return {name: there.get(name) for name in here} == here

    wait_until(same, 60, what="the same on the server")


def lines(count: int, tag: str = "line") -> bytes:
    return b"".join(b"%s %06d\n" % (tag.encode(), number) for number in range(count))


def copytruncate(data: Path) -> None:
    """An appending writer, whose file is refilled past its old length before the child scans."""
    head = b"# the same comment\n" * 300
    (data / "x.csv").write_bytes(head + lines(3000))
    time.sleep(1)
    with open(data / "x.csv", "ab", buffering=0) as writer:
        shutil.copy(data / "x.csv", data / "x.csv.1")
        os.truncate(data / "x.csv", 0)
        writer.write(head + lines(3600, "news"))


def own_offset(data: Path) -> None:
    """A writer that goes on where it was, behind a hole, after its file was cut."""
    with open(data / "x.csv", "wb", buffering=0) as writer:
        writer.write(lines(3000))
        time.sleep(1)
        os.truncate(data / "x.csv", 0)
        writer.write(lines(5, "behind"))
        time.sleep(0.7)
        writer.write(lines(5, "more"))


def numbered(data: Path) -> None:
    for number in range(4):
        (data / ("x.log" if not number else f"x.log.{number}")).write_bytes(os.urandom(20_000))
    time.sleep(1)
    for _ in range(5):
        for number in (2, 1, 0):
            os.rename(data / ("x.log" if not number else f"x.log.{number}"), data / f"x.log.{number + 1}")
        (data / "x.log").write_bytes(os.urandom(20_000))
        time.sleep(0.1)


def compressed(data: Path) -> None:
    """Renamed, then compressed into another name and deleted."""
    (data / "x.log").write_bytes(lines(2000))
    time.sleep(1)
    os.rename(data / "x.log", data / "x.log.1")
    (data / "x.log").write_bytes(lines(10, "new"))
    with gzip.open(data / "x.log.1.gz", "wb") as packed:
        packed.write((data / "x.log.1").read_bytes())
    (data / "x.log.1").unlink()


def midnight(data: Path) -> None:
    """The last lines go into the renamed file through the handle that is still open."""
    with open(data / "today.log", "ab", buffering=0) as writer:
        writer.write(lines(2000))
        time.sleep(1)
        os.rename(data / "today.log", data / "20260101_0000.log")
        for number in range(3):
            writer.write(lines(1, f"late {number}"))
            time.sleep(0.2)
    (data / "today.log").write_bytes(lines(2, "new"))


def editors(data: Path) -> None:
    (data / "x.csv").write_bytes(b"0\n")
    for number in range(12):
        (data / "4913").write_bytes(b"")
        (data / "4913").unlink()
        (data / ".x.csv.swp").write_bytes(b"swap")
        os.rename(data / "x.csv", data / "x.csv~")
        (data / "x.csv").write_bytes(b"saved %d\n" % number * (number + 1))
        (data / ".x.csv.swp").unlink()
        time.sleep(0.1)
    (data / ".x.csv.Ab12Cd").write_bytes(b"the last one\n")
    os.replace(data / ".x.csv.Ab12Cd", data / "x.csv")


def hard_links(data: Path) -> None:
    for number in range(20):
        part = data / f".{number}.csv.filepart"
        part.write_bytes(os.urandom(2000))
        os.link(part, data / f"{number}.csv")
        part.unlink()


def ring(data: Path) -> None:
    """Names that are deleted and made anew, always of the same size."""
    for turn in range(4):
        for number in range(5):
            with contextlib.suppress(FileNotFoundError):
                (data / f"{number:02d}M.mp4").unlink()
            (data / f"{number:02d}M.mp4").write_bytes(os.urandom(9000))
        time.sleep(0.5 + 0.3 * (turn % 2))


def touched_back(data: Path) -> None:
    (data / "x.csv").write_bytes(b"1" * 5000)
    time.sleep(1.2)
    found = os.stat(data / "x.csv")
    with open(data / "x.csv", "r+b") as file:
        file.write(b"2" * 5000)
    os.utime(data / "x.csv", ns=(found.st_atime_ns, found.st_mtime_ns))


def header_put_back(data: Path) -> None:
    (data / "x.csv").write_bytes(lines(8000))
    time.sleep(1)
    with open(data / "x.csv", "r+b") as file:
        file.seek(10)
        file.write(b"HEADER AGAIN")
        file.seek(0, os.SEEK_END)
        file.write(b"one more\n")


WRITERS: list[Callable[[Path], None]] = [
    copytruncate,
    own_offset,
    numbered,
    compressed,
    midnight,
    editors,
    hard_links,
    ring,
    touched_back,
    header_put_back,
]


@pytest.mark.parametrize("write", WRITERS, ids=lambda write: write.__name__)
def test_in_a_folder(tmp_path: Path, write: Callable[[Path], None]):
    with station(tmp_path) as one:
        write(one.data)
        settled(one)
        there = os.listdir(one.server)
        assert [name for name in there if name.startswith((".", "4913")) or name.endswith(("~", "filepart"))] == []
        assert "clash" not in one.kinds()


@pytest.mark.parametrize(
    "write", [copytruncate, own_offset, editors, touched_back, header_put_back], ids=lambda write: write.__name__
)
def test_of_a_named_file(tmp_path: Path, write: Callable[[Path], None]):
    with station(tmp_path, {"file": "x.csv", "on_change": True, "settle_secs": 0.3}) as one:
        write(one.data)
        one.arrived("x.csv")


def test_a_tree_that_is_created_at_once_is_followed(tmp_path: Path):
    with station(tmp_path, {"dir": ".", "recursive": True, **FOLDER}) as one:
        names = [f"2026/{number % 12:02d}/{number:02d}/cam/a/f{number}.jpg" for number in range(60)]
        for name in names:
            (one.data / name).parent.mkdir(parents=True)
            (one.data / name).write_bytes(os.urandom(300))
        wait_until(lambda: all((one.server / name).exists() for name in names), 60, what="all of the tree")
