"""Where a log is written: never through what somebody else has put in its place."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pysubtask.common.log_file import LogFile
from pysubtask.common.log_place import open_log
from pysubtask.common.logs import close_logging, setup_logging
from pysubtask.master.child import _sink
from tests.support.other_user import HIM, as_him, give_him, needs_root, open_folder

NAME = "base.BaseSubtask.1"


@pytest.fixture
def shared() -> Iterator[Path]:
    with open_folder() as folder:
        (folder / "data").mkdir()
        (folder / "data").chmod(0o777)
        (folder / "own").mkdir(0o700)
        yield folder


@pytest.fixture
def umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def test_a_log_and_its_folder_are_for_the_user_and_his_group(tmp_path: Path, umask: None):
    os.close(open_log(str(tmp_path / "a" / "logs" / "log.txt")))
    modes = [os.stat(tmp_path / path).st_mode & 0o777 for path in ("a", "a/logs", "a/logs/log.txt")]
    assert modes == [0o750, 0o750, 0o640]


def test_a_log_of_an_earlier_version_goes_on_being_used(tmp_path: Path):
    (tmp_path / "log.txt").write_text("before\n")
    (tmp_path / "log.txt").chmod(0o644)
    logger = setup_logging(NAME, str(tmp_path / "log.txt"), False)
    logger.info("after")
    close_logging(logger)
    lines = (tmp_path / "log.txt").read_text().splitlines()
    assert lines[0] == "before" and lines[1].endswith("after") and os.stat(tmp_path / "log.txt").st_mode & 0o777 == 0o644


def test_links_of_the_users_own_are_followed(tmp_path: Path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "logs").symlink_to("disk")
    (tmp_path / "disk" / "log.txt").symlink_to("today.txt")
    os.write(handle := open_log(str(tmp_path / "logs" / "log.txt")), b"line\n")
    os.close(handle)
    assert (tmp_path / "disk" / "today.txt").read_text() == "line\n"
    (tmp_path / "disk" / "log.txt").unlink()
    (tmp_path / "disk" / "log.txt").symlink_to("log.txt")
    with pytest.raises(OSError, match="Too many levels"):
        open_log(str(tmp_path / "logs" / "log.txt"))


def test_what_is_no_file_is_no_log(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(PermissionError, match="no regular file"):
        open_log(str(tmp_path / "pipe"))
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    with pytest.raises(PermissionError, match="no regular file"):
        open_log(str(tmp_path / "pipe"))
    os.close(reader)
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError):
        open_log(str(tmp_path / "folder"))


@pytest.mark.parametrize("path", ["/dev/null", "/dev/stderr"])
def test_the_systems_own_names_are_taken(path: str):
    os.close(open_log(path))


def test_the_second_name_of_a_log_gets_nothing(tmp_path: Path):
    (tmp_path / "log.txt").write_text("before\n")
    os.link(tmp_path / "log.txt", tmp_path / "backup.txt")
    os.write(handle := open_log(str(tmp_path / "log.txt")), b"after\n")
    os.close(handle)
    assert (tmp_path / "log.txt").read_text() == "before\nafter\n" and (tmp_path / "backup.txt").read_text() == "before\n"
    assert sorted(os.listdir(tmp_path)) == ["backup.txt", "log.txt"]


@needs_root
class TestOfAnother:
    """What another user put in the place of a log, or of its folder, in a folder that all may write."""

    def prepare(self, folder: Path, kind: str) -> tuple[Path, Path]:
        """The log's path, and the file that must stay as it is."""
        canary = folder / "own" / "log.txt"
        canary.write_text("canary")
        log = folder / "data" / "logs" / "log.txt"
        if kind == "folder link":
            as_him(lambda: os.symlink(folder / "own", folder / "data" / "logs"))
        else:
            (folder / "data" / "logs").mkdir(0o777)
            (folder / "data" / "logs").chmod(0o777)
            as_him(
                {
                    "link": lambda: os.symlink(canary, log),
                    "dangling": lambda: os.symlink(folder / "own" / "new.txt", log),
                    "his": lambda: log.write_text("his own"),
                    "pipe": lambda: os.mkfifo(log),
                }[kind]
            )
        return log, canary

    @pytest.mark.parametrize("kind", ["folder link", "link", "dangling", "his", "pipe"])
    def test_it_is_refused_in_one_line(self, kind: str, shared: Path, capsys: pytest.CaptureFixture[str]):
        log, canary = self.prepare(shared, kind)
        logger = setup_logging(NAME, str(log), False)
        logger.info("a line")
        close_logging(logger)
        assert _sink(str(log)) is None
        assert canary.read_text() == "canary" and os.listdir(shared / "own") == ["log.txt"]
        errors = capsys.readouterr().err.splitlines()
        assert len(errors) == 1 and f"Log file [{log}] cannot be written" in errors[0]

    @pytest.mark.parametrize("kind", ["folder link", "link"])
    def test_so_while_it_is_written(self, kind: str, shared: Path):
        """A log that is moved away is opened anew, and one that is full is put aside."""
        log = shared / "data" / "logs" / "log.txt"
        handler = LogFile(str(log), max_bytes=60)
        (shared / "data" / "logs").chmod(0o777)
        canary = shared / "own" / "log.txt"
        canary.write_text("canary")
        record = __import__("logging").makeLogRecord({"msg": "x" * 50})
        handler.emit(record)

        def swap() -> None:
            if kind == "link":
                os.rename(log, f"{log}.was")
                os.symlink(canary, log)
            else:
                os.rename(log.parent, shared / "data" / "was")
                os.symlink(shared / "own", log.parent)

        give_him(shared / "data")
        (shared / "data").chmod(0o777)
        as_him(swap)
        for _ in range(3):
            handler.emit(record)
        handler.close()
        assert canary.read_text() == "canary" and os.listdir(shared / "own") == ["log.txt"] and handler.dropped == 0

    def test_a_folder_of_another_may_hold_a_log_of_ours(self, shared: Path):
        (shared / "data" / "logs").mkdir()
        os.chown(shared / "data" / "logs", HIM, HIM)
        os.close(open_log(str(shared / "data" / "logs" / "log.txt")))
        assert os.stat(shared / "data" / "logs" / "log.txt").st_uid == 0

    @pytest.mark.parametrize(("mode", "works"), [(0o755, True), (0o777, False)])
    def test_a_log_that_root_has_created_for_him(self, mode: int, works: bool, shared: Path):
        folder = shared / "log"
        folder.mkdir()
        (folder / "log.txt").write_text("")
        (folder / "log.txt").chmod(0o666)
        folder.chmod(mode)

        def write() -> None:
            try:
                os.write(open_log(str(folder / "log.txt")), b"line\n")
            except PermissionError:
                assert not works

        as_him(write)
        assert (folder / "log.txt").read_text() == ("line\n" if works else "")
