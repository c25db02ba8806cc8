"""Events: numbered lines, and a reader that follows them without a gap or a repeat."""

from __future__ import annotations

import os

from pysubtask.common import events
from pysubtask.common.events import EventLog, Tail, read_events


def numbers(found):
    return [(event.epoch, event.n) for event in found]


def test_a_tail_begins_at_the_end_and_gives_each_event_once(tmp_path):
    log = EventLog(str(tmp_path), 1)
    log.emit("old")
    tail = Tail(str(tmp_path))
    assert tail.read() == []
    log.emit("new", x=1)
    log.emit("newer")
    assert [(event.kind, event.fields) for event in tail.read()] == [("new", {"x": 1}), ("newer", {})]
    assert tail.read() == []


def test_a_tail_goes_through_rotations_in_small_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr(events, "ROTATE_BYTES", 3000)
    log = EventLog(str(tmp_path), 1)
    tail = Tail(str(tmp_path))
    seen = []
    for turn in range(300):
        log.emit("tick", filler="x" * 40)
        if turn % 7 == 0:
            seen += numbers(tail.read(2000))
    while found := tail.read(500):
        seen += numbers(found)
    assert os.path.exists(tmp_path / "events.jsonl.1")
    assert seen == [(1, n) for n in range(1, 301)]


def test_a_tail_after_an_event_reads_the_rotated_file_too(tmp_path, monkeypatch):
    monkeypatch.setattr(events, "ROTATE_BYTES", 3000)
    log = EventLog(str(tmp_path), 4)
    for _ in range(45):
        log.emit("tick", filler="x" * 40)
    there = numbers(read_events(str(tmp_path)))
    tail = Tail(str(tmp_path), after=there[10])
    found = []
    while new_events := tail.read(700):
        found += numbers(new_events)
    assert found == there[11:]


def test_an_incomplete_line_waits_and_garbage_is_skipped(tmp_path):
    tail = Tail(str(tmp_path))
    path = tmp_path / "events.jsonl"
    line = b'{"epoch": 1, "n": 1, "at": "now", "kind": "tick"}'
    path.write_bytes(b"garbage\n" + line)
    assert tail.read() == []
    with open(path, "ab") as file:
        file.write(b"\n")
    assert numbers(tail.read()) == [(1, 1)]


def test_a_file_of_one_endless_line_is_gone_through(tmp_path):
    tail = Tail(str(tmp_path))
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"x" * 5000)
    for _ in range(12):
        assert tail.read(500) == []
    with open(path, "ab") as file:
        file.write(b'\n{"epoch": 1, "n": 1, "at": "now", "kind": "tick"}\n')
    assert numbers(tail.read(500) + tail.read(500)) == [(1, 1)]
