"""A common part, and one small file for each task: what a drop-in inherits from ``pysubtask.toml``."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pysubtask.control.config.config_file import ConfigProblems, load
from tests.support.configs import names, write

MAIN = """
[base]
RateLimit = "50k"
[ftp]
Host = "h"
User = "u"
HostPath = "in/{task}"
KeyFile = "id"
Password = "s3cret"
"""
WATCH = '[[watch]]\ndir = "/tmp"\n'


def problems(place: Path) -> list[str]:
    with pytest.raises(ConfigProblems) as caught:
        load(str(place), {})
    return [line.strip() for line in str(caught.value).splitlines() if ".toml" in line]


def settings(place: Path, name: str, environ: dict[str, str] | None = None) -> dict[str, object]:
    (task,) = [task for task in load(str(place), environ or {}).tasks if task.name == name]
    return task.plans[0].settings


@pytest.mark.slow
def test_a_drop_in_needs_only_what_is_its_own(tmp_path: Path):
    write(tmp_path / "pysubtask.toml", MAIN)
    write(tmp_path / "conf.d" / "roof.toml", WATCH)
    write(tmp_path / "conf.d" / "cellar.toml", '[base]\nRateLimit = 7\n[ftp]\nHost = "other"\n' + WATCH)
    assert names(load(str(tmp_path), {})) == ["cellar", "roof"], "a common part without a watch is no task"
    roof, cellar = settings(tmp_path, "roof"), settings(tmp_path, "cellar")
    assert (roof["Host"], roof["RateLimit"], roof["HostPath"]) == ("h", 50_000, "in/roof")
    assert (cellar["Host"], cellar["RateLimit"], cellar["HostPath"]) == ("other", 7, "in/cellar"), "the drop-in wins"
    assert roof["KeyFile"] == str(tmp_path / "id"), "a relative file is beside the config that names it"
    assert settings(tmp_path / "conf.d" / "roof.toml", "roof")["Host"] == "h", "the same file alone says the same"
    # A change of the common part is a change for each of them.
    assert all(str(tmp_path / "pysubtask.toml") in task.read_from for task in load(str(tmp_path), {}).tasks)


@pytest.mark.slow
def test_the_watch_and_the_name_of_the_main_task_are_its_own(tmp_path: Path):
    write(tmp_path / "pysubtask.toml", MAIN.replace("[base]", '[base]\nTaskName = "big"') + WATCH)
    write(tmp_path / "conf.d" / "roof.toml", WATCH)
    write(tmp_path / "conf.d" / "empty.toml", "")
    assert any("empty.toml" in line and "no folder or file is named" in line for line in problems(tmp_path))
    os.unlink(tmp_path / "conf.d" / "empty.toml")
    assert names(load(str(tmp_path), {})) == ["big", "roof"]


@pytest.mark.slow
def test_the_tasks_of_a_main_file_are_not_inherited(tmp_path: Path):
    write(tmp_path / "pysubtask.toml", MAIN + '[tasks.a.ftp]\nHost = "a"\n[[tasks.a.watch]]\ndir = "/tmp"\n')
    write(tmp_path / "conf.d" / "roof.toml", WATCH)
    assert names(load(str(tmp_path), {})) == ["a", "roof"] and settings(tmp_path, "roof")["Host"] == "h"


def test_a_mistake_in_the_common_part_is_reported_once(tmp_path: Path):
    main = write(tmp_path / "pysubtask.toml", MAIN.replace("User", "Usr") + "[sftp]\n")
    for name in ("a", "b", "c"):
        write(tmp_path / "conf.d" / f"{name}.toml", WATCH)
    lines = problems(tmp_path)
    assert len(lines) == 2, lines
    assert any(line.startswith(f"{main}:") and "Did you mean 'User'" in line for line in lines)
    write(main, "[ftp\n")
    assert len(problems(tmp_path)) == 1, "a common part that cannot be read says nothing of the others"


@pytest.mark.slow
def test_a_secret_of_a_drop_in_takes_the_place_of_the_common_one(tmp_path: Path):
    write(tmp_path / "pysubtask.toml", MAIN)
    write(tmp_path / "conf.d" / "own.pw", "own\n")
    write(tmp_path / "conf.d" / "roof.toml", '[ftp]\nPasswordFile = "own.pw"\n' + WATCH)
    assert settings(tmp_path, "roof")["Password"] == "own"
    write(tmp_path / "common.pw", "filed\n")
    write(tmp_path / "pysubtask.toml", MAIN.replace('Password = "s3cret"', 'PasswordFile = "common.pw"'))
    write(tmp_path / "conf.d" / "cellar.toml", '[ftp]\nPassword = "mine"\n' + WATCH)
    write(tmp_path / "conf.d" / "attic.toml", WATCH)
    assert [settings(tmp_path, name)["Password"] for name in ("roof", "cellar", "attic")] == ["own", "mine", "filed"]


def test_a_secret_in_the_common_part_is_guarded_as_in_any_config(tmp_path: Path):
    main = write(tmp_path / "pysubtask.toml", MAIN)
    write(tmp_path / "conf.d" / "roof.toml", WATCH)
    main.chmod(0o644)
    assert any("chmod" in line and "pysubtask.toml" in line for line in problems(tmp_path))


def test_a_runner_of_one_task_need_not_read_the_others_secrets(tmp_path: Path):
    """A service of one task of many gets a credential for its own password alone."""
    write(tmp_path / "pysubtask.toml", MAIN.replace('Password = "s3cret"', 'PasswordFile = "gone.pw"'))
    for name in ("roof", "cellar"):
        write(tmp_path / "conf.d" / f"{name}.toml", WATCH)
    given = tmp_path / "credentials"
    write(given / "roof.ftp.Password", "handed over\n")
    environ = {"CREDENTIALS_DIRECTORY": str(given)}
    found = load(str(tmp_path), environ, ["roof"])
    (roof,) = found.named(["roof"])
    assert roof.plans[0].settings["Password"] == "handed over"
    (cellar,) = found.named(["cellar"])
    assert cellar.plans[0].settings["Password"] is None and str(tmp_path / "gone.pw") in cellar.secret_files.values()
    with pytest.raises(ConfigProblems, match=r"gone\.pw cannot be read"):
        load(str(tmp_path), environ)
    with pytest.raises(ConfigProblems, match=r"gone\.pw cannot be read"):
        load(str(tmp_path), environ, ["cellar"])
