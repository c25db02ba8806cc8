"""Why nothing moves: one sentence for each state a task can be in."""

from __future__ import annotations

import pytest

from pysubtask.common.events import utc
from pysubtask.common.why import why

NOW = 1_800_000_000.0
SOON, LATELY = utc(NOW + 12), utc(NOW - 1)
MOVING = [{"name": "a", "size": 100, "done": 50}, {"name": "b", "size": 100, "done": 50}]


def page(state="connected", reason="", *, queue=(0, 0, 0), **facts):
    return {
        "pid": 7,
        "state": state,
        "why": reason,
        "at": LATELY,
        "queue": dict(zip(("waiting", "sending", "parked"), queue, strict=True)),
        **facts,
    }


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        (page(), "Nothing to send."),
        (page("watching"), "Nothing to send."),
        (page("resting", "dead time"), "Nothing to send; the connection rests."),
        (page("starting", "the courier hung"), "The child is starting, the courier hung."),
        (page("connecting"), "Connecting."),
        (
            page("connecting", queue=(2, 0, 0), problem={"kind": "login_refused", "text": "too many keys were offered."}),
            "Connecting; 2 files wait to be sent; the try before came to nothing: too many keys were offered.",
        ),
        (page(queue=(1, 0, 0)), "1 file waits to be sent."),
        (page(queue=(3, 0, 2)), "3 files wait to be sent; the server refuses 2 files ('pysubtask queue' says why)."),
        (
            page(queue=(1, 0, 0), tried_again=[{"name": "a", "reason": "a: gone.", "tries": 2, "next_try": SOON}]),
            "1 file waits to be sent; 1 file is tried again by itself in 12 s (a: gone).",
        ),
        (
            page(queue=(2, 0, 0), tried_again=[{"name": "a", "reason": "a: x", "next_try": SOON}, {"name": "b", "reason": "b: y"}]),
            "2 files wait to be sent; 2 files are tried again one by one (b: y).",
        ),
        (page(queue=(0, 2, 0), moving=MOVING), "Sending 2 files."),
        (page(queue=(0, 2, 0), moving=MOVING, at=utc(NOW - 40)), "Sending 2 files, but nothing was acknowledged for 40 s."),
        (
            page("paused", "x", paused=[{"name": None, "who": "ana (pid 7, pysubtask pause)"}], queue=(5, 0, 0)),
            "Paused by ana (pid 7, pysubtask pause); 'pysubtask resume' lets it go on.",
        ),
        (
            page(paused=[{"name": "a", "who": "ana"}], queue=(1, 0, 0)),
            "Nothing to send; 1 file paused one by one ('pysubtask queue' says by whom).",
        ),
        (
            page("held", "wrong password.", next_try=SOON),
            "The login is refused, so everything is held and nothing is lost, next try in 12 s: wrong password.",
        ),
        (
            page("waiting", "reset by peer", problem={"kind": "connection_lost", "text": "x"}, next_try=SOON),
            "The connection was lost, next try in 12 s: reset by peer.",
        ),
        (
            page("waiting", "refused", problem={"kind": "connect_failed", "text": "x"}, next_try=LATELY),
            "There is no connection, trying again now: refused.",
        ),
        (
            page("waiting", "host: Temporary failure in name resolution", problem={"kind": "connect_failed"}, next_try=SOON),
            "Waiting for the network, next try in 12 s: host: Temporary failure in name resolution.",
        ),
        (
            page("waiting", "too many requests", problem={"kind": "server_busy"}, next_try=SOON),
            "The server asks for a pause, next try in 12 s: too many requests.",
        ),
        (page("stopping", "stop was asked for"), "It is stopping, stop was asked for, and sends what it can before."),
        (page("stopped"), "The child has stopped and is about to end."),
        (
            page(disk_low=True),
            "Nothing is copied; the disk is nearly full, so nothing new is copied until there is room (MinFreeBytes).",
        ),
        (page(cannot_read=[{"path": "/x", "reason": "y"}]), "Nothing to send; 1 file cannot be read: x."),
        (
            page(watch="polling", watch_reason="the limit is reached (sysctl a.b)"),
            "Nothing to send; changes are found by looking, not by file events: the limit is reached (sysctl a.b).",
        ),
        (page(watch="events", watch_reason=""), "Nothing to send."),
        (
            page(never_quiet=[{"path": "/x/big.jpg", "for_secs": 30, "settle_secs": 1.0, "goes": True}]),
            "Nothing to send; big.jpg changes all the time, for 30 s now: never quiet for settle_secs (1 s), "
            "so it is sent now and then.",
        ),
        (
            page(never_quiet=[{"path": "/x/film.mp4", "for_secs": 300, "settle_secs": 0.5, "goes": False}]),
            "Nothing to send; film.mp4 changes all the time, for 5 min now: never quiet for settle_secs (0.5 s), "
            "so it is not sent yet.",
        ),
        (page() | {"pid": 8}, "The child is starting."),
        (None, "The child is starting."),
    ],
)
def test_of_a_living_child(found, sentence):
    assert why(found, pid=7, last_sign=NOW - 1, now=NOW) == sentence


def test_of_a_limited_and_a_frozen_one():
    limited = why(page(moving=MOVING), pid=7, last_sign=NOW, now=NOW, limit=50_000)
    assert limited == "Sending 2 files, at most 50.0 KB/s (RateLimit)."
    assert why(page(), pid=7, last_sign=NOW, now=NOW, frozen=True) == (
        "The child was stopped by a signal; 'kill -CONT 7' lets it go on."
    )


@pytest.mark.parametrize(
    ("found", "last_sign", "queue", "words"),
    [
        (page(queue=(1, 2, 0)), NOW - 600, None, ["The child is dead", "10 min ago (", "3 files are queued", "'pysubtask run'"]),
        (page(queue=(9, 9, 9)), NOW - 600, {"waiting": 1, "parked": 0}, ["The child is dead", "1 file is queued"]),
        (page("stopped"), NOW - 7200, None, ["The child was stopped 2.0 h ago"]),
        (None, None, None, ["No child has run here yet"]),
    ],
)
def test_of_a_dead_child(found, last_sign, queue, words):
    sentence = why(found, pid=None, last_sign=last_sign, now=NOW, queue=queue)
    assert [word for word in words if word not in sentence] == []


def test_a_page_that_could_not_be_written_is_named_as_the_cause():
    found = page(queue=(2, 0, 0), at=utc(NOW - 300))
    sentence = why(found, pid=7, last_sign=NOW - 300, now=NOW, stale="its disk takes no page: it is read-only")
    assert sentence.startswith("What the child (pid 7) does now cannot be told: its disk takes no page: it is read-only.")
    assert "Its last page, of 5 min ago" in sentence
    assert sentence.endswith("said: 2 files wait to be sent.")
    assert why(None, pid=7, last_sign=None, now=NOW, stale="it is full") == (
        "What the child (pid 7) does now cannot be told: it is full."
    )
    assert "starting" not in why(page() | {"pid": 6}, pid=7, last_sign=None, now=NOW, stale="it is full"), "another child's page"
    assert why(page("connected"), pid=None, last_sign=NOW - 60, now=NOW, stale="it is full").endswith(
        "Its disk takes nothing now: it is full."
    )


@pytest.mark.parametrize(
    ("disk", "count", "words"),
    [
        (
            {"free": None, "least": None, "problem": "it is read-only"},
            2,
            "2 files are due and not copied: the local disk takes nothing; it is read-only.",
        ),
        (
            {"free": None, "least": None, "problem": "it is read-only"},
            0,
            "Nothing is copied; the local disk takes nothing: it is read-only.",
        ),
        ({"free": None, "least": None}, 2, "2 files are due and not copied: the disk is full."),
    ],
)
def test_a_disk_that_takes_nothing_is_no_full_one(disk, count, words):
    assert why(page(disk_low=True, disk=disk, not_copied=count), pid=7, last_sign=None, now=NOW) == words


def test_a_child_in_another_container_is_not_dead():
    found = why(page(queue=(2, 0, 0)), pid=None, last_sign=NOW, now=NOW, elsewhere=True)
    assert found.startswith("Its child runs where it cannot be seen from here") and found.endswith("2 files wait to be sent.")
    assert "dead" not in found and "starts it" not in found
