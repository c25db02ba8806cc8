"""An app, its real child, and an FTP server."""

import os
import threading
import time

import pytest

from pysubtask.common.receipts import read_receipts
from pysubtask.testing import FTPRelay, ftp_server
from tests.support.helpers import wait_until
from tests.support.station import SFTPStation


class FTPStation(SFTPStation):
    """The same with FTP or FTPS: the settings of the server say so."""


@pytest.fixture
def station(tmp_path):
    stations = []

    def make(server, entries=None, *, ftp=None, **base):
        stations.append(FTPStation(tmp_path, server.files, {**own(server.settings()), **(ftp or {})}, entries, **base))
        return stations[-1]

    yield make
    for one in stations:
        one.close()


def own(settings):
    """Without what belongs to base, so that a test can set it there."""
    return {key: value for key, value in settings.items() if key not in ("StallSecs", "ConnectTimeoutSecs", "Concurrency")}


@pytest.mark.slow
@pytest.mark.parametrize("tls", [None, "explicit"])
def test_a_growing_file_and_a_killed_child_leave_true_prefixes(tmp_path, station, tls):
    """A line and a notify at a time; the child is killed in the middle of an append in place, twice."""
    with ftp_server(tmp_path / "ftp", tls=tls, hashes=("XSHA256",)) as server, FTPRelay(server.port, server.data_ports) as relay:
        entry = {"file": str(tmp_path / "data" / "a.csv"), "whole_records": False}
        one = station(server, [entry], ftp={"Host": relay.host, "HostPort": relay.port})
        path = one.write("a.csv", os.urandom(500_000).hex() + "\n")
        seen, stop = [], threading.Event()

        def read():
            enough = False
            while not enough:
                enough = stop.is_set()  # and one last read
                if (server.files / "a.csv").exists():
                    data = (server.files / "a.csv").read_bytes()
                    if not seen or seen[-1] != data:
                        seen.append(data)
                time.sleep(0.002)

        reader = threading.Thread(target=read)
        reader.start()
        try:
            one.master.start()
            one.arrived("a.csv", secs=40)
            for turn in range(2):
                relay.throttle(1_000_000, "up")
                had = (server.files / "a.csv").stat()
                one.write("a.csv", f"turn {turn} {os.urandom(250_000).hex()}\n", "a")
                one.notify("a.csv")
                wait_until(lambda had=had: (server.files / "a.csv").stat().st_size > had.st_size, what="an append on its way")
                one.kill()
                relay.throttle(None, "up")
                for n in range(20):
                    one.write("a.csv", f"line {n}\n", "a")
                    one.notify("a.csv")
                    time.sleep(0.02)
                one.arrived("a.csv", secs=40)
                assert (server.files / "a.csv").stat().st_ino == had.st_ino, "the same file, grown"
        finally:
            stop.set()
            reader.join()
        data = path.read_bytes()
        assert len(seen) >= 3
        assert all(data.startswith(version) for version in seen), "never torn"
        assert [len(version) for version in seen] == sorted(len(version) for version in seen), "never shrinking"
        one.master.stop(forcekill=False)
        assert server.names() == {"a.csv"}
        assert one.leftovers() == []
        assert one.page()["delivered"] >= 1
        receipts = list(read_receipts(str(one.state)))
        assert [receipt.verified for receipt in receipts] == ["hash"] + ["size"] * (len(receipts) - 1), "whole, then appended to"
        assert server.password not in one.log() + (one.root / "logs" / "master.txt").read_text()


@pytest.mark.slow
def test_a_reply_lost_after_the_last_byte_costs_no_second_upload(tmp_path, station):
    with ftp_server(tmp_path / "ftp") as server:
        one = station(server)
        one.write("a.csv", "first\n")
        one.master.start()
        one.arrived("a.csv")
        one.idle()
        server.lose_reply("RNTO")
        stored = server.counts["STOR"]
        one.write("a.csv", "second\n", "a")
        one.notify("a.csv")
        one.wait_kind("unchanged")
        assert server.counts["STOR"] == stored + 1
        assert (server.files / "a.csv").read_text() == "first\nsecond\n"


@pytest.mark.slow
def test_the_connection_rests_after_the_dead_time(tmp_path, station):
    with ftp_server(tmp_path / "ftp") as server:
        one = station(server, ftp={"DeadTimeMilli": 500})
        one.write("a.csv", "1\n")
        one.master.start()
        one.arrived("a.csv")
        one.wait_kind("resting")
        wait_until(lambda: not server.sessions, what="the session is over")
        assert "(no data) REST'ing S/FTP!" in one.log()
        one.write("a.csv", "2\n", "a")
        one.notify("a.csv")
        one.arrived("a.csv")


@pytest.mark.slow
def test_a_wrong_password_holds_everything_and_says_so(tmp_path, station):
    with ftp_server(tmp_path / "ftp") as server:
        one = station(server, ftp={"Password": "not this one"})
        one.write("a.csv", "1\n")
        one.master.start()
        one.notify("a.csv")
        one.wait_kind("login_refused")
        assert wait_until(lambda: one.page().get("state") == "held", what="held")
        assert "not this one" not in one.log()
        one.master.stop(forcekill=True)
        one.ftp["Password"] = server.password
        one.master = one.make()
        one.master.start()
        one.arrived("a.csv", secs=20)
