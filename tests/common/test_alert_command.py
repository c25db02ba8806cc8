"""The program that alerts: how it is written in a config, where it is, and whether it is obeyed."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from pysubtask import Section, TaskMaster, defaults_config
from pysubtask.common.alert_command import absolute, check_command, display, files_of, program_of, secrets_of
from pysubtask.common.config import resolve_alone
from pysubtask.common.errors import ConfigError
from pysubtask.control.config.config_file import load


def resolved(**values):
    return resolve_alone(defaults_config.SETTINGS, "alerts", defaults_config, {"alerts": values})


@pytest.mark.parametrize(
    ("written", "words"),
    [
        (["a", "b c"], ["a", "b c"]),
        (("a",), ["a"]),
        ("a 'b c' \"d\" e\\ f", ["a", "b c", "d", "e f"]),
        (None, None),
        ("a $HOME ~ * | b", ["a", "$HOME", "~", "*", "|", "b"]),
    ],
)
def test_it_is_a_list_or_a_text_that_is_split_without_a_shell(written, words):
    assert resolved(Command=written)["Command"] == words


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ("", "it names no program"),
        ([], "it names no program"),
        ([""], "it names no program"),
        ("  ", "it names no program"),
        ("a 'b", "cannot be split .*no closing quotation.*Close each quote"),
        (["a", 5], "it holds something else than text"),
        (5, "5 is of type int"),
        (True, "True is of type bool"),
        (["a\0b"], "NUL"),
    ],
)
def test_a_wrong_one_is_named(written, problem):
    with pytest.raises(ConfigError, match=rf"^alerts\.Command: .*{problem}"):
        resolved(Command=written)


def test_an_error_does_not_show_what_it_holds():
    with pytest.raises(ConfigError) as found:
        resolved(Command=["curl", "https://hooks.example.org/t0ken", 5])
    assert "t0ken" not in str(found.value)


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"SilentSecs": 0}, "alerts.SilentSecs"),
        ({"SettleSecs": -1}, "alerts.SettleSecs"),
        ({"Comand": "x"}, "Did you mean 'Command'"),
        ({"TimeoutSecs": "x"}, "alerts.TimeoutSecs"),
        ({"TimerIntervalSecs": 2}, "alerts.TimerIntervalSecs: this setting is not known"),
    ],
)
def test_other_settings_are_checked_too(values, problem):
    with pytest.raises(ConfigError) as found:
        resolved(**values)
    assert problem in str(found.value)


def test_where_the_program_is(tmp_path: Path):
    program = tmp_path / "bin" / "alert"
    program.parent.mkdir()
    program.write_text("")
    environ = {"PATH": f".:relative::{tmp_path}:{tmp_path}/bin"}
    assert program_of(["alert"], environ) is None, "it may not be executed"
    program.chmod(0o755)
    assert program_of(["alert"], environ) == str(program) == program_of([str(program)], {})
    assert absolute(["bin/../bin/alert", "x/y"], str(tmp_path)) == [str(program), "x/y"]
    assert absolute(["alert"], str(tmp_path)) == ["alert"]
    assert absolute(["~/alert"], "/x") == [os.path.expanduser("~/alert")]


def test_what_others_may_write_is_refused(tmp_path: Path):
    tmp_path.chmod(0o755)
    program, script = tmp_path / "alert", tmp_path / "script.py"
    for path in (program, script):
        path.write_text("")
        path.chmod(0o755)
    words = [str(program), "--with", str(script), "/nowhere/at/all"]
    check_command(words)
    assert list(files_of(words)) == [str(program), str(script)]
    check_command(None)
    check_command(["/nowhere/at/all"])
    script.chmod(0o757)
    with pytest.raises(ConfigError, match=rf"^alerts\.Command: others may write {script} \(mode 0757\)\. Let nobody"):
        check_command(words)
    script.chmod(0o755)
    tmp_path.chmod(0o777)
    with pytest.raises(ConfigError, match=r"alerts\.Command: others may write the folder .*, and put another alert there"):
        check_command(words)


def test_what_may_be_a_secret_is_not_displayed():
    words = [
        "/usr/bin/curl",
        "-H",
        "Authorization: Bearer abc",
        "https://ntfy.sh/my-topic",
        "--data",
        "it is held",
        "/data/a_long_name_20260101_x",
        "tk_0123456789abcdef0123",
    ]
    assert secrets_of(words) == [words[2], words[3], words[7]]
    assert display(words) == "/usr/bin/curl -H ******** ******** --data 'it is held' /data/a_long_name_20260101_x ********"


def config(tmp_path: Path, text: str, name: str = "station.toml") -> str:
    (tmp_path / "data").mkdir(exist_ok=True)
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    path.chmod(0o600)
    return str(path)


HEAD = '[[watch]]\ndir = "data"\n[ftp]\nHost = "h"\n'


def test_a_config_file_names_it_beside_itself(tmp_path: Path):
    task = load(config(tmp_path, HEAD + '[alerts]\nCommand = "./alert me"\nSilentSecs = "600"\n'), {}).tasks[0]
    assert dict(task.plans[0].alerts) == {
        "Command": [str(tmp_path / "alert"), "me"],
        "SilentSecs": 600,
        "SettleSecs": 60,
        "RepeatSecs": 86400,
        "TimeoutSecs": 30,
    }
    assert task.plans[0].own[str(tmp_path / "alert")] == "named by alerts.Command", "it is never sent"
    none = load(config(tmp_path, HEAD + '[alerts]\nCommand = "none"\n'), {}).tasks[0]
    assert none.plans[0].alerts["Command"] is None
    over = load(config(tmp_path, HEAD), {"PYSUBTASK_MAIN__ALERTS__COMMAND": "/bin/alert 'a, b'"}).tasks[0]
    assert over.plans[0].alerts["Command"] == ["/bin/alert", "a, b"]


def test_each_task_may_have_its_own_and_drop_ins_inherit_it(tmp_path: Path):
    text = '[alerts]\nCommand = ["./alert"]\n[ftp]\nHost = "h"\n'
    more = '[tasks.a]\nwatch = [{dir = "data"}]\n[tasks.b]\nwatch = [{dir = "data"}]\nalerts.Command = ["./other", "x"]\n'
    more += 'ftp.HostPath = "b"\n'
    found = {task.name: task.plans[0].alerts["Command"] for task in load(config(tmp_path, text + more), {}).tasks}
    assert found == {"a": [str(tmp_path / "alert")], "b": [str(tmp_path / "other"), "x"]}
    config(tmp_path, text, "etc/pysubtask.toml")
    config(tmp_path, f'[[watch]]\ndir = "{tmp_path}/data"\n', "etc/conf.d/roof.toml")
    roof = load(str(tmp_path / "etc"), {}).tasks[0]
    assert roof.plans[0].alerts["Command"] == [str(tmp_path / "etc" / "alert")], "relative to where it is written"


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("Command = []", "alerts.Command: it names no program"),
        ("Command = 5", "alerts.Command: 5 is a whole number"),
        ("Comand = 'x'", "alerts.Comand: this setting is not known. Did you mean 'Command'?"),
        ("SilentSecs = 0", "alerts.SilentSecs: 0 is out of range"),
        ('Command = "a \'b"', "alerts.Command: it cannot be split"),
    ],
)
def test_what_is_wrong_in_a_file_is_named_with_its_line(tmp_path: Path, line: str, problem: str):
    with pytest.raises(ConfigError) as found:
        load(config(tmp_path, f"{HEAD}[alerts]\n{line}\n"), {})
    assert f"station.toml:6: {problem}" in str(found.value)


def test_a_master_takes_the_section_unless_others_may_write_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    tmp_path.chmod(0o755)
    program = tmp_path / "alert"
    program.write_text("")
    program.chmod(0o777)
    (tmp_path / "data").mkdir()
    base = {"Master_Log_FileName": None, "Subtask_Log_FileName": None}
    sections = SimpleNamespace(ftp=Section("", Host="h"), base=Section("", **base), alerts=Section("", Command="./alert"))
    with pytest.raises(ConfigError, match=r"alerts\.Command: others may write .*alert \(mode 0777\)"):
        TaskMaster([{"dir": "data"}], sections, None, False)
    program.chmod(0o755)
    TaskMaster([{"dir": "data"}], sections, None, False)
    program.unlink()
    # A program that is not there keeps nothing from being sent.
    TaskMaster([{"dir": "data"}], sections, None, False)
