"""A file that is being written when a real child stops or starts: no half of it reaches the server."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from pysubtask.testing import sftp_server
from tests.support.helpers import wait_until
from tests.support.station import SFTPStation

PIECES, PAUSE = 26, 0.15


@pytest.mark.slow
@pytest.mark.parametrize(
    "entry", [{"dir": ""}, {"dir": "", "on_change": True}, {"file": "a.jpg", "on_change": True}], ids=["new", "folder", "file"]
)
def test_a_file_being_written_at_a_stop_goes_whole_after_a_start(tmp_path: Path, entry: dict[str, Any]):
    files, pictures = tmp_path / "files", tmp_path / "data" / "pictures"
    (files / "in").mkdir(parents=True)
    pictures.mkdir(parents=True)
    path, there = pictures / "a.jpg", files / "in" / "a.jpg"
    body = os.urandom(PIECES * 1000)
    seen: set[bytes] = set()
    begun, over = threading.Event(), threading.Event()

    def write() -> None:
        with open(path, "wb", buffering=0) as file:
            for at in range(0, len(body), 1000):
                file.write(body[at : at + 1000])
                begun.set()
                time.sleep(PAUSE)
        over.set()

    with sftp_server(files, user="pi", password="a password") as sftp:
        entries = [{key: str(pictures / value) if key in ("dir", "file") else value for key, value in entry.items()}]
        one = SFTPStation(tmp_path, files / "in", {**sftp.settings(password=True), "HostPath": "in"}, entries)
        try:
            writer = threading.Thread(target=write)
            one.master.start()
            wait_until(lambda: one.master.status().children[0].alive, what="a child")
            writer.start()
            begun.wait(20)
            time.sleep(PAUSE)
            one.master.stop(forcekill=False)
            one.master.start()
            while not over.is_set():
                if there.exists():
                    seen.add(there.read_bytes())
                time.sleep(0.02)
            wait_until(lambda: there.exists() and there.read_bytes() == body, what="all of it")
            writer.join()
        finally:
            one.close()
    assert seen <= {body}
