"""The link to the server: cut at a series of bytes, half open, slow, lossy, to another address, to a peer that sends nothing."""

from __future__ import annotations

import contextlib
import socket
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

from pysubtask.testing.link.bad_link import bad_link
from pysubtask.testing.link.bad_link import missing as bad_link_missing
from pysubtask.testing.link.relay import Relay

from .bench import Bench, Lab, Outcome
from .catalogue import NotHere, fault

_CUTS = 60
_UPLOAD = 60_000


def relayed(lab: Lab, **ftp: Any) -> tuple[Bench, Relay]:
    """A bench behind a relay, with something delivered already."""
    sshd = lab.sshd()
    relay = lab.stack.enter_context(Relay("127.0.0.1", sshd.port))
    bench = lab.ssh_bench(sshd, port=relay.port, ftp=ftp)
    bench.write("a.csv", lab.chance.randbytes(1000))
    bench.arrived("a.csv")
    return bench, relay


def _cut_everywhere(lab: Lab, direction: str) -> Outcome:
    """For each try a new connection, cut a bit later than the one before, from its first byte to its last."""
    bench, relay = relayed(lab)
    up, down = relay.up, relay.down
    relay.cut_all()
    bench.write("b.csv", lab.chance.randbytes(_UPLOAD))
    bench.arrived("b.csv")
    total = relay.up - up if direction == "up" else relay.down - down
    before, survived, hit = bench.used(), 0, 0
    for number in range(_CUTS):
        relay.cut_all()
        drops = relay.drops
        relay.drop("up" if direction == "up" else "down", total * number // _CUTS)
        bench.write("b.csv", lab.chance.randbytes(_UPLOAD))
        survived += bench.arrived("b.csv")
        hit += relay.drops > drops
        relay.heal()
    after = bench.used()
    note = f"every {total // _CUTS} bytes of the {total} that login and upload take; {hit} cuts hit"
    if before is not None and after is not None:
        note += f"; the child's open files {before.files} before, {after.files} after, KiB {before.memory} and {after.memory}"
    return bench.outcome(_CUTS, survived, note)


@fault("network", "cut at every k-th byte, to the server")
def cut_up(lab: Lab) -> Outcome:
    """The link is cut after each share of the bytes that a login and an upload send."""
    return _cut_everywhere(lab, "up")


@fault("network", "cut at every k-th byte, from the server")
def cut_down(lab: Lab) -> Outcome:
    """The link is cut after each share of the bytes that a login and an upload receive."""
    return _cut_everywhere(lab, "down")


@fault("network", "half-open: the peer is gone without a word")
def half_open(lab: Lab) -> Outcome:
    """A peer that is gone sends neither data nor a reset: the child leaves the connection after ``StallSecs``."""
    bench, relay = relayed(lab)
    slowest, survived = 0.0, 0
    for number in range(6):
        if number % 2:
            # In the middle of an upload; else while the connection is idle.
            relay.throttle(200_000, "up")
            bench.write("a.csv", lab.chance.randbytes(100_000))
            bench.pause(0.2)
        for connection in relay.connections:
            connection.stall()
        begun = time.monotonic()
        bench.write("b.csv", lab.chance.randbytes(1000))
        relay.throttle(None)
        survived += bench.arrived("a.csv", "b.csv")
        slowest = max(slowest, time.monotonic() - begun)
    return bench.outcome(6, survived, f"StallSecs 3: all there again after {slowest:.1f} s at the latest")


@fault("network", "3 s of delay each way")
def delays(lab: Lab) -> Outcome:
    """A round trip of 6 s, within which no step may count as a stall."""
    bench, relay = relayed(lab, StallSecs=20, ConnectTimeoutSecs=120)
    relay.delay(3.0)
    begun = time.monotonic()
    for name in ("a.csv", "b.csv"):
        bench.write(name, lab.chance.randbytes(20_000))
    survived = int(bench.arrived("a.csv", "b.csv", secs=120))
    warm = time.monotonic() - begun
    relay.cut_all()
    bench.write("a.csv", lab.chance.randbytes(20_000))
    survived += bench.arrived("a.csv", secs=180)
    cold = time.monotonic() - begun - warm
    relay.heal()
    return bench.outcome(2, survived, f"round trip 6 s: two files in {warm:.0f} s, a login and a file in {cold:.0f} s")


@fault("network", "30 % of the packets lost")
def loss(lab: Lab) -> Outcome:
    """The whole station lives behind the link, so it is another process there. NotHere where network namespaces may not be had;
    RuntimeError where the station there fails."""
    why = bad_link_missing()
    if why:
        raise NotHere(why)
    link = lab.stack.enter_context(bad_link(delay=0.01, loss=0.0, seed=lab.chance.randrange(10**6)))
    sshd = lab.sshd(host=link.far_address, within=link.far)
    given = lab.root / "within.txt"
    login = sshd.settings(HostPath="in", HostKey=sshd.host_key, KnownHostsFile=None, StallSecs=30, ConnectTimeoutSecs=120)
    (sshd.files / "in").mkdir()
    given.write_text(repr({"root": str(lab.root), "server": str(sshd.files / "in"), "login": login, "seed": lab.chance.random()}))
    link.set(loss=0.3)
    begun = time.monotonic()
    done = link.run_near([sys.executable, "-m", f"{__package__}.lossy", str(given)], capture_output=True, text=True, timeout=420)
    if done.returncode:
        raise RuntimeError(done.stderr[-500:])
    tried, survived, lost, left, twice = map(int, done.stdout.split()[-5:])
    counts = link.counts()
    note = (
        f"each way, 20 ms round trip: 20 files in {time.monotonic() - begun:.0f} s over real TCP, "
        f"{counts.there.bytes + counts.back.bytes:,} bytes on the wire"
    )
    return Outcome(tried, survived, lost, 0, left, twice, note)


class _Named:
    """Writes ssh's own configuration, which resolves the server's name in place of a name server."""

    def __init__(self, lab: Lab) -> None:
        self._path = lab.root / "ssh_config"

    def __call__(self, address: str) -> str:
        self._path.write_text(f"Host station\n  HostName {address}\n  StrictHostKeyChecking yes\n")
        return str(self._path)


@fault("network", "the name stops resolving")
def unresolved(lab: Lab) -> Outcome:
    """The server's name resolves no more, and again: the page has the reason meanwhile."""
    named = _Named(lab)
    sshd = lab.sshd()
    bench = lab.ssh_bench(sshd, ftp={"Host": "station", "SSHConfigFile": named("127.0.0.1"), "DeadTimeMilli": 100})
    survived, reason = 0, ""
    for _ in range(5):
        named("no-such-name.invalid")
        bench.wait(lambda: bench.page().get("state") in ("resting", "waiting"), 10)
        bench.write("a.csv", lab.chance.randbytes(1000))
        bench.wait(lambda: bench.page().get("problem"), 30)
        reason = str((bench.page().get("problem") or {}).get("text", reason))
        named("127.0.0.1")
        survived += bench.arrived("a.csv")
    return bench.outcome(5, survived, f"said: {reason[:110]!r}; delivered when it resolved again")


@fault("network", "the server's address changes")
def moved(lab: Lab) -> Outcome:
    """The server's name resolves to another loopback address each time."""
    named = _Named(lab)
    sshd = lab.sshd()
    bench = lab.ssh_bench(sshd, ftp={"Host": "station", "SSHConfigFile": named("127.0.0.1")})
    survived = 0
    for number in range(5):
        bench.write("a.csv", lab.chance.randbytes(1000))
        bench.arrived("a.csv")
        sshd.stop()
        bench.write("b.csv", lab.chance.randbytes(1000))
        sshd.host = f"127.0.0.{number + 2}"
        sshd.start()
        named(sshd.host)
        survived += bench.arrived("b.csv")
    return bench.outcome(5, survived, "from 127.0.0.1 to .2, .3 ... while something waits")


@contextlib.contextmanager
def mute() -> Iterator[int]:
    """The port of a listener that takes connections and sends nothing."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(100)
        taken: list[socket.socket] = []

        def take() -> None:
            with contextlib.suppress(OSError):
                while True:
                    taken.append(listener.accept()[0])

        thread = threading.Thread(target=take, daemon=True)
        thread.start()
        try:
            yield int(listener.getsockname()[1])
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
            for one in taken:
                one.close()


@fault("network", "a server that accepts and says nothing")
def says_nothing(lab: Lab) -> Outcome:
    """The connection is taken, and no byte comes: the child leaves after ``ConnectTimeoutSecs``."""
    bench, relay = relayed(lab)
    real, survived = relay.target, 0
    with mute() as port:
        for _ in range(3):
            failed = bench.kinds()["connect_failed"]
            relay.target = ("127.0.0.1", port)
            relay.cut_all()
            bench.write("a.csv", lab.chance.randbytes(1000))
            bench.wait(lambda failed=failed: bench.kinds()["connect_failed"] > failed, 30)  # type: ignore[misc]
            relay.target = real
            survived += bench.arrived("a.csv")
    return bench.outcome(3, survived, "ConnectTimeoutSecs 8: left, tried again, delivered when the real one was back")


@fault("network", "stall for ever")
def stalls(lab: Lab) -> Outcome:
    """The link stalls at a random byte and stays so: the child leaves the connection by itself."""
    bench, relay = relayed(lab)
    survived = 0
    for _ in range(5):
        relay.stall(after=lab.chance.randrange(100_000))
        bench.write("a.csv", lab.chance.randbytes(80_000))
        bench.pause(4)
        relay.cut_all()
        relay.heal()
        survived += bench.arrived("a.csv")
    return bench.outcome(5, survived, "at random bytes; the connection was left by itself, see the rows of stalls")
