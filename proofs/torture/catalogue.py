"""The faults by name, and one at a time carried out."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from .bench import Lab, Outcome, lab
from .report import Row

Script = Callable[[Lab], Outcome]


class NotHere(Exception):
    """A fault that cannot be tried here; the text is the reason."""


class Entry(NamedTuple):
    """A fault with a ``name`` in a ``group``, and the ``script`` that tries it."""

    group: str
    name: str
    script: Script


FAULTS: list[Entry] = []


def fault(group: str, name: str) -> Callable[[Script], Script]:
    """Puts a script into the catalogue, under this group and name."""

    def put(script: Script) -> Script:
        FAULTS.append(Entry(group, name, script))
        return script

    return put


def run(entry: Entry, seed: int, sample: bool = False) -> Row:
    """Try one fault, or a ``sample`` of it. A script that fails counts as not survived."""
    name = f"{entry.group}: {entry.name}"
    try:
        with lab(f"{seed} {name}", sample) as place:
            return entry.script(place).row(name)
    except NotHere as exc:
        return Row(name, 0, 0, note=f"not tried: {exc}")
    except (OSError, AssertionError, RuntimeError, subprocess.SubprocessError) as exc:
        return Row(name, 1, 0, note=f"the script failed: {exc!r}")


@contextmanager
def small_disk(folder: Path, size: int, options: str = "") -> Iterator[Path]:
    """A file system of its own of ``size`` bytes; ``options``: more of them. Needs root. NotHere where it cannot be mounted."""
    if sys.platform == "win32":
        raise NotImplementedError
    if os.geteuid() != 0:
        raise NotHere("needs root (a tmpfs is mounted)")
    folder.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", f"size={size},{options}".rstrip(","), "tmpfs", str(folder)]
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode:
        raise NotHere(f"no tmpfs can be mounted: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=False)


def fill(folder: Path, leave: int) -> Path:
    """Write a file that leaves about so many bytes free; it."""
    if sys.platform == "win32":
        raise NotImplementedError
    path = folder / ".filler"
    info = os.statvfs(folder)
    size = max(0, info.f_bavail * info.f_frsize - leave)
    with open(path, "ab") as file:
        file.write(b"\0" * size)
    return path
