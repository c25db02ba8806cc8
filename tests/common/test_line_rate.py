"""Lines of each notify: as they are where they come slowly, counted where they come fast."""

from __future__ import annotations

import logging

import pytest

from pysubtask.common.line_rate import IN_A_FILE, IN_THE_APP, LineRate, each, tell_sums


class Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


class Log:
    def __init__(self, rule: tuple[int, float]) -> None:
        self.now = 1000.0
        self.handler = Lines()
        self.logger = logging.Logger("x", logging.INFO)
        self.logger.addHandler(self.handler)
        self.handler.addFilter(LineRate(rule, lambda: self.logger.level <= logging.DEBUG, lambda: self.now))

    def run(self, secs: float, apart: float) -> list[str]:
        """Two lines for each notify; the lines of so many seconds. The sums are asked for every 3 s, as a child does."""
        self.handler.lines.clear()
        end, asked = self.now + secs, self.now
        for number in range(int(secs / apart)):
            self.logger.info("Copying [a.csv] to [%d]", number, extra=each("copied"))
            self.logger.info("Uploaded [a.csv] ([%d] bytes, [1] sent)", number, extra=each("uploaded"))
            self.now += apart
            if self.now >= asked + 3:
                asked = self.now
                tell_sums(self.logger)
        self.now = end
        return self.handler.lines


@pytest.mark.slow
def test_ten_notifies_a_second_are_no_million_lines_a_day():
    log = Log(IN_A_FILE)
    lines = log.run(3600, 0.1)
    assert len(lines) <= 2 * 30 + 2 * 60
    assert lines[:2] == ["Copying [a.csv] to [0]", "Uploaded [a.csv] ([0] bytes, [1] sent)"]
    uploads = sum(int(line[1:].split("]")[0]) if "more lines" in line else 1 for line in lines if "Uploaded" in line)
    log.now += 10
    log.handler.lines.clear()
    tell_sums(log.logger)
    uploads += sum(int(line[1:].split("]")[0]) for line in log.handler.lines if "Uploaded" in line)
    assert uploads == 36000, "each is told of once"


@pytest.mark.parametrize("apart", [2.0, 10.0, 300.0])
def test_slow_ones_are_written_as_ever(apart):
    lines = Log(IN_A_FILE).run(apart * 400, apart)
    if apart >= 5:
        assert len(lines) == 800 and not any("more lines" in line for line in lines)
    else:
        assert sum("more lines" not in line for line in lines) > 60


def test_of_a_hundred_lines_at_once_thirty_and_a_summary_stay():
    log = Log(IN_A_FILE)
    log.run(1, 0.01)
    log.now += 5
    tell_sums(log.logger)
    assert len(log.handler.lines) == 2 * 31
    assert log.handler.lines[-1] == "[70] more lines in [6] secs, the last one: Uploaded [a.csv] ([99] bytes, [1] sent)"
    log.now += 5
    assert log.run(1, 0.5)[-1].startswith("Uploaded"), "after a rest they are written again"


def test_the_apps_logging_hears_of_none_at_ten_a_second():
    log = Log(IN_THE_APP)
    log.run(2, 0.5)
    lines = log.run(600, 0.1)
    assert not [line for line in lines if "more lines" not in line]
    assert 2 * 9 <= len(lines) <= 2 * 12
    assert len(Log(IN_THE_APP).run(100, 1.0)) == 200


def test_debug_has_all_of_them_and_other_lines_are_never_held():
    log = Log(IN_A_FILE)
    log.logger.setLevel(logging.DEBUG)
    assert len(log.run(100, 0.1)) == 2000
    log.logger.setLevel(logging.INFO)
    for _ in range(100):
        log.logger.info("CONNECTED")
    assert log.handler.lines.count("CONNECTED") == 100
