"""How long an app's calls took: written down by the app itself, so that a kill costs no record but the last."""

from __future__ import annotations

import os
import struct
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

FILE = "calls.bin"
_RECORD = struct.Struct("<BBfff")
_KINDS = ("notify", "check", "status")


class Call(NamedTuple):
    """One call of the app's, by ``kind``: "notify", "check" or "status". ``secs`` by the clock on the wall, ``cpu_secs`` of the
    app's own thread, ``queued_secs`` in which it could have run and another process had the processor, and whether it
    ``raised``."""

    kind: str
    raised: bool
    secs: float
    cpu_secs: float
    queued_secs: float

    @property
    def own_secs(self) -> float:
        """Without the wait for a processor: what the call did, and what it waited for, disk and locks included."""
        return max(0.0, self.secs - self.queued_secs)


class Recorder:
    """Times calls and appends each to a file."""

    def __init__(self, folder: str) -> None:
        if sys.platform == "win32":
            raise NotImplementedError
        self._handle = os.open(os.path.join(folder, FILE), os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def time(self, kind: str, call: Callable[[], Any]) -> Any:
        """Make the call and record it; its result, None where it raised."""
        if sys.platform == "win32":
            raise NotImplementedError
        raised, answer = False, None
        queued = _queued()
        cpu, begun = time.thread_time(), time.perf_counter()
        try:
            answer = call()
        except Exception:  # noqa: BLE001 an app's call shall never raise: that it did is what is written down
            raised = True
        secs, cpu = time.perf_counter() - begun, time.thread_time() - cpu
        os.write(self._handle, _RECORD.pack(_KINDS.index(kind), raised, secs, cpu, _queued() - queued))
        return answer

    def close(self) -> None:
        """Close the file."""
        if sys.platform == "win32":
            raise NotImplementedError
        os.close(self._handle)


def read_calls(folder: str) -> list[Call]:
    """All calls so far."""
    try:
        with open(os.path.join(folder, FILE), "rb") as file:
            data = file.read()
    except FileNotFoundError:
        return []
    whole = data[: len(data) // _RECORD.size * _RECORD.size]
    return [Call(_KINDS[kind], bool(raised), *secs) for kind, raised, *secs in _RECORD.iter_unpack(whole)]


def _queued() -> float:
    """Seconds this thread has waited for a processor so far (Linux; 0.0 where the kernel does not tell)."""
    try:
        with open("/proc/thread-self/schedstat", encoding="ascii") as file:
            return int(file.read().split()[1]) / 1e9
    except (OSError, IndexError):
        return 0.0


def percentile(values: Iterable[float], part: float) -> float:
    """The value that ``part`` of them (0 to 1) do not exceed; 0.0 where there is none."""
    found = sorted(values)
    return found[min(len(found) - 1, int(part * len(found)))] if found else 0.0
