"""A child that is not its master's own child: the unpacker of a frozen one-file program stands between them."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.helpers import wait_until
from tests.support.station import Station


@pytest.fixture
def one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Station]:
    unpacker = tmp_path / "python-unpacker"
    unpacker.write_text(f'#!/bin/sh\nexec 3<&0\n"{sys.executable}" "$@" <&3 &\nwait $!\n')
    unpacker.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(unpacker))
    running = Station(tmp_path)
    yield running
    running.close()


@pytest.mark.slow
def test_it_lives_as_long_as_both_do(one: Station):
    one.write("a.csv", "1\n")
    one.master.start()
    one.notify("a.csv")
    one.arrived("a.csv")
    child, unpacker = one.pid(), one.master.status().children[0].pid
    assert unpacker is not None and child != unpacker
    # Many ticks, at each of which it asks after its master.
    for n in range(5):
        one.write("a.csv", f"{n}\n", "a")
        one.notify("a.csv")
        one.arrived("a.csv")
    assert one.pid() == child
    os.kill(unpacker, signal.SIGKILL)
    wait_until(lambda: not Path(f"/proc/{child}").exists(), what="the end of the child")
    one.write("a.csv", "more\n", "a")
    one.notify("a.csv")
    one.arrived("a.csv")
    assert one.pid() != child
    assert "orphaned" not in one.kinds()
    last = one.pid()
    one.master.stop(forcekill=True)
    wait_until(lambda: not Path(f"/proc/{last}").exists(), what="the end of the last child")
