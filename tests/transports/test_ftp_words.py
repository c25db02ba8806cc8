"""Settings, names and replies of FTP: the pure parts."""

from __future__ import annotations

import os

import pytest

from pysubtask.common.errors import AttemptFailed, ConfigError, FileRefused, LoginRefused, TransportLost
from pysubtask.transports import transport_class
from pysubtask.transports.ftp import FTPTransport
from pysubtask.transports.ftp.options import folder_of, identity_of, login_of, parent_of, path_of
from pysubtask.transports.ftp.replies import Reply, facts_in, features, has, listed_size, login_error, refusal, size_in, time_in
from pysubtask.transports.shared.remote_text import remote_text


def test_the_last_line_of_a_long_reply_is_kept():
    reply = Reply(530, ("530-Welcome to the station server. " + "x" * 100, "530-" + "y" * 100, "530 The account is locked."))
    assert "The account is locked." in str(reply) and "Welcome" in str(reply) and len(str(reply)) < 170


def reply_of(words: str) -> Reply:
    return Reply(int(words[:3]), tuple(words.split("\n")))


def test_it_is_a_transport_by_name():
    assert transport_class("ftp") is FTPTransport


@pytest.mark.parametrize(
    ("settings", "identity"),
    [
        ({"Host": "h"}, "ftp://h:21/"),
        ({"Host": "h", "User": "u", "HostPath": "in/x/"}, "ftp://u@h:21/in/x"),
        ({"Host": "h", "HostPath": "/in", "UseTLS": "explicit"}, "ftps://h:21//in"),
        ({"Host": "h", "UseTLS": "implicit", "HostPath": "a", "HostFTPPath": ""}, "ftps://h:990/"),
        ({"Host": "::1", "HostPort": 2121, "Password": "geheim"}, "ftp://[::1]:2121/"),
    ],
)
def test_identity(settings, identity):
    assert identity_of(settings) == identity


@pytest.mark.parametrize(("given", "folder"), [("", ""), ("~", ""), ("~/in", "in"), ("/", "/"), ("/in/", "/in"), ("in/x", "in/x")])
def test_folder(given, folder):
    assert folder_of({"HostPath": given}) == folder
    assert folder_of({"HostPath": "else", "HostFTPPath": given}) == folder


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"Host": ""}, "ftp.Host"),
        ({"Host": "a b"}, "ftp.Host"),
        ({"Host": "h", "User": "a\r\nDELE x"}, "ftp.User"),
        ({"Host": "h", "Password": "a\nb"}, "ftp.Password"),
        ({"Host": "h", "UseTLS": "yes"}, "ftp.UseTLS"),
        ({"Host": "h", "TLSFingerprint": "AB:CD"}, "ftp.TLSFingerprint"),
    ],
)
def test_settings_that_cannot_be(settings, key):
    with pytest.raises(ConfigError) as failed:
        login_of(settings)
    assert failed.value.key == key
    assert "a\nb" not in str(failed.value)
    with pytest.raises(ConfigError):
        folder_of({"HostPath": "a\nb"})


def test_no_password_in_a_repr():
    assert "geheim" not in repr(login_of({"Host": "h", "User": "u", "Password": "geheim"}))


@pytest.mark.parametrize(
    ("folder", "name", "path"),
    [
        ("", "a", "a"),
        ("", "-rf", "./-rf"),
        ("", " a", "./ a"),
        ("", "~x", "./~x"),
        ("", "20200101000000 a", "./20200101000000 a"),
        ("/", "a", "/a"),
        ("/in", "-a/b", "/in/-a/b"),
        ("in", os.fsdecode(b"\xff"), "in/\udcff"),
    ],
)
def test_paths(folder, name, path):
    assert path_of(folder, name) == path


@pytest.mark.parametrize("name", ["", ".", "..", "/a", "a/../b", "a//b", "a/", "a\rb", "a\nb", "a\0b", "\ud800"])
def test_names_that_cannot_be(name):
    with pytest.raises(FileRefused):
        path_of("/in", name)


def test_parents():
    assert [parent_of(path) for path in ("a", "/a", "a/b", "/a/b", "./-a")] == ["", "/", "a", "/a", "."]


def test_features():
    found = features(reply_of("211-Extensions:\n MDTM\n REST STREAM\n MLST type*;Size*;modify;\nUTF8\n211 End"))
    assert list(found) == ["MDTM", "REST", "MLST", "UTF8"]
    assert has(found, "MLST", "size")
    assert not has(found, "MLST", "perm")
    assert features(reply_of("500 What?")) == features(reply_of("211 no-features")) == {}


@pytest.mark.parametrize(
    ("words", "size"), [("213 12", 12), ("213  0 ", 0), ("213 x", None), ("550 12", None), ("213 -1", None), ("213 ٣", None)]
)
def test_sizes(words, size):
    assert size_in(reply_of(words)) == size


@pytest.mark.parametrize(
    ("words", "secs"),
    [
        ("20200913122641", 1600000001),
        (" 20200913122641.999", 1600000001),
        ("19700101000000", 0),
        ("20201313122641", None),
        ("2020091312264", None),
        ("", None),
        ("20200913126141", None),
        ("20200913122641 a", None),
    ],
)
def test_times(words, secs):
    assert time_in(words) == secs


def test_facts():
    one = reply_of("250-Listing\n Type=file;Size=12;Modify=20200913122641; /in/a b; c=d\n250 End")
    assert facts_in(one) == {"type": "file", "size": "12", "modify": "20200913122641", "": ""}
    assert facts_in(reply_of("550 no")) == {}


@pytest.mark.parametrize(
    ("line", "size"),
    [
        ("-rw-r--r--   1 pi       pi          12345 Sep 13 12:26 .t x.tmp", 12345),
        ("-rw-rw-rw-   1 12345 Sep 13  2020 .t x.tmp", 12345),
        ("-rw-r--r--+  1 pi 12345 Sep 13  2020 .t x.tmp", 12345),
        ("09-13-20  12:26PM              12345 .t x.tmp", 12345),
        ("09-13-2020  12:26              12345 .t x.tmp", 12345),
        ("drwxr-xr-x   1 pi       pi          4096 Sep 13 12:26 .t x.tmp", None),
        ("-rw-r--r--   1 pi       pi          12345 Sep 13 12:26 other", None),
    ],
)
def test_listings(line, size):
    assert listed_size([line + "\r\n"], "/in/.t x.tmp") == size
    assert listed_size(["total 1", line], "/in/.t x.tmp") == size
    assert listed_size([line, line], "/in/.t x.tmp") is None


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("450 Busy", FileRefused),
        ("451 Local error", FileRefused),
        ("452 Full", FileRefused),
        ("550 No", FileRefused),
        ("552 Over quota", FileRefused),
        ("553 Bad name", FileRefused),
        ("501 Syntax", FileRefused),
        ("425 No connection", AttemptFailed),
        ("426 Aborted", AttemptFailed),
        ("421 Bye", TransportLost),
        ("530 Log in", TransportLost),
        ("522 No session reuse", AttemptFailed),
        ("426 No space left on device; aborted", FileRefused),
        ("350 What", TransportLost),
    ],
)
def test_refusals(words, kind):
    failed = refusal("store", "a.csv", reply_of(words))
    assert type(failed) is kind
    assert words in str(failed)


@pytest.mark.parametrize(
    ("words", "kind", "expected"),
    [
        ("530 Login incorrect.", LoginRefused, "Check ftp.User"),
        ("530 Sorry, the maximum number of clients (3) for this user are already connected.", TransportLost, "no more logins"),
        ("530 Too many failed login attempts", LoginRefused, "Check"),
        ("430 Invalid username or password", LoginRefused, "Check"),
        ("421 Too many users", TransportLost, "no more"),
        ("431 Try later", TransportLost, "for now"),
        ("332 Account please", LoginRefused, "account"),
        ("534 Policy requires SSL.", LoginRefused, "'explicit'"),
        ("530 Non-anonymous sessions must use encryption.", LoginRefused, "'explicit'"),
    ],
)
def test_logins(words, kind, expected):
    failed = login_error(reply_of(words), False)
    assert type(failed) is kind
    assert expected in str(failed)
    assert "'explicit'" not in str(login_error(reply_of(words), True))


def test_words_of_the_other_side_are_tamed():
    assert remote_text("a\x1b[2J\r\nb\u2028c\udcff") == "a [2J b c"
    assert len(remote_text("x" * 10_000)) == 160
