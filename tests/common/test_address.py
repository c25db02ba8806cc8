"""Addresses: what a URL and scp's form say, and that no error repeats a password."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pysubtask.common.address import Words, is_address, parsed, written
from pysubtask.common.errors import ConfigError

WORDS = Words("HERE", "Take the password out.", "Write it so.")


def test_what_is_an_address():
    for text in (
        "ftp://h",
        "sftp://u@h/x",
        "https://h",
        "dropbox:",
        "dropbox:/x",
        "u@h:",
        "u@h:x/y",
        "u@[::1]:/srv",
        "DOMAIN\\u@h:x",
        "me@mail.example@h:x",
    ):
        assert is_address(text), text
    for text in ("h", "roof", "roof/ftp", "u@h", "h:22", "::1", "[::1]", "a/b@c:d", "@h:x", ""):
        assert not is_address(text), text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sftp://me@Roof:2222/in/x%20y", {"UseSFTP": True, "Host": "Roof", "HostPath": "in/x y", "User": "me", "HostPort": 2222}),
        ("FTP://h", {"UseSFTP": False, "Host": "h", "HostPath": ""}),
        ("ftps://u@h/x", {"UseSFTP": False, "Host": "h", "HostPath": "x", "User": "u", "UseTLS": "explicit"}),
        ("ftps://h:990", {"UseSFTP": False, "Host": "h", "HostPath": "", "HostPort": 990, "UseTLS": "implicit"}),
        ("sftp://[::1]:22//srv/in", {"UseSFTP": True, "Host": "::1", "HostPath": "/srv/in", "HostPort": 22}),
        ("sftp://h:22/in/@x", {"UseSFTP": True, "Host": "h", "HostPath": "in/@x", "HostPort": 22}),
        ("me@Roof:in/x y", {"UseSFTP": True, "Host": "Roof", "HostPath": "in/x y", "User": "me"}),
        ("me@h:/srv/in", {"UseSFTP": True, "Host": "h", "HostPath": "/srv/in", "User": "me"}),
        ("me@h:~/in", {"UseSFTP": True, "Host": "h", "HostPath": "in", "User": "me"}),
        ("me@h:", {"UseSFTP": True, "Host": "h", "HostPath": "", "User": "me"}),
        ("me@[fe80::1]:a:b", {"UseSFTP": True, "Host": "fe80::1", "HostPath": "a:b", "User": "me"}),
        ("me%40firm@h:x", {"UseSFTP": True, "Host": "h", "HostPath": "x", "User": "me%40firm"}),
    ],
)
def test_what_an_address_says(text: str, expected: dict[str, object]):
    assert parsed(text, WORDS) == ("ftp", expected)


def test_dropbox_has_a_folder_and_nothing_else():
    assert parsed("dropbox:/in/x%20y/", WORDS) == ("dropbox", {"HostPath": "in/x y"})
    assert parsed("dropbox:", WORDS) == ("dropbox", {"HostPath": ""})


NAMES = st.text(st.characters(exclude_categories=("Cs",)), min_size=1)


@given(
    st.sampled_from(["sftp", "ftp", "ftps"]),
    NAMES,
    st.sampled_from(["h", "Roof.example.org", "::1", "192.0.2.7"]),
    st.none() | st.integers(1, 65535),
    st.text(st.characters(exclude_categories=("Cs",))),
)
def test_what_is_written_is_read_as_it_was(scheme: str, user: str, host: str, port: int | None, folder: str):
    values = {"UseSFTP": scheme == "sftp", "Host": host, "User": user, "HostPath": folder}
    if port is not None:
        values["HostPort"] = port
    if scheme == "ftps":
        values["UseTLS"] = "implicit" if port == 990 else "explicit"
    url = written("ftp", values)
    assert is_address(url) and parsed(url, WORDS) == ("ftp", values)
    assert url.isprintable() and " " not in url


def test_a_written_address_is_as_a_person_writes_it():
    assert written("ftp", parsed("pi@h:/srv/bilder müll", WORDS)[1]) == "sftp://pi@h//srv/bilder%20müll"
    for url in ("ftp://web1234@h:2121/public_html", "ftps://h", "dropbox:/in/x", "dropbox:/"):
        assert written(*parsed(url, WORDS)) == url


@pytest.mark.parametrize(
    "text",
    [
        "ftp://me:hunter2@h/x",
        "https://me:hunter2@h",
        "ftp://me:hunter2@",
        "me:hunter2@h:x",
        "ftp://me:@h",
        "dropbox://me:hunter2@h/x",
        # What ends the place too early in a URL may stand in a password.
        "ftp://me:hunter2/hunter2@h/x",
        "ftp://me:hunter2?hunter2@h/x",
        "ftp://me:hunter2#@h/x",
        "ftp://me:/hunter2@h",
        "ftp://me:a@hunter2@h/x",
    ],
)
def test_a_password_is_refused_and_not_repeated(text: str):
    with pytest.raises(ConfigError) as raised:
        parsed(text, WORDS)
    assert "has a password in it" in str(raised.value) and "Take the password out." in str(raised.value)
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("http://h/x", "'http' is not known. Write it so."),
        ("ftp:///x", "names no host. Write it so."),
        ("ftp://h:0/x", "'0' is not a port"),
        ("ftp://h:99999", "'99999' is not a port"),
        ("ftp://h/a?b", "%3F"),
    ],
)
def test_other_mistakes(text: str, message: str):
    with pytest.raises(ConfigError) as raised:
        parsed(text, WORDS)
    assert raised.value.key == "HERE" and message in str(raised.value)
