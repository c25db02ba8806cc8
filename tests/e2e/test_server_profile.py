"""A station and a server that does less than others: what status and events report, and what the next child knows."""

from __future__ import annotations

from pathlib import Path

import pytest

from pysubtask.common.events import read_events
from pysubtask.common.receipts import read_receipts
from pysubtask.testing.servers.quirk_sftp import quirk_sftp_server
from pysubtask.testing.servers.quirks import OBJECT_STORE
from pysubtask.transports.shared import means
from tests.support.helpers import wait_until
from tests.support.station import SFTPStation

pytest.importorskip("asyncssh")


def profile_steps(one: SFTPStation) -> list[str]:
    return [event.fields["now"] for event in read_events(str(one.state)) if event.kind == "server_profile"]


def ours(remote: Path) -> list[str]:
    return [path.name for path in remote.rglob("*") if path.name.startswith((".pysub", "pysub"))]


@pytest.mark.slow
def test_an_object_store_is_reported_once_over_a_restart(tmp_path: Path):
    remote = tmp_path / "remote"
    with quirk_sftp_server(remote, **OBJECT_STORE) as server:
        settings = {**server.settings(), "Host": "127.0.0.1"}
        entries = [{"dir": str(tmp_path / "data"), "on_change": True, "settle_secs": 0.2}]
        for start in (1, 2):
            one = SFTPStation(tmp_path, remote, dict(settings), entries)
            try:
                one.write("grow.csv", b"a line\n" * start * 50, "w")
                one.write(f"new-{start}.bin", b"\0" * 40_000)
                one.write(f"empty-{start}.csv", b"")
                one.master.start()
                one.arrived("grow.csv", f"new-{start}.bin", f"empty-{start}.csv")
                one.write("grow.csv", b"more\n", "a")
                one.arrived("grow.csv")
                known = {"after_close", "rename", "aside", "refused"}
                wait_until(lambda one=one, known=known: known <= set(profile_steps(one)), 30, "each step as an event")
                wait_until(lambda: not ours(remote), 30, "nothing of ours on the server")
                lacks = {means.SIZE.lacks["after_close"], means.TIME.lacks["refused"], means.PUBLISH.lacks["aside"]}
                wait_until(lambda one=one, lacks=lacks: lacks <= set(one.page().get("server") or []), 30, "all of it on the page")
            finally:
                one.close()
    assert len(profile_steps(one)) == len(set(profile_steps(one))), "said once, and not again by the second child"
    assert not [event for event in read_events(str(one.state)) if event.kind in ("parked", "connection_lost")]
    assert {receipt.verified for receipt in read_receipts(str(one.state))} == {"size"}
    log = (tmp_path / "logs" / "child.txt").read_text()
    assert f"SERVER: {means.SIZE.lacks['after_close']} (it said: " in log
