"""``pysubtask push`` as a process against a real sshd: delivered, gone on with after a kill, refused with a reason."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

import pysubtask.transports
from pysubtask.common.errors import ConfigError, ServerBusy, TransportLost
from pysubtask.control.cli import main
from pysubtask.control.push import place
from pysubtask.control.push.tries import Tries
from pysubtask.control.push.words import in_words_of_a_push
from pysubtask.delivery_rules.retry import Policy
from pysubtask.testing import sftp_server
from pysubtask.testing.servers.ftp import FTPServer, ftp_server
from pysubtask.testing.servers.sshd import OpenSSHServer, missing, openssh_server
from tests.support.helpers import wait_until
from tests.support.odd_ftp import OddFTP, Talk
from tests.support.run_station import command, environment, login
from tests.support.terminal import Terminal

needs_sshd = pytest.mark.skipif(missing() is not None, reason=str(missing()))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenSSHServer]:
    with openssh_server(tmp_path_factory.mktemp("sshd")) as sshd:
        yield sshd


class Pusher:
    """Somebody with files in ``folder`` and a folder of the same name on the server."""

    def __init__(self, folder: Path, server: OpenSSHServer) -> None:
        self.folder, self.server = folder, server
        self.remote = server.files / folder.name
        self.url = f"sftp://{server.user}@{server.host}:{server.port}/{folder.name}"
        settings = {"KeyFile": server.key_file, "KnownHostsFile": server.known_hosts, "SSHConfigFile": "none", "RetryWaitSecs": 0.1}
        self.options = [f"--set={key}={value}" for key, value in settings.items()]

    def push(self, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
        return command(self.folder, "push", *self.options, *words, **environ)

    def records(self) -> list[dict[str, Any]]:
        """What pushes have left behind."""
        return [json.loads(path.read_text()) for path in self.folder.glob("registry/push/*/push.json")]

    def parts(self) -> list[Path]:
        return list(self.remote.glob(".pysubtask*"))


@pytest.fixture
def pusher(tmp_path: Path, server: OpenSSHServer) -> Pusher:
    return Pusher(tmp_path, server)


@pytest.mark.slow
@needs_sshd
def test_files_arrive_verified_and_nothing_is_left_behind(pusher: Pusher):
    (pusher.folder / "a.csv").write_text("1\n")
    (pusher.folder / "bé.csv").write_text("2\n")
    done = pusher.push("a.csv", "bé.csv", pusher.url)
    assert done.returncode == 0, done.stderr
    assert (pusher.remote / "a.csv").read_text() == "1\n" and (pusher.remote / "bé.csv").read_text() == "2\n"
    assert f"a.csv -> {pusher.url}/a.csv  (2 bytes, 2 B sent, size compared)" in done.stdout and "bé.csv" in done.stdout
    assert (pusher.remote / "a.csv").stat().st_mtime_ns // 10**9 == (pusher.folder / "a.csv").stat().st_mtime_ns // 10**9
    assert not list(pusher.folder.glob("registry/push/*")) and done.stderr == ""
    named = pusher.push("a.csv", pusher.url, "--as", "deep/other.csv")
    assert named.returncode == 0 and (pusher.remote / "deep" / "other.csv").read_text() == "1\n"
    # Of several, the one that cannot be read keeps no other back.
    os.mkfifo(pusher.folder / "pipe")
    mixed = pusher.push("a.csv", "pipe", pusher.url)
    assert mixed.returncode == 1 and "it is no regular file" in mixed.stderr and "a.csv ->" in mixed.stdout
    assert "1 of 2 not delivered" in mixed.stderr
    (pusher.folder / "pipe").unlink()
    (pusher.folder / "pipe").write_text("3\n")
    again = pusher.push("a.csv", "pipe", pusher.url)
    assert again.returncode == 0 and "was there already" in again.stdout and (pusher.remote / "pipe").read_text() == "3\n"


@pytest.mark.slow
@needs_sshd
def test_killed_in_the_middle_it_goes_on_where_it_was(pusher: Pusher):
    content = os.urandom(8_000_000)
    (pusher.folder / "big.bin").write_bytes(content)
    words = [sys.executable, "-m", "pysubtask", "push", *pusher.options, "--set=RateLimit=3M", "big.bin", pusher.url]
    first = subprocess.Popen(words, cwd=pusher.folder, env=environment(pusher.folder), stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: any(entry["resume"] for record in pusher.records() for entry in record.values()), 60, "some of it")
        first.send_signal(signal.SIGSTOP)  # it is not to be through before the second one has started
        second = pusher.push("big.bin", pusher.url)
        assert second.returncode == 5 and f"in process {first.pid}" in second.stderr
    finally:
        first.kill()
        first.wait()
    assert len(pusher.parts()) == 1 and not (pusher.remote / "big.bin").exists()
    done = pusher.push("big.bin", pusher.url)
    assert done.returncode == 0, done.stderr
    assert (pusher.remote / "big.bin").read_bytes() == content and not pusher.parts()
    assert float(done.stdout.split(" bytes, ")[1].split(" MB sent")[0]) < 7.5
    assert not list(pusher.folder.glob("registry/push/*"))


@pytest.mark.slow
@needs_sshd
def test_a_lost_server_is_tried_again_and_given_up_in_the_end(tmp_path: Path):
    with openssh_server(tmp_path / "sshd") as server:
        (tmp_path / "home").mkdir()
        pusher = Pusher(tmp_path / "home", server)
        (pusher.folder / "a.bin").write_bytes(os.urandom(6_000_000))
        server.stop()
        gone = pusher.push("a.bin", pusher.url, "--tries", "2")
        assert gone.returncode == 1 and "next try in 0.1 s" in gone.stderr and "(2 tries)" in gone.stderr
        late = pusher.push("a.bin", pusher.url, "--tries", "1000", "--timeout", "1.5")
        assert late.returncode == 1 and "not done within 1.5 s" in late.stderr and "Traceback" not in late.stderr
        server.start()
        options = [*pusher.options, "--set=RateLimit=3M", "--tries=99"]
        words = [sys.executable, "-m", "pysubtask", "push", *options, "a.bin", pusher.url]
        run = subprocess.Popen(words, cwd=pusher.folder, env=environment(pusher.folder), stderr=subprocess.PIPE, text=True)
        try:
            wait_until(lambda: any(entry["resume"] for record in pusher.records() for entry in record.values()), 60, "some of it")
            server.stop()
            time.sleep(0.3)
            server.start()
            errors = run.communicate(timeout=60)[1]
        finally:
            run.kill()
            run.wait()
        assert run.returncode == 0 and "next try" in errors, errors
        assert (pusher.remote / "a.bin").read_bytes() == (pusher.folder / "a.bin").read_bytes() and not pusher.parts()


@needs_sshd
def test_an_unknown_host_key_is_refused_at_once(pusher: Pusher):
    (pusher.folder / "a.csv").write_text("1\n")
    (pusher.folder / "nobody").write_text("")
    done = pusher.push("a.csv", pusher.url, f"--set=KnownHostsFile={pusher.folder / 'nobody'}")
    assert done.returncode == 1 and "next try" not in done.stderr and "host key" in done.stderr.lower(), done.stderr
    assert not (pusher.remote / "a.csv").exists()


@pytest.mark.slow
@needs_sshd
def test_a_task_of_a_config_gives_destination_and_settings(pusher: Pusher):
    (pusher.folder / "etc").mkdir()
    (pusher.folder / "etc" / "pysubtask.toml").write_text(
        f'[ftp]\n{login(pusher.server, pusher.folder.name)}\n[tasks.roof]\nwatch = [{{ dir = "data" }}]\n'
    )
    (pusher.folder / "a.csv").write_text("1\n")
    done = command(pusher.folder, "push", "a.csv", "roof")
    assert done.returncode == 0 and (pusher.remote / "a.csv").read_text() == "1\n", done.stderr
    assert not (pusher.folder / "data").exists() and not list(pusher.folder.rglob(".pysubtask")), "no task was started"
    for word, message in (("attic", "no task 'attic'"), ("roof/dropbox", "There are: roof/ftp")):
        wrong = command(pusher.folder, "push", "a.csv", word)
        assert wrong.returncode == 3 and message in wrong.stderr


@pytest.mark.slow
@needs_sshd
def test_on_a_terminal_there_is_a_bar(pusher: Pusher):
    (pusher.folder / "a.bin").write_bytes(os.urandom(3_000_000))
    main, end = pty.openpty()
    words = [sys.executable, "-m", "pysubtask", "push", *pusher.options, "--set=RateLimit=2M", "a.bin", pusher.url]
    with subprocess.Popen(
        words, cwd=pusher.folder, env=environment(pusher.folder, TERM="xterm", COLUMNS="100"), stdout=subprocess.PIPE, stderr=end
    ) as run:
        os.close(end)
        screen = b""
        while True:
            try:
                piece = os.read(main, 65536)
            except OSError:
                break
            if not piece:
                break
            screen += piece
        assert run.stdout is not None and b"a.bin ->" in run.stdout.read()
    os.close(main)
    assert run.returncode == 0 and "█".encode() in screen and b"MB/s" in screen and b"/3.0 MB" in screen


@pytest.mark.slow
@needs_sshd
def test_on_a_terminal_the_result_has_a_line_of_its_own(pusher: Pusher):
    for name in ("a.bin", "b.bin", "c.bin"):
        (pusher.folder / name).write_bytes(os.urandom(1_000_000))
    with Terminal(pusher.folder, "push", *pusher.options, "--set=RateLimit=2M", "a.bin", "b.bin", "c.bin", pusher.url) as terminal:
        status, screen = terminal.end()
    assert status == 0 and "█".encode() in terminal.raw
    lines = [line for line in screen.splitlines() if line]
    assert len(lines) == 3 and all(re.fullmatch(r"[abc]\.bin -> sftp://.*compared\)", line) for line in lines), screen


# ---- passwords


def typed(folder: Path, answers: Sequence[str], *words: str) -> tuple[int, str]:
    """``push`` on a terminal where somebody types ``answers``; what is typed must not be echoed."""
    with Terminal(folder, "push", *words) as terminal:
        for answer in answers:
            terminal.answer("Password for", answer, echo=False)
        status, screen = terminal.end()
    assert not any(answer and answer in terminal.raw.decode() for answer in answers)
    return status, screen


@pytest.fixture
def ftp(tmp_path: Path) -> Iterator[FTPServer]:
    with ftp_server(tmp_path / "ftp") as ftpd:
        yield ftpd


@pytest.mark.slow
def test_a_terminal_is_asked_for_the_ftp_password_first(tmp_path: Path, ftp: FTPServer):
    (tmp_path / "a.csv").write_text("1\n")
    url = f"ftp://{ftp.user}@{ftp.host}:{ftp.port}/in"
    status, screen = typed(tmp_path, [ftp.password], "a.csv", url)
    assert status == 0 and f"Password for {url}" in screen, screen
    assert (tmp_path / "ftp" / "in" / "a.csv").read_text() == "1\n"
    status, screen = typed(tmp_path, ["wrong", ftp.password], "a.csv", url)
    assert status == 0 and "2 B sent" in screen, "a mistyped one may be typed again"
    status, screen = typed(tmp_path, ["wrong"] * 3, "a.csv", url, "--as", "b.csv")
    assert status == 1 and "PYSUBTASK_PASSWORD" in screen and "ftp.Password" not in screen, screen


def test_ctrl_c_at_the_password_ends_it(tmp_path: Path, ftp: FTPServer):
    (tmp_path / "a.csv").write_text("1\n")
    with Terminal(tmp_path, "push", "a.csv", f"ftp://{ftp.user}@{ftp.host}:{ftp.port}/in") as terminal:
        terminal.answer("Password for", "wrong", echo=False)
        terminal.answer("Password for", "\x03", echo=False)
        status, screen = terminal.end()
    assert status == 130 and "Traceback" not in screen, screen


@pytest.mark.slow
def test_where_nobody_can_be_asked_the_error_names_the_variable(tmp_path: Path, ftp: FTPServer):
    (tmp_path / "a.csv").write_text("1\n")
    words = ("push", "a.csv", f"ftp://{ftp.user}@{ftp.host}:{ftp.port}/in")
    done = command(tmp_path, *words)
    assert done.returncode == 1 and "A password is given by PYSUBTASK_PASSWORD or --password-file" in done.stderr, done.stderr
    wrong = command(tmp_path, *words, PYSUBTASK_PASSWORD="hunter2")
    assert wrong.returncode == 1 and "Another password is given by PYSUBTASK_PASSWORD" in wrong.stderr
    assert "hunter2" not in wrong.stderr
    assert command(tmp_path, *words, PYSUBTASK_PASSWORD=ftp.password).returncode == 0


def test_a_password_that_was_given_is_not_asked_for(tmp_path: Path, ftp: FTPServer):
    (tmp_path / "a.csv").write_text("1\n")
    url = f"ftp://{ftp.user}@{ftp.host}:{ftp.port}/in"
    with Terminal(tmp_path, "push", "a.csv", url, PYSUBTASK_PASSWORD="hunter2") as terminal:
        status, screen = terminal.end()
    assert status == 1 and "Password for" not in screen and "Another password" in screen, screen


@pytest.mark.slow
def test_sftp_asks_where_keys_are_refused_and_takes_scps_form(tmp_path: Path):
    with sftp_server(tmp_path / "sftp", password="hunter2") as server:
        (tmp_path / "a.csv").write_text("1\n")
        (tmp_path / "known").write_text(server.known_hosts)
        options = [f"--set=KnownHostsFile={tmp_path / 'known'}", f"--set=HostPort={server.port}", "--set=SSHConfigFile=none"]
        dest = f"{server.user}@{server.host}:in"
        status, screen = typed(tmp_path, ["hunter2"], *options, "a.csv", dest)
        assert status == 0 and "a.csv ->" in screen, screen
        assert (tmp_path / "sftp" / "in" / "a.csv").read_text() == "1\n"
        done = command(tmp_path, "push", *options, "a.csv", dest)
        assert done.returncode == 1 and "PYSUBTASK_PASSWORD" in done.stderr, done.stderr
        # The user name is printed, also where the address leaves it to ssh.
        (tmp_path / "ssh_config").write_text(f"User {server.user}\n")
        options[-1] = f"--set=SSHConfigFile={tmp_path / 'ssh_config'}"
        status, screen = typed(tmp_path, ["hunter2"], *options, "a.csv", f"sftp://{server.host}/in")
        assert f"Password for sftp://{server.user}@{server.host}:{server.port}/in" in screen, screen
        # A key that nobody knows is no matter of a password.
        (tmp_path / "known").write_text("")
        status, screen = typed(tmp_path, [], *options, "a.csv", dest)
        assert status == 1 and "Password" not in screen and "host key" in screen, screen


def test_what_a_url_says():
    assert place.parsed("sftp://me@Roof:2222/in/x%20y") == (
        "ftp",
        {"UseFTP": True, "UseSFTP": True, "Host": "Roof", "HostPath": "in/x y", "User": "me", "HostPort": 2222},
    )
    assert place.parsed("sftp://[::1]:22//srv/in")[1] | {"User": ""} == {
        "UseFTP": True,
        "UseSFTP": True,
        "Host": "::1",
        "HostPath": "/srv/in",
        "HostPort": 22,
        "User": "",
    }
    assert place.parsed("ftp://h")[1] == {"UseFTP": True, "UseSFTP": False, "Host": "h", "HostPath": ""}
    assert place.parsed("ftps://h/x")[1]["UseTLS"] == "explicit" and place.parsed("ftps://h:990/x")[1]["UseTLS"] == "implicit"
    assert place.parsed("dropbox:/in/x") == ("dropbox", {"UseDropbox": True, "HostPath": "in/x"})


@pytest.mark.parametrize(
    ("dest", "message"),
    [
        ("sftp://me:hunter2@h/x", "--password-file or PYSUBTASK_PASSWORD"),
        ("https://me:hunter2@h/x", "has a password in it"),
        ("https://h/x", "'https' is not known. Give it as sftp://"),
        ("sftp://me@/x", "names no host"),
        ("sftp://h:99999/x", "'99999' is not a port"),
        ("sftp://h/a?b", "%3F"),
    ],
)
def test_a_wrong_url_says_what_is_meant_and_repeats_no_password(dest: str, message: str):
    with pytest.raises(ConfigError) as raised:
        place.parsed(dest)
    assert message in str(raised.value) and "hunter2" not in str(raised.value)


def test_wrong_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.csv").write_text("1\n")
    (tmp_path / "open").write_text("hunter2\n")
    (tmp_path / "open").chmod(0o644)
    for words, message in (
        (["a.csv"], "Name at least one file"),
        (["nothere", "sftp://h/x"], "There is no file nothere"),
        ([".", "sftp://h/x"], "is a folder. Name its files"),
        (["a.csv", str(tmp_path / "a.csv"), "sftp://h/x"], "with --as"),
        (["a.csv", "sftp://h/x", "--set=Password=hunter2"], "a secret is never an option"),
        (["a.csv", "sftp://h/x", "--set=RateLimt=1"], "Did you mean 'RateLimit'?"),
        (["a.csv", "sftp://h/x", "--password-file=open"], "chmod 600"),
        (["a.csv", "sftp://me:hunter2@h/x"], "every process on this machine can read"),
    ):
        status, errors = main(["push", *words]), capsys.readouterr().err
        assert status == 2 and message in errors and "hunter2" not in errors, (words, errors)


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (
            "Have it switched on there, or set ftp.UseTLS to None if data may travel in the clear",
            "Have it switched on there, or write ftp:// in the URL if data may travel in the clear",
        ),
        (
            "it is not TLS. Set ftp.UseTLS to 'explicit' (or None, for no TLS), or ftp.HostPort to another port",
            "it is not TLS. Write ftps:// in the URL (or ftp://, for no TLS), or write another port into the URL",
        ),
        (
            "x. Set ftp.UseSFTP to True, or ftp.HostPort to the FTP server's",
            "x. Write sftp:// in the URL, or write the FTP server's port into the URL",
        ),
        ('If it is, write HostKey = "SHA256:abc"', "If it is, add --set HostKey=SHA256:abc"),
        (
            'write TLSFingerprint = "AA:BB", or CAFile = "FILE" with it',
            "add --set TLSFingerprint=AA:BB, or add --set CAFile=FILE with it",
        ),
        (
            "Write UseSFTP = False, or set HostPort to the SSH server's port (22)",
            "write ftp:// in the URL, or write the SSH server's port (22) into the URL",
        ),
        ("Is the server up, and is HostPort right?", "Is the server up, and is the port of the URL right?"),
        ("the disk is full", "the disk is full"),
    ],
)
def test_an_error_is_put_in_what_can_be_typed_at_a_push(message: str, expected: str):
    assert in_words_of_a_push(message) == expected


def test_advice_of_a_transport_names_no_setting_of_a_config():
    """Each line of the transports that says to set or write one of what a URL or --set says."""
    for path in sorted((Path(pysubtask.transports.__file__).parent).rglob("*.py")):
        for text in re.findall(r'''"([^"\n]*)"''', path.read_text(encoding="utf-8")):
            if re.search(r"(?:[Ss]et|[Ww]rite|or) (?:ftp\.)?(?:UseTLS|UseSFTP|HostPort)\b", text):
                found = in_words_of_a_push(re.sub(r"\{\w+\}", "'explicit' (or None, for no TLS)", text))
                assert not re.search(r"(?<!--)[Ss]et (?:ftp\.)?[A-Z]|ftp\.[A-Z]|HostPort|UseSFTP", found), (path, text, found)


@pytest.mark.slow
def test_a_real_error_at_a_url_and_at_a_task(tmp_path: Path, ftp: FTPServer):
    (tmp_path / "etc").mkdir()
    (tmp_path / "a.csv").write_text("1\n")
    place = f"{ftp.user}@{ftp.host}:{ftp.port}"
    words = {"PYSUBTASK_PASSWORD": ftp.password}
    done = command(tmp_path, "push", "--tries", "1", "a.csv", f"ftps://{place}", **words)
    assert done.returncode == 1 and "write ftp:// in the URL" in done.stderr and "UseTLS" not in done.stderr, done.stderr
    config = tmp_path / "etc" / "pysubtask.toml"
    (tmp_path / "camera").mkdir()
    config.write_text(f'[ftp]\nHost = "ftp://{place}"\n[[watch]]\ndir = "{tmp_path}/camera"\n')
    config.chmod(0o600)
    # What 'status' calls the task is a name of it; a name that is near is asked for.
    done = command(tmp_path, "push", "a.csv", "camera", **words)
    assert done.returncode == 0, done.stderr
    done = command(tmp_path, "push", "a.csv", "camrea", **words)
    assert done.returncode == 3 and "Did you mean 'camera'? It has: main ('status' calls main camera)." in done.stderr
    for argv in (["push", "a.csv", "station7@host"], ["init", "station7@host", "camera"]):
        done = command(tmp_path, *argv)
        assert done.returncode == 2 and "Write station7@host: with a colon" in done.stderr, done.stderr


def test_waits_are_those_of_the_settings():
    settings = {"RetryCount": 3, "RetryWaitSecs": 2, "RetryLongWaitSecs": 30, "ParkedRetrySecs": 300}
    tries = Tries(Policy.of(settings), 9, lambda: 0.0)
    assert [tries.lost(TransportLost()).secs for _ in (1, 2, 3, 4)] == [2, 2, 30, 2]
    assert tries.lost(ServerBusy("x", 7.0)).secs == 7.0


@pytest.mark.slow
@pytest.mark.parametrize("library", ["ssh", "asyncssh", "pysftp"])
def test_whoever_speaks_sftp_a_refused_account_is_known_as_one(tmp_path: Path, library: str):
    with sftp_server(tmp_path / "sftp", password="hunter2") as server:
        (tmp_path / "a.csv").write_text("1\n")
        more = {"ssh": [], "asyncssh": ["--set=SSHProgram=nosuch"], "pysftp": ["--set=SFTPLibrary=pysftp"]}[library]
        url = f"sftp://{server.user}@{server.host}:{server.port}/in"
        options = [f"--set=HostKey={server.host_key}", *([] if library == "pysftp" else ["--set=SSHConfigFile=none"]), *more]
        status, screen = typed(tmp_path, ["hunter2"], *options, "a.csv", url)
        assert status == 0 and (tmp_path / "sftp" / "in" / "a.csv").read_text() == "1\n", screen


class AbortsOnce(Talk):
    """The first transfer of one file is aborted."""

    def do_STOR(self, arg: bytes) -> str | None:
        reply = super().do_STOR(arg)
        with self.server.guard:
            stores = sum(one == "STOR" for one, _ in self.server.commands)
        return "426 aborted" if stores == 1 else reply


@pytest.mark.slow
def test_an_attempt_failed_alone_is_repeated_on_its_connection(tmp_path: Path):
    for name in ("a.csv", "b.csv", "c.csv"):
        (tmp_path / name).write_text(f"{name}\n" * 10)
    with OddFTP(tmp_path / "remote", AbortsOnce) as server:
        url = f"ftp://pi@127.0.0.1:{server.port}"
        options = ("--set=RetryWaitSecs=0.1", "--set=Connections=1")
        done = command(tmp_path, "push", *options, "a.csv", "b.csv", "c.csv", url, PYSUBTASK_PASSWORD="a password")
        assert done.returncode == 0, done.stderr
        assert "426 aborted" in done.stderr and "next try in 0.1 s" in done.stderr
        assert (server.names(), server.logins, server.count("STOR")) == ({"a.csv", "b.csv", "c.csv"}, 1, 4)
