"""The files of months: each receipt is in one once, whatever was cut short, and the newest one of a file is found there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pysubtask.common import receipt_months
from pysubtask.common.receipt_months import MonthFiles, last_seq_of_months, months, newest_kept, remove_oldest
from pysubtask.common.receipts import Receipt, append, read_receipts, to_line


def receipt(seq: int, month: str = "2026-10", name: str = "a") -> Receipt:
    return Receipt(seq, f"{month}-21T10:00:00.000Z", f"/data/{name}", f"in/{name}", "sftp://h:22/", 1, 5, "d", 1, "size")


def put_away(folder: Path, *found: Receipt) -> None:
    files = MonthFiles(str(folder))
    for one in found:
        files.add(one, to_line(one))
    files.flush()


def lines(folder: Path, month: str = "2026-10") -> list[bytes]:
    return (folder / f"receipts-{month}.jsonl").read_bytes().splitlines(keepends=True)


def test_a_receipt_is_written_once_however_often_it_is_put_away(tmp_path: Path):
    put_away(tmp_path, receipt(1), receipt(2, "2026-11"))
    put_away(tmp_path, receipt(1), receipt(2, "2026-11"), receipt(3))
    assert lines(tmp_path) == [to_line(receipt(1)), to_line(receipt(3))]
    assert lines(tmp_path, "2026-11") == [to_line(receipt(2, "2026-11"))]
    assert months(str(tmp_path)) == ["2026-10", "2026-11"] and last_seq_of_months(str(tmp_path)) == 3


@pytest.mark.parametrize("cut", [1, 30, 200, 70_000])
def test_a_line_that_was_cut_short_is_written_again(tmp_path: Path, cut: int):
    put_away(tmp_path, receipt(1), receipt(2, name="b" * 100_000))
    file = tmp_path / "receipts-2026-10.jsonl"
    os.truncate(file, file.stat().st_size - cut)
    put_away(tmp_path, receipt(1), receipt(2, name="b" * 100_000), receipt(3))
    assert lines(tmp_path) == [to_line(receipt(1)), to_line(receipt(2, name="b" * 100_000)), to_line(receipt(3))]


def test_lines_are_whole_where_a_first_line_was_cut(tmp_path: Path):
    (tmp_path / "receipts-2026-10.jsonl").write_bytes(to_line(receipt(1))[:50])
    put_away(tmp_path, receipt(1))
    assert lines(tmp_path) == [to_line(receipt(1))]


def test_a_file_with_repeats_of_earlier_versions_gets_no_more(tmp_path: Path):
    """They wrote the newest receipts of each file again at each start."""
    again = [receipt(5), receipt(17), receipt(900)]
    everything = [receipt(seq) for seq in range(1, 901)]
    (tmp_path / "receipts-2026-10.jsonl").write_bytes(b"".join(map(to_line, [*everything, *again, *again])))
    put_away(tmp_path, *again, receipt(901))
    assert lines(tmp_path)[-1:] == [to_line(receipt(901))] and len(lines(tmp_path)) == 907
    assert newest_kept(str(tmp_path), ["/data/a"]) == [receipt(901)]


def test_a_time_that_is_none_leads_nowhere_else(tmp_path: Path):
    state = tmp_path / "state"
    state.mkdir()
    put_away(state, receipt(1)._replace(at="../../x"), receipt(2)._replace(at=""))
    assert os.listdir(state) == ["receipts-1970-01.jsonl"] and os.listdir(tmp_path) == ["state"]


def test_the_oldest_files_are_removed_and_nothing_else(tmp_path: Path):
    put_away(tmp_path, *(receipt(number, f"2026-{number:02d}") for number in range(1, 10)))
    for name in ("receipts.jsonl", "receipts-2020-01.jsonl.bak", "receipts-old.jsonl"):
        (tmp_path / name).touch()
    remove_oldest(str(tmp_path), 3)
    assert months(str(tmp_path)) == ["2026-07", "2026-08", "2026-09"]
    remove_oldest(str(tmp_path), 3)
    assert len(os.listdir(tmp_path)) == 6


def test_the_newest_receipt_of_a_file_is_found_by_path_or_name(tmp_path: Path):
    odd = os.fsdecode(b"\xff\"'\n")
    put_away(tmp_path, receipt(1, name=odd), receipt(2, name="b"), receipt(3, "2026-11", odd), receipt(4, "2026-12", "bb"))
    assert newest_kept(str(tmp_path), [f"/data/{odd}"]) == newest_kept(str(tmp_path), [f"in/{odd}"]) == [receipt(3, "2026-11", odd)]
    assert newest_kept(str(tmp_path), ["in/b"]) == [receipt(2, name="b")]
    assert newest_kept(str(tmp_path), ["b"]) == []


def test_a_month_that_cannot_be_written_is_an_error(tmp_path: Path):
    (tmp_path / receipt_months.name_of("2026-10")).mkdir()
    append(str(tmp_path), [receipt(1)])
    with pytest.raises(OSError):
        put_away(tmp_path, receipt(1))
    assert list(read_receipts(str(tmp_path))) == [receipt(1)]
