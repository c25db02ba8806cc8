"""Stations on servers as they stand elsewhere: hot folders, odd names, object stores, ends of TLS data, links, and servers that
append nothing."""

from __future__ import annotations

import contextlib
import os
import random
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from pysubtask.common.events import read_events
from pysubtask.common.receipts import read_receipts
from pysubtask.testing import Relay, quirk_ftp_server, quirk_sftp_server
from pysubtask.testing.servers import pureftpd, rclone, sshd
from pysubtask.testing.servers.quirks import OBJECT_STORE
from pysubtask.testing.servers.rclone import rclone_server
from tests.support.helpers import wait_until
from tests.support.other_station import MakeStation, kinds, station, through

__all__ = ["station"]


class Taker(threading.Thread):
    """A program on the server that takes every file away whose name begins with no dot, soon after it appears."""

    def __init__(self, folder: Path, away: Path) -> None:
        super().__init__(daemon=True)
        self.folder, self.away = folder, away
        self.taken: list[tuple[str, bytes]] = []
        self._over = threading.Event()
        self._random = random.Random(5)
        away.mkdir()

    def run(self) -> None:
        while not self._over.wait(0.003):
            for name in os.listdir(self.folder):
                if name.startswith("."):
                    continue
                time.sleep(self._random.uniform(0, 0.03))
                place = self.away / str(len(self.taken))
                with contextlib.suppress(OSError):
                    os.rename(self.folder / name, place)
                    self.taken.append((name, place.read_bytes()))

    def stop(self) -> None:
        self._over.set()
        self.join()


@pytest.mark.slow
@kinds("openssh", "vsftpd", "pure-ftpd")
def test_a_program_on_the_server_takes_each_file_away_at_once(tmp_path: Path, station: MakeStation, make: Any):
    """Each content is handed over once, and counts as delivered; commands take as long as on a real link."""
    with make(tmp_path / "server") as server, Relay(server.host, server.port) as relay:
        taker = Taker(server.files, tmp_path / "away")
        relay.delay(0.03)
        one = station(server.files, through(relay, server.settings(), tmp_path))
        taker.start()
        try:
            one.master.start()
            sent, versions = {}, []
            for number in range(24):
                name = f"f{number:02d}.bin"
                sent[name] = os.urandom(3_000 + 50 * number)
                one.write_whole(name, sent[name])
                if number % 5 == 0:
                    versions.append(b"%06d" % number + os.urandom(2_000))
                    one.write_whole("again.bin", versions[-1])
                if number % 4 == 0:
                    one.grow(b"%06d,%s\n" % (number, b"x" * 60))
                if number == 12:
                    one.master.stop(forcekill=False)  # a kill may cost a receipt, and then a file is sent again
                    one.master = one.make()
                    one.master.start()
                time.sleep(0.15)
            grown = (one.data / "grow.csv").read_bytes()
            expected = {*sent.items(), ("again.bin", versions[-1]), ("grow.csv", grown)}
            wait_until(lambda: expected <= set(taker.taken), 60, what="everything in the program's hands")
            wait_until(lambda: one.page()["queue"]["waiting"] == one.page()["queue"]["sending"] == 0, 30, what="rest")
            time.sleep(1)  # what would be sent again is sent again now
        finally:
            taker.stop()
        handed = [row for row in taker.taken if row[0] != "grow.csv"]
        again = [name for place, (name, data) in enumerate(handed) if (name, data) in handed[:place]]
        assert not again, "the same content was handed over twice"
        # The second child cannot know that a file was delivered whose receipt the first had no time to write.
        names = [receipt.name for receipt in read_receipts(str(one.state))]
        assert set(sent) <= set(names)
        assert not one.reasons("parked")
        assert not one.reasons("connection_lost")
        wait_until(lambda: not one.left(), what="nothing of ours there")


ODD_NAMES = [
    "a[1].csv",
    "*.csv",
    "?x.csv",
    "-rf.csv",
    "~root.csv",
    " lead.csv",
    "trail .csv",
    "trail2 ",
    "it's.csv",
    "{a,b}.csv",
    "a;b.csv",
    "a\\b.csv",
    "#x%20.csv",
    "-",
    "~",
    "[cam 1]/x[1].csv",
    "[cam 1]/*.csv",
    "[cam 1]/-l.csv",
    "a1.csv",
    "ax.csv",
    "-l",
    "plain.csv",
    "a.csv",
    "b.csv",
]


CHANGED_BY_PURE_FTPD = {" lead.csv", "trail2 ", "a\\b.csv"}
"""A blank at either end becomes an underline without a word, a backslash is refused."""


@pytest.mark.slow
@kinds("vsftpd", "vsftpd without SIZE", "proftpd", "proftpd without SIZE, MLST", "pure-ftpd")
def test_names_that_a_shell_would_change(tmp_path: Path, station: MakeStation, make: Any):
    """First sent, then grown, then rewritten: under exactly these names, or parked with what the server makes of the name."""
    with make(tmp_path / "server") as server:
        one = station(server.files, server.settings())
        (one.data / "[cam 1]").mkdir()
        for number, name in enumerate(ODD_NAMES):
            (one.data / name).write_bytes(os.urandom(2_000 + 100 * number))
        one.master.start()

        def parked() -> tuple[str, ...]:
            return tuple(str(row["name"]) for row in one.page().get("parked") or [])

        wait_until(lambda: not set(one.differs()) - set(parked()), 60, what="the first versions")
        for name in ODD_NAMES:
            with open(one.data / name, "ab") as file:
                file.write(b"grown,1\n" * 20)
        wait_until(lambda: not set(one.differs()) - set(parked()), 60, what="the grown ones")
        for name in ODD_NAMES:
            (one.data / name).write_bytes(os.urandom(1_500))
        wait_until(lambda: not set(one.differs()) - set(parked()), 60, what="the rewritten ones")
        refused = set(parked())
        assert refused == (CHANGED_BY_PURE_FTPD if isinstance(server, pureftpd.PureFTPdServer) else set()), one.page()["parked"]
        assert not one.reasons("connection_lost")
        wait_until(lambda: not one.left(), what="nothing of ours there")
        there = {str(path.relative_to(server.files)) for path in server.files.rglob("*") if path.is_file()}
        assert there == set(ODD_NAMES) - refused
        names = [receipt.name for receipt in read_receipts(str(one.state))]
        assert all(names.count(name) >= 2 for name in set(ODD_NAMES) - refused), "deliveries that nobody counted"


FACES: dict[str, dict[str, Any]] = {
    "as other servers": {},
    "no such file": {"size": "missing"},
    "no size": {"size": "absent"},
    "size 0": {"size": "zero"},
    "whole": OBJECT_STORE,
}


@pytest.mark.slow
@pytest.mark.parametrize("face", FACES)
def test_object_stores(tmp_path: Path, station: MakeStation, face: str):
    """Nothing is known of a file before it is closed, nothing can be changed, a rename copies."""
    base = {key: value for key, value in OBJECT_STORE.items() if key not in ("size", "visible")}
    extensions = ("statvfs@openssh.com", "fstatvfs@openssh.com", "limits@openssh.com", "copy-data", "hardlink@openssh.com")
    quirks = {**base, "rename_secs": 0.5, **FACES[face]}
    with (
        quirk_sftp_server(tmp_path / "server", user="pi", without=extensions, **quirks) as server,
        Relay(server.host, server.port) as relay,
    ):
        one = station(Path(server.root), {**server.settings(), "Host": relay.host, "HostPort": relay.port})
        (one.data / "empty.csv").write_bytes(b"")
        (one.data / "ten.bin").write_bytes(os.urandom(10_000))
        one.write("grow.csv", "0,first\n")
        one.master.start()
        one.all_there()
        (one.data / "five.bin").write_bytes(os.urandom(5_000_000))
        one.all_there()
        relay.drop("up", after=2_000_000)
        (one.data / "cut.bin").write_bytes(os.urandom(5_000_000))
        for number in range(4):
            time.sleep(0.7)
            one.grow(b"%d,more\n" % number)
        wait_until(lambda: one.reasons("connection_lost"), what="the cut")
        relay.heal()
        one.all_there()
        assert not one.reasons("parked")
        wait_until(lambda: not one.left(), what="nothing of ours there")
        words = " ".join([str(one.page().get("last_error")), *one.reasons("attempt_failed")]).lower()
        assert "full disk" not in words and "quota" not in words


ENDS = ("", "waits", "cut", "reset", "early", "open")


@pytest.mark.slow
@pytest.mark.parametrize("end", ENDS)
def test_ends_of_data_connections_over_tls(tmp_path: Path, station: MakeStation, end: str):
    """Nobody closes first, or the wrong way: all is there at once, no short file is ever published, the link is not called lost."""
    published: list[tuple[str, int]] = []
    with quirk_ftp_server(tmp_path / "server", tls="explicit", data_end=end) as server:
        renamed = server.disk.renamed

        def noted(old: str, new: str) -> None:
            published.append((os.path.basename(new), os.path.getsize(new)))
            renamed(old, new)

        server.disk.renamed = noted  # type: ignore[method-assign]
        one = station(server.files, server.settings())
        for number in range(8):
            (one.data / f"empty{number}.dat").write_bytes(b"")
            (one.data / f"small{number}.dat").write_bytes(os.urandom(1_000))
        for number in range(4):
            (one.data / f"big{number}.dat").write_bytes(os.urandom(3_000_000))
        sizes = {name: len(data) for name, data in one.data_files().items()}
        one.write("grow.csv", b"0,first\n" * 500)
        one.master.start()
        one.all_there()
        for number in range(3):
            one.grow(b"%d,more\n" % number)
            one.all_there(30)
        assert not [(name, size) for name, size in published if name in sizes and size != sizes[name]], "a short file was published"
        assert not one.reasons("connection_lost")
        assert not one.reasons("parked")
        wait_until(lambda: not one.left(), what="nothing of ours there")


@pytest.mark.slow
@pytest.mark.skipif(rclone.missing("sftp") is not None, reason=str(rclone.missing("sftp")))
def test_a_server_that_refuses_writes_at_an_offset(tmp_path: Path, station: MakeStation):
    """rclone without a cache: what cannot be appended to is sent whole at once, and nobody speaks of a full disk."""
    body = b"".join(b"%05d,line of a logger\n" % number for number in range(90))[:2_000]
    with rclone_server(tmp_path / "server", "sftp") as server:
        one = station(server.files, server.settings())
        one.write("grow.csv", body)
        one.master.start()
        one.notify("grow.csv")
        one.all_there()
        for _ in range(3):
            begun = time.monotonic()
            one.grow(body)
            one.all_there(30)
            assert time.monotonic() - begun < 20
        assert not one.reasons("parked")
        assert not one.reasons("connection_lost")
        wait_until(lambda: not one.left(), what="nothing of ours there")
        assert "disk" not in str(one.page().get("last_error"))


@pytest.mark.slow
@kinds("openssh", "vsftpd")
def test_links_on_the_server(tmp_path: Path, station: MakeStation, make: Any):
    """A first delivery, an append and a rewrite treat a link alike: it is kept, and the file it points to is written."""
    with make(tmp_path / "server") as server:
        disk = server.files / "disk2"
        (disk / "day").mkdir(parents=True)
        (disk / "moved.csv").write_bytes(b"0,first\n")
        (server.files / "grow.csv").symlink_to("disk2/moved.csv")
        (server.files / "day").symlink_to("disk2/day")
        (server.files / "pic.jpg").symlink_to("disk2/pic.jpg")
        (disk / "pic.jpg").write_bytes(b"an old picture")
        (server.files / "dangling.csv").symlink_to("nowhere/at/all.csv")
        one = station(server.files, server.settings())
        (one.data / "day").mkdir()
        one.write("grow.csv", "0,first\n")
        for name in ("pic.jpg", "dangling.csv", "day/a.csv"):
            (one.data / name).write_bytes(os.urandom(5_000))
        one.master.start()
        one.notify("grow.csv")
        one.all_there()
        kept = {name: (server.files / name).is_symlink() for name in ("grow.csv", "pic.jpg", "day")}
        one.grow(b"1,more\n")
        one.all_there()
        one.write("grow.csv", "0,another beginning\n")
        one.notify("grow.csv")
        (one.data / "pic.jpg").write_bytes(os.urandom(6_000))
        one.all_there()
        assert {name: (server.files / name).is_symlink() for name in kept} == kept, "it depends on what is done"
        assert kept == dict.fromkeys(kept, True)
        assert (disk / "moved.csv").read_bytes() == (one.data / "grow.csv").read_bytes()
        names = [event.fields["name"] for event in read_events(str(one.state)) if event.kind == "remote_link"]
        # Over FTP a dangling link is as good as no file.
        expected = ["dangling.csv", "grow.csv", "pic.jpg"] if isinstance(server, sshd.OpenSSHServer) else ["grow.csv", "pic.jpg"]
        assert sorted(names) == expected, "told once for each name"
        assert not one.reasons("parked")
        assert not one.reasons("connection_lost")
        wait_until(lambda: not one.left(), what="nothing of ours there")
