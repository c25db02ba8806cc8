"""All that is wrong in a config is reported at once: each mistake with its line, in the order of the file, and no secret."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pysubtask.common.config import ALONE, SECTIONS, Setting
from pysubtask.common.errors import ConfigError
from pysubtask.control.commands import push
from pysubtask.control.config.config_file import load
from pysubtask.control.config.problems import ConfigProblems, LocatedProblem
from pysubtask.control.config.setting_values import ROWS, SECRET_FILES
from pysubtask.control.config.toml_words import in_toml
from pysubtask.control.push.place import of_url
from pysubtask.defaults_config import SETTINGS

SECRET = "hunter2-zyx"

# Each line with a mistake has, behind a #!, the key that its report names.
MANY = f"""
Colour = "red"                                  #! Colour
[base]
TaskName = "a/b"                                #! base.TaskName
TimerIntervalSecs = 0                           #! base.TimerIntervalSecs
LogLevle = "info"                               #! base.LogLevle
RetryCount = 2.5                                #! base.RetryCount
RateLimit = "50 parsecs"                        #! base.RateLimit
BakToFolder = " "                               #! base.BakToFolder
RequiresMount = "usb"                           #! base.RequiresMount
HeartbeatName = "{{hostnam}}.txt"               #! base.HeartbeatName
RunAs = "nobody-of-this-name"                   #! base.RunAs
[burst_mode]
start_trigger_mode = "bites"                    #! burst_mode.start_trigger_mode
[ftp]
Host = "sftp://me:{SECRET}@files.example.org"   #! ftp.Host
HostPort = 0                                    #! ftp.HostPort
User = "-l"                                     #! ftp.User
HostPath = 'C:\\data'                           #! ftp.HostPath
Password = ["{SECRET}"]                         #! ftp.Password
KeyFile = true                                  #! ftp.KeyFile
[dropbox]
AccessToken = "{SECRET} b"                      #! dropbox.AccessToken
HostPath = "in/../out"                          #! dropbox.HostPath
Proxy = "socks://me:{SECRET}@proxy"             #! dropbox.Proxy
[alerts]
Command = []                                    #! alerts.Command
[[watch]]
dir = "data"
settle_secs = -1                                #! watch[1].settle_secs
include = ["./*.csv"]                           #! watch[1].include
colour = "red"                                  #! watch[1].colour
[[watch]]                                       #! watch[2]
dir = "./data"
[[watch]]
file = ""                                       #! watch[3].file
as = "/etc/x"                                   #! watch[3].as
[[watch]]
file = "one/a.csv"
recursive = true                                #! watch[4].recursive
[[watch]]                                       #! watch[5]
file = "two/a.csv"
[[watch]]                                       #! watch[6]
file = "b"
as = "a.csv/b"
[[watch]]                                       #! watch[7]
on_change = true
[[watch]]
file = "station.toml"                           #! watch[8].file
[[watch]]
file = "c"
as = "{{taks}}/c"                               #! watch[9].as
"""


def problems_of(folder: Path, text: str, environ: dict[str, str] | None = None) -> tuple[LocatedProblem, ...]:
    path = folder / "station.toml"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(ConfigProblems) as caught:
        load(str(path), environ or {})
    assert SECRET not in f"{caught.value} {caught.value!r} {caught.value.problems!r}"
    return caught.value.problems


def keys_by_line(problems: tuple[LocatedProblem, ...]) -> list[tuple[int | None, str]]:
    return [(one.where.line, one.key) for one in problems]


def test_mistakes_of_all_kinds_are_reported_in_the_files_order(tmp_path: Path):
    lines = [(number, line.split("#! ")) for number, line in enumerate(MANY.split("\n"), 1)]
    expected = [(number, parts[1]) for number, parts in lines if len(parts) == 2]
    assert len(expected) > 30
    found = keys_by_line(problems_of(tmp_path, "\n".join(parts[0] for _, parts in lines)))
    assert found == expected


def test_each_task_of_a_file_has_its_own_problems(tmp_path: Path):
    found = problems_of(
        tmp_path,
        """
        [ftp]
        Host = "h"
        HostPort = 0
        [tasks.a]
        ftp.UseTLS = "explicit"
        watch = [{ file = "x", as = "/x" }, { file = "y", burstmode = 1 }]
        [tasks.b]
        ftp.UseSFTP = false
        ftp.KeyFile = "id"
        [[tasks.b.watch]]
        file = "station.toml"
        """,
    )
    assert keys_by_line(found) == [
        (4, "tasks.a.ftp.HostPort"),
        (4, "tasks.b.ftp.HostPort"),
        (6, "tasks.a.ftp.UseTLS"),
        (7, "tasks.a.watch[1].as"),
        (7, "tasks.a.watch[2].burstmode"),
        (10, "tasks.b.ftp.KeyFile"),
        (12, "tasks.b.watch[1].file"),
    ]


def test_variables_come_first_and_then_each_file_of_a_folder(tmp_path: Path):
    (tmp_path / "conf.d").mkdir()
    bad = '[ftp]\nHost = "h"\nHostPort = 0\n[[watch]]\ndir = ""\n'
    for path in (tmp_path / "pysubtask.toml", tmp_path / "conf.d" / "a.toml"):
        path.write_text(bad)
    (tmp_path / "conf.d" / "b.toml").write_text('[ftp]\nHost = \n[[watch]]\ndir = "b"\n')
    with pytest.raises(ConfigProblems) as caught:
        load(str(tmp_path), {"PYSUBTASK_A__BASE__RETRYCOUNT": "many"})
    assert [str(one.where).removeprefix(f"{tmp_path}/") for one in caught.value.problems] == [
        "PYSUBTASK_A__BASE__RETRYCOUNT",
        "pysubtask.toml:3",
        "pysubtask.toml:5",
        "conf.d/a.toml:3",
        "conf.d/a.toml:5",
        "conf.d/b.toml:2",
    ]


@pytest.mark.parametrize(
    ("ftp", "expected"),
    [
        # What cannot be read says nothing about the settings that depend on it.
        ('Host = "https://h"\nKeyFile = "id"\nUseTLS = "explicit"', [(2, "ftp.Host")]),
        ('Host = "h"\nUseSFTP = "no"\nUseTLS = "explicit"', [(3, "ftp.UseSFTP")]),
        ('Host = 7\nHostPort = "x"', [(2, "ftp.Host"), (3, "ftp.HostPort")]),
        ('Host = "https://h"\nUseSFTP = false\nKeyFile = "id"', [(2, "ftp.Host"), (4, "ftp.KeyFile")]),
        ('Host = "h"\n[dropbox]\nRefreshToken = 7\nHostPath = ".."', [(4, "dropbox.RefreshToken"), (5, "dropbox.HostPath")]),
        # A wrong port does not hide that there is no server.
        ('HostPort = "x"', [(None, "ftp.Host"), (2, "ftp.HostPort")]),
        ('UseFTP = false\nHost = "h"', [(2, "ftp.UseFTP")]),
    ],
)
def test_what_is_not_known_is_not_guessed_at(tmp_path: Path, ftp: str, expected: list[tuple[int | None, str]]):
    assert keys_by_line(problems_of(tmp_path, f'[ftp]\n{ftp}\n[[watch]]\ndir = "d"\n')) == expected


def wrong_values(section: str, row: Setting) -> list[Any]:
    """Values that a setting does not take, whatever the others are."""
    if row.kind is list:
        return [7, True, [7]]
    found: list[Any] = [[SECRET], {"a": SECRET}] if row.secret else [["x"], {"a": 1}]
    if row.kind is bool:
        return [*found, "perhaps", 1]
    if row.kind is str:
        return [*found, 7, 1.5, True, *(["none of them"] if row.choices else [])]
    outside = [row.low - 1] if row.low is not None else []
    return [*found, "perhaps", True, float("nan"), *map(row.kind, outside)]


OWN_ROWS = [(section, row) for section in SECTIONS for row in SETTINGS[section]]
INHERITED = [(section, row) for section in SECTIONS if section not in ("base", *ALONE) for row in SETTINGS["base"]]
SETTINGS_FAULT = st.sampled_from(OWN_ROWS + INHERITED).flatmap(
    lambda found: st.tuples(st.just(found[0]), st.just(found[1].key), st.sampled_from(wrong_values(*found)))
)
FILE_FAULT = st.sampled_from([(section, key, 7) for section in SECTIONS for key in SECRET_FILES[section]])
UNKNOWN = st.tuples(
    st.sampled_from(SECTIONS), st.from_regex(r"zz[a-z]{1,8}", fullmatch=True), st.sampled_from([SECRET, 7, [SECRET]])
)
ENTRY_FAULTS: list[dict[str, Any]] = [
    {"settle_secs": "two"},
    {"settle_secs": -1},
    {"on_change": 7},
    {"burstmode": "yes"},
    {"include": [7]},
    {"include": "/x"},
    {"exclude": ["a", ""]},
    {"recursive": "x"},
    {"as": "../x"},
    {"as": 7},
    {"as": "{hostnam}"},
    {"zzz": True},
]


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.one_of(SETTINGS_FAULT, FILE_FAULT, UNKNOWN), max_size=8, unique_by=lambda one: one[:2]),
    st.lists(st.lists(st.sampled_from(ENTRY_FAULTS), max_size=3, unique_by=lambda one: min(one)), max_size=3),
    st.permutations(SECTIONS),
)
def test_random_mistakes_are_all_found_and_nothing_else(
    faults: list[tuple[str, str, Any]], entries: list[list[dict[str, Any]]], order: list[str]
):
    lines: list[str] = []
    expected: list[tuple[int | None, str]] = []
    for section in order:
        lines.append(f"[{section}]")
        wrong = {key for name, key, _ in faults if name == section}
        right: dict[str, Any] = {"ftp": {"Host": "h", "Password": SECRET}, "dropbox": {"AccessToken": SECRET}}.get(section, {})
        lines += [f"{key} = {in_toml(value)}" for key, value in right.items() if key not in wrong and f"{key}File" not in wrong]
        for name, key, value in faults:
            if name == section:
                table = "{ a = 1 }" if isinstance(value, dict) else in_toml(value)
                lines.append(f"{key} = {table}")
                expected.append((len(lines), f"{section}.{key}"))
    for number, wrong_keys in enumerate([*entries, []]):
        lines += ["[[watch]]", f'dir = "data{number}"']
        for one in wrong_keys:
            ((key, value),) = one.items()
            lines.append(f"{key} = {in_toml(value)}")
            expected.append((len(lines), f"watch[{number + 1}].{key}"))
    with tempfile.TemporaryDirectory() as folder:
        if expected:
            assert keys_by_line(problems_of(Path(folder), "\n".join(lines) + "\n")) == expected
        else:
            path = Path(folder) / "station.toml"
            path.write_text("\n".join(lines) + "\n")
            path.chmod(0o600)
            assert load(str(path), {}).tasks


def test_there_is_a_wrong_value_for_every_setting():
    assert all(wrong_values(section, row) for section in SECTIONS for row in ROWS[section].values())


def test_all_wrong_options_of_a_push_are_reported():
    with pytest.raises(ConfigError) as caught:
        of_url("sftp://h/in", ["RateLimit=fast", "Colour=red", "Password=x", "RetryCount=0", "User"], None, {})
    assert [one.key for one in caught.value.problems] == [
        "ftp.RateLimit",
        "--set.Colour",
        "--set Password",
        "ftp.RetryCount",
        "--set",
    ]
    assert str(caught.value).startswith("ftp.RateLimit: 'fast' is not a number")
    lines = caught.value.lines()
    assert len(lines) == 5 and lines[0] == str(caught.value)


def test_the_command_shows_every_problem_on_a_line(capsys: pytest.CaptureFixture[str]):
    from pysubtask.control import cli

    assert push.command is not None
    assert cli.main(["push", "--set", "RateLimit=fast", "--set", "Colour=red", __file__, "sftp://h/in"]) == 2
    output = "".join(capsys.readouterr().err.split())
    assert "pysubtask:ftp.RateLimit:" in output and "--set.Colour:thissettingisnotknown" in output
