"""Without copies (BakToFolder = None) the data file itself is sent: as it was when it was looked at, or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pysubtask.testing import ftp_server
from tests.support.helpers import wait_until
from tests.support.station import SFTPStation


@pytest.mark.slow
@pytest.mark.parametrize("how", ["link", "folder"])
def test_nothing_that_is_put_in_its_place_is_in_transit(how: str, tmp_path: Path):
    """The link is this user's own: it leads out of the watched folder."""
    heard = bytearray()
    with ftp_server(tmp_path / "server") as server:
        server.heard = heard.extend
        server.stop()
        entries = [{"file": str(tmp_path / "data" / "x.csv")}, {"dir": str(tmp_path / "data" / "box")}]
        one = SFTPStation(
            tmp_path, server.files, server.settings(ConnectTimeoutSecs=2, BakToFolder=None), entries, RetryLongWaitSecs=0.2
        )
        try:
            (tmp_path / "private").mkdir()
            for folder in ("private", "data/box"):
                (tmp_path / folder / "a.csv").write_bytes(b"data" * 1000)
            (tmp_path / "private" / "a.csv").write_bytes(b"mine" * 1000)
            one.master.start()
            one.notify("box/a.csv")
            wait_until(lambda: one.page().get("queue", {}).get("waiting") == 1, what="it in the queue")
            box = tmp_path / "data" / "box"
            if how == "link":
                (box / "a.csv").unlink()
                (box / "a.csv").symlink_to(tmp_path / "private" / "a.csv")
            else:
                box.rename(tmp_path / "data" / "was")
                box.mkdir()
                os.mkfifo(box / "a.csv")
            server.start()
            wait_until(lambda: "snapshot_lost" in one.kinds() or "source_error" in one.kinds(), 60, "the loss of it")
            assert b"mine" not in bytes(heard)
            # What is there later is sent.
            (box / "a.csv").unlink()
            one.write("box/a.csv", b"next" * 500)
            one.notify("box/a.csv")
            wait_until(
                lambda: (server.files / "a.csv").exists() and (server.files / "a.csv").read_bytes() == b"next" * 500,
                60,
                what="the next version",
            )
        finally:
            one.close()
    assert b"mine" not in bytes(heard)
