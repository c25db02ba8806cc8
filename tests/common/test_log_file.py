"""A log file that is put aside when it is full, whoever writes to it; JSON lines; the journal's own form."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pysubtask.common import log_file
from pysubtask.common.log_lines import is_journal
from pysubtask.common.logs import dropped_lines, follow, info_each, set_level, setup_logging

NAME = "base.BaseSubtask.18205"

WRITER = f"""
import sys
sys.path[:0] = {sys.path!r}
from pysubtask.common.logs import dropped_lines, setup_logging
who, file, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
log = setup_logging('x', file, False, max_bytes=4000, keep=1000)
for n in range(count):
    log.info('%s %d %s', who, n, 'x' * (n % 90))
print(dropped_lines(log))
"""


def lines_of(folder: Path) -> list[str]:
    """All lines of a log and what was put aside of it, oldest first."""
    files = sorted(folder.glob("log.txt.*"), key=lambda path: -int(path.suffix[1:]))
    return [line for path in [*files, folder / "log.txt"] for line in path.read_text().splitlines()]


def test_a_full_file_is_put_aside_and_so_many_are_kept(tmp_path: Path):
    logger = setup_logging(NAME, str(tmp_path / "log.txt"), False, max_bytes=1000, keep=2)
    for number in range(100):
        logger.info("line %03d", number)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log.txt", "log.txt.1", "log.txt.2"]
    assert all(path.stat().st_size <= 1000 for path in tmp_path.iterdir())
    numbers = [int(line[-3:]) for line in lines_of(tmp_path)]
    assert numbers == list(range(numbers[0], 100)) and len(numbers) > 30, "the newest, without a gap"


def test_many_writers_lose_no_line_and_tear_none(tmp_path: Path):
    count, writers = 1500, ["a", "b", "c"]
    file = str(tmp_path / "log.txt")
    started = [subprocess.Popen([sys.executable, "-c", WRITER, who, file, str(count)], stdout=subprocess.PIPE) for who in writers]
    assert [process.communicate(timeout=100)[0].strip() for process in started] == [b"0"] * 3
    found: dict[str, list[int]] = {who: [] for who in writers}
    for line in lines_of(tmp_path):
        who, number, filling = (line.split("INFO: ")[1] + " ").split(" ")[:3]
        assert filling == "x" * (int(number) % 90), line
        found[who].append(int(number))
    assert {who: sorted(numbers) for who, numbers in found.items()} == {key: list(range(count)) for key in writers}
    assert len(list(tmp_path.iterdir())) > 20  # how often depends on who meets whom at the lock


@pytest.mark.parametrize("own", [False, True])
def test_a_file_that_somebody_moved_or_removed_is_opened_anew(tmp_path: Path, own: bool):
    logger = setup_logging(NAME, str(tmp_path / "logs" / "log.txt"), False, own_process=own)
    logger.info("one")
    (tmp_path / "logs" / "log.txt").rename(tmp_path / "moved")
    logger.info("two")
    for word in ("two", "three"):
        assert word in (tmp_path / "logs" / "log.txt").read_text()
        shutil.rmtree(tmp_path / "logs")
        logger.info("three")
    assert "one" in (tmp_path / "moved").read_text() and dropped_lines(logger) == 0


def test_what_cannot_be_put_aside_grows_and_nothing_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    logger = setup_logging(NAME, str(tmp_path / "log.txt"), False, max_bytes=300, keep=2)
    with monkeypatch.context() as patched:

        def refused(*names: str, **folders: int) -> None:
            raise PermissionError

        patched.setattr(log_file.os, "replace", refused)
        for number in range(10):
            logger.info("line %d", number)
    assert len(lines_of(tmp_path)) == 10 and dropped_lines(logger) == 0
    logger.info("the last")
    assert [len(path.read_text().splitlines()) for path in (tmp_path / "log.txt.1", tmp_path / "log.txt")] == [10, 1]


def test_a_rotation_that_was_killed_midway_pushes_nothing_out(tmp_path: Path):
    (tmp_path / "log.txt.2").write_text("older\n")  # .1 had been moved up, the log not yet
    (tmp_path / "log.txt").write_text("newer\n" * 100)
    setup_logging(NAME, str(tmp_path / "log.txt"), False, max_bytes=300, keep=2).info("newest")
    assert [path.read_text().split("\n")[0][-6:] for path in sorted(tmp_path.iterdir())] == ["newest", "newer", "older"]


def test_a_forked_copy_writes_through_a_file_of_its_own(tmp_path: Path):
    logger = setup_logging(NAME, str(tmp_path / "log.txt"), False, max_bytes=500, keep=100)
    logger.info("before")
    pid = os.fork()
    if not pid:
        for number in range(50):
            logger.info("copy %d", number)
        os._exit(dropped_lines(logger))
    for number in range(50):
        logger.info("original %d", number)
    assert os.waitpid(pid, 0)[1] == 0
    assert len(lines_of(tmp_path)) == 101


def test_the_output_of_a_child_follows_its_log(tmp_path: Path):
    """What no log call writes (the interpreter's own last words) must not go to a file that was put aside long ago."""
    code = f"""
import os, sys
sys.path[:0] = {sys.path!r}
from pysubtask.common.logs import setup_logging
log = setup_logging('x', {str(tmp_path / "log.txt")!r}, False, max_bytes=300, keep=1, own_output=True)
for n in range(50):
    log.info('line %d', n)
os.write(2, b'the last words')
"""
    with open(tmp_path / "log.txt", "ab") as sink:
        assert subprocess.run([sys.executable, "-c", code], stdout=sink, stderr=sink, timeout=60).returncode == 0
    assert (tmp_path / "log.txt").read_text().endswith("the last words")


def test_a_line_after_one_that_a_full_disk_cut_stands_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    logger = setup_logging(NAME, str(tmp_path / "log.txt"), False)
    write, calls = os.write, []

    def short(fd: int, data: bytes) -> int:
        calls.append(1)
        if len(calls) > 1:
            raise OSError(28, "No space left on device")
        return write(fd, bytes(data)[:20])

    with monkeypatch.context() as patched:
        patched.setattr(log_file.os, "write", short)
        logger.info("cut")
    logger.info("whole")
    first, second = (tmp_path / "log.txt").read_text().splitlines()
    assert len(first) == 20 and second.endswith("INFO: whole") and dropped_lines(logger) == 1


def test_threads_share_a_logger(tmp_path: Path):
    logger = setup_logging(NAME, str(tmp_path / "log.txt"), False, max_bytes=2000, keep=500)
    threads = [threading.Thread(target=lambda: [logger.info("a line %d", n) for n in range(200)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(lines_of(tmp_path)) == 800


def test_json_has_one_object_a_line_whatever_is_in_it(tmp_path: Path):
    logger = setup_logging(NAME, str(tmp_path / "log.txt"), False, task="roof", form="json")
    set_level(logger, "debug")
    logger.debug("Copying [%s] %d", 'a\n"b"\r\udcff.csv', 3)
    try:
        raise ValueError("wrong\nin two lines")
    except ValueError:
        logger.exception("failed")
    first, second = [json.loads(line) for line in (tmp_path / "log.txt").read_text().splitlines()]
    assert first | {"at": ""} == {
        "at": "",
        "level": "debug",
        "task": "roof",
        "who": "base.BaseSubtask",
        "pid": os.getpid(),
        "message": 'Copying [a\n"b"\r\\udcff.csv] 3',
    }
    assert first["at"].endswith("Z") and "ValueError: wrong\nin two lines" in second["trace"] and second["level"] == "error"
    assert set(first) == {"at", "level", "task", "who", "pid", "message"}


def test_a_long_json_line_on_the_console_is_cut_inside(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    logger = setup_logging(NAME, None, True, form="json")
    logger.error("é" * 5000)
    line = capsys.readouterr().err
    assert len(line) <= 1001 and set(json.loads(line)["message"]) == {"é"}


@pytest.mark.parametrize("form", ["text", "json"])
def test_in_the_journal_a_line_has_its_priority_and_no_time(tmp_path: Path, form: str):
    """As a service: JOURNAL_STREAM names the file behind stderr."""
    code = f"""
import os, sys
sys.path[:0] = {sys.path!r}
found = os.fstat(2)
os.environ['JOURNAL_STREAM'] = f'{{found.st_dev}}:{{found.st_ino}}'
from pysubtask.common.logs import set_level, setup_logging
log = setup_logging('base.X.7', {str(tmp_path / "log.txt")!r}, True, form={form!r})
set_level(log, 'debug')
for level in ('debug', 'info', 'warning', 'error', 'critical'):
    getattr(log, level)('a %s', level)
try:
    1 / 0
except ZeroDivisionError:
    log.exception('failed')
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    lines = done.stderr.splitlines()
    assert [line[:3] for line in lines[:6]] == ["<7>", "<6>", "<4>", "<3>", "<3>", "<3>"]
    assert all(line.startswith("<3>") for line in lines[6:])
    if form == "text":
        assert lines[1] == "<6>[base.X.7]: a info" and lines[-1].startswith("<3>ZeroDivisionError")
    else:
        assert json.loads(lines[1][3:])["message"] == "a info" and len(lines) == 6
    assert not (tmp_path / "log.txt").read_text().startswith("<"), "the file is as ever"


def test_another_stream_is_not_the_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("JOURNAL_STREAM", "1:2")
    with open(tmp_path / "x", "w") as stream:
        assert not is_journal(stream)
        found = os.fstat(stream.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{found.st_dev}:{found.st_ino}")
        assert is_journal(stream)
    assert not is_journal(stream) and not is_journal(None)


def test_a_log_that_cannot_be_opened_leaves_no_exit_handler(tmp_path: Path):
    (tmp_path / "log.txt").mkdir()
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys\nfrom pysubtask.common.log_file import LogFile\n"
            "try:\n    LogFile(sys.argv[1])\nexcept OSError as exc:\n    kept = exc",
            str(tmp_path / "log.txt"),
        ],
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")


def closed_and_used_again(logger, tmp_path: Path) -> tuple[int, Path]:
    """Close the log's descriptor behind its back, as an app that turns into a daemon does, and open a file that gets its number."""
    (handler,) = [one for one in logger.handlers if isinstance(one, log_file.LogFile)]
    precious = tmp_path / "precious.dat"
    opened = os.open(precious, os.O_RDWR | os.O_CREAT)
    os.dup2(opened, handler._fd)
    os.close(opened)
    return handler._fd, precious


def test_a_descriptor_that_the_app_closed_and_reused_is_the_apps(tmp_path: Path):
    logger = setup_logging(NAME, str(tmp_path / "log.txt"), False)
    logger.info("first")
    fd, precious = closed_and_used_again(logger, tmp_path)
    logger.info("second")
    logger.info("third")
    assert precious.read_bytes() == b""
    os.write(fd, b"data")  # and it is still open
    assert [line[-6:].strip() for line in (tmp_path / "log.txt").read_text().splitlines()] == ["first", "second", "third"]
    for handler in logger.handlers:
        handler.close()
    os.close(fd)


def test_nor_is_it_closed_at_the_end(tmp_path: Path):
    logger = setup_logging(NAME, str(tmp_path / "log.txt"), False)
    fd, precious = closed_and_used_again(logger, tmp_path)
    for handler in logger.handlers:
        handler.close()
    os.write(fd, b"data")
    os.close(fd)
    assert precious.read_bytes() == b"data"


def test_a_log_whose_descriptor_is_closed_goes_on(tmp_path: Path):
    logger = setup_logging(NAME, str(tmp_path / "log.txt"), False)
    (handler,) = [one for one in logger.handlers if isinstance(one, log_file.LogFile)]
    os.close(handler._fd)
    logger.info("on")
    assert (tmp_path / "log.txt").read_text().endswith("on\n") and dropped_lines(logger) == 0


OUTPUTS = f"""
import os, sys
sys.path[:0] = {sys.path!r}
from pysubtask.common.logs import setup_logging
os.closerange(0, 3)
files = [os.open(name, os.O_RDWR | os.O_CREAT) for name in ("zero.dat", "one.dat", "two.dat")]
assert files == [0, 1, 2]
log = setup_logging("x", "log.txt", True)
log.error("a line")
os.write(2, b"data")
"""


def test_a_file_that_has_the_number_of_an_output_is_the_apps(tmp_path: Path):
    subprocess.run([sys.executable, "-c", OUTPUTS], cwd=tmp_path, check=True, timeout=60)
    assert [(tmp_path / f"{name}.dat").read_bytes() for name in ("zero", "one", "two")] == [b"", b"", b"data"]
    assert "a line" in (tmp_path / "log.txt").read_text()


def test_a_log_that_was_moved_away_is_closed_without_a_new_line(tmp_path: Path):
    """logrotate moves it and removes it later: what is held open keeps its room on the disk."""
    logger = setup_logging(NAME, str(tmp_path / "log.txt"), False)
    logger.info("first")
    os.rename(tmp_path / "log.txt", tmp_path / "log.txt.old")
    (tmp_path / "log.txt").touch()
    os.unlink(tmp_path / "log.txt.old")
    follow(logger)
    numbers = [f"/proc/self/fd/{number}" for number in os.listdir("/proc/self/fd")]
    held = [os.readlink(number) for number in numbers if os.path.islink(number)]
    assert not [path for path in held if path.startswith(str(tmp_path)) and "(deleted)" in path]
    logger.info("second")
    assert (tmp_path / "log.txt").read_text().endswith("second\n")


def test_rows_logged_together_keep_the_files_size_and_all_stay(tmp_path: Path):
    logger = setup_logging(NAME, str(tmp_path / "log.txt"), False, max_bytes=1000, keep=1000)
    info_each(logger, "row %03d", ((number,) for number in range(100)), "row")
    logger.info("row 100")
    assert all(path.stat().st_size <= 1000 for path in tmp_path.iterdir())
    assert [int(line[-3:]) for line in lines_of(tmp_path)] == list(range(101))
    assert dropped_lines(logger) == 0


def test_rows_that_cannot_be_written_are_each_counted(tmp_path: Path):
    folder = tmp_path / "gone"
    logger = setup_logging(NAME, str(folder / "log.txt"), False)
    shutil.rmtree(folder)
    folder.write_text("a file in its place")
    os.close(logger.handlers[0]._fd)  # as an app does that closes all it has
    info_each(logger, "row %03d", ((number,) for number in range(7)), "row")
    assert dropped_lines(logger) == 7
