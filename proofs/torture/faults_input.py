"""What lies in the watched folders: odd names, odd files, files that change under the child, very many of them."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import stat
import sys
import time
from pathlib import Path

from .bench import Lab, Outcome
from .calls import percentile
from .catalogue import NotHere, fault
from .faults_disk import stopped
from .processes import send

_MANY = 50_000
_BURST_RATE, _BURST_SECS = 10_000, 10
_SPARSE = 2_300_000_000
_LONG_SECS = 600.0


@fault("input", "names with every byte, names of 255 bytes, empty files")
def names(lab: Lab) -> Outcome:
    """Each byte in a name and as a name, names of 255 bytes, names that begin with a dot or a dash, and empty files."""
    bench = lab.ssh_bench(lab.sshd())
    bench.pause(0.5)
    names_to_send = [b"n" + bytes([byte]) + b"e" for byte in range(1, 256) if byte != ord("/")]
    names_to_send += [bytes([byte]) for byte in range(1, 256) if byte not in b"/."]
    names_to_send += [bytes([65 + number]) * 255 for number in range(5)] + [
        b"\xff" * 255,
        "é".encode() * 127 + b"x",
        b"...",
        b"-rf",
    ]
    for number, name in enumerate(names_to_send):
        with open(os.path.join(os.fsencode(bench.box), name), "wb") as file:
            file.write(b"" if number % 3 == 0 else lab.chance.randbytes(100))
    there = bench.wait(lambda: len(os.listdir(bench.server)) >= len(names_to_send), 120)
    return bench.outcome(len(names_to_send), len(names_to_send) if there else 0, "each in a watched folder, a third of them empty")


@fault("input", "a sparse file of 2.3 GB")
def sparse(lab: Lab) -> Outcome:
    """A file with holes, longer than 2**31 bytes."""
    bench = lab.ssh_bench(lab.sshd(), ftp={"StallSecs": 60})
    path = bench.data / "a.csv"
    with open(path, "wb") as file:
        for place in (0, 1_000_000_000, _SPARSE - 10):
            file.seek(place)
            file.write(b"0123456789")
    begun = time.monotonic()
    bench.notify("a.csv")
    there = bench.wait(lambda: (bench.server / "a.csv").exists() and bench.idle(), _LONG_SECS)
    took = time.monotonic() - begun
    there = there and bench.same("a.csv")
    used = bench.used()
    memory = f", the child's memory {used.memory // 1024} MiB afterwards" if used is not None else ""
    return bench.outcome(1, int(there), f"in {took:.0f} s{memory}", _LONG_SECS)


@fault("input", "files deleted, replaced or changed between notify and snapshot")
def between(lab: Lab) -> Outcome:
    """Stop the child when the notify comes, change the file, and let the child go on."""
    if sys.platform == "win32":
        raise NotImplementedError
    bench = lab.ssh_bench(lab.sshd())
    tried = survived = 0
    for turn in range(12):
        for name in ("a.csv", "b.csv"):
            bench.write(name, lab.chance.randbytes(5000))
        bench.arrived("a.csv", "b.csv")
        pid = stopped(bench)
        bench.write("a.csv", lab.chance.randbytes(5000))
        path = bench.data / "a.csv"
        what = turn % 4
        if what == 0:
            path.unlink()
        elif what == 1:
            fresh = bench.root / "other"
            fresh.write_bytes(lab.chance.randbytes(7000))
            os.replace(fresh, path)
        elif what == 2:
            path.write_bytes(lab.chance.randbytes(100))
        else:
            path.unlink()
            path.mkdir()
        bench.write("b.csv", lab.chance.randbytes(5000))
        send(pid, signal.SIGCONT)
        tried += 1
        well = bench.arrived("b.csv")
        if what in (1, 2):
            well = bench.arrived("a.csv") and well
        elif what == 3:
            path.rmdir()
        survived += well
        bench.write("a.csv", lab.chance.randbytes(100))
        bench.arrived("a.csv")
    return bench.outcome(
        tried,
        survived,
        "deleted, replaced, truncated and rewritten, a folder in its place: what stands there is "
        "delivered, a missing one said and its notify kept",
    )


@fault("input", "chmod 000 between notify and snapshot")
def chmod(lab: Lab) -> Outcome:
    """A file that its child may not read for a while: the others go on. NotHere for root, who may read everything."""
    if sys.platform == "win32":
        raise NotImplementedError
    if os.geteuid() == 0:
        raise NotHere("root reads everything; run this as an ordinary user (--only chmod)")
    bench = lab.ssh_bench(lab.sshd())
    survived = 0
    for _ in range(5):
        bench.write("a.csv", lab.chance.randbytes(1000))
        bench.arrived("a.csv")
        pid = stopped(bench)
        bench.write("a.csv", lab.chance.randbytes(1000))
        (bench.data / "a.csv").chmod(0)
        send(pid, signal.SIGCONT)
        reported = bench.wait(lambda: bench.page().get("cannot_read"), 20)
        bench.write("b.csv", lab.chance.randbytes(1000))
        others = bench.arrived("b.csv")
        (bench.data / "a.csv").chmod(0o600)
        survived += bench.arrived("a.csv") and reported and others
    return bench.outcome(5, survived, "said on the page, others go on, delivered by itself when it may be read again")


@fault("input", "fifo, socket, device and symlink loops in a watched folder")
def odd(lab: Lab) -> Outcome:
    """Special files in a watched folder, each with a notify: none may be opened, the real files beside them arrive."""
    if sys.platform == "win32":
        raise NotImplementedError
    bench = lab.ssh_bench(lab.sshd())
    special_files = [bench.box / name for name in ("fifo", "loop-a", "loop-b", "up", "dangling", "socket")]
    os.mkfifo(special_files[0])
    special_files[1].symlink_to("loop-b")
    special_files[2].symlink_to("loop-a")
    special_files[3].symlink_to("..")
    special_files[4].symlink_to("nowhere")
    with contextlib.ExitStack() as stack:
        here = os.open(bench.box, os.O_RDONLY)
        stack.callback(os.close, here)
        address = stack.enter_context(socket.socket(socket.AF_UNIX))
        address.bind(f"/proc/self/fd/{here}/socket")
        with contextlib.suppress(PermissionError):
            os.mknod(bench.box / "device", stat.S_IFCHR | 0o600, os.makedev(1, 5))
            special_files.append(bench.box / "device")
        for path in special_files:
            Path(f"{path}.notify").touch()
        real = [f"box/real-{number}" for number in range(20)]
        for name in real:
            bench.write(name, lab.chance.randbytes(1000))
        bench.write("a.csv", lab.chance.randbytes(1000))
        well = bench.arrived(*real, "a.csv")
        bench.pause(2)
        only = {path.name for path in bench.server.iterdir()} == {"a.csv", *(Path(name).name for name in real)}
        for path in special_files:
            Path(f"{path}.notify").unlink()
    note = f"{', '.join(path.name for path in special_files)}, each with a notify: none is opened, the 21 real files arrive"
    return bench.outcome(len(special_files), len(special_files) if well and only else 0, note)


@fault("input", "50,000 files dropped at once")
def many(lab: Lab) -> Outcome:
    """50,000 small files written to a watched folder as fast as the disk takes them."""
    bench = lab.ssh_bench(lab.sshd(), ftp={"StallSecs": 30})
    bench.write("a.csv", b"x")
    bench.arrived("a.csv")
    before = bench.used()
    begun = time.monotonic()
    for number in range(_MANY):
        (bench.box / f"f{number:05d}").write_bytes(b"%d\n" % number)
        if number % 500 == 0:
            bench.calls.time("check", bench.master.check_pending_notifications)
    dropped = time.monotonic() - begun
    there = bench.wait(lambda: bench.page().get("delivered", 0) > _MANY and bench.idle(), _LONG_SECS)
    took, after = time.monotonic() - begun, bench.used()
    memory = f"; the child's memory {before.memory // 1024} MiB before, {after.memory // 1024} after" if before and after else ""
    return bench.outcome(1, int(there), f"written in {dropped:.0f} s, all on the server after {took:.0f} s{memory}", 120)


@fault("input", "a notify storm: 10,000 a second for 10 s")
def notifies(lab: Lab) -> Outcome:
    """10,000 notifies a second for 10 s: the last content arrives."""
    bench = lab.ssh_bench(lab.sshd())
    bench.write("a.csv", b"x")
    bench.arrived("a.csv")
    before, begun, done, took = bench.used(), time.monotonic(), 0, list[float]()
    paths = str(bench.data / "a.csv"), str(bench.data / "b.csv")
    while (now := time.monotonic() - begun) < _BURST_SECS:
        while done < now * _BURST_RATE and time.monotonic() - begun < _BURST_SECS:
            if done % 1000 == 0:
                (bench.data / "a.csv").write_bytes(b"%d\n" % done)
            at = time.perf_counter()
            bench.master.notify_file(paths[done % 2])
            took.append(time.perf_counter() - at)
            done += 1
        time.sleep(0.0005)
    (bench.data / "a.csv").write_bytes(b"the last\n")
    (bench.data / "b.csv").write_bytes(b"the last\n")
    bench.notify("a.csv")
    bench.notify("b.csv")
    ended = time.monotonic()
    there = bench.arrived("a.csv", "b.csv", secs=30)
    lag, after = time.monotonic() - ended, bench.used()
    memory = f"; the child's memory {before.memory // 1024} MiB before, {after.memory // 1024} after" if before and after else ""
    p50, p99 = (percentile(took, part) * 1000 for part in (0.5, 0.99))
    note = (
        f"{done:,} notifies in {_BURST_SECS} s: p50 {p50:.3f} ms, p99 {p99:.2f} ms, longest {max(took) * 1000:.0f} ms; the "
        f"last content on the server {lag:.2f} s after the last one{memory}"
    )
    return bench.outcome(1, int(there and p99 < 5), note)
