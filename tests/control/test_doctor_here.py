"""The doctor's checks of this machine, its pure parts, and the command itself."""

import json
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from pysubtask.common.entries import read_entries
from pysubtask.common.errors import FileRefused, LoginRefused, TransportLost
from pysubtask.common.registry import VARIABLE, Record, announce
from pysubtask.control.doctor import bbr, causes, file_causes, local, network
from pysubtask.control.doctor.finding import fail, remedy_lines, setting_line
from pysubtask.control.doctor.source import load_python, of_config, of_plan
from pysubtask.master.child_config import plan
from pysubtask.testing import ftp_server

AVAILABLE = "/proc/sys/net/ipv4/tcp_available_congestion_control"
IN_USE = "/proc/sys/net/ipv4/tcp_congestion_control"
SYSCTL = "sudo sysctl -w net.ipv4.tcp_congestion_control=bbr"


@pytest.mark.parametrize(
    ("in_use", "available", "loadable", "command"),
    [
        ("cubic\n", "reno bbr cubic\n", False, SYSCTL),
        ("cubic\n", "reno cubic\n", True, f"sudo modprobe tcp_bbr && {SYSCTL}"),
        ("cubic\n", "reno cubic\n", False, None),
        ("bbr\n", "reno bbr cubic\n", True, None),
        (None, None, True, None),
    ],
)
def test_one_sysctl_line_where_bbr_can_be_had_and_is_off(in_use, available, loadable, command):
    found = bbr.advice({IN_USE: in_use, AVAILABLE: available}.get, lambda: loadable)
    assert (found.remedy.commands if found else None) == ((command,) if command else None)


def here(tmp_path, watch, **settings):
    entries = read_entries(watch, cwd=str(tmp_path))
    task_plan = plan("ftp", "pysubtask.ftp", {"ftp": {"Host": "h", **settings}}, str(tmp_path))
    return of_plan(task_plan, entries, "python")


def causes_of(found):
    return {finding.cause for finding in found if finding.state in ("warn", "fail")}


def test_this_machine(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "file").touch()
    plenty = {"/proc/sys/fs/inotify/max_user_watches": "65536\n", "/proc/sys/fs/inotify/max_user_instances": "128\n"}
    few = {"/proc/sys/fs/inotify/max_user_watches": "8\n", "/proc/sys/fs/inotify/max_user_instances": "1\n"}

    def disk(free):
        return lambda path: SimpleNamespace(free=free)

    good = here(tmp_path, [{"dir": "data"}, {"file": "data/later.csv"}])
    assert causes_of(local.check([good], read=plenty.get, disk=disk(10**12))) == set()
    missing = local.check([here(tmp_path, [{"dir": "nowhere"}])], read=plenty.get, disk=disk(10**12))
    assert causes_of(missing) == {"watch-path-missing"}
    assert any(f"mkdir {tmp_path}/nowhere" in line for finding in missing for line in remedy_lines(finding, "ftp", "python"))
    low = local.check([good], read=few.get, disk=disk(1000))
    assert causes_of(low) == {"inotify-watches", "inotify-instances", "disk-low"}
    lines = [line for finding in low for line in remedy_lines(finding, "ftp", "python")]
    assert any("sysctl -w fs.inotify.max_user_watches=65536" in line for line in lines)
    assert causes_of(local.check([good], read=plenty.get, disk=disk(10**12), wall=lambda: 0.0)) == {"clock-not-set"}
    blocked = good._replace(state_dir=str(tmp_path / "file" / "main" / "ftp"))
    assert causes_of(local.check([blocked], read=plenty.get, disk=disk(10**12))) == {"state-folder"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "file"]  # and nothing was left


def test_a_mistyped_file_is_named_with_the_one_that_was_meant(tmp_path):
    for name in ("weather.csv", "day-01.csv", "north.csv", "camera"):
        (tmp_path / name).touch()

    def first_finding(*names):
        [*found] = [one for one in local.check([here(tmp_path, [{"file": name} for name in names])]) if one.check == "watch path"]
        return found[0]

    found = first_finding("wether.csv")
    assert (found.state, found.cause) == ("warn", "watch-path-mistyped") and "did you mean weather.csv?" in found.text
    # Another day's file, one that another entry names, and one like nothing that is there.
    assert [first_finding(*names).state for names in (["day-02.csv"], ["norht.csv", "north.csv"], ["log.txt"])] == ["note"] * 3


def test_words_that_no_server_here_says():
    message = "a.csv: storing it: server said: '522 SSL connection failed: session reuse required' (the data connection failed)"
    assert file_causes.file_finding("write", TransportLost(message), {"UseSFTP": False}, "in").cause == "session-reuse"
    message = "the login was refused. Check User. ssh said: 'Account locked due to 5 failed logins. Permission denied (password).'"
    assert causes.login_finding(LoginRefused(message), {"User": "pi", "Password": "x"}).cause == "account-locked"
    message = "the login was refused. Check User. ssh said: 'pi@h: Permission denied (password).'"
    assert causes.login_finding(LoginRefused(message), {"User": "pi"}).cause == "server-takes-passwords-only"
    message = "a.csv: writing: server said: Failure (a full disk or a quota is the usual reason)"
    assert file_causes.file_finding("write", FileRefused(message), {}, "in").cause == "no-room"


@pytest.mark.parametrize(
    ("heard", "kind"),
    [
        (b"SSH-2.0-x\r\n", network.SSH),
        (b"Welcome!\r\nSSH-2.0-x\r\n", network.SSH),
        (b"220 FTP of the institute\r\n", network.FTP),
        (b"220-hello\r\n", network.FTP),
        (b"220 mail.example ESMTP Postfix\r\n", network.SMTP),
        (b"421 full\r\n", network.FTP_CROWDED),
        (b"HTTP/1.1 400\r\n", network.HTTP),
        (b"\x15\x03\x01\0\x02\x02F", network.TLS),
        (b"", network.CLOSED),
        (b"\xff\xfb", network.OTHER),
    ],
)
def test_who_speaks(heard, kind):
    assert network.who_speaks(heard).kind == kind


def test_a_line_fits_the_config_it_is_for():
    assert setting_line("ftp", "HostKey", "SHA256:x", "python") == "ftp.HostKey = 'SHA256:x'"
    assert setting_line("ftp", "UseSFTP", False, "toml") == "UseSFTP = false    (in the section [ftp])"
    assert setting_line("ftp", "Password", None, "toml") == "remove the line Password from [ftp]"
    assert remedy_lines(fail("x", "y", "z", ("Host", "h"), commands=["ls"], words="Look."), "ftp", "python") == [
        "Look.",
        "in the config:  ftp.Host = 'h'",
        "run:  ls",
    ]


def test_python_configs(tmp_path):
    path = tmp_path / "station_config.py"
    path.write_text(
        "from pysubtask import Section\nftp = Section('', Host='h')\nwatchfilesdirs = [{'dir': 'data'}]\n"
        "class other:\n    ftp = Section('', Host='another')\n"
    )
    [found] = of_config(load_python(str(path)))
    assert (found.settings["Host"], found.entries[0].kind, found.style) == ("h", "dir", "python")


def run(*words, **environ):
    return subprocess.run(
        [sys.executable, "-m", "pysubtask", *words],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        stdin=subprocess.DEVNULL,
        env={**os.environ, **environ},
    )


@pytest.mark.slow
def test_the_command(tmp_path):
    with ftp_server(tmp_path / "files") as server:
        config = tmp_path / "station.toml"
        (tmp_path / "data").mkdir()
        config.write_text(
            f'[ftp]\nUseSFTP = false\nHost = "127.0.0.1"\nHostPort = {server.port}\nUser = "{server.user}"\n'
            f'Password = "{server.password}"\n[[watch]]\ndir = "data"\n'
        )
        config.chmod(0o600)
        good = run("doctor", str(config), "--json")
        page = json.loads(good.stdout)
        assert (good.returncode, page["state"] in ("ok", "note", "warn")) == (0, True), good.stderr + good.stdout
        assert page["secs"] < 30
        config.write_text(config.read_text().replace(server.password, "secret word"))
        bad = run("doctor", str(config))
        assert bad.returncode == 1
        assert "FAIL  login" in bad.stdout and "must be mended" in bad.stdout
        assert "secret word" not in bad.stdout + bad.stderr and server.names() == set()


@pytest.mark.slow
def test_known_tasks_are_examined_without_their_secrets(tmp_path):
    with ftp_server(tmp_path / "files") as server:
        state = tmp_path / "data" / ".pysubtask" / "main" / "ftp"
        state.mkdir(parents=True)
        settings = plan("ftp", "pysubtask.ftp", {"ftp": server.settings()}, str(tmp_path)).settings | {"Password": "********"}
        (state / "settings.json").write_text(json.dumps({"settings": settings, "live": [], "kept": []}))
        config = str(tmp_path / "my st.toml")
        where = {VARIABLE: str(tmp_path / "registry"), "PYSUBTASK_CONFIG_DIR": str(tmp_path / "none")}
        for from_config in ("", config):
            known(where[VARIABLE], Record("main", "ftp", "ftp://h/", str(state), config_file=from_config))
            done = run("doctor", **where)
            assert done.returncode == 0, done.stdout + done.stderr
            assert "Password is set, but kept" in done.stdout and "CONFIG" not in done.stdout
            assert (f"run:  pysubtask doctor '{config}'" in done.stdout) is bool(from_config)
            # Nobody says that all is well who has not looked.
            assert "All is well" not in done.stdout and "the config names none" not in done.stdout
            label = "my st" if from_config else "data"
            assert done.stdout.endswith(f"\nNot looked at: this machine: watch paths; {label}/ftp: login.\n")
        page = json.loads(run("doctor", "--json", **where).stdout)
        assert page["not_looked_at"] == ["this machine: watch paths", "my st/ftp: login"]
        assert server.logins == 0
        selftest = run("selftest", **where)
        assert selftest.returncode == 1 and f"pysubtask selftest '{config}'" in selftest.stderr
        nobody = run("doctor", **{**where, VARIABLE: str(tmp_path / "empty")})
        assert nobody.returncode == 3 and "pysubtask doctor CONFIG" in nobody.stderr and "pysubtask init" in nobody.stderr


def known(registry, record):
    """Make a child known in this folder of records."""
    before = os.environ[VARIABLE]
    os.environ[VARIABLE] = registry
    try:
        announce(record)
    finally:
        os.environ[VARIABLE] = before


@pytest.mark.slow
def test_without_a_config_it_is_the_one_that_run_finds(tmp_path):
    folder = tmp_path / "etc"
    with ftp_server(tmp_path / "files") as server:
        for name in ("data", "more", "etc/conf.d"):
            (tmp_path / name).mkdir(parents=True)
        text = (
            f'[base]\nTaskName = "NAME"\n[ftp]\nHost = "ftp://{server.user}@127.0.0.1:{server.port}"\n'
            f'Password = "{server.password}"\n[[watch]]\ndir = "{tmp_path}/NAME"\n'
        )
        for name in ("data", "more"):
            (folder / "conf.d" / f"{name}.toml").write_text(text.replace("NAME", name))
            (folder / "conf.d" / f"{name}.toml").chmod(0o600)
        where = {VARIABLE: str(tmp_path / "registry"), "PYSUBTASK_CONFIG_DIR": str(folder)}
        done = run("doctor", **where)
        assert done.returncode == 0, done.stdout + done.stderr
        first = done.stdout.splitlines()[0]
        assert f"{folder}/conf.d/data.toml" in first and f"{folder}/conf.d/more.toml" in first
        # The paths of each task, and a login at each destination.
        assert [done.stdout.count(f"ok    watch path     {tmp_path}/{name}\n") for name in ("data", "more")] == [1, 1]
        assert done.stdout.count("ok    login") == 2 and "Not looked at" not in done.stdout
        # A task that another config has, and one of an app, are named.
        for name, config in (("roof", str(tmp_path / "roof.toml")), ("cam", "")):
            state = tmp_path / name / ".pysubtask" / "main" / "ftp"
            state.mkdir(parents=True)
            known(where[VARIABLE], Record("main", "ftp", "ftp://h/", str(state), label=name, config_file=config))
        done = run("doctor", **where)
        assert f"Not looked at: cam/ftp (of an app); roof/ftp (pysubtask doctor {tmp_path}/roof.toml)." in done.stdout
        # A config that is wrong is the one that is meant all the same.
        (folder / "conf.d" / "more.toml").write_text("[ftp]\nHots = 'h'\n")
        done = run("doctor", **where)
        assert done.returncode == 2 and "more.toml" in done.stderr
