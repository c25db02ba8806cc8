"""What a monitor on the server sees of a station: one number, one time, and the server's clock whatever the station's is."""

import contextlib
import glob
import time

import pytest

from pysubtask.common.heartbeat import is_past_due
from pysubtask.testing import ftp_server
from pysubtask.testing.servers.sshd import missing, openssh_server
from tests.support.helpers import wait_until
from tests.support.station import SFTPStation

FAKETIME = next(iter(glob.glob("/usr/lib/*/faketime/libfaketime.so.1")), None)


@contextlib.contextmanager
def sftp(root):
    if missing():
        pytest.skip(missing())
    with openssh_server(root) as server:
        yield server


SERVERS = {"sftp": sftp, "ftp": ftp_server, "ftp without MFMT": lambda root: ftp_server(root, without=("MFMT",))}


@pytest.mark.parametrize("kind", SERVERS)
@pytest.mark.parametrize("clock", ["+0", "-1d"])
@pytest.mark.slow
def test_a_monitor_needs_one_number_and_one_time(tmp_path, monkeypatch, kind, clock):
    if clock != "+0":
        if FAKETIME is None:
            pytest.skip("libfaketime is not installed (apt-get install faketime)")
        monkeypatch.setenv("FAKETIME", clock)
        monkeypatch.setenv("DONT_FAKE_MONOTONIC", "1")
        monkeypatch.setenv("FAKETIME_DONT_FAKE_MONOTONIC", "1")
    with SERVERS[kind](tmp_path / "server") as server:
        if clock != "+0":
            # Only now: the server lives in the present.
            monkeypatch.setenv("LD_PRELOAD", FAKETIME)
        one = SFTPStation(tmp_path, server.files, server.settings(), HeartbeatIntervalSecs=1, HeartbeatName="roof")
        beat = server.files / "roof.heartbeat"
        try:
            began = time.time()
            one.master.start()
            wait_until(beat.exists, what="the first beat")
            with open(beat) as file:
                assert int(file.read()) == 11
            assert began - 2 <= beat.stat().st_mtime <= time.time() + 2, "the server's clock"
            first = beat.stat().st_mtime_ns
            wait_until(lambda: beat.stat().st_mtime_ns > first, what="the next beat")
            assert not is_past_due(str(beat))
            assert one.page()["at"][:10] == time.strftime("%Y-%m-%d", time.gmtime(time.time() - (86400 if clock == "-1d" else 0)))
        finally:
            one.close()
        sent = beat.stat().st_mtime
        assert not is_past_due(str(beat), sent + 11)
        assert is_past_due(str(beat), sent + 12), "offline is seen as soon as the number is over"
        assert sorted(path.name for path in server.files.iterdir() if not path.name.startswith(".pysubtask-")) == ["roof.heartbeat"]
