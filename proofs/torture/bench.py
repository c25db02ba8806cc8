"""A station for one fault at a time: the master in this process, its real child, a folder that the server shows."""

from __future__ import annotations

import contextlib
import os
import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from pysubtask.common import restarts
from pysubtask.common.entry_types import WatchEntry
from pysubtask.common.events import read_events
from pysubtask.common.receipts import read_receipts
from pysubtask.common.status import read_status
from pysubtask.master.task_master import TaskMaster
from pysubtask.testing.servers.sshd import OpenSSHServer, openssh_server

from .calls import Recorder, percentile, read_calls
from .compare import Difference, Digests, compare, data_files
from .processes import Uses, send, uses
from .report import Row

_SECS = 60.0
_LEFT = ("HostSFTPPath", "HostFTPPath", "Password", "SSHProgram")


class Outcome(NamedTuple):
    """What one script found: ``tried``, ``survived``, ``lost``, ``torn``, ``left``, ``twice`` and ``note`` are those of
    ``Row``."""

    tried: int
    survived: int
    lost: int = 0
    torn: int = 0
    left: int = 0
    twice: int = 0
    note: str = ""

    def row(self, fault: str) -> Row:
        """The row of the table for this fault."""
        return Row(fault, *self)


class Bench:
    """``login``: the ftp section's settings of the server; ``server``: the folder in which the files must arrive. ``a.csv`` and
    ``b.csv`` are named files, whatever comes into ``box`` is new. ``notes``: where the durations of calls are written."""

    def __init__(self, root: Path, server: Path, login: dict[str, Any], *, notes: Path | None = None, **base: Any) -> None:
        self.root, self.server, self.notes = root, server, str(notes or root)
        self.data, self.box = root / "data", root / "data" / "box"
        self.box.mkdir(parents=True, exist_ok=True)
        self.state = self.data / ".pysubtask" / "main" / "ftp"
        self.bak = self.data / "upload" / "ftp"
        self.ftp: dict[str, Any] = {key: value for key, value in login.items() if key not in _LEFT or value is not None}
        self.ftp = {
            "TimerIntervalSecs": 0.2,
            "StallSecs": 3,
            "ConnectTimeoutSecs": 8,
            **self.ftp,
            "Subtask_Log_FileName": str(Path(self.notes) / "child.log"),
        }
        self.base: dict[str, Any] = {
            "RetryWaitSecs": 0.1,
            "RetryLongWaitSecs": 0.5,
            "ParkedRetrySecs": 1,
            "StopWaitSecs": 2,
            "LoginsPerMinute": 0,
            "ArchiveToFolder": None,
            "MinFreeBytes": 0,
            **base,
        }
        self.calls = Recorder(self.notes)
        self._digests = Digests()
        self.master = self._make()

    def _make(self) -> TaskMaster:
        entries: list[WatchEntry] = [{"file": str(self.data / name)} for name in ("a.csv", "b.csv")]
        entries.append({"dir": str(self.box), "settle_secs": 0.1})
        config = {"base": self.base, "ftp": self.ftp}
        return TaskMaster(entries, config, LogFileName=os.path.join(self.notes, "master.log"), LogToConsole=False)

    def again(self, **ftp: Any) -> None:
        """Stop the master at once, and start a new one with other settings."""
        self.master.stop(forcekill=True)
        self.ftp.update(ftp)
        self.master = self._make()
        self.master.start()

    # ---- the app

    def write(self, name: str, data: bytes, *, more: bool = False) -> None:
        """Write a file of the data folder, and notify it where it is a named one."""
        path = self.data / name
        if more:
            with open(path, "ab") as file:
                file.write(data)
        else:
            fresh = self.root / "fresh"
            fresh.write_bytes(data)
            os.replace(fresh, path)
        if "/" not in name:
            self.notify(name)

    def notify(self, name: str) -> None:
        """Notify a file, and time the call."""
        self.calls.time("notify", lambda: self.master.notify_file(str(self.data / name)))

    def wait(self, condition: Callable[[], Any], secs: float = _SECS) -> bool:
        """Wait until the condition holds or the time is over, and return whether it holds. The app makes its calls
        meanwhile."""
        deadline = time.monotonic() + secs
        while not condition():
            if time.monotonic() > deadline:
                return False
            self.calls.time("check", self.master.check_pending_notifications)
            time.sleep(0.02)
        return True

    def pause(self, secs: float) -> None:
        """Let the app make its calls for so many seconds."""
        self.wait(lambda: False, secs)

    # ---- what is to be seen

    def page(self) -> dict[str, Any]:
        """The child's status page, empty where there is none."""
        return read_status(str(self.state)) or {}

    def kinds(self) -> Counter[str]:
        """How many events of each kind."""
        return Counter(event.kind for event in read_events(str(self.state)))

    def pid(self) -> int:
        """The pid of the living child; 0 where there is none yet."""
        status = self.calls.time("status", self.master.status)
        return next((child.pid or 0 for child in status.children if child.alive), 0) if status else 0

    def kill(self) -> None:
        """SIGKILL the child, as soon as there is one."""
        self.wait(self.pid, 20)
        send(self.pid())

    def used(self) -> Uses | None:
        """The memory and the open files of the child."""
        return uses(self.pid())

    def idle(self) -> bool:
        """Whether the child's queue is known and empty."""
        queue = self.page().get("queue") or {}
        return bool(queue) and not any(queue.get(state) for state in ("waiting", "sending", "parked"))

    def same(self, *names: str) -> bool:
        """Whether these files are on the server byte for byte."""
        return all(
            self._digests.of(str(self.server / Path(name).name)) == self._digests.of(str(self.data / name)) for name in names
        )

    def receipted(self, name: str) -> bool:
        """Whether there is a receipt of the file as it is."""
        digest = self._digests.of(str(self.data / name))
        return any((receipt.name, receipt.digest) == (name, digest) for receipt in read_receipts(str(self.state)))

    def arrived(self, *names: str, secs: float = _SECS) -> bool:
        """Wait until these files are on the server byte for byte; whether they are."""
        return self.wait(lambda: self.same(*names), secs)

    def difference(self) -> Difference:
        """Compare everything, as it is now."""
        files = data_files([str(self.data), str(self.box)])
        return compare(files, str(self.server), str(self.bak), str(self.state), self._digests)

    def settle(self, secs: float = _SECS) -> Difference:
        """Wait until everything has arrived and nothing is queued, then stop the child in order; the differences."""
        self.wait(lambda: self.idle() and self.difference().none, secs)
        self.calls.time("check", self.master.check_pending_notifications)
        self.master.stop(forcekill=False)
        return self.difference()

    def twice(self) -> int:
        """Contents with more than one receipt that had bytes."""
        seen = Counter((receipt.name, receipt.digest) for receipt in read_receipts(str(self.state)) if receipt.bytes_sent)
        return sum(count - 1 for count in seen.values())

    def outcome(self, tried: int, survived: int | None = None, note: str = "", secs: float = _SECS) -> Outcome:
        """Settle, and judge. ``survived`` None: all, where all is there."""
        difference = self.settle(secs)
        calls = read_calls(self.notes)
        raised, late = sum(call.raised for call in calls), percentile((call.own_secs for call in calls), 0.99)
        whole = difference.none and not raised
        remarks = [note] if note else []
        remarks += [f"{raised} calls raised"] if raised else []
        remarks += [f"p99 of the app's calls {late * 1000:.1f} ms"] if late >= 0.005 else []
        remarks += [f"{part}" for part in (difference.missing[:3], difference.left[:3], difference.receipts[:3]) if part]
        return Outcome(
            tried,
            (tried if survived is None else survived) if whole else 0,
            len(difference.missing),
            0,
            len(difference.left),
            self.twice(),
            "; ".join(remarks),
        )

    def close(self) -> None:
        """Kill the child."""
        self.master.stop(forcekill=True)


class Lab:
    """The things that a script gets: a folder of its own, random numbers by the seed, benches and servers."""

    def __init__(self, root: Path, seed: str, stack: contextlib.ExitStack, sample: bool = False) -> None:
        self.root, self.stack, self._sample = root, stack, sample
        self.chance = random.Random(seed)

    def times(self, often: int, few: int) -> int:
        """How often a try is repeated: ``few`` times in a sample."""
        return few if self._sample else often

    def sshd(self, **options: Any) -> OpenSSHServer:
        """A running OpenSSH server, ended with the lab; ``options``: of ``openssh_server``."""
        return self.stack.enter_context(openssh_server(self.root / "sshd", **options))

    def bench(self, server: Path, login: dict[str, Any], *, root: Path | None = None, **base: Any) -> Bench:
        """A station whose master is started."""
        place = self.root / "station" if root is None else root
        place.mkdir(exist_ok=True)
        bench = Bench(place, server, login, notes=self.root, **base)
        self.stack.callback(bench.close)
        bench.master.start()
        return bench

    def ssh_bench(
        self,
        sshd: OpenSSHServer,
        *,
        port: int = 0,
        root: Path | None = None,
        folder: str = "in",
        ftp: dict[str, Any] | None = None,
        **base: Any,
    ) -> Bench:
        """A station that sends to this sshd, by way of ``port`` where one is given."""
        login = sshd.settings(HostPath=folder, HostKey=sshd.host_key, KnownHostsFile=None, StallSecs=3, ConnectTimeoutSecs=8)
        if port:
            login["HostPort"] = port
        (sshd.files / folder).mkdir(exist_ok=True)
        return self.bench(sshd.files / folder, {**login, **(ftp or {})}, root=root, **base)


def _restarts_after(first: float, longest: float) -> None:
    """How long a dead child is left alone: not as long as on an edge machine that is to be spared."""
    restarts.FIRST_WAIT_SECS, restarts.LONGEST_WAIT_SECS = first, longest


@contextlib.contextmanager
def lab(seed: str, sample: bool = False) -> Iterator[Lab]:
    """A lab in a folder that is removed with all that runs in it; ``sample``: what can be tried less often is."""
    with contextlib.ExitStack() as stack:
        stack.callback(_restarts_after, restarts.FIRST_WAIT_SECS, restarts.LONGEST_WAIT_SECS)
        _restarts_after(0.1, 0.5)
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="pysubtask-torture-", ignore_cleanup_errors=True))
        yield Lab(Path(folder), seed, stack, sample)
