"""What makes the files of an entry go, in words."""

from __future__ import annotations

import pytest

from pysubtask.common.entries import read_entries
from pysubtask.common.triggers import when_sent


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"file": "in/weather.csv"}, "sent when weather.csv.notify is touched"),
        ({"file": "in/weather.csv", "on_change": True}, "sent when it changes"),
        ({"dir": "in"}, "each new file is sent once, and again when FILE.notify is touched"),
        ({"dir": "in", "on_change": True}, "each file is sent when it is new and when it changes"),
    ],
)
def test_each_kind_of_entry_says_what_makes_it_go(entry, words):
    assert when_sent(read_entries([entry])[0]) == words
