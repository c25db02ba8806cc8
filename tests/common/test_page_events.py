"""A status page and the events after it."""

from __future__ import annotations

from typing import Any

from pysubtask.common.events import Event, EventLog
from pysubtask.common.own_folders import make_folder
from pysubtask.common.page_events import brought_up, followed

PAGE: dict[str, Any] = {
    "epoch": 2,
    "n": 5,
    "state": "connecting",
    "why": "x",
    "delivered": 1,
    "receipt": 7,
    "problem": {"kind": "connect_failed"},
    "queue": {"waiting": 1, "sending": 0, "parked": 0, "bytes": 10, "oldest": "2026-01-01T00:00:00.000Z"},
    "moving": [],
}


def events_of(*events: tuple[str, dict[str, Any]]) -> list[Event]:
    return [Event(2, number, f"t{number}", kind, fields) for number, (kind, fields) in enumerate(events, 6)]  # type: ignore[arg-type]


def test_a_delivery_is_there_at_once():
    page = brought_up(
        PAGE, events_of(("connected", {}), ("delivered", {"name": "a", "size": 10, "bytes_sent": 10, "bytes_new": 4, "receipt": 8}))
    )
    assert (page["state"], page["why"], page["problem"]) == ("connected", "", None)
    assert (page["delivered"], page["receipt"], page["n"]) == (2, 8, 7)
    assert page["queue"] == {"waiting": 0, "sending": 0, "parked": 0, "bytes": 0, "oldest": None}
    assert page["last_delivery"] == {"at": "t7", "name": "a", "size": 10}
    assert PAGE["delivered"] == 1 and PAGE["queue"]["waiting"] == 1, "the page that was given is as it was"


def test_one_that_takes_the_place_of_another_is_no_file_more():
    first = brought_up(PAGE, events_of(("queued", {"name": "a", "size": 5, "replaced": True})))
    assert first["queue"]["waiting"] == 1
    assert brought_up(PAGE, events_of(("queued", {"name": "b", "size": 5})))["queue"]["waiting"] == 2


def test_what_moves_no_more_is_gone_from_what_is_sent():
    page = PAGE | {"queue": PAGE["queue"] | {"sending": 2}, "moving": [{"name": "a"}, {"name": "b"}]}
    page = brought_up(page, events_of(("unchanged", {"name": "b", "receipt": 9}), ("parked", {"name": "a"})))
    assert page["moving"] == [] and page["receipt"] == 9
    assert {key: page["queue"][key] for key in ("waiting", "sending", "parked")} == {"waiting": 1, "sending": 0, "parked": 1}


def test_who_stops_goes_on_to_do_so():
    assert brought_up(PAGE | {"state": "stopping"}, events_of(("connected", {}), ("resting", {})))["state"] == "stopping"


def test_only_this_childs_own_events_behind_the_page_count(tmp_path):
    folder = str(tmp_path / ".pysubtask" / "main" / "ftp")
    make_folder(folder)
    for epoch, count in ((1, 4), (2, 2000), (3, 1)):
        log = EventLog(folder, epoch)
        for number in range(count):
            log.emit("delivered", name=f"f{number}", size=1, receipt=number + 1, path="x" * 50)
    page = followed(folder, {"epoch": 2, "n": 5, "delivered": 5, "queue": {}})
    assert (page["delivered"], page["n"], page["receipt"]) == (2000, 2000, 2000)
    assert followed(folder, {"epoch": 3, "n": 1, "delivered": 1})["delivered"] == 1
    assert followed(str(tmp_path / "none"), {"epoch": 3, "n": 1}) == {"epoch": 3, "n": 1}
    assert followed(folder, {}) == {}
