"""The systemd unit of ``pysubtask service``: what it says, and that systemd takes it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pysubtask.control.commands import service as service_module
from pysubtask.control.config_file import load
from pysubtask.control.unit import MADE_BY, Service, quoted, unit
from tests.control.station import command
from tests.other_user import needs_root, open_folder

CONFIG = """
[tasks.roof]
watch = [{ dir = "data/roof pictures 100%" }, { file = "lists/today.csv" }]
[tasks.roof.base]
StopWaitSecs = 45
ArchiveToFolder = "/srv/old"
Subtask_Log_FileName = "/var/log/roof/child.txt"
[tasks.roof.ftp]
Host = "files.example.org"
KeyFile = "key"
PasswordFile = "secret"
HostKeyPolicy = "accept-new"
[tasks.cellar]
watch = [{ dir = "data/cellar" }]
[tasks.cellar.dropbox]
AppKey = "key"
RefreshTokenFile = "secret"
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "secret").write_text("hunter2\n")
    (tmp_path / "secret").chmod(0o600)
    path = tmp_path / "my station.toml"
    path.write_text(CONFIG)
    return path


def values(text: str, key: str) -> list[str]:
    return [line.partition("=")[2] for line in text.splitlines() if line.startswith(f"{key}=")]


def verify(text: str, folder: Path) -> None:
    """systemd's own judgement: no error, and no warning."""
    path = folder / "pysubtask.service"
    path.write_text(text)
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", str(path)], capture_output=True, text=True, timeout=60)
    said = [line for line in (done.stdout + done.stderr).splitlines() if "pysubtask" in line or "station" in line]
    assert done.returncode == 0 and not said, done.stdout + done.stderr


needs_systemd = pytest.mark.skipif(
    not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed (apt-get install systemd)"
)


def made(config: Path, user: str = "daemon") -> str:
    service = Service("pysubtask", str(config), ("roof", "cellar"), user, "/home/daemon", "/home/daemon/tasks",
                      (sys.executable, "-P", "-m", "pysubtask"))  # fmt: skip
    return unit(service, load(str(config), {}).tasks)


@needs_systemd
@pytest.mark.parametrize("user", ["daemon", ""], ids=["of the system", "of a user"])
def test_systemd_takes_the_unit(config: Path, tmp_path: Path, user: str):
    verify(made(config, user), tmp_path)


@needs_systemd
def test_the_judgement_is_one(config: Path, tmp_path: Path):
    with pytest.raises(AssertionError):
        verify(made(config).replace("ProtectHome=read-only", "ProtectHomes=read-only"), tmp_path)


def test_only_the_systems_own_manager_is_asked_to_wait_for_the_network(config: Path):
    for key in ("Wants", "After"):
        assert values(made(config), key) == ["network-online.target"]
        assert values(made(config, ""), key) == [], "a user's manager knows no such target"


def test_what_the_service_may_touch(config: Path, tmp_path: Path):
    text = made(config)
    assert values(text, "ProtectSystem") == ["strict"] and values(text, "NoNewPrivileges") == ["yes"]
    assert values(text, "Type") == ["notify"] and values(text, "Restart") == ["on-failure"] and values(text, "User") == ["daemon"]
    assert values(text, "ReadWritePaths") == [
        f'"{tmp_path}/data/roof pictures 100%%"', f"{tmp_path}/lists", f"{tmp_path}/data/cellar",
        "-/home/daemon/.ssh", "-/home/daemon/state", "-/home/daemon/tasks", "-/srv/old", "-/var/log/roof",
    ]  # fmt: skip
    assert values(text, "StateDirectory") == ["pysubtask"] and values(text, "StateDirectoryMode") == ["0700"]
    assert values(text, "LoadCredential") == [
        f"roof.ftp.Password:{tmp_path}/secret", f"roof.ftp.KeyFile:{tmp_path}/key",
        f"cellar.dropbox.RefreshToken:{tmp_path}/secret",
    ]  # fmt: skip
    assert values(text, "TimeoutStopSec") == ["65"] and int(values(text, "WatchdogSec")[0]) > 0
    assert "hunter2" not in text
    assert values(text, "PrivateTmp") == ["no" if str(tmp_path).startswith(("/tmp", "/var/tmp")) else "yes"]


def test_the_state_may_be_written_wherever_it_is_to_be(config: Path, tmp_path: Path):
    config.write_text(CONFIG.replace("StopWaitSecs = 45", 'StopWaitSecs = 45\nStateFolder = "/srv/state"'))
    assert "-/srv/state" in values(made(config), "ReadWritePaths")


def test_words_of_a_unit():
    assert quoted("/a b/%h$X", command=True) == '"/a b/%%h$$X"'
    assert quoted('/a"b\\c') == '"/a\\"b\\\\c"'
    assert quoted("/a\nUser=root") == "/a?User=root"


def test_the_credentials_are_enough(config: Path, tmp_path: Path):
    """Under systemd the user of the service need not be able to read the files themselves."""
    (tmp_path / "secret").unlink()
    given = tmp_path / "credentials"
    given.mkdir()
    for name in ("roof.ftp.Password", "roof.ftp.KeyFile", "cellar.dropbox.RefreshToken"):
        (given / name).write_text(f"{name} of systemd\n".replace(" ", "-"))
        (given / name).chmod(0o440)
    roof, cellar = load(str(config), {"CREDENTIALS_DIRECTORY": str(given)}).tasks
    assert roof.config["ftp"]["Password"] == "roof.ftp.Password-of-systemd"
    assert roof.config["ftp"]["KeyFile"] == str(given / "roof.ftp.KeyFile")
    assert cellar.config["dropbox"]["RefreshToken"] == "cellar.dropbox.RefreshToken-of-systemd"
    assert "RefreshTokenFile" not in cellar.config["dropbox"]
    assert "of-systemd" not in repr(roof) + repr(cellar)


def test_it_is_installed_once_and_never_over_somebody_elses(config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from click.testing import CliRunner

    from pysubtask.control.commands import service

    units = tmp_path / "config" / "systemd" / "user"
    monkeypatch.setattr(service, "SYSTEM_UNITS", str(units))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("PYSUBTASK_REGISTRY", str(tmp_path / "registry"))
    # No manager of this machine is told.
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    words = [str(config), "--install", "--name", "roof-1"]
    for _ in range(2):
        done = CliRunner().invoke(service.command, words, standalone_mode=False)
        assert done.exception is None and "enable --now roof-1" in done.output and "daemon-reload" in done.output
    path = units / "roof-1.service"
    assert path.read_text().startswith(MADE_BY) and [item.name for item in units.iterdir()] == ["roof-1.service"]
    path.write_text("[Unit]\n")
    done = CliRunner().invoke(service.command, words, standalone_mode=False)
    assert "made by somebody else" in str(done.exception) and path.read_text() == "[Unit]\n"


def test_it_is_printed(config: Path, tmp_path: Path):
    done = command(tmp_path, "service", str(config), "--task", "roof", PYSUBTASK_ROOF__FTP__USER="me")
    assert done.returncode == 0, done.stderr
    shown = f'"{config}"'
    assert values(done.stdout, "ExecStart") == [f"{sys.executable} -P -m pysubtask run {shown} --task roof"]
    assert "PYSUBTASK_ROOF__FTP__USER" in done.stderr and "cellar" not in done.stdout
    assert ("User=" in done.stdout) == (os.geteuid() == 0)


@pytest.fixture
def home() -> Iterator[Path]:
    """The home of another user."""
    with open_folder() as folder:
        (folder / "home").mkdir(mode=0o700)
        yield folder / "home"


def of_daemon(home: Path) -> Service:
    """A service of the user daemon, whose home this is."""
    import pwd

    user = pwd.getpwnam("daemon")
    os.chown(home, user.pw_uid, user.pw_gid)
    return Service("pysubtask", "x.toml", (), "daemon", str(home), str(home / ".local/state/pysubtask/tasks"), ("pysubtask",))


@needs_root
def test_the_folder_of_records_is_made_with_the_users_rights(home: Path):
    made = of_daemon(home)
    umask = os.umask(0)
    try:
        assert service_module._make_registry(made) == [] == service_module._make_registry(made)
    finally:
        os.umask(umask)
    at = home
    for part in (".local", "state", "pysubtask", "tasks"):
        at = at / part
        assert (at.stat().st_uid, at.stat().st_mode & 0o777) == (home.stat().st_uid, 0o700)


@needs_root
@pytest.mark.parametrize("link", [".local", ".local/state", ".local/state/pysubtask", ".local/state/pysubtask/tasks"])
def test_no_link_of_the_user_leads_into_roots_places(home: Path, tmp_path: Path, link: str):
    etc = tmp_path / "etc"
    etc.mkdir(mode=0o755)
    made = of_daemon(home)
    (home / link).parent.mkdir(parents=True, exist_ok=True)
    (home / link).symlink_to(etc if link != ".local/state/pysubtask/tasks" else etc / "tasks")
    for folder in home.rglob("*"):
        os.chown(folder, home.stat().st_uid, home.stat().st_gid, follow_symlinks=False)
    (note,) = service_module._make_registry(made)
    assert "cannot be made as daemon" in note and os.listdir(etc) == []


@needs_root
def test_a_home_of_roots_is_not_given_away(home: Path):
    made = of_daemon(home)
    os.chown(home, 0, 0)
    home.chmod(0o755)
    (note,) = service_module._make_registry(made)
    assert "Permission denied" in note and os.listdir(home) == []
