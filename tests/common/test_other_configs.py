"""Configs that lie in watched folders: found at small cost, without following links, and known while they are edited."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from pysubtask.common import other_configs
from pysubtask.common.never_sent import NeverSent
from pysubtask.common.other_configs import CONFIG, OtherConfigs, named_by

TEXT = '[[watch]]\ndir = "."\n[ftp]\nHost = "h"\nPasswordFile = "{}"\n'


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def guard(folder: Path, clock: Clock | None = None, most_secs: float = float("inf")) -> tuple[NeverSent, Clock]:
    clock = clock or Clock()
    return NeverSent({}, others=OtherConfigs([str(folder)], most_secs, clock)), clock


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x = 1",
        "[watch]\nfile = 1",
        "[ftp]\nspeed = 1",
        "[tool.watch]\ndir = 1",
        "[[watch]]\nbrand = 1",
        "this is no TOML: ftp",
        "[" * 5000 + "ftp",
        "[tasks]\nftp = 1",
        "tasks = 1\nwatch = 2",
    ],
)
def test_data_in_toml_is_data(text: str):
    assert named_by(text, "/data/x.toml") is None


def test_what_a_config_names(tmp_path: Path):
    text = '[[watch]]\ndir = "."\n[ftp]\nKeyFile = "~/k"\nCAFile = "ca.pem"\nPasswordFile = "../p.txt"\n'
    found = named_by(text, "/data/c/x.toml")
    assert found is not None and set(found) == {
        "/data/c/x.toml",
        os.path.expanduser("~/k"),
        "/data/p.txt",
        "/data/c/x.password",
        "/data/c/x.token",
    }


def test_a_secret_in_another_watched_folder_is_known(tmp_path: Path):
    (tmp_path / "conf").mkdir()
    (tmp_path / "data").mkdir()
    (tmp_path / "conf" / "x.toml").write_text(TEXT.format("../data/p.csv"))
    own = NeverSent({}, others=OtherConfigs([str(tmp_path / "data"), str(tmp_path / "conf")]))
    assert "PasswordFile" in own.why(str(tmp_path / "data" / "p.csv"))
    assert own.why(str(tmp_path / "data" / "q.csv")) == "" and own.why(str(tmp_path / "conf" / "p.csv")) == ""


def test_links_pipes_and_big_files_are_not_read(tmp_path: Path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "x.toml").write_text(TEXT.format("a.csv"))
    data = tmp_path / "data"
    data.mkdir()
    (data / "link.toml").symlink_to(tmp_path / "elsewhere" / "x.toml")
    os.mkfifo(data / "pipe.toml")
    (data / "big.toml").write_text(TEXT.format("b.csv") + "#" * (256 * 1024))
    (data / "folder.toml").mkdir()
    own, _ = guard(data)
    assert [name for name in ("a.csv", "b.csv", "link.toml", "pipe.toml", "big.toml") if own.why(str(data / name))] == []


def test_a_config_is_parsed_once_for_each_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    parsed: list[str] = []
    real = other_configs.named_by
    monkeypatch.setattr(other_configs, "named_by", lambda text, path: (parsed.append(path), real(text, path))[1])
    config = tmp_path / "x.toml"
    config.write_text(TEXT.format("a.csv"))
    own, clock = guard(tmp_path)
    for number in range(20):
        clock.now += 1
        (tmp_path / f"{number}.csv").write_text("")
        assert own.why(str(tmp_path / "a.csv")) and not own.why(str(tmp_path / f"{number}.csv"))
    assert len(parsed) == 1
    config.write_text(TEXT.format("b-long.csv"))
    clock.now += 1
    assert own.why(str(tmp_path / "b-long.csv")) and not own.why(str(tmp_path / "a.csv")) and len(parsed) == 2


def test_what_is_known_stays_while_an_editor_saves(tmp_path: Path):
    config = tmp_path / "x.toml"
    config.write_text(TEXT.format("a.csv"))
    own, clock = guard(tmp_path)
    assert own.why(str(config)) == CONFIG
    for step in (lambda: config.write_text(""), config.unlink):
        step()
        clock.now += 1
        assert own.why(str(tmp_path / "a.csv"))


@pytest.mark.slow
def test_a_config_that_just_came_is_known_before_a_file_is_sent(tmp_path: Path):
    """However long ago the folder was listed: the first config of all loads the parser, too."""
    own = NeverSent({}, others=OtherConfigs([str(tmp_path)]))
    for number in range(20):
        (tmp_path / f"{number}.csv").write_text("pw")
        assert own.why(str(tmp_path / f"{number}.csv")) == ""
        (tmp_path / f"{number}.toml").write_text(TEXT.format(f"{number}.csv"))
        time.sleep(0.05)
        assert own.why_opened(str(tmp_path / f"{number}.csv"), os.stat(tmp_path / f"{number}.csv"))


def test_an_app_is_not_held_up_by_a_folder_that_takes_long(tmp_path: Path):
    class Slow(Clock):
        def __call__(self) -> float:
            self.now += 1
            return self.now

    own = NeverSent({}, others=OtherConfigs([str(tmp_path)], 0.5, Clock(), Slow()))
    assert not own.why(str(tmp_path / "a.csv"))
    (tmp_path / "x.toml").write_text(TEXT.format("a.csv"))
    assert not own.why(str(tmp_path / "a.csv"))
    own.renew(str(tmp_path))
    assert own.why(str(tmp_path / "a.csv"))


def test_a_file_that_a_new_config_names_is_known_by_its_inode(tmp_path: Path):
    (tmp_path / "a.csv").write_text("1")
    secret = tmp_path / "secret.txt"
    secret.write_text("pw")
    clock = Clock()
    own = NeverSent({}, [str(tmp_path / "a.csv")], clock, others=OtherConfigs([str(tmp_path)], timer=clock))
    assert own.why_opened(str(tmp_path / "a.csv"), os.stat(tmp_path / "a.csv")) == ""
    (tmp_path / "x.toml").write_text(TEXT.format("secret.txt"))
    own.renew(str(tmp_path))
    assert own.why_opened(str(tmp_path / "a.csv"), os.stat(secret)).startswith(f"the same file as {secret}")


@pytest.mark.parametrize(("ago_ns", "listings"), [(1, 2), (60_000_000, 1), (1_500_000_000, 1)])
def test_a_folder_is_listed_again_while_its_clock_hides_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ago_ns: int, listings: int
):
    """The time of a folder that has whole seconds only says less."""
    now = 1_700_000_000_000_000_000
    monkeypatch.setattr(time, "time_ns", lambda: now)
    listed = []
    real = os.listdir
    monkeypatch.setattr(os, "listdir", lambda path: listed.append(path) or real(path))
    for changed, count in ((now - ago_ns + 7, listings), (now - 1_000_000_000, 2)):
        os.utime(tmp_path, ns=(changed, changed))
        own, clock = guard(tmp_path)
        listed.clear()
        for _ in range(2):
            own.renew(str(tmp_path))
            clock.now += 1
        assert len(listed) == count
