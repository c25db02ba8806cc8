"""The disk with the data, the state and the copies: pulled and put back, read-only, without inodes, full; and the status page."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

from .bench import Bench, Lab, Outcome
from .catalogue import NotHere, fault, fill, small_disk
from .processes import is_running
from .sticks import stick

_REPORT_SECS = 40.0


def page_text(bench: Bench) -> str:
    """The reasons that 'pysubtask status' gives for the task, as a person at the terminal reads them."""
    words = [sys.executable, "-m", "pysubtask", "status", "--json", str(bench.data)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    try:
        return " ".join(str(task["why"]) for task in json.loads(done.stdout)["tasks"])
    except (ValueError, KeyError, TypeError):
        return f"{done.stdout}{done.stderr}"


def tells(bench: Bench, pattern: str) -> bool:
    """Whether 'pysubtask status' comes to match the pattern, while the app goes on with its calls."""
    return bench.wait(lambda: re.search(pattern, page_text(bench)), _REPORT_SECS)


def children(bench: Bench) -> int:
    """How many children of this task live; there may be one, whatever happens to its disk."""
    registry, count = os.environ["PYSUBTASK_REGISTRY"].encode(), 0
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            line, around = (folder / "cmdline").read_bytes(), (folder / "environ").read_bytes()
        except OSError:
            continue
        count += b"--handoff" in line and registry in around and is_running(int(folder.name)) and b"pysubtask-guard" not in line
    return count


class _Count:
    """Counts the rounds, and keeps what went wrong in which round."""

    def __init__(self) -> None:
        self.tried = self.survived = 0
        self.wrong: list[str] = []

    def round(self, bench: Bench, what: str, checks: dict[str, bool]) -> None:
        checks = {**checks, "one child": bench.wait(lambda: children(bench) == 1, 20)}
        bad = [name for name, ok in checks.items() if not ok]
        self.tried += 1
        self.survived += not bad
        if bad:
            self.wrong.append(f"{what}: not {', '.join(bad)} (status: {page_text(bench)[:200]})")

    def outcome(self, bench: Bench, note: str) -> Outcome:
        found = bench.outcome(self.tried, self.survived, "; ".join([note, *self.wrong]))
        # A content that went twice is a fault here: nothing of this says that the server has lost it.
        return found._replace(survived=found.survived if not found.twice else 0)


def _load(bench: Bench, lab: Lab, number: int) -> list[str]:
    names = [f"box/{number}-{index}.bin" for index in range(5)]
    for name in names:
        bench.write(name, lab.chance.randbytes(20_000))
    bench.write("a.csv", lab.chance.randbytes(60_000))
    return ["a.csv", *names]


@fault("disk", "disk pulled and put back")
def pulled(lab: Lab) -> Outcome:
    """With uploads under way, or with a queue that waits for the server; put back by another device, in every third round at
    first read-only."""
    count = _Count()
    with stick(lab.root / "stick") as disk:
        sshd = lab.sshd()
        bench = lab.ssh_bench(sshd, root=disk.folder)
        bench.arrived(*_load(bench, lab, 0))
        for number in range(1, lab.times(6, 3) + 1):
            waits = number % 2 == 0
            if waits:
                sshd.stop()
            names = _load(bench, lab, number)
            bench.pause(lab.chance.random() * (1.5 if waits else 0.4))
            disk.pull()
            # The camera goes on writing, into the folder below the mount point.
            (disk.folder / "camera.jpg").write_bytes(b"below")
            reported = tells(bench, "not mounted|another disk|is gone")
            bench.notify("a.csv")
            bench.pause(1.0)
            strangers = disk.strangers({"camera.jpg"})
            (disk.folder / "camera.jpg").unlink(missing_ok=True)
            read_only = number % 3 == 0
            disk.put_back("ro" if read_only else "rw")
            reported_read_only = not read_only or tells(bench, "read-only")
            if read_only:
                disk.writable()
            if waits:
                sshd.start()
                bench.again(HostPort=sshd.port)
            count.round(
                bench,
                f"round {number}",
                {
                    "told that it is away": reported,
                    "told that it is read-only": reported_read_only,
                    f"nothing of ours below it {strangers}": not strangers,
                    "arrived": bench.arrived(*names),
                },
            )
        return count.outcome(
            bench, "by another device each time, with uploads under way or a queue that waits; every third time at first read-only"
        )


@fault("disk", "disk turns read-only and comes back")
def read_only(lab: Lab) -> Outcome:
    """An error of the file system makes it read-only under the child; it is unmounted, checked and mounted again."""
    count = _Count()
    with stick(lab.root / "stick") as disk:
        bench = lab.ssh_bench(lab.sshd(), root=disk.folder)
        bench.arrived(*_load(bench, lab, 0))
        for number in range(1, lab.times(3, 1) + 1):
            names = _load(bench, lab, number)
            bench.pause(lab.chance.random() * 0.4)
            disk.fail()
            bench.notify("a.csv")
            reported = tells(bench, "read-only")
            if number % 2:
                bench.kill()
                bench.pause(0.5)
            disk.away()
            bench.pause(1.5)
            disk.put_back(checked=True)
            # What was not synced may be gone with the error.
            names = [name for name in names if (bench.data / name).exists()]
            count.round(bench, f"round {number}", {"told": reported, "arrived": bench.arrived(*names)})
        return count.outcome(
            bench,
            "by an error of ext4 (errors=remount-ro) with uploads under way, checked and mounted again; "
            "every second time the child is killed meanwhile",
        )


@fault("disk", "no inodes left")
def inodes(lab: Lab) -> Outcome:
    """The disk has room for bytes, but for no further file."""
    count = _Count()
    disk = lab.stack.enter_context(small_disk(lab.root / "disk", 64 * 1024 * 1024, "nr_inodes=400"))
    bench = lab.ssh_bench(lab.sshd(), root=disk)
    bench.arrived(*_load(bench, lab, 0))
    filler = disk / "filler"

    def is_reported() -> bool:
        # What the child removes leaves room for a file: that is taken again.
        _use_up(disk, filler, 0)
        return "inodes" in page_text(bench)

    for number, spare in enumerate((0, 0, 1, 2, 3, 5, 0)[: lab.times(7, 3)]):
        (bench.data / "b.csv").write_bytes(lab.chance.randbytes(30_000))
        filler.mkdir()
        _use_up(disk, filler, spare)
        bench.notify("b.csv")
        reported = spare > 0 or bench.wait(is_reported, _REPORT_SECS)
        if number % 3 == 1:
            bench.kill()
            bench.pause(0.5)
        for path in filler.iterdir():
            path.unlink()
        filler.rmdir()
        count.round(bench, f"{spare} left", {"told": reported, "arrived": bench.arrived("a.csv", "b.csv")})
    return count.outcome(bench, "0 to 5 left at the notify, with 60 MB free; every third time the child is killed")


@fault("disk", "full, and what is said")
def disk_full(lab: Lab) -> Outcome:
    """No byte left; the child is killed, and started on the full disk."""
    count = _Count()
    disk = lab.stack.enter_context(small_disk(lab.root / "disk", 16 * 1024 * 1024))
    bench = lab.ssh_bench(lab.sshd(), root=disk)
    bench.arrived(*_load(bench, lab, 0))
    filler = disk / ".filler"

    def is_reported() -> bool:
        # What the child removes leaves room: that is taken again.
        _take_all(disk)
        return re.search("full|MinFreeBytes", page_text(bench)) is not None

    for number in range(lab.times(3, 2)):
        (bench.data / "b.csv").write_bytes(lab.chance.randbytes(30_000))
        for _ in range(5):  # the snapshots of the round before may be on their way out still
            _take_all(disk)
            bench.pause(0.1)
        bench.notify("b.csv")
        reported = bench.wait(is_reported, _REPORT_SECS)
        if number % 2:
            bench.kill()
            bench.pause(0.5)
            reported = reported and bench.wait(is_reported, _REPORT_SECS)
        filler.unlink()
        count.round(bench, f"round {number}", {"told": reported, "arrived": bench.arrived("a.csv", "b.csv")})
    return count.outcome(bench, "no byte left; every second time the child is killed and started on the full disk")


def _take_all(disk: Path) -> None:
    """Leave no byte free."""
    with contextlib.suppress(OSError):  # the child was quicker
        fill(disk, 0)


def _use_up(disk: Path, filler: Path, spare: int) -> None:
    """Make files until no more than ``spare`` can be made."""
    if sys.platform == "win32":
        raise NotImplementedError
    for _ in range(1000):
        if os.statvfs(disk).f_favail <= spare:
            return
        try:
            (filler / os.urandom(6).hex()).touch()
        except OSError:
            return  # the child was quicker


def why_not_here() -> str:
    """Why these cannot be tried here, '' where they can."""
    import tempfile

    try:
        with tempfile.TemporaryDirectory(prefix="pysubtask-stick-") as folder, stick(Path(folder) / "try", size=4 << 20):
            return ""
    except NotHere as exc:
        return str(exc)
