"""An app with its child, as a program of any checkout: JSON in, what the child has cost out.

It is run with ``PYTHONPATH`` set to the checkout that is measured, which may be an older one; so it uses nothing of this
package. In: ``{"settings": {...}, "watched": "...", "aside": "...", "place": "...", "work": "files", "notify" or "rest",
"count": n, "line": bytes, "log": "...", "strace": "" or a file}``. Out: ``{"user": s, "system": s, "calls": n or null, "seen":
s or null, "resident": KiB}``: the child's own CPU seconds, from before the first of the work until it is all delivered and on the
status page, its system calls where strace counted them, the median time from a notify until the server shows it, and what the
child has in memory at the end.

"files": so many small files are renamed into a watched folder. "notify": so many times ``line`` bytes are appended to a named file,
one notify each. "rest": so many seconds pass in which nothing happens to the files of a watched folder, which are delivered.
"""

import json
import os
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

from pysubtask import Section, TaskMaster
from pysubtask.common.status import read_status

_LIMIT_SECS = 120.0
_REST_SECS = 0.3
_PAUSE_SECS = 0.02
_TICKS = os.sysconf("SC_CLK_TCK")


def main() -> None:
    given = json.load(sys.stdin)
    watched, aside, place, count = Path(given["watched"]), Path(given["aside"]), Path(given["place"]), given["count"]
    work, line = given["work"], b"y" * (given["line"] - 1) + b"\n"
    files = work != "notify"
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
        first = ["first"] if work == "files" else os.listdir(aside)
        for name in first:
            os.rename(aside / name, watched / name)
        until(lambda: status().get("delivered") == max(1, len(first)))
        time.sleep(_REST_SECS)
        pid = int(status()["pid"])
        tracer = _traced(pid, given["strace"])
        before = _cpu(pid)
        seen = []
        if work == "rest":
            time.sleep(count)
        elif files:
            names = sorted(name for name in os.listdir(aside))
            for name in names:
                os.rename(aside / name, watched / name)
            until(lambda: status().get("delivered") == len(names) + 1)
        else:
            size = (watched / "data.csv").stat().st_size
            for _ in range(count):
                with open(watched / "data.csv", "ab") as file:
                    file.write(line)
                size += len(line)
                began = time.monotonic()
                master.notify_file_by_index(0)
                until(lambda size=size: (place / "data.csv").stat().st_size == size, 0.0005)
                seen.append(time.monotonic() - began)
                time.sleep(_PAUSE_SECS)
        until(lambda: not status()["queue"].get("sending") and not status()["queue"].get("waiting"))
        time.sleep(_REST_SECS)
        after = _cpu(pid)
        calls = _counted(tracer, given["strace"])
        resident = _resident(pid)
    finally:
        master.stop(forcekill=True)
    found = {"user": after[0] - before[0], "system": after[1] - before[1], "calls": calls, "resident": resident}
    print(json.dumps({**found, "seen": statistics.median(seen) if seen else None}))


def _cpu(pid: int) -> tuple[float, float]:
    """User and system seconds of a process, its threads that have ended included (proc(5))."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) / _TICKS, int(fields[12]) / _TICKS


def _resident(pid: int) -> int:
    """KiB of a process in memory (proc(5))."""
    rows = dict(row.split(":", 1) for row in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(rows["VmRSS"].split()[0])


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
