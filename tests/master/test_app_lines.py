"""Lines in the logging of the app: the master's at once, a child's by its file."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from pysubtask import ConfigError, Section, TaskMaster
from pysubtask.common import app_log
from pysubtask.common.line_rate import each
from pysubtask.common.own_folders import make_folder

FTP = {"Host": "files.example.org"}


@pytest.fixture
def folder(tmp_path: Path) -> str:
    path = str(tmp_path / ".pysubtask" / "main" / "ftp")
    make_folder(path)
    return path


def child_logger(folder: str) -> logging.Logger:
    logger = logging.Logger("child", logging.INFO)
    handler = app_log.LineFile(folder, "ftp.FTPSubtask.123", "main")
    handler.addFilter(app_log.rate(logger))
    logger.addHandler(handler)
    return logger


def test_lines_of_a_child_keep_level_time_process_and_trace(folder, caplog):
    log = child_logger(folder)
    log.error("of an earlier run")
    reader = app_log.LineReader(folder, logging.getLogger("pysubtask.ftp"))
    log.info("***** HELLO!: [%s] *****", "x")
    log.warning("a name with\nline feed")
    try:
        raise OSError("gone")
    except OSError:
        log.exception("failed")
    log.debug("not shown")
    with caplog.at_level(logging.DEBUG):
        reader.read()
        reader.read()
    assert [(one.name, one.levelname, one.getMessage()) for one in caplog.records] == [
        ("pysubtask.ftp", "INFO", "***** HELLO!: [x] *****"),
        ("pysubtask.ftp", "WARNING", "a name with\\nline feed"),
        ("pysubtask.ftp", "ERROR", "failed"),
    ]
    assert caplog.records[0].process == os.getpid() and "OSError: gone" in str(caplog.records[2].exc_text)


def test_of_a_notify_the_app_hears_once_and_of_fast_ones_never(folder, caplog):
    log = child_logger(folder)
    reader = app_log.LineReader(folder, logging.getLogger("pysubtask.ftp"))
    for number in range(50):
        log.info("Copying [%d]", number, extra=each("copied"))
        log.info("Uploaded [%d]", number, extra=each("uploaded"))
    with caplog.at_level(logging.DEBUG):
        reader.read(everything=True)
    assert [one.getMessage() for one in caplog.records] == ["Uploaded [0]"]
    caplog.clear()
    log.setLevel(logging.DEBUG)
    log.info("Copying [x]", extra=each("copied"))
    with caplog.at_level(logging.DEBUG):
        reader.read()
    assert [(one.levelname, one.getMessage()) for one in caplog.records] == [("DEBUG", "Copying [x]")]


def test_a_file_that_was_put_aside_is_read_to_its_end(folder, caplog, monkeypatch):
    monkeypatch.setattr(app_log, "ROTATE_BYTES", 2000)
    log = child_logger(folder)
    reader = app_log.LineReader(folder, logging.getLogger("pysubtask.ftp"))
    with caplog.at_level(logging.INFO):
        for number in range(40):
            log.info("line %d", number)
            if number % 7 == 0:
                reader.read(everything=True)
        reader.read(everything=True)
    assert [one.getMessage() for one in caplog.records] == [f"line {number}" for number in range(40)]
    assert Path(folder, app_log.FILE + ".1").exists()


def test_garbage_and_a_handler_that_raises_end_nothing(folder, caplog):
    class Bad(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise RuntimeError("the app's own fault")

    target = logging.getLogger("pysubtask.bad")
    reader = app_log.LineReader(folder, target)
    Path(folder, app_log.FILE).write_bytes(b'\0\xff\n[]\n{}\n{"level": 3}\n')
    os.chmod(Path(folder, app_log.FILE), 0o600)
    child_logger(folder).info("good")
    bad = Bad()
    target.addHandler(bad)
    try:
        with caplog.at_level(logging.INFO):
            reader.read(everything=True)
        master = TaskMaster([{"file": Path(folder).parents[2] / "a.csv"}], {"ftp": FTP}, Logger=target)
        target.getChild("master").addHandler(bad)
        assert master.notify_file_by_index(99) is False
    finally:
        target.removeHandler(bad)
        target.getChild("master").removeHandler(bad)


def test_the_masters_lines_go_to_the_app_and_nowhere_else(tmp_path, monkeypatch, caplog, capfd):
    monkeypatch.chdir(tmp_path)
    with caplog.at_level(logging.INFO):
        master = TaskMaster([{"file": "a.csv"}], {"ftp": FTP}, Logger="station.upload")
        master.notify_file_by_index(7)
    assert [(one.name, one.levelname, one.getMessage()) for one in caplog.records] == [
        ("station.upload.master", "ERROR", "Notify file index [7] out of range!")
    ]
    assert capfd.readouterr().err == "" and not (tmp_path / "logs").exists()
    assert master._supervisor.children[0].plan.settings["Subtask_Log_FileName"] is None


@pytest.mark.parametrize(
    "config",
    [
        {"ftp": {**FTP, "Subtask_Log_FileName": "child.log", "Master_Log_FileName": "./logs/ftp_taskmaster.log.txt"}},
        {"ftp": FTP, "base": Section(Subtask_Log_FileName="child.log", Master_Log_FileName="master.log")},
    ],
)
def test_a_log_file_that_was_asked_for_is_written(tmp_path, monkeypatch, config):
    monkeypatch.chdir(tmp_path)
    master = TaskMaster([{"file": "a.csv"}], config, Logger=logging.getLogger("station"))
    master.notify_file_by_index(7)
    assert master._supervisor.children[0].plan.settings["Subtask_Log_FileName"] == "child.log"
    assert "out of range" in Path(str(master._task.log.file)).read_text()


@pytest.mark.parametrize("given", [3, "", True, logging])
def test_a_wrong_logger_is_one_line(tmp_path, given):
    with pytest.raises(ConfigError, match=r"^Logger: .*logging.getLogger\('station.upload'\), or its name"):
        TaskMaster([{"file": tmp_path / "a.csv"}], {"ftp": FTP}, Logger=given)
