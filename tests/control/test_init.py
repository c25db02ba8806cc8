"""``pysubtask init``: from a URL or a few questions to a config that works, with its secret; nothing is overwritten."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from pysubtask.control import ask
from pysubtask.control.commands import init
from pysubtask.control.config.config_file import load
from pysubtask.control.run import unit_files, unit_install
from pysubtask.control.setup import first_questions
from pysubtask.control.setup.first_config import entries
from pysubtask.control.setup.template import Watched
from pysubtask.testing import sftp_server
from pysubtask.testing.servers.ftp import FTPServer, ftp_server
from pysubtask.testing.servers.sshd import missing, openssh_server
from tests.support.helpers import command_lines, wait_until
from tests.support.run_station import TERM, Run, command, receipts
from tests.support.terminal import Terminal

URL = "ftp://web1234@files.example.org/public_html"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[FTPServer]:
    with ftp_server(tmp_path / "server") as ftpd:
        yield ftpd


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    (folder / "camera").mkdir(parents=True)
    (folder / "camera" / "roof.jpg").write_bytes(b"roof")
    (folder / "weather.csv").write_text("1\n")
    return folder


def is_private(path: Path) -> bool:
    return stat.S_IMODE(path.stat().st_mode) == 0o600


def url_of(server: FTPServer) -> str:
    return f"ftp://{server.user}@{server.host}:{server.port}/public_html"


# ---- with somebody at a terminal


@pytest.mark.slow
def test_from_a_url_and_a_password_to_the_first_files(home: Path, server: FTPServer, tmp_path: Path):
    with command_lines() as seen, Terminal(home, "init", url_of(server), "camera/", "weather.csv") as terminal:
        terminal.answer("Password for pi@127.0.0.1", server.password, echo=False)
        terminal.answer("Install that service", "n", echo=True)
        status, screen = terminal.end()
    assert status == 0 and "All is well." in screen and "pysubtask service --install" in screen, screen
    assert server.password not in terminal.raw.decode() and not any(server.password.encode() in line for line in seen)
    config, secret = home / "etc" / "pysubtask.toml", home / "etc" / "pysubtask.password"
    assert is_private(config) and is_private(secret) and secret.read_text() == f"{server.password}\n"
    assert len(config.read_text().splitlines()) <= 14 and server.password not in config.read_text()
    assert sorted(os.listdir(home)) == ["camera", "etc", "weather.csv"], "the doctor leaves nothing behind"

    run = Run(home, None)
    remote = tmp_path / "server" / "public_html"
    try:
        wait_until(lambda: (remote / "roof.jpg").exists() and (remote / "weather.csv").exists(), 60, "the first files")
        wait_until(lambda: len(receipts(home / "camera")) == 2, 60, "their receipts")
        run.signal(TERM)
        assert run.status() == 0, run.text()
    finally:
        run.end()


@pytest.mark.slow
def test_bare_it_asks_for_everything(home: Path, server: FTPServer):
    with Terminal(home, "init") as terminal:
        terminal.answer("Protocol", "gopher", echo=True)
        terminal.answer("Protocol", "ftp", echo=True)
        terminal.answer("Server", f"me:hunter2@{server.host}", echo=True)
        terminal.answer("Server", f"{server.host}:{server.port}", echo=True)
        terminal.answer("User name", server.user, echo=True)
        terminal.answer("Folder on the server", "public_html", echo=True)
        terminal.answer("Password for pi@", server.password, echo=False)
        terminal.answer("to watch", "", echo=True)
        terminal.answer("to watch", "camera", echo=True)
        terminal.answer("Another", "rain.csv", echo=True)
        terminal.answer("Another", "", echo=True)
        terminal.answer("Install that service", "", echo=True)
        status, screen = terminal.end()
    assert status == 0 and "has a password in it" in screen, screen
    assert f"there is no file {home}/rain.csv yet" in screen and not (home / "rain.csv").exists()
    task = load(str(home / "etc" / "pysubtask.toml"), {}).tasks[0]
    assert [(entry.kind, entry.path) for entry in task.entries] == [("dir", str(home / "camera")), ("file", str(home / "rain.csv"))]
    settings = task.plans[0].settings
    assert (settings["UseSFTP"], settings["User"], settings["HostPort"], settings["HostPath"], settings["Password"]) == (
        False,
        server.user,
        server.port,
        "public_html",
        server.password,
    )


def test_what_is_missing_beside_a_url_is_asked_for(home: Path):
    with Terminal(home, "init", "roof.toml", "sftp://pi@127.0.0.1:9/in", "--no-doctor") as terminal:
        terminal.answer("Password for pi@127.0.0.1 (Enter: log in by key)", "", echo=False)
        terminal.answer("to watch", "camera", echo=True)
        terminal.answer("Another", "", echo=True)
        terminal.answer("Install that service", "", echo=True)
        status, screen = terminal.end()
    assert status == 0 and "pysubtask service " in screen and "--name pysubtask-roof" in screen, screen
    text = (home / "roof.toml").read_text()
    assert 'dir = "camera"' in text and "PasswordFile" not in text and not (home / "roof.password").exists()


def test_ctrl_c_at_a_question_leaves_nothing(home: Path):
    with Terminal(home, "init", URL, "camera") as terminal:
        terminal.answer("Password for", "\x03", echo=False)
        status, screen = terminal.end()
    assert status == 130 and "Traceback" not in screen and not (home / "etc").exists(), screen


@pytest.mark.slow
def test_the_doctor_fails_and_the_config_stays(home: Path, server: FTPServer):
    with Terminal(home, "init", url_of(server), "camera") as terminal:
        terminal.answer("Password for", "wrong", echo=False)
        status, screen = terminal.end()
    assert status == 1 and "FAIL  login" in screen and "The config stays" in screen and "service" not in screen, screen
    assert f"The password is the first line of {home}/etc/pysubtask.password" in screen
    assert load(str(home / "etc" / "pysubtask.toml"), {}).tasks


@pytest.mark.slow
@pytest.mark.skipif(missing() is not None, reason=str(missing()))
def test_sftp_by_a_key(home: Path, tmp_path: Path):
    with openssh_server(tmp_path / "sshd") as sshd:
        url = f"sftp://{sshd.user}@{sshd.host}:{sshd.port}/in"
        done = command(home, "init", "station.toml", url, "camera", "--key", str(sshd.key_file))
        assert done.returncode == 1 and "host key" in done.stdout and "The config stays" in done.stdout, done.stdout + done.stderr
        config = home / "station.toml"
        assert f'KeyFile = "{sshd.key_file}"' in config.read_text()
        config.write_text(f'{config.read_text()}KnownHostsFile = "{sshd.known_hosts}"\n')
        run = Run(home, config)
        try:
            wait_until(lambda: receipts(home / "camera", "station"), 60, "the first file")
            assert (sshd.files / "in" / "roof.jpg").read_bytes() == b"roof"
        finally:
            run.end()


# ---- with nobody there


@pytest.mark.slow
def test_nobody_is_asked_without_a_terminal(home: Path):
    for words, message in (
        (("init", URL), "The password is missing, and here is no terminal to ask for it. Give it by PYSUBTASK_PASSWORD"),
        (("init", URL, "camera"), "The password is missing"),
        (("init", "sftp://pi@h/in"), "What to watch is missing, and here is no terminal"),
        (("init", "camera"), "URL is missing, and here is no terminal to ask for it. Say where to: sftp://"),
        (("init", "x.toml", "camera", "weather.csv"), "URL is missing"),
        (("init", "dropbox:/x", "camera"), "The login is missing"),
    ):
        done = command(home, *words)
        assert done.returncode == 2 and message in done.stderr and done.stdout == "", (words, done.stderr)
    assert sorted(os.listdir(home)) == ["camera", "weather.csv"]


@pytest.mark.slow
def test_a_password_from_the_environment_is_stored_for_its_owner(home: Path, server: FTPServer):
    done = command(home, "init", "deep/station.toml", url_of(server), "camera", PYSUBTASK_PASSWORD=server.password)
    assert done.returncode == 0 and "All is well." in done.stdout, done.stdout + done.stderr
    assert server.password not in done.stdout + done.stderr and "Install" not in done.stderr
    config, secret = home / "deep" / "station.toml", home / "deep" / "station.password"
    assert is_private(config) and is_private(secret) and 'PasswordFile = "station.password"' in config.read_text()
    assert f'dir = "{home}/camera"' in config.read_text(), "it does not lie below the config's folder"


@pytest.mark.slow
def test_a_password_file_of_ones_own_stays_where_it_is(home: Path):
    (home / "mine").write_text("hunter2\n")
    words = ("init", "station.toml", URL, "camera", "--password-file", "mine", "--no-doctor")
    (home / "mine").chmod(0o644)
    done = command(home, *words)
    assert done.returncode == 2 and "chmod 600" in done.stderr and not (home / "station.toml").exists()
    (home / "mine").chmod(0o600)
    done = command(home, *words)
    assert done.returncode == 0 and 'PasswordFile = "mine"' in (home / "station.toml").read_text(), done.stderr
    assert not (home / "station.password").exists()
    assert load(str(home / "station.toml"), {}).tasks[0].plans[0].settings["Password"] == "hunter2"


def test_dropbox(home: Path):
    words = ("init", "box.toml", "dropbox:/station7", "camera", "--no-doctor", "--app-key", "abc")
    done = command(home, *words, PYSUBTASK_REFRESH_TOKEN="hunter2")
    assert done.returncode == 0 and "hunter2" not in done.stdout + (home / "box.toml").read_text(), done.stderr
    assert is_private(home / "box.token") and (home / "box.token").read_text() == "hunter2\n"
    (plan,) = load(str(home / "box.toml"), {}).tasks[0].plans
    assert (plan.extension, plan.settings["HostPath"], plan.settings["RefreshTokenFile"]) == (
        "dropbox",
        "station7",
        str(home / "box.token"),
    )


def test_dropbox_on_a_terminal_logs_in_and_stores_the_token(home: Path, monkeypatch: pytest.MonkeyPatch):
    """The login itself is tests/test_dropbox_login.py's; here a program stands in for it that is called as it would be."""
    called: list[list[str]] = []

    def login(words: list[str], check: bool) -> unit_install.subprocess.CompletedProcess[str]:
        called.append(words)
        Path(words[-1]).write_text("hunter2\n")
        Path(words[-1]).chmod(0o600)
        return unit_install.subprocess.CompletedProcess(words, 0)

    monkeypatch.chdir(home)
    monkeypatch.setattr(first_questions.subprocess, "run", login)
    monkeypatch.setattr(ask, "is_interactive", lambda: True)
    monkeypatch.setattr(ask, "for_consent", lambda what: False)
    monkeypatch.setattr(ask, "for_text", lambda what, default="": "abc")
    done = CliRunner().invoke(init.command, ["box.toml", "dropbox:/x", "camera", "--no-doctor"], standalone_mode=False)
    assert done.exception is None and called[0][2:] == [
        "-m",
        "pysubtask.dropbox",
        "--login",
        "--app-key",
        "abc",
        "--store",
        str(home / "box.token"),
    ]
    settings = load(str(home / "box.toml"), {}).tasks[0].plans[0].settings
    assert (settings["AppKey"], settings["RefreshTokenFile"]) == ("abc", str(home / "box.token"))


@pytest.mark.slow
def test_nothing_is_written_over(home: Path):
    for name in ("station.toml", "station.password"):
        (home / name).write_text("mine")
        done = command(home, "init", "station.toml", URL, "camera", "--no-doctor", PYSUBTASK_PASSWORD="hunter2")
        assert done.returncode == 1 and f"{home / name} is there already, and stays" in done.stderr
        other = f"pysubtask init other.toml {URL} camera\n  pysubtask run other.toml\n"
        first = (
            f"edit that file: {home / name}"
            if name == "station.toml"
            else (f"pysubtask init station.toml {URL} camera --password-file {home / name}")
        )
        assert first in done.stderr and other in done.stderr, done.stderr
        assert (home / name).read_text() == "mine" and "hunter2" not in done.stderr
        (home / name).unlink()
        assert sorted(os.listdir(home)) == ["camera", "weather.csv"], "nor is half of it left"
    # A link to nowhere is no free place either.
    (home / "station.password").symlink_to(home / "elsewhere")
    done = command(home, "init", "station.toml", URL, "camera", "--no-doctor", PYSUBTASK_PASSWORD="hunter2")
    assert done.returncode == 1 and not (home / "elsewhere").exists() and not (home / "station.toml").exists()


@pytest.mark.slow
def test_what_is_there_already_comes_with_lines_that_do(home: Path):
    """The choices, typed as the question names them."""
    words = [URL, "camera/", "weather.csv", "--no-doctor"]
    secret = {"PYSUBTASK_PASSWORD": "hunter2"}
    assert command(home, "init", *words, **secret).returncode == 0
    (home / "other.password").touch()
    again = command(home, "init", *words, **secret)
    assert again.returncode == 1 and f"edit that file: {home}/etc/pysubtask.toml\n" in again.stderr, again.stderr
    lines = [line.split()[1:] for line in again.stderr.splitlines() if line.startswith("  pysubtask ")]
    assert lines == [["init", "other2.toml", URL, "camera/", "weather.csv"], ["run", "other2.toml"]]
    done = command(home, *lines[0], "--no-doctor", **secret)
    assert done.returncode == 0 and load(str(home / "other2.toml"), {}).tasks, done.stderr
    # The config is gone, and its password is not.
    (home / "etc" / "pysubtask.toml").unlink()
    again = command(home, "init", *words, **secret)
    [first, *_] = [line.split()[1:] for line in again.stderr.splitlines() if line.startswith("  pysubtask ")]
    done = command(home, *first, "--no-doctor")
    assert done.returncode == 0, done.stderr
    [task] = load(str(home / "etc" / "pysubtask.toml"), {}).tasks
    assert task.config["ftp"]["Password"] == "hunter2"
    # Bare, and for a template.
    with Terminal(home, "init") as terminal:
        assert "pysubtask init other3.toml sftp://user@host/folder camera/" in terminal.end()[1]
    (home / "st.toml").touch()
    assert "  pysubtask init other3.toml\n  pysubtask run other3.toml\n" in command(home, "init", "st.toml").stderr


@pytest.mark.slow
def test_two_configs_of_one_folder_do_not_share_a_task(home: Path):
    def task_of(name: str | None, watch: str = "camera") -> str:
        done = command(home, "init", *([name] if name else []), URL, watch, "--no-doctor", PYSUBTASK_PASSWORD="x")
        assert done.returncode == 0, done.stderr
        return load(str(home / (name or "etc/pysubtask.toml")), {}).tasks[0].name

    # Before any of them ran, too.
    assert [task_of(None), task_of("st.toml"), task_of("sub/st2.toml"), task_of("weird name\u00e4.toml")] == [
        "main",
        "st",
        "st2",
        "weird-name\u00e4",
    ]
    # A name that another config, or an app, has in the folder: also one that nobody announced.
    for task in ("roof", "roof-2"):
        (home / "camera" / ".pysubtask" / task / "ftp").mkdir(parents=True)
        (home / "camera" / ".pysubtask" / task / "ftp" / "lock").touch()
    assert task_of("roof.toml") == "roof-3" and task_of("in/roof.toml", "weather.csv") == "roof"
    (home / "camera" / ".pysubtask" / "main" / "ftp").mkdir(parents=True)
    (home / "camera" / ".pysubtask" / "main" / "ftp" / "lock").touch()
    for path in (home / "etc").iterdir():
        path.unlink()
    assert task_of(None) == "pysubtask"
    long = "x" * 200
    assert task_of(f"{long}.toml") == long[:80]


@pytest.mark.slow
def test_the_same_config_written_again_keeps_its_task(home: Path, server: FTPServer):
    words = ("init", url_of(server), "camera", "--no-doctor")
    assert command(home, *words, PYSUBTASK_PASSWORD=server.password).returncode == 0
    run = Run(home, None)
    try:
        wait_until(lambda: receipts(home / "camera"), 60, "the first file")
    finally:
        run.end()
    for path in (home / "etc").iterdir():
        path.unlink()
    assert command(home, *words, PYSUBTASK_PASSWORD=server.password).returncode == 0
    assert load(str(home / "etc" / "pysubtask.toml"), {}).tasks[0].name == "main"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no limits for a process here")
def test_where_nothing_can_be_written_nothing_is_left(home: Path):
    import resource
    import subprocess
    import sys

    from tests.support.run_station import environment

    def no_room() -> None:
        # A write beyond this fails as on a full disk (SIGXFSZ is ignored by Python): the secret fits, the config does not.
        resource.setrlimit(resource.RLIMIT_FSIZE, (20, 20))

    done = subprocess.run(
        [sys.executable, "-m", "pysubtask", "init", "station.toml", URL, "camera", "--no-doctor"],
        cwd=home,
        preexec_fn=no_room,
        env=environment(home, PYSUBTASK_PASSWORD="hunter2"),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1 and "station.toml cannot be written" in done.stderr, done.stderr
    assert sorted(os.listdir(home)) == ["camera", "weather.csv"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["ftp://web1234:hunter2@files.example.org/x", "camera"], "your shell remembers it"),
        (["web1234:hunter2@files.example.org:x", "camera"], "your shell remembers it"),
        (["https://files.example.org/x", "camera"], "'https' is not known"),
        (["ftp://-oProxyCommand=x/x", "camera"], "is not the name of a server"),
        ([URL, "sftp://h/x", "camera"], "Two URLs"),
        (["a.toml", "b.toml", URL], "Two configs"),
        (["--full", URL, "camera"], "--full"),
        ([URL, "camera", "--key", "id"], "--key is for SFTP"),
        ([URL, "camera", "--app-key", "id"], "--app-key is for Dropbox"),
    ],
)
def test_what_is_wrong_is_reported_and_leaves_nothing(home: Path, words: list[str], message: str):
    done = command(home, "init", *words, "--no-doctor", PYSUBTASK_PASSWORD="hunter2")
    assert done.returncode == 2 and message in done.stderr and "hunter2" not in done.stderr + done.stdout, done.stderr
    assert sorted(name for name in os.listdir(home) if name != "etc") == ["camera", "weather.csv"]
    assert not (home / "etc").exists() or os.listdir(home / "etc") == []


def test_names_of_all_kinds_load(home: Path):
    names = ["it's", 'a "quoted" one', "back\\slash", "two\nlines", "grün", "#hash", "= ="]
    for name in names:
        (home / name).mkdir()
    url = "ftp://station%207@files.example.org/in/%23%20"
    done = command(home, "init", "x.toml", url, *names, "--no-doctor", PYSUBTASK_PASSWORD="hunter2")
    assert done.returncode == 0, done.stderr
    task = load(str(home / "x.toml"), {}).tasks[0]
    assert [entry.path for entry in task.entries] == [str(home / name) for name in names]
    assert (task.plans[0].settings["User"], task.plans[0].settings["HostPath"]) == ("station 7", "in/# ")


def test_a_dash_shows_the_config_and_stores_nothing(home: Path):
    done = command(home, "init", "-", URL, "camera")
    assert done.returncode == 0 and 'Host = "ftp://web1234@files.example.org/public_html"' in done.stdout, done.stderr
    assert 'PasswordFile = "pysubtask.password"' in done.stdout and 'dir = "camera"' in done.stdout
    assert sorted(os.listdir(home)) == ["camera", "weather.csv"]


# ---- parts


def test_paths_of_what_is_watched(tmp_path: Path):
    for name in ("a/cam", "b/cam", "roof", "etc"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "a" / "x.csv").touch()
    here = str(tmp_path)

    def watched(*words: str, folder: str = here, cwd: str = here) -> list[Watched]:
        return entries(words, folder, cwd)[0]

    assert watched("roof/", "a/x.csv") == [Watched("dir", "roof"), Watched("file", "a/x.csv")]
    assert watched("roof", folder=f"{here}/etc") == [Watched("dir", f"{here}/roof")]
    assert watched("../roof", ".", cwd=f"{here}/etc") == [Watched("dir", "roof", "roof"), Watched("dir", "etc", "etc")]
    assert watched(".") == [Watched("dir", ".")]
    assert watched("~/x.csv") == [Watched("file", os.path.expanduser("~/x.csv"))]
    assert watched("roof", "roof/", "./roof") == [Watched("dir", "roof")], "once is enough"
    # Of two with the same name each has one of its own on the server.
    assert [one.remote for one in watched("a/cam", "b/cam", "roof")] == ["a/cam", "b/cam", "roof"]
    assert [one.remote for one in watched("a/x.csv", "b/x.csv", "roof")] == ["a/x.csv", "b/x.csv", None]
    # What is not there is reported, whatever it is taken for.
    found, notes = entries(["later/", "later", "later.d/", "rain.csv"], here, here)
    assert [(one.kind, one.path) for one in found] == [("dir", "later"), ("dir", "later.d"), ("file", "rain.csv")]
    assert len(notes) == 3 and f"no folder {here}/later yet" in notes[0] and f"no file {here}/rain.csv" in notes[2]


def test_the_service_is_installed_on_request(home: Path, monkeypatch: pytest.MonkeyPatch):
    if os.name != "posix":
        pytest.skip("there is no systemd")
    monkeypatch.chdir(home)
    for name, value in (
        ("PYSUBTASK_CONFIG_DIR", str(home / "etc")),
        ("XDG_CONFIG_HOME", str(home / "config")),
        ("PYSUBTASK_PASSWORD", "hunter2"),
        ("PYSUBTASK_REGISTRY", str(home / "registry")),
    ):
        monkeypatch.setenv(name, value)
    (home / "units").mkdir()
    monkeypatch.setattr(unit_files, "SYSTEM_UNITS", str(home / "units"))
    monkeypatch.setattr(unit_install, "_systemctl", lambda *words: "")
    monkeypatch.setattr(init.shutil, "which", lambda name: f"/bin/{name}")
    monkeypatch.setattr(ask, "is_interactive", lambda: True)
    monkeypatch.setattr(ask, "for_consent", lambda what: True)
    done = CliRunner().invoke(init.command, [URL, "camera", "--no-doctor"], standalone_mode=False)
    assert done.exception is None and done.return_value == 0, done.output
    (unit,) = [*home.glob("units/*.service"), *home.glob("config/systemd/user/*.service")]
    assert unit.name == "pysubtask.service" and str(home / "etc") in unit.read_text() and "hunter2" not in unit.read_text()


@pytest.mark.slow
def test_sftp_by_a_password(home: Path, tmp_path: Path):
    with sftp_server(tmp_path / "sftp", password="hunter2") as sftp:
        with Terminal(home, "init", f"{sftp.user}@{sftp.host}:in", "camera", "--no-doctor") as terminal:
            terminal.answer("(Enter: log in by key)", "hunter2", echo=False)
            terminal.answer("Install that service", "", echo=True)
            status, screen = terminal.end()
        assert status == 0 and "hunter2" not in terminal.raw.decode(), screen
        config = home / "etc" / "pysubtask.toml"
        assert f'Host = "sftp://{sftp.user}@{sftp.host}/in"' in config.read_text()
        config.write_text(f'{config.read_text()}HostPort = {sftp.port}\nHostKey = "{sftp.host_key}"\nSSHConfigFile = "none"\n')
        run = Run(home, None)
        try:
            wait_until(lambda: receipts(home / "camera"), 60, "the first file")
        finally:
            run.end()


@pytest.mark.parametrize("more", [[], ["--no-doctor"]], ids=["doctor", "no doctor"])
def test_a_whole_home_is_warned_of(home: Path, monkeypatch: pytest.MonkeyPatch, more: list[str]):
    monkeypatch.setenv("PYSUBTASK_PASSWORD", "pw")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(home)
    done = CliRunner().invoke(init.command, ["st.toml", "ftp://me@127.0.0.1:9/in", ".", *more], standalone_mode=False)
    assert f"{home} is a home folder" in done.output and "Name the folders and files with your data" in done.output
    (home / "camera").mkdir(exist_ok=True)
    monkeypatch.setenv("PYSUBTASK_PASSWORD", "pw")
    done = CliRunner().invoke(init.command, ["st2.toml", "ftp://me@127.0.0.1:9/in", "camera", *more], standalone_mode=False)
    assert "home folder" not in done.output
