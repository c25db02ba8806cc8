"""An app with its child, as a program of any checkout: JSON in, what the child has cost out.

It is run with ``PYTHONPATH`` set to the checkout that is measured, which may be an older one; so it uses nothing of this
package. In: ``{"settings": {...}, "watched": "...", "aside": "...", "place": "...", "work": "files" or "notify", "count": n,
"log": "...", "strace": "" or a file}``. Out: ``{"user": s, "system": s, "calls": n or null}``: the child's own CPU seconds, from
before the first of the work until it is all delivered and on the status page, and its system calls where strace counted them.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from pysubtask import Section, TaskMaster
from pysubtask.common.status import read_status

_LIMIT_SECS = 120.0
_REST_SECS = 0.3
_PAUSE_SECS = 0.02
_LINE = b"y" * 100 + b"\n"
_TICKS = os.sysconf("SC_CLK_TCK")


def main() -> None:
    given = json.load(sys.stdin)
    watched, aside, place, count = Path(given["watched"]), Path(given["aside"]), Path(given["place"]), given["count"]
    files = given["work"] == "files"
    entry = {"dir": str(watched), "settle_secs": 0} if files else {"file": str(watched / "data.csv")}
    state = str(watched / ".pysubtask" / "main" / "ftp")
    config = type("config", (), {"ftp": Section("", **given["settings"])})
    master = TaskMaster([entry], config, LogFileName=given["log"], LogToConsole=False)

    def status() -> dict:
        return read_status(state) or {}

    def until(condition, pause: float = 0.005) -> None:
        deadline = time.monotonic() + _LIMIT_SECS
        while not condition():
            if time.monotonic() > deadline:
                raise SystemExit(f"not within {_LIMIT_SECS:.0f} s: {status()}")
            master.check_pending_notifications()
            time.sleep(pause)

    master.start()
    try:
        until(lambda: status().get("state") not in (None, "starting", "stopped"))
        # One delivery first, so that the login is no part of it.
        if files:
            os.rename(aside / "first", watched / "first")
        until(lambda: status().get("delivered") == 1)
        time.sleep(_REST_SECS)
        pid = int(status()["pid"])
        tracer = _traced(pid, given["strace"])
        before = _cpu(pid)
        if files:
            names = sorted(name for name in os.listdir(aside))
            for name in names:
                os.rename(aside / name, watched / name)
            until(lambda: status().get("delivered") == len(names) + 1)
        else:
            size = (watched / "data.csv").stat().st_size
            for _ in range(count):
                with open(watched / "data.csv", "ab") as file:
                    file.write(_LINE)
                size += len(_LINE)
                master.notify_file_by_index(0)
                until(lambda size=size: (place / "data.csv").stat().st_size == size, 0.0005)
                time.sleep(_PAUSE_SECS)
        until(lambda: not status()["queue"].get("sending") and not status()["queue"].get("waiting"))
        time.sleep(_REST_SECS)
        after = _cpu(pid)
        calls = _counted(tracer, given["strace"])
    finally:
        master.stop(forcekill=True)
    print(json.dumps({"user": after[0] - before[0], "system": after[1] - before[1], "calls": calls}))


def _cpu(pid: int) -> tuple[float, float]:
    """User and system seconds of a process, its threads that have ended included (proc(5))."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) / _TICKS, int(fields[12]) / _TICKS


def _traced(pid: int, out: str) -> "subprocess.Popen[bytes] | None":
    if not out:
        return None
    tracer = subprocess.Popen(["strace", "-f", "-c", "-p", str(pid), "-o", out], stderr=subprocess.PIPE)
    assert tracer.stderr is not None
    tracer.stderr.readline()  # it is attached
    return tracer


def _counted(tracer: "subprocess.Popen[bytes] | None", out: str) -> "int | None":
    """All of them: the last line but for its first and last columns; there may be one of errors."""
    if tracer is None:
        return None
    tracer.send_signal(signal.SIGINT)
    tracer.wait()
    return int(Path(out).read_text().split("\n")[-2].split()[3])


if __name__ == "__main__":
    main()
