"""Random kills, a thousand in a run, and other faults between them; after about ten of them everything must be there."""

from __future__ import annotations

import os
import signal
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from pysubtask.testing.link.relay import Relay
from pysubtask.testing.servers.sshd import OpenSSHServer, openssh_server

from ..profiles import ServerProfile
from .calls import Call, percentile, read_calls
from .compare import Difference
from .plan import KILLS, OTHERS, WITH_QUIRKS, Fault, is_kill, rounds
from .processes import Uses, is_running, send, uses
from .quirk_daemon import QuirkDaemon, quirk_daemon
from .reader import Twice
from .report import Row
from .station import TortureStation

LONGEST_CALL_SECS = 0.005
_FIND_SECS = 5.0
_MORE_MEMORY = 24 * 1024
_MORE_FILES = 8
_FAULT_SECS = 8  # how long the longest of them lasts, with what follows from it


class Result(NamedTuple):
    """``rows`` for the table; ``problems`` in words, none where all is well; ``notes``: figures in words."""

    rows: list[Row]
    problems: list[str]
    notes: list[str]


class RandomKills:
    """One run. ``say`` takes a line of progress."""

    def __init__(self, station: TortureStation, say: Callable[[str], None]) -> None:
        self.station = station
        self._say = say
        self._later: list[tuple[float, Callable[[], object]]] = []
        self._app_due = 0.0
        self.tried: Counter[str] = Counter()
        self.not_found: Counter[str] = Counter()
        self.lost: list[str] = []
        self.left: list[str] = []
        self.unlike: list[str] = []
        self._hit: list[tuple[float, str]] = []
        self._first: Uses | None = None
        self._uses: list[Uses] = []
        self._bad: Counter[str] = Counter()
        self._weights = {**KILLS, **OTHERS} if station.profile is None else WITH_QUIRKS

    @property
    def kills(self) -> int:
        """How many kills were carried out so far."""
        return sum(count for kind, count in self.tried.items() if is_kill(kind))

    def run(self, minutes: float, kills: int) -> None:
        """Until so many kills are done, or the time is over."""
        deadline = time.monotonic() + minutes * 60
        self.station.heal()
        self.station.start_app()
        self.station.reader.start()
        self._after_round(Counter())
        for number, faults in enumerate(rounds(self.station.seed, self._weights), 1):
            before = Counter(self.tried)
            for fault in faults:
                self._wait(fault.pause)
                self._do(fault)
                if self.kills >= kills or time.monotonic() > deadline:
                    break
            begun = time.monotonic()
            self._wait(0.1)
            self._put_right()
            self._after_round(self.tried - before)
            self._say(
                f"round {number}: {self.kills} kills, calm after {time.monotonic() - begun:.1f} s, "
                f"{self.station.reader.deliveries} deliveries, lost {len(self.lost)}, torn {len(self.station.reader.torn)}, "
                f"left over {len(self.left)}, sent twice {len(self.station.reader.twice)}"
            )
            if self.kills >= kills or time.monotonic() > deadline:
                return

    def _after_round(self, tried: Counter[str]) -> None:
        difference, page = self.station.calm()
        used = uses(page.get("pid", 0))
        if used is not None:
            self._first = self._first or used
            self._uses.append(used)
        self._note(difference, tried)
        if difference.none:
            self.station.resume()

    def _note(self, difference: Difference, tried: Counter[str]) -> None:
        self.lost += difference.missing
        self.left += difference.left
        self.unlike += difference.receipts
        if not difference.none:
            self._bad += tried
            self._say(f"WRONG after {dict(tried)}: {difference}")
            raise Ended("what was notified is not there")

    # ---- the faults

    def _do(self, fault: Fault) -> None:
        what = _FAULTS[fault.kind](self, fault)
        if what:
            self.tried[fault.kind] += 1
            self._hit.append((time.monotonic(), fault.kind))
        else:
            self.not_found[fault.kind] += 1

    def _kill(self, find: Callable[[], list[int]]) -> bool:
        pids = self._find(find)
        hit = [send(pid) for pid in pids]
        return any(hit)

    def _find(self, find: Callable[[], list[int]]) -> list[int]:
        deadline = time.monotonic() + _FIND_SECS
        while True:
            found = [pid for pid in find() if pid]
            if found or time.monotonic() > deadline:
                return found
            self._wait(0.02)

    def kill_child(self, fault: Fault) -> bool:
        """SIGKILL for the child; whether there was one."""
        return self._kill(lambda: [self.station.child()])

    def kill_app(self, fault: Fault) -> bool:
        """SIGKILL for the app, which is started again later; whether there was one."""
        found = self._find(
            lambda: [self.station.app.pid if self.station.app is not None and self.station.app.poll() is None else 0]
        )
        if found:
            send(found[0])
            assert self.station.app is not None
            self.station.app.wait()
            self._app_due = time.monotonic() + fault.secs / 10
        return bool(found)

    def kill_guard(self, fault: Fault) -> bool:
        """SIGKILL for the guard of the child, which ends then; whether there was one."""
        return self._kill(lambda: [self.station.guard()])

    def kill_both(self, fault: Fault) -> bool:
        """SIGKILL for the child and its guard; whether there was one of them."""
        return self._kill(lambda: [self.station.guard(), self.station.child()])

    def kill_ssh(self, fault: Fault) -> bool:
        """SIGKILL for the child's ``ssh``; whether there was one."""
        return self._kill(lambda: [self.station.ssh()])

    def kill_sftp(self, fault: Fault) -> bool:
        """SIGKILL for a process that serves SFTP; whether there was one."""
        return self._kill(self._sftp_pids)

    def _sftp_pids(self) -> list[int]:
        return self.station.sshd.sftp_pids() if isinstance(self.station.sshd, OpenSSHServer) else []

    def kill_session(self, fault: Fault) -> bool:
        """SIGKILL for sshd's process of a session; whether there was one."""

        def sessions() -> list[int]:
            return [pid for pid in self.station.sshd.session_pids() if is_running(pid)]

        return self._kill(sessions)

    def kill_sshd(self, fault: Fault) -> bool:
        """SIGKILL for sshd with all its sessions; it is started again at once."""
        self.station.sshd.kill()
        self.station.sshd.start()
        return True

    def stop_child(self, fault: Fault) -> bool:
        """SIGSTOP for the child, and SIGCONT later; whether there was one."""
        return self._stopped(lambda: [self.station.child()], fault.secs)

    def stop_sftp(self, fault: Fault) -> bool:
        """SIGSTOP for a process that serves SFTP, and SIGCONT later; whether there was one."""
        return self._stopped(self._sftp_pids, fault.secs * 2)

    def stop_server(self, fault: Fault) -> bool:
        """SIGSTOP for a server that is one process, and SIGCONT later; whether there was one."""
        return self._stopped(self.station.server_pids, fault.secs * 2)

    def _stopped(self, find: Callable[[], list[int]], secs: float) -> bool:
        if sys.platform == "win32":
            raise NotImplementedError
        pids = [pid for pid in self._find(find) if send(pid, signal.SIGSTOP)]
        self._at(secs, lambda: [send(pid, signal.SIGCONT) for pid in pids])
        return bool(pids)

    def cut(self, fault: Fault) -> bool:
        """End every connection, by a reset or in order; whether there was one."""
        there = bool(self.station.relay.connections)
        self.station.relay.cut_all("fin" if fault.down else "rst")
        return there

    def cut_at_a_byte(self, fault: Fault) -> bool:
        """End the connection after a number of bytes in one direction; whether they came within 2 s."""
        drops = self.station.relay.drops
        self.station.relay.drop("down" if fault.down else "up", fault.byte // 20 if fault.down else fault.byte, scope="total")
        self._wait_for(lambda: self.station.relay.drops > drops, 2.0)
        return self.station.relay.drops > drops

    def handshake(self, fault: Fault) -> bool:
        """Reset every connection, and the next one early; whether it came within 2 s."""
        drops = self.station.relay.drops
        self.station.relay.cut_all()
        self.station.relay.drop("down" if fault.down else "up", fault.byte)
        self._wait_for(lambda: self.station.relay.drops > drops, 2.0)
        return self.station.relay.drops > drops

    def half_open(self, fault: Fault) -> bool:
        """Stall the connections that are open, and let new ones pass; whether there was one."""
        connections = self.station.relay.connections
        for connection in connections:
            connection.stall()
        return bool(connections)

    def refused(self, fault: Fault) -> bool:
        """Refuse connections for a while, and reset those that are open."""
        self.station.relay.refuse()
        self.station.relay.cut_all()
        self._at(fault.secs / 2, self.station.relay.accept)
        return True

    def stalled(self, fault: Fault) -> bool:
        """Stall the link for a while."""
        self.station.relay.stall()
        self._at(fault.secs, self.station.relay.thaw)
        return True

    # ---- time

    def _at(self, secs: float, do: Callable[[], object]) -> None:
        self._later.append((time.monotonic() + secs, do))

    def _wait(self, secs: float) -> None:
        self._wait_for(lambda: False, secs)

    def _wait_for(self, condition: Callable[[], bool], secs: float) -> None:
        """Wait for the condition; meanwhile the app is started again and stopped processes go on when that is due."""
        until = time.monotonic() + secs
        while True:
            now = time.monotonic()
            due = [item for item in self._later if item[0] <= now]
            self._later = [item for item in self._later if item[0] > now]
            for _, do in due:
                do()
            if now >= self._app_due:
                self.station.start_app()
            if condition() or now >= until:
                return
            time.sleep(min(0.01, until - now))

    def _put_right(self) -> None:
        for _, do in self._later:
            do()
        self._later = []
        self._app_due = 0.0
        self.station.heal()

    # ---- the result

    def result(self) -> Result:
        """The rows, problems and notes of the run, once it is over."""
        reader = self.station.reader
        calls = read_calls(str(self.station.root))
        problems = [f"lost: {name}" for name in self.lost] + [f"torn: {text}" for text in reader.torn]
        problems += [f"left over: {name}" for name in self.left] + self.unlike
        problems += _problems_of_calls(calls) + self._problems_of_uses()
        problems += self._problems_of_twice()
        rows = [Row(kind, self.tried[kind], self.tried[kind] - self._bad[kind]) for kind in self._weights if self.tried[kind]]
        bad = sum(count for kind, count in self._bad.items() if is_kill(kind))
        total = Row(
            "all kills of one run",
            self.kills,
            self.kills - bad,
            len(self.lost),
            len(reader.torn),
            len(self.left),
            len(reader.twice),
            f"{reader.deliveries:,} deliveries",
        )
        return Result([*rows, total], problems, [*_notes_of_calls(calls), *self._notes(), *self._twice()])

    def _problems_of_twice(self) -> list[str]:
        """The contents that were sent twice, except where the server forces that."""
        reader, profile = self.station.reader, self.station.profile
        if profile is None:
            many = reader.deliveries and len(reader.twice) >= reader.deliveries / 100
            return [f"{len(reader.twice)} of {reader.deliveries} deliveries sent twice: 1 % or more"] if many else []
        found = [one for one in reader.twice.values() if not (profile.sends_again and self._faults_of(one))]
        return [self._text_of(one) for one in found]

    def _twice(self) -> list[str]:
        return [self._text_of(one) for one in self.station.reader.twice.values()]

    def _text_of(self, one: Twice) -> str:
        return f"sent twice: {one.name}, {one.how}, after {', '.join(self._faults_of(one)[-3:]) or 'no fault'}"

    def _faults_of(self, one: Twice) -> list[str]:
        """The faults about the time of its first arrival, by which the answer or the record of it may be lost."""
        return [
            f"{kind} ({one.at - when:.1f} s before)"
            for when, kind in self._hit
            if one.first - _FAULT_SECS < when < min(one.at, one.first + _FAULT_SECS)
        ]

    def _problems_of_uses(self) -> list[str]:
        if self._first is None or not self._uses:
            return ["the child was never seen"]
        memory, files = max(used.memory for used in self._uses), max(used.files for used in self._uses)
        return (
            [f"the child's memory rose from {self._first.memory} to {memory} KiB"]
            if memory > self._first.memory + _MORE_MEMORY
            else []
        ) + (
            [f"the child's open files rose from {self._first.files} to {files}"] if files > self._first.files + _MORE_FILES else []
        )

    def _notes(self) -> list[str]:
        reader = self.station.reader
        notes = [f"{reader.contents_read:,} versions and beginnings read on the server; {self.station.lives} lives of the app"]
        if self._first is not None:
            memory = statistics.median(used.memory for used in self._uses)
            files = statistics.median(used.files for used in self._uses)
            most = max(used.memory for used in self._uses), max(used.files for used in self._uses)
            notes.append(
                f"child at rest: {self._first.memory} KiB and {self._first.files} open files at first, "
                f"median {memory:.0f} and {files:.0f}, at most {most[0]} and {most[1]}"
            )
        profile = self.station.profile
        if profile is not None:
            notes.append(f"{profile.name}: {profile.promises}")
            notes.append(
                f"seen: {reader.gaps} times a name without its file, at most {self.station.litter} temporary files at rest"
            )
        if self.not_found:
            notes.append("nothing there to hit: " + ", ".join(f"{kind} {count}" for kind, count in self.not_found.items()))
        return notes


class Ended(Exception):
    """The run cannot go on; the text is the reason."""


_FAULTS: dict[str, Callable[[RandomKills, Fault], bool]] = {
    "kill child": RandomKills.kill_child,
    "kill app": RandomKills.kill_app,
    "kill guard": RandomKills.kill_guard,
    "kill child and guard": RandomKills.kill_both,
    "kill ssh": RandomKills.kill_ssh,
    "kill sftp-server": RandomKills.kill_sftp,
    "kill sshd's session": RandomKills.kill_session,
    "kill sshd": RandomKills.kill_sshd,
    "stop child for a while": RandomKills.stop_child,
    "stop sftp-server for a while": RandomKills.stop_sftp,
    "cut the link": RandomKills.cut,
    "reset in mid-handshake": RandomKills.handshake,
    "half-open link": RandomKills.half_open,
    "cut at a byte": RandomKills.cut_at_a_byte,
    "connections refused": RandomKills.refused,
    "stalled link": RandomKills.stalled,
    "kill server": RandomKills.kill_sshd,
    "stop server for a while": RandomKills.stop_server,
}


def _problems_of_calls(calls: list[Call]) -> list[str]:
    late = percentile((call.own_secs for call in calls), 0.99)
    raised = sum(call.raised for call in calls)
    return ([f"{raised} calls of the app raised"] if raised else []) + (
        [f"p99 of the app's calls: {late * 1000:.2f} ms"] if late >= LONGEST_CALL_SECS else []
    )


def _notes_of_calls(calls: list[Call]) -> list[str]:
    notes = []
    for kind in ("notify", "check", "status"):
        of_kind = [call for call in calls if call.kind == kind]
        wall, own = [call.secs * 1000 for call in of_kind], [call.own_secs * 1000 for call in of_kind]
        if of_kind:
            notes.append(
                f"{len(of_kind):,} calls of {kind}: p50 {percentile(wall, 0.5):.2f} ms, "
                f"p99 {percentile(wall, 0.99):.2f} ms, longest {max(wall):.1f} ms; "
                f"without the wait for a processor p99 {percentile(own, 0.99):.2f} ms, "
                f"longest {max(own):.1f} ms; "
                f"{sum(call.raised for call in of_kind)} raised"
            )
    return notes


def run_random_kills(
    minutes: float, seed: int, kills: int, say: Callable[[str], None], keep: bool = False, profile: ServerProfile | None = None
) -> Result:
    """A whole run in a folder of its own. With ``keep`` the folder stays where a problem was found. ``profile``: the requests
    that the server refuses; None for OpenSSH."""
    with tempfile.TemporaryDirectory(prefix="pysubtask-torture-", ignore_cleanup_errors=True) as folder:
        root = Path(folder)
        started = openssh_server(root / "sshd") if profile is None else quirk_daemon(root / "sshd", profile)
        with started as sshd, Relay("127.0.0.1", sshd.port) as relay:
            result = _run(root, sshd, relay, minutes, seed, kills, say)
        if keep and result.problems:
            kept = f"{folder}-kept"
            os.rename(folder, kept)
            os.mkdir(folder)
            say(f"kept: {kept}")
        return result


def _run(
    root: Path, sshd: OpenSSHServer | QuirkDaemon, relay: Relay, minutes: float, seed: int, kills: int, say: Callable[[str], None]
) -> Result:
    station = TortureStation(root, sshd, relay, seed)
    run = RandomKills(station, say)
    try:
        run.run(minutes, kills)
    except Ended as exc:
        print(f"ended: {exc}", file=sys.stderr)  # noqa: T201
    finally:
        station.close()
    return run.result()
