"""An app, its real child, the system's ssh, and a real OpenSSH server."""

import contextlib
import os
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time

import pytest

from pysubtask.testing.link.relay import Relay
from pysubtask.testing.servers.sshd import missing, openssh_server
from tests.support.helpers import wait_until
from tests.support.station import SFTPStation

pytestmark = pytest.mark.skipif(missing() is not None, reason=missing() or "")


@pytest.fixture
def sshd(tmp_path):
    with openssh_server(tmp_path / "sshd") as server:
        yield server


@pytest.fixture
def station(tmp_path):
    stations = []

    def make(server, entries=None, *, ftp=None, **base):
        stations.append(SFTPStation(tmp_path, server.files, {**server.settings(), **(ftp or {})}, entries, **base))
        return stations[-1]

    yield make
    for one in stations:
        one.close()


@pytest.mark.slow
def test_a_growing_file_is_only_ever_seen_as_a_true_prefix(sshd, station):
    """2 MB and 120 more lines, a notify after each, over a slow link."""
    with Relay("127.0.0.1", sshd.port) as relay:
        relay.throttle(3_000_000, "up")
        one = station(sshd, ftp=relayed(sshd, relay))
        path = one.write("a.csv", os.urandom(1_000_000).hex() + "\n")
        seen, stop = [], threading.Event()

        def read():
            while not stop.is_set():
                if (sshd.files / "a.csv").exists():
                    data = (sshd.files / "a.csv").read_bytes()
                    if not seen or seen[-1] != data:
                        seen.append(data)
                time.sleep(0.002)

        reader = threading.Thread(target=read)
        reader.start()
        try:
            one.master.start()
            for n in range(120):
                one.write("a.csv", f"line {n}\n", "a")
                one.notify("a.csv")
                time.sleep(0.025)
            one.arrived("a.csv", secs=60)
        finally:
            stop.set()
            reader.join()
        data = path.read_bytes()
        assert len(seen) > 2
        assert all(data.startswith(version) for version in seen), "never torn"
        assert [len(version) for version in seen] == sorted(len(version) for version in seen), "never shrinking"
        one.master.stop(forcekill=False)
        assert sorted(os.listdir(sshd.files)) == ["a.csv"]
        assert one.leftovers() == []
        assert not list(one.data.rglob("*.notify"))


def relayed(sshd, relay):
    """The settings of a server as seen through a relay: its host key is known under the relay's port."""
    return {**sshd.settings(), "HostPort": relay.port, "HostKey": sshd.host_key, "KnownHostsFile": None}


APP = """
import os, random, signal, sys, time
from pysubtask import Section, TaskMaster

root, seed, rounds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
config = type('config', (), {'base': Section('', **BASE), 'ftp': Section('', **FTP)})
master = TaskMaster(ENTRIES, config, LogFileName=None, LogToConsole=False)
master.start()
chance = random.Random(seed)
while True:
    for index in (0, 1):
        with open(ENTRIES[index]['file'], 'a') as file:
            file.write(f'{time.time_ns()} {chance.random()}\\n')
        master.notify_file_by_index(index)
    if chance.random() < 0.5:
        name = os.path.join(ENTRIES[2]['dir'], f'drop-{seed}-{time.time_ns()}')
        with open(name + '.tmp', 'wb') as file:
            file.write(chance.randbytes(chance.randrange(300_000)))
        os.rename(name + '.tmp', name)
    master.check_pending_notifications()
    time.sleep(0.05)
"""


@pytest.mark.slow
def test_six_rounds_of_kills_lose_nothing(sshd, station):
    seed = int(os.environ.get("TEST_SEED", "0")) or random.randrange(1, 10**6)
    print("seed", seed)
    chance = random.Random(seed)
    one = station(sshd, TimerIntervalSecs=0.1)
    box = one.data.parent / "drops"
    box.mkdir()
    one.entries = [{"file": str(one.data / "a.csv")}, {"file": str(one.data / "b.csv")}, {"dir": str(box), "settle_secs": 0.2}]
    one.master = one.make()
    head = f"ENTRIES = {one.entries!r}\nBASE = {one.base!r}\nFTP = {one.ftp!r}\n"
    in_flight = 0
    for turn in range(6):
        app = subprocess.Popen([sys.executable, "-c", head + APP, str(one.data), str(seed + turn), "0"])
        down = chance.random() < 0.5
        try:
            wait_until(lambda app=app: one.page().get("master_pid") == app.pid and one.page()["queue"], what="the child's page")
            time.sleep(0.3 + chance.random() * 1.5)
            if down:
                in_flight += one.page()["queue"]["sending"] + 1
                sshd.kill()
                time.sleep(chance.random() * 0.3)
            for pid in chance.sample([app.pid, one.page()["pid"]], 2):
                os.kill(pid, signal.SIGKILL)
                time.sleep(chance.random() * 0.05)
        finally:
            app.kill()
            app.wait()
        in_flight += sending(one)
        if down:
            sshd.start()
    one.master.start()
    names = ["a.csv", "b.csv"]
    one.arrived(*names, secs=40)
    dropped = sorted(os.listdir(box))
    dropped = [name for name in dropped if not name.endswith((".notify", ".tmp"))]

    def all_there():
        one.master.check_pending_notifications()
        pairs = [(sshd.files / name, box / name) for name in dropped]
        return all(remote.exists() and remote.read_bytes() == local.read_bytes() for remote, local in pairs)

    wait_until(all_there, 40, what="every dropped file on the server")
    assert dropped
    one.master.stop(forcekill=False)
    assert [str(path) for path in sshd.files.rglob(".pysubtask-*")] == [], f"seed {seed}"
    assert sorted(os.listdir(sshd.files)) == sorted([*names, *dropped, *[n for n in os.listdir(sshd.files) if n.endswith(".tmp")]])
    # A dropped file never changes: a second rename to its name is one that was sent again.
    renamed = re.findall(r'(?:posix-)?rename old ".*?" new "(?:.*/)?(drop-[^"]*)"', sshd.log())
    again = len(renamed) - len(set(renamed))
    print(f"{len(renamed)} dropped files published, {again} again, {in_flight} in flight at kills")
    assert again <= in_flight, f"seed {seed}"


def sending(one):
    """How many uploads were in flight when the child was killed, by its own queue."""
    copy = one.root / "copy.db"
    for suffix in ("", "-wal"):
        if os.path.exists(f"{one.state}/spool.db{suffix}"):
            shutil.copy(f"{one.state}/spool.db{suffix}", f"{copy}{suffix}")
    with contextlib.closing(sqlite3.connect(copy)) as db:
        return db.execute("SELECT COUNT(*) FROM job WHERE state = 'sending'").fetchone()[0]


@pytest.mark.slow
def test_a_full_disk_on_the_server_never_costs_the_good_copy(tmp_path, station):
    with openssh_server(tmp_path / "sshd", file_limit=1_000_000) as sshd:
        one = station(sshd, ParkedRetrySecs=1)
        one.write("a.csv", "good\n" * 1000)
        one.master.start()
        one.arrived("a.csv")
        one.write("a.csv", os.urandom(3_000_000))
        one.notify("a.csv")
        one.wait_kind("parked")
        assert (sshd.files / "a.csv").read_text() == "good\n" * 1000
        assert "a.csv" in [row["name"] for row in wait_until(lambda: one.page().get("parked"), what="said in status")]
        one.write("a.csv", "small again\n")
        one.notify("a.csv")
        one.arrived("a.csv")
        one.master.stop(forcekill=False)
        assert os.listdir(sshd.files) == ["a.csv"]


@pytest.mark.slow
def test_a_thawed_server_never_puts_an_old_version_over_a_newer(sshd, station):
    one = station(sshd, StallSecs=60)
    one.write("a.csv", "first\n")
    one.master.start()
    one.arrived("a.csv")
    one.idle()
    frozen = sshd.freeze()
    assert frozen
    one.write("a.csv", os.urandom(400_000))
    one.notify("a.csv")
    wait_until(lambda: one.page().get("moving"), what="the upload hangs in the frozen server")
    one.kill()
    one.write("a.csv", "newer\n")
    one.notify("a.csv")
    one.arrived("a.csv")
    sshd.thaw(frozen)
    for _ in range(100):
        assert (sshd.files / "a.csv").read_text() == "newer\n"
        time.sleep(0.01)
    one.write("a.csv", "newest\n")
    one.notify("a.csv")
    one.arrived("a.csv")
    one.master.stop(forcekill=False)
    assert os.listdir(sshd.files) == ["a.csv"], "what the thawed server made is cleared away"


@pytest.mark.slow
def test_a_changed_host_key_holds_everything_and_says_so(sshd, station):
    one = station(sshd, ftp={"HostKey": "SHA256:" + "A" * 43})
    one.write("a.csv", "1\n")
    one.master.start()
    one.notify("a.csv")
    one.wait_kind("server_not_trusted")
    assert wait_until(lambda: one.page().get("state") == "held", what="held")
    one.master.stop(forcekill=True)
    one.ftp.update(sshd.settings())
    one.master = one.make()
    one.master.start()
    one.arrived("a.csv", secs=10)


@pytest.mark.slow
def test_the_connection_rests_after_the_dead_time(sshd, station):
    one = station(sshd, ftp={"DeadTimeMilli": 500})
    one.write("a.csv", "1\n")
    one.master.start()
    one.arrived("a.csv")
    one.wait_kind("resting")
    wait_until(lambda: sshd.session_pids() == [], what="the session is over")
    assert "(no data) REST'ing S/FTP!" in one.log()
    one.write("a.csv", "2\n", "a")
    one.notify("a.csv")
    one.arrived("a.csv")


@pytest.mark.slow
def test_no_ssh_outlives_a_killed_child(sshd, station):
    one = station(sshd)
    one.write("a.csv", "1\n")
    one.master.start()
    one.arrived("a.csv")
    one.master.stop(forcekill=True)
    wait_until(lambda: sshd.session_pids() == [], what="the session is over")
