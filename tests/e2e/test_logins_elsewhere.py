"""Stations whose ssh logins are unlike those of a test: an agent full of keys, and a shell that sees another root than SFTP."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pysubtask.common.events import read_events
from pysubtask.common.receipts import read_receipts
from pysubtask.testing.servers.sshd import OpenSSHServer, find_program, make_key, missing, openssh_server
from tests.support.helpers import wait_until
from tests.support.other_user import needs_root
from tests.support.station import SFTPStation, pause

pytestmark = pytest.mark.skipif(missing() is not None, reason=str(missing()))
FAST = {"RetryWaitSecs": 0.3, "RetryLongWaitSecs": 1.5, "TimerIntervalSecs": 0.3}


def own(settings: dict[str, Any], *without: str) -> dict[str, Any]:
    left_out = {"StallSecs", "ConnectTimeoutSecs", "Concurrency", *FAST, *without}
    return {key: value for key, value in settings.items() if key not in left_out}


@pytest.fixture
def crowded_agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Path]]:
    """An ssh-agent with eight keys; their files."""
    agent, add = shutil.which("ssh-agent"), shutil.which("ssh-add")
    if agent is None or add is None:
        pytest.skip("no ssh-agent (apt-get install openssh-client)")
    place = Path(f"/tmp/agent-{os.getpid()}")  # a socket's name may have 107 bytes
    output = subprocess.run([agent, "-s", "-a", str(place)], capture_output=True, text=True, check=True).stdout
    pid = int(re.findall(r"SSH_AGENT_PID=(\d+)", output)[0])
    monkeypatch.setenv("SSH_AUTH_SOCK", str(place))
    try:
        keys = [tmp_path / f"key{number}" for number in range(8)]
        for key in keys:
            make_key(key)
            subprocess.run([add, "-q", str(key)], check=True, stdin=subprocess.DEVNULL)
        yield keys
    finally:
        os.kill(pid, signal.SIGTERM)


def doctor(config: Path) -> list[dict[str, Any]]:
    """The findings of ``pysubtask doctor`` that are no praise."""
    done = subprocess.run(
        [sys.executable, "-m", "pysubtask", "doctor", "--json", str(config)],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    return [row for rows in json.loads(done.stdout)["groups"].values() for row in rows if row["state"] in ("fail", "warn")]


def logins(server: OpenSSHServer) -> int:
    return server.log().count("Connection from")


@pytest.mark.slow
def test_an_agent_full_of_keys(tmp_path: Path, crowded_agent: list[Path]):
    """The cause and the one setting that helps are named, the server is not hammered, and with that setting it works."""
    with openssh_server(tmp_path / "sshd", lines=("MaxAuthTries 3",)) as server:
        shutil.copy(crowded_agent[7].with_suffix(".pub"), server.root / "authorized_keys")
        before = logins(server)
        settings = own(server.settings(), "KeyFile")
        one = SFTPStation(tmp_path, server.files, settings, [{"file": str(tmp_path / "data" / "a.csv")}], **FAST)
        try:
            one.write("a.csv", "1\n")
            one.master.start()
            one.notify("a.csv")
            one.wait_kind("login_refused")
            pause(6)
            problem = str(one.page()["problem"])
            assert "too many keys" in problem and "KeyFile" in problem
            assert logins(server) - before <= 6
        finally:
            one.close()
        before = logins(server)
        lines = [f"{key} = {json.dumps(value)}" for key, value in settings.items() if value is not None]
        config = tmp_path / "station.toml"
        config.write_text("\n".join(["[ftp]", *lines, "[[watch]]", f'dir = "{tmp_path}/data"', ""]))
        config.chmod(0o600)
        found = doctor(config)
        words = json.dumps(found)
        assert re.search("too many", words, re.I) and "KeyFile" in words, found
        assert logins(server) - before <= 4
        mended = {**settings, "KeyFile": str(crowded_agent[7])}
        again = SFTPStation(tmp_path, server.files, mended, [{"file": str(tmp_path / "data" / "a.csv")}], **FAST)
        try:
            again.master.start()
            again.notify("a.csv")
            again.arrived("a.csv")
        finally:
            again.close()


@pytest.fixture
def other_root(tmp_path: Path) -> str:
    """The command of an sftp-server in a root of its own."""
    program, chroot = find_program("sftp-server"), shutil.which("chroot")
    assert program is not None and chroot is not None
    root = tmp_path / "root"
    needed = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    for library in re.findall(r"(/\S+\.so\S*)", needed):
        place = root / library.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(os.path.realpath(library), place)
    for folder in ("bin", "dev", "etc"):
        (root / folder).mkdir(exist_ok=True)
    shutil.copy(program, root / "bin" / "sftp-server")
    (root / "dev" / "null").touch()  # it opens this one to begin with, whatever it is
    (root / "etc" / "passwd").write_text("root:x:0:0:root:/:/bin/sh\n")
    command = tmp_path / "sftp.sh"
    command.write_text(f"exec {chroot} '{root}' /bin/sftp-server -d /\n")
    return f"/bin/sh '{command}'"


@pytest.mark.slow
@needs_root
def test_a_shell_that_sees_another_root_is_asked_for_no_hash(tmp_path: Path, other_root: str):
    """A file of the same name stands there in the shell's root, too: it is not taken for the one that was delivered."""
    folder = tmp_path / "in both"
    folder.mkdir()
    there = tmp_path / "root" / str(folder).lstrip("/")
    there.mkdir(parents=True)
    for name in ("a.csv", "big.bin"):
        (folder / name).write_bytes(os.urandom(5_000))
    with openssh_server(tmp_path / "sshd", subsystem=f'"{other_root}"') as server:
        ftp = own(server.settings(HostPath=str(folder), VerifyChecksum="shell"))
        entries = [{"file": str(tmp_path / "data" / name), "append": name == "a.csv"} for name in ("a.csv", "big.bin")]
        one = SFTPStation(tmp_path, there, ftp, entries, **FAST)
        try:
            one.write("a.csv", os.urandom(2_500).hex())
            one.write("big.bin", os.urandom(700_000))
            one.master.start()
            for name in ("a.csv", "big.bin"):
                one.notify(name)
            one.arrived("a.csv", "big.bin")
            for _ in range(3):
                one.write("a.csv", b"more\n" * 300, "a")
                one.notify("a.csv")
                one.arrived("a.csv")
            wait_until(lambda: len(list(read_receipts(str(one.state)))) >= 5, what="the receipts")
            receipts = list(read_receipts(str(one.state)))
            assert {receipt.verified for receipt in receipts} == {"size"}
            assert sum(receipt.bytes_sent for receipt in receipts if receipt.name == "a.csv") < 2 * 9_500
            kinds = {event.kind for event in read_events(str(one.state))}
            assert not kinds & {"connection_lost", "parked", "not_as_left"}
        finally:
            one.close()
