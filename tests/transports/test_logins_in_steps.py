"""Logins that a server takes in steps or not as ssh offers them: a key and more, one question after the other, old algorithms, a
ProxyCommand that hangs."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from pysubtask.common.errors import LoginRefused, ServerNotTrusted, TransportLost
from pysubtask.common.process import process_start
from pysubtask.control.doctor.causes import login_finding
from pysubtask.testing.servers.sshd import fingerprint, make_key, missing, openssh_server
from pysubtask.transports.pysftp import PySFTPTransport
from pysubtask.transports.sftp import SFTPTransport
from pysubtask.transports.ssh.algorithms import in_ssh_config, offered_alone
from pysubtask.transports.ssh.errors import verdict
from pysubtask.transports.ssh.orphans import TAG, end_orphans
from tests.support.helpers import wait_until

needs_sshd = pytest.mark.skipif(missing() is not None, reason=str(missing()))
SECRET = "sesame-9-open"


def outcome(settings: dict[str, Any], place: Path, kind: Any = SFTPTransport) -> Exception | None:
    """Why a login does not come about; None where it does."""

    async def whole() -> Exception | None:
        transport = kind(settings, str(place / "work"))
        try:
            await transport.connect()
            await transport.stat("nothing")
        except (LoginRefused, TransportLost) as exc:
            return exc
        finally:
            await transport.close()
        return None

    return asyncio.run(whole())


# --- one question after the other


@pytest.mark.parametrize("client", ["ssh", "asyncssh", "pysftp"])
@pytest.mark.parametrize(
    ("second", "together"),
    [("Verification code: ", False), ("One-time password (OATH) for pi: ", False), ("Verification code: ", True)],
)
def test_a_second_question_is_quoted_and_gets_no_password(tmp_path: Path, client: str, second: str, together: bool):
    asyncssh = pytest.importorskip("asyncssh")
    if client == "pysftp" and find_spec("pysftp") is None:
        pytest.skip("pysftp is not installed")
    if client == "ssh" and missing() is not None:
        pytest.skip(str(missing()))
    heard: list[list[str]] = []

    class Asking(asyncssh.SSHServer):  # type: ignore[misc, name-defined]
        step = 0

        def begin_auth(self, username: str) -> bool:
            return True

        def kbdint_auth_supported(self) -> bool:
            return True

        def get_kbdint_challenge(self, username: str, lang: str, submethods: str) -> Any:
            self.step = 1
            asked = [("Password: ", False)]
            return "", "", "", [*asked, (second, True)] if together else asked

        def validate_kbdint_response(self, username: str, responses: Any) -> Any:
            heard.append(list(responses))
            self.step += 1
            return ("", "", "", [(second, True)]) if self.step == 2 and not together else False

    async def whole() -> None:
        key = asyncssh.generate_private_key("ssh-ed25519")
        async with asyncssh.listen("127.0.0.1", 0, server_factory=Asking, server_host_keys=[key]) as acceptor:
            settings = {
                "Host": "127.0.0.1",
                "HostPort": acceptor.get_port(),
                "User": "pi",
                "Password": SECRET,
                "HostKey": key.get_fingerprint(),
                "SSHConfigFile": "none",
                "SSHProgram": "ssh" if client == "ssh" else "no-such-ssh-program",
            }
            if client == "pysftp":
                settings["SSHConfigFile"] = None
            transport: Any = (PySFTPTransport if client == "pysftp" else SFTPTransport)(settings, str(tmp_path / "work"))
            with pytest.raises(LoginRefused) as caught:
                await transport.connect()
            await transport.close()
        asked = "Password" if together and client != "ssh" else second.partition(":")[0]
        assert asked in str(caught.value)
        found = login_finding(caught.value, settings)
        if client != "pysftp":
            assert found.cause == "another-question" and asked in found.text, found

    asyncio.run(whole())
    assert not any(SECRET in answers for answers in (heard[1:] if not together else [row[1:] for row in heard]))
    assert sum(answers.count(SECRET) for answers in heard) <= 1, "a password counts against the account"


@needs_sshd
@pytest.mark.parametrize("client", ["ssh", "asyncssh"])
def test_a_key_on_file_without_the_port_counts_if_it_is_the_same(tmp_path: Path, client: str):
    """As ssh has it: known_hosts of a time when the server listened at its usual port. Another one there says nothing. pysftp is
    stricter."""
    make_key(tmp_path / "other")
    with openssh_server(tmp_path / "sshd") as server:
        known = tmp_path / "known_hosts"
        settings = server.settings(KnownHostsFile=str(known), SSHProgram="ssh" if client == "ssh" else "no-such-ssh-program")

        def plain(path: Path) -> str:
            return " ".join([server.host, *path.read_text().split()[:2]]) + "\n"

        known.write_text(plain(server.root / "host_ed25519.pub") + plain(server.root / "host_ecdsa.pub"))
        assert outcome(settings, tmp_path) is None
        known.write_text(plain(tmp_path / "other.pub"))
        found = outcome(settings, tmp_path)
        assert isinstance(found, ServerNotTrusted)
        if client != "asyncssh":  # which takes it for a change, the safer of the two
            assert "not known" in str(found)


# --- a key and something else


def test_what_is_required_besides_the_key_is_reported():
    stderr = 'Authenticated using "publickey" with partial success.\npi@h: Permission denied (password).\n'
    found = verdict(stderr, 255)
    assert "took the key and wants a password as well" in str(found) and "Set Password, too" in str(found)
    finding = login_finding(found, {"KeyFile": "/k", "User": "pi", "Host": "h"})
    assert finding.cause == "password-wanted-too" and finding.remedy.settings == (("Password", "..."),)
    wrong = login_finding(found, {"KeyFile": "/k", "Password": SECRET, "User": "pi", "Host": "h"})
    assert wrong.cause == "password-refused" and "key is right" in wrong.remedy.words
    older = verdict("Authenticated with partial success.\npi@h: Permission denied (keyboard-interactive).\n", 255)
    assert "wants a password as well" in str(older)
    other = verdict('Authenticated using "password" with partial success.\npi@h: Permission denied (publickey).\n', 255)
    assert "took the password and wants a key as well" in str(other)
    assert login_finding(other, {"Password": SECRET}).remedy.settings == (("KeyFile", "~/.ssh/id_pysubtask"),)


@needs_sshd
def test_ssh_says_that_a_step_was_taken(tmp_path: Path):
    """A real one, which wants two keys of a login that has one."""
    with openssh_server(tmp_path / "sshd", lines=("AuthenticationMethods publickey,publickey",)) as server:
        found = outcome(server.settings(), tmp_path)
    assert isinstance(found, LoginRefused) and "took the key and wants a key as well" in str(found)


# --- algorithms


OFFERS = [
    ("host key type", "ssh-rsa,ssh-dss", "HostKeyAlgorithms +ssh-rsa"),
    ("key exchange method", "diffie-hellman-group1-sha1,diffie-hellman-group14-sha1", "KexAlgorithms +diffie-hellman-group14-sha1"),
    ("cipher", "3des-cbc,aes128-cbc", "Ciphers +aes128-cbc"),
    ("MAC", "hmac-md5", "MACs +hmac-md5"),
]


@pytest.mark.parametrize(("what", "offer", "line"), OFFERS)
def test_the_line_for_an_old_server_is_reported(what: str, offer: str, line: str):
    stderr = f"Unable to negotiate with 192.0.2.7 port 2222: no matching {what} found. Their offer: {offer}\n"
    found = verdict(stderr, 255, where="old.example:2222")
    assert isinstance(found, LoginRefused)
    assert in_ssh_config("old.example", line) in found.remedy  # not its address: ssh looks for the name that it is given
    finding = login_finding(found, {"SSHConfigFile": "none"})
    assert finding.cause == "no-common-algorithm" and line in finding.text and finding.remedy.settings == (("SSHConfigFile", None),)
    assert finding.remedy.commands == ()
    unknown = verdict(stderr.replace(offer, "something@new"), 255)
    assert offered_alone(str(unknown)) is None and unknown.remedy == "Update the older of the two"


@pytest.mark.slow
@needs_sshd
def test_a_server_that_has_but_an_ssh_rsa_key(tmp_path: Path):
    make_key(tmp_path / "rsa", "rsa")
    lines = (f'HostKey "{tmp_path}/rsa"', "HostKeyAlgorithms ssh-rsa")
    with openssh_server(tmp_path / "sshd", lines=lines) as server:
        kind, key = (tmp_path / "rsa.pub").read_text().split()[:2]
        known = tmp_path / "known_hosts"
        known.write_text(f"[{server.host}]:{server.port} {kind} {key}\n")
        settings = server.settings(KnownHostsFile=str(known))
        found = outcome(settings, tmp_path)
        offer = offered_alone(str(found))
        assert isinstance(found, LoginRefused) and offer is not None
        config = tmp_path / "config"
        config.write_text(f"Host {server.host}\n    {offer.line}\n")
        config.chmod(0o600)
        assert outcome({**settings, "SSHConfigFile": str(config)}, tmp_path) is None
        pinned = {**settings, "SSHConfigFile": str(config), "KnownHostsFile": None, "HostKey": fingerprint(tmp_path / "rsa.pub")}
        assert outcome(pinned, tmp_path) is None, "the line and the pinned key go together"


@pytest.mark.slow
@needs_sshd
def test_the_line_for_an_rsa_key_on_an_old_server_works(tmp_path: Path):
    make_key(tmp_path / "rsa", "rsa")
    with openssh_server(tmp_path / "sshd", lines=("PubkeyAcceptedAlgorithms ssh-rsa",)) as server:
        (server.root / "authorized_keys").write_text((tmp_path / "rsa.pub").read_text())
        settings = server.settings(KeyFile=str(tmp_path / "rsa"))
        found = outcome(settings, tmp_path)
        assert isinstance(found, LoginRefused)
        words = login_finding(found, settings, rsa=True).remedy.words
        line = words.partition("below it '    ")[2].partition("'")[0]
        config = tmp_path / "config"
        config.write_text(f"Host {server.host}\n    {line}\n")
        config.chmod(0o600)
        assert outcome({**settings, "SSHConfigFile": str(config)}, tmp_path) is None
        assert "PubkeyAccepted" not in login_finding(found, settings).remedy.words


# --- a program in between


def test_a_program_in_between_is_blamed_and_not_the_server():
    for stderr in (
        "Connection timed out during banner exchange\nConnection to UNKNOWN port 65535 timed out\n",
        "kex_exchange_identification: Connection closed by remote host\nConnection closed by UNKNOWN port 65535\n",
    ):
        found = verdict(stderr, 255, where="h:22")
        assert isinstance(found, TransportLost) and "ProxyCommand or ProxyJump" in str(found)
        finding = login_finding(found, {"Host": "h", "User": "pi"})
        assert finding.cause == "proxy-command" and finding.remedy.commands == ("ssh -v pi@h true",)


@pytest.mark.slow
@needs_sshd
@pytest.mark.parametrize("body", ["exec sleep 600", "sleep 600 & sleep 600", "sleep 600 & exit 1"])
def test_nothing_of_a_proxy_command_outlives_the_next_connect(tmp_path: Path, body: str):
    """Whoever is killed cannot end what hangs in his ssh: the next one does."""
    program = tmp_path / "proxy"
    program.write_text(f"#!/bin/sh\necho $$ >> {tmp_path}/pids\n{body}\n")
    program.chmod(0o755)
    config = tmp_path / "config"
    config.write_text(f"Host *\n    ProxyCommand {program} %h %p\n")
    config.chmod(0o600)
    settings = {"Host": "station.example", "User": "pi", "SSHConfigFile": str(config), "ConnectTimeoutSecs": 20}

    def group() -> list[int]:
        found = []
        for name in os.listdir("/proc"):
            if name.isdigit():
                with contextlib.suppress(OSError):
                    sleeps = Path(f"/proc/{name}/cmdline").read_bytes().startswith(b"sleep\x00600")
                    if sleeps and str(tmp_path).encode() in Path(f"/proc/{name}/environ").read_bytes():
                        found.append(int(name))
        return found

    holder = (
        "import asyncio, json, sys; from pysubtask.transports.sftp import SFTPTransport; "
        "asyncio.run(SFTPTransport(json.loads(sys.argv[1]), sys.argv[2]).connect())"
    )
    work = str(tmp_path / "work")
    environment = {**os.environ, "WHOSE": str(tmp_path)}
    with subprocess.Popen([sys.executable, "-c", holder, json.dumps(settings), work], env=environment) as killed:
        try:
            wait_until(group, what="the program in between")
            pid = wait_until(lambda: int(json.loads((tmp_path / "work" / "ssh.json").read_text())["pid"]), what="a record")
        finally:
            killed.kill()
    try:
        wait_until(lambda: process_start(pid) is None, what="the end of ssh")
        assert group(), "nothing was left to be ended"
        found = outcome({**settings, "ConnectTimeoutSecs": 1}, tmp_path)
        assert isinstance(found, TransportLost)
        wait_until(lambda: not group(), what="the end of all that")
    finally:
        for left in group():
            os.kill(left, signal.SIGKILL)


def test_others_of_the_same_group_are_left_alone(tmp_path: Path):
    with subprocess.Popen(["sleep", "600"], env={**os.environ, TAG: "one"}, start_new_session=True) as other:
        try:
            assert end_orphans(other.pid, "") == end_orphans(other.pid, "two") == end_orphans(1, "one") == 0
            assert other.poll() is None
            wait_until(lambda: end_orphans(other.pid, "one") == 1, what="its end")
            assert other.wait(20) == -signal.SIGKILL
        finally:
            other.kill()
