"""What is foreign forges no line of a log and steers no terminal."""

from __future__ import annotations

import io
import re
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pysubtask.common.log_lines import JournalFormatter
from pysubtask.common.logs import _Text, close_logging, setup_logging
from pysubtask.common.plain import one_line, plain
from pysubtask.testing.servers.hostile_sftp import WORDS

EVIL = [
    "\n",
    "\r",
    "\x0b",
    "\x0c",
    "\x1c",
    "\x1d",
    "\x1e",
    "\x85",
    "\u2028",
    "\u2029",
    "\x1b]0;T\x07",
    "\x1b[2J",
    "\x9b2J",
    "\x7f",
    "\u202e",
    "\u2066",
    "\u200f",
    "\ufeff",
    "\x00",
    "\t",
    "\u061c",
]
FORGED = "<3>[pysubtask.TaskMaster.1]: ERROR: disk failing"


def log_of(form: str, message: str, tmp_path, monkeypatch, error: Exception | None = None) -> list[str]:
    """The log's lines in a file and on a console."""
    console = io.StringIO()
    monkeypatch.setattr(sys, "stderr", console)
    log = setup_logging("a.B.1", str(tmp_path / "log"), True, form=form)
    if error is None:
        log.warning("Copying [%s]", message)
    else:
        try:
            raise error
        except Exception:
            log.exception("failed")
    close_logging(log)
    text = (tmp_path / "log").read_text(encoding="utf-8")
    assert text.endswith("\n") and console.getvalue().endswith("\n")
    return [*text[:-1].split("\n"), *console.getvalue()[:-1].split("\n")]


@pytest.mark.parametrize("sign", EVIL)
@pytest.mark.parametrize("form", ["text", "json"])
def test_any_name_is_one_line_of_printable_characters(sign, form, tmp_path, monkeypatch):
    lines = log_of(form, f"b{sign}{FORGED}{sign}more.csv", tmp_path, monkeypatch)
    assert len(lines) == 2, lines
    assert all(line.isprintable() for line in lines)
    assert all(len(line.splitlines()) == 1 for line in lines)


@pytest.mark.parametrize("sign", EVIL)
def test_the_error_in_a_traceback_forges_no_line(sign, tmp_path, monkeypatch):
    begins = "2026-11-21 20:37:10.205 [a.B.1]: ERROR: forged"
    lines = log_of("text", "", tmp_path, monkeypatch, ValueError(f"no{sign}{begins}"))
    assert all(line.isprintable() for line in lines)
    assert sum(line.startswith("20") for line in lines) == 2, "the two of ours"
    assert any(line.startswith("ValueError: no") for line in lines)


@pytest.mark.parametrize("sign", EVIL)
def test_a_line_of_the_journal_is_cut_at_a_line_feed_alone(sign):
    import logging

    record = logging.LogRecord("x", logging.INFO, "", 0, "Copying [%s]", (f"b{sign}{FORGED}{sign}more.csv",), None)
    text = JournalFormatter(_Text("a.B.1", None, "[%(logger_name)s]: %(message)s")).format(record)
    assert text.count("\n") == 0 and text.startswith("<6>[a.B.1]: Copying")
    assert re.findall(r"(?m)^<\d>", text) == ["<6>"]


def test_the_journal_is_fed_so(tmp_path):
    """The whole way, in a process of its own, whose stderr it takes for the journal."""
    import subprocess

    code = (
        "import os, sys\n"
        "found = os.fstat(2)\n"
        "os.environ['JOURNAL_STREAM'] = f'{found.st_dev}:{found.st_ino}'\n"
        "from pysubtask.common.logs import setup_logging\n"
        f"setup_logging('a.B.1', None, True).info('Copying [%s]', 'b\\x0c{FORGED}\\x0cmore.csv')\n"
    )
    with open(tmp_path / "err", "wb") as file:
        subprocess.run([sys.executable, "-c", code], stderr=file, timeout=60, check=True)
    output = (tmp_path / "err").read_bytes()
    assert output.count(b"\n") == 1 and b"\x0c" not in output


@given(st.text())
def test_plain_is_printable_and_leaves_what_is(text):
    assert all(letter.isprintable() or unicodedata.category(letter) == "Zs" for letter in plain(text))
    assert plain(plain(text)) == plain(text)
    if text.isprintable():
        assert plain(text) == text
    assert "\n" not in one_line(text) and len(one_line(text).splitlines()) <= 1


def test_words_of_a_hostile_server():
    assert plain(WORDS).isprintable() and "\\x1b]0;OWNED\\x07" in plain(WORDS)
    assert one_line("a\nb\r\udcff\x1b") == "a\\nb\\r\udcff\\x1b"
