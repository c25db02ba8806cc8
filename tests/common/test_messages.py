"""Events, status and receipts: written by one side, read by the other, whatever happens to the files."""

import json
import os
import resource
import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pysubtask.common import events, receipts, status
from pysubtask.common.events import EventLog, read_events
from pysubtask.common.receipts import Receipt
from pysubtask.subtask.spool import compaction
from pysubtask.subtask.spool.spool_thread import SpoolThread

JSON = st.recursive(st.none() | st.integers() | st.text(), st.lists)


def receipt(seq, at="2026-11-21T10:00:00.000Z", path="/data/a", size=1):
    return Receipt(seq, at, path, "a", "sftp://h:22/", size, 5, "d", 1, "size")


class TestEvents:
    def test_a_reader_goes_on_where_the_page_ends(self, tmp_path):
        log = EventLog(str(tmp_path), 3, lambda: 0.5)
        for n in range(4):
            assert log.emit("queued", name=f"f{n}") == n + 1
        found = list(read_events(str(tmp_path), (3, 2)))
        assert [(event.epoch, event.n, event.kind, event.fields["name"]) for event in found] == [
            (3, 3, "queued", "f2"),
            (3, 4, "queued", "f3"),
        ]
        assert found[0].at == "1970-01-01T00:00:00.500Z"

    def test_a_later_epoch_is_behind_any_number_of_an_earlier_one(self, tmp_path):
        EventLog(str(tmp_path), 1).emit("a")
        EventLog(str(tmp_path), 2).emit("b")
        assert [event.kind for event in read_events(str(tmp_path), (1, 500))] == ["b"]

    def test_rotation_keeps_one_old_file_and_loses_nothing(self, tmp_path, monkeypatch):
        monkeypatch.setattr(events, "ROTATE_BYTES", 2000)
        log = EventLog(str(tmp_path), 1)
        for _ in range(50):
            log.emit("queued", name="x" * 40)
        assert sorted(os.listdir(tmp_path)) == ["events.jsonl", "events.jsonl.1"] or os.listdir(tmp_path) == ["events.jsonl.1"]
        numbers = [event.n for event in read_events(str(tmp_path))]
        assert numbers == list(range(numbers[0], 51))

    def test_a_line_torn_by_a_full_disk_costs_itself_only(self, tmp_path):
        log = EventLog(str(tmp_path), 1)
        log.emit("one")
        with open(tmp_path / "events.jsonl", "ab") as file:
            file.write(b'{"epoch": 1, "n"')
        log.emit("two")
        assert [event.kind for event in read_events(str(tmp_path))] == ["one", "two"]

    def test_what_cannot_be_written_is_counted_and_leaves_a_gap(self, tmp_path):
        log = EventLog(str(tmp_path / "gone"), 1)
        assert log.emit("lost") == 1
        (tmp_path / "gone").mkdir()
        assert log.emit("kept") == 2
        assert (log.lost, [event.n for event in read_events(str(tmp_path / "gone"))]) == (1, [2])

    def test_names_of_any_bytes_survive(self, tmp_path):
        name = os.fsdecode(b"\xff\n\x01")
        EventLog(str(tmp_path), 1).emit("queued", name=name)
        assert next(read_events(str(tmp_path))).fields["name"] == name

    @pytest.mark.slow
    @given(st.binary(max_size=200) | JSON.map(lambda found: json.dumps(found).encode()))
    def test_garbage_is_no_event_and_no_receipt(self, line):
        assert events.parse(line) is None
        assert receipts.parse(line) is None

    def test_the_file_is_private(self, tmp_path):
        EventLog(str(tmp_path), 1).emit("a")
        assert stat.S_IMODE(os.stat(tmp_path / "events.jsonl").st_mode) == 0o600


class TestStatus:
    def test_a_page_is_read_as_it_was_written(self, tmp_path):
        status.write_status(str(tmp_path), {"pid": 1, "name": os.fsdecode(b"\xff")})
        assert status.read_status(str(tmp_path)) == {"format": 1, "pid": 1, "name": os.fsdecode(b"\xff")}
        assert stat.S_IMODE(os.stat(tmp_path / "status.json").st_mode) == 0o600
        assert os.listdir(tmp_path) == ["status.json"]

    @pytest.mark.parametrize("text", [b"", b"{", b"[]", b'{"format": 99}', b"\xff\xfe", b"[" * 100_000])
    def test_anything_else_is_no_page(self, tmp_path, text):
        assert status.read_status(str(tmp_path)) is None
        (tmp_path / "status.json").write_bytes(text)
        assert status.read_status(str(tmp_path)) is None

    def test_a_page_that_does_not_fit_on_the_disk_leaves_the_old_one(self, tmp_path):
        status.write_status(str(tmp_path), {"pid": 1})
        pid = os.fork()
        if pid == 0:
            import signal

            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
            try:
                status.write_status(str(tmp_path), {"pid": 2, "text": "x" * 50_000})
            except OSError:
                os._exit(7)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
        assert status.read_status(str(tmp_path)) == {"format": 1, "pid": 1}


class TestReceipts:
    def test_lines_come_back(self, tmp_path):
        receipts.append(str(tmp_path), [receipt(1), receipt(2, path=os.fsdecode(b"\xff,'\n"))])
        assert list(receipts.read_receipts(str(tmp_path))) == [receipt(1), receipt(2, path=os.fsdecode(b"\xff,'\n"))]
        assert receipts.last_seq(str(tmp_path)) == 2

    def test_none_yet(self, tmp_path):
        assert receipts.last_seq(str(tmp_path)) == 0
        assert list(receipts.read_receipts(str(tmp_path))) == []

    def test_a_torn_line_is_written_again_and_a_repeat_read_once(self, tmp_path):
        receipts.append(str(tmp_path), [receipt(1)])
        with open(tmp_path / "receipts.jsonl", "ab") as file:
            file.write(receipts.to_line(receipt(2))[:20])
        assert receipts.last_seq(str(tmp_path)) == 1
        receipts.append(str(tmp_path), [receipt(2), receipt(3)], sync=True)
        receipts.append(str(tmp_path), [receipt(3)])
        assert [found.seq for found in receipts.read_receipts(str(tmp_path))] == [1, 2, 3]

    def test_the_last_number_is_found_behind_a_long_tail_of_garbage(self, tmp_path):
        receipts.append(str(tmp_path), [receipt(41)])
        with open(tmp_path / "receipts.jsonl", "ab") as file:
            file.write(b"\0" * 300_000)
        assert receipts.last_seq(str(tmp_path)) == 41

    def test_compaction_keeps_the_last_of_each_file_and_the_months(self, tmp_path, monkeypatch):
        monkeypatch.setattr(compaction, "COMPACT_BYTES", 10)
        october = [receipt(n, at="2026-10-01T00:00:00.000Z", path=f"/data/{n % 2}") for n in range(1, 5)]
        november = [receipt(n, path="/data/1") for n in range(5, 8)]
        receipts.append(str(tmp_path), october + november)
        spool_thread = SpoolThread(str(tmp_path), "sftp://h:22/", lambda *paths: None)
        spool_thread.compaction.daily(24, lambda path: False)
        spool_thread.compaction.wait()
        spool_thread.close()
        assert [found.seq for found in receipts.read_receipts(str(tmp_path))] == [4, 7]
        with open(tmp_path / "receipts-2026-10.jsonl", "rb") as file:
            assert [receipts.parse(line) for line in file] == october
        with open(tmp_path / "receipts-2026-11.jsonl", "rb") as file:
            assert [receipts.parse(line) for line in file] == november, "one that is superseded within a month is not lost"
        found = ["receipts-2026-10.jsonl", "receipts-2026-11.jsonl", "receipts.jsonl"]
        assert sorted(os.listdir(tmp_path)) == [*found, "spool.db"]
        assert receipts.last_seq(str(tmp_path)) == 7
