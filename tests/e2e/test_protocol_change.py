"""The same server and folder over another protocol: what stands there as it was left is not sent again; nothing else is trusted."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pysubtask.common.events import read_events
from pysubtask.common.receipts import Receipt, read_receipts
from pysubtask.testing import ftp_server, sftp_server
from tests.support.helpers import wait_until
from tests.support.station import SFTPStation

NAMES = ("same.csv", "changed.csv", "replaced.csv", "cut.csv", "gone.csv", "rewritten.csv")
TEXT = "t;v\n" + "1;20.5\n" * 300


def own(settings: dict) -> dict:
    kept = {key: value for key, value in settings.items() if key not in ("StallSecs", "ConnectTimeoutSecs", "Concurrency")}
    return {**kept, "HostPath": "in"}


def receipts(one: SFTPStation, protocol: str) -> list[Receipt]:
    return [found for found in read_receipts(str(one.state)) if found.destination.startswith(protocol)]


def deliver(one: SFTPStation, protocol: str) -> dict[str, bool]:
    """Run it until each file has one more receipt; name -> whether any byte of it was sent."""
    before = len(receipts(one, protocol))
    one.master.start()
    try:

        def all_there() -> list[Receipt]:
            one.master.check_pending_notifications()
            found = receipts(one, protocol)[before:]
            return found if len(found) >= len(NAMES) else []

        return {found.name: bool(found.bytes_sent) for found in wait_until(all_there, 60, "a receipt for each file")}
    finally:
        one.master.stop()


@pytest.mark.slow
@pytest.mark.parametrize("hashes", [(), ("sha256",)])
@pytest.mark.parametrize("direction", ["to sftp", "to ftp"])
def test_what_the_other_protocol_left_is_not_sent_again(tmp_path: Path, direction: str, hashes: tuple[str, ...]):
    files = tmp_path / "files"
    names = ("XSHA256",) if hashes else ()
    with ftp_server(files, hashes=names) as ftp, sftp_server(files, user="pi", password="a password", hashes=hashes) as sftp:
        before, after = own(ftp.settings()), own(sftp.settings(password=True))
        if direction == "to ftp":
            before, after = after, before
        first, second = ("ftp://", "sftp://") if direction == "to sftp" else ("sftp://", "ftp://")
        entries = [{"file": str(tmp_path / "data" / name)} for name in NAMES]
        one = SFTPStation(tmp_path, files / "in", before, entries)
        for name in NAMES:
            one.write(name, TEXT)
            os.utime(one.data / name, (1_790_000_000, 1_790_000_000))
        assert deliver(one, first) == dict.fromkeys(NAMES, True)
        there = files / "in"
        # Changed here in a way that size and time do not tell.
        one.write("changed.csv", TEXT.replace("20.5", "20.6"))
        os.utime(one.data / "changed.csv", (1_790_000_000, 1_790_000_000))
        # Changed there by somebody else, who set the time too; by cutting it; by removing it.
        stat = (there / "rewritten.csv").stat()
        (there / "rewritten.csv").write_text(TEXT.replace("20.5", "99.9"))
        os.utime(there / "rewritten.csv", ns=(stat.st_mtime_ns, stat.st_mtime_ns))
        (there / "replaced.csv").write_text(TEXT.replace("20.5", "99.9"))
        (there / "cut.csv").write_text(TEXT[:100])
        os.utime(there / "cut.csv", ns=(stat.st_mtime_ns, stat.st_mtime_ns))
        (there / "gone.csv").unlink()
        one.close()

        two = SFTPStation(tmp_path, there, after, entries)
        found = deliver(two, second)
        # With the same size and time only a hash tells.
        assert found == {
            "same.csv": False,
            "changed.csv": True,
            "replaced.csv": True,
            "cut.csv": True,
            "gone.csv": True,
            "rewritten.csv": bool(hashes),
        }
        for name in NAMES:
            if name != "rewritten.csv" or hashes:
                assert (there / name).read_bytes() == (two.data / name).read_bytes(), name
        receipt = next(found for found in receipts(two, second) if found.name == "same.csv")
        assert receipt.verified == ("hash" if hashes else "size")
        events = wait_until(lambda: [one for one in read_events(str(two.state)) if one.kind == "unchanged"], what="the event")
        assert [event.fields["name"] for event in events].count("same.csv") == 1
        # And back again.
        two.close()
        three = SFTPStation(tmp_path, there, before, entries)
        assert deliver(three, first) == dict.fromkeys(NAMES, False)
        three.close()
