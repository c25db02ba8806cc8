"""Files and programs that settings name: not obeyed where somebody else may say what is in them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pysubtask import ConfigError, TaskMaster
from pysubtask.common import trust
from pysubtask.common.named_files import OBEYED, check_files, doubt_about
from pysubtask.control.doctor import login_files
from pysubtask.control.doctor.prepare import endpoint
from pysubtask.defaults_config import SETTINGS
from pysubtask.transports import open_transport
from pysubtask.transports.dropbox.account import refresh_token
from tests.support.other_user import HIM, as_him, give_him, needs_root, open_folder
from tests.support.run_station import command

pytestmark = pytest.mark.skipif(not hasattr(os, "geteuid"), reason="a system without users and modes")
_SFTP = {"Host": "h.invalid", "UseSFTP": True}


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with a file in it. Whoever runs the tests, the group of the files is not his own."""
    monkeypatch.setattr(trust, "is_own_group", lambda gid, uid: False)
    monkeypatch.delenv("SUDO_UID", raising=False)
    with open_folder() as folder:
        (folder / "own").mkdir()
        (folder / "own").chmod(0o755)
        (folder / "own" / "file").write_text("")
        (folder / "own" / "file").chmod(0o644)
        yield folder / "own"


def problem(path: Path) -> str:
    found = doubt_about(str(path))
    assert found is None or found.remedy.endswith(".")
    return found.problem if found is not None else ""


def test_each_setting_that_names_a_file_is_checked_or_only_read():
    named = {(section, row.key) for section, rows in SETTINGS.items() for row in rows if row.names == "file"}
    only_read = {("ftp", "KeyFile"), ("dropbox", "RefreshTokenFile")}
    assert named - only_read == {(section, key) for section, keys in OBEYED.items() for key in keys}


def test_ordinary_files_are_obeyed(place: Path):
    assert problem(place / "file") == "" and problem(place / "missing") == "" and problem(place / "no" / "folder") == ""
    home = os.path.expanduser("~/.ssh/known_hosts")
    for path in ("/usr/bin/env", "/etc/passwd", home, "/etc/ssh/ssh_known_hosts", sys.executable):
        assert problem(Path(path)) == "", path
    check_files("ftp", {"SSHProgram": "ssh", "SSHConfigFile": "none", "KnownHostsFile": None, "CAFile": ""})


@pytest.mark.parametrize("mode", [0o666, 0o664, 0o622])
def test_a_file_that_others_may_write_is_not(place: Path, mode: int):
    (place / "file").chmod(mode)
    assert problem(place / "file") == f"others may write {place}/file (mode {mode:04o})"


@pytest.mark.parametrize("mode", [0o777, 0o775])
@pytest.mark.parametrize("depth", [0, 1, 2])
def test_nor_one_below_a_folder_that_others_may_write(place: Path, mode: int, depth: int):
    folder = place.joinpath(*["deeper"] * depth)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "file").write_text("")
    place.chmod(mode)
    assert f"others may write the folder {place} (mode {mode:04o})" in problem(folder / "file")
    place.chmod(0o1777)
    assert problem(folder / "file") == "", "in a sticky folder nobody else may replace what is ours"
    assert "others may write the folder" in problem(place / "missing"), "anybody may make it"


def test_own_group_is_nobody_else(place: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(trust, "is_own_group", lambda gid, uid: True)
    place.chmod(0o775)
    (place / "file").chmod(0o664)
    assert problem(place / "file") == ""
    (place / "file").chmod(0o666)
    assert problem(place / "file")


@pytest.mark.parametrize("relative", [False, True])
def test_links_count_where_they_lie_and_where_they_lead(place: Path, relative: bool):
    (place / "open").mkdir()
    (place / "open" / "file").write_text("")
    (place / "open").chmod(0o777)
    (place / "in").mkdir()
    (place / "in" / "link").symlink_to("../open/file" if relative else place / "open" / "file")
    (place / "again").symlink_to("in/link" if relative else place / "in" / "link")
    for name in ("in/link", "again"):
        assert f"folder {place}/open " in problem(place / name)
    (place / "open" / "out").symlink_to(place / "file")
    assert f"folder {place}/open " in problem(place / "open" / "out")
    (place / "round").symlink_to("round")
    with pytest.raises(OSError, match=r"[Ss]ymbolic"):
        doubt_about(str(place / "round"))


@needs_root
def test_whose_it_is_counts(place: Path):
    os.chown(place / "file", HIM, HIM)
    assert problem(place / "file") == f"{place}/file belongs to another user ({HIM}), whom root does not obey"
    os.chown(place / "file", 0, 0)
    as_him(lambda: _is_obeyed(place / "file"))
    os.chown(place, HIM, HIM)
    assert f"{place}, on the way to {place}/file, belongs to another user" in problem(place / "file")
    os.chown(place, 0, 0)
    (place / "link").symlink_to("file")
    os.chown(place / "link", HIM, HIM, follow_symlinks=False)
    assert "link, on the way to" in problem(place / "link")


def _is_obeyed(path: Path) -> None:
    assert problem(path) == "", "root is obeyed by all"


@needs_root
def test_behind_sudo_he_counts_as_root(place: Path, monkeypatch: pytest.MonkeyPatch):
    give_him(place)
    monkeypatch.setenv("SUDO_UID", str(HIM))
    assert problem(place / "file") == ""


@pytest.mark.parametrize("key", OBEYED["ftp"])
def test_every_command_that_connects_asks(place: Path, key: str, monkeypatch: pytest.MonkeyPatch):
    """A master at its making; and a transport, whoever opens it: a child, push, doctor, selftest."""
    monkeypatch.chdir(place)
    (place / "data").mkdir()
    (place / "file").chmod(0o666)
    sftp = key != "CAFile"
    settings = {"Host": "h.invalid", "UseSFTP": sftp, key: str(place / "file"), **({} if sftp else {"UseTLS": "explicit"})}
    with pytest.raises(ConfigError, match=rf"ftp\.{key}: others may write"):
        TaskMaster([{"dir": "data"}], {"ftp": settings}, None, False)
    assert not (place / "data" / ".pysubtask").exists()
    for transport in ("sftp", "pysftp") if sftp else ("ftp",):
        with pytest.raises(ConfigError, match=rf"ftp\.{key}: others may write"):
            open_transport(transport, settings, str(place))
    if sftp:
        with pytest.raises(ConfigError, match=rf"ftp\.{key}: others may write"):
            endpoint(settings)


@pytest.mark.parametrize("words", [("run",), ("doctor",), ("selftest", "--secs", "5"), ("push",)], ids=lambda words: words[0])
def test_no_command_runs_such_a_program(place: Path, words: tuple[str, ...]):
    (place / "data").mkdir()
    (place / "data" / "a.csv").write_text("1\n")
    evil = place / "evil-ssh"
    evil.write_text(f"#!/bin/sh\nid > {place}/it-ran\n")
    evil.chmod(0o777)
    config = place / "station.toml"
    config.write_text(f'[ftp]\nHost = "127.0.0.1"\nHostPort = 1\nSSHProgram = "{evil}"\n[[watch]]\ndir = "data"\n')
    config.chmod(0o600)
    if words == ("push",):
        words = ("push", "data/a.csv", "main", "-c", "station.toml", "--tries", "1")
    else:
        words = (words[0], "station.toml", *words[1:])
    done = command(place, *words)
    assert done.returncode != 0 and "others may write" in done.stdout + done.stderr, (done.stdout, done.stderr)
    assert not (place / "it-ran").exists()


@needs_root
@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_refresh_token_of_another_user_is_not_taken(place: Path, mode: int):
    (place / "file").write_text("token\n")
    (place / "file").chmod(mode)
    settings = {"RefreshTokenFile": str(place / "file"), "RefreshToken": None}
    assert refresh_token(settings) == "token"
    os.chown(place / "file", HIM, HIM)
    with pytest.raises(ConfigError, match="belongs to another user"):
        refresh_token(settings)


def test_a_key_is_only_read_and_reported(place: Path):
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(place / "key")], check=True, timeout=60)
    assert [finding.state for finding in login_files.key_file(str(place / "key"))] == ["ok"]
    place.chmod(0o777)
    (finding,) = login_files.key_file(str(place / "key"))
    assert finding.state == "warn" and finding.cause == "key-file-of-others" and str(place) in finding.text


# ---- python -m pysubtask run MODULE:CLASS

PROGRAM = "open('it-ran', 'w').close()\nclass Station:\n    def start(self): pass\n    def loop(self): return False\n"


def test_a_program_of_ones_own_is_run(place: Path):
    (place / "station.py").write_text(PROGRAM)
    (place / "station.py").chmod(0o644)
    assert command(place, "run", "station:Station").returncode == 0 and (place / "it-ran").exists()


@pytest.mark.parametrize("word", ["station:Station", "station.py:Station", "package.station:Station"])
@pytest.mark.parametrize("what", ["the file", "the folder", "the sticky folder"])
def test_one_that_others_may_write_is_not(place: Path, word: str, what: str):
    (place / "package").mkdir()
    for name in ("station.py", "package/station.py", "package/__init__.py"):
        (place / name).write_text(PROGRAM)
        (place / name).chmod(0o666 if what == "the file" else 0o644)
    if what != "the file":
        place.chmod(0o777 if what == "the folder" else 0o1777)
    done = command(place, "run", word)
    assert done.returncode == 2 and "MODULE:CLASS: others may write" in done.stderr, done.stderr
    assert not list(place.rglob("it-ran"))


@needs_root
def test_nor_one_of_another_user(place: Path):
    (place / "station.py").write_text(PROGRAM)
    os.chown(place / "station.py", HIM, HIM)
    done = command(place, "run", "station:Station")
    assert done.returncode == 2 and "belongs to another user" in done.stderr and not (place / "it-ran").exists()


@needs_root
def test_a_venv_in_a_home_of_ones_own_group_is_fine():
    """umask 002, as distributions have it for users with a group of their own: what pip made there is writable by it."""
    import grp
    import pwd

    one = pwd.getpwnam("games")
    assert grp.getgrgid(one.pw_gid).gr_name == "games"
    with open_folder() as home:
        site = home / "venv" / "lib" / "python3" / "site-packages" / "pysubtask"
        site.mkdir(parents=True)
        (site / "station.py").write_text("")
        for path in (home, *home.rglob("*")):
            os.chown(path, one.pw_uid, one.pw_gid)
            path.chmod(0o775 if path.is_dir() else 0o664)
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                os.setgroups([])
                os.setgid(one.pw_gid)
                os.setuid(one.pw_uid)
                assert problem(site / "station.py") == "" and problem(site) == ""
                status = 0
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
