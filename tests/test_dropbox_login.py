"""``python -m pysubtask.dropbox --login`` as a person runs it, against the stand-in; and where the token is seen."""

from __future__ import annotations

import os
import re
import signal
import socket
import stat
import subprocess
import sys
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("dropbox")

from pysubtask import Section
from pysubtask.dropbox import main
from pysubtask.master.child_config import plan
from pysubtask.testing import DropboxServer, dropbox_server
from pysubtask.transports.dropbox import login as login_program
from tests.support.blocker import BLOCKER
from tests.support.helpers import command_lines, wait_until
from tests.support.station import DropboxStation

ROOT = Path(__file__).resolve().parent.parent
SECS = 60
TOKEN = "the-refresh-token-of-the-login-tests"
CODE = "the-code-of-the-page"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DropboxServer]:
    with dropbox_server(tmp_path_factory.mktemp("dropbox"), refresh_token=TOKEN) as server:
        yield server


class Login:
    """The command, run by a person who does what it says."""

    def __init__(self, folder: Path, server: DropboxServer, *more: str, python_path: str = "", **environ: str) -> None:
        self.server = server
        self.command = [sys.executable, "-m", "pysubtask.dropbox", "--login", *more]
        path = os.pathsep.join([*filter(None, [python_path]), str(ROOT), *filter(None, sys.path)])
        plain = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
        self.process = subprocess.Popen(
            self.command,
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**plain, "PYTHONPATH": path, "HOME": str(folder), **environ},
            umask=0,
        )
        self.output = ""

    def type(self, line: str) -> None:
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def open_the_page(self) -> dict[str, list[str]]:
        """Allow it on the page that it names; what the page was asked."""
        while not (line := self.process.stdout.readline()).startswith("https://"):
            assert line, self.process.communicate(timeout=SECS)
            self.output += line
        url = urllib.parse.urlsplit(line.strip())
        asked = urllib.parse.parse_qs(url.query)
        assert (url.netloc, url.path) == ("www.dropbox.com", "/oauth2/authorize")
        self.server.authorize(CODE, asked["code_challenge"][0])
        return asked

    def end(self) -> tuple[int, str]:
        """Exit status and stderr; stdout is in ``output``."""
        out, err = self.process.communicate(timeout=SECS)
        self.output += out
        assert "Traceback" not in err and "Traceback" not in self.output
        return self.process.returncode, err


@pytest.fixture
def login(server: DropboxServer, tmp_path: Path) -> Iterator[Any]:
    logins: list[Login] = []

    def make(*more: str, ca: bool = True, **given: str) -> Login:
        words = ["--ca-file", str(server.ca_file)] if ca else []
        logins.append(Login(tmp_path, server, *words, *more, **given))
        return logins[-1]

    yield make
    for one in logins:
        one.process.kill()
        one.process.communicate()


def config_of(output: str) -> Section:
    """What a config has after the lines were put into it."""
    lines = [line for line in output.splitlines() if line.startswith("dropbox.")]
    namespace = {"dropbox": Section("")}
    exec("\n".join(lines), namespace)
    return namespace["dropbox"]


@pytest.mark.slow
def test_a_person_is_led_through_and_gets_lines_for_a_config(login: Any, server: DropboxServer, tmp_path: Path):
    one = login("--proxy", server.proxy, REQUESTS_CA_BUNDLE="/no such file")
    one.type("standin")
    asked = one.open_the_page()
    assert asked["client_id"] == ["standin"] and asked["token_access_type"] == ["offline"]
    assert asked["code_challenge_method"] == ["S256"] and "client_secret" not in asked
    assert "dropbox.com/developers/apps" in one.output and "App folder" in one.output
    one.type(f"  {CODE} ")
    assert one.end() == (0, "")
    assert "Stand In (stand-in@example.com)" in one.output
    found = config_of(one.output)
    assert list(found) == ["AppKey", "RefreshToken"]
    assert (found.AppKey, found.RefreshToken) == ("standin", TOKEN)
    assert plan("dropbox", "pysubtask.dropbox", {"dropbox": found}, str(tmp_path)).settings["RefreshToken"] == TOKEN
    assert os.listdir(tmp_path) == []


@pytest.mark.slow
def test_a_stored_token_is_for_its_owner_alone_at_every_moment(login: Any, server: DropboxServer, tmp_path: Path):
    """The umask of the process is 0, and an older file there is open to all."""
    (tmp_path / "token").write_text("older")
    (tmp_path / "token").chmod(0o666)
    url = f"http://me:geheim@{server.proxy.removeprefix('http://')}"
    one = login("--app-key", "standin", "--store", "token", HTTPS_PROXY=url)
    one.open_the_page()
    assert "developers" not in one.output, "who has a key is not told how to get one"
    (temp,) = [path for path in tmp_path.iterdir() if path.name != "token"]
    assert stat.S_IMODE(temp.stat().st_mode) == 0o600, "before anything is in it"
    inode = temp.stat().st_ino
    one.type(CODE)
    assert one.end() == (0, "")
    (left,) = tmp_path.iterdir()
    assert left.stat().st_ino == inode and stat.S_IMODE(left.stat().st_mode) == 0o600
    assert left.read_text() == TOKEN + "\n"
    assert TOKEN not in one.output and "geheim" not in one.output
    assert config_of(one.output).RefreshTokenFile == str(tmp_path / "token")


def wrong_code(one: Login) -> str:
    one.type("not-" + CODE)
    return "does not take this code: code doesn't exist or has expired"


def ctrl_c(one: Login) -> str:
    one.process.send_signal(signal.SIGINT)
    return "nothing was changed"


@pytest.mark.slow
@pytest.mark.parametrize("what", [wrong_code, ctrl_c])
def test_a_login_that_ends_early_changes_nothing(login: Any, server: DropboxServer, tmp_path: Path, what: Any):
    (tmp_path / "token").write_text("older")
    one = login("--app-key", "standin", "--proxy", server.proxy, "--store", "token")
    one.open_the_page()
    expected = what(one)
    status, err = one.end()
    assert status == 1 and expected in err, err
    assert "dropbox." not in one.output.replace("www.dropbox.com", "")
    assert [path.name for path in tmp_path.iterdir()] == ["token"]
    assert (tmp_path / "token").read_text() == "older"


def closed_port() -> str:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{one.getsockname()[1]}"


@pytest.mark.slow
def test_without_a_network_it_says_so_and_shows_no_code(login: Any):
    one = login("--app-key", "standin", "--proxy", closed_port())
    one.open_the_page()
    one.type(CODE)
    status, err = one.end()
    assert status == 1 and len(err.splitlines()) == 1, err
    assert "(Connection refused). Check --proxy" in err and CODE not in err and "dropbox.AppKey" not in one.output


@pytest.mark.parametrize(
    ("given", "fault", "status", "expected"),
    [
        ({"app_key": "other"}, {}, 1, "does not know this app key"),
        ({"ca_file": None}, {}, 1, "the certificate is not trusted"),
        ({"code": ""}, {}, 2, "nothing was given for 'Code'"),
        ({"code": "a code"}, {}, 2, "copy it once more"),
        ({}, {"route": "oauth2/token", "status": 503}, 1, "Dropbox answers 503"),
        ({}, {"route": "users/get_current_account", "status": 401, "error": "invalid_access_token"}, 1, "does not take it"),
        ({}, {"route": "users/get_current_account", "status": 429, "retry_after": 60}, 1, "does not take it"),
    ],
)
def test_what_is_wrong_is_reported_in_one_line(
    server: DropboxServer, monkeypatch: Any, capsys: Any, given: dict[str, Any], fault: dict[str, Any], status: int, expected: str
):
    def typed(prompt: str) -> str:
        (page,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("https://")]
        server.authorize(CODE, urllib.parse.parse_qs(urllib.parse.urlsplit(page).query)["code_challenge"][0])
        return str(given.get("code", CODE))

    monkeypatch.setattr("builtins.input", typed)
    if fault:
        server.fail(**fault)
    ca_file = given.get("ca_file", str(server.ca_file))
    assert login_program.login(given.get("app_key", "standin"), None, server.proxy, ca_file) == status
    output = capsys.readouterr()
    assert expected in output.err and len(output.err.splitlines()) == 1
    assert "dropbox.AppKey" not in output.out and CODE not in output.err


def test_without_the_library_it_names_the_extra(login: Any, tmp_path: Path):
    (tmp_path / "sitecustomize.py").write_text(BLOCKER.format(name="dropbox"))
    assert login("--app-key", "k", python_path=str(tmp_path)).end() == (
        2,
        "pysubtask: dropbox is not installed. Run: pip install 'pysubtask[dropbox]'.\n",
    )


@pytest.mark.parametrize("words", [["--store", "/no/such/folder/x"], ["--store", "."], ["--ca-file", "no.pem"]])
def test_files_that_cannot_be_are_reported_before_any_question(words: list[str], capsys: Any, tmp_path: Path):
    given = dict(zip(words[::2], words[1::2], strict=True))
    assert login_program.login("k", given.get("--store"), "", given.get("--ca-file")) == 2
    output = capsys.readouterr()
    assert words[0] in output.err and not output.out


def test_store_without_login_is_a_mistake(capsys: Any):
    with pytest.raises(SystemExit) as stopped:
        main(argv=["--store", "x"])
    assert stopped.value.code == 2 and "--store goes with --login" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("token", "scope", "expected"),
    [
        ("", None, "no refresh token"),
        ("t", "account_info.read", "files.content.write and files.metadata.read"),
        ("t", "files.content.write", "no permission for files.metadata.read."),
        ("t", "files.metadata.read files.content.write account_info.read", None),
        ("t", None, None),
    ],
)
def test_a_token_that_would_be_of_no_use_is_refused(token: str, scope: str | None, expected: str | None):
    if expected is None:
        login_program._check(token, scope)
        return
    with pytest.raises(login_program._LoginEnded, match=expected):
        login_program._check(token, scope)


# ---- where the token is seen afterwards


@pytest.mark.slow
def test_the_token_is_seen_nowhere_else(tmp_path: Path, server: DropboxServer):
    """From the app to Dropbox, through a proxy with a password, with a link that fails: in no argv, log, file or repr."""
    url = f"http://me:geheim@{server.proxy.removeprefix('http://')}"
    one = DropboxStation(tmp_path, server.folder, server.settings(Proxy=url))
    try:
        with command_lines() as seen:
            server.stop()
            try:
                one.write("a.csv", "1\n")
                one.master.start()
                one.notify("a.csv")
                one.wait_kind("connect_failed")
            finally:
                server.start()
            one.arrived("a.csv", secs=SECS)
            server.revoke()
            server.expire_tokens()
            one.write("a.csv", "2\n")
            one.notify("a.csv")
            one.wait_kind("login_refused")
            wait_until(lambda: one.page().get("state") == "held", what="held")
            records = repr(one.master) + repr(one.master.status()) + repr(one.master.__dict__)
    finally:
        server.restore()
        one.close()
    words = (TOKEN, "geheim")
    assert any(b"pysubtask.dropbox" in line for line in seen), "the look saw the child"
    assert [line for line in seen if any(word.encode() in line for word in words)] == []
    assert not any(word in records for word in words)
    assert server.count("oauth2/token"), "the child fetched access tokens"
    for path in [path for path in tmp_path.rglob("*") if path.is_file()]:
        data = path.read_bytes()
        assert not any(word.encode() in data for word in words) and not re.search(rb"\bsl\.[\w-]{20}", data), path
