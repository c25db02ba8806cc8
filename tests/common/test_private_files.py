"""Files with well-known names of secrets: never data of a folder, but where somebody names them."""

from __future__ import annotations

import pytest

from pysubtask.common.entries import Entry
from pysubtask.common.never_sent import of_task
from pysubtask.common.private_files import FOLDERS, NAMES, PrivateFiles, private_name

SECRET = [
    *NAMES,
    *(f"{folder}/x/config" for folder in FOLDERS),
    ".netrc~",
    ".netrc.bak",
    ".bash_history.swp",
    ".#.netrc",
    "id_rsa.old",
    "st.password",
    "st.token",
    "st.password~",
    ".ssh/known_hosts",
    "deep/.aws/credentials",
    "deep/.netrc",
]
DATA = [
    ".hidden",
    ".hidden.csv",
    ".environment.csv",
    ".netrc.csv",
    "netrc",
    "history",
    "x.history",
    "bash_history",
    "id_rsa.pub",
    "id_rsa-weather.csv",
    "token.csv",
    "password.txt",
    "x.tokens",
    "ssh/x.csv",
    ".sshx/y.csv",
    ".config/station/x.csv",
    "aws/x.csv",
    "foo.tmp",
    "foo.pem",
    "foo.key",
]


@pytest.mark.parametrize("name", SECRET)
def test_a_secret_in_a_watched_folder_is_no_data(name: str):
    assert private_name(f"/home/pi/{name}")
    assert "private by its name" in of_task({}, [Entry("dir", "/home/pi", recursive=True)]).why(f"/home/pi/{name}")
    assert PrivateFiles([Entry("file", "/home/pi/weather.csv")]).why(f"/home/pi/{name}"), "left over beside a named file"
    # What names nobody in particular does not mean it.
    for patterns in (("*",), (".*",), ("**/*",)):
        assert PrivateFiles([Entry("dir", "/home/pi", include=patterns)]).why(f"/home/pi/{name}")


@pytest.mark.parametrize("name", SECRET)
def test_who_names_it_has_it_sent(name: str):
    path = f"/home/pi/{name}"
    own = of_task({}, [Entry("file", path), Entry("dir", "/home/pi", recursive=True)])
    assert own.why(path) == own.why_named(path) == ""
    assert PrivateFiles([Entry("dir", "/home/pi", include=("*.csv", name), recursive=True)]).why(path) == ""


def test_a_whole_folder_or_ending_is_named_by_a_pattern():
    rule = PrivateFiles([Entry("dir", "/home/pi", include=(".ssh/*", "*.token"), recursive=True)])
    assert rule.why("/home/pi/.ssh/config") == rule.why("/home/pi/x.token") == ""
    assert rule.why("/home/pi/.gnupg/x") and rule.why("/home/pi/x.password")
    # A folder inside with an entry of its own goes by that.
    inner = PrivateFiles([Entry("dir", "/home/pi", include=(".netrc",), recursive=True), Entry("dir", "/home/pi/in")])
    assert inner.why("/home/pi/in/.netrc") and not inner.why("/home/pi/.netrc")


@pytest.mark.parametrize("name", DATA)
def test_a_hidden_file_and_one_with_a_similar_name_is_data(name: str):
    assert of_task({}, [Entry("dir", "/home/pi", recursive=True)]).why(f"/home/pi/{name}") == ""
