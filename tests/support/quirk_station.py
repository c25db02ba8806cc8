"""A station at work on a server with quirks, and what is held to be right whatever the quirks are.

Twenty files and a growing one teach it what the server is like; then as many again are counted. Every file must be there whole,
nothing may be parked that another way could deliver, nothing of ours may be left that the server lets us remove, and what travels
the second time is at most 1.2 times what there is to send.
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from pysubtask.common.events import read_events
from pysubtask.common.receipts import read_receipts
from pysubtask.testing.servers.quirk_ftp import QuirkFTPServer, quirk_ftp_server
from pysubtask.testing.servers.quirk_sftp import QuirkSFTPServer, quirk_sftp_server
from pysubtask.testing.servers.quirks import MINUTE, Switch
from pysubtask.transports.shared.leftover_temps import MOST_RESTING
from tests.support.helpers import wait_until
from tests.support.station import SFTPStation

Server = QuirkSFTPServer | QuirkFTPServer
FILES, APPENDS, REWRITES = 20, 4, 3
FILE, LINE, HEAD, PICTURE = 20_000, 2_000, 30_000, 25_000
MARGIN = 1.2
AT_ONCE = 32
SECS = 30.0
BASE = {
    "RetryWaitSecs": 0.2,
    "RetryLongWaitSecs": 1.0,
    "ParkedRetrySecs": 5,
    "StallSecs": 6,
    "ConnectTimeoutSecs": 8,
    "TimerIntervalSecs": 0.3,
}

WHOLE_APPENDS = ("append", "reads", "visible", "size", "after_publish", "read_write")
"""Quirks with which a file that grew may be sent whole: nobody can go on with it, or be sure of what is there."""

IN_PLACE = ({"no rename at all"}, {"no writing over a file"}, {"stored beside the name"}, {"hidden names refused", "taken away"})
"""With these a file can arrive under its final name only, which ``StoreInPlace`` has to allow (of the last pair, as a temporary
file is taken away, too); or they matter to it alone."""


class Outcome(NamedTuple):
    """What came of it. ``wrong``: names that are not there as they are here; ``parked`` and ``lost``: the reasons of the events;
    ``left``: own files on the server, ``unremoved``: how many of those the page counts; ``sent`` and ``needed``: bytes, of the
    second half; ``twice``: contents that were taken away more than once."""

    wrong: list[str]
    parked: list[str]
    lost: list[str]
    left: list[str]
    unremoved: int
    sent: int
    needed: int
    twice: list[str]
    secs: float


@contextlib.contextmanager
def server_of(protocol: str, root: Path) -> Iterator[Server]:
    if protocol == "sftp":
        with quirk_sftp_server(root / "remote", user="pi") as sftp:
            yield sftp
    else:
        with quirk_ftp_server(root / "remote", tls="explicit" if protocol == "ftps" else None) as ftp:
            yield ftp


def files_of(server: Server) -> Path:
    return Path(server.root) if isinstance(server, QuirkSFTPServer) else server.files


def received(server: Server) -> int:
    """Bytes of files that came so far."""
    return server.bytes_written if isinstance(server, QuirkSFTPServer) else server.stored


class Stuck(Exception):
    """These names do not arrive."""

    def __init__(self, names: list[str]) -> None:
        super().__init__(", ".join(names))
        self.names = names


class QuirkStation(SFTPStation):
    """Its data: pictures in a folder, ``grow.csv``, which is appended to, and ``again.jpg``, which is rewritten."""

    def __init__(self, root: Path, server: Server, **ftp: Any) -> None:
        kept = {"StallSecs", "ConnectTimeoutSecs", "Concurrency", *BASE}
        settings = {key: value for key, value in server.settings().items() if key not in kept}
        data = root / "data"
        data.mkdir(exist_ok=True)
        entries: list[dict[str, Any]] = [
            {"file": str(data / "grow.csv"), "append": True},
            {"file": str(data / "again.jpg")},
            {"dir": str(data / "box"), "on_change": True, "settle_secs": 0.2},
        ]
        self.quirky = server
        self.secs = SECS
        super().__init__(root, files_of(server), {**settings, **ftp}, entries, **BASE)

    def stored(self, name: str) -> bytes | None:
        """What is, or was when it was taken away, under a name of the server."""
        taken = [one.data for one in self.quirky.taken if one.name == name]
        if taken:
            return taken[-1]
        try:
            return (self.server / name).read_bytes()
        except OSError:
            return None

    def rewrite(self, name: str, data: bytes) -> None:
        """At once: the file may be looked at any moment, for a notify of before."""
        fresh = self.data / f".{name}.new"
        fresh.write_bytes(data)
        fresh.replace(self.data / name)

    def there(self, *names: str) -> bool:
        self.master.check_pending_notifications()
        return all(self.stored(os.path.basename(name)) == (self.data / name).read_bytes() for name in names)

    def settled(self) -> bool:
        """Nothing waits, nothing is under way, and the page knows of all that has happened."""
        self.master.check_pending_notifications()  # a child that was killed at the end is started again
        page, queue = self.page(), self.page().get("queue") or {}
        last = max(((event.epoch, event.n) for event in read_events(str(self.state))), default=None)
        known = (page.get("epoch"), page.get("n")) == last
        return known and bool(queue) and not any(queue.get(key) for key in ("waiting", "sending", "parked"))

    def reasons(self, kind: str) -> list[str]:
        found = [event.fields for event in read_events(str(self.state)) if event.kind == kind]
        return [f"{fields.get('name', '')}: {fields.get('reason', '')}" for fields in found]

    def left(self) -> list[str]:
        """Files of ours on the server."""
        known = {"grow.csv", "again.jpg", *os.listdir(self.data / "box")}
        found = [path for path in self.server.rglob("*") if path.is_file() and path.name not in known]
        return sorted(str(path.relative_to(self.server)) for path in found)

    def unremoved(self) -> int:
        """How many files that cannot be removed the page counts."""
        lines = "\n".join(self.page().get("server") or ())
        found = re.search(r"^([\d,]+) temporary files? could not be removed", lines, re.MULTILINE)
        return int(found[1].replace(",", "")) if found else 0

    def work(self, half: str) -> list[str]:
        """One half of the work; the names that must be there."""
        for number in range(FILES):
            self.write(f"box/{half}{number:02d}.bin", os.urandom(FILE))
        if half == "a":
            self.write("grow.csv", os.urandom(HEAD // 2).hex() + "\n")
        names = [f"box/{half}{number:02d}.bin" for number in range(FILES)]
        self.wait(*names)
        for number in range(max(APPENDS, REWRITES)):
            changed = []
            if number < APPENDS:
                self.write("grow.csv", os.urandom(LINE // 2).hex()[:-1] + "\n", "a")
                changed.append("grow.csv")
            if number < REWRITES:
                self.rewrite("again.jpg", os.urandom(PICTURE))
                changed.append("again.jpg")
            for name in changed:
                self.notify(name)
            self.wait(*changed)
        return [*names, "grow.csv", "again.jpg"]

    def wait(self, *names: str) -> None:
        """Until they are there; Stuck where they do not come."""
        try:
            wait_until(lambda: self.there(*names), self.secs, what="the files")
        except AssertionError as exc:
            raise Stuck([name for name in names if not self.there(name)]) from exc


def whole(one: Switch, protocol: str) -> bool:
    """Whether a file that grew may be sent whole: that it is the one it was cannot be known. With StoreInPlace that is so over FTP
    where the server does not keep times, too, as a file under its final name may be half an upload."""
    unsure = set(WHOLE_APPENDS) & one.values.keys() or "early" in one.values.values()
    return bool(unsure) or (protocol != "sftp" and "times" in one.values)


def needed(whole_appends: bool) -> int:
    """The bytes that one half has to bring."""
    size = FILES * FILE + REWRITES * PICTURE
    if not whole_appends:
        return size + APPENDS * LINE
    begun = HEAD + APPENDS * LINE
    return size + sum(begun + (number + 1) * LINE for number in range(APPENDS))


def rest(station: QuirkStation) -> None:
    """A while for what is still under way."""
    with contextlib.suppress(AssertionError):
        wait_until(station.settled, 15, what="rest")


@contextlib.contextmanager
def killing(station: QuirkStation, times: int, seed: int) -> Iterator[None]:
    """The child is killed so many times, at moments drawn by ``seed``; the master starts it again."""
    over, draw = threading.Event(), random.Random(seed)

    def kill() -> None:
        for _ in range(times):
            if over.wait(draw.uniform(0.2, 1.5)):
                return
            with contextlib.suppress(OSError, KeyError):
                os.kill(station.page()["pid"], signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        yield
    finally:
        over.set()
        killer.join()


def run(root: Path, protocol: str, switches: tuple[Switch, ...], kills: int = 0, seed: int = 1) -> Outcome:
    """Let a station work on a server with these switches on; its child is killed so many times as it works."""
    begun = time.monotonic()
    with server_of(protocol, root) as server:
        for one in switches:
            one.turn_on(server.quirks)
        on = {one.name for one in switches}
        in_place = {"StoreInPlace": True} if any(each <= on for each in IN_PLACE) else {}
        station = QuirkStation(root, server, **in_place)
        if kills and any("logins" in one.values for one in switches):
            station.secs += 2 * MINUTE  # each kill costs logins, and the server has few of them
        try:
            station.master.start()
            before, wrong = 0, []
            try:
                with killing(station, kills, seed):
                    names = station.work("a")
                rest(station)
                before = received(server)
                with killing(station, kills, seed + 1):
                    names += station.work("b")
                rest(station)
                wrong = [name for name in names if not station.there(name)]
            except Stuck as exc:
                wrong, names = exc.names, []
            sent = received(server) - before
            rest(station)
            if not station.settled():
                page = station.page()
                wrong.append(f"queue: {page.get('queue')}, {page.get('problem') or page.get('tried_again')}")
            counted = Counter((one.name, one.data) for one in server.taken)
            names_of_receipts = [receipt.name for receipt in read_receipts(str(station.state))]
            wrong += sorted(
                f"no receipt of {os.path.basename(name)}" for name in set(names) if os.path.basename(name) not in names_of_receipts
            )
            return Outcome(
                wrong,
                station.reasons("parked"),
                station.reasons("connection_lost"),
                station.left(),
                station.unremoved(),
                sent,
                needed(any(whole(one, protocol) for one in switches)),
                [name for (name, _), count in counted.items() if count > 1],
                time.monotonic() - begun,
            )
        finally:
            station.close()


MAY_BREAK = ("connections", "logins", "data_end", "reuse", "pasv_address", "open_files")
"""Quirks that end connections themselves, or before the limit is known."""


def problems(outcome: Outcome, switches: tuple[Switch, ...], *, kills: bool = False) -> list[str]:
    """What was not right, in words. After ``kills`` something may have been sent again."""
    set_here = {key for one in switches for key in one.values}
    found = []
    if outcome.wrong:
        found.append(f"wrong or missing: {', '.join(outcome.wrong[:6])} ({len(outcome.wrong)})")
    if outcome.parked:
        found.append(f"{len(outcome.parked)} x parked: {outcome.parked[0][:300]}")
    # pyftpdlib now and then closes a data connection that is there before its command, and then waits for another: one silence.
    silences = [reason for reason in outcome.lost if "no answer for" in reason]
    if outcome.lost and not set_here & set(MAY_BREAK) and (len(outcome.lost) > 1 or not silences):
        found.append(f"{len(outcome.lost)} x connection lost: {outcome.lost[0][:300]}")
    if len(outcome.lost) > 6:
        found.append(f"{len(outcome.lost)} x connection lost: {outcome.lost[-1][:300]}")
    if outcome.left and "delete" not in set_here:
        found.append(f"left on the server: {outcome.left[:4]} ({len(outcome.left)})")
    if "delete" in set_here and outcome.unremoved < len(outcome.left):
        found.append(f"{len(outcome.left)} left on the server, and {outcome.unremoved} are told: {outcome.left}")
    if len(outcome.left) > (MOST_RESTING + AT_ONCE if kills else 8):  # what a kill has cut rests before it is used again
        found.append(f"{len(outcome.left)} left on the server")
    if outcome.sent > MARGIN * outcome.needed and not kills:
        found.append(f"{outcome.sent:,} bytes for {outcome.needed:,}")
    # A file that is notified again as it is copied may be copied twice with the same content.
    pictures = [name for name in outcome.twice if name.startswith(("a", "b")) and name.endswith(".bin")]
    if (pictures or len(outcome.twice) > 3) and not kills:
        found.append(f"handed over twice: {outcome.twice[:4]}")
    return found
