"""Where and with what it was measured."""

from __future__ import annotations

import contextlib
import datetime
import importlib.metadata
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from pysubtask import __version__

_REPO = Path(__file__).resolve().parent.parent
_LIBRARIES = ("pyfastcdc", "paramiko")
_VERSIONS = {
    "sftp": ("ssh", "-V"),
    "rclone": ("rclone", "version"),
    "rsync": ("rsync", "--version"),
    "lftp": ("lftp", "--version"),
    "lsyncd": ("lsyncd", "--version"),
}


def about(folder: Path, server_folder: Path) -> dict[str, Any]:
    """Date, command, machine and versions, as they are now."""
    words = Path("/proc/cpuinfo").read_text()
    model = re.search(r"model name\s*: (.*)", words) or re.search(r"Model\s*: (.*)", words)
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    load = os.getloadavg()[0]
    versions = {"pysubtask": f"{__version__}{_commit()}", "python": platform.python_version()}
    versions |= {name: _version(*command) for name, command in _VERSIONS.items()}
    versions |= {name: _installed(name) for name in _LIBRARIES}
    aes = "with" if re.search(r"\b(aes|pmull)\b", words) else "without"
    return {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "command": shlex.join(["python", "-m", f"benchmarks.{Path(sys.argv[0]).stem}", *sys.argv[1:]]),
        "machine": f"{os.cpu_count()} x {model[1] if model else platform.machine()} ({aes} AES instructions), {pages:.0f} GB, "
        f"{_system()}, Linux {platform.release()}, {_file_system(folder)} (server: "
        f"{_file_system(server_folder)}), load at the end {load:.1f}",
        "versions": versions,
    }


def _commit() -> str:
    """Which state of the repository this is, where that can be asked."""
    if shutil.which("git") is None:
        return ""
    argv = ["git", "-C", str(_REPO), "describe", "--always", "--dirty"]
    run = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20, check=False)
    return f" ({run.stdout.strip()})" if run.returncode == 0 else ""


def _installed(library: str) -> str:
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return "missing"


def _version(program: str, flag: str) -> str:
    if shutil.which(program) is None:
        return "missing"
    run = subprocess.run([program, flag], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20, check=False)
    found = re.search(r"v?(\d+\.\d[\w.]*)", run.stdout + run.stderr)
    return found[1] if found else "unknown"


def version_of(program: str) -> tuple[int, ...]:
    """As numbers; empty where it is not known."""
    return tuple(int(part) for part in re.findall(r"\d+", _version(*_VERSIONS[program]))[:3])


def _system() -> str:
    with contextlib.suppress(OSError):
        found = re.search(r'PRETTY_NAME="?([^"\n]*)', Path("/etc/os-release").read_text())
        if found:
            return found[1]
    return platform.system()


def _file_system(folder: Path) -> str:
    """The kind of file system a folder is on."""
    best, kind = "", "unknown file system"
    for line in Path("/proc/mounts").read_text().splitlines():
        _, mount, what, *_ = line.split()
        if (f"{folder}/".startswith(mount.rstrip("/") + "/")) and len(mount) >= len(best):
            best, kind = mount, what
    return kind
