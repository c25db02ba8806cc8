"""ssh's command line, remote names, the password question and ssh's last words: all decided without a process."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from pysubtask.common.errors import ConfigError, FileRefused, LoginRefused, TransportLost
from pysubtask.testing.servers.sshd import find_program
from pysubtask.transports.sftp import SFTPTransport
from pysubtask.transports.shared.sftp_names import folder_of, identity_of, parent_of, path_of
from pysubtask.transports.shared.ssh_login import login_of
from pysubtask.transports.ssh.askpass import is_password_question
from pysubtask.transports.ssh.errors import verdict
from pysubtask.transports.ssh.options import show_argv, ssh_argv

PRINT = "SHA256:" + "a" * 43


def argv(**settings: Any) -> list[str]:
    return ssh_argv("ssh", login_of({"Host": "h", **settings}))


def option(words: list[str], key: str) -> str | None:
    found = [word.partition("=")[2] for word in words if word.startswith(f"{key}=")]
    assert len(found) <= 1
    return found[0] if found else None


class TestCommandLine:
    def test_where_to_stands_at_the_end_and_can_be_no_option(self):
        words = argv(User="u", HostPort=2222)
        assert words[-4:] == ["-s", "--", "h", "sftp"]
        assert words[words.index("-l") + 1] == "u"
        assert words[words.index("-p") + 1] == "2222"

    def test_what_is_not_set_is_left_to_the_users_configuration(self):
        words = argv()
        assert not {"-F", "-l", "-p", "-i"} & set(words)
        assert option(words, "IdentitiesOnly") is None
        assert option(words, "UserKnownHostsFile") is None

    @pytest.mark.parametrize(
        "settings",
        [
            {"Host": "-oProxyCommand=touch x"},
            {"Host": "a b"},
            {"Host": "a\nb"},
            {"Host": ""},
            {"Host": "h;x"},
            {"Host": "u@h"},
            {"User": "-x"},
            {"User": "a b"},
            {"User": "a;b"},
            {"User": "$(x)"},
            {"User": "%h"},
            {"User": "a\\"},
            {"HostKey": "aa:bb"},
            {"HostKey": "SHA256:short"},
            {"HostKey": PRINT[:-3] + "' \""},
            {"KeyFile": 'a"b'},
            {"KeyFile": "${HOME}/x"},
            {"KnownHostsFile": "a\nb"},
            {"SSHConfigFile": 'x"'},
        ],
    )
    def test_values_that_are_not_safe_are_named(self, settings: dict[str, Any], tmp_path: Path):
        [key] = settings
        with pytest.raises(ConfigError, match=key):
            SFTPTransport({"Host": "h", **settings}, str(tmp_path))

    @pytest.mark.parametrize("host", ["logger-1.example.org", "10.0.0.1", "::1", "fe80::1%eth0", "[::1]", "my_pi", "a" * 60])
    def test_hosts(self, host: str):
        assert argv(Host=host)[-2] == host.strip("[]")

    @pytest.mark.parametrize("user", ["pi", "DOMAIN\\pi", "pi@example.org", "Jörg", "a.b_c+d"])
    def test_users(self, user: str):
        words = argv(User=user)
        assert words[words.index("-l") + 1] == user

    def test_a_key_file_alone_is_offered(self):
        words = argv(KeyFile="/a b/%h")
        assert words[words.index("-i") + 1] == "/a b/%%h"
        assert option(words, "IdentitiesOnly") == "yes"
        assert option(words, "BatchMode") == "yes"

    def test_a_password_is_never_on_the_command_line(self):
        words = argv(Password="hunter2", User="u")
        assert not any("hunter2" in word for word in words)
        assert option(words, "BatchMode") == "no"
        assert option(words, "NumberOfPasswordPrompts") == "1"
        assert option(words, "PubkeyAuthentication") == "no"
        assert "hunter2" not in repr(login_of({"Host": "h", "Password": "hunter2"}))

    def test_host_keys(self):
        assert option(argv(), "StrictHostKeyChecking") == "yes"
        assert option(argv(HostKeyPolicy="accept-new"), "StrictHostKeyChecking") == "accept-new"
        own = argv(KnownHostsFile="/a b/known")
        assert option(own, "UserKnownHostsFile") == '"/a b/known"'
        assert option(own, "GlobalKnownHostsFile") == "/dev/null"
        pinned = argv(HostKey=PRINT, HostKeyPolicy="accept-new", KnownHostsFile="/known")
        assert option(pinned, "StrictHostKeyChecking") == "yes"
        assert option(pinned, "UserKnownHostsFile") == "/dev/null"
        assert PRINT in (option(pinned, "KnownHostsCommand") or "")

    @pytest.mark.skipif(find_program("ssh") is None, reason="ssh is not installed (apt-get install openssh-client)")
    def test_kinds_of_host_keys_that_are_not_asked_for_again(self):
        login = login_of({"Host": "h", "HostKey": PRINT, "SSHConfigFile": "none"})
        words = ssh_argv("ssh", login._replace(without=("ssh-ed25519", "ssh-rsa")))
        done = subprocess.run(show_argv(words), capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == 0, done.stderr
        [line] = [line for line in done.stdout.splitlines() if line.startswith("hostkeyalgorithms ")]
        assert "ecdsa" in line
        assert ",ssh-ed25519" not in line and "rsa-sha2" not in line and "ssh-rsa" not in line

    @pytest.mark.skipif(find_program("ssh") is None, reason="ssh is not installed (apt-get install openssh-client)")
    @pytest.mark.parametrize(
        "settings", [{}, {"Password": "x", "User": "u"}, {"HostKey": PRINT}, {"KeyFile": "/a b/k", "KnownHostsFile": "/c d/%k"}]
    )
    def test_ssh_takes_it(self, settings: dict[str, Any]):
        words = argv(**settings, HostPort=2222, SSHConfigFile="none", KeepAliveSecs=7, ConnectTimeoutSecs=2.5)
        done = subprocess.run(show_argv(words), capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == 0, done.stderr
        config = dict(line.partition(" ")[::2] for line in done.stdout.splitlines())
        expected = {
            "port": "2222",
            "serveraliveinterval": "7",
            "connecttimeout": "3",
            "forwardagent": "no",
            "escapechar": "none",
            "permitlocalcommand": "no",
            "clearallforwardings": "yes",
            "controlmaster": "false",
        }
        assert {key: config[key] for key in expected} == expected


class TestNames:
    @pytest.mark.parametrize(
        ("settings", "folder"),
        [
            ({}, ""),
            ({"HostPath": "a/"}, "a"),
            ({"HostPath": "a", "HostSFTPPath": "b"}, "b"),
            ({"HostPath": "a", "HostSFTPPath": ""}, ""),
            ({"HostPath": "/"}, "/"),
            ({"HostPath": "/x/"}, "/x"),
            ({"HostPath": "~"}, ""),
            ({"HostPath": "~/x"}, "x"),
            ({"HostPath": None, "HostSFTPPath": None}, ""),
        ],
    )
    def test_the_folder(self, settings: dict[str, Any], folder: str):
        assert folder_of(settings) == folder

    @pytest.mark.parametrize(
        ("folder", "name", "path"),
        [("", "a", b"a"), ("/", "a", b"/a"), ("x", "y/a", b"x/y/a"), ("/x", os.fsdecode(b"\xff"), b"/x/\xff")],
    )
    def test_paths(self, folder: str, name: str, path: bytes):
        assert path_of(folder, name) == path

    @pytest.mark.parametrize("name", ["", "/a", "a/", "..", "a/../b", "../a", ".", "a/./b", "a//b", "a\0b"])
    def test_names_that_leave_the_folder(self, name: str):
        with pytest.raises(FileRefused):
            path_of("x", name)

    @pytest.mark.parametrize(("path", "parent"), [(b"a", b""), (b"/a", b"/"), (b"x/a", b"x"), (b"/x/y/a", b"/x/y")])
    def test_parents(self, path: bytes, parent: bytes):
        assert parent_of(path) == parent

    @pytest.mark.parametrize(
        ("settings", "identity"),
        [
            ({"Host": "h", "HostPort": -1}, "sftp://h:22/"),
            ({"Host": "h", "HostPort": 2222, "User": "u", "HostPath": "a/b", "Password": "p"}, "sftp://u@h:2222/a/b"),
            ({"Host": "h", "HostPath": "/a"}, "sftp://h:22//a"),
            ({"Host": "::1", "HostPath": ""}, "sftp://[::1]:22/"),
        ],
    )
    def test_identity(self, settings: dict[str, Any], identity: str):
        assert identity_of(settings) == identity


@pytest.mark.parametrize(
    ("question", "answered"),
    [
        ("pi@h's password: ", True),
        ("(pi@h) Password: ", True),
        ("(pi@h) Password for pi@h: ", True),
        ("(pi@h) password:", True),
        ("other@h's password: ", False),
        ("pi@jump's password: ", False),
        ("Enter passphrase for key '/home/pi/.ssh/id_ed25519': ", False),
        ("The authenticity of host 'h' can't be established.\nAre you sure you want to continue connecting (yes/no)? ", False),
        ("(pi@h) Verification code: ", False),
        ("(pi@h) Passcode: ", False),
        ("(pi@h) Enter PASSCODE or password: ", False),
        ("(pi@h) New password: ", False),
        ("(pi@h) Your current password: ", False),
        ("Password: ", False),
        ("", False),
    ],
)
def test_only_the_question_for_this_password_is_answered(question: str, answered: bool):
    assert is_password_question(question, "pi", "h") is answered


def test_the_question_is_cut_as_ssh_cuts_it():
    user, host = "u" * 40, "h" * 140
    assert is_password_question(f"{'u' * 30}@{'h' * 128}'s password: ", user, host)


CHANGED = """@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@
@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @
@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@
Offending ED25519 key in /home/u/.ssh/known_hosts:3
Host key verification failed.
"""


@pytest.mark.parametrize(
    ("stderr", "words"),
    [
        (CHANGED, "another host key"),
        (
            "No ED25519 host key is known for h and you have requested strict checking.\nHost key verification failed.\n",
            "not known",
        ),
        ("u@h: Permission denied (publickey,password).\n", "the login was refused"),
        (
            "Received disconnect from 1.2.3.4 port 22:2: Too many authentication failures\nDisconnected from 1.2.3.4\n",
            "too many keys",
        ),
        ("subsystem request failed on channel 0\n", "no SFTP"),
        ("Unable to negotiate with 1.2.3.4 port 22: no matching host key type found. Their offer: ssh-rsa\n", "no algorithm"),
        (
            "/home/u/.ssh/config: line 1: Bad configuration option: foo\n"
            "/home/u/.ssh/config: terminating, 1 bad configuration options\n",
            "configuration",
        ),
        ("command-line: line 0: Bad configuration option: knownhostscommand\n", "too old for HostKey"),
        (
            "pysubtask: the key shown is ssh-ed25519 SHA256:xyz\nHost key verification failed.\n",
            "ssh-ed25519 SHA256:xyz, which is not the pinned",
        ),
    ],
)
def test_last_words_that_condemn_the_login(stderr: str, words: str):
    found = verdict(stderr, 255)
    assert isinstance(found, LoginRefused)
    assert words in str(found)
    assert isinstance(verdict(stderr, 255, logged_in=True), TransportLost)


@pytest.mark.parametrize(
    ("stderr", "words"),
    [
        ("ssh: Could not resolve hostname h: Name or service not known\n", "cannot be resolved"),
        ("ssh: connect to host h port 22: Connection refused\n", "nothing listens"),
        ("ssh: connect to host h port 22: Connection timed out\n", "does not answer"),
        ("ssh: connect to host h port 22: No route to host\n", "no way"),
        (
            "kex_exchange_identification: read: Connection reset by peer\nConnection reset by 1.2.3.4 port 22\n",
            "closed the connection",
        ),
        ("banner exchange: Connection to 1.2.3.4 port 22: invalid format\n", "closed the connection"),
        ("Timeout, server h not responding.\n", "does not answer"),
        ("Beware: Permission denied (to all but staff)\nConnection closed by 1.2.3.4 port 22\n", "closed the connection"),
        ("", "ended with 255"),
        ("a new message nobody knows\n", "a new message nobody knows"),
    ],
)
def test_last_words_that_condemn_the_attempt_alone(stderr: str, words: str):
    found = verdict(stderr, 255)
    assert isinstance(found, TransportLost)
    assert words in str(found)


@pytest.mark.parametrize(
    ("stderr", "first"),
    [
        ('Load key "/k": error in libcrypto\nu@h: Permission denied (publickey).\n', 'Load key "/k": error in libcrypto'),
        (
            "@@@@\n@ WARNING: UNPROTECTED PRIVATE KEY FILE! @\n@@@@\nPermissions 0444 for '/k' are too open.\nIt is required.\n"
            'Load key "/k": bad permissions\nu@h: Permission denied (publickey).\n',
            "are too open.",
        ),
        (
            "Warning: Identity file /k not accessible: No such file.\nu@h: Permission denied (publickey).\n",
            "Identity file /k not acc",
        ),
        (
            'sign_and_send_pubkey: signing failed for ED25519 "/k": agent refused operation\nu@h: Permission denied (publickey).\n',
            "agent refused operation",
        ),
        ("Certificate invalid: expired\nu@h: Permission denied (publickey).\n", "Certificate invalid"),
        (
            "gate: no such account here\n"
            "kex_exchange_identification: Connection closed by remote host\nConnection closed by UNKNOWN port "
            "65535\n",
            "gate: no such account here",
        ),
        ("gate: calling\nConnection to UNKNOWN port 65535 timed out\n", "gate: calling"),
        ("sh: 1: nosuchproxy: not found\nConnection closed by UNKNOWN port 65535\n", "nosuchproxy: not found"),
        ('/c line 3: Unsupported option "rsa"\nBad owner or permissions on /home/u/.ssh/config\n', "line 3: Unsupported"),
    ],
)
def test_the_first_cause_is_reported_with_what_came_of_it(stderr: str, first: str):
    found = verdict(stderr, 255)
    assert first in str(found) and stderr.strip().splitlines()[-1] in str(found), found
    assert len(str(found)) < 900 and str(found).isprintable()


@pytest.mark.parametrize(
    "stderr",
    ["Welcome\nto our server\nu@h: Permission denied (publickey).\n", "Welcome\nto us\nConnection closed by 1.2.3.4 port 22\n"],
)
def test_a_banner_is_no_cause(stderr: str):
    assert "Welcome" not in str(verdict(stderr, 255))


def test_last_words_fit_into_a_line():
    found = str(verdict("\x1b[31m" + "x" * 5000 + "\n", -9))
    assert found.isprintable()
    assert len(found) < 400
    assert "signal 9" in found


def test_the_question_that_got_no_answer_is_named():
    assert "Verification code" in str(verdict("u@h: Permission denied (keyboard-interactive).\n", 255, "Verification code:"))
