"""Real children: this program's own files and its user's secrets are not sent, whichever way they could go."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pysubtask import BaseMaster, Section
from pysubtask.common import residual
from pysubtask.master.task_plan import ConfigOrigin
from tests.support.helpers import wait_until
from tests.support.station import Station, pause

DAY = 86400
SECRETS = ("secret.txt", "secret.txt~", ".secret.txt.swp", "#secret.txt#", "secret.txt.bak", "secret.txt.Xy12Zw", "secret.pub")


class OwnMaster(BaseMaster):
    """Knows of a secret, as a master of a config file does."""


@pytest.fixture
def station(tmp_path: Path) -> Iterator[Callable[..., Station]]:
    stations: list[Station] = []

    def make(entries: list[dict[str, Any]], **base: Any) -> Station:
        class Here(Station):
            def make(self) -> BaseMaster:
                os.environ["TEST_SERVER_FOLDER"] = str(self.server)
                OwnMaster._origin = ConfigOrigin(beside={str(self.data / "secret.txt"): "named by ftp.PasswordFile"})
                return OwnMaster(self.entries, Section("", **self.base), "tests.support.folder_child", LogToConsole=False)

        data = tmp_path / "data"
        stations.append(
            Here(
                tmp_path,
                [{**entry, next(iter(entry)): str(data / next(iter(entry.values())))} for entry in entries],
                **{"Subtask_Log_FileName": str(data / "child.txt"), "Master_Log_FileName": str(data / "master.txt"), **base},
            )
        )
        return stations[-1]

    yield make
    for one in stations:
        one.close()


def on_server(one: Station) -> set[str]:
    return {str(path.relative_to(one.server)) for path in one.server.rglob("*") if path.is_file()}


@pytest.mark.slow
@pytest.mark.parametrize(
    "entry", [{"dir": "."}, {"dir": ".", "recursive": True}, {"dir": ".", "on_change": True}], ids=["dir", "recursive", "on_change"]
)
def test_nothing_of_ours_goes_out_of_a_watched_folder(station, entry):
    one = station([{**entry, "settle_secs": 0.2}])
    for name in (*SECRETS[:-1], "master.txt.1", "child.txt.2"):
        one.write(name, "hunter")
    os.link(one.data / "secret.txt", one.data / "hard.csv")
    (one.data / "soft.csv").symlink_to(one.data / "secret.txt")
    others = {"weather.csv~", "weather.csv", "secret.txt.csv", "weather.txt", "other.txt.1"}
    for name in others:
        one.write(name, "mine")
    one.master.start()
    wait_until(lambda: others <= on_server(one), 40, "the user's own files")
    # Any program may touch one, and an editor may save one while it runs.
    for name in ("secret.txt", "secret.txt~", "hard.csv", "soft.csv", "master.txt"):
        (one.data / f"{name}.notify").write_text("")
        assert not one.master.notify_file(str(one.data / name)) or name in ("hard.csv", "soft.csv")
    pause(1.5)
    # What is linked to a file that an editor has replaced is a file by itself from then on.
    os.unlink(one.data / "hard.csv")
    one.write("secret.txt.tmp", "hunter-three")
    os.replace(one.data / "secret.txt.tmp", one.data / "secret.txt")
    residual.offer(str(one.state), [str(one.data / name) for name in SECRETS])
    one.write("last.csv", "1")
    wait_until(lambda: "last.csv" in on_server(one), 40, "the last file")
    pause(1.5)
    one.idle()
    assert on_server(one) == {*others, "last.csv"}
    assert not any("hunter" in path.read_text() for path in one.server.rglob("*") if path.is_file())


@pytest.mark.parametrize("entry", [{"dir": "."}, {"dir": ".", "recursive": True, "on_change": True}], ids=["dir", "recursive"])
@pytest.mark.slow
def test_another_config_in_the_folder_and_its_secrets_stay(station, entry):
    """One is there at the start, another one comes while it runs: whoever's config runs, neither goes out."""
    one = station([{**entry, "settle_secs": 0.5}])
    text = '[[watch]]\ndir = "."\n[ftp]\nHost = "ftp://me@h/in"\nPasswordFile = "{}"\n'
    one.write("st2.toml", text.format("hidden.txt"))
    for name in ("hidden.txt", "st2.password"):
        one.write(name, "hunter")
    one.write("weather.csv", "mine")
    one.master.start()
    one.arrived("weather.csv")
    one.write("pw3.txt", "hunter")
    one.write("st3.toml", text.format("pw3.txt"))
    for name in ("st2.toml", "hidden.txt", "st2.password"):
        assert not one.master.notify_file(str(one.data / name))
        (one.data / f"{name}.notify").write_text("")
    residual.offer(str(one.state), [str(one.data / name) for name in ("hidden.txt", "st3.toml", "pw3.txt")])
    one.write("data.toml", "[sensor]\nwatch = 1\n")
    one.arrived("data.toml")
    pause(1.5)
    one.idle()
    assert on_server(one) == {"weather.csv", "data.toml"}
    # What no config names is data.
    one.write("st2.toml", text.format("other.txt"))
    one.write("hidden.txt", "mine now")
    (one.data / "hidden.txt.notify").write_text("")
    one.arrived("hidden.txt")


PRIVATE = (".netrc", ".pgpass", ".git-credentials", ".bash_history", ".netrc.bak", "id_ed25519", ".ssh/config", "old.password")


@pytest.mark.slow
def test_private_files_of_a_home_stay(station):
    one = station([{"dir": ".", "recursive": True, "on_change": True, "settle_secs": 0.2}])
    (one.data / ".ssh").mkdir()
    for name in PRIVATE:
        one.write(name, "hunter")
    (one.data / "soft.csv").symlink_to(".netrc")
    for name in (".hidden", "foo.tmp", "weather.csv"):
        one.write(name, "mine")
    one.master.start()
    one.arrived(".hidden", "foo.tmp", "weather.csv")
    for name in PRIVATE:
        assert not one.master.notify_file(str(one.data / name))
        (one.data / f"{name}.notify").write_text("")
        one.write(name, "hunter again")
    residual.offer(str(one.state), [str(one.data / name) for name in PRIVATE])
    one.write("last.csv", "1")
    one.arrived("last.csv")
    pause(1.5)
    one.idle()
    assert on_server(one) == {".hidden", "foo.tmp", "weather.csv", "last.csv"}


@pytest.mark.slow
def test_private_files_that_are_named_are_sent(station):
    one = station([{"dir": ".", "include": ["*.csv", ".netrc"], "settle_secs": 0.2}, {"file": ".pgpass", "on_change": True}])
    for name in (".netrc", ".pgpass", ".bash_history", "a.csv"):
        one.write(name, "mine")
    one.master.start()
    one.notify(".pgpass")
    one.arrived(".netrc", ".pgpass", "a.csv")
    one.idle()
    assert on_server(one) == {".netrc", ".pgpass", "a.csv"}


def test_a_private_key_in_a_watched_folder_is_never_archived(station):
    one = station([{"dir": ".", "settle_secs": 0.2}], ArchiveToFolder="archive", ArchiveAfterDaysOld=3)
    then = time.time() - 9 * DAY
    for name in (".netrc", "id_rsa", "a.csv"):
        one.write(name, "mine")
        os.utime(one.data / name, (then, then))
    assert one.master.archive_expired_files() == 0 and (one.data / "id_rsa").exists()


def test_nothing_of_another_config_is_archived(station):
    one = station([{"file": "a.csv"}], ArchiveToFolder="archive", ArchiveAfterDaysOld=3)
    one.write("st2.toml", '[[watch]]\nfile = "a.csv"\n[ftp]\nHost = "h"\nPasswordFile = "hidden.dat"\n')
    for name in ("hidden.dat", "st2.password", "old.dat"):
        one.write(name, name)
    then = time.time() - 9 * DAY
    for name in ("st2.toml", "hidden.dat", "st2.password", "old.dat"):
        os.utime(one.data / name, (then, then))
    assert one.master.archive_expired_files() == 1
    assert {path.name for path in (one.data / "archive").rglob("*") if path.is_file()} == {"old.dat"}


@pytest.mark.slow
def test_a_named_file_that_turns_into_a_link_is_not_followed(station):
    one = station([{"file": "a.csv"}])
    one.write("secret.txt", "hunter")
    one.write("a.csv", "1")
    one.master.start()
    one.arrived("a.csv")
    for make in (os.symlink, os.link):
        os.unlink(one.data / "a.csv")
        make(one.data / "secret.txt", one.data / "a.csv")
        one.notify("a.csv")
        wait_until(lambda: any("never sent" in row["reason"] for row in one.page().get("cannot_read", [])), 40, "what is told")
        assert (one.server / "a.csv").read_text() == "1"
        os.unlink(one.data / "a.csv")
        one.write("a.csv", "1")
        one.notify("a.csv")
        wait_until(lambda: one.page().get("cannot_read") == [], 40, "the file being readable again")
    assert "it is the same file as" in (one.data / "child.txt").read_text()


@pytest.mark.slow
def test_the_masters_log_is_no_residual_file(station):
    """The natural case: a watched text file, logs beside it, and a start with precleanup."""
    one = station([{"file": "a.txt"}], ArchiveToFolder="archive", ArchiveAfterDaysOld=3)
    one.write("a.txt", "1")
    names = ("secret.txt", "child.txt", "master.txt.1", "station.txt")
    for name in names:
        one.write(name, "hunter" if name != "station.txt" else "left over")
    one.master.start(precleanup_old_files=True)
    one.notify("a.txt")
    one.arrived("a.txt", "station.txt")
    assert one.master.copy_residual_files() == [str(one.data / "station.txt")]
    pause(1)
    one.idle()
    assert on_server(one) == {"a.txt", "station.txt"}


def test_nothing_of_ours_is_archived(station):
    """What is not uploaded goes by its age alone; what the program itself needs stays."""
    one = station([{"file": "a.csv"}], ArchiveToFolder="archive", ArchiveAfterDaysOld=3)
    ours = ("secret.txt", "secret.txt.bak", "master.txt.1", "child.txt")
    for name in (*ours, "old.dat", "other.txt.bak"):
        one.write(name, name)
    os.link(one.data / "secret.txt", one.data / "hard.dat")
    then = time.time() - 9 * DAY
    for name in (*ours, "old.dat", "other.txt.bak"):
        os.utime(one.data / name, (then, then))
    assert one.master.archive_expired_files() == 2
    archived = {path.name for path in (one.data / "archive").rglob("*") if path.is_file()}
    assert archived == {"old.dat", "other.txt.bak"}
    assert all((one.data / name).exists() for name in (*ours, "hard.dat"))


@pytest.mark.slow
def test_what_an_earlier_version_had_queued_is_dropped(station):
    """The queue of a child that did not know: it is held at a dead server, and then the package is upgraded."""
    one = station([{"dir": ".", "settle_secs": 0.2}])
    one.write("secret.txt", "hunter")
    one.write("a.csv", "1")
    one.master._task.never_sent.files.clear()
    one.server.rmdir()
    one.server.write_text("no server")
    one.master.start()
    wait_until(lambda: one.page().get("queue", {}).get("waiting", 0) >= 2, 40, "both in the queue")
    one.close()
    one.server.unlink()
    one.server.mkdir()
    again = one.make()
    one.master = again
    again.start()
    one.arrived("a.csv")
    pause(1)
    assert on_server(one) == {"a.csv"} and "dropped" in one.kinds()
