"""Contents that change while size and time of a file stand still: seen by a real child by all that the file system tells."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from pysubtask.common.notify import read_stamp
from pysubtask.subtask.platform import change_times
from pysubtask.subtask.watch.watcher import Watcher
from tests.support.helpers import wait_until
from tests.support.station import Station

LONG_AGO = 1_750_000_000
OLD, NEW = b"1" * 3000, b"2" * 3000


def in_place(path: Path) -> None:
    """As ``rsync --inplace -t`` or ``cp -p`` would."""
    found = os.stat(path)
    with open(path, "r+b") as file:
        file.write(NEW)
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))


def by_rename(path: Path) -> None:
    """Another file, with the time of the old one."""
    found = os.stat(path)
    fresh = path.with_name(".fresh.tmp")
    fresh.write_bytes(NEW)
    os.utime(fresh, ns=(found.st_atime_ns, found.st_mtime_ns))
    os.replace(fresh, path)


def was_recreated(path: Path) -> None:
    """Deleted and made again; file systems use the numbers of deleted files again."""
    found = os.stat(path)
    path.unlink()
    path.write_bytes(NEW)
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))


ENTRIES: dict[str, dict[str, Any]] = {
    "file": {"file": "data/a.csv", "on_change": True, "settle_secs": 0.2},
    "folder": {"dir": "data", "on_change": True, "settle_secs": 0.2, "notify_files": False},
    "folder, new files only": {"dir": "data", "settle_secs": 0.2, "notify_files": False},
}
CASES = [
    (kind, write)
    for kind in ENTRIES
    for write in (in_place, by_rename, was_recreated)
    if "only" not in kind or write is not in_place
]


def station(tmp_path: Path, kind: str) -> Station:
    entry = dict(ENTRIES[kind])
    key = "file" if "file" in entry else "dir"
    entry[key] = str(tmp_path / entry[key])
    return Station(tmp_path, [entry])


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "change"), CASES, ids=lambda value: getattr(value, "__name__", value))
def test_it_arrives_while_the_child_runs(tmp_path: Path, kind: str, change: Any):
    one = station(tmp_path, kind)
    try:
        path = one.write("a.csv", OLD)
        os.utime(path, (LONG_AGO, LONG_AGO))
        one.master.start()
        one.arrived("a.csv")
        one.idle()
        change(path)
        assert os.stat(path).st_mtime_ns == LONG_AGO * 10**9
        one.arrived("a.csv")
        assert (one.server / "a.csv").read_bytes() == NEW
    finally:
        one.close()


@pytest.mark.slow
@pytest.mark.parametrize("change", [in_place, was_recreated])
@pytest.mark.parametrize("kind", ["file", "folder"])
def test_it_arrives_where_it_was_changed_while_no_child_ran(tmp_path: Path, kind: str, change: Any):
    one = station(tmp_path, kind)
    try:
        path = one.write("a.csv", OLD)
        os.utime(path, (LONG_AGO, LONG_AGO))
        one.master.start()
        one.arrived("a.csv")
        one.idle()
        one.master.stop()
        # The last sign of a child counts with some slack.
        wait_until(lambda: _ctime_passes(tmp_path, one.page()), what="time to go by")
        change(path)
        one.master = one.make()
        one.master.start()
        one.arrived("a.csv")
    finally:
        one.close()


def _ctime_passes(folder: Path, page: dict[str, Any]) -> bool:
    sign = change_times.last_sign(page)
    (folder / "probe").write_bytes(b"")
    return sign is not None and os.stat(folder / "probe").st_ctime > sign


@pytest.mark.slow
def test_a_file_of_changed_rights_or_names_is_read_and_not_sent(tmp_path: Path):
    one = station(tmp_path, "folder")
    try:
        path = one.write("a.csv", OLD)
        one.master.start()
        one.arrived("a.csv")
        one.idle()
        path.chmod(0o600)
        os.link(path, tmp_path / "second name")
        one.write("b.csv", b"the next one")
        one.arrived("b.csv")
        one.idle()
        assert one.sent() == ["a.csv", "b.csv"]
    finally:
        one.close()


class Memory:
    """A queue that has each file as it is found due."""

    def __init__(self) -> None:
        self.sources: dict[str, Any] = {}

    def handled(self, notify_path: str) -> None:
        return None

    def source(self, path: str) -> Any:
        return self.sources.get(path)


def looked(watch: Watcher, memory: Memory, now: float) -> list[str]:
    found = watch.scan(now)
    for due in found:
        memory.sources[due.path] = read_stamp(due.path)
        watch.done(due)
    return [f"{os.path.basename(due.path)} {due.cause}" for due in found]


@pytest.mark.parametrize("kind", ["file", "folder"])
@pytest.mark.parametrize("change", [in_place, was_recreated])
def test_it_is_found_without_file_events_too(tmp_path: Path, kind: str, change: Any):
    from pysubtask.common.entries import read_entries

    (tmp_path / "data").mkdir()
    path, memory = tmp_path / "data" / "a.csv", Memory()
    path.write_bytes(OLD)
    os.utime(path, (LONG_AGO, LONG_AGO))
    watch = Watcher(read_entries([ENTRIES[kind]], cwd=str(tmp_path)), memory, (), lambda: None, False)
    assert looked(watch, memory, 0.0) == ["a.csv start"]
    assert [looked(watch, memory, now) for now in (10.0, 20.0, 100.0)] == [[], [], []]
    change(path)
    events = [each for now in (200.0, 210.0, 220.0, 300.0) for each in looked(watch, memory, now)]
    # A file that is made anew may get the number of the one before, or another.
    assert events in (["a.csv recheck"], ["a.csv change" if kind == "file" else "a.csv new"]), events
