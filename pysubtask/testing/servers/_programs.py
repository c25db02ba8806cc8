"""Where the programs of servers are: in the PATH, where systems keep servers, and in a folder of unpacked packages.

Debian's FTP servers exclude one another as packages. So those that are not installed are unpacked into a folder (``.ci/servers``),
which the environment variable ``PYSUBTASK_SERVERS`` names; it is looked at first.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

VARIABLE = "PYSUBTASK_SERVERS"
_SERVERS = ("usr/sbin", "usr/bin", "usr/local/sbin", "sbin")


def find_server(name: str) -> str | None:
    """The path of a server's program; None where it is to be had nowhere."""
    unpacked = os.pathsep.join(str(root / place) for root in _roots() for place in _SERVERS)
    installed = os.pathsep.join(f"/{place}" for place in _SERVERS)
    return shutil.which(name, path=unpacked) or shutil.which(name) or shutil.which(name, path=installed)


def environment() -> dict[str, str]:
    """The environment that a server of the folder finds its libraries with; this process's own where there is no folder."""
    libraries = [str(path) for root in _roots() for path in root.glob("usr/lib/*-linux-gnu*")]
    if not libraries:
        return dict(os.environ)
    known = os.environ.get("LD_LIBRARY_PATH")
    return {**os.environ, "LD_LIBRARY_PATH": os.pathsep.join([*libraries, *([known] if known else [])])}


def modules(name: str) -> Path | None:
    """The folder ``/usr/lib/NAME``, where a server keeps what it loads, unpacked or installed; None where there is none."""
    return next((path for root in [*_roots(), Path("/")] if (path := root / "usr/lib" / name).is_dir()), None)


def absent(name: str, package: str) -> str:
    """Words for a program that is not there, and how to get it."""
    return f"{name} is not installed (apt-get install {package}, or .ci/servers FOLDER and export {VARIABLE}=FOLDER)"


def _roots() -> list[Path]:
    found = os.environ.get(VARIABLE)
    return [Path(found).absolute()] if found else []
