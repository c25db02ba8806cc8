"""Small things that many tests need."""

from __future__ import annotations

import contextlib
import glob
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import TypeVar

_T = TypeVar("_T")


def wait_until(condition: Callable[[], _T], secs: float = 60, what: str = "the condition") -> _T:
    """Ask until the answer is true and return it; AssertionError after ``secs``, with the last answer.

    An AssertionError inside ``condition`` counts as "not yet", and so does a file that went away while it was looked for.
    """
    deadline = time.monotonic() + secs
    while True:
        begun = time.thread_time()
        last: object
        try:
            answer = condition()
            if answer:
                return answer
            last = answer
        except (AssertionError, FileNotFoundError) as exc:
            last = exc
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {secs} s; the last answer was {last!r}")
        # Who waits for somebody else leaves him the processor: a condition that is dear to ask is asked less often.
        time.sleep(min(max(0.01, 4 * (time.thread_time() - begun)), 0.2))


@contextlib.contextmanager
def command_lines() -> Iterator[set[bytes]]:
    """The command lines of all processes of this machine, seen while it lasts."""
    seen: set[bytes] = set()
    stop = threading.Event()

    def read_processes() -> None:
        while not stop.is_set():
            for path in glob.glob("/proc/[0-9]*/cmdline"):
                # A process may end as it is looked at.
                with contextlib.suppress(OSError), open(path, "rb") as file:
                    seen.add(file.read())

    looker = threading.Thread(target=read_processes)
    looker.start()
    try:
        yield seen
    finally:
        stop.set()
        looker.join()


def calls_of(act: Callable[[], object]) -> Counter[str]:
    """What one run of ``act`` calls on this thread: 'posix.open' and so on for the system, 'python' and 'builtin' for the rest.
    A cost that no other program on the machine can change."""
    calls: Counter[str] = Counter()

    def note(_frame: object, event: str, what: object) -> None:
        if event == "call":
            calls["python"] += 1
        elif event == "c_call":
            module = getattr(what, "__module__", None)
            calls[f"posix.{what.__name__}" if module == "posix" else "builtin"] += 1  # type: ignore[attr-defined]

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        act()
    finally:
        sys.setprofile(before)
    return calls


def of_the_system(calls: Counter[str]) -> int:
    """How many of them are calls into the system."""
    return sum(count for name, count in calls.items() if name.startswith("posix.") and name != "posix.fspath")
