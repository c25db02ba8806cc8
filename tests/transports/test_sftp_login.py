"""Logging in: host keys, keys, passwords; by the system's ssh and by asyncssh."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pysubtask.common.errors import ConfigError, LoginRefused, ServerNotTrusted, TransportLost
from pysubtask.testing import Relay
from pysubtask.testing.servers.sshd import OpenSSHServer, fingerprint, make_key, missing, openssh_server
from pysubtask.transports.base import Job
from pysubtask.transports.sftp import SFTPTransport
from pysubtask.transports.ssh.askpass import Askpass
from tests.support import alterations
from tests.support.helpers import wait_until
from tests.support.sftp_login import connects, refused

pytestmark = pytest.mark.skipif(missing() is not None, reason=str(missing()))

SECRET = f"Hunter2 {os.urandom(8).hex()} $'\"%h pä"  # two runs at once must not see each other's


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenSSHServer]:
    with openssh_server(tmp_path_factory.mktemp("sshd")) as running:
        yield running


@pytest.fixture(params=["ssh", "asyncssh"])
def program(request: pytest.FixtureRequest) -> str:
    if request.param == "asyncssh":
        pytest.importorskip("asyncssh")
        return "no-such-ssh-program"
    return "ssh"


class TestHostKey:
    def test_known(self, server: OpenSSHServer, program: str, tmp_path: Path):
        connects(server.settings(SSHProgram=program), tmp_path)

    @pytest.mark.parametrize("there", [True, False])
    def test_unknown(self, server: OpenSSHServer, program: str, there: bool, tmp_path: Path):
        known = tmp_path / "known"
        if there:  # the same key under another port is another host
            known.write_text(server.known_hosts.read_text().replace(f":{server.port} ", ":1 "))
        reason = refused(server.settings(SSHProgram=program, KnownHostsFile=str(known)), tmp_path, kind=ServerNotTrusted)
        assert "not known here" in reason and "nothing was sent" in reason
        assert [path for path in server.root.glob("host_*.pub") if fingerprint(path) in reason]
        assert 'HostKeyPolicy = "accept-new"' in reason and 'HostKey = "SHA256:' in reason
        assert not there or f":{server.port} " not in known.read_text()

    @pytest.mark.parametrize("policy", ["strict", "accept-new"])
    def test_changed(self, server: OpenSSHServer, program: str, policy: str, tmp_path: Path):
        make_key(tmp_path / "other")
        kind, key, _ = (tmp_path / "other.pub").read_text().split()
        known = tmp_path / "known"
        known.write_text(f"[127.0.0.1]:{server.port} {kind} {key}\n")
        before = known.read_text()
        settings = server.settings(SSHProgram=program, KnownHostsFile=str(known), HostKeyPolicy=policy)
        reason = refused(settings, tmp_path, kind=ServerNotTrusted)
        assert "on file" in reason
        assert [path for path in server.root.glob("host_*.pub") if fingerprint(path) in reason]
        assert 'HostKey = "SHA256:' in reason and "accept-new" not in reason
        assert known.read_text() == before

    def test_accepted_once_is_known_from_then_on(self, server: OpenSSHServer, program: str, tmp_path: Path):
        known = tmp_path / "known"
        known.write_text("# a line without an end" if program != "ssh" else "")
        settings = server.settings(SSHProgram=program, KnownHostsFile=str(known))
        connects({**settings, "HostKeyPolicy": "accept-new"}, tmp_path)
        assert f"[127.0.0.1]:{server.port} " in known.read_text()
        connects(settings, tmp_path)

    @pytest.mark.parametrize("kind", ["ed25519", "ecdsa"])
    def test_pinned(self, server: OpenSSHServer, program: str, kind: str, tmp_path: Path):
        """The server has keys of several kinds; whichever is pinned is asked for."""
        known = tmp_path / "known"
        pinned = fingerprint(server.root / f"host_{kind}.pub")
        settings = server.settings(SSHProgram=program, KnownHostsFile=str(known), HostKey=pinned)
        connects(settings, tmp_path)
        assert not known.exists()

    def test_pinned_to_another(self, server: OpenSSHServer, program: str, tmp_path: Path):
        """Not even a known_hosts file that knows the key helps."""
        make_key(tmp_path / "other")
        settings = server.settings(SSHProgram=program, HostKey=fingerprint(tmp_path / "other.pub"), HostKeyPolicy="accept-new")
        reason = refused(settings, tmp_path, kind=ServerNotTrusted)
        assert "pinned" in reason
        for kind in ("ed25519", "ecdsa"):
            assert fingerprint(server.root / f"host_{kind}.pub") in reason

    def test_one_kind_of_key_on_file_is_enough(self, server: OpenSSHServer, program: str, tmp_path: Path):
        for line in server.known_hosts.read_text().splitlines():
            (tmp_path / "known").write_text(line + "\n")
            connects(server.settings(SSHProgram=program, KnownHostsFile=str(tmp_path / "known")), tmp_path)


def test_a_key_the_server_does_not_know(server: OpenSSHServer, program: str, tmp_path: Path):
    make_key(tmp_path / "stranger")
    assert "the login was refused" in refused(server.settings(SSHProgram=program, KeyFile=str(tmp_path / "stranger")), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("does", "words"),
    [
        ("echo gate: the account is closed >&2; sleep 1717 & exit 1", "the account is closed"),
        ("echo gate: calling >&2; sleep 1717 & wait", "gate: calling"),
    ],
)
def test_a_proxy_command_that_fails_is_quoted_and_leaves_nothing(tmp_path: Path, does: str, words: str):
    """What it started ends with it, also where ssh has ended first."""
    (tmp_path / "gate").write_text(f"#!/bin/sh\n{does}\n")
    (tmp_path / "gate").chmod(0o755)
    variable = f"PYSUBTASK_TEST_{os.urandom(8).hex()}"
    (tmp_path / "config").write_text(f"Host h\n    ProxyCommand env {variable}=1 {tmp_path}/gate\n")
    settings = {"Host": "h", "User": "pi", "SSHConfigFile": str(tmp_path / "config"), "ConnectTimeoutSecs": 2}
    assert words in refused(settings, tmp_path, kind=TransportLost)

    def left() -> list[str]:
        found = []
        for path in Path("/proc").glob("[0-9]*/environ"):
            with contextlib.suppress(OSError):
                if variable.encode() in path.read_bytes():
                    found.append(path.parent.name)
        return found

    wait_until(lambda: left() == [], 20, what="nothing of it runs")


@pytest.mark.parametrize(("name", "words"), [("crlf", "CRLF"), ("bom", "BOM"), ("newline", "newline")])
def test_a_key_that_ssh_cannot_load_is_reported_before_the_reply(server: OpenSSHServer, name: str, words: str, tmp_path: Path):
    key = tmp_path / name
    key.write_bytes(dict(alterations.cases(Path(server.settings()["KeyFile"]).read_text()))[name])
    key.chmod(0o600)
    reason = refused(server.settings(KeyFile=str(key), Password=None), tmp_path)
    assert words in reason and reason.index(words) < reason.index("Permission denied") and f"{key}_mended" in reason
    assert "Load key" in reason


def test_a_certificate_that_is_out_of_date_is_named(server: OpenSSHServer, tmp_path: Path):
    make_key(tmp_path / "new")
    alterations.certified(tmp_path / "new", tmp_path / "key", "-20d:-10d", "pi")
    reason = refused(server.settings(KeyFile=str(tmp_path / "key"), Password=None), tmp_path)
    assert f"{tmp_path}/key-cert.pub is out of date" in reason and "Permission denied" in reason


def test_a_key_that_asks_for_a_passphrase_is_not_waited_for(server: OpenSSHServer, program: str, tmp_path: Path):
    make_key(tmp_path / "locked", passphrase="five or more")
    reason = refused(server.settings(SSHProgram=program, KeyFile=str(tmp_path / "locked"), Password=None), tmp_path)
    assert "locked by a passphrase" in reason


def test_nobody_listens(server: OpenSSHServer, program: str, tmp_path: Path):
    with Relay("127.0.0.1", server.port) as relay:
        relay.refuse()
        refused(server.settings(SSHProgram=program, HostPort=relay.port), tmp_path, TransportLost)


def test_neither_ssh_nor_asyncssh(server: OpenSSHServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delitem(sys.modules, "pysubtask.transports.ssh.asyncssh_stream", raising=False)
    monkeypatch.setitem(sys.modules, "asyncssh", None)
    reason = refused(server.settings(SSHProgram="no-such-program"), tmp_path, ConfigError)
    assert "SSHProgram" in reason
    assert "Install OpenSSH's ssh client or pip install 'pysubtask[asyncssh]'." in reason


def test_an_alias_from_a_configuration_file(server: OpenSSHServer, tmp_path: Path):
    """Host, port, user and key may all be the configuration's; 'none' reads nothing of it."""
    config = tmp_path / "config with a space"
    config.write_text(
        f"Host logger\n HostName 127.0.0.1\n Port {server.port}\n User {server.user}\n"
        f" IdentityFile {server.key_file}\n"
        " StrictHostKeyChecking no\n LocalCommand false\n PermitLocalCommand yes\n RemoteCommand false\n"
        " ControlMaster auto\n ControlPath none\n"
    )
    settings = server.settings(
        Host="logger", HostPort=-1, User="", KeyFile=None, SSHConfigFile=str(config), HostKey=server.host_key
    )
    connects(settings, tmp_path)
    assert "resolved" in refused({**settings, "SSHConfigFile": "none", "ConnectTimeoutSecs": 10}, tmp_path, TransportLost)


def test_a_configuration_that_ssh_does_not_take(server: OpenSSHServer, tmp_path: Path):
    config = tmp_path / "config"
    config.write_text("NoSuchOption yes\n")
    for password in (None, SECRET):
        assert "configuration" in refused(server.settings(SSHConfigFile=str(config), Password=password), tmp_path)


def test_a_killed_login_leaves_no_folder(server: OpenSSHServer, tmp_path: Path):
    (tmp_path / "work").mkdir()
    left, other = tmp_path / "pysubtask-askpass-x1", tmp_path / "other"
    for folder in (left, other):
        folder.mkdir(mode=0o700)
        (folder / "s").touch()
        (tmp_path / "work" / "ssh.json").write_text(json.dumps({"pid": 1, "start": "", "askpass": str(folder)}))
        connects(server.settings(), tmp_path)
    assert not left.exists()
    assert other.exists()


def program_of(cmdline: bytes) -> str:
    """The name of the program in what /proc/PID/cmdline holds."""
    return cmdline.split(b"\0")[0].rpartition(b"/")[2].decode("utf-8", "replace")


class Watcher:
    """Looks for a text in the command lines and environments of all processes, all the time."""

    def __init__(self, text: str) -> None:
        self.text = text.encode()
        self.found: set[str] = set()
        self.seen: set[str] = set()
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._poll)

    def __enter__(self) -> Watcher:
        self._thread.start()
        return self

    def __exit__(self, *exc: Any) -> None:
        self._enough.set()
        self._thread.join()

    def _poll(self) -> None:
        while not self._enough.is_set():
            for pid in filter(str.isdigit, os.listdir("/proc")):
                for what in ("cmdline", "environ"):
                    if pid == str(os.getpid()) and what == "environ":
                        continue  # where the test puts it itself
                    try:
                        read = Path(f"/proc/{pid}/{what}").read_bytes()
                    except OSError:
                        continue
                    if what == "cmdline":
                        self.seen.add(program_of(read))
                    if self.text in read:
                        self.found.add(f"{what} of {read.partition(self.text)[0][-200:]!r}")


class TestPassword:
    @pytest.fixture
    def password_server(self, tmp_path: Path) -> Iterator[Any]:
        pytest.importorskip("asyncssh")
        from pysubtask.testing import sftp_server

        with sftp_server(tmp_path / "files", user="demo", password=SECRET) as running:
            yield running

    def test_it_logs_in_and_shows_nowhere(
        self, password_server: Any, program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        private = tmp_path / "runtime"
        private.mkdir()
        if len(str(private)) < 60:
            monkeypatch.setenv("XDG_RUNTIME_DIR", str(private))
        monkeypatch.setenv("MY_PASSWORD", SECRET)
        source = tmp_path / "source"
        source.write_bytes(b"data")
        settings = password_server.settings(password=True, SSHProgram=program)
        transport = SFTPTransport(settings, str(tmp_path / "work"))

        async def whole() -> None:
            await transport.connect()
            await transport.upload(Job(str(source), 4, 10**18, "a", ".a.tmp"), lambda done: None)
            for folder in (tmp_path / "work", private):
                assert not [path for path in folder.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]
            assert not list(private.iterdir()), "what asked for the password is gone as soon as it was asked"
            await transport.close()

        with Watcher(SECRET) as watcher:
            asyncio.run(whole())
        assert not watcher.found
        # An interpreter may have any name (python3.11): it is this very process that must have been seen.
        mine = program_of(Path("/proc/self/cmdline").read_bytes())
        assert watcher.seen & ({"ssh", "setpriv"} if program == "ssh" else {mine}), watcher.seen
        assert (tmp_path / "files" / "a").read_bytes() == b"data"
        assert SECRET not in repr(transport) + repr(vars(transport).get("_login"))
        assert not list((tmp_path / "work").glob("*"))

    def test_a_wrong_one_is_tried_once_and_never_asked_for(self, password_server: Any, program: str, tmp_path: Path):
        reason = refused(password_server.settings(password=True, SSHProgram=program) | {"Password": "wrong"}, tmp_path)
        assert "the login was refused" in reason
        assert "wrong" not in reason
        wait_until(lambda: password_server.failed_logins, what="the server's end of that login")
        assert password_server.failed_logins == 1
        assert [method for _, method in password_server.refused] == ["password"]

    async def test_other_questions_are_not_answered(self, program: str, tmp_path: Path):
        """A one-time code asked for by keyboard-interactive gets no answer, least of all the password."""
        asyncssh = pytest.importorskip("asyncssh")
        heard: list[Any] = []

        class Curious(asyncssh.SSHServer):  # type: ignore[misc, name-defined]
            def begin_auth(self, username: str) -> bool:
                return True

            def kbdint_auth_supported(self) -> bool:
                return True

            def get_kbdint_challenge(self, username: str, lang: str, submethods: str) -> Any:
                return "", "", "", [("Verification code: ", False)]

            def validate_kbdint_response(self, username: str, responses: Any) -> bool:
                heard.append(responses)
                return False

        key = asyncssh.generate_private_key("ssh-ed25519")
        async with asyncssh.listen("127.0.0.1", 0, server_factory=Curious, server_host_keys=[key]) as acceptor:
            transport = SFTPTransport(
                {
                    "Host": "127.0.0.1",
                    "HostPort": acceptor.get_port(),
                    "User": "demo",
                    "Password": SECRET,
                    "HostKey": key.get_fingerprint(),
                    "SSHConfigFile": "none",
                    "SSHProgram": program,
                },
                str(tmp_path / "work"),
            )
            with pytest.raises(LoginRefused, match="Verification code"):
                await transport.connect()
        assert not any(SECRET in answer for answers in heard for answer in answers)

    async def test_keyboard_interactive_that_asks_for_the_password(self, program: str, tmp_path: Path):
        asyncssh = pytest.importorskip("asyncssh")

        class Asking(asyncssh.SSHServer):  # type: ignore[misc, name-defined]
            def begin_auth(self, username: str) -> bool:
                return True

            def kbdint_auth_supported(self) -> bool:
                return True

            def get_kbdint_challenge(self, username: str, lang: str, submethods: str) -> Any:
                return "", "", "", [("Password: ", False)]

            def validate_kbdint_response(self, username: str, responses: Any) -> bool:
                return list(responses) == [SECRET]

        key = asyncssh.generate_private_key("ssh-ed25519")
        async with asyncssh.listen("127.0.0.1", 0, server_factory=Asking, server_host_keys=[key], sftp_factory=True) as acceptor:
            transport = SFTPTransport(
                {
                    "Host": "127.0.0.1",
                    "HostPort": acceptor.get_port(),
                    "User": "demo",
                    "Password": SECRET,
                    "HostKey": key.get_fingerprint(),
                    "SSHConfigFile": "none",
                    "SSHProgram": program,
                },
                str(tmp_path / "work"),
            )
            await transport.connect()
            await transport.close()

    @pytest.mark.parametrize("frozen", [False, True])
    async def test_the_answering_side_answers_once(self, frozen: bool, monkeypatch: pytest.MonkeyPatch):
        if frozen:
            monkeypatch.setattr(sys, "frozen", True, raising=False)

        askpass = Askpass(SECRET, "u", "h")
        folder = Path(askpass.program).parent
        askpass.start(asyncio.get_running_loop())
        try:
            assert folder.stat().st_mode & 0o777 == 0o700

            async def ask(question: str) -> tuple[int, str]:
                asking = await asyncio.create_subprocess_exec(askpass.program, question, stdout=asyncio.subprocess.PIPE)
                reason, _ = await asking.communicate()
                return asking.returncode or 0, reason.decode()

            assert await ask("Are you sure you want to continue connecting (yes/no)? ") == (1, "")
            assert askpass.refused is not None
            assert await ask("u@h's password: ") == (0, SECRET + "\n")
            assert await ask("u@h's password: ") == (1, "")
        finally:
            askpass.close()
            askpass.close()
        assert not folder.exists()
        assert SECRET not in repr(askpass)


@pytest.mark.slow
@pytest.mark.parametrize("listens", [True, False])
def test_who_says_nothing_may_have_banned_us(tmp_path: Path, listens: bool):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        if not listens:
            silent.close()
        settings = {"Host": "127.0.0.1", "HostPort": port, "User": "pi", "ConnectTimeoutSecs": 1, "SSHConfigFile": "none"}
        with pytest.raises(TransportLost) as failed:
            asyncio.run(SFTPTransport(settings, str(tmp_path / "work")).connect())
        assert failed.value.unanswered
