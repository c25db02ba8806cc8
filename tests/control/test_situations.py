"""Every situation a task can be in, and what status reports of it: the state, the sentence, the last error, the remedy.

The table is made of pages; below it the situations that matter most are real, with real children, servers and sockets.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest

from pysubtask.common import registry
from pysubtask.common.errors import DiskLow
from pysubtask.common.events import read_events, utc
from pysubtask.common.remedy import in_words_of, says_more
from pysubtask.common.text import clock
from pysubtask.common.why import not_queued, remedy, why
from pysubtask.control.commands.queue import lines_of
from pysubtask.control.tasks.find import Task
from pysubtask.control.view.status_view import last_error, state_of, status
from pysubtask.control.view.task_status import TaskStatus, task_status
from pysubtask.subtask.status.status_model import StatusModel
from pysubtask.testing import ftp_server
from pysubtask.testing.servers.sshd import OpenSSHServer, fingerprint, make_key, missing, openssh_server
from tests.support.helpers import wait_until
from tests.support.run_station import Run, command
from tests.support.station import SFTPStation

NOW = 1_800_000_000.0
SOON = utc(NOW + 12)
MORE = "`pysubtask doctor` says more."
ONE_MOVES = [{"name": "a", "size": 100, "done": 50}]
REFUSED = {"kind": "connect_failed", "text": "Connection refused: nothing listens at h:21", "remedy": "Is the server up?"}


class Row(NamedTuple):
    """A page and what status reports of it. ``queue``: waiting, sending, parked. ``error``: the line of the last one."""

    name: str
    word: str
    why: str
    remedy: str = ""
    error: str = ""
    state: str = "connected"
    text: str = ""
    queue: tuple[int, int, int] = (0, 0, 0)
    facts: Mapping[str, Any] = MappingProxyType({})
    alive: bool = True
    frozen: bool = False
    ago: float = 1.0


def waiting_for(name: str, kind: str, text: str, sentence: str, advice: str = "", state: str = "waiting", **more: Any) -> Row:
    """A row for something that keeps everything from moving: it is the state's reason, the problem and the last error."""
    problem = {"kind": kind, "text": text, **({"remedy": advice} if advice else {}), **more}
    error = {"at": utc(NOW - 3), "kind": kind, "text": text}
    remedy_text = f"{advice}{'' if advice.endswith('?') else '.'} {MORE[:1]}{MORE[1:]}" if advice else MORE
    return Row(
        name,
        state,
        f"{sentence}, next try in 12 s: {text}.",
        remedy_text,
        f"Last error: 3 s ago: {text}",
        state,
        text,
        (1, 0, 0),
        {"problem": problem, "next_try": SOON, "last_error": error},
    )


UNREADABLE = [{"path": f"/d/{name}.jpg", "reason": f"/d/{name}.jpg: Permission denied"} for name in "abcd"]
READ_ERROR = {"at": utc(NOW - 5), "kind": "source_error", "text": "/d/a.jpg: Permission denied", "about": "/d/a.jpg"}
TABLE = [
    Row("never run", "never run", "No child has run here yet. Its app or 'pysubtask run' starts it.", alive=False, state=""),
    Row("starting", "starting", "The child is starting.", state="starting"),
    Row("the page of another", "starting", "The child is starting.", state="stopped", facts={"pid": 8}),
    Row("begins anew", "starting", "The child is starting, reset by an order.", state="starting", text="reset by an order"),
    Row(
        "no thread",
        "starting",
        "The child is starting, this user may start no more processes.",
        MORE,
        state="starting",
        text="this user may start no more processes",
        facts={"problem": {"kind": "process_limit", "text": "x"}},
    ),
    Row("idle", "idle", "Nothing to send."),
    Row("idle, never connected", "idle", "Nothing to send.", state="watching"),
    Row("resting", "resting", "Nothing to send; the connection rests.", state="resting"),
    Row("queued, not begun", "connecting", "1 file waits to be sent.", state="watching", queue=(1, 0, 0)),
    Row("queued, at rest", "connecting", "2 files wait to be sent.", state="resting", queue=(2, 0, 0)),
    Row("connecting", "connecting", "Connecting.", state="connecting"),
    Row("connecting with a queue", "connecting", "Connecting; 3 files wait to be sent.", state="connecting", queue=(3, 0, 0)),
    Row("connected with a queue", "sending", "3 files wait to be sent.", queue=(3, 0, 0)),
    Row("sending", "sending", "Sending 1 file.", queue=(0, 1, 0), facts={"moving": ONE_MOVES}),
    Row(
        "stalled",
        "stalled",
        "Sending 1 file, but nothing was acknowledged for 40 s.",
        queue=(0, 1, 0),
        facts={"moving": ONE_MOVES, "at": utc(NOW - 40)},
    ),
    waiting_for(
        "refused",
        "connect_failed",
        "Connection refused: nothing listens at h:21",
        "There is no connection",
        "Is the server up, and is HostPort right?",
    ),
    waiting_for(
        "timed out",
        "connect_failed",
        "Connection timed out: h:21 does not answer within 20 s",
        "There is no connection",
        "Is the server up?",
    ),
    waiting_for(
        "no name",
        "connect_failed",
        "the name h cannot be resolved (Name or service not known)",
        "Waiting for the network",
        "Is Host written right?",
    ),
    waiting_for(
        "no route",
        "connect_failed",
        "there is no way to the network of h:21 (Network is unreachable)",
        "Waiting for the network",
        "Is the network of this machine up?",
    ),
    waiting_for("TLS failed", "connect_failed", "what answers at h:21 is not TLS", "There is no connection", "Set ftp.UseTLS"),
    waiting_for("no banner", "connect_failed", "no login within 21 s at h:22", "There is no connection"),
    waiting_for(
        "another protocol",
        "connect_failed",
        "this looks like an FTP server, not SSH: h:21",
        "There is no connection",
        "Write UseSFTP = false",
    ),
    waiting_for("busy", "server_busy", "too many requests", "The server asks for a pause"),
    waiting_for("lost", "connection_lost", "Connection reset by peer", "The connection was lost"),
    waiting_for(
        "wrong password",
        "login_refused",
        "530 Login incorrect",
        "The login is refused, so everything is held and nothing is lost",
        "Check ftp.User and ftp.Password",
        "held",
    ),
    waiting_for(
        "wrong key",
        "login_refused",
        "Permission denied (publickey)",
        "The login is refused, so everything is held and nothing is lost",
        "Check KeyFile",
        "held",
    ),
    waiting_for(
        "unknown host key",
        "server_not_trusted",
        "the host key of h:22 is not known here; its fingerprint is SHA256:x",
        "Host key not known, so everything is held and nothing is lost",
        'Write HostKey = "SHA256:x"',
        "held",
        headline="host key not known",
    ),
    waiting_for(
        "changed host key",
        "server_not_trusted",
        "the server h:22 shows another host key",
        "Host key changed, so everything is held and nothing is lost",
        'Write HostKey = "SHA256:x"',
        "held",
        headline="host key changed",
    ),
    waiting_for(
        "missing library",
        "login_refused",
        "ftp.SSHProgram: there is none",
        "A setting cannot be used, so everything is held and nothing is lost",
        "Install it",
        "held",
        headline="a setting cannot be used",
    ),
    Row(
        "paused",
        "paused",
        "Paused by ana; 'pysubtask resume' lets it go on.",
        state="paused",
        queue=(5, 0, 0),
        facts={"paused": [{"name": None, "who": "ana"}]},
    ),
    Row(
        "one paused",
        "idle",
        "Nothing to send; 1 file paused one by one ('pysubtask queue' says by whom).",
        queue=(1, 0, 0),
        facts={"paused": [{"name": "a", "who": "ana"}]},
    ),
    Row(
        "parked",
        "parked",
        "Nothing to send; the server refuses 2 files ('pysubtask queue' says why).",
        MORE,
        "Last error: 9 s ago: a: no room",
        queue=(0, 0, 2),
        facts={"last_error": {"at": utc(NOW - 9), "kind": "parked", "text": "a: no room"}},
    ),
    Row(
        "one unreadable",
        "unreadable",
        "Nothing to send; 1 file cannot be read: a.jpg.",
        MORE,
        "Last error: 5 s ago: /d/a.jpg: Permission denied",
        facts={"cannot_read": UNREADABLE[:1], "last_error": READ_ERROR},
    ),
    Row(
        "many unreadable",
        "unreadable",
        "Nothing to send; 30 files cannot be read: a.jpg, b.jpg, c.jpg and 27 more.",
        MORE,
        facts={"cannot_read": UNREADABLE, "unreadable": 30},
    ),
    Row(
        "of several kinds",
        "unreadable",
        "Nothing to send; 1 file cannot be read: a.jpg; 1 file was notified and is not there: x; "
        "1 file is written too often to be copied: y; 1 file has a name that is another's on the server: z.",
        MORE,
        facts={
            "unreadable": 4,
            "cannot_read": [
                UNREADABLE[0],
                *(
                    {"path": f"/d/{name}", "reason": "r", "kind": kind}
                    for name, kind in (("x", "missing"), ("y", "changing"), ("z", "clash"))
                ),
            ],
        },
    ),
    Row(
        "disk low",
        "disk low",
        "3 files are due and not copied: the disk has 12 MB free and MinFreeBytes asks for 32 MB.",
        f"Make room on the disk. {MORE}",
        facts={"disk_low": True, "not_copied": 3, "disk": {"free": 12 * 2**20, "least": 32 * 2**20}},
    ),
    Row(
        "disk low for one file",
        "disk low",
        "1 file is due and not copied: the disk has 40 MB free and MinFreeBytes asks for "
        "32 MB, which the next copy would not leave.",
        f"Make room on the disk. {MORE}",
        facts={"disk_low": True, "not_copied": 1, "disk": {"free": 40 * 2**20, "least": 32 * 2**20}},
    ),
    Row(
        "disk full",
        "disk low",
        "2 files are due and not copied: the disk is full.",
        f"Make room on the disk. {MORE}",
        facts={"disk_low": True, "not_copied": 2, "disk": {"free": None, "least": None}},
    ),
    Row(
        "disk low while sending",
        "sending",
        "Sending 1 file; 3 files are due and not copied: the disk is full.",
        f"Make room on the disk. {MORE}",
        queue=(0, 1, 0),
        facts={"disk_low": True, "not_copied": 3, "moving": ONE_MOVES},
    ),
    Row(
        "folder missing",
        "missing",
        "The watched /media/usb is not there since 10 min (it is not mounted).",
        MORE,
        facts={"missing": [{"entry": 0, "path": "/media/usb", "since": utc(NOW - 600), "reason": "it is not mounted"}]},
    ),
    Row(
        "one folder missing, the rest at work",
        "sending",
        "Sending 1 file; the watched /media/usb is not there.",
        MORE,
        queue=(0, 1, 0),
        facts={"missing": [{"entry": 0, "path": "/media/usb"}], "moving": ONE_MOVES},
    ),
    Row(
        "stopping",
        "stopping",
        "It is stopping, stop was asked for, and sends what it can before; 2 files wait to be sent.",
        state="stopping",
        text="stop was asked for",
        queue=(2, 0, 0),
    ),
    Row(
        "stopping without a server",
        "stopping",
        "It is stopping, stop was asked for, and sends what it can before; 1 file waits "
        "to be sent; Connection refused: nothing listens at h:21.",
        f"Is the server up? {MORE}",
        state="stopping",
        text="stop was asked for",
        queue=(1, 0, 0),
        facts={"problem": REFUSED},
    ),
    Row(
        "orphaned",
        "stopping",
        "It is stopping, the master is gone, and sends what it can before.",
        state="stopping",
        text="the master is gone",
    ),
    Row("stopped, not gone yet", "stopped", "The child has stopped and is about to end.", state="stopped"),
    Row(
        "failed, not gone yet",
        "failed",
        "The child cannot go on and is about to end: the courier ended.",
        state="failed",
        text="the courier ended",
    ),
    Row(
        "stopped",
        "stopped",
        "The child was stopped 2.0 h ago (06:00:00). Its app or 'pysubtask run' starts it.",
        alive=False,
        state="stopped",
        ago=7200,
    ),
    Row(
        "dead",
        "dead",
        "The child is dead; its last sign came 10 min ago (07:50:00). Its app or 'pysubtask run' starts it.",
        alive=False,
        ago=600,
    ),
    Row(
        "dead with a queue",
        "dead",
        "The child is dead; its last sign came 10 min ago (07:50:00). Its app or 'pysubtask run' "
        "starts it. 3 files are queued and will be sent then.",
        alive=False,
        ago=600,
        queue=(1, 1, 1),
    ),
    Row(
        "spool busy",
        "failed",
        "The child could not go on and ended 5 s ago (07:59:55): the queue is locked by another program. "
        "Its app or 'pysubtask run' starts it.",
        MORE,
        "Last error: 5 s ago: the queue is locked by another program",
        alive=False,
        state="failed",
        text="the queue is locked by another program",
        ago=5,
        facts={"last_error": {"at": utc(NOW - 5), "kind": "cannot_start", "text": "the queue is locked by another program"}},
    ),
    Row("frozen", "frozen", "The child was stopped by a signal; 'kill -CONT 7' lets it go on.", frozen=True),
    Row(
        "an error that is over",
        "idle",
        "Nothing to send.",
        error="Last error, over now: 2.0 h ago: Connection refused",
        facts={"last_error": {"at": utc(NOW - 7200), "kind": "connect_failed", "text": "Connection refused", "over": True}},
    ),
    Row(
        "an error that has been over for long",
        "idle",
        "Nothing to send.",
        facts={"last_error": {"at": utc(NOW - 90_000), "kind": "connect_failed", "text": "Connection refused", "over": True}},
    ),
]


def status_of(row: Row) -> TaskStatus:
    numbers = dict(zip(("waiting", "sending", "parked"), row.queue, strict=True))
    page = {"pid": 7, "state": row.state, "why": row.text, "at": utc(NOW - row.ago), "queue": numbers, **row.facts}
    known = page if row.name != "never run" else None
    pid = 7 if row.alive else None
    sentence = why(known, pid=pid, last_sign=NOW - row.ago, now=NOW, frozen=row.frozen)
    advice = remedy(known or {}, pid=pid, queue=numbers, more=says_more(""))
    return TaskStatus("main/ftp", "ftp://h:21/", known or {}, pid, NOW - row.ago, NOW, numbers, sentence, row.frozen, advice)


@pytest.fixture(autouse=True)
def greenwich(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize("row", TABLE, ids=[row.name for row in TABLE])
def test_state_sentence_error_and_remedy(row: Row):
    found = status_of(row)
    assert (state_of(found), found.why) == (row.word, row.why)
    assert (last_error(found), found.remedy) == (row.error, row.remedy)
    # And all of it is on the screen, in order.
    screen = " ".join(" ".join(line.split()) for line in status([found], 120))
    at = -1
    for words in (row.word, row.why, row.remedy, row.error):
        if words:
            at = screen.index(words, at + 1)


def test_no_row_is_idle_that_has_something_to_do():
    for row in TABLE:
        paused = sum(one["name"] is not None for one in row.facts.get("paused", []))
        if row.alive and (row.queue[0] > paused or row.queue[1] or row.state == "connecting" or row.facts.get("not_copied")):
            assert row.word not in ("idle", "resting"), row.name


def test_files_that_are_due_and_have_no_room_count_as_queued():
    (row,) = (row for row in TABLE if row.name == "disk low")
    head, line = status([status_of(row)], 120)[:2]
    assert head.split()[3] == "QUEUED" and line.split()[:5] == ["main/ftp", "ftp://h:21/", "disk", "low", "3"]


def test_the_queue_says_what_is_not_in_it():
    page = {"cannot_read": UNREADABLE, "unreadable": 4, "disk_low": True, "not_copied": 2, "disk": {"free": 1, "least": 2**25}}
    assert lines_of("main/ftp", [], 120, NOW, alive=True, limit=9, also=not_queued(page, NOW)) == [
        "main/ftp: nothing is queued",
        "  not in it: 2 files are due and not copied: the disk has 0.0 MB free and MinFreeBytes asks for 32 MB",
        "  not in it: 4 files cannot be read: a.jpg, b.jpg, c.jpg and 1 more",
    ]


@pytest.mark.parametrize("state", ["held", "waiting", "connecting"])
def test_since_when_there_is_no_connection_is_reported(state: str):
    page = {"pid": 7, "state": state, "why": "refused", "next_try": SOON, "problem": {"kind": "connect_failed", "text": "refused"}}

    def sentence(**more: Any) -> str:
        return why({**page, **more}, pid=7, last_sign=NOW, now=NOW)

    assert "since" not in sentence() and "since" not in sentence(problem_since=utc(NOW - 3))
    assert f"since {clock(NOW - 720, NOW)} (12 min)" in sentence(problem_since=utc(NOW - 720))


# --- the page, as the child keeps it


def test_the_last_error_is_the_newest_until_its_cause_is_over():
    now = [NOW]
    status_model = StatusModel(lambda: now[0])

    def last() -> tuple[str, bool]:
        error = status_model.get("last_error")
        return error["text"], bool(error.get("over"))

    status_model.error("connect_failed", "refused")
    now[0] += 5
    status_model.error("source_error", "a: denied", "/d/a")
    assert last() == ("a: denied", False) and status_model.get("last_error")["at"] == utc(NOW + 5)
    status_model.over("connect_failed", "connection_lost")
    status_model.over("source_error", about="/d/b")
    assert last() == ("a: denied", False), "what is well again is something else"
    status_model.over("source_error", about="/d/a")
    assert last() == ("a: denied", True)
    now[0] += 5
    status_model.error("source_error", "a: denied", "/d/a")
    assert last() == ("a: denied", False) and status_model.get("last_error")["at"] == utc(NOW + 10), "it has come again"


def test_a_stop_admits_no_other_state_and_a_start_overrules_none():
    status_model = StatusModel(lambda: NOW)
    status_model.state("starting")
    status_model.state("connecting")
    status_model.leave("starting", "watching")
    assert status_model.get("state") == "connecting"
    status_model.state("stopping", "stop was asked for")
    for state in ("connecting", "waiting", "held", "connected", "resting", "paused"):
        status_model.state(state, "x")
        assert (status_model.get("state"), status_model.get("why")) == ("stopping", "stop was asked for")
    status_model.state("stopped")
    assert status_model.get("state") == "stopped"


def test_advice_is_in_the_words_of_the_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    text = "Write UseSFTP = False, or set ftp.UseTLS to 'explicit' (or None, for no TLS)"
    assert in_words_of("", text) == in_words_of("/x/config.py", text) == text
    assert in_words_of("/x/a.toml", text) == 'Write UseSFTP = false, or set ftp.UseTLS to "explicit" (or "none", for no TLS)'
    (tmp_path / "a b").mkdir()
    monkeypatch.chdir(tmp_path)
    assert says_more("") == "`pysubtask doctor` says more"
    assert says_more(str(tmp_path / "station.toml")) == "`pysubtask doctor station.toml` says more"
    assert says_more(str(tmp_path / "a b" / "s.toml")) == "`pysubtask doctor 'a b/s.toml'` says more"
    monkeypatch.chdir("/usr/lib")
    assert says_more("/e.toml") == "`pysubtask doctor /e.toml` says more", "the shorter of the two"


def test_a_full_disk_says_how_full():
    assert (DiskLow("x", 5, 7).free, DiskLow("x", 5, 7).least, DiskLow("x").free) == (5, 7, None)


# --- real ones


class Seen:
    """A real child and what status reports of it."""

    def __init__(self, root: Path, ftp: dict[str, Any], **base: Any) -> None:
        (root / "served").mkdir(exist_ok=True)
        self.station = SFTPStation(
            root,
            root / "served",
            {**ftp, "Subtask_Log_FileName": str(root / "logs" / "child.txt")},
            **{"RetryWaitSecs": 0.3, "RetryLongWaitSecs": 30, **base},
        )

    def start(self, name: str = "a.csv") -> Seen:
        self.station.write(name, "1\n")
        self.station.master.start()
        self.station.notify(name)
        return self

    def again(self, **ftp: Any) -> None:
        """Another child with other settings, after the one before was killed."""
        self.station.master.stop(forcekill=True)
        self.station.ftp.update(ftp)
        self.station.master = self.station.make()
        self.station.master.start()

    def task_status(self) -> TaskStatus:
        record = registry.Record("main", "ftp", "", str(self.station.state))
        return task_status(Task(record), time.time())

    def until(self, word: str, sentence: str, secs: float = 40) -> TaskStatus:
        """Wait until status has this state, and a sentence with this pattern."""

        def reached() -> TaskStatus | None:
            self.station.master.check_pending_notifications()
            found = self.task_status()
            assert state_of(found) == word and re.search(sentence, found.why), (state_of(found), found.why, found.page)
            return found

        found = wait_until(reached, secs, f"{word}: {sentence}")
        assert found is not None
        return found

    def kinds(self) -> list[str]:
        return [event.kind for event in read_events(str(self.station.state))]

    def log(self) -> str:
        return self.station.log()


@pytest.fixture
def child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Seen]]:
    monkeypatch.setenv(registry.VARIABLE, str(tmp_path / "registry"))
    children: list[Seen] = []

    def make(ftp: dict[str, Any], **base: Any) -> Seen:
        children.append(Seen(tmp_path, ftp, **base))
        return children[-1]

    yield make
    for one in children:
        one.station.close()


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenSSHServer]:
    if missing() is not None:
        pytest.skip(str(missing()))
    with openssh_server(tmp_path_factory.mktemp("sshd")) as server:
        yield server


@contextmanager
def silent() -> Iterator[int]:
    """The port of somebody who takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0), backlog=50) as listener:
        yield listener.getsockname()[1]


def at(port: int, **more: Any) -> dict[str, Any]:
    """The settings for FTP at a port of this machine."""
    return {"UseSFTP": False, "Host": "127.0.0.1", "HostPort": port, "User": "u", "Password": "p", **more}


def own(settings: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if key not in ("StallSecs", "ConnectTimeoutSecs", "Concurrency")}


@pytest.fixture
def closed() -> Iterator[int]:
    """A port at which nobody listens, and nobody else will."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


def test_real_it_connects_for_the_first_time(child: Callable[..., Seen]):
    with silent() as port:
        child(at(port)).start().until("connecting", "^Connecting; 1 file waits to be sent.$")


@pytest.mark.slow
def test_real_it_connects_after_a_new_destination_with_a_queue(child: Callable[..., Seen], closed: int):
    one = child(at(closed)).start()
    one.until("waiting", "nothing listens")
    with silent() as port:
        one.again(HostPort=port)
        words, until = set(), time.monotonic() + 3
        pid = one.station.pid()
        while time.monotonic() < until:
            found = one.task_status()
            if found.page.get("pid") == pid and found.page.get("state") != "starting":
                words.add((state_of(found), found.why))
            time.sleep(0.02)
        # For a moment it is queued, and the connection not yet begun.
        assert words - {("connecting", "1 file waits to be sent.")} == {("connecting", "Connecting; 1 file waits to be sent.")}


@pytest.mark.slow
def test_real_connection_refused(child: Callable[..., Seen], closed: int):
    one = child(at(closed), RetryLongWaitSecs=0.3).start()
    found = one.until("waiting", rf"There is no connection, .*: Connection refused: nothing listens at 127\.0\.0\.1:{closed}\.$")
    assert found.remedy == f"Is the server up, and is HostPort right? {MORE}"
    assert "Connection refused" in last_error(found)
    wait_until(lambda: one.log().count("CONNECT attempt FAILED!") >= 4, what="four tries")
    lines = [line for line in one.log().splitlines() if "CONNECT attempt FAILED!" in line]
    assert [line for line in lines if not line.endswith("`pysubtask doctor` says more")] == []
    assert [line for line in lines if "HostPort right?" in line] == lines[:1], "the remedy is said once"


@pytest.mark.slow
def test_real_the_server_comes_back_and_the_error_is_over(child: Callable[..., Seen], tmp_path: Path):
    with ftp_server(tmp_path / "ftp") as server:
        one = child({**own(server.settings()), "HostPort": 1}, RetryWaitSecs=0.2).start()
        one.until("waiting", "nothing listens at 127.0.0.1:1")
        one.again(**own(server.settings()))
        found = one.until("idle", "^Nothing to send.$")
        assert found.remedy == "" and not last_error(found).startswith("Last error: ")


@pytest.mark.slow
def test_real_a_server_that_says_nothing(child: Callable[..., Seen]):
    with silent() as port:
        one = child(at(port), ConnectTimeoutSecs=1, RetryWaitSecs=20).start()
        found = one.until("waiting", rf"no login within 1 s at 127\.0\.0\.1:{port}")
        assert "HostPort" in found.remedy and found.remedy.endswith(MORE)


@pytest.mark.slow
def test_real_an_unknown_name(child: Callable[..., Seen], closed: int):
    one = child(at(closed, Host="no-such-host.invalid"), RetryWaitSecs=20).start()
    found = one.until("waiting", r"Waiting for the network, .*the name no-such-host\.invalid cannot be resolved")
    assert "Is Host written right" in found.remedy


@pytest.mark.slow
def test_real_sftp_at_the_port_of_an_ftp_server(child: Callable[..., Seen], tmp_path: Path):
    with ftp_server(tmp_path / "ftp") as server:
        settings = {"UseSFTP": True, "Host": "127.0.0.1", "HostPort": server.port, "User": "u", "SSHConfigFile": "none"}
        one = child(settings, ConnectTimeoutSecs=3, RetryWaitSecs=20).start()
        found = one.until("waiting", rf"this looks like an FTP server, not SSH: 127\.0\.0\.1:{server.port}")
        assert "UseSFTP = False" in found.remedy
        assert "UseSFTP = False" in one.log()


@pytest.mark.slow
def test_real_ftp_at_the_port_of_an_ssh_server(child: Callable[..., Seen], sshd: OpenSSHServer):
    one = child(at(sshd.port), ConnectTimeoutSecs=5, RetryWaitSecs=20).start()
    found = one.until("waiting", "this looks like an SSH server")
    assert "UseSFTP to True" in found.remedy


@pytest.mark.slow
def test_real_a_wrong_password(child: Callable[..., Seen], tmp_path: Path):
    with ftp_server(tmp_path / "ftp") as server:
        one = child({**own(server.settings()), "Password": "wrong"}, RetryWaitSecs=20).start()
        found = one.until("held", "^The login is refused, so everything is held and nothing is lost, next try in .*530")
        assert "Check ftp.User and ftp.Password" in found.remedy
        assert "LOGIN REFUSED! Everything is held, nothing is lost. Next try in [20] secs: the login was refused" in one.log()
        assert "login_refused" in one.kinds()
        # Held it stays over a restart, and says so from the first moment.
        one.station.kill()
        one.until("held", "the login was refused before the restart")
        assert re.search(
            r"HELD! Nothing is lost: the login was refused before the restart; next try in \[\d+\] secs, "
            r"'pysubtask retry' tries before that; `pysubtask doctor` says more",
            one.log(),
        ), one.log()


@pytest.mark.slow
@pytest.mark.parametrize("program", ["ssh", "asyncssh"])
@pytest.mark.parametrize("other", [False, True], ids=["unknown", "changed"])
def test_real_a_host_key(child: Callable[..., Seen], sshd: OpenSSHServer, tmp_path: Path, program: str, other: bool):
    if program == "asyncssh":
        pytest.importorskip("asyncssh")
    known = tmp_path / "known"
    known.write_text("")
    if other:
        make_key(tmp_path / "other")
        kind, key, _ = (tmp_path / "other.pub").read_text().split()
        known.write_text(f"[127.0.0.1]:{sshd.port} {kind} {key}\n")
    settings = sshd.settings(KnownHostsFile=str(known), SSHProgram="ssh" if program == "ssh" else "no-such-ssh-program")
    one = child(own(settings), RetryWaitSecs=20).start()
    headline = "Host key changed" if other else "Host key not known"
    found = one.until("held", f"^{headline}, so everything is held and nothing is lost, next try in .*nothing was sent")
    keys = [fingerprint(path) for path in sshd.root.glob("host_*.pub")]
    (named_key,) = (key for key in keys if key in found.why)
    assert f'HostKey = "{named_key}"' in found.remedy and ("accept-new" in found.remedy) == (not other)
    assert f"{headline.upper()}! Everything is held" in one.log() and "LOGIN REFUSED" not in one.log()
    kinds = one.kinds()
    assert "server_not_trusted" in kinds and "login_refused" not in kinds
    one.station.kill()
    one.until("held", "^Server not trusted, so everything is held .*: the server was not trusted before the restart.$")


@pytest.mark.slow
def test_real_a_certificate_that_nobody_vouches_for(child: Callable[..., Seen], tmp_path: Path):
    with ftp_server(tmp_path / "ftp", tls="explicit") as server:
        assert server.certificate is not None
        one = child({**own(server.settings()), "CAFile": None}, RetryWaitSecs=20).start()
        found = one.until("held", "^Certificate not trusted, so everything is held and nothing is lost")
        digits = server.certificate.fingerprint.replace(":", "").upper()
        assert digits in found.why and f'TLSFingerprint = "{digits}"' in found.remedy
        assert "CERTIFICATE NOT TRUSTED! Everything is held" in one.log() and "LOGIN REFUSED" not in one.log()
        assert server.counts["USER"] == 0, "nobody has logged in to see it"


@pytest.mark.slow
def test_real_a_read_error_follows_a_refused_connection(child: Callable[..., Seen], closed: int):
    one = child(at(closed), RetryWaitSecs=30).start()
    one.until("waiting", "Connection refused")
    one.station.notify("box/gone.jpg")
    found = one.until("waiting", "1 file was notified and is not there: gone.jpg")
    assert re.match(r"Last error: \d+ s ago: .*gone.jpg was notified and is not there", last_error(found))
    one.station.write("box/gone.jpg", "here\n")
    found = one.until("waiting", "^There is no connection, .*:21|nothing listens")
    wait_until(lambda: "over now" in last_error(one.task_status()), what="the end of that error")


@pytest.mark.slow
def test_real_no_room(child: Callable[..., Seen], closed: int):
    one = child(at(closed), MinFreeBytes=1 << 60)
    for name in ("box/one", "box/two"):
        one.station.write(name, "x")
    one.start("box/three")
    for name in ("box/one", "box/two"):
        one.station.notify(name)
    found = one.until("disk low", r"3 files are due and not copied: the disk has [\d.]+ MB free and MinFreeBytes asks for \d+ MB")
    assert found.remedy == f"Make room on the disk. {MORE}"
    assert status([found], 120)[1].split()[2:5] == ["disk", "low", "3"]
    free = shutil.disk_usage(one.station.state).free
    assert abs(found.page["disk"]["free"] - free) < max(2**30, free // 4)


@pytest.mark.slow
def test_real_paused_and_resumed_it_says_again_what_it_waits_for(child: Callable[..., Seen], closed: int, tmp_path: Path):
    one = child(at(closed), RetryWaitSecs=30).start()
    one.until("waiting", "Connection refused")
    environ = {registry.VARIABLE: str(tmp_path / "registry")}
    folder = str(one.station.data)
    assert command(tmp_path, "pause", "-t", folder, **environ).returncode == 0
    one.until("paused", "^Paused by ")
    words: set[str] = set()
    resumed = threading.Thread(target=command, args=(tmp_path, "resume", "-t", folder), kwargs=environ)
    resumed.start()
    while resumed.is_alive() or state_of(one.task_status()) == "paused":
        words.add(state_of(one.task_status()))
        time.sleep(0.01)
    one.until("waiting", "Connection refused")
    assert "idle" not in words


@pytest.mark.slow
def test_real_stopping_it_says_so_to_the_end(child: Callable[..., Seen], closed: int):
    one = child(at(closed), StopWaitSecs=3, RetryWaitSecs=0.2).start()
    one.until("waiting", "Connection refused")
    stopping = threading.Thread(target=one.station.master.stop, kwargs={"forcekill": False})
    stopping.start()
    found = wait_until(lambda: (now := one.task_status()) and state_of(now) == "stopping" and now, what="stopping")
    assert "stop was asked for" in found.why and "1 file waits to be sent" in found.why
    words = set()
    while stopping.is_alive():
        words.add(state_of(one.task_status()))
        time.sleep(0.02)
    assert words <= {"stopping", "stopped"}, words
    assert one.task_status().why.startswith("The child was stopped ")


@pytest.mark.slow
def test_real_a_reset_is_no_death(child: Callable[..., Seen], tmp_path: Path):
    with ftp_server(tmp_path / "ftp") as server:
        one = child(own(server.settings())).start()
        one.until("idle", "^Nothing to send.$")
        words: set[tuple[str, str]] = set()
        over = threading.Event()

        def read_states() -> None:
            while not over.is_set():
                found = one.task_status()
                words.add((state_of(found), found.why))
                time.sleep(0.002)

        looker = threading.Thread(target=read_states)
        looker.start()
        try:
            assert command(tmp_path, "reset", "-t", str(one.station.data)).returncode == 0
            wait_until(lambda: one.kinds().count("started") == 2, what="a child that began anew")
            one.until("idle", "^Nothing to send.$")
        finally:
            over.set()
            looker.join()
        assert ("starting", "The child is starting, reset by an order.") in words
        assert [word for word, _ in words if word in ("dead", "stopped", "failed", "never run")] == []


@pytest.mark.slow
def test_real_the_queue_file_is_somebody_elses(child: Callable[..., Seen], closed: int):
    one = child(at(closed)).start()
    one.until("waiting", "Connection refused")
    one.station.master.stop(forcekill=True)
    # A process of its own: a reader closes the file again, and with it go the locks that this process has (fcntl(2)).
    program = "import sqlite3, sys; db = sqlite3.connect(sys.argv[1]); db.execute('BEGIN EXCLUSIVE'); print(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", program, one.station.state / "spool.db"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None and other.stdout.readline() == b"\n"
        one.station.master = one.station.make()
        one.station.master.start()
        found = one.until("failed", "^The child could not go on and ended .*spool")
        assert found.remedy == MORE and "spool" in last_error(found)
    one.until("waiting", "Connection refused", 60)


def test_real_a_frozen_and_a_dead_child(child: Callable[..., Seen], closed: int):
    one = child(at(closed), RetryWaitSecs=30).start()
    one.until("waiting", "Connection refused")
    pid = one.station.pid()
    os.kill(pid, signal.SIGSTOP)
    assert state_of(wait_until(lambda: (now := one.task_status()).frozen and now, what="frozen")) == "frozen"
    os.kill(pid, signal.SIGKILL)
    found = wait_until(lambda: (now := one.task_status()).pid is None and now, what="dead")
    assert state_of(found) == "dead" and "1 file is queued and will be sent then" in found.why and found.remedy == ""


# --- the terminal of pysubtask run


@pytest.mark.slow
def test_run_says_what_is_watched_and_where_it_goes(tmp_path: Path, closed: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "300")  # a path is not broken where it is longer than a line
    (tmp_path / "roof").mkdir()
    (tmp_path / "roof" / "a.csv").write_text("1\n")
    config = tmp_path / "station.toml"
    config.write_text(
        f'[base]\nRetryWaitSecs = 0.3\n[ftp]\nUseSFTP = false\nHost = "127.0.0.1"\nHostPort = {closed}\nUser = "u"\n'
        'Password = "p"\nHostPath = "in"\nTimerIntervalSecs = 0.3\n[[watch]]\ndir = "roof"\nsettle_secs = 0.1\n'
        '[[watch]]\ndir = "cam"\nas = "pictures"\n'
    )
    config.chmod(0o600)
    run = Run(tmp_path, config)
    try:
        run.says("CONNECT attempt FAILED!", 3)
        log = run.text()
        assert f"watching {tmp_path / 'roof'} -> ftp://u@127.0.0.1:{closed}/in (station)" in log
        assert re.search(rf"watching {tmp_path / 'cam'} -> ftp://u@127\.0\.0\.1:{closed}/in/pictures \(station\)", log)
        assert re.search(rf"\[{tmp_path / 'cam'}\] is not there: .*; `pysubtask doctor station.toml` says more", log)
        failed = [line for line in log.splitlines() if "CONNECT attempt FAILED!" in line]
        assert [line for line in failed if not line.endswith("`pysubtask doctor station.toml` says more")] == []
        assert sum("HostPort right?" in line for line in failed) == 1
        status_output = " ".join(run.command("status").stdout.split())
        assert f"nothing listens at 127.0.0.1:{closed}; the watched {tmp_path / 'cam'} is not there since " in status_output
        assert "(there is no folder" in status_output and "Is the server up, and is HostPort right? " in status_output
        assert "`pysubtask doctor station.toml` says more." in status_output
    finally:
        run.end()
