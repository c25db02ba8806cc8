"""Daemons and their clients as real processes, for tests."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pysubtask
from tests.support.helpers import wait_until

ROOT = Path(__file__).resolve().parents[2]
SECS = 30
"""What a test waits for takes a tenth of it at most."""


class Program:
    """A program of Python in a process of its own; its output is in ``text()``."""

    def __init__(self, place: Path, source: str, *words: str, module: str = "program", wrapper: tuple[str, ...] = ()) -> None:
        file = place / f"{module}.py"
        file.write_text(source)
        self.output = place / f"{module}-{len(list(place.glob(module + '-*.out')))}.out"
        environ = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
        with open(self.output, "wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, *(wrapper or (str(file),)), *words],
                cwd=place,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def text(self) -> str:
        """What it has written so far."""
        return self.output.read_text(errors="replace")

    def kill(self) -> None:
        """End it by SIGKILL."""
        self.process.kill()
        self.process.wait()

    def stop(self, secs: float = SECS) -> int:
        """End it by SIGTERM; its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(secs)

    def wait(self, secs: float = SECS) -> int:
        """Wait for its end; its exit status."""
        return self.process.wait(secs)


@contextlib.contextmanager
def place_for_daemons() -> Iterator[Path]:
    """A folder with a short path, as that of a socket has to be, which holds the runtime files, too."""
    before = {key: os.environ.get(key) for key in ("XDG_RUNTIME_DIR", "RUNTIME_DIRECTORY")}
    folder = Path(os.path.realpath(tempfile.mkdtemp(prefix="dm-", dir="/tmp")))
    os.environ["XDG_RUNTIME_DIR"] = str(folder)
    os.environ.pop("RUNTIME_DIRECTORY", None)
    try:
        yield folder
    finally:
        for key, value in before.items():
            os.environ.pop(key, None)
            if value is not None:
                os.environ[key] = value
        shutil.rmtree(folder, ignore_errors=True)


def get(name: str) -> pysubtask.Proxy:
    """The daemon, as soon as it is there."""
    return pysubtask.get(name, wait=SECS)


def gone(name: str) -> None:
    """Wait until the daemon is there no more."""
    wait_until(lambda: name not in [known.name for known in pysubtask.daemons()], SECS, f"the end of {name}")
