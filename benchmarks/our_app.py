"""An app with a real TaskMaster and its child, for the benchmarks that measure the whole way."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pysubtask import Section, TaskMaster
from pysubtask.common.status import read_status

from .bench import Bench, Failed, Place, wait_until

_READY_SECS = 30.0


@contextlib.contextmanager
def our_app(bench: Bench, place: Place, folder: Path, entries: list[dict[str, Any]], **ftp: Any) -> Iterator[TaskMaster]:
    """A started master whose child is ready and watches by file events. It connects when it has something to send.

    ``folder`` is that of the first entry; ``ftp`` are settings. The child is killed at the end.
    """
    logs = bench.fresh("logs")
    logs.mkdir()
    settings = bench.settings(HostPath=place.name, Subtask_Log_FileName=str(logs / "child.txt"))
    # The test server's own choice: here the shipped default counts.
    del settings["Concurrency"]
    config = type("config", (), {"ftp": Section("", **settings, **ftp)})
    master = TaskMaster(entries, config, LogFileName=str(logs / "master.txt"), LogToConsole=False)
    state = os.path.join(folder, ".pysubtask", "main", "ftp")

    def ready() -> bool:
        master.check_pending_notifications()
        return (read_status(state) or {}).get("state") not in (None, "starting", "stopped")

    try:
        master.start()
        wait_until(ready, _READY_SECS, "the child is ready")
        yield master
    except Failed as exc:
        raise Failed(f"{exc}; the logs end with: {_last_line(logs / 'master.txt')} / {_last_line(logs / 'child.txt')}") from exc
    finally:
        master.stop(forcekill=True)


def _last_line(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace").strip().splitlines()[-1]
    except (OSError, IndexError):
        return "(nothing)"
