"""Words of servers that name a limit of their own, and words that sound like it and are about the file."""

from __future__ import annotations

import pytest

from pysubtask.transports.shared.server_limit import names_limit, smells_of_limit


@pytest.mark.parametrize(
    "words",
    [
        "450 Too many open files, try again later.",
        "Failure: Too many open files",
        "EMFILE",
        "max handles reached",
        "451 Resource temporarily unavailable",
        "552 Maximum number of transfers reached",
        "452 Server busy",
        "session limit of 10 open files",
    ],
)
def test_a_limit_is_named(words: str):
    assert names_limit(words) and smells_of_limit(words)


@pytest.mark.parametrize(
    "words",
    [
        "Failure",
        "553 Filename too long; maximum is 64 characters",
        "550 Path exceeds the limit for names",
        "552 Quota limit exceeded",
        "550 File size limit exceeded",
        "550 No such file",
        "530 Too many failed login attempts",
        "552 Insufficient storage space: limit reached",
    ],
)
def test_what_is_about_the_file_is_no_limit(words: str):
    assert not names_limit(words) and not smells_of_limit(words)


def test_busy_may_be_the_file():
    assert smells_of_limit("450 Busy") and not names_limit("450 Busy")
