"""Config files that are right: where they are found, what they say, what ``init`` writes, and on which line a key stands."""

from __future__ import annotations

import json
import os
import re
import stat
import tomllib
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from pysubtask import defaults_config
from pysubtask.common.config import SECTIONS
from pysubtask.control.commands import init
from pysubtask.control.config import config_file
from pysubtask.control.config.config_file import load
from pysubtask.control.config.reload_diff import compare
from pysubtask.control.config.secrets import file_key
from pysubtask.control.config.toml_locations import Path as KeyPath
from pysubtask.control.config.toml_locations import key_lines
from pysubtask.control.exit_status import CommandError
from pysubtask.control.setup.template import short, template
from tests.control.test_wrong_configs import CASES
from tests.support import pages
from tests.support.configs import ONE, names, write


def test_one_file_with_several_tasks_shares_its_top_settings(tmp_path: Path):
    path = write(
        tmp_path / "x.toml",
        """
        [base]
        RateLimit = "50k"
        BakToFolder = "none"
        [ftp]
        Host = "a"
        KeyFile = "keys/id"
        SSHConfigFile = "none"
        [tasks.roof]
        watch = [{ file = "~/a.csv", as = "b/a.csv" }]
        [tasks.cellar]
        ftp.Host = "b"
        dropbox.AccessToken = "t"
        base.RateLimit = 7
        [[tasks.cellar.watch]]
        dir = "data"
        """,
    )
    roof, cellar = load(str(path), {}).tasks
    assert (roof.name, cellar.name) == ("roof", "cellar")
    assert roof.entries[0].path == os.path.expanduser("~/a.csv") and cellar.entries[0].path == str(tmp_path / "data")
    ftp, dropbox = cellar.plans
    assert (ftp.extension, ftp.settings["Host"], ftp.settings["RateLimit"]) == ("ftp", "b", 7)
    assert dropbox.extension == "dropbox" and dropbox.task == "cellar" and dropbox.bak_dir is None
    settings = roof.plans[0].settings
    assert (settings["Host"], settings["RateLimit"], settings["KeyFile"]) == ("a", 50_000, str(tmp_path / "keys" / "id"))
    assert settings["SSHConfigFile"] == "none" and settings["BakToFolder"] is None
    assert ".roof." in settings["Subtask_Log_FileName"]


def test_a_folder_is_its_main_file_and_one_task_for_each_drop_in(tmp_path: Path):
    write(tmp_path / "pysubtask.toml")
    write(tmp_path / "conf.d" / "roof.toml")
    write(tmp_path / "conf.d" / "cellar.toml", ONE + '[base]\nTaskName = "keller"\n')
    write(tmp_path / "conf.d" / ".hidden.toml", "no")
    write(tmp_path / "conf.d" / "notes.txt", "no")
    assert names(load(str(tmp_path), {})) == ["main", "keller", "roof"]
    assert names(load(str(tmp_path / "conf.d" / "roof.toml"), {})) == ["roof"]
    assert [task.name for task in load(str(tmp_path), {}).named(["roof"])] == ["roof"]
    with pytest.raises(CommandError, match=r"no task 'rof'.*main, keller, roof"):
        load(str(tmp_path), {}).named(["rof"])
    write(tmp_path / "conf.d" / "again.toml", ONE + '[base]\nTaskName = "roof"\n')
    with pytest.raises(config_file.ConfigProblems, match=r"roof\.toml: base\.TaskName: 'roof' is .* a task in .*again\.toml"):
        load(str(tmp_path), {})


def test_where_a_config_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(config_file, "SYSTEM_FOLDER", str(tmp_path / "system"))
    environ = {"XDG_CONFIG_HOME": str(tmp_path / "home")}
    with pytest.raises(CommandError, match=r"no config: .*system and .*home/pysubtask.*pysubtask init"):
        load(None, environ)
    own = write(tmp_path / "home" / "pysubtask" / "conf.d" / "mine.toml")
    assert load(None, environ).files == (str(own),)
    system = write(tmp_path / "system" / "pysubtask.toml")
    assert load(None, environ).files == (str(system),)
    other = write(tmp_path / "other" / "pysubtask.toml")
    assert load(None, {**environ, "PYSUBTASK_CONFIG_DIR": str(other.parent)}).files == (str(other),)


def test_the_environment_has_the_last_word(tmp_path: Path):
    path = write(tmp_path / "x.toml", ONE.replace("Host", 'PasswordFile = "secret"\nHost') + '[base]\nTaskName = "roof-2"\n')
    write(tmp_path / "secret", "from the file\n")
    environ = {
        "PYSUBTASK_ROOF_2__FTP__PASSWORD": "from the environment",
        "PYSUBTASK_ROOF_2__FTP__SSHCONFIGFILE": "none",
        "PYSUBTASK_ROOF_2__BURST_MODE__EXPIRE_MILLI": "70",
        "PYSUBTASK_ROOF_2__BASE__HEARTBEATSTATUS": "yes",
        "PYSUBTASK_ROOF_2__BASE__MINFREEBYTES": "1G",
        "PYSUBTASK_ROFF_2__FTP__HOST": "x",
    }
    found = load(str(path), environ)
    plan = found.tasks[0].plans[0]
    assert plan.settings["Password"] == "from the environment" and plan.settings["SSHConfigFile"] == "none"
    assert plan.burst["expire_milli"] == 70 and plan.settings["HeartbeatStatus"] is True
    assert plan.settings["MinFreeBytes"] == 10**9
    assert found.notes == (
        "PYSUBTASK_ROFF_2__FTP__HOST: no task has this name here, so it is not used. Did you mean PYSUBTASK_ROOF_2__...?",
    )
    assert load(str(path), {}).tasks[0].plans[0].settings["Password"] == "from the file"


def test_a_config_with_a_secret_in_it_is_for_its_owner_alone(tmp_path: Path):
    path = write(tmp_path / "x.toml", ONE.replace("Host", 'Password = "hunter2"\nHost'))
    assert load(str(path), {}).tasks[0].plans[0].settings["Password"] == "hunter2"
    path.chmod(0o640)
    with pytest.raises(config_file.ConfigProblems) as caught:
        load(str(path), {})
    assert str(caught.value).endswith(f"{path}:2: ftp.Password: {path} can be read by others (mode 0640). Run: chmod 600 {path}")
    write(path, ONE).chmod(0o644)
    load(str(path), {})


def test_what_a_reload_has_to_do(tmp_path: Path):
    def tasks(text: str) -> Any:
        return load(str(write(tmp_path / "x.toml", text)), {}).tasks

    base = '[tasks.a]\nftp.Host = "h"\nwatch = [{ dir = "a" }]\n[tasks.b]\nftp.Host = "h"\nwatch = [{ dir = "b" }]\n'
    running = {task.name: task for task in tasks(base)}
    same = compare(running, tasks(base))
    assert same.same == ("a", "b") and not (same.start or same.stop or same.restart or same.live)
    found = compare(running, tasks("[base]\nRetryCount = 9\n" + base.replace('watch = [{ dir = "b" }]', 'watch = [{ dir = "c" }]')))
    assert found.restart == {"b": "watch"} and list(found.live) == ["a"]
    assert found.live["a"] == {running["a"].plans[0].state_dir: {"RetryCount": 9}}
    found = compare(running, tasks(base.replace("tasks.b", "tasks.c").replace('"h"', '"i"')))
    assert (found.start, found.stop, found.restart) == (("c",), ("b",), {"a": "ftp.Host"})
    found = compare(running, tasks('[dropbox]\nAccessToken = "t"\n[burst_mode]\nexpire_milli = 1\n' + base))
    assert found.restart["a"] == "destinations, burst_mode"
    found = compare(running, tasks('[base]\nArchiveToFolder = "archive"\n' + base))
    assert found.restart["a"] == "base.ArchiveToFolder"


# ---- what init writes


@pytest.mark.parametrize("words", [[], ["--full"]], ids=["short", "full"])
def test_what_init_writes_loads_with_two_lines_filled_in(tmp_path: Path, words: list[str]):
    path = tmp_path / "sub" / "station.toml"
    done = CliRunner().invoke(init.command, [*words, str(path)], standalone_mode=False)
    assert done.exception is None and str(path) in done.output
    text = path.read_text()
    assert len([line for line in text.splitlines() if "<==" in line and not line.startswith("#")]) == 2
    assert words or len(text.splitlines()) < 20
    for host, protocol in (("h", True), ("ftp://me@h/in", False)):
        filled = text.replace('dir = "" ', 'dir = "data"', 1).replace('Host = "" ', f'Host = "{host}"', 1)
        settings = load(str(write(path, filled)), {}).tasks[0].plans[0].settings
        assert settings["UseSFTP"] is protocol and settings["Host"] == "h"
    # Each line that may be switched on is right.
    write(tmp_path / "sub" / "secret.txt", "hunter2\n")
    on = filled.replace("#PasswordFile", "PasswordFile")
    assert load(str(write(path, on)), {}).tasks[0].plans[0].settings["Password"] == "hunter2" or words


def test_what_init_writes_in_full_has_every_setting(tmp_path: Path):
    path = tmp_path / "sub" / "station.toml"
    done = CliRunner().invoke(init.command, ["--full", str(path)], standalone_mode=False)
    assert done.exception is None and str(path) in done.output
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    text = path.read_text()
    assert len([line for line in text.splitlines() if "<==" in line and not line.startswith("#")]) == 2
    filled = text.replace('dir = "" ', 'dir = "data"', 1).replace('Host = "" ', 'Host = "h"', 1)
    task = load(str(write(path, filled)), {}).tasks[0]
    plain = load(str(write(path)), {}).tasks[0]
    assert task.plans == plain.plans and task.entries == plain.entries and not task.archives

    parts = re.split(r"^\[(\w+)\]$", text, flags=re.MULTILINE)
    sections = dict(zip(parts[1::2], parts[2::2], strict=True))
    for section in SECTIONS:
        for row in defaults_config.SETTINGS[section]:
            assert re.search(rf"^#?{row.key} = ", sections[section], re.MULTILINE), row.key
    assert max(map(len, text.splitlines())) < 125

    # Each line without its # is the default, or, where there is none to write, an example.
    on = re.sub(r"^#(?=\w+ = )", "", filled.replace('#file = "/data/today.csv"', ""), flags=re.MULTILINE)
    for row in defaults_config.SETTINGS["ftp"] + defaults_config.SETTINGS["dropbox"]:
        on = re.sub(rf"^{file_key(row)} = \"secret.txt\"\n", "", on, flags=re.MULTILINE)
    every = load(str(write(path, on)), {}).tasks[0]
    differing = {key for key, value in every.plans[0].settings.items() if plain.plans[0].settings[key] != value}
    assert differing == {"SSHConfigFile"} and every.archives
    assert every.plans[0].burst == plain.plans[0].burst


def test_init_never_writes_over_a_file(tmp_path: Path):
    path = write(tmp_path / "x.toml", "mine")
    done = CliRunner().invoke(init.command, [str(path)], standalone_mode=False)
    assert isinstance(done.exception, CommandError) and "there already" in str(done.exception) and path.read_text() == "mine"
    assert CliRunner().invoke(init.command, ["-", "--full"], standalone_mode=False).output == template()
    assert CliRunner().invoke(init.command, ["-"], standalone_mode=False).output == short()


# ---- docs


def test_the_examples_of_the_page_load(tmp_path: Path):
    blocks = re.findall(r"^```toml\n(.*?)^```$", pages.read("config.md"), re.DOTALL | re.MULTILINE)
    assert len(blocks) >= 2
    write(tmp_path / "roof.password", "hunter2\n")
    for number, block in enumerate(blocks):
        block = block.replace("/etc/pysubtask/", f"{tmp_path}/")
        assert load(str(write(tmp_path / f"{number}.toml", block)), {}).tasks


# ---- lines

ODD = '''# x
title = "a" # [no]
a.b = """
[no]
\\""" x = 1
"""
[ftp]
Host = 'x'
"quoted = key".z = 1

[[watch]]
dir = "a, ] } #"
include = ["a",
  "b", # c ]
]
[[watch]]
file = "b"
[tasks.a.ftp]
x = { p = 1, q = [ {r=1}, {r=2} ] }
[[tasks.a.watch]]
dir=1979-05-27 07:32:00
w = [
 {dir = 1},
 {dir = [
   2]}]
end=\'\'
'''


def test_the_line_of_each_key():
    lines = key_lines(ODD)
    assert [lines[key] for key in (("title",), ("a", "b"), ("ftp",), ("ftp", "Host"), ("ftp", "quoted = key", "z"))] == [
        2,
        3,
        7,
        8,
        9,
    ]
    assert [lines[key] for key in (("watch", 0), ("watch", 0, "dir"), ("watch", 0, "include", 1), ("watch", 1, "file"))] == [
        11,
        12,
        14,
        17,
    ]
    assert lines["tasks", "a", "ftp", "x", "q", 1, "r"] == 19 and lines["tasks", "a", "watch", 0, "w", 1, "dir"] == 24
    assert lines["tasks", "a", "watch", 0, "end"] == 26


@pytest.mark.parametrize("text", [ODD, template(), short(), *(text for _, text, _ in CASES)], ids=range(len(CASES) + 3))
def test_every_key_that_tomllib_finds_has_a_line_with_its_name(text: str):
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    lines, rows = key_lines(text), text.split("\n")

    def visit(path: KeyPath, value: Any) -> None:
        if path:
            name = next(part for part in reversed(path) if isinstance(part, str))
            row = rows[lines[path] - 1]
            assert isinstance(path[-1], int) or name in row or json.dumps(name) in row, path
        for key, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
            visit((*path, key), item)

    visit((), data)
