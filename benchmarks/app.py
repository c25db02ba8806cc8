"""An app with a loop of one millisecond, as a program for ``benchmarks.master``: JSON in, JSON out.

``how`` the file of ``path`` travels: "nothing" (it does not), "child" (pysubtask's child, after a notify), "thread" (a thread
of this app, with paramiko). The loop goes on until the size of ``remote`` is that of ``path``, or for ``secs``. Out: how late
the turns were, in milliseconds (``late``: p50, p99, worst), the ``share`` of turns more than 5 ms late, what a notify took.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

_TURN_SECS = 0.001
_LATE_MILLI = 5.0
_NOTIFIES = 2000
_READY_SECS = 30.0


def _loop(path: str, remote: str | None, limit: float) -> tuple[list[float], float]:
    """How late each turn was, and how long it all took."""
    size, late = os.path.getsize(path), []
    begun = time.perf_counter()
    turn = 0
    while True:
        due = time.perf_counter() + _TURN_SECS
        time.sleep(_TURN_SECS)
        now = time.perf_counter()
        late.append(1000 * (now - due))
        turn += 1
        # A look at the folder now and then: it is the same for everybody.
        if turn % 20 == 0 and (now - begun > limit or (remote is not None and _size(remote) == size)):
            return late, now - begun


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return -1


def _with_child(given: dict[str, Any]) -> dict[str, Any]:
    from pysubtask import Section, TaskMaster
    from pysubtask.common.status import read_status

    small = given["path"] + ".small"
    Path(small).write_bytes(b"x")
    config = type("config", (), {"ftp": Section("", **given["settings"])})
    state = str(Path(given["path"]).parent / ".pysubtask" / "main" / "ftp")
    master = TaskMaster([{"file": given["path"]}, {"file": small}], config, LogFileName=None, LogToConsole=False)
    try:
        master.start()
        deadline = time.monotonic() + _READY_SECS
        while (read_status(state) or {}).get("state") in (None, "starting", "stopped"):
            if time.monotonic() > deadline:
                raise SystemExit("the child is not ready")
            time.sleep(0.01)
        begun = time.perf_counter()
        master.notify_file_by_index(0)
        first = time.perf_counter() - begun
        late, secs = _loop(given["path"], given["remote"], given["secs"])
        took = []
        for _ in range(_NOTIFIES):
            begun = time.perf_counter()
            master.notify_file_by_index(1)
            took.append(time.perf_counter() - begun)
            time.sleep(0.0002)
    finally:
        master.stop(forcekill=True)
    return {"late": late, "secs": secs, "notify": sorted(took), "first_notify": first}


def _with_thread(given: dict[str, Any]) -> dict[str, Any]:
    import paramiko

    there = given["settings"]
    failed: list[Exception] = []

    def upload() -> None:
        try:
            with paramiko.SSHClient() as client:
                client.load_host_keys(there["KnownHostsFile"])
                client.connect(
                    there["Host"],
                    there["HostPort"],
                    there["User"],
                    key_filename=there["KeyFile"],
                    allow_agent=False,
                    look_for_keys=False,
                )
                with client.open_sftp() as sftp:
                    sftp.put(given["path"], given["target"])
        except (paramiko.SSHException, OSError, EOFError) as exc:
            failed.append(exc)

    thread = threading.Thread(target=upload, daemon=True)
    thread.start()
    late, secs = _loop(given["path"], given["remote"], given["secs"])
    if failed:
        raise SystemExit(f"paramiko: {failed[0]}")
    return {"late": late, "secs": secs}


def main() -> None:
    """One upload, or none."""
    given = json.load(sys.stdin)
    if given["how"] == "nothing":
        late, secs = _loop(given["path"], None, given["secs"])
        found: dict[str, Any] = {"late": late, "secs": secs}
    else:
        found = _with_child(given) if given["how"] == "child" else _with_thread(given)
    late = sorted(found["late"])
    found["share"] = sum(each > _LATE_MILLI for each in late) / len(late)
    found["arrived"] = _size(given["remote"]) == os.path.getsize(given["path"])
    found["late"] = [late[len(late) // 2], late[int(0.99 * (len(late) - 1))], late[-1]]
    print(json.dumps(found))


if __name__ == "__main__":
    main()
