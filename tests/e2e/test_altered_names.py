"""A station on a server whose file system alters names: what is refused stands on the page, what was hit is put right by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.helpers import wait_until
from tests.support.quirk_station import BASE, files_of, server_of
from tests.support.station import SFTPStation

pytestmark = pytest.mark.slow


def station(tmp_path: Path, server: Any) -> SFTPStation:
    kept = {"StallSecs", "ConnectTimeoutSecs", "Concurrency", *BASE}
    settings = {key: value for key, value in server.settings().items() if key not in kept}
    entry = {"dir": str(tmp_path / "data"), "on_change": True, "settle_secs": 0.2, "notify_files": False}
    return SFTPStation(tmp_path, files_of(server), settings, [entry], **BASE)


def parked(one: SFTPStation) -> dict[str, str]:
    return {row["name"]: row["reason"] for row in one.page().get("parked") or []}


@pytest.mark.parametrize("protocol", ["sftp", "ftp"])
def test_two_names_that_are_one_there_do_not_take_turns(protocol: str, tmp_path: Path):
    with server_of(protocol, tmp_path) as server:
        server.quirks.file_names = "small"
        one = station(tmp_path, server)
        try:
            one.write("cam.csv", b"small\n" * 100)
            one.master.start()
            one.arrived("cam.csv")
            one.write("CAM.csv", b"capital\n" * 100)
            wait_until(lambda: "CAM.csv" in parked(one), what="the refusal")
            assert "another file here is sent to" in parked(one)["CAM.csv"] and "capital letters" in parked(one)["CAM.csv"]
            for _ in range(3):
                one.write("cam.csv", b"more\n", "a")
                one.write("CAM.csv", b"MORE\n", "a")
                one.arrived("cam.csv")
            assert "not_as_left" not in one.kinds() and "CAM.csv" not in one.sent()
        finally:
            one.close()


@pytest.mark.parametrize("protocol", ["sftp", "ftp"])
def test_a_file_that_was_hit_by_an_altered_name_is_sent_again(protocol: str, tmp_path: Path):
    with server_of(protocol, tmp_path) as server:
        server.quirks.odd_names = "renamed"
        one = station(tmp_path, server)
        try:
            one.write("_a_.csv", b"right\n" * 50)
            one.master.start()
            one.arrived("_a_.csv")
            one.write("*a*.csv", b"wrong\n" * 50)
            wait_until(lambda: "*a*.csv" in parked(one), what="the refusal")
            wait_until(lambda: one.sent().count("_a_.csv") >= 2, what="the right one again")
            one.arrived("_a_.csv")
            # A name that the server keeps is all that it takes.
            (one.data / "*a*.csv").rename(one.data / "b.csv")
            one.arrived("b.csv")
        finally:
            one.close()
