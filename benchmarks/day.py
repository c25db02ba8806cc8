"""A station's day in minutes, as a program: files that grow at different rates, and a camera that leaves pictures.

Started by ``benchmarks.station`` with JSON on its stdin. It makes the file ``ready``, begins when ``go`` is there, writes
what it did into ``journal`` (a line each: monotonic seconds, name, size), makes ``done``, and ends when ``stop`` is there.
With ``settings`` it is an app that notifies; without, it only writes, for other programs to find.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import random
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

from pysubtask import Section, TaskMaster

_SLOWEST, _FASTEST = 300.0, 16_000.0
_PICTURE_SECS, _PICTURE_BYTES = 5.0, 300_000
_POLL_SECS = 0.02


class Write(NamedTuple):
    """At ``at`` seconds of the day ``size`` bytes are added to ``name``; a picture is there whole or not at all."""

    at: float
    name: str
    size: int


def plan(secs: float, files: int, seed: int) -> list[Write]:
    """The same day for everybody: rates from 300 to 16,000 bytes/s, a write each half to six seconds, pictures of 300 KB."""
    chance = random.Random(seed)
    writes = [
        Write(at, f"pictures/{number:04}.jpg", _PICTURE_BYTES) for number, at in enumerate(_times(chance, secs, _PICTURE_SECS))
    ]
    for number in range(files):
        rate = _SLOWEST * (_FASTEST / _SLOWEST) ** (number / max(1, files - 1))
        pause = chance.uniform(0.5, 6.0)
        writes += [Write(at, f"data/{number:02}.csv", max(64, int(rate * pause))) for at in _times(chance, secs, pause)]
    return sorted(writes)


def outages(secs: float, part: float, seed: int) -> list[tuple[float, float]]:
    """When the link is down, so that it is for this part of the time; three times a minute."""
    chance = random.Random(seed)
    count = max(1, round(secs / 20))
    slot = secs / count
    plan = []
    for number in range(count if part else 0):
        begin = slot * number + chance.uniform(0, slot * (1 - part))
        plan.append((begin, begin + slot * part))
    return plan


def _times(chance: random.Random, secs: float, pause: float) -> list[float]:
    times, at = [], chance.uniform(0, pause)
    while at < secs:
        times.append(at)
        at += pause * chance.uniform(0.7, 1.3)
    return times


def _lines(size: int) -> bytes:
    """Text that does not compress, in whole lines."""
    text = base64.b64encode(os.urandom(size * 3 // 4))[: size - 1]
    return b"\n".join(text[at : at + 79] for at in range(0, len(text), 80)) + b"\n"


def _carry_out(folder: Path, write: Write) -> int:
    """The size of the file then."""
    path = folder / write.name
    if write.name.startswith("pictures/"):
        path.write_bytes(os.urandom(write.size))
        return write.size
    with open(path, "ab") as file:
        file.write(_lines(write.size))
        return file.tell()


def _entries(folder: Path, writes: list[Write], keys: dict[str, Any]) -> list[dict[str, Any]]:
    names = sorted({write.name for write in writes if write.name.startswith("data/")})
    files = [{"file": str(folder / name), "as": name, **keys} for name in names]
    return [*files, {"dir": str(folder / "pictures"), "as": "pictures"}]


def main() -> None:
    """One day."""
    given = json.load(sys.stdin)
    folder, signs = Path(given["folder"]), Path(given["signs"])
    writes = plan(given["secs"], given["files"], given["seed"])
    with contextlib.ExitStack() as stack:
        master = None
        index: dict[str, int] = {}
        if given["settings"] is not None:
            entries = _entries(folder, writes, given["keys"])
            index = {entry["as"]: number for number, entry in enumerate(entries)}
            config = type("config", (), {"ftp": Section("", **given["settings"])})
            master = TaskMaster(entries, config, LogFileName=str(signs / "master.txt"), LogToConsole=False)
            master.start()
            stack.callback(master.stop, forcekill=True)

        def poll() -> None:
            time.sleep(_POLL_SECS)
            if master is not None:
                master.check_pending_notifications()

        (signs / "ready").touch()
        while not (signs / "go").exists():
            poll()
        with open(signs / "journal", "w", buffering=1) as journal:
            begun = time.monotonic()
            for write in writes:
                while time.monotonic() < begun + write.at:
                    poll()
                size = _carry_out(folder, write)
                journal.write(f"{time.monotonic()} {write.name} {size}\n")
                if write.name in index and master is not None:
                    master.notify_file_by_index(index[write.name])
            while time.monotonic() < begun + given["secs"]:
                poll()
        (signs / "done").touch()
        while not (signs / "stop").exists():
            poll()


if __name__ == "__main__":
    main()
