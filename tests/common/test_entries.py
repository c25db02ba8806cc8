"""Which forms ``watchfilesdirs`` may have, and the error of each other form."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pysubtask.common.entries import Entry, first_folder, from_json, keeps_records, read_entries, remote_name, to_json
from pysubtask.common.errors import ConfigError


def test_the_forms_of_the_documents(tmp_path):
    watched = [{"file": "logs/test1.mrk"}, {"file": "logs/test1.csv", "burstmode": True}, {"dir": "logs/watch_all_in_here"}]
    entries = read_entries(watched, cwd=str(tmp_path))
    logs = str(tmp_path / "logs")
    assert entries == [
        Entry("file", f"{logs}/test1.mrk"),
        Entry("file", f"{logs}/test1.csv", burstmode=True),
        Entry("dir", f"{logs}/watch_all_in_here", settle_secs=1.0, on_change=False, notify_files=True),
    ]


def test_every_option_of_a_folder(tmp_path):
    given_ = {"dir": tmp_path, "as": "a//b/./c", "burstmode": True, "settle_secs": 0, "on_change": True, "notify_files": False}
    given_ |= {"include": "*.csv", "exclude": ["x/*", "[!a]?"], "recursive": True}
    entry = Entry("dir", str(tmp_path), "a/b/c", True, 0.0, True, False, ("*.csv",), ("x/*", "[!a]?"), True)
    assert read_entries((given_,)) == [entry]
    assert from_json(json.loads(json.dumps(to_json([entry])))) == [entry]


def test_paths_in_any_form_become_absolute_and_plain(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given_ = ["b/../x", b"\xff\xfe", Path("p/q"), "//etc/ x ", "./s,'\" \n"]
    assert [entry.path for entry in read_entries([{"file": path} for path in given_])] == [
        f"{tmp_path}/x",
        os.path.join(str(tmp_path), os.fsdecode(b"\xff\xfe")),
        f"{tmp_path}/p/q",
        "/etc/ x ",
        f"{tmp_path}/s,'\" \n",
    ]


def test_the_callers_list_is_left_alone(tmp_path):
    given_ = [{"file": "a", "as": "x/y"}]
    read_entries(given_, cwd=str(tmp_path))
    assert given_ == [{"file": "a", "as": "x/y"}]


@pytest.mark.parametrize(
    ("watchfilesdirs", "words"),
    [
        ("a.csv", ["watchfilesdirs", "str", "list"]),
        ({"file": "a.csv"}, ["watchfilesdirs", "dict"]),
        (None, ["watchfilesdirs", "NoneType"]),
        ([], ["watchfilesdirs", "empty", "at least one"]),
        ([{"file": "ok"}, "b"], ["watchfilesdirs[1]", "str", "{'file': path}"]),
        ([{}], ["watchfilesdirs[0]", "neither"]),
        ([{"as": "x"}], ["watchfilesdirs[0]", "neither"]),
        ([{"file": "a", "dir": "b"}], ["watchfilesdirs[0]", "both"]),
        ([{"fiel": "a"}], ["watchfilesdirs[0].fiel", "'file'"]),
        ([{"file": "a", "burst_mode": True}], ["watchfilesdirs[0].burst_mode", "'burstmode'"]),
        ([{"dir": "a", "on_chnage": True}], ["watchfilesdirs[0].on_chnage", "'on_change'"]),
        ([{"file": "a", 3: True}], ["watchfilesdirs[0].3", "not known"]),
        ([{"file": "a", "notify_files": True}], ["watchfilesdirs[0].notify_files", "'dir'"]),
        ([{"file": "a", "recursive": True}], ["watchfilesdirs[0].recursive", "'dir'"]),
        ([{"file": "a", "notify_files": True}], ["watchfilesdirs[0].notify_files", "'dir'"]),
        ([{"file": "a", "include": "*"}], ["watchfilesdirs[0].include", "'dir'"]),
        ([{"file": "a", "exclude": "*"}], ["watchfilesdirs[0].exclude", "'dir'"]),
        ([{"file": "a", "recursive": True}], ["watchfilesdirs[0].recursive", "'dir'"]),
        ([{"dir": "a", "recursive": 1}], ["watchfilesdirs[0].recursive", "True or False"]),
        ([{"dir": "a", "recurse": True}], ["watchfilesdirs[0].recurse", "'recursive'"]),
        ([{"dir": "a", "include": None}], ["watchfilesdirs[0].include", "NoneType", "'*.csv'"]),
        ([{"dir": "a", "include": b"*.csv"}], ["watchfilesdirs[0].include", "bytes"]),
        ([{"dir": "a", "exclude": {"*.csv"}}], ["watchfilesdirs[0].exclude", "set", "list"]),
        ([{"dir": "a", "exclude": ["*", 7]}], ["watchfilesdirs[0].exclude", "7", "int"]),
        ([{"dir": "a", "include": ""}], ["watchfilesdirs[0].include", "empty", "'*'"]),
        ([{"dir": "a", "exclude": ["*.csv", ""]}], ["watchfilesdirs[0].exclude", "empty"]),
        ([{"dir": "a", "include": "/x/*.csv"}], ["watchfilesdirs[0].include", "relative", "'x/*.csv'"]),
        ([{"dir": "a", "include": "./x"}], ["watchfilesdirs[0].include", "relative", "'x'"]),
        ([{"dir": "a", "exclude": "cache/"}], ["watchfilesdirs[0].exclude", "no file", "'cache/*'"]),
        ([{"file": 3}], ["watchfilesdirs[0].file", "int"]),
        ([{"file": None}], ["watchfilesdirs[0].file", "NoneType"]),
        ([{"file": ""}], ["watchfilesdirs[0].file", "empty"]),
        ([{"file": b""}], ["watchfilesdirs[0].file", "empty"]),
        ([{"dir": "a\0b"}], ["watchfilesdirs[0].dir", "NUL"]),
        ([{"file": "a", "as": ""}], ["watchfilesdirs[0].as", "empty"]),
        ([{"file": "a", "as": "/x"}], ["watchfilesdirs[0].as", "absolute", "'x'"]),
        ([{"dir": "a", "as": "x/"}], ["watchfilesdirs[0].as", "ends in", "'x'"]),
        ([{"file": "a", "as": "x/../y"}], ["watchfilesdirs[0].as", "'..'"]),
        ([{"file": "a", "as": "."}], ["watchfilesdirs[0].as", "no name"]),
        ([{"file": "a", "as": 5}], ["watchfilesdirs[0].as", "int"]),
        ([{"file": "a", "burstmode": 1}], ["watchfilesdirs[0].burstmode", "True or False"]),
        ([{"dir": "a", "on_change": "yes"}], ["watchfilesdirs[0].on_change", "True or False"]),
        ([{"dir": "a", "notify_files": None}], ["watchfilesdirs[0].notify_files", "True or False"]),
        ([{"dir": "a", "settle_secs": -1}], ["watchfilesdirs[0].settle_secs", "from 0"]),
        ([{"dir": "a", "settle_secs": float("nan")}], ["watchfilesdirs[0].settle_secs", "range"]),
        ([{"dir": "a", "settle_secs": True}], ["watchfilesdirs[0].settle_secs", "number"]),
        ([{"dir": "a", "settle_secs": "1"}], ["watchfilesdirs[0].settle_secs", "number"]),
        ([{"file": "a.csv.notify"}], ["watchfilesdirs[0].file", "'.notify'"]),
        ([{"file": "a.hold"}], ["watchfilesdirs[0].file", "'.hold'"]),
        ([{"file": "a.heartbeat"}], ["watchfilesdirs[0].file", "'.heartbeat'"]),
        ([{"file": "x/a"}, {"file": "y/a"}], ["watchfilesdirs[1]", "x/a", "y/a", "'as'"]),
        ([{"file": "x/a"}, {"file": "b", "as": "a"}], ["watchfilesdirs[1]", "x/a", "watchfilesdirs[0]"]),
        ([{"file": "a"}, {"file": "./a", "as": "other"}], ["watchfilesdirs[1]", "already", "watchfilesdirs[0]"]),
        ([{"dir": "a"}, {"dir": "b/../a/"}], ["watchfilesdirs[1]", "already"]),
        ([{"file": "a"}, {"file": "b", "as": "a/b"}], ["watchfilesdirs[1]", "folder 'a'"]),
        ([{"dir": "d", "as": "a/deep"}, {"file": "a"}], ["watchfilesdirs[0]", "folder 'a'"]),
    ],
)
def test_what_is_wrong_is_named_with_its_remedy(watchfilesdirs, words, tmp_path):
    with pytest.raises(ConfigError) as caught:
        read_entries(watchfilesdirs, cwd=str(tmp_path))
    for word in words:
        assert word in str(caught.value)
    assert caught.value.remedy and caught.value.key.startswith("watchfilesdirs")


def test_a_folder_named_as_file_and_a_file_named_as_folder(tmp_path):
    (tmp_path / "f").write_text("")
    (tmp_path / "d").mkdir()
    with pytest.raises(ConfigError, match=r"is a folder.*'dir'"):
        read_entries([{"file": tmp_path / "d"}])
    with pytest.raises(ConfigError, match=r"is a file.*'file'"):
        read_entries([{"dir": tmp_path / "f"}])


def test_nothing_need_be_named_where_one_is_not_needed():
    assert read_entries([], need_one=False) == []
    assert first_folder([]) == os.getcwd()


def test_first_folder(tmp_path):
    entries = read_entries([{"file": "x/a"}, {"dir": "y"}], cwd=str(tmp_path))
    assert first_folder(entries) == str(tmp_path / "x")
    assert first_folder(entries[1:]) == str(tmp_path / "y")


def test_remote_names():
    assert remote_name(Entry("file", "/x/a.csv"), "/x/a.csv") == "a.csv"
    assert remote_name(Entry("file", "/x/a.csv", "st/b.csv"), "/x/a.csv") == "st/b.csv"
    assert remote_name(Entry("dir", "/x"), "/x/-rf *") == "-rf *"
    assert remote_name(Entry("dir", "/x", "st/in"), "/x/a") == "st/in/a"
    assert remote_name(Entry("dir", "/x", recursive=True), "/x/a") == "a"
    assert remote_name(Entry("dir", "/x", recursive=True), "/x/y/ z/a") == "y/ z/a"
    assert remote_name(Entry("dir", "/x", "st/in", recursive=True), "/x/y/a") == "st/in/y/a"
    assert remote_name(Entry("dir", "/", recursive=True), "/y/a") == "y/a"


@given(st.lists(st.tuples(st.sampled_from(["file", "dir"]), st.binary(min_size=1, max_size=20)), max_size=5))
def test_any_path_survives_the_hand_off(named):
    given_, seen = [], set()
    for kind, raw in named:
        raw = b"/nowhere-here/%d-" % len(given_) + raw.replace(b"\0", b"-").replace(b"/", b"-")
        if raw not in seen and not raw.endswith((b".notify", b".hold", b".heartbeat")):
            seen.add(raw)
            given_.append({kind: raw})
    entries = read_entries(given_, need_one=False)
    assert from_json(json.loads(json.dumps(to_json(entries)).encode("ascii"))) == entries
    assert [os.fsencode(entry.path) for entry in entries] == [raw for item in given_ for raw in item.values()]


ASCII = """
from pysubtask import ConfigError, TaskMaster
try:
    TaskMaster([{"dir": "caf\\u00e9"}], {"ftp": {"Host": "h"}}, LogFileName=None, LogToConsole=False)
except ConfigError as exc:
    print(exc)
"""


def test_an_unwritable_path_is_reported_before_anything_begins(tmp_path):
    """In the C locale, where Python is kept from taking UTF-8 instead."""
    environ = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run([sys.executable, "-c", ASCII], cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=60)
    assert "Traceback" not in done.stderr and "'caf\\xe9' cannot be a file's name" in done.stdout and "PYTHONUTF8=1" in done.stdout


@pytest.mark.parametrize(("name", "whole"), [("a.csv", None), ("A.LOG", None), (".csv", False), ("a.bin", False), ("csv", False)])
def test_the_extension_says_what_consists_of_lines(name: str, whole: bool | None):
    assert keeps_records(Entry("dir", "/data"), f"/data/{name}") is whole
