"""Configs that others may write are not obeyed."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pysubtask.common import registry, trust
from pysubtask.common.errors import ConfigError
from pysubtask.control.config.config_file import load
from pysubtask.control.config.problems import ConfigProblems
from pysubtask.control.config.secrets import read_secret
from pysubtask.control.doctor.source import load_python
from pysubtask.control.setup.first_config import write_new
from pysubtask.master.child_config import plan
from tests.support import harm
from tests.support.other_user import HIM, as_him, give_him, needs_root, open_folder
from tests.support.run_station import command

TOML = '[[watch]]\ndir = "data"\n[ftp]\nHost = "h"\nUser = "u"\n'
pytestmark = pytest.mark.skipif(not hasattr(os, "geteuid"), reason="a system without users and modes")


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    with open_folder() as folder:
        yield folder


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of this user with a config in it. Whoever runs the tests, the group of the files is not his own."""
    monkeypatch.setattr(trust, "is_own_group", lambda gid, uid: False)
    monkeypatch.delenv("SUDO_UID", raising=False)
    folder = tmp_path / "station"
    folder.mkdir()
    folder.chmod(0o755)
    (folder / "station.toml").write_text(TOML)
    (folder / "station.toml").chmod(0o644)
    return folder


def refusal(path: Path) -> str:
    with pytest.raises(ConfigProblems) as caught:
        load(str(path), {})
    (problem,) = caught.value.problems
    return str(problem)


def test_an_ordinary_config_is_obeyed(place: Path):
    assert load(str(place / "station.toml"), {}).tasks


@pytest.mark.parametrize("mode", [0o666, 0o664, 0o622])
def test_a_config_that_others_may_write_is_not(place: Path, mode: int):
    path = place / "station.toml"
    path.chmod(mode)
    message = refusal(path)
    assert f"(mode {mode:04o})" in message and message.endswith(f"Run: chmod go-w {path}")
    assert harm.in_line(message.partition("Run: ")[2]) == ""
    subprocess.run(["sh", "-c", message.partition("Run: ")[2]], check=True, timeout=30)
    assert load(str(path), {}).tasks


@pytest.mark.parametrize("mode", [0o777, 0o775])
def test_nor_one_in_a_folder_that_others_may_write(place: Path, mode: int):
    place.chmod(mode)
    message = refusal(place / "station.toml")
    assert f"folder {place} (mode {mode:04o})" in message and "chmod" not in message, "the folder may be anything: a drop box, say"
    assert "/pysubtask" in message


@pytest.mark.parametrize("name", ["pysubtask", "conf.d"])
def test_a_folder_for_configs_alone_is_closed_by_a_line(place: Path, name: str):
    folder = place / name
    folder.mkdir()
    path = folder / "roof.toml"
    path.write_text(TOML)
    path.chmod(0o600)
    folder.chmod(0o777)
    message = refusal(path)
    assert message.endswith(f"Run: chmod go-w {folder}") and harm.in_line(message.partition("Run: ")[2]) == ""


def test_each_drop_in_and_the_folder_of_the_drop_ins_count(place: Path):
    (place / "station.toml").rename(place / "pysubtask.toml")
    drop_ins = place / "conf.d"
    drop_ins.mkdir()
    drop_ins.chmod(0o755)
    for name in ("a", "b"):
        (drop_ins / f"{name}.toml").write_text(TOML)
        (drop_ins / f"{name}.toml").chmod(0o644)
    assert len(load(str(place), {}).tasks) == 3
    (drop_ins / "b.toml").chmod(0o666)
    assert f"{drop_ins}/b.toml: others may write it" in refusal(place)
    (drop_ins / "b.toml").chmod(0o644)
    place.chmod(0o777)
    with pytest.raises(ConfigProblems) as caught:
        load(str(drop_ins / "a.toml"), {})
    assert f"folder {place} " in str(caught.value), "who may write above may put another conf.d there"


def test_a_link_counts_where_it_lies_and_where_it_leads(place: Path, tmp_path: Path):
    (tmp_path / "station.toml").symlink_to(place / "station.toml")
    assert load(str(tmp_path / "station.toml"), {}).tasks
    place.chmod(0o777)
    assert f"folder {place} " in refusal(tmp_path / "station.toml")


def test_a_file_of_ours_in_a_sticky_folder_is_obeyed(place: Path):
    place.chmod(0o1777)
    assert load(str(place / "station.toml"), {}).tasks


def test_the_owners_own_group_is_nobody_else(place: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(trust, "is_own_group", lambda gid, uid: True)
    (place / "station.toml").chmod(0o664)
    place.chmod(0o775)
    assert load(str(place / "station.toml"), {}).tasks


@needs_root
def test_root_does_not_obey_another_user(place: Path):
    path = place / "station.toml"
    os.chown(path, HIM, HIM)
    message = refusal(path)
    assert f"another user ({HIM})" in message and message.endswith(
        f"If every line of it is your own, run: sudo chown -h root {path}"
    )
    os.chown(path, 0, 0)
    os.chown(place, HIM, HIM)
    assert f"folder {place} belongs to another user" in refusal(path)


@needs_root
def test_root_obeys_who_typed_sudo(place: Path, monkeypatch: pytest.MonkeyPatch):
    for path in (place, place / "station.toml"):
        os.chown(path, HIM, HIM)
    monkeypatch.setenv("SUDO_UID", str(HIM))
    assert load(str(place / "station.toml"), {}).tasks
    monkeypatch.setenv("SUDO_UID", str(HIM + 1))
    assert "another user" in refusal(place / "station.toml")


@needs_root
def test_a_user_obeys_himself_and_root_and_nobody_else(place: Path):
    path = place / "station.toml"

    def obeys():
        assert load(str(path), {}).tasks

    as_him(obeys)
    os.chown(path, HIM, HIM)
    as_him(obeys)
    os.chown(path, HIM + 1, HIM + 1)
    as_him(lambda: refusal(path).index("another user"))
    os.environ["SUDO_UID"] = str(HIM + 1)
    try:
        as_him(lambda: refusal(path).index("another user"))  # the variable is anybody's
    finally:
        del os.environ["SUDO_UID"]


@pytest.mark.slow
@needs_root
def test_no_program_of_somebody_else_is_run(place: Path):
    """The whole way: a config of mode 0666 names a program."""
    program = place / "evilssh"
    program.write_text(f"#!/bin/sh\ntouch {place}/ran\nexit 1\n")
    program.chmod(0o755)
    (place / "station.toml").write_text(TOML + f'SSHProgram = "{program}"\n')
    (place / "station.toml").chmod(0o666)
    (place / "data").mkdir()
    for words in (["run"], ["check"], ["doctor"]):
        done = command(place, *words, str(place / "station.toml"))
        assert done.returncode != 0 and "others may write it" in done.stderr + done.stdout, words
    assert not (place / "ran").exists()


def python(place: Path) -> Path:
    path = place / "station_config.py"
    path.write_text(f"import pathlib\npathlib.Path({str(place / 'ran')!r}).touch()\nclass ftp:\n    Host = 'h'\n")
    path.chmod(0o644)
    return path


@pytest.mark.parametrize("as_module", [False, True])
def test_a_python_config_that_others_may_write_is_not_loaded(place: Path, monkeypatch: pytest.MonkeyPatch, as_module: bool):
    path = python(place)
    monkeypatch.chdir(place)
    monkeypatch.syspath_prepend(str(place))
    word = "station_config" if as_module else str(path)
    path.chmod(0o666)
    with pytest.raises(ConfigError, match=r"others may write it .*chmod go-w"):
        load_python(word)
    path.chmod(0o644)
    place.chmod(0o777)
    with pytest.raises(ConfigError, match="others may write its folder"):
        load_python(word)
    assert not (place / "ran").exists()
    place.chmod(0o755)
    assert load_python(word).sections.ftp.Host == "h" and (place / "ran").exists()


def test_a_module_in_a_package_that_others_may_write_is_refused(place: Path, monkeypatch: pytest.MonkeyPatch):
    package = place / "obeyed_package"
    package.mkdir()
    package.chmod(0o755)
    (package / "__init__.py").touch(0o644)
    path = python(place).rename(package / "station_config.py")
    monkeypatch.chdir(place)
    monkeypatch.syspath_prepend(str(place))
    path.chmod(0o666)
    with pytest.raises(ConfigError, match="others may write it"):
        load_python("obeyed_package.station_config")
    assert not (place / "ran").exists()


def test_init_makes_a_folder_that_is_obeyed_whatever_the_umask(place: Path):
    before = os.umask(0)
    try:
        write_new(str(place / "pysubtask" / "station.toml"), TOML)
    finally:
        os.umask(before)
    assert load(str(place / "pysubtask" / "station.toml"), {}).tasks


@needs_root
def test_a_secret_file_of_another_user_is_not_taken(place: Path):
    path = place / "password"
    path.write_text("hunter2\n")
    path.chmod(0o600)
    assert read_secret("ftp.PasswordFile", str(path)) == "hunter2"
    os.chown(path, HIM, HIM)
    with pytest.raises(ConfigError, match="belongs to another user") as caught:
        read_secret("ftp.PasswordFile", str(path))
    assert "hunter2" not in str(caught.value) and "chown" not in str(caught.value)
    assert read_secret("ftp.PasswordFile", str(path), guarded=False) == "hunter2", "a credential is the system's affair"


@needs_root
def test_the_doctor_runs_nothing_named_by_anothers_state_folder(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Without a config it examines the tasks that are known, by what their children have left."""
    registry_folder = tmp_path / "registry"
    monkeypatch.setenv(registry.VARIABLE, str(registry_folder))
    program = tmp_path / "evilssh"
    program.write_text(f"#!/bin/sh\ntouch {place}/ran\nexit 1\n")
    program.chmod(0o755)
    state = place / "data" / ".pysubtask" / "main" / "ftp"
    state.mkdir(parents=True)
    settings = plan("ftp", "pysubtask.ftp", {"ftp": {"Host": "127.0.0.1", "SSHProgram": str(program)}}, str(place)).settings
    (state / "settings.json").write_text(json.dumps({"settings": settings, "live": [], "kept": []}))
    registry.announce(registry.Record("main", "ftp", "sftp://127.0.0.1/", str(state)))
    give_him(place / "data")
    done = command(place, "doctor", PYSUBTASK_REGISTRY=str(registry_folder))
    assert "pysubtask doctor CONFIG" in done.stdout + done.stderr, done
    assert str(program) not in done.stdout + done.stderr and not (place / "ran").exists()
