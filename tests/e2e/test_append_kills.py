"""The server is killed in the middle, again and again, while somebody reads its file all the time: he sees an old version, a
new one, or, in place, a true beginning.

With PYSUBTASK_FULL_SIZE set, ten kills and a file of 200 MB.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pysubtask.testing.link.relay import Relay
from pysubtask.testing.servers.sshd import OpenSSHServer
from tests.e2e.conftest import MakeStation
from tests.support.helpers import wait_until
from tests.support.station import SFTPStation

FULL = bool(os.environ.get("PYSUBTASK_FULL_SIZE"))
SIZE, PIECE, RATE = (200_000_000, 2_000_000, 20_000_000) if FULL else (1_000_000, 200_000, 3_000_000)
KILLS, SECS = 10 if FULL else 3, 60
Edit = Callable[[bytes, bytes], bytes]
EDITS: dict[str, Edit] = {
    "append": lambda old, piece: old + piece,
    "middle": lambda old, piece: old[: len(old) // 2] + piece + old[len(old) // 2 + len(piece) :],
    "insertion": lambda old, piece: piece + old,
}


class Reader:
    """Reads a file of the server over and over. ``seen``: size and digest of what it got, whenever that was another."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.seen: list[tuple[int, str]] = []
        self.problem: OSError | None = None
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._read)

    def __enter__(self) -> Reader:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._enough.set()
        self._thread.join()

    def _read(self) -> None:
        last: bytes | None = None
        while not self._enough.wait(0.002):
            try:
                data = self._path.read_bytes()
            except OSError as exc:
                self.problem = exc
                return
            if data != last:
                self.seen.append((len(data), hashlib.sha256(data).hexdigest()))
                last = data


def kill(sshd: OpenSSHServer, what: str) -> bool:
    """End the sftp-servers, the sessions, or all of sshd by SIGKILL; whether there was one."""
    pids = sshd.sftp_pids() if what == "sftp-server" else sshd.session_pids()
    if what == "sshd":
        sshd.kill()
        sshd.start()
    else:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    return bool(pids)


def killed_in_transit(one: SFTPStation, sshd: OpenSSHServer, relay: Relay, chance: random.Random) -> bool:
    """Notify and break it at a random place; whether something was broken before it had arrived."""
    what = chance.choice(["bytes", "bytes", "sftp-server", "session", "sshd"])
    place, drops = chance.randrange(1, PIECE), relay.drops
    local, remote = one.data / "f.dat", one.server / "f.dat"
    version = local.read_bytes()
    if what == "bytes":
        relay.drop("up", place, how=chance.choice(["rst", "fin"]), scope="total")
    place += relay.up
    one.notify("f.dat")

    def there() -> bool:
        one.master.check_pending_notifications()
        arrived = remote.stat().st_size == len(version) and remote.read_bytes() == version
        return relay.drops > drops or relay.up >= place or arrived

    wait_until(there, SECS, what="the place of the kill")
    if what == "bytes":
        relay.heal()
        relay.throttle(RATE, "up")
        return relay.drops > drops
    time.sleep(chance.choice([0, 0, 0.01, 0.05]))
    early = remote.read_bytes() != version
    return kill(sshd, what) and early


@pytest.mark.timeout(900 if FULL else 120)
@pytest.mark.parametrize(
    ("edit", "in_place"),
    [("append", True), ("append", False), ("middle", False), ("insertion", False)],
    ids=["append in place", "append, complete versions", "middle", "insertion"],
)
@pytest.mark.slow
def test_a_reader_sees_versions_only(shared_sshd: OpenSSHServer, relay: Relay, station: MakeStation, edit: str, in_place: bool):
    chance = random.Random(seed := random.randrange(10**6))
    print(f"seed {seed}")
    one = station("f.dat", {"append": True} if in_place else {}, AtomicAppend=not in_place, ConnectTimeoutSecs=10)
    content = chance.randbytes(SIZE)
    path = one.write("f.dat", content)
    one.master.start()
    one.notify("f.dat")
    one.arrived("f.dat", secs=SECS)
    relay.throttle(RATE, "up")
    versions, kills = [content], 0
    fresh = path.with_name(".fresh")
    with Reader(one.server / "f.dat") as reader:
        for _ in range(5 * KILLS):
            versions.append(content := EDITS[edit](content, chance.randbytes(PIECE)))
            if edit == "append":
                one.write("f.dat", content[-PIECE:], "a")
            else:
                fresh.write_bytes(content)
                os.replace(fresh, path)
            kills += killed_in_transit(one, shared_sshd, relay, chance)
            if kills == KILLS:
                break
            if chance.random() < 0.5:
                one.arrived("f.dat", secs=SECS)
        one.arrived("f.dat", secs=SECS)
        one.idle()
    assert kills == KILLS
    assert reader.problem is None, "there was a file at any moment"
    if edit == "append":
        assert all(hashlib.sha256(content[:size]).hexdigest() == digest for size, digest in reader.seen), "true beginnings"
    ends = [len(version) for version in versions]
    order = [hashlib.sha256(version).hexdigest() for version in versions]
    if not in_place:
        assert {digest for _, digest in reader.seen} <= set(order), "whole versions"
        places = [order.index(digest) for _, digest in reader.seen]
        assert places == sorted(places), "and never an older one again"
    assert reader.seen[-1] == (ends[-1], order[-1])
    print(f"{len(reader.seen)} of {len(versions)} versions and beginnings seen")
    one.master.stop(forcekill=False)
    assert one.leftovers() == []
