"""An app, its real child, the official SDK, and the stand-in for Dropbox.

With PYSUBTASK_FULL_SIZE set, the sizes are those of a station's worst day: some minutes.
"""

from __future__ import annotations

import contextlib
import os
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pysubtask.common.events import read_events
from pysubtask.common.receipts import read_receipts
from pysubtask.testing.servers.dropbox import DropboxServer, dropbox_server
from pysubtask.testing.servers.sshd import missing, openssh_server
from pysubtask.transports.dropbox import DropboxTransport
from tests.support.helpers import wait_until
from tests.support.station import DropboxStation

FULL = bool(os.environ.get("PYSUBTASK_FULL_SIZE"))
MIB = 2**20
START, APPEND = "files/upload_session/start", "files/upload_session/append_v2"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[DropboxServer]:
    with dropbox_server(tmp_path / "dropbox") as running:
        yield running


@pytest.fixture
def station(tmp_path: Path, server: DropboxServer) -> Iterator[Any]:
    stations: list[DropboxStation] = []

    def make(*args: Any, dropbox: dict[str, Any] | None = None, **named: Any) -> DropboxStation:
        stations.append(DropboxStation(tmp_path, server.folder, {**server.settings(), **(dropbox or {})}, *args, **named))
        return stations[-1]

    yield make
    for one in stations:
        one.close()


@pytest.mark.slow
def test_what_is_notified_is_in_the_account(server: DropboxServer, station: Any):
    one = station(dropbox={"HostPath": "/in coming"})
    one.server = server.folder / "in coming"
    one.write("a.csv", "1,2,3\n")
    one.write("box/photo.jpg", os.urandom(5 * MIB))
    one.master.start()
    one.notify("a.csv")
    one.arrived("a.csv", "box/photo.jpg")
    one.write("a.csv", "4,5,6\n", "a")
    one.notify("a.csv")
    one.arrived("a.csv")
    one.idle()
    assert {receipt.verified for receipt in read_receipts(str(one.state))} == {"hash"}
    assert one.page()["destination"].startswith("dropbox://") and "token" not in one.page()["destination"]
    one.master.stop(forcekill=False)
    assert one.leftovers() == []
    assert "Uploaded [a.csv]" in one.log()
    ours = [path for path in one.root.rglob("*") if path.is_file() and one.root / "dropbox" not in path.parents]
    texts = [path.read_text(errors="replace") for path in ours]
    assert texts and not any(server.refresh_token in text for text in texts)


@pytest.mark.slow
def test_a_child_that_starts_without_a_network_waits_for_it(server: DropboxServer, station: Any):
    one = station()
    one.write("a.csv", "1\n")
    server.stop()
    one.master.start()
    one.notify("a.csv")
    one.wait_kind("connect_failed")
    pid = one.pid()
    server.start()
    one.arrived("a.csv")
    assert one.pid() == pid, "it did not end"


@pytest.mark.slow
def test_a_refused_upload_is_no_success(server: DropboxServer, station: Any):
    one = station(ParkedRetrySecs=1)
    one.write("a.csv", "1\n")
    server.fail("files/upload", error="path/no_write_permission")
    one.master.start()
    one.notify("a.csv")
    one.wait_kind("parked")
    assert one.kinds().count("delivered") == 0
    assert "may not write" in one.log() and "Uploaded" not in one.log()
    one.arrived("a.csv")
    one.wait_kind("delivered")


@pytest.mark.slow
def test_a_revoked_login_holds_everything_and_says_so(server: DropboxServer, station: Any):
    one = station(RetryLongWaitSecs=1)
    one.write("a.csv", "1\n")
    server.revoke()
    one.master.start()
    one.notify("a.csv")
    one.wait_kind("login_refused")
    wait_until(lambda: one.page()["state"] == "held", what="held")
    assert "--login" in one.page()["problem"]["text"]
    server.restore()
    one.arrived("a.csv")


@pytest.mark.slow
def test_a_big_file_with_cuts_and_kills_arrives_once(server: DropboxServer, station: Any, tmp_path: Path):
    size = (300 if FULL else 32) * MIB
    chance = random.Random(seed := random.randrange(10**6))
    print(f"seed {seed}")
    one = station([{"file": str(tmp_path / "data" / "big.bin")}], dropbox={"ChunkBytes": 4 * MIB if FULL else MIB // 2})
    data = one.write("big.bin", os.urandom(size))
    arrived = lambda: server.content_bytes  # noqa: E731
    offsets = sorted(chance.randrange(size // 50, size) for _ in range(7))
    kills = set(chance.sample(range(7), 2))
    one.master.start()
    one.notify("big.bin")
    for number, offset in enumerate(offsets):
        wait_until(
            lambda offset=offset: one.master.check_pending_notifications() or arrived() >= offset, 60, what=f"{offset} bytes"
        )
        if number in kills:
            one.kill()
        else:
            server.cut(APPEND, chance.randrange(one.box["ChunkBytes"]))
    one.arrived("big.bin", secs=90)
    one.idle()
    sent = server.content_bytes / size
    print(f"{size / MIB:.0f} MiB, 5 cuts, 2 kills: {sent:.3f} x its size sent, {server.count(START)} sessions")
    assert sent < 1.15
    assert server.count(START) <= 3, "a kill between the answer and the note may cost a session, a cut none"
    [receipt] = [receipt for receipt in read_receipts(str(one.state)) if receipt.name == "big.bin"]
    assert (receipt.verified, receipt.size) == ("hash", size)
    assert DropboxTransport.hash_of(str(data), size) == DropboxTransport.hash_of(str(server.folder / "big.bin"), size)
    assert one.kinds().count("delivered") == 1


def drop(one: DropboxStation, count: int, size: int) -> dict[str, bytes]:
    """Files moved into the watched folder, each whole."""
    files = {f"{number:04d}.dat": os.urandom(size) for number in range(count)}
    for name, content in files.items():
        one.write(f".{name}", content)
        os.replace(one.data / f".{name}", one.data / "box" / name)
    return files


def all_there(one: DropboxStation, server: DropboxServer, files: dict[str, bytes]) -> bool:
    one.master.check_pending_notifications()
    if not files.keys() <= {path.name for path in server.folder.iterdir()}:
        return False
    return all((server.folder / name).read_bytes() == content for name, content in files.items())


@pytest.mark.slow
def test_many_small_files_take_few_calls(server: DropboxServer, station: Any):
    server.lock_contention = True
    server.commit_secs = 0.2
    one = station()
    one.master.start()
    one.pid()
    count = 300 if FULL else 120
    files = drop(one, count, 2048)
    wait_until(lambda: all_there(one, server, files), 60, what=f"{count} files")
    one.idle()
    writes = server.count("write")
    print(f"{count} files: {writes} write calls, {server.count(START)} starts")
    assert writes <= count + 3


@pytest.mark.slow
def test_many_pauses_in_a_row_are_obeyed(server: DropboxServer, station: Any):
    """Every second call is answered by a 429 with a Retry-After."""
    count, pause, lanes = (500, 1, 32) if FULL else (16, 2, 8)
    server.fail("write", status=429, retry_after=pause, times=None, every=2)
    one = station(dropbox={"Connections": lanes})
    one.master.start()
    one.pid()
    files = drop(one, count, 2048)
    wait_until(lambda: all_there(one, server, files), 300 if FULL else 60, what=f"{count} files")
    calls = [call for call in list(server.calls) if call.route.startswith("files/")]
    pauses = [call for call in calls if call.status == 429]
    assert pauses
    # A call that was on its way when the answer came is none that came too early.
    grace = pause / 2
    early = [(call.route, gap) for busy in pauses for call in calls if grace < (gap := call.at - busy.at) < pause]
    print(f"{count} files, {len(pauses)} pauses, {len(calls)} calls, {len(early)} early")
    assert early == []
    assert one.kinds().count("server_busy") >= 1
    one.wait_kind("delivered", count)


@pytest.mark.slow
def test_two_destinations_one_of_them_dead_at_first(server: DropboxServer, station: Any, tmp_path: Path):
    if missing() is not None:
        pytest.skip(str(missing()))
    with contextlib.ExitStack() as stack:
        sshd = stack.enter_context(openssh_server(tmp_path / "sshd"))
        server.stop()
        log = {"Subtask_Log_FileName": str(tmp_path / "logs" / "ftp.txt"), "TimerIntervalSecs": 0.3}
        one = station(ftp={**sshd.settings(), **log})
        one.write("a.csv", "0\n")
        one.master.start()
        took = []
        for number in range(10):
            one.write("a.csv", f"{number}\n", "a")
            begun = time.monotonic()
            one.notify("a.csv")
            want = (one.data / "a.csv").read_bytes()
            wait_until(
                lambda want=want: (sshd.files / "a.csv").exists() and (sshd.files / "a.csv").read_bytes() == want,
                20,
                what="at the living one",
            )
            took.append(time.monotonic() - begun)
        files = drop(one, 30, 1000)
        wait_until(lambda: {path.name for path in sshd.files.iterdir()} >= set(files), 20, what="dropped files at the living one")
        assert not (server.folder / "a.csv").exists()
        assert sorted(took)[len(took) // 2] < 1.0, "the dead one does not slow the living one"
        server.start()
        wait_until(lambda: all_there(one, server, files), 30, what="the dead one catches up")
        one.arrived("a.csv")
        ftp_state = one.data / ".pysubtask" / "main" / "ftp"
        assert "connect_failed" not in [event.kind for event in read_events(str(ftp_state))]
        assert all((sshd.files / name).read_bytes() == content for name, content in files.items())


@pytest.mark.slow
def test_beats_carry_dropboxs_own_time(server: DropboxServer, station: Any):
    one = station(HeartbeatIntervalSecs=0.5, HeartbeatName="station7")
    one.master.start()

    def beat() -> float:
        path = server.folder / "station7.heartbeat"
        return path.stat().st_mtime if path.exists() else 0.0

    first = wait_until(beat, what="the first beat")
    wait_until(lambda: beat() > first, 10, what="the next one")
    assert abs(beat() - time.time()) < 60
    begun = time.monotonic()
    before = server.count("files/upload")
    time.sleep(2)
    assert server.count("files/upload") - before <= (time.monotonic() - begun) / 0.5 + 2, "not more often than asked for"
