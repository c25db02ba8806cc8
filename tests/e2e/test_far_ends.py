"""Stations on servers with habits and limits: programs that take temporary files away, servers that allow less than usual, folders
that are made their own way, links, bans."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from pysubtask.common.receipts import read_receipts
from pysubtask.control.problems import in_toml
from pysubtask.testing import Relay, quirk_sftp_server
from tests.e2e.station import pause
from tests.e2e.test_other_servers import MakeStation, OtherStation, kinds, station
from tests.helpers import wait_until

__all__ = ["station"]


class Eater(threading.Thread):
    """A program on the server that takes every file away some time after it appears, temporary ones, too; ``deep``: in all folders.
    ``taken``: name and content."""

    def __init__(self, folder: Path, away: Path, *, deep: bool) -> None:
        super().__init__(daemon=True)
        self.folder, self.away, self.deep = folder, away, deep
        self.taken: list[tuple[str, bytes]] = []
        self._over = threading.Event()
        away.mkdir()

    def run(self) -> None:
        seen: dict[tuple[str, int], float] = {}
        while not self._over.wait(0.01):
            for path in list(self.folder.rglob("*") if self.deep else self.folder.iterdir()):
                with contextlib.suppress(OSError):
                    if not path.is_file():
                        continue
                    first = seen.setdefault((str(path), path.stat().st_ino), time.monotonic())
                    if time.monotonic() - first > 0.5:
                        place = self.away / str(len(self.taken))
                        path.rename(place)
                        self.taken.append((str(path.relative_to(self.folder)), place.read_bytes()))

    def contents(self, name: str) -> list[bytes]:
        return [data for taken, data in self.taken if taken == name]

    def __enter__(self) -> Eater:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self.join()


def doctor(one: OtherStation, **more: Any) -> list[dict[str, Any]]:
    """The findings of ``pysubtask doctor`` that are no praise."""
    config = one.root / "station.toml"
    lines = [f"{key} = {in_toml(value)}" for key, value in {**one.ftp, **more}.items() if value is not None]
    config.write_text("\n".join(["[ftp]", *lines, "[[watch]]", f'dir = "{one.data}"', ""]))
    config.chmod(0o600)
    said = subprocess.run([sys.executable, "-m", "pysubtask", "doctor", "--json", str(config)], capture_output=True, text=True,
                          timeout=100, check=False, stdin=subprocess.DEVNULL)  # fmt: skip
    return [row for rows in json.loads(said.stdout)["groups"].values() for row in rows if row["state"] in ("fail", "warn")]


@pytest.mark.slow
@kinds("openssh", "vsftpd")
def test_a_program_on_the_server_takes_temporary_files_too(tmp_path: Path, station: MakeStation, make: Any) -> None:
    """A file that is long on its way goes through a folder of its own; each arrives whole and once, at a bounded cost."""
    with make(tmp_path / "server") as server, Eater(server.files, tmp_path / "away", deep=False) as eater:
        one = station(server.files, {**server.settings(), "RateLimit": 300_000})
        big = os.urandom(600_000)
        one.write_whole("big.bin", big)
        for number in range(4):
            one.write_whole(f"small{number}.bin", b"%d" % number * 3_000)
        one.master.start()
        wanted = {"big.bin": big, **{f"small{number}.bin": b"%d" % number * 3_000 for number in range(4)}}
        wait_until(lambda: all(eater.contents(name) for name in wanted), 60, what="everything in the program's hands")
        wait_until(lambda: one.page()["queue"]["waiting"] == one.page()["queue"]["sending"] == 0, what="rest")
        assert {name: eater.contents(name) for name in wanted} == {name: [data] for name, data in wanted.items()}
        assert not one.told("parked")
        assert not one.told("connection_lost")
        [receipt] = [receipt for receipt in read_receipts(str(one.state)) if receipt.name == "big.bin"]
        assert receipt.bytes_sent <= 5 * len(big)
        after = os.urandom(600_000)
        one.write_whole("later.bin", after)
        wait_until(lambda: eater.contents("later.bin"), what="the next one")
        assert eater.contents("later.bin") == [after]
        wait_until(lambda: any(receipt.name == "later.bin" for receipt in read_receipts(str(one.state))), what="its receipt")
        [receipt] = [receipt for receipt in read_receipts(str(one.state)) if receipt.name == "later.bin"]
        assert receipt.bytes_sent <= 2 * len(after), "nothing was learned, or a trial of a better name went through all of them"
        wait_until(lambda: not one.left(), what="nothing of ours there")


@pytest.mark.slow
@kinds("openssh", "vsftpd")
def test_a_program_that_takes_whatever_comes_is_named_and_costs_little(tmp_path: Path, station: MakeStation, make: Any) -> None:
    """Each kind of temporary name is tried once, then the file is parked with the setting that helps."""
    with make(tmp_path / "server") as server, Eater(server.files, tmp_path / "away", deep=True) as eater:
        one = station(server.files, {**server.settings(), "RateLimit": 400_000})
        one.write_whole("big.bin", os.urandom(400_000))
        one.master.start()
        wait_until(lambda: one.told("parked"), 60, what="the file parked")
        assert "went away" in one.told("parked")[0] and "StoreInPlace" in one.told("parked")[0]
        pause(3)
        assert sum(len(data) for _, data in eater.taken) <= 5 * 400_000
        assert not one.told("connection_lost")


@pytest.mark.slow
def test_a_server_that_puts_all_bytes_behind_the_end(tmp_path: Path, station: MakeStation, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever place they are for: nothing wrong is ever under a name, and nothing is parked."""
    from pysubtask.testing._quirk_sftp_session import QuirkFiles

    write = QuirkFiles.write
    monkeypatch.setattr(QuirkFiles, "write", lambda self, file, offset, data: write(self, file, file.seek(0, os.SEEK_END), data))
    with quirk_sftp_server(tmp_path / "server", user="pi") as server, Relay(server.host, server.port) as relay:
        one = station(Path(server.root), {**server.settings(), "Host": relay.host, "HostPort": relay.port})
        one.write("grow.csv", "0,first\n" * 100)
        one.master.start()
        one.notify("grow.csv")
        one.all_there()
        versions, seen, over = [os.urandom(4_000_000) for _ in range(2)], set(), threading.Event()

        def look() -> None:
            while not over.wait(0.005):
                with contextlib.suppress(OSError):
                    seen.add((one.server / "cut.bin").read_bytes())

        reader = threading.Thread(target=look)
        reader.start()
        try:
            for number, version in enumerate(versions):
                before = len(one.told("connection_lost"))
                relay.drop("up", after=1_500_000)
                one.write_whole("cut.bin", version)
                wait_until(lambda before=before: len(one.told("connection_lost")) > before, what="the cut")
                relay.heal()
                one.grow(b"%d,more\n" % number)
                one.all_there()
        finally:
            over.set()
            reader.join()
        assert seen <= set(versions)
        assert not one.told("parked")
        wait_until(lambda: not one.left(), what="nothing of ours there")
