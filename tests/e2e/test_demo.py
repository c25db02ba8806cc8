"""demo.py as a person meets it: at a terminal, with its real child and a real server."""

import contextlib
import importlib.util
import io
import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from pysubtask.common.process import is_alive
from pysubtask.testing import dropbox_server, sftp_server
from tests.support.blocker import BLOCKER
from tests.support.helpers import wait_until

pty = pytest.importorskip("pty", reason="pseudo-terminals are a matter of POSIX systems")

REPO = Path(__file__).resolve().parents[2]
PROMPT = "Enter cmd (x | r | a | c | s | 0-n):"
REMEDY = "pip install -e '.[demo]'"
SECS = 60
# The terminal becomes the controlling one, so that Ctrl-C typed there is a signal.
AT_TERMINAL = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.executable, sys.argv[1:])"


class Copy:
    """demo.py, demo_config.py and logs/ in a folder of their own; the package is the one under test."""

    def __init__(self, folder):
        self.folder = folder
        self.logs = folder / "logs"
        self.server = self.logs / "server"
        self.state = self.logs / ".pysubtask/main/ftp"
        self.python_path = [str(REPO)]
        folder.mkdir()
        for name in ("demo.py", "demo_config.py"):
            shutil.copy(REPO / name, folder)
        (self.logs / "watch_all_in_here").mkdir(parents=True)
        for name in ("test1.mrk", "test1.csv", "watch_all_in_here/readme.txt"):
            shutil.copy(REPO / "logs" / name, self.logs / name)

    @property
    def command(self):
        return [sys.executable, str(self.folder / "demo.py")]

    def environment(self):
        return {**os.environ, "PYTHONPATH": os.pathsep.join(self.python_path), "HOME": str(self.folder)}

    def block(self, module):
        """As if this module was not installed."""
        place = self.folder / "blocker"
        place.mkdir()
        (place / "sitecustomize.py").write_text(BLOCKER.format(name=module))
        self.python_path.insert(0, str(place))

    def run(self, typed=""):
        """To its end, without a terminal."""
        return subprocess.run(
            self.command, input=typed, capture_output=True, text=True, cwd="/", env=self.environment(), timeout=SECS
        )

    def page(self):
        try:
            return json.loads((self.state / "status.json").read_text())
        except FileNotFoundError:
            return {}

    def children(self, after=()):
        """(pid, start) of the child and, while it is connected, of its ssh. Waits for a child that is not in ``after``."""
        page = wait_until(lambda: (page := self.page()) and (page["pid"], page["pid_start"]) not in after and page, SECS, "a child")
        found = [(page["pid"], page["pid_start"])]
        with contextlib.suppress(FileNotFoundError):
            ssh = json.loads((self.state / "ssh.json").read_text())
            found.append((ssh["pid"], ssh["start"]))
        return found

    def wait_delivered(self, name="test1.mrk", server=None):
        """The file is on the server byte for byte."""
        there = (server or self.server) / Path(name).name
        wait_until(lambda: there.exists() and there.read_bytes() == (self.logs / name).read_bytes(), SECS, f"{name} on the server")


class Terminal:
    """A demo that runs at a pseudo-terminal. ``text`` is the output of its screen so far."""

    def __init__(self, copy):
        self._fd, theirs = pty.openpty()
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-c", AT_TERMINAL, *copy.command],
                stdin=theirs,
                stdout=theirs,
                stderr=theirs,
                start_new_session=True,
                cwd="/",
                env=copy.environment(),
            )
        finally:
            os.close(theirs)
        self.text = ""
        self._closing = threading.Event()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self):
        data = b""
        while not self._closing.is_set():
            if not select.select([self._fd], [], [], 0.05)[0]:
                continue
            try:
                got = os.read(self._fd, 65536)
            except OSError:
                return  # nobody has the other side any more
            data += got
            self.text = data.decode("utf-8", "replace")

    def type(self, keys):
        os.write(self._fd, keys.encode())

    def shows(self, what, count=1):
        """Wait until the screen has this (a regular expression) so many times."""
        return wait_until(lambda: (found := re.findall(what, self.text))[count - 1 :] and found, SECS, f"{what!r} in {self.text}")

    def ready(self):
        self.shows(re.escape(PROMPT))
        self.shows(r"START! Polling every")

    def exit_status(self):
        return self.process.wait(SECS)

    def hang_up(self):
        """Close the terminal's window."""
        if not self._closing.is_set():
            self._closing.set()
            self._reader.join()
            os.close(self._fd)

    def close(self):
        try:
            if self.process.poll() is None:
                self.process.terminate()
                try:
                    self.process.wait(20)
                except subprocess.TimeoutExpired:
                    self.process.kill()
                    self.process.wait()
        finally:
            self.hang_up()


@pytest.fixture
def copy(tmp_path):
    return Copy(tmp_path / "a demo")


@pytest.fixture
def start(copy):
    terminals = []

    def make():
        terminals.append(Terminal(copy))
        return terminals[-1]

    yield make
    for terminal in terminals:
        terminal.close()


def grown(path, before):
    return wait_until(lambda: path.stat().st_size > before, SECS, f"a new line in {path}")


@pytest.mark.slow
def test_every_command_and_every_kind_of_notify(copy, start):
    mrk, csv = copy.logs / "test1.mrk", copy.logs / "test1.csv"
    terminal = start()
    terminal.ready()
    port = int(terminal.shows(r"runs its own SFTP server: 127\.0\.0\.1, port (\d+)")[0])
    assert "logs/server/" in terminal.text

    before = mrk.stat().st_size, csv.stat().st_size
    terminal.type("a\n")
    grown(mrk, before[0])
    grown(csv, before[1])
    copy.wait_delivered("test1.mrk")
    copy.wait_delivered("test1.csv")

    before = mrk.stat().st_size, csv.stat().st_size
    terminal.type("0\n")
    grown(mrk, before[0])
    copy.wait_delivered("test1.mrk")
    assert csv.stat().st_size == before[1]

    with csv.open("a") as file:
        file.write("a line of another program's\n")
    subprocess.run(["touch", f"{csv}.notify"], check=True)
    copy.wait_delivered("test1.csv")

    picture = 'watch_all_in_here/ein Bild, "neu" ä.bin'
    source = copy.folder / "picture"
    source.write_bytes(os.urandom(300_000))
    shutil.copy(source, copy.logs / picture)
    copy.wait_delivered(picture)
    with (copy.logs / picture).open("ab") as file:
        file.write(b"more")
    subprocess.run(["touch", copy.logs / f"{picture}.notify"], check=True)
    copy.wait_delivered(picture)

    def counted():
        uploads = terminal.text.count("Uploaded [")
        return uploads >= 5 and copy.page()["delivered"] == uploads and uploads

    delivered = wait_until(counted, SECS, "the status page says what the log says")
    terminal.type("s\n")
    assert terminal.shows(r"delivered: +(\d+) files") == [str(delivered)]
    for row in (
        rf"destination: +sftp://demo@127\.0\.0\.1:{port}/",
        "state: +connected",
        "queued: +0 files",
        "last error: +none",
        r"last delivery: +ein Bild, .* \(300,004 bytes\) at \d\d:\d\d:\d\d",
        "moving: +nothing",
    ):
        terminal.shows(row)

    terminal.type("hello\n\n7\nc\n")
    terminal.shows(r"ERROR: \[hello\] Unknown cmd!")
    terminal.shows(r"Notify file index \[7\] out of range!")

    first = copy.children()
    assert len(first) == 2 or shutil.which("ssh") is None
    terminal.type("r\n")
    terminal.shows("RESET: TaskMaster")
    second = copy.children(after=first)
    before = mrk.stat().st_size
    terminal.type("0\n")
    grown(mrk, before)
    copy.wait_delivered("test1.mrk")

    second += copy.children()
    terminal.type("x\n")
    assert terminal.exit_status() == 0
    assert not [one for one in second if is_alive(*one)]
    wait_until(lambda: not [one for one in first if is_alive(*one)], SECS, "the end of the child that was reset")
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0
    assert {path.name for path in copy.server.iterdir()} == {"test1.mrk", "test1.csv", Path(picture).name, "readme.txt"}
    assert not list(copy.logs.rglob("*.notify"))
    assert "Traceback" not in terminal.text


def ctrl_c(terminal):
    terminal.type("\x03")


def ctrl_d(terminal):
    terminal.type("\x04")


def window_closed(terminal):
    terminal.hang_up()


def sigterm(terminal):
    terminal.process.send_signal(signal.SIGTERM)


@pytest.mark.slow
@pytest.mark.parametrize("end", [ctrl_c, ctrl_d, window_closed, sigterm])
def test_it_ends_cleanly_and_sends_first_what_was_notified(copy, start, end):
    mrk = copy.logs / "test1.mrk"
    terminal = start()
    terminal.ready()
    children, before = copy.children(), mrk.stat().st_size
    terminal.type("0\n")
    grown(mrk, before)
    terminal.shows(re.escape(PROMPT), 2)  # it has notified
    end(terminal)
    assert terminal.exit_status() == 0
    assert "Traceback" not in terminal.text
    assert not [one for one in [*children, *copy.children()] if is_alive(*one)]
    assert (copy.server / "test1.mrk").read_bytes() == mrk.read_bytes()


@pytest.mark.slow
def test_without_terminal_or_test_data_and_the_same_server_again(copy):
    shutil.rmtree(copy.logs)
    first = copy.run("a\nx\n")
    assert first.returncode == 0
    for name in ("test1.mrk", "test1.csv"):
        header, line = (copy.logs / name).read_text().splitlines()
        assert header.startswith("time,") and line.startswith("20") and line.count(",") == 3
    assert (copy.logs / "watch_all_in_here").is_dir()

    keys = [path.read_bytes() for path in sorted((copy.logs / ".demo_server").glob("*_key"))]
    assert len(keys) == 2
    second = subprocess.Popen(
        copy.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=copy.environment()
    )
    try:
        copy.wait_delivered("test1.mrk")
        copy.wait_delivered("test1.csv")
        output, _ = second.communicate("", timeout=SECS)  # the end of the input is the end of the demo
    finally:
        second.kill()
        second.wait()
    assert second.returncode == 0
    assert own_port(output) == own_port(first.stdout)
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections of a moment ago may still be dying
        holder.bind(("127.0.0.1", own_port(output)))
        holder.listen()
        third = copy.run("foo")  # without a line's end
    assert third.returncode == 0
    assert "ERROR: [foo] Unknown cmd!" in third.stdout
    assert own_port(third.stdout) != own_port(output)
    assert [path.read_bytes() for path in sorted((copy.logs / ".demo_server").glob("*_key"))] == keys


def own_port(output):
    return int(re.search(r"own SFTP server: 127\.0\.0\.1, port (\d+)", output)[1])


@pytest.mark.slow
def test_with_a_server_filled_in_it_uses_that_one_only(copy, start, tmp_path):
    if shutil.which("ssh"):
        copy.block("asyncssh")
    with sftp_server(tmp_path / "theirs", user="someone") as server:
        lines = [f"ftp.{key} = {value!r}" for key, value in server.settings(HostSFTPPath="in/here").items()]
        text = "\n".join(["from pysubtask._config import Struct as Section", "ftp = Section('as version 1 wrote it')", *lines])
        (copy.folder / "demo_config.py").write_text(text)
        terminal = start()
        terminal.ready()
        before = (copy.logs / "test1.csv").stat().st_size
        terminal.type("1\n")
        grown(copy.logs / "test1.csv", before)
        copy.wait_delivered("test1.csv", tmp_path / "theirs/in/here")
        terminal.type("x\n")
        assert terminal.exit_status() == 0
        assert server.count("rename", "in/here/test1.csv") >= 1
    assert "own SFTP server" not in terminal.text
    assert not copy.server.exists()
    assert not (copy.logs / ".demo_server").exists()


@pytest.mark.slow
@pytest.mark.parametrize("both", [False, True])
def test_with_the_lines_of_a_login_it_uses_dropbox(copy, tmp_path, both):
    with dropbox_server(tmp_path / "dropbox") as server:
        lines = [f"dropbox.{key} = {value!r}" for key, value in server.settings(HostPath="in/here").items()]
        with (copy.folder / "demo_config.py").open("a") as file:
            file.write("\n".join(["", *lines, "ftp.UseFTP = True" if both else "", ""]))
        result = copy.run("0\ns\nx\n")
        assert result.returncode == 0
        copy.wait_delivered("test1.mrk", server.folder / "in/here")
        assert ("own SFTP server" in result.stdout) == copy.server.exists() == both
        if both:
            copy.wait_delivered("test1.mrk")
    assert "Uploads go to the Dropbox" in result.stdout
    assert len(re.findall(r"destination: +(?:s?ftp|dropbox)", result.stdout)) == 1 + both
    assert "Traceback" not in result.stderr and "ERROR" not in result.stderr


def test_without_the_sdk_it_names_the_extra(copy):
    copy.block("dropbox")
    with (copy.folder / "demo_config.py").open("a") as file:
        file.write("\ndropbox.AccessToken = 'token'\n")
    result = copy.run("x\n")
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert line == "ERROR: dropbox is not installed. In this folder run:  pip install -e '.[dropbox]'"


@pytest.mark.parametrize("module", ["asyncssh", "pysubtask"])
def test_not_installed_it_prints_one_line_of_remedy(copy, module):
    copy.block(module)
    result = copy.run("x\n")
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"ERROR: {module} is not installed") and REMEDY in line
    assert not (copy.logs / ".pysubtask").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("ftp.Hots = 'example.org'", "demo_config.py: ftp.Hots: this setting is not known. Did you mean 'Host'?"),
        ("dropbox.UseDropbox = True", "demo_config.py: dropbox.RefreshToken: it is not set"),
        ("dropbox.RefreshToken = 'token'", "demo_config.py: dropbox.AppKey: it is not set"),
        ("ftp.Host = 'example.org", "demo_config.py, line "),
        ("ftpp.Host = 'example.org'", "demo_config.py: name 'ftpp' is not defined"),
    ],
)
def test_a_mistake_in_the_config_is_one_line(copy, wrong, message):
    with (copy.folder / "demo_config.py").open("a") as file:
        file.write(f"\n{wrong}\n")
    result = copy.run("x\n")
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"ERROR: {message}")
    assert not (copy.logs / ".pysubtask").exists()


@pytest.mark.slow
def test_a_server_that_cannot_start_is_one_line(copy):
    copy.server.write_text("in the way of the folder")
    result = copy.run("x\n")
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith("ERROR: The demo's own SFTP server does not start")


def test_where_select_knows_no_terminal_a_thread_reads_the_lines(monkeypatch):
    spec = importlib.util.spec_from_file_location("the_demo", REPO / "demo.py")
    demo = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(demo)
    monkeypatch.setattr(sys, "stdin", io.StringIO("a\n0 \n"))
    monkeypatch.setattr(sys, "platform", "win32")
    lines = demo.Lines()
    assert [lines.take(SECS) for _ in range(3)] == [["a"], ["0"], ["x"]]
    began = time.monotonic()
    assert lines.take(0.05) == []
    assert time.monotonic() - began < SECS
