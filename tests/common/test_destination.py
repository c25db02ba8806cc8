"""What a destination's URL says."""

from __future__ import annotations

import pytest

from pysubtask.common.destination import Server, is_same_place, server_of


@pytest.mark.parametrize(
    ("destination", "server"),
    [
        ("sftp://me@Host:22/in", Server("sftp://me@host:22", "in")),
        ("ftp://u@h:21//abs/dir", Server("ftp://u@h:21", "/abs/dir")),
        ("ftp://h:21/", Server("ftp://h:21", "")),
        ("sftp://Me@h:22/./a//b", Server("sftp://Me@h:22", "a/b")),
        ("ftps://me@[::1]:990/x", Server("ftps://me@[::1]:990", "x")),
        ("dropbox://key/incoming/", Server("dropbox://key", "incoming")),
        ("file:///srv/x", Server("file://", "srv/x")),
        ("sftp://me@h:22/C:/data", Server("sftp://me@h:22", "C:/data")),
        ("sftp://me@h:22//C:/data/", Server("sftp://me@h:22", "C:/data")),
        ("sftp://me@h:22//c:x", Server("sftp://me@h:22", "/c:x")),
    ],
)
def test_the_parts_of_a_destination(destination, server):
    assert server_of(destination) == server


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("ftp://me@host:21/in", "sftp://me@Host:2222/in/", True),
        ("ftps://me@host:990//srv/in", "ftp://me@host:21//srv/in", True),
        ("ftp://me@[::1]:21/in", "sftp://me@[::1]:22/in", True),
        ("ftp://me@host:21/in", "ftp://me@host:2121/in", False),  # another server behind another port, for all we know
        ("ftp://me@host:21/in", "ftp://me@host:21/in", False),
        ("ftp://me@host:21/in", "sftp://you@host:22/in", False),
        ("ftp://me@host:21/in", "sftp://me@other:22/in", False),
        ("ftp://me@host:21/in", "sftp://me@host:22/out", False),
        ("ftp://me@host:21/in", "sftp://me@host:22//in", False),
        ("ftp://host:21/in", "sftp://host:22/in", False),  # anybody, and whoever runs it
        ("dropbox://key/in", "sftp://key:22/in", False),
        ("file:///in", "sftp://me@host:22/in", False),
        ("hook://x", "", False),
    ],
)
def test_one_place_by_two_protocols(one, other, same):
    assert is_same_place(one, other) is same and is_same_place(other, one) is same
