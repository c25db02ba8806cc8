"""A user without an entry in passwd, as in a container: ssh does nothing for it, and that is named."""

from __future__ import annotations

import asyncio
import os
import pwd
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from pysubtask.common import account
from pysubtask.common.errors import LoginRefused, TransportLost
from pysubtask.control.doctor import local, prepare
from pysubtask.testing import sftp_server
from pysubtask.transports.sftp import SFTPTransport, transport
from pysubtask.transports.ssh.errors import verdict

STDERR = "No user exists for uid 4242\n"


@pytest.fixture
def nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user whom ssh does not know: a program of that name says what the real one does."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "ssh").write_text(f"#!/bin/sh\necho '{STDERR.strip()}' >&2\nexit 255\n")
    (programs / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(account, "uid", lambda: 4242)


def without_asyncssh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "find_spec", lambda name: None)
    monkeypatch.setattr(prepare.importlib.util, "find_spec", lambda name: None)


def test_what_the_real_ssh_says():
    stderr = STDERR
    if os.getuid() == 0 and shutil.which("ssh"):  # else the words stand here as they were seen
        done = subprocess.run(
            ["ssh", "-G", "h"],
            capture_output=True,
            text=True,
            user=4242,
            env={"PATH": os.environ["PATH"]},
            cwd="/",
            timeout=60,
            check=False,
        )
        stderr = done.stderr
    found = verdict(stderr, 255)
    assert isinstance(found, TransportLost) and not isinstance(found, LoginRefused)
    assert "without an entry in /etc/passwd" in str(found) and "pip install 'pysubtask[asyncssh]'" in str(found)


@pytest.mark.parametrize("password", [None, "secret word"])
def test_the_child_names_the_cause_and_the_remedy(tmp_path, monkeypatch, nobody, password):
    without_asyncssh(monkeypatch)

    async def connect():
        transport = SFTPTransport({"Host": "127.0.0.1", "HostPort": 9, "Password": password}, str(tmp_path / "work"))
        try:
            await transport.connect()
        finally:
            await transport.close()

    with pytest.raises(TransportLost, match=r"without an entry in /etc/passwd.*pysubtask\[asyncssh\]"):
        asyncio.run(connect())


def test_asyncssh_is_taken_where_it_is_there(tmp_path, monkeypatch, nobody):
    async def connect(settings):
        transport = SFTPTransport(settings, str(tmp_path / "work"))
        try:
            await transport.connect()
            return await transport.stat("nothing")
        finally:
            await transport.close()

    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    real = pwd.getpwuid

    def unknown(uid):
        if uid in (4242, os.getuid()):
            raise KeyError(f"getpwuid(): uid not found: {uid}")
        return real(uid)

    with sftp_server(tmp_path / "files") as server:
        monkeypatch.setattr(pwd, "getpwuid", unknown)
        monkeypatch.setenv("LOGNAME", "x")
        monkeypatch.delenv("LOGNAME")  # so that what the transport sets is gone after this
        assert asyncio.run(connect(server.settings())) is None
        assert server.logins == 1


def test_the_doctor_names_it_and_shows_no_complaint_as_a_version(monkeypatch, nobody):
    text = local.versions().text
    assert "ssh does not start" in text and "No user exists" not in text
    assert prepare._program({})[0].state == "ok" and "asyncssh is used instead" in prepare._program({})[0].text
    without_asyncssh(monkeypatch)
    [found] = prepare._program({})
    assert (found.state, found.cause) == ("fail", "no-account")
    assert "4242" in found.text and "/etc/passwd" in found.text and re.search(r"useradd --uid 4242", found.remedy.words)
    assert found.remedy.commands == ("pip install 'pysubtask[asyncssh]'",)


def test_who_has_an_entry():
    found = subprocess.run(["getent", "passwd", str(os.getuid())], capture_output=True, check=False)
    assert account.has_entry() == bool(found.stdout)
