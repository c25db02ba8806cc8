"""The systemd unit of ``pysubtask service``: what it says, and that systemd takes it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pysubtask.control.commands import service as service_module
from pysubtask.control.config.config_file import load
from pysubtask.control.run import unit_files, unit_install
from pysubtask.control.run.exposure import exposure
from pysubtask.control.run.systemd_unit import GENERATED_BY, Service, quoted, unit
from tests.support.other_user import HIM, needs_root, open_folder
from tests.support.run_station import command

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
    complaints = [line for line in (done.stdout + done.stderr).splitlines() if "pysubtask" in line or "station" in line]
    assert done.returncode == 0 and not complaints, done.stdout + done.stderr


needs_systemd = pytest.mark.skipif(
    not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed (apt-get install systemd)"
)


def unit_of(config: Path, user: str = "daemon") -> str:
    service = Service(
        "pysubtask",
        str(config),
        ("roof", "cellar"),
        user,
        "/home/daemon",
        "/home/daemon/tasks",
        (sys.executable, "-P", "-m", "pysubtask"),
    )
    return unit(service, load(str(config), {}).tasks)


@needs_systemd
@pytest.mark.parametrize("user", ["daemon", ""], ids=["of the system", "of a user"])
def test_systemd_takes_the_unit(config: Path, tmp_path: Path, user: str):
    verify(unit_of(config, user), tmp_path)


@needs_systemd
def test_the_judgement_is_one(config: Path, tmp_path: Path):
    with pytest.raises(AssertionError):
        verify(unit_of(config).replace("ProtectHome=read-only", "ProtectHomes=read-only"), tmp_path)


def test_only_the_systems_manager_has_to_wait_for_the_network(config: Path):
    for key in ("Wants", "After"):
        assert values(unit_of(config), key) == ["network-online.target"]
        assert values(unit_of(config, ""), key) == [], "a user's manager knows no such target"


def test_what_the_service_may_touch(config: Path, tmp_path: Path):
    text = unit_of(config)
    assert values(text, "ProtectSystem") == ["strict"] and values(text, "NoNewPrivileges") == ["yes"]
    assert values(text, "Type") == ["notify"] and values(text, "Restart") == ["on-failure"] and values(text, "User") == ["daemon"]
    assert values(text, "ReadWritePaths") == [
        f'"{tmp_path}/data/roof pictures 100%%"',
        f"{tmp_path}/lists",
        f"{tmp_path}/data/cellar",
        "-/home/daemon/.ssh",
        "-/home/daemon/state",
        "-/home/daemon/tasks",
        "-/srv/old",
        "-/var/log/roof",
    ]
    assert values(text, "StateDirectory") == ["pysubtask"] and values(text, "StateDirectoryMode") == ["0700"]
    assert values(text, "LoadCredential") == [
        f"roof.ftp.Password:{tmp_path}/secret",
        f"roof.ftp.KeyFile:{tmp_path}/key",
        f"cellar.dropbox.RefreshToken:{tmp_path}/secret",
    ]
    assert values(text, "TimeoutStopSec") == ["65"] and int(values(text, "WatchdogSec")[0]) > 0
    assert "hunter2" not in text
    assert values(text, "PrivateTmp") == ["no" if str(tmp_path).startswith(("/tmp", "/var/tmp")) else "yes"]


def test_the_state_may_be_written_wherever_it_is_to_be(config: Path, tmp_path: Path):
    config.write_text(CONFIG.replace("StopWaitSecs = 45", 'StopWaitSecs = 45\nStateFolder = "/srv/state"'))
    assert "-/srv/state" in values(unit_of(config), "ReadWritePaths")


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
    monkeypatch.setattr(unit_files, "SYSTEM_UNITS", str(units))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("PYSUBTASK_REGISTRY", str(tmp_path / "registry"))
    # No manager of this machine is notified.
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    words = [str(config), "--install", "--name", "roof-1"]
    for _ in range(2):
        done = CliRunner().invoke(service.command, words, standalone_mode=False)
        assert done.exception is None and "enable --now roof-1" in done.output and "daemon-reload" in done.output
    path = units / "roof-1.service"
    assert path.read_text().startswith(GENERATED_BY) and [item.name for item in units.iterdir()] == ["roof-1.service"]
    path.write_text("[Unit]\n")
    done = CliRunner().invoke(service.command, words, standalone_mode=False)
    assert "made by somebody else" in str(done.exception) and path.read_text() == "[Unit]\n"


def test_it_is_printed(config: Path, tmp_path: Path):
    done = command(tmp_path, "service", str(config), "--task", "roof", PYSUBTASK_ROOF__FTP__USER="me")
    assert done.returncode == 0, done.stderr
    config_word = f'"{config}"'
    assert values(done.stdout, "ExecStart") == [f"{sys.executable} -P -m pysubtask run {config_word} --task roof"]
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
def test_the_folder_of_records_is_created_with_the_users_rights(home: Path):
    service = of_daemon(home)
    umask = os.umask(0)
    try:
        assert unit_install.make_registry(service) == [] == unit_install.make_registry(service)
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
    service = of_daemon(home)
    (home / link).parent.mkdir(parents=True, exist_ok=True)
    (home / link).symlink_to(etc if link != ".local/state/pysubtask/tasks" else etc / "tasks")
    for folder in home.rglob("*"):
        os.chown(folder, home.stat().st_uid, home.stat().st_gid, follow_symlinks=False)
    (note,) = unit_install.make_registry(service)
    assert "cannot be made as daemon" in note and os.listdir(etc) == []


@needs_root
def test_a_home_of_roots_is_not_given_away(home: Path):
    service = of_daemon(home)
    os.chown(home, 0, 0)
    home.chmod(0o755)
    (note,) = unit_install.make_registry(service)
    assert "Permission denied" in note and os.listdir(home) == []


# ---- whose rights it has


def simple(folder: Path, base: str = "", watch: str = "data") -> Path:
    path = folder / "station.toml"
    path.write_text(f'[base]\n{base}\n[ftp]\nHost = "h"\n[[watch]]\ndir = "{watch}"\n')
    path.chmod(0o644)
    return path


@pytest.fixture
def place() -> Iterator[Path]:
    with open_folder() as folder:
        (folder / "data").mkdir(mode=0o755)
        yield folder


@pytest.mark.slow
@needs_root
@pytest.mark.parametrize("mode", [0o1777, 0o777, 0o2775])
@pytest.mark.parametrize("base", ["", 'RunAs = "root"'])
def test_root_gets_no_service_over_a_folder_others_may_write(place: Path, mode: int, base: str):
    """The proof: `sudo pysubtask service` over a drop folder of root's printed User=root, and no note."""
    if mode == 0o2775:
        os.chown(place / "data", 0, 4242)
    (place / "data").chmod(mode)
    done = command(place, "service", str(simple(place, base)))
    assert done.returncode != 0 and "User=" not in done.stdout
    assert f"{place}/data may be written by" in done.stderr and "--run-as USER" in done.stderr, done.stderr
    if not base:
        printed = command(place, "service", str(place / "station.toml"), "--run-as", "daemon")
        assert printed.returncode == 0 and values(printed.stdout, "User") == ["daemon"], printed.stderr


@needs_root
@pytest.mark.parametrize("above", [False, True])
def test_nor_over_one_of_another_user(place: Path, above: bool):
    os.chown(place if above else place / "data", HIM, HIM)
    done = command(place, "service", str(simple(place, 'RunAs = "root"')), "--run-as", "root", SUDO_UID=str(HIM))
    assert done.returncode != 0 and "A service of root's does not watch" in done.stderr and "User=" not in done.stdout, done.stderr
    assert above or f"{place}/data belongs to another user" in done.stderr


@needs_root
def test_roots_own_folder_has_a_service_of_roots(place: Path):
    done = command(place, "service", str(simple(place)))
    assert done.returncode == 0 and values(done.stdout, "User") == ["root"], done.stderr
    assert "CAP_DAC_OVERRIDE" in values(done.stdout, "CapabilityBoundingSet")[0]
    assert "CAP_SYS" not in done.stdout and "CAP_NET" not in done.stdout


@needs_root
def test_a_program_that_others_may_write_is_no_service_of_roots(place: Path, monkeypatch: pytest.MonkeyPatch):
    from pysubtask.control.exit_status import CommandError

    evil = place / "python"
    evil.write_text("")
    evil.chmod(0o777)
    with pytest.raises(CommandError, match="is not started with"):
        service_module._check_for_root([place / "data"], str(evil))
    evil.chmod(0o755)
    service_module._check_for_root([place / "data"], str(evil))


@pytest.mark.slow
@needs_root
def test_the_config_says_whose_rights_it_has(place: Path):
    done = command(place, "service", str(simple(place, 'RunAs = "daemon"')))
    assert done.returncode == 0 and values(done.stdout, "User") == ["daemon"] and values(done.stdout, "Group") == []
    again = command(place, "service", str(place / "station.toml"), "--run-as", "daemon")
    assert again.stdout == done.stdout
    other = command(place, "service", str(place / "station.toml"), "--run-as", "games")
    assert other.returncode == 2 and "is run as daemon, not as games" in other.stderr
    numbers = command(place, "service", str(simple(place, f'RunAs = "{HIM}:{HIM}"')))
    assert numbers.returncode == 0 and values(numbers.stdout, "User") == values(numbers.stdout, "Group") == [str(HIM)]


@needs_root
def test_a_folder_of_a_user_without_an_entry_is_served_by_number(place: Path):
    os.chown(place / "data", HIM, HIM)
    done = command(place, "service", str(simple(place)))
    assert done.returncode == 0 and values(done.stdout, "User") == values(done.stdout, "Group") == [str(HIM)], done.stderr


# ---- how closed off it is


def test_no_core_and_no_other_process(config: Path):
    text = unit_of(config)
    assert values(text, "LimitCORE") == ["0"] and values(text, "ProtectProc") == ["invisible"]
    assert values(text, "PrivateUsers") == [], "it would show every other user as nobody"
    assert values(unit_of(config, ""), "LimitCORE") == ["0"] and values(unit_of(config, ""), "ProtectProc") == []


@needs_systemd
def test_systemd_finds_it_closed_off(config: Path):
    found = exposure("pysubtask.service", unit_of(config))
    assert found is not None and found < 2.0
    bare = exposure("pysubtask.service", "[Service]\nExecStart=/bin/true\n")
    assert bare is not None and bare > 9.0


@needs_root
@needs_systemd
def test_the_figure_is_printed(place: Path):
    (place / "data").chmod(0o755)
    done = command(place, "service", str(simple(place)), "--run-as", "daemon")
    figure = re.search(r"note: systemd-analyze security gives it (\d\.\d) ", done.stderr)
    assert figure is not None and float(figure[1]) < 2.0, done.stderr


def test_nothing_is_reported_where_nobody_knows(config: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert exposure("pysubtask.service", unit_of(config)) is None


def test_a_group_that_sees_the_page_may_pass_its_folder(config: Path):
    assert values(unit_of(config), "StateDirectoryMode") == ["0700"]
    config.write_text(CONFIG.replace("StopWaitSecs = 45", f'StopWaitSecs = 45\nStatusGroup = "{os.getegid()}"'))
    assert values(unit_of(config), "StateDirectoryMode") == ["0711"]


@needs_root
def test_records_of_a_user_without_a_home_are_with_the_state(place: Path):
    os.chown(place / "data", HIM, HIM)
    words = ("service", str(simple(place)), "--name", "roof")
    done = subprocess.run(
        [sys.executable, "-m", "pysubtask", *words],
        cwd=place,
        capture_output=True,
        text=True,
        timeout=60,
        env={key: value for key, value in os.environ.items() if key != "PYSUBTASK_REGISTRY"},
    )
    assert done.returncode == 0 and "Environment=PYSUBTASK_REGISTRY=/var/lib/roof/tasks" in done.stdout, done.stderr
    (place / "roof.service").write_text(done.stdout)
    found = unit_files.read(str(place / "roof.service"))
    assert found is not None
    assert found == unit_files.Unit(
        str(place / "roof.service"),
        "roof",
        str(HIM),
        "/var/lib/roof/tasks",
        "roof",
        (str(place / "data"),),
        str(place / "station.toml"),
    )


@pytest.mark.parametrize("folder", ["/a b/c 100%", '/a"b', "/a\\b", "/plain"])
def test_what_a_unit_says_is_read_as_it_was_meant(folder: str, tmp_path: Path):
    from pysubtask.control.run.systemd_unit import unit_of_program

    path = tmp_path / "x.service"
    for user in ("daemon", ""):
        service = Service("x", "a:B", (), user, "/home/daemon", "/r/tasks", ("python",))
        path.write_text(unit_of_program(service, folder, ["/more of it", "/last"]))
        found = unit_files.read(str(path))
        assert found is not None and found.folders == (folder, "/more of it", "/last")
        assert found.user == user and found.config == "a:B"


# ---- removed again


@pytest.fixture
def units(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of units, and a systemctl that writes down what it is asked, and says that all is well."""
    folder = tmp_path / "config" / "systemd" / "user"
    monkeypatch.setattr(unit_files, "SYSTEM_UNITS", str(folder))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("PYSUBTASK_REGISTRY", str(tmp_path / "registry"))
    (tmp_path / "bin").mkdir()
    fake = tmp_path / "bin" / "systemctl"
    fake.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\n')
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")
    return folder


def invoke(*words: str):
    from click.testing import CliRunner

    from pysubtask.control.commands import service

    return CliRunner().invoke(service.command, list(words), standalone_mode=False)


def test_what_was_installed_is_removed_and_nothing_else(config: Path, units: Path, tmp_path: Path):
    assert invoke(str(config), "--install", "--name", "roof-1").exception is None
    path, drop_ins = units / "roof-1.service", units / "roof-1.service.d"
    drop_ins.mkdir()
    (drop_ins / "ours.conf").write_text(f"{GENERATED_BY}\n[Service]\n")
    (drop_ins / "theirs.conf").write_text("[Service]\n")
    (units / "theirs.service").write_text("[Unit]\n")
    before = {item for item in tmp_path.rglob("*") if units not in item.parents}
    done = invoke("--uninstall", "--name", "roof-1")
    assert done.exception is None, done.exception
    asked = (tmp_path / "asked").read_text().splitlines()
    own = "" if os.geteuid() == 0 else "--user "
    assert [f"{own}stop roof-1.service", f"{own}disable roof-1.service", f"{own}daemon-reload"] == asked[-3:]
    assert sorted(units.rglob("*")) == [drop_ins, drop_ins / "theirs.conf", units / "theirs.service"]
    assert {item for item in tmp_path.rglob("*") if units not in item.parents} == before
    for words in (
        f"Removed: {path}",
        f"Removed: {drop_ins}/ours.conf",
        f"Stays: {drop_ins}/theirs.conf",
        str(config),
        f"Stays: {tmp_path}/data/cellar",
    ):
        assert words in done.output, done.output
    again = invoke("--uninstall", "--name", "roof-1")
    assert "There is no unit" in str(again.exception)


@pytest.mark.parametrize("kind", ["somebody else's", "a link", "without the first line"])
def test_nobody_elses_unit_is_removed(config: Path, units: Path, tmp_path: Path, kind: str):
    assert invoke(str(config), "--install", "--name", "roof").exception is None
    path = units / "roof.service"
    if kind == "a link":
        path.rename(tmp_path / "elsewhere")
        path.symlink_to(tmp_path / "elsewhere")
    else:
        text = path.read_text()
        path.write_text("[Unit]\n" if kind == "somebody else's" else text.partition("\n")[2])
    before, asked = path.read_text(), (tmp_path / "asked").read_text()
    done = invoke("--uninstall", "--name", "roof")
    assert "was not made by" in str(done.exception) and path.read_text() == before
    assert (tmp_path / "asked").read_text() == asked, "it was not stopped either"
    if os.geteuid() == 0 and kind == "a link":
        path.unlink()
        (tmp_path / "elsewhere").rename(path)
        os.chown(path, HIM, HIM)
        assert "was not made by" in str(invoke("--uninstall", "--name", "roof").exception) and path.exists()


def test_one_that_cannot_be_stopped_stays(config: Path, units: Path, tmp_path: Path):
    """systemctl fails to stop it, and says that it is active."""
    assert invoke(str(config), "--install").exception is None
    fake = tmp_path / "bin" / "systemctl"
    fake.write_text('#!/bin/sh\ncase "$*" in *stop*) echo "it hangs" >&2; exit 1;; esac\n')
    done = invoke("--uninstall")
    assert "cannot be stopped (it hangs)" in str(done.exception) and (units / "pysubtask.service").exists()


def test_the_words_of_systemctl_come_on_one_line(config: Path, units: Path, tmp_path: Path):
    """As where the machine was not booted with systemd."""
    (tmp_path / "bin" / "systemctl").write_text('#!/bin/sh\nprintf "not booted with it.\\nno connection\\n" >&2; exit 1\n')
    done = invoke(str(config), "--install")
    assert done.exception is None and "(not booted with it.; no connection). Run: " in done.output


def test_without_systemctl_the_links_of_enable_go_too(config: Path, units: Path, monkeypatch: pytest.MonkeyPatch):
    assert invoke(str(config), "--install").exception is None
    wants = units / "multi-user.target.wants"
    wants.mkdir()
    (wants / "pysubtask.service").symlink_to(units / "pysubtask.service")
    (wants / "other.service").symlink_to("/lib/systemd/system/other.service")
    monkeypatch.setenv("PATH", "/nonexistent")
    assert invoke("--uninstall").exception is None
    assert [item.name for item in wants.iterdir()] == ["other.service"]


@pytest.mark.parametrize("words", [("x.toml",), ("--install",), ("-t", "roof"), ("--run-as", "root")])
def test_it_is_removed_by_its_name_alone(units: Path, words: tuple[str, ...]):
    assert "--uninstall goes with --name alone" in str(invoke("--uninstall", *words).exception)


# ---- a program of one's own


@pytest.fixture
def program(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (place / "station.py").write_text("open('imported', 'w')\nclass Station:\n    def start(self): ...\n    def stop(self): ...\n")
    monkeypatch.chdir(place)
    return place


def test_a_program_of_ones_own_has_a_service(program: Path, tmp_path: Path):
    done = invoke("station:Station", "--name", "roof", "--may-write", str(program / "data"))
    assert done.exception is None, done.exception
    text = done.stdout
    assert values(text, "ExecStart") == [f"{sys.executable} -P -m pysubtask run station:Station"]
    assert values(text, "WorkingDirectory") == [str(program)] and values(text, "Type") == ["notify"]
    assert values(text, "ReadWritePaths")[:2] == [str(program), f"{program}/data"] if os.geteuid() == 0 else True
    assert not (program / "imported").exists(), "nothing of it is run to write a unit"
    if shutil.which("systemd-analyze"):
        verify(text, tmp_path)


@pytest.mark.parametrize(
    ("word", "problem"),
    [
        ("station:Statoin", "has no 'Statoin'"),
        ("nowhere_at_all:Station", "there is no module"),
        ("gone.py:Station", "there is no module"),
    ],
)
def test_one_that_is_not_there_has_none(program: Path, word: str, problem: str):
    done = invoke(word)
    assert problem in str(done.exception) and not done.stdout


@pytest.mark.parametrize("words", [("station:Station", "-t", "roof"), ("x.toml", "--may-write", ".")])
def test_options_that_are_for_the_other_kind(program: Path, words: tuple[str, ...]):
    assert " is for " in str(invoke(*words).exception)


@needs_root
def test_a_program_of_a_user_has_his_rights(program: Path):
    for path in (program, *program.rglob("*")):
        os.chown(path, HIM, HIM)
    done = invoke("station:Station")
    assert done.exception is None, done.exception
    assert values(done.stdout, "User") == [str(HIM)] and values(done.stdout, "CapabilityBoundingSet") == [""]
    done = invoke("station:Statoin")
    assert "has no 'Statoin'" in str(done.exception)
    refused = invoke("station:Station", "--run-as", "root")
    assert "A service of root's does not watch" in str(refused.exception)
