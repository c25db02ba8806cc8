"""The local disk: full at each write, folders removed, the queue damaged, files that cannot be written."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path

from .bench import Bench, Lab, Outcome
from .catalogue import fault, fill, small_disk
from .processes import send

_PAGE = 4096


@fault("disk", "local disk full at each write")
def full(lab: Lab) -> Outcome:
    """Data, bak and state share a small disk; each time it has a page more left when the notify comes."""
    disk = lab.stack.enter_context(small_disk(lab.root / "disk", 16 * 1024 * 1024))
    bench = lab.ssh_bench(lab.sshd(), root=disk)
    tried = survived = 0
    bench.write("a.csv", lab.chance.randbytes(20_000))
    bench.arrived("a.csv")
    for pages in (*range(16), 20, 24, 32, 48, 64):
        bench.write("a.csv", lab.chance.randbytes(20_000))
        bench.arrived("a.csv")
        # The app's own writes are not what is tried: they are done before the disk is full.
        (bench.data / "b.csv").write_bytes(lab.chance.randbytes(30_000))
        filler = fill(disk, pages * _PAGE)
        bench.notify("b.csv")
        bench.pause(0.5)
        if pages % 3 == 0:
            bench.kill()
            bench.pause(0.3)
        filler.unlink()
        tried += 1
        survived += bench.arrived("a.csv", "b.csv")
    return bench.outcome(tried, survived, "0 to 64 pages of 4 KiB left at the notify; every third time the child is killed")


@fault("disk", "bak folder removed while running")
def bak_removed(lab: Lab) -> Outcome:
    """The folder of the snapshots is removed 20 times at random moments while two files wait or are sent."""
    bench = lab.ssh_bench(lab.sshd())
    tried = survived = 0
    for number in range(20):
        for name in ("a.csv", "b.csv"):
            bench.write(name, lab.chance.randbytes(400_000))
        bench.pause(lab.chance.random() * 0.1)
        shutil.rmtree(bench.bak, ignore_errors=True)
        tried += 1
        survived += bench.arrived("a.csv", "b.csv") if number % 2 else True
    return bench.outcome(tried, survived, "at random moments, with two files of 400 KB under way")


def _emptied(path: Path) -> None:
    os.truncate(path, 0)


def _halved(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def _garbage(path: Path) -> None:
    with open(path, "r+b") as file:
        for place in range(4096, path.stat().st_size, 4096):
            file.seek(place)
            file.write(os.urandom(512))


def _header(path: Path) -> None:
    with open(path, "r+b") as file:
        file.write(b"this is no database")


def _later(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 999999")
    db.close()


def _text(path: Path) -> None:
    path.write_text("somebody's notes\n")


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _gone(path: Path) -> None:
    for one in path.parent.glob("spool.db*"):
        one.unlink()


_DAMAGES: dict[str, Callable[[Path], None]] = {
    "emptied": _emptied,
    "halved": _halved,
    "garbage in every page": _garbage,
    "header overwritten": _header,
    "of a later version": _later,
    "text": _text,
    "removed": _gone,
}


@fault("disk", "spool damaged, truncated or of a later version")
def spool(lab: Lab) -> Outcome:
    """Damage the queue in various ways while versions wait in it; the data files exist still."""
    sshd = lab.sshd()
    bench = lab.ssh_bench(sshd)
    survived, undelivered = 0, []
    for what, damage in _DAMAGES.items():
        for number in range(20):
            bench.write(f"box/{what.replace(' ', '-')}-{number}", lab.chance.randbytes(3000))
        bench.arrived(*(f"box/{what.replace(' ', '-')}-{number}" for number in range(20)))
        sshd.stop()
        bench.write("a.csv", lab.chance.randbytes(50_000))
        bench.wait(lambda: (bench.page().get("queue") or {}).get("waiting"), 10)
        bench.master.stop(forcekill=True)
        damage(bench.state / "spool.db")
        sshd.start()
        bench.again(HostPort=sshd.port)
        bench.write("b.csv", lab.chance.randbytes(1000))
        if bench.arrived("a.csv", "b.csv") and bench.wait(bench.idle):
            survived += 1
        else:
            undelivered.append(what)
    note = f"{', '.join(_DAMAGES)}: what was queued is found again by its notify or its "
    note += "stamp; what was known of the server is gone with the spool, so all of it goes once more"
    note += f"; not well: {undelivered}" if undelivered else ""
    return bench.outcome(len(_DAMAGES), survived, note)


def _unwritable(lab: Lab, name: str) -> Outcome:
    """Put a folder in the place of the file: not even root can write that."""
    bench = lab.ssh_bench(lab.sshd())
    tried = survived = 0
    for killed in (False, True):
        bench.write("a.csv", lab.chance.randbytes(1000))
        bench.arrived("a.csv")
        path = bench.state / name
        if killed:
            bench.master.stop(forcekill=True)
        path.unlink(missing_ok=True)
        path.mkdir()
        if killed:
            bench.again()
        for name_ in ("a.csv", "b.csv", "a.csv"):
            bench.write(name_, lab.chance.randbytes(1000))
            tried += 1
            survived += bench.arrived(name_)
        path.rmdir()
        bench.again()
        bench.write("a.csv", lab.chance.randbytes(1000))
        bench.arrived("a.csv")
    return bench.outcome(tried, survived, "a folder in its place, while the child runs and at its start; deliveries go on")


@fault("disk", "events.jsonl cannot be written")
def events(lab: Lab) -> Outcome:
    """A folder takes the name of ``events.jsonl``."""
    return _unwritable(lab, "events.jsonl")


@fault("disk", "receipts.jsonl cannot be written")
def receipts(lab: Lab) -> Outcome:
    """A folder takes the name of ``receipts.jsonl``."""
    return _unwritable(lab, "receipts.jsonl")


@fault("disk", "status.json cannot be written")
def status(lab: Lab) -> Outcome:
    """A folder takes the name of ``status.json``."""
    return _unwritable(lab, "status.json")


@fault("disk", "state folder removed while running")
def state_removed(lab: Lab) -> Outcome:
    """The state folder is removed while the child runs: deliveries go on."""
    bench = lab.ssh_bench(lab.sshd())
    tried = survived = 0
    for _ in range(3):
        bench.write("a.csv", lab.chance.randbytes(1000))
        bench.arrived("a.csv")
        shutil.rmtree(bench.state, ignore_errors=True)
        bench.write("a.csv", lab.chance.randbytes(1000))
        bench.write("b.csv", lab.chance.randbytes(1000))
        tried += 1
        survived += bench.arrived("a.csv", "b.csv")
    # Receipts that went with the folder are gone: those of what is sent after the next start are not.
    bench.again()
    bench.write("a.csv", lab.chance.randbytes(1000))
    bench.write("b.csv", lab.chance.randbytes(1000))
    bench.arrived("a.csv", "b.csv")
    return bench.outcome(tried, survived, "by somebody who tidied up: deliveries go on; receipts go on after the next start")


def stopped(bench: Bench) -> int:
    """SIGSTOP the child; its pid."""
    if sys.platform == "win32":
        raise NotImplementedError
    bench.wait(bench.pid, 20)
    pid = bench.pid()
    send(pid, signal.SIGSTOP)
    return pid
