"""A real master and a real child over recursive folders: trees arrive with their paths, once."""

import os
import shutil

import pytest

from pysubtask.common.errors import ConfigError
from pysubtask.common.receipts import read_receipts
from tests.support.helpers import wait_until
from tests.support.station import Station, pause


class Tree(Station):
    """The data folder is watched with all that is in it, the child's own folders among them."""

    def __init__(self, root, **options):
        (root / "data").mkdir()
        super().__init__(root, [{"dir": str(root / "data"), "recursive": True, "settle_secs": 0.2, **options}])

    def put(self, *names: str) -> None:
        for name in names:
            (self.data / name).parent.mkdir(parents=True, exist_ok=True)
            self.write(name, f"{name}\n")

    def remote(self) -> list[str]:
        return sorted(str(path.relative_to(self.server)) for path in self.server.rglob("*") if path.is_file())

    def wait_remote(self, *names: str) -> None:
        def there() -> bool:
            self.master.check_pending_notifications()
            return self.remote() == sorted(names)

        try:
            wait_until(there, 40)
        except AssertionError:
            raise AssertionError(f"{self.remote()} stand on the server, not {sorted(names)}") from None


@pytest.fixture
def station(tmp_path):
    stations = []

    def make(**options):
        stations.append(Tree(tmp_path, **options))
        return stations[-1]

    yield make
    for one in stations:
        one.close()


@pytest.mark.slow
def test_a_tree_arrives_with_its_paths_and_once_over_a_restart(station):
    one = station(**{"as": "st/7"})
    first = ["top.csv", "2026/11/01.csv", "2026/11/raw/a b.csv", "2026/12.csv"]
    one.put(*first)
    one.master.start()
    one.wait_remote(*[f"st/7/{name}" for name in first])
    later = ["2026/11/02.csv", "2027/01/raw/deep/x.csv"]
    one.put(*later)
    one.wait_remote(*[f"st/7/{name}" for name in first + later])
    assert (one.server / "st/7/2027/01/raw/deep/x.csv").read_text() == "2027/01/raw/deep/x.csv\n"
    one.idle()
    assert one.page()["watch"] == "events"
    before = one.sent()
    assert sorted(before) == sorted(f"st/7/{name}" for name in first + later)
    one.master.stop(forcekill=False)
    assert not list(one.data.rglob("*.notify")), "removed where they were handled, however deep"
    one.master.start()
    one.pid()
    one.put("2026/11/03.csv")
    one.wait_remote(*[f"st/7/{name}" for name in [*first, *later, "2026/11/03.csv"]])
    one.idle()
    assert one.sent()[len(before) :] == ["st/7/2026/11/03.csv"]
    assert one.leftovers() == []


@pytest.mark.slow
def test_what_is_notified_renamed_and_left_out(station, tmp_path):
    one = station(include="*.csv", exclude=["*.tmp.csv", "scratch/*"])
    one.put("a/b/c.csv", "a/b/c.txt", "a/c.tmp.csv", "scratch/deep/x.csv", "upload/own.csv", "archive/202611/21/old.csv")
    one.master.start()
    one.wait_remote("a/b/c.csv")
    one.write("a/b/c.csv", "more\n", "a")
    assert one.master.notify_file(str(one.data / "a/b/c.csv"))
    wait_until(lambda: (one.server / "a/b/c.csv").read_text() == "a/b/c.csv\nmore\n", 40, what="the change")
    for name in ("a/b/c.txt", "a/c.tmp.csv", "scratch/deep/x.csv", "upload/own.csv", ".pysubtask/main/folder_child/x.csv"):
        assert not one.master.notify_file(str(one.data / name)), name
        assert not (one.data / f"{name}.notify").exists()
    assert one.master.logger.handlers and (tmp_path / "logs/master.txt").read_text().count("is not watched!") == 5
    # Any program may touch one; it is ignored.
    (one.data / "a/b/c.txt.notify").write_text("")
    (one.data / "scratch/deep/x.csv.notify").write_text("")
    os.rename(one.data / "a", one.data / "n")
    one.wait_remote("a/b/c.csv", "n/b/c.csv")
    shutil.rmtree(one.data / "n")
    pause(1)
    one.idle()
    assert one.page()["cannot_read"] == []
    assert one.remote() == ["a/b/c.csv", "n/b/c.csv"]


@pytest.mark.slow
def test_a_folder_that_becomes_a_link_is_left_alone(station, tmp_path):
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "x.csv").write_text("theirs")
    one = station()
    one.put("a/x.csv", "b/y.csv")
    one.master.start()
    one.wait_remote("a/x.csv", "b/y.csv")
    shutil.rmtree(one.data / "a")
    (one.data / "a").symlink_to(tmp_path / "secret")
    (one.data / "a" / "x.csv.notify").write_text("")
    assert not one.master.notify_file(str(one.data / "a/x.csv"))
    one.put("b/z.csv")
    one.wait_remote("a/x.csv", "b/y.csv", "b/z.csv")
    assert (one.server / "a/x.csv").read_text() == "a/x.csv\n"


def test_an_app_that_knows_the_folder_by_another_name(station, tmp_path):
    one = station()
    one.put("a/x.csv")
    (tmp_path / "link").symlink_to(one.data)
    (one.data / "short").symlink_to("a")
    for name in (tmp_path / "link" / "a" / "x.csv", one.data / "short" / "x.csv"):
        assert one.master.notify_file(name)
        (one.data / "a" / "x.csv.notify").unlink()


def test_old_files_do_not_come_back_as_new_ones(station, tmp_path):
    one = station()
    one.base["ArchiveToFolder"] = "."
    with pytest.raises(ConfigError, match=r"ArchiveToFolder.*folder of its own"):
        one.make()
    one.base["ArchiveToFolder"] = None
    one.make()


def test_receipts_name_the_whole_path(station):
    one = station()
    one.put("a/b/x")
    one.master.start()
    one.wait_remote("a/b/x")
    wait_until(lambda: list(read_receipts(str(one.state))), what="a receipt")
    (receipt,) = read_receipts(str(one.state))
    assert (receipt.path, receipt.name) == (str(one.data / "a/b/x"), "a/b/x")
