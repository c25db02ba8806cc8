"""Which files are this program's own and its user's secrets: by name, by link, by what a setting says."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pysubtask import defaults_config
from pysubtask.common.never_sent import NeverSent
from pysubtask.common.own_names import LOG, is_copy

CONFIG = "the config itself"


def _words(text: str) -> list[str]:
    return text.split()


COPIES = _words(
    "station.toml~ .station.toml.swp .station.toml.swo .station.toml.un~ #station.toml# .#station.toml station.toml.bak "
    "station.toml.orig station.toml.tmp .station.toml.kate-swp station.toml.save station.toml.save.1 station.toml.dEf123 "
    "station.toml.~1~ station.toml.dpkg-old station.toml.1 station.toml.old2 station.toml_backup station.toml.2026-11-29 "
    "station.tomlAbC123.bck .station.toml.kak.1234 station.toml___jb_tmp___ ._station.toml .~lock.station.toml# "
    "%home%pi%station.toml.swp .station.toml.tmp station.toml.bak~"
)
OTHERS = _words(
    "station.toml.csv weather.csv weather.csv~ weather.csv.bak .weather.csv.swp #weather.csv# mystation.toml station.tomlx "
    "substation.toml station.tom station.csv .station.toml station-2.toml 4914 x4913 goutputstream-AbC123 station"
)


@pytest.mark.parametrize("name", COPIES)
def test_what_an_editor_leaves_of_the_config_is_no_data(name: str, tmp_path: Path):
    assert NeverSent({str(tmp_path / "station.toml"): CONFIG}).why(str(tmp_path / name)) == (
        "a copy or temporary of station.toml, the config itself"
    )


@pytest.mark.parametrize("name", OTHERS)
def test_another_file_named_like_a_backup_is_data(name: str, tmp_path: Path):
    own = NeverSent({str(tmp_path / "station.toml"): CONFIG})
    assert own.why(str(tmp_path / name)) == ""
    # In another folder even the name of the config itself is somebody's.
    assert own.why(str(tmp_path / "sub" / "station.toml")) == ""


@pytest.mark.parametrize("name", ["camera-20261129", "camera.001", "camera.sensor", "camera.csv", "camera2", "camera.2026ab"])
def test_a_key_without_an_ending_does_not_take_the_names_of_data(name: str):
    assert not is_copy(name, "camera")
    assert is_copy("camera~", "camera") and is_copy("camera.bak", "camera") and is_copy(".camera.swp", "camera")


def test_logs_and_what_a_rotation_makes_of_them(tmp_path: Path):
    own = NeverSent({str(tmp_path / "ftp.log.txt"): LOG})
    for name in ("ftp.log.txt", "ftp.log.txt.1", "ftp.log.txt.12", "ftp.log.txt.2.gz", "ftp.log.txt-20261129", ".ftp.log.txt.swp"):
        assert own.why(str(tmp_path / name)) == LOG, name
    assert own.why(str(tmp_path / "ftp.log.csv")) == own.why(str(tmp_path / "other.log.txt.1")) == ""
    # An entry that names a log means it; what was put aside of it stays ours.
    named = NeverSent(own.files, [str(tmp_path / "ftp.log.txt")])
    (tmp_path / "ftp.log.txt").write_text("x")
    found = os.stat(tmp_path / "ftp.log.txt")
    assert named.why(str(tmp_path / "ftp.log.txt")) == named.why_named(str(tmp_path / "ftp.log.txt")) == ""
    assert named.why_opened(str(tmp_path / "ftp.log.txt"), found) == ""
    assert named.why(str(tmp_path / "ftp.log.txt.1")) == LOG


def test_what_has_no_name_of_ours_is_known_beside_what_is_edited(tmp_path: Path):
    own = NeverSent({str(tmp_path / "station.toml"): CONFIG, str(tmp_path / "logs" / "x.txt"): LOG})
    (tmp_path / "4913").write_text("")
    for name in (".goutputstream-AbC123", ".subl1a2b.tmp", "4913"):
        assert "beside station.toml" in own.why(str(tmp_path / name)), name
        assert own.why(str(tmp_path / "logs" / name)) == "", name
    (tmp_path / "4913").write_text("measured")
    assert own.why(str(tmp_path / "4913")) == "", "vim's probe is empty; this is somebody's data"


def test_what_python_compiled_of_a_config_holds_its_password_too(tmp_path: Path):
    own = NeverSent({str(tmp_path / "my_config.py"): CONFIG})
    for name in ("my_config.cpython-311.pyc", "my_config.cpython-311.opt-1.pyc", "my_config.cpython-311.pyc.140234"):
        assert own.why(str(tmp_path / "__pycache__" / name)) == "compiled from my_config.py, the config itself"
    assert own.why(str(tmp_path / "__pycache__" / "my_config2.cpython-311.pyc")) == ""


def test_links_hard_links_and_other_names_of_a_folder(tmp_path: Path):
    home, data = tmp_path / "home", tmp_path / "data"
    home.mkdir()
    data.mkdir()
    secret, plain = home / "secret.txt", data / "plain.csv"
    secret.write_text("pw")
    plain.write_text("1")
    (tmp_path / "alias").symlink_to(home)
    (data / "soft.csv").symlink_to(secret)
    os.link(secret, data / "hard.csv")
    own = NeverSent({str(secret): "named by ftp.PasswordFile"})
    assert own.why(str(tmp_path / "alias" / "secret.txt")) == "named by ftp.PasswordFile"
    for name in ("soft.csv", "hard.csv"):
        assert "ftp.PasswordFile" in own.why_named(str(data / name)), name
        assert "ftp.PasswordFile" in own.why_opened(str(data / name), os.stat(data / name)), name
    assert os.stat(secret).st_ino in own.numbers()
    assert own.why_named(str(plain)) == own.why_opened(str(plain), os.stat(plain)) == own.why_same(os.stat(plain)) == ""
    # The config may be a link itself, as of a deployment.
    (tmp_path / "current.toml").symlink_to(secret)
    linked = NeverSent({str(tmp_path / "current.toml"): CONFIG})
    assert linked.why(str(tmp_path / "current.toml")) == linked.why(str(secret)) == CONFIG


def test_nothing_is_ours_where_nothing_is_named(tmp_path: Path):
    (tmp_path / "a").write_text("")
    none = NeverSent({})
    assert not none and none.numbers() == frozenset()
    assert none.why(str(tmp_path / "a")) == none.why_opened(str(tmp_path / "a"), os.stat(tmp_path / "a")) == ""


@given(st.text("abc.~#_-1", min_size=1, max_size=8), st.text("abc.~#_-1", min_size=1, max_size=12))
def test_a_copy_has_the_name_of_what_it_is_a_copy_of(of: str, name: str):
    assert not is_copy(of, of)
    if is_copy(name, of):
        assert of in name and len(name) > len(of)


# Texts that name nothing on this machine. A new setting has to be put here, or to say what it names.
_NO_PATHS = {
    "TaskName",
    "SubtaskDescription",
    "LogLevel",
    "LogFormat",
    "HeartbeatName",
    "start_trigger_mode",
    "Host",
    "HostPath",
    "HostSFTPPath",
    "HostFTPPath",
    "User",
    "Password",
    "HostKey",
    "HostKeyPolicy",
    "SFTPLibrary",
    "UseTLS",
    "TLSFingerprint",
    "RemoteLinks",
    "VerifyChecksum",
    "RunAs",
    "StatusGroup",
    "AppKey",
    "RefreshToken",
    "AccessToken",
    "Proxy",
    "Command",  # its program is found by own.of_command, which is tested with the command
}


def test_each_setting_that_names_a_path_says_so():
    rows = [(section, row) for section, rows in defaults_config.SETTINGS.items() for row in rows]
    texts = [(section, row) for section, row in rows if row.kind in (str, list) and not row.names]
    untold = [f"{section}.{row.key}" for section, row in texts if row.key not in _NO_PATHS]
    assert untold == [], "what do these name: a file, a log, a folder, a place? (Setting(names=...))"
    assert {row.names for _, row in rows} == {"", "file", "log", "folder", "place"}
    for _, row in rows:
        if row.key.endswith(("File", "FileName", "Folder", "Program")):
            assert row.names, row.key
        if row.key in _NO_PATHS:
            assert not row.names
