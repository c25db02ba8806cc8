"""The loopback SFTP server, with the system's own sftp program and asyncssh as clients."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import shutil
import socket
import stat
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import pysubtask.testing
from pysubtask import defaults_config
from pysubtask.common.config import resolve
from pysubtask.testing import Relay, SFTPServer, sftp_server
from tests.support.helpers import wait_until

asyncssh = pytest.importorskip("asyncssh")
needs_sftp = pytest.mark.skipif(shutil.which("sftp") is None, reason="no sftp program (package openssh-client)")


@pytest.fixture(autouse=True)
def nothing_overlooked(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Neither asyncio nor asyncssh has anything to say."""
    caplog.set_level(logging.INFO)
    yield
    gc.collect()
    assert not caplog.records
    assert not [thread for thread in threading.enumerate() if thread.name == "sftp-server"]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[SFTPServer]:
    with sftp_server(tmp_path / "root") as running:
        yield running


def talk(server: SFTPServer, case: Callable[[Any], Awaitable[None]], **login: Any) -> None:
    """Run ``case(client)`` with asyncssh as the client."""
    login = login or {"client_keys": [server.key_file]}

    async def whole() -> None:
        known = asyncssh.import_known_hosts(server.known_hosts)
        async with (
            asyncssh.connect(
                server.host, server.port, username=server.user, known_hosts=known, config=[], agent_path=None, **login
            ) as connection,
            connection.start_sftp_client() as client,
        ):
            await case(client)

    asyncio.run(whole())


async def put(client: Any, name: Any, data: bytes) -> None:
    async with client.open(name, "wb") as file:
        await file.write(data)


def run_sftp(server: SFTPServer, tmp_path: Path, orders: str) -> subprocess.CompletedProcess[str]:
    known = tmp_path / "known_hosts"
    known.write_text(server.known_hosts)
    return subprocess.run(
        [
            "sftp",
            "-F",
            "none",
            "-b",
            "-",
            "-P",
            str(server.port),
            "-i",
            str(server.key_file),
            "-o",
            f"UserKnownHostsFile={known}",
            "-o",
            "StrictHostKeyChecking=yes",
            "-o",
            "IdentitiesOnly=yes",
            f"{server.user}@{server.host}",
        ],
        input=orders,
        capture_output=True,
        text=True,
        timeout=60,
    )


@needs_sftp
def test_the_systems_sftp_uploads_and_replaces(server: SFTPServer, tmp_path: Path):
    data = tmp_path / "data"
    data.write_bytes(os.urandom(1_000_001))
    done = run_sftp(
        server,
        tmp_path,
        f"mkdir in\nput {data} in/.a.tmp\nrename in/.a.tmp in/a\nput {data} in/.b.tmp\nrename in/.b.tmp in/a\nrm in/a\n",
    )
    assert done.returncode == 0, done.stderr
    assert [(one.kind, one.name, one.other) for one in server.log if one.kind != "setstat"] == [
        ("mkdir", "in", ""),
        ("open", "in/.a.tmp", ""),
        ("close", "in/.a.tmp", ""),
        ("rename", "in/.a.tmp", "in/a"),
        ("open", "in/.b.tmp", ""),
        ("close", "in/.b.tmp", ""),
        ("rename", "in/.b.tmp", "in/a"),
        ("remove", "in/a", ""),
    ]
    assert server.count("rename", "in/a") == server.count("rename", "*a") == 2
    assert server.count("rename", "*.tmp") == 0
    assert [one.size for one in server.operations("close")] == [1_000_001] * 2
    assert server.bytes_written == 2_000_002
    assert (server.logins, server.failed_logins, server.refused) == (1, 0, [])


@needs_sftp
def test_a_server_without_posix_rename_refuses_to_replace(tmp_path: Path):
    data = tmp_path / "data"
    data.write_bytes(b"x")
    with sftp_server(tmp_path / "root", posix_rename=False) as server:
        done = run_sftp(server, tmp_path, f"put {data} a\nput {data} b\nrename b c\nrename a c\n")
        assert done.returncode != 0
        assert sorted(os.listdir(server.root)) == ["a", "c"]
        assert [(one.name, one.other, one.mode) for one in server.operations("rename")] == [("b", "c", "")]
        assert [(one.name, one.other, one.mode) for one in server.operations("rename", failed=True)] == [("a", "c", "")]


@pytest.mark.parametrize("without", [(), ("posix-rename@openssh.com",), ("fsync@openssh.com", "limits@openssh.com")])
def test_extensions_are_offered_or_not(tmp_path: Path, without: tuple[str, ...]):
    with sftp_server(tmp_path / "root", without=without) as server:
        offered = greeting(server)
        for name in ("posix-rename@openssh.com", "fsync@openssh.com", "hardlink@openssh.com"):
            assert (name in offered) == (name not in without)
        assert not set(offered) & set(without)

        async def case(client: Any) -> None:
            await put(client, "a", b"1")
            await put(client, "b", b"2")
            if "posix-rename@openssh.com" in without:
                with pytest.raises(asyncssh.SFTPOpUnsupported):
                    await client.posix_rename("a", "b")
            else:
                await client.posix_rename("a", "b")

        talk(server, case)


def greeting(server: SFTPServer) -> list[str]:
    """The names of the extensions in the server's SSH_FXP_VERSION, read with no SFTP library at all."""

    async def whole() -> bytes:
        async with asyncssh.connect(
            server.host,
            server.port,
            username=server.user,
            client_keys=[server.key_file],
            config=[],
            known_hosts=asyncssh.import_known_hosts(server.known_hosts),
            agent_path=None,
        ) as connection:
            writer, reader, _ = await connection.open_session(subsystem="sftp", encoding=None)
            writer.write(struct.pack(">IBI", 5, 1, 3))
            size, kind, version = struct.unpack(">IBI", await reader.readexactly(9))
            assert (kind, version) == (2, 3)
            body: bytes = await reader.readexactly(size - 5)
            return body

    body, strings, place = asyncio.run(whole()), [], 0
    while place < len(body):
        size = struct.unpack(">I", body[place : place + 4])[0]
        strings.append(body[place + 4 : place + 4 + size])
        place += 4 + size
    return [name.decode() for name in strings[::2]]


def test_settings_are_a_valid_ftp_section(tmp_path: Path):
    with sftp_server(tmp_path / "root", password="s3cret") as server:
        for password in (None, True, False):
            section = server.settings(password=password, HostPath="in")
            values = resolve(defaults_config.SETTINGS, defaults_config, {"ftp": section}, "ftp")
            assert (values["Host"], values["HostPort"], values["User"]) == ("127.0.0.1", server.port, "demo")
            assert values["HostPath"] == "in"
            assert (values["HostKey"], values["SSHConfigFile"], values["UseSFTP"]) == (server.host_key, "none", True)
            assert values["Password"] == ("s3cret" if password else None)
            assert values["KeyFile"] == (None if password else server.key_file)
        assert "s3cret" not in repr(server)


def test_keys_are_private_and_go_with_the_server(tmp_path: Path):
    with sftp_server(tmp_path / "root") as server:
        assert server.key_file
        place = os.path.dirname(server.key_file)
        for name in ("host_key", "client_key"):
            assert stat.S_IMODE(os.stat(os.path.join(place, name)).st_mode) == 0o600
        assert stat.S_IMODE(os.stat(place).st_mode) == 0o700
    assert not os.path.exists(place)


def test_keys_in_a_folder_are_used_again(tmp_path: Path):
    with sftp_server(tmp_path / "root", keys=tmp_path / "keys") as first:
        known, port = (first.host_key, first.key_file), first.port
    with sftp_server(tmp_path / "root", keys=tmp_path / "keys", port=port) as second:
        assert (second.host_key, second.key_file, second.port) == (*known, port)

        async def case(client: Any) -> None:
            await put(client, "a", b"x")

        talk(second, case)
    assert sorted(os.listdir(tmp_path / "keys")) == ["client_key", "host_key"]


@pytest.mark.parametrize("as_file", [True, False])
def test_a_key_of_ones_own(tmp_path: Path, as_file: bool):
    key = asyncssh.generate_private_key("ssh-ed25519")
    line = key.export_public_key().decode()
    (tmp_path / "id.pub").write_text(line)
    with sftp_server(tmp_path / "root", authorized_key=str(tmp_path / "id.pub") if as_file else line) as server:
        assert server.key_file is None
        assert "KeyFile" not in server.settings()

        async def case(client: Any) -> None:
            await put(client, "a", b"x")

        talk(server, case, client_keys=[key])
        assert server.logins == 1


def test_logins_are_checked_and_counted(tmp_path: Path):
    with sftp_server(tmp_path / "root", user="ann", password="right") as server:

        async def nothing(client: Any) -> None:
            await client.stat(".")

        talk(server, nothing, password="right", client_keys=None)
        assert (server.logins, server.failed_logins) == (1, 0)
        for login in ({"password": "wrong", "client_keys": None}, {"client_keys": [asyncssh.generate_private_key("ssh-ed25519")]}):
            with pytest.raises(asyncssh.PermissionDenied):
                talk(server, nothing, **login)
        server.user = "bob"  # talk logs in as server.user; the right password of another name
        server.user, name = "ann", server.user
        with pytest.raises(asyncssh.PermissionDenied):
            asyncio.run(_login(server, name, "right"))
        wait_until(lambda: server.failed_logins == 3)
        assert server.logins == 1
        assert server.refused == [("ann", "password"), ("ann", "publickey"), ("bob", "password")]


async def _login(server: SFTPServer, user: str, password: str) -> None:
    await asyncssh.connect(
        server.host,
        server.port,
        username=user,
        password=password,
        client_keys=None,
        config=[],
        agent_path=None,
        known_hosts=asyncssh.import_known_hosts(server.known_hosts),
    )


def test_no_password_login_where_none_is_set(server: SFTPServer):
    for password in ("", "None", "x"):
        with pytest.raises(asyncssh.PermissionDenied):
            asyncio.run(_login(server, server.user, password))
    assert server.logins == 0


def test_faults_hit_what_they_name(server: SFTPServer):
    async def case(client: Any) -> None:
        server.fail("open", "no-open*", code=3, message="not you")
        with pytest.raises(asyncssh.SFTPPermissionDenied, match="not you"):
            await put(client, "no-open.csv", b"x")
        server.fail("write", "big")
        with pytest.raises(asyncssh.SFTPFailure):
            await put(client, "big", b"x")
        await put(client, "a", b"x")
        server.fail("rename", "target", times=1)
        with pytest.raises(asyncssh.SFTPFailure):
            await client.posix_rename("a", "target")
        await client.posix_rename("a", "target")
        server.fail("fsync")
        async with client.open("c", "wb") as file:
            with pytest.raises(asyncssh.SFTPFailure):
                await file.fsync()
        for kind, call in (("remove", client.remove("c")), ("mkdir", client.mkdir("d")), ("setstat", client.chmod("c", 0o600))):
            server.fail(kind)
            with pytest.raises(asyncssh.SFTPFailure):
                await call
        server.heal()
        await client.remove("c")
        await put(client, "no-open.csv", b"x")

    talk(server, case)
    assert [(one.kind, one.name, one.other, one.error) for one in server.log if one.error][:3] == [
        ("open", "no-open.csv", "", "not you"),
        ("write", "big", "", "as ordered"),
        ("rename", "a", "target", "as ordered"),
    ]
    with pytest.raises(ValueError, match="dance"):
        server.fail("dance")


def test_a_full_disk(tmp_path: Path):
    with sftp_server(tmp_path / "root", limit_bytes=100_000) as server:

        async def case(client: Any) -> None:
            await put(client, "a", b"x" * 60_000)
            with pytest.raises(asyncssh.SFTPFailure, match="space"):
                await put(client, "b", b"y" * 60_000)
            assert server.room == 0
            server.heal()
            await put(client, "c", b"z" * 60_000)

        talk(server, case)
        assert os.path.getsize(os.path.join(server.root, "b")) == 40_000
        assert server.bytes_written == 160_000


def test_names_are_bytes_and_stay_below_the_root(server: SFTPServer, tmp_path: Path):
    async def case(client: Any) -> None:
        await put(client, b"\xff\xfe'\n", b"x")
        await put(client, "../../out", b"y")

    talk(server, case)
    assert sorted(os.listdir(os.fsencode(server.root))) == sorted([b"\xff\xfe'\n", b"out"])
    assert not (tmp_path / "out").exists()
    assert server.count("open", os.fsdecode(b"\xff\xfe'\n")) == 1


def test_through_a_relay_and_disconnect(server: SFTPServer):
    with Relay(server.host, server.port) as relay:

        async def whole() -> None:
            known = asyncssh.import_known_hosts(f"* {server.known_hosts.split(maxsplit=1)[1]}")
            connection = await asyncssh.connect(
                relay.host,
                relay.port,
                username=server.user,
                client_keys=[server.key_file],
                known_hosts=known,
                config=[],
                agent_path=None,
            )
            client = await connection.start_sftp_client()
            await put(client, "a", os.urandom(100_000))
            assert relay.up > 100_000
            await asyncio.to_thread(server.disconnect)
            with pytest.raises((asyncssh.Error, OSError)):
                await put(client, "b", b"x")
            connection.abort()
            await connection.wait_closed()

        asyncio.run(whole())
    wait_until(lambda: not server.connections)


def test_close_with_clients_is_quick_and_frees_the_port(tmp_path: Path):
    started = time.monotonic()
    server = sftp_server(tmp_path / "root")
    with socket.create_connection((server.host, server.port)) as idle:
        assert idle.recv(4) == b"SSH-"
        server.close()
        server.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((server.host, server.port))
    assert time.monotonic() - started < 10


def test_a_port_in_use_is_an_error_and_leaves_nothing(server: SFTPServer, tmp_path: Path):
    threads = threading.active_count()
    with pytest.raises(OSError):
        sftp_server(tmp_path / "other", port=server.port)
    wait_until(lambda: threading.active_count() <= threads, what="no thread left")


def test_without_asyncssh_the_error_names_the_remedy(tmp_path: Path):
    code = (
        "import sys; sys.modules['asyncssh'] = None\n"
        "from pysubtask.testing import Relay, sftp_server\n"
        "Relay('127.0.0.1', 1).close()\n"
        f"sftp_server({str(tmp_path / 'root')!r})\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith("asyncssh, which is not installed. Run: pip install 'pysubtask[testing]'.")
    assert not (tmp_path / "root").exists()


def test_the_package_knows_what_it_has():
    for name in pysubtask.testing.__all__:
        assert getattr(pysubtask.testing, name).__name__ == name
    with pytest.raises(AttributeError, match="nothing_of_the_kind"):
        pysubtask.testing.nothing_of_the_kind  # noqa: B018
