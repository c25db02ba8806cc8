"""Disks that are drawn out and put back, at watched folders that are not the first: nothing below the mount point is taken for what
was on them, and nothing is sent again. Needs root (an image is mounted)."""

from __future__ import annotations

from pathlib import Path

import pytest

from proofs.torture.faults_stick import why_not_here
from proofs.torture.sticks import stick
from tests.support.helpers import wait_until
from tests.support.station import Station, pause

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def _here() -> None:
    why = why_not_here()
    if why:
        pytest.skip(why)


def missing(one: Station) -> str:
    one.master.check_pending_notifications()
    return " ".join(row["reason"] for row in one.page().get("missing", []))


@pytest.mark.parametrize("kind", ["dir", "inside", "file"])
def test_a_stick_at_another_folder_than_the_first(tmp_path: Path, kind: str):
    place = tmp_path / "data" / "deep" / "stick" if kind == "inside" else tmp_path / "cam"
    place.parent.mkdir(parents=True, exist_ok=True)
    entries: list[dict[str, object]] = [{"dir": str(tmp_path / "data"), "recursive": kind == "inside", "settle_secs": 0.1}]
    if kind != "inside":
        named = {"file": str(place / "0.jpg"), "on_change": True}
        entries.append({"dir": str(place), "settle_secs": 0.1} if kind == "dir" else named)
    names = ["0.jpg"] if kind == "file" else [f"{number}.jpg" for number in range(5)]
    with stick(place, image=tmp_path / "image") as disk:
        for name in names:
            (place / name).write_bytes(name.encode() * 500)
        one = Station(tmp_path, entries)
        try:
            one.master.start()
            folder = one.server / place.relative_to(one.data) if kind == "inside" else one.server
            folder = one.server if kind != "inside" and not folder.exists() else folder
            wait_until(
                lambda: (one.master.check_pending_notifications(), all((folder / name).exists() for name in names))[1],
                what="all on the server",
            )
            one.idle()
            disk.pull()
            # The camera goes on below the mount point, also under a name that was on the stick.
            for name in ("0.jpg", "new.jpg"):
                (place / name).write_bytes(b"below")
            wait_until(lambda: "is not mounted" in missing(one), what="what is told")
            pause(1.5)
            assert (folder / "0.jpg").read_bytes() == b"0.jpg" * 500 and not (folder / "new.jpg").exists()
            assert disk.strangers({"0.jpg", "new.jpg"}) == []
            # The child is started again meanwhile: the disk is missed still.
            one.kill()
            pause(0.5)
            wait_until(lambda: one.pid() and "is not mounted" in missing(one), what="what is told after a restart")
            pause(1.0)
            disk.put_back()
            wait_until(lambda: not missing(one), what="its return")
            (place / "0.jpg").write_bytes(b"later")
            if kind != "file":
                (place / "0.jpg.notify").touch()
            wait_until(lambda: (folder / "0.jpg").read_bytes() == b"later", what="a new version")
            one.idle()
            sent = [name.rpartition("/")[2] for name in one.sent()]
            assert sorted(sent) == sorted([*names, "0.jpg"]), "nothing that was delivered goes again, nothing below is sent"
        finally:
            one.close()


def test_a_stick_that_is_mounted_late_inside_a_recursive_folder(tmp_path: Path):
    """No file event tells of a mount: the table of mounts does."""
    place = tmp_path / "data" / "sub"
    place.parent.mkdir()
    with stick(place, image=tmp_path / "image") as disk:
        (place / "late.jpg").write_bytes(b"late")
        disk.away()
        one = Station(tmp_path, [{"dir": str(tmp_path / "data"), "recursive": True, "settle_secs": 0.1}])
        try:
            one.write("first.csv", "1")
            one.master.start()
            one.arrived("first.csv")
            disk.put_back()
            wait_until(lambda: (one.server / "sub" / "late.jpg").exists(), 20, "what was on it")
            (place / "later.jpg").write_bytes(b"later")
            wait_until(lambda: (one.server / "sub" / "later.jpg").exists(), 20, "what comes to it")
        finally:
            one.close()
