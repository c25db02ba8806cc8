"""Which times a server may show for a file that nobody has changed. Pure."""

from __future__ import annotations

import pytest

from pysubtask.common.remote_times import is_same_time
from pysubtask.delivery_rules.remote_content import Known, already_there
from pysubtask.transports.base import RemoteStat

AT = 1_700_000_017


@pytest.mark.parametrize(
    "remote_time",
    [
        AT,
        AT - 1,
        AT // 60 * 60,
        AT // 60 * 60 + 60,
        AT + 3600,
        AT - 7200,
        AT + 5 * 3600 + 45 * 60,
        AT - 12 * 3600,
        AT - 1 + 3600,
        AT // 60 * 60 - 3600,
    ],
)
def test_a_rounded_or_shifted_time_is_the_same(remote_time: int):
    assert is_same_time(AT, remote_time)


@pytest.mark.parametrize(
    "remote_time", [None, AT + 1 + 60, AT + 3, AT - 62, AT + 3601 + 3, AT + 10 * 86400, AT + 1000, AT - 100_000]
)
def test_any_other_is_not(remote_time: int | None):
    assert not is_same_time(AT, remote_time)


def known(size: int, mtime: int, digest: str) -> Known:
    return Known(RemoteStat(size, mtime), digest)


def test_a_shifted_time_proves_a_delivery_if_nothing_else_fits():
    there = RemoteStat(10, AT + 3600)
    assert already_there(known(10, AT, "a"), 10, AT * 10**9, "a", there, sure=True)
    assert not already_there(known(10, AT, "a"), 10, AT * 10**9, "a", there)
    assert not already_there(known(10, AT, "a"), 10, AT * 10**9, "a", RemoteStat(11, AT + 3600), sure=True)
    assert not already_there(known(10, AT, "a"), 10, AT * 10**9, "a", RemoteStat(10, AT + 3600, "rev"), sure=True)


def test_a_shifted_time_proves_a_cut_upload_if_the_last_differs():
    """An hourly file of always the same size: the old one, of an hour ago, is not taken for the new one."""
    there = RemoteStat(10, AT - 3600)
    assert not already_there(known(10, AT - 3600, "old"), 10, AT * 10**9, "new", there, sure=True)
    assert already_there(known(9, AT - 3600, "old"), 10, AT * 10**9, "new", there)
    assert already_there(None, 10, AT * 10**9, "new", there)
