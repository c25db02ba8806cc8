"""Which files a config makes this program's own, and that no entry names one of them."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from pysubtask import BaseMaster, ConfigError, FTPTaskMaster, Section, TaskMaster, defaults_config
from pysubtask.common.own_names import LOG
from pysubtask.master import excluded_files
from pysubtask.master.child_config import plan

FILES = [(section, row.key) for section, rows in defaults_config.SETTINGS.items() for row in rows if row.names == "file"]
QUIET = {"Master_Log_FileName": None, "Subtask_Log_FileName": None}


@pytest.mark.parametrize(("section", "key"), FILES)
def test_every_file_that_a_setting_names_is_no_data(section: str, key: str, tmp_path: Path):
    path = tmp_path / "secret.txt"
    path.write_text("x")
    rows = defaults_config.SETTINGS[section]
    found = excluded_files.of_settings(section, rows, {row.key: str(path) if row.key == key else row.default for row in rows})
    assert found[str(path)] == f"named by {section}.{key}"
    beside = {name: why for name, why in found.items() if why != LOG and name != str(path)}
    assert set(beside) == ({f"{path}.pub", f"{path}-cert.pub"} if key == "KeyFile" else set())


def test_words_that_are_no_files_and_a_key_by_its_public_half(tmp_path: Path):
    def of(**settings: str) -> dict[str, str]:
        return excluded_files.of_settings("ftp", defaults_config.SETTINGS["ftp"], settings)

    assert of(SSHConfigFile="none", SSHProgram="ssh") == {}
    assert set(of(KeyFile=f"{tmp_path}/id-cert.pub")) == {f"{tmp_path}/id", f"{tmp_path}/id.pub", f"{tmp_path}/id-cert.pub"}


def master(entries: list[dict[str, object]], config: object, **kwargs: object) -> FTPTaskMaster:
    return FTPTaskMaster(entries, config, None, False)


@pytest.mark.parametrize("key", ["KeyFile", "KnownHostsFile", "SSHConfigFile"])
@pytest.mark.parametrize("form", ["itself", "link", "hard link", "copy"])
def test_an_entry_that_names_one_is_refused_with_the_reason(key: str, form: str, tmp_path: Path):
    secret, named = tmp_path / "secret.txt", tmp_path / "today.csv"
    secret.write_text("x")
    if form == "link":
        named.symlink_to(secret)
    elif form == "hard link":
        named.hardlink_to(secret)
    else:
        named = secret if form == "itself" else tmp_path / "secret.txt~"
    config = {"base": QUIET, "ftp": {"Host": "h", key: str(secret)}}
    with pytest.raises(ConfigError) as caught:
        master([{"file": tmp_path / "other.csv"}, {"file": named}], config)
    assert caught.value.key == "watchfilesdirs[1].file"
    assert str(named) in caught.value.problem and f"ftp.{key}" in caught.value.problem
    assert caught.value.remedy == "Remove this entry; name the files with your data."
    master([{"file": tmp_path / "other.csv"}], config)


def module(folder: Path, name: str, text: str, monkeypatch: pytest.MonkeyPatch) -> object:
    (folder / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, name, raising=False)
    loaded = importlib.import_module(name)
    monkeypatch.delitem(sys.modules, name)
    sys.modules[name] = loaded
    return loaded


@pytest.mark.parametrize("form", ["module", "class", "instance", "in a package", "section of a module", "dict", "namespace"])
def test_the_module_of_a_config_is_no_data(form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    text = (
        "from pysubtask import Section\nftp = Section(Host='h', Password='hunter-two')\n"
        "base = Section(Master_Log_FileName=None)\nclass Config:\n    ftp, base = ftp, base\n"
    )
    folder, name = tmp_path, f"own_config_{form.replace(' ', '_')}"
    if form == "in a package":
        folder = tmp_path / f"{name}_pack"
        folder.mkdir()
        (folder / "__init__.py").write_text("")
        (folder / "conf.py").write_text(text)
        monkeypatch.syspath_prepend(str(tmp_path))
        loaded = importlib.import_module(f"{name}_pack.conf")
        files = {str(folder / "conf.py"), str(folder / "__init__.py")}
    else:
        loaded = module(tmp_path, name, text, monkeypatch)
        files = {str(tmp_path / f"{name}.py")}
    config: object = {
        "class": lambda: loaded.Config,
        "instance": lambda: loaded.Config(),
        "dict": lambda: {"ftp": loaded.ftp, "base": loaded.base},
        "section of a module": lambda: {"ftp": loaded.ftp},
        "namespace": lambda: SimpleNamespace(ftp=loaded.ftp),
    }.get(form, lambda: loaded)()
    one = TaskMaster([{"dir": tmp_path, "recursive": True}], config, None, False)
    found = {path for path, why in one._task.never_sent.files.items() if why != LOG}
    assert found == files
    for path in files:
        assert not one.notify_file(path) and not Path(f"{path}.notify").exists()
        with pytest.raises(ConfigError, match="never sent"):
            TaskMaster([{"file": path}, {"dir": tmp_path}], config, None, False)


def test_the_app_itself_is_data_where_no_secret_stands_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    module(tmp_path, "own_plain_app", "SECRET = 'from elsewhere'\n", monkeypatch)
    config = {"base": QUIET, "ftp": {"Host": "h", "Password": "hunter-two"}}
    one = master([{"dir": tmp_path}], config)
    assert one.notify_file(str(tmp_path / "own_plain_app.py"))
    assert Path(tmp_path / "own_plain_app.py.notify").exists()


def test_a_log_may_be_named_and_its_older_ones_are_not_taken(tmp_path: Path):
    log = tmp_path / "child.txt"
    log.write_text("x")
    (tmp_path / "child.txt.1").write_text("x")
    one = BaseMaster(
        [{"file": log}, {"dir": tmp_path}],
        Section("", Subtask_Log_FileName=str(log), Master_Log_FileName=None),
        LogFileName=None,
        LogToConsole=False,
    )
    assert one.notify_file(log) and not one.notify_file(f"{log}.1")
    (tmp_path / "other.txt.1").write_text("mine")
    assert one.notify_file(tmp_path / "other.txt.1")


def test_the_log_says_why_a_notify_is_refused(tmp_path: Path):
    one = BaseMaster(
        [{"dir": tmp_path}], Section(Subtask_Log_FileName=None, Master_Log_FileName=str(tmp_path / "m.log")), LogToConsole=False
    )
    assert not one.notify_file(tmp_path / "m.log.1")
    assert "is not watched! It is never sent: a log of this program." in (tmp_path / "m.log").read_text()


def test_the_files_of_a_plan_tell_nothing_of_secrets():
    task_plan = plan("ftp", "pysubtask.ftp", {"ftp": {"Host": "h", "Password": "hunter-two", "KeyFile": "/k/id"}}, "/d")
    assert "/k/id" in task_plan.own and "hunter" not in json.dumps(dict(task_plan.own))
