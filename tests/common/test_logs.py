import io
import logging
import logging.config
import os
import re
import subprocess
import sys

import pytest

from pysubtask.common.logs import close_logging, dropped_lines, info_each, set_level, setup_logging

LINE = re.compile(r"^\d{4}-\d\d-\d\d ([01]\d|2[0-3]):\d\d:\d\d\.\d{3} \[base\.BaseSubtask\.18205\]: (INFO|WARNING|ERROR): (.*)$")
NAME = "base.BaseSubtask.18205"


def test_line_folder_and_console(tmp_path, capsys):
    file = tmp_path / "new" / "deep" / "log.txt"
    logger = setup_logging(NAME, str(file), True)
    logger.info("Polling every [%s] secs", 2)
    logger.debug("not this")
    for text in (file.read_text(), capsys.readouterr().err):
        assert [LINE.match(line).group(2, 3) for line in text.splitlines()] == [("INFO", "Polling every [2] secs")]
    close_logging(logger)
    logger.info("after")
    assert len(file.read_text().splitlines()) == 1


def test_two_masters_on_one_file_never_double_a_line(tmp_path, capsys):
    file = tmp_path / "log.txt"
    loggers = [setup_logging(NAME, str(file), True) for _ in range(3)]
    for logger in loggers:
        logger.info("one")
    assert len(file.read_text().splitlines()) == 3
    assert len(capsys.readouterr().err.splitlines()) == 3


def test_an_app_that_configures_logging_keeps_ours_unrepeated(tmp_path, capsys):
    logger = setup_logging(NAME, str(tmp_path / "log.txt"), False)
    root = logging.getLogger()
    before = root.handlers[:], root.level
    others = [one for one in root.manager.loggerDict.values() if isinstance(one, logging.Logger) and not one.disabled]
    try:
        logging.config.dictConfig(
            {
                "version": 1,
                "handlers": {"h": {"class": "logging.StreamHandler", "stream": sys.stderr}},
                "root": {"handlers": ["h"], "level": "DEBUG"},
            }
        )
        logger.info("still here")
    finally:
        root.handlers[:], root.level = before
        for one in others:  # dictConfig disables all that it does not name, those of other tests too
            one.disabled = False
    assert (tmp_path / "log.txt").read_text().endswith("still here\n")
    assert capsys.readouterr().err == ""


def test_unwritable_file_costs_one_warning(tmp_path, capsys):
    (tmp_path / "blocked").write_text("")
    logger = setup_logging(NAME, str(tmp_path / "blocked" / "log.txt"), False)
    logger.info("quiet")
    logger.error("loud")
    found = [LINE.match(line).group(2, 3) for line in capsys.readouterr().err.splitlines()]
    assert [level for level, _ in found] == ["WARNING", "ERROR"]
    assert "blocked" in found[0][1]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_full_disk_drops_and_counts_the_line_without_a_word(capsys):
    logger = setup_logging(NAME, "/dev/full", False)
    for _ in range(3):
        logger.info("x" * 10000)
    assert dropped_lines(logger) == 3
    close_logging(logger)
    assert capsys.readouterr().err == ""


def test_closed_console_hurts_nobody(monkeypatch, tmp_path):
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    logger = setup_logging(NAME, str(tmp_path / "log.txt"), True)
    stream.close()
    logger.info("kept")
    assert "kept" in (tmp_path / "log.txt").read_text()
    assert dropped_lines(logger) == 1
    monkeypatch.setattr(sys, "stderr", None)
    setup_logging(NAME, None, True).error("nowhere to go")


def test_any_file_name_makes_one_line(tmp_path):
    file = tmp_path / "log.txt"
    logger = setup_logging(NAME, str(file), False)
    logger.info("Copying [%s]", "a\nb\r\udcff.csv")
    assert file.read_text(encoding="utf-8").count("\n") == 1
    assert "a\\nb\\r\\udcff.csv" in file.read_text(encoding="utf-8")


def test_level_set_later_counts(tmp_path):
    file = tmp_path / "log.txt"
    logger = setup_logging(NAME, str(file), False)
    logger.debug("no")
    logger.setLevel(logging.DEBUG)
    logger.debug("yes")
    assert file.read_text().endswith("DEBUG: yes\n")


def test_a_pipe_that_nobody_reads_holds_nobody_up(tmp_path):
    """An app that pipes its stderr and never reads it: the log goes to the file, the console's lines are dropped."""
    code = f"""
import sys
sys.path[:0] = {sys.path!r}
from pysubtask.common.logs import dropped_lines, setup_logging
log = setup_logging('x', {str(tmp_path / "log.txt")!r}, True)
for n in range(5000):
    log.info('line %d %s', n, 'x' * 100)
print(dropped_lines(log))
"""
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        assert child.wait(60) == 0
        assert int(child.stdout.read()) > 1000
    finally:
        child.kill()
        child.stdout.close()
        child.stderr.close()
    assert (tmp_path / "log.txt").read_text().count("line ") == 5000


def test_many_rows_are_the_same_lines_as_one_by_one(tmp_path, capsys):
    rows = [(f"photo {number}.jpg\nforged", number) for number in range(300)]
    logger = setup_logging(NAME, str(tmp_path / "each.txt"), True)
    info_each(logger, "Uploaded [%s] ([%d] bytes)", iter(rows), "uploaded")
    one_by_one = setup_logging(NAME, str(tmp_path / "single.txt"), False)
    for row in rows:
        one_by_one.info("Uploaded [%s] ([%d] bytes)", *row)
    expected = [LINE.match(line).group(2, 3) for line in (tmp_path / "single.txt").read_text().splitlines()]
    for text in ((tmp_path / "each.txt").read_text(), capsys.readouterr().err):
        assert [LINE.match(line).group(2, 3) for line in text.splitlines()] == expected
    set_level(logger, "warning")
    info_each(logger, "not this [%s]", rows[:1], "uploaded")
    assert "not this" not in (tmp_path / "each.txt").read_text()
