"""The story of Malacoda: its README's MessageDaemon, in its own words."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

import pysubtask
from pysubtask import NoAnswer, NoSuchDaemon, compat
from tests.support.daemons import Program, get, gone

MESSAGES = """
import time
from threading import RLock
from pysubtask.compat import Malacoda

class MessageDaemon(Malacoda):
    def __init__(self, daemonize=False):
        self.messages = []
        self.pst_counter = 0
        self.lock = RLock()
        super(MessageDaemon, self).__init__(daemonize=daemonize, pst_config={'class_name': 'PstFileStorage'})

    def _run(self):
        while self.running:
            with self.lock:
                if self.messages:
                    print('Found %s new messages' % len(self.messages))
                    self.messages = []
            time.sleep(5)
        self.finished = True

    def insert_message(self, msg):
        with self.lock:
            self.messages.append(msg)
            self.pst_counter += 1
        return 'Message received!'

    def slow(self, secs):
        "Takes its time."
        time.sleep(secs)
        return secs

    def cleanup(self):
        print("cleanup", self.pst_counter)

if __name__ == "__main__":
    MessageDaemon(False)
"""


@pytest.mark.slow
def test_the_example_of_the_readme(place):
    with Program(place, MESSAGES, module="messages") as program:
        d = get("MessageDaemon")
        assert d.insert_message("hello world") == "Message received!"
        assert d.pst_counter == 1
        assert Path(f"/proc/{program.process.pid}/comm").read_text().strip() == "MessageDaemon"
        d.insert_message("hello again")
        program.kill()
    with Program(place, MESSAGES, module="messages") as program:
        get("MessageDaemon")
        assert d.pst_counter == 2
        d.pst_counter = 0
        assert d.pst_counter == 0
        with pytest.raises(AttributeError, match="no item or method 'no_such'"):
            _ = d.no_such
        assert d.slow.__doc__ == "Takes its time."
        d.stop()
        assert program.wait() == 0
        assert program.text().count("cleanup 0") == 1
    with pytest.raises(NoSuchDaemon):
        d.insert_message("nobody is there")


@pytest.mark.slow
def test_a_timeout_expires_and_the_next_call_works(place):
    with Program(place, MESSAGES, module="messages"):
        d = get("MessageDaemon")
        begun = time.monotonic()
        with pytest.raises(NoAnswer, match=r"^MessageDaemon.slow: no answer within 2 s"):
            d.slow(20, timeout=2)
        assert 1.9 < time.monotonic() - begun < 20
        assert d.insert_message("next") == "Message received!"


@pytest.mark.slow
def test_sigterm_ends_it_within_two_seconds_though_it_sleeps(place):
    with Program(place, MESSAGES.replace("time.sleep(5)", "time.sleep(300)"), module="messages") as program:
        d = get("MessageDaemon")
        d.insert_message("kept")
        begun = time.monotonic()
        assert program.stop() == 0
        assert time.monotonic() - begun < 20  # it takes 1.6 s: the sleep is interrupted after 1.5
        assert program.text().count("cleanup 1") == 1
    known = [one for one in pysubtask.daemons(all=True) if one.name == "MessageDaemon"]
    assert known and not known[0].alive and known[0].ended and not known[0].error


@pytest.mark.slow
def test_stop_by_name(place):
    with Program(place, MESSAGES, module="messages"):
        get("MessageDaemon")
        compat.stop("MessageDaemon")
        gone("MessageDaemon")


def test_daemonize_says_what_to_do_instead(place):
    source = MESSAGES.replace("MessageDaemon(False)", "MessageDaemon(True)")
    with Program(place, source, module="messages") as program:
        assert program.wait() == 1
        assert "pysubtask service MODULE:CLASS" in program.text()
