"""The doctor at servers that do less than others: it finds what an upload would find, says so in words, and leaves nothing."""

import os

import pytest

from pysubtask.testing.servers.quirk_sftp import quirk_sftp_server
from pysubtask.testing.servers.quirks import switch
from pysubtask.transports.shared import means
from tests.support.doctor import diagnose


def doctor(tmp_path, *quirks, **settings):
    with quirk_sftp_server(tmp_path / "remote") as server:
        for name in quirks:
            switch(name).turn_on(server.quirks)
        found = diagnose({**server.settings(), **settings}, tmp_path)
        return found, os.listdir(server.root)


def notes(found):
    return [finding.text for finding in found if finding.check == "server"]


def test_a_server_that_does_everything_gets_no_word(tmp_path):
    found, left = doctor(tmp_path)
    assert notes(found) == [] and left == []
    assert not [finding for finding in found if finding.state == "fail"]


@pytest.mark.parametrize(
    ("quirk", "line"),
    [
        ("no rename over a file", means.PUBLISH.lacks["aside"]),
        ("append refused", means.APPEND.lacks["none"]),
        ("append refused at the write", means.APPEND.lacks["none"]),
        ("no such file before the close", means.SIZE.lacks["after_close"]),
        ("no size ever", means.SIZE.lacks["never"]),
        ("times refused", means.TIME.lacks["refused"]),
        ("times ignored", means.TIME.lacks["ignored"]),
        ("hidden names refused", means.TEMP.lacks["visible"]),
        ("unknown endings refused", means.TEMP.lacks["hidden_ending"]),
        ("one open file", "of open files this server allows about 1 at once: no more are used"),
    ],
)
def test_what_a_server_lacks_is_found_with_a_few_small_files(tmp_path, quirk, line):
    found, left = doctor(tmp_path, quirk)
    assert line in notes(found), [(finding.check, finding.text) for finding in found]
    assert not [finding for finding in found if finding.state == "fail"] and left == []


@pytest.mark.slow
def test_an_object_store_is_no_failure(tmp_path):
    found, left = doctor(tmp_path, "object store")
    assert {means.SIZE.lacks["after_close"], means.TIME.lacks["refused"], means.PUBLISH.lacks["aside"]} <= set(notes(found))
    assert not [finding for finding in found if finding.state == "fail"] and left == []


def test_where_no_rename_works_the_setting_that_helps_is_named(tmp_path):
    found, left = doctor(tmp_path, "no rename at all")
    [failure] = [finding for finding in found if finding.state == "fail"]
    assert failure.cause == "rename-refused" and failure.remedy.settings == (("StoreInPlace", True),)
    assert left == []
    found, left = doctor(tmp_path / "again", "no rename at all", StoreInPlace=True)
    assert not [finding for finding in found if finding.state == "fail"] and left == []
    assert means.PUBLISH.lacks["in_place"] in notes(found)


def test_what_it_cannot_remove_it_names(tmp_path):
    found, left = doctor(tmp_path, "delete refused")
    [warning] = [finding for finding in found if finding.cause == "left-behind"]
    assert left and all(name in warning.text for name in left)
