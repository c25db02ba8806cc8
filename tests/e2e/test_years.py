"""A real child whose state is years old: the receipts are put away beside its work, and what is there is known as before."""

from __future__ import annotations

from pathlib import Path

import pytest

from pysubtask.common.receipt_months import months, name_of
from pysubtask.common.receipts import append, parse, read_receipts
from tests.support.helpers import wait_until
from tests.support.station import Station

_OLD = 3000


@pytest.mark.slow
def test_receipts_are_put_away_while_the_child_works(tmp_path: Path):
    one = Station(tmp_path)
    state = str(one.state)
    try:
        one.write("a.csv", "1\n")
        one.master.start()
        one.notify("a.csv")
        one.arrived("a.csv")
        assert one.master.wait_delivered(str(one.data / "a.csv"), timeout=60)
        one.master.stop()
        (first,) = read_receipts(state)
        gone = first._replace(at="2025-03-01T00:00:00.000Z", path=str(one.data / "box" / "gone.jpg"), name="gone.jpg")
        append(state, [gone._replace(seq=seq) for seq in range(2, _OLD + 1)])
        one.master.start()
        wait_until(lambda: (one.state / "receipts.jsonl").stat().st_size < 10_000, 60, "the compaction")
        assert [(receipt.seq, receipt.name) for receipt in read_receipts(state)] == [(1, "a.csv"), (_OLD, "gone.jpg")]
        assert one.master.wait_delivered(str(one.data / "a.csv"), timeout=5), "its receipt is still the proof"
        assert months(state) == ["2025-03", first.at[:7]]
        lines = (one.state / name_of("2025-03")).read_bytes().splitlines()
        assert [receipt.seq for receipt in map(parse, lines) if receipt is not None] == list(range(2, _OLD + 1))
        one.write("box/new", "new")
        one.arrived("box/new")
        wait_until(lambda: [receipt.seq for receipt in read_receipts(state)][2:] == [_OLD + 1], 30, "a receipt behind them")
    finally:
        one.close()
