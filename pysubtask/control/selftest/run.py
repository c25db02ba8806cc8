"""A whole selftest: a task of its own with the user's settings, generated data, troubles and a report."""

from __future__ import annotations

import os
import random
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ...common import registry
from ...common.entry_types import WatchEntry
from ...common.receipts import read_receipts
from ...common.status import read_status
from ...master.task_master import TaskMaster
from ...testing.link.relay import Relay
from ...transports import transport_class
from ..doctor.source import Target, as_sections
from . import trouble as troubles
from .feed import FOLDER, Feed
from .link import Link, open_link
from .reader import Reader, try_to
from .report import Report, delivered_twice, kinds
from .trouble import KeyFault, schedule

_TICK_SECS = 0.05  # the loop of the test
_GROW_SECS, _PUT_SECS, _CHECK_SECS = 0.5, 1.5, 1.0  # between two growths, new files and readings
_ARRIVE_SECS = 45.0  # for the last files to arrive after the troubles
_RETRY_SECS, _STALL_SECS = 0.5, 5.0  # shorter than the defaults, so that a short test sees many retries
_LINK = (troubles.CUT, troubles.DROP, troubles.STALL, troubles.REFUSE, troubles.KILL)
Say = Callable[[str], None]


class SelfTest:
    """The test of one destination for ``secs`` seconds. ``say`` gets a line for each event."""

    def __init__(self, target: Target, secs: float, seed: int, say: Say) -> None:
        self._target, self._secs, self._seed, self._say = target, secs, seed, say
        self._tag = f"pysubtask-selftest-{random.Random().randbytes(4).hex()}"

    def run(self) -> Report:
        """Run the test. Raises PysubtaskError where the server cannot be reached at all ('pysubtask doctor' finds the cause)."""
        with _private_registry(), tempfile.TemporaryDirectory(prefix="pysubtask-selftest-") as folder:
            link = open_link(self._target, folder)
            try:
                return self._through(link, folder)
            finally:
                if link.relay is not None:
                    link.relay.close()

    def _through(self, link: Link, folder: str) -> Report:
        feed = Feed(os.path.join(folder, "data"), self._seed)
        direct = self._below(self._target.settings)
        reader = Reader(self._target.transport, direct, os.path.join(folder, "reader"), feed)
        not_cleaned: list[str] = []
        try:
            reader.open()
            master = self._master(self._below(link.settings), feed, folder)
            try:
                report = self._test(master, link, feed, reader, folder)
            finally:
                # The relay forwards again before the master stops, so that the child can remove the temporary files of cut uploads.
                if link.relay is not None:
                    link.relay.heal()
                master.stop(forcekill=True)
                self._say("cleaning up")
                not_cleaned = try_to(reader.clean, [self._tag])
        finally:
            reader.close()
        return report._replace(not_cleaned=tuple(not_cleaned))

    def _below(self, settings: dict[str, Any]) -> dict[str, Any]:
        """The settings with a folder of the test below the destination's."""
        found = dict(settings)
        key = "HostPath"
        for own in ("HostSFTPPath",) if found.get("UseSFTP", True) else ("HostFTPPath",):
            key = own if found.get(own) is not None else key
        before = str(found.get(key) or "").rstrip("/")
        if before == "" and str(found.get(key) or "").startswith("/"):
            before = "/"
        found[key] = f"{before.rstrip('/')}/{self._tag}" if before else self._tag
        return found

    def _master(self, settings: dict[str, Any], feed: Feed, folder: str) -> TaskMaster:
        settings |= {
            "TaskName": self._tag,
            "Master_Log_FileName": None,
            "Subtask_Log_FileName": os.path.join(folder, "child.log"),
            "ArchiveToFolder": None,
            "HeartbeatIntervalSecs": 0,
            "HeartbeatStatus": False,
            "MinFreeBytes": 0,
            "RetryWaitSecs": _RETRY_SECS,
            "RetryLongWaitSecs": 2 * _RETRY_SECS,
            "LoginsPerMinute": 0,
            "TimerIntervalSecs": 0.5,
            "StallSecs": min(_STALL_SECS, float(settings["StallSecs"])),
            "BakToFolder": None if settings["BakToFolder"] is None else "upload",
        }
        config = as_sections(self._target._replace(settings=settings))
        inside = os.path.join(feed.folder, FOLDER)
        entries: list[WatchEntry] = [{"file": feed.path}, {"dir": inside, "as": FOLDER, "settle_secs": 0.2}]
        # Only this destination is tested: the other one is switched off, and the rest of its section does not matter.
        for section, switch in (("ftp", "UseFTP"), ("dropbox", "UseDropbox")):
            if section != self._target.section:
                setattr(config, section, {switch: False})
            else:
                getattr(config, section)[switch] = True
        return TaskMaster(entries, config, LogFileName=None, LogToConsole=False)

    def _test(self, master: TaskMaster, link: Link, feed: Feed, reader: Reader, folder: str) -> Report:
        planned = schedule(self._secs, self._seed, _LINK if link.relay is not None else (troubles.KILL,))
        begun = time.monotonic()
        master.start()
        done = self._feed_it(master, link.relay, feed, reader, planned, begun)
        if link.relay is not None:
            link.relay.heal()
        self._say("nothing is disturbed any more: waiting for what is still under way")
        end = time.monotonic() + _ARRIVE_SECS
        while time.monotonic() < end and try_to(reader.missing, ["?"]):
            master.check_pending_notifications()
            time.sleep(4 * _TICK_SECS)
        secs = time.monotonic() - begun
        lost, left = reader.judge()
        page = next((child.page for child in master.status().children if child.page), None) or {}
        state = os.path.join(feed.folder, ".pysubtask", self._tag, self._target.section)
        receipts = list(read_receipts(state))
        if link.relay is not None:
            on_link: int | None = link.relay.up + link.relay.down
            counted_by = "by the relay, both ways, with logins"
        else:
            counts = [receipt.bytes_on_wire for receipt in receipts]
            on_link = None if None in counts else sum(count or 0 for count in counts)
            counted_by = "by the child, for what it delivered"
        notes = [
            f"RetryWaitSecs, RetryLongWaitSecs and StallSecs were shortened to {_RETRY_SECS:g}, {2 * _RETRY_SECS:g} and at "
            f"most "
            f"{_STALL_SECS:g} s for this"
        ]
        if link.relay is None:
            notes.append(f"{link.why}: the child was killed instead")
        error = (read_status(state) or page).get("last_error") if lost else None
        if error:
            notes.append(f"the child's last error: {error}")
        return Report(
            transport_class(self._target.transport).identity(self._target.settings),
            secs,
            len(feed.sizes()),
            feed.total,
            kinds(done),
            tuple(lost),
            tuple(reader.torn),
            reader.readings,
            delivered_twice(receipts),
            tuple(left),
            on_link,
            counted_by,
            (),
            tuple(notes),
        )

    def _feed_it(
        self, master: TaskMaster, relay: Relay | None, feed: Feed, reader: Reader, planned: list[KeyFault], begun: float
    ) -> list[KeyFault]:
        """Write data and make troubles until the time is over; returns the troubles that were made."""
        waiting, done, over = list(planned), list[KeyFault](), list[tuple[float, KeyFault]]()
        grow = put = next_check = 0.0
        while (now := time.monotonic() - begun) < self._secs:
            if now >= grow:
                grow = now + _GROW_SECS
                feed.grow()
                master.notify_file_by_index(0)
            if now >= put:
                put = now + _PUT_SECS
                feed.put()
            if now >= next_check:
                next_check = now + _CHECK_SECS
                try_to(reader.check, None)
            while waiting and waiting[0].at <= now:
                trouble = waiting.pop(0)
                self._say(f"{now:5.1f} s  {troubles.WORDS[trouble.kind]}")
                self._begin(trouble, relay, master)
                done.append(trouble)
                over.append((now + trouble.secs, trouble))
            for entry in [one for one in over if one[0] <= now]:
                over.remove(entry)
                _end(entry[1], relay)
            master.check_pending_notifications()
            time.sleep(_TICK_SECS)
        return done

    @staticmethod
    def _begin(trouble: KeyFault, relay: Relay | None, master: TaskMaster) -> None:
        if trouble.kind == troubles.KILL:
            for child in master.status().children:
                if child.pid is not None and child.alive:
                    os.kill(child.pid, getattr(signal, "SIGKILL", signal.SIGTERM))
        if relay is None:
            return
        if trouble.kind == troubles.CUT:
            relay.cut_all()
        elif trouble.kind == troubles.DROP:
            relay.drop("up", trouble.after)
        elif trouble.kind == troubles.STALL:
            relay.stall()
        elif trouble.kind == troubles.REFUSE:
            relay.refuse()
            relay.cut_all()


def _end(trouble: KeyFault, relay: Relay | None) -> None:
    if relay is None:
        return
    if trouble.kind == troubles.STALL:
        relay.cut_all()
        relay.thaw()
    elif trouble.kind == troubles.REFUSE:
        relay.accept()


@contextmanager
def _private_registry() -> Iterator[None]:
    """A registry of the test's own, so that 'pysubtask status' does not show the child of a selftest."""
    before = os.environ.get(registry.VARIABLE)
    folder = tempfile.mkdtemp(prefix="pysubtask-selftest-")
    os.environ[registry.VARIABLE] = folder
    try:
        yield
    finally:
        if before is None:
            del os.environ[registry.VARIABLE]
        else:
            os.environ[registry.VARIABLE] = before
        shutil.rmtree(folder, ignore_errors=True)
