"""Pauses that a server asks for: a number or a date, never longer than an hour, nonsense is none."""

from __future__ import annotations

import math
import random
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import pytest

from pysubtask.common.errors import LONGEST_PAUSE, ServerBusy
from pysubtask.common.events import utc
from pysubtask.delivery_rules.retry import Policy, decide
from pysubtask.transports.dropbox.http_session import HttpSession, pause_in

NOW = 1_700_000_000.0
DATE = format_datetime(datetime.fromtimestamp(NOW + 120, UTC), usegmt=True)


@pytest.mark.parametrize(
    ("words", "secs"),
    [
        ("2", 2),
        (" 2.5 ", 2.5),
        ("0", 0),
        ("-1", 0),
        ("nan", 0),
        ("-nan", 0),
        ("inf", 3600),
        ("-inf", 0),
        ("1e300", 3600),
        ("1e9", 3600),
        ("9" * 10_000, 3600),
        ("3601", 3600),
        (DATE, 120),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 3600),
        ("Fri, 31 Dec 99999 23:59:59 GMT", 0),
        ("soon", 0),
        ("", 0),
        ("x" * 100_000, 0),
        ("0x10", 0),
        ("Mon, 99 Foo 2020 99:99:99 GMT", 0),
    ],
)
def test_a_header(words: str, secs: float):
    assert pause_in(words, NOW) == pytest.approx(secs)


@pytest.mark.parametrize("asked", [1e9, 1e300, math.inf, math.nan, -math.inf, -5.0, 0.0, 10**400 // 10**395, 3600.0, 7.0])
def test_a_decision_waits_an_hour_at_most(asked: float):
    policy = Policy(3, 3.0, 30.0, 60.0)
    busy = ServerBusy("wait", asked)
    assert 0 <= busy.retry_after <= LONGEST_PAUSE
    for _ in range(20):
        secs = decide(1, busy, policy, random.random()).secs
        assert 0 < secs <= LONGEST_PAUSE
        utc(NOW + secs)


class Response:
    def __init__(self, **headers: str) -> None:
        self.headers: dict[str, Any] = {key.replace("_", "-"): value for key, value in headers.items()}


@pytest.mark.parametrize(("header", "secs"), [("inf", "3600"), ("1.2", "2"), ("soon", "0"), ("nan", "0"), ("1e300", "3600")])
def test_the_sdk_is_given_whole_seconds(header: str, secs: str):
    """It reads the header itself, with int()."""
    pytest.importorskip("dropbox")
    from pysubtask.transports.shared.meter import Meter
    from pysubtask.transports.shared.pace import Pace

    http = HttpSession("", None, 1, 5.0, Pace(0), Meter())
    response = Response(retry_after=header)
    http._answered(response)
    assert response.headers["retry-after"] == secs
    assert http.retry_after() <= LONGEST_PAUSE
    http._answered(Response())
    http.cut()
