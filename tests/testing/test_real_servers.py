"""ProFTPD, Pure-FTPd and rclone for tests: they start, serve, come back on their ports, and leave nothing running."""

from __future__ import annotations

import contextlib
import ftplib
import io
import os
import ssl
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from pysubtask.testing.servers import _programs, proftpd, pureftpd, rclone
from pysubtask.testing.servers.proftpd import proftpd_server
from pysubtask.testing.servers.pureftpd import pureftpd_server
from pysubtask.testing.servers.rclone import rclone_server
from pysubtask.testing.servers.sshd import find_program
from tests.support.helpers import wait_until

Make = Callable[[Path], AbstractContextManager[Any]]


def param(name: str, missing: str | None, make: Make) -> Any:
    return pytest.param(make, id=name, marks=pytest.mark.skipif(missing is not None, reason=str(missing)))


FTP = [
    param("proftpd", proftpd.missing(), proftpd_server),
    param("proftpd over TLS", proftpd.missing("ftps"), lambda root: proftpd_server(root, "ftps")),
    param("pure-ftpd", pureftpd.missing(), pureftpd_server),
    param("pure-ftpd over TLS", pureftpd.missing(), lambda root: pureftpd_server(root, tls="explicit")),
    param("rclone", rclone.missing("ftp"), lambda root: rclone_server(root, "ftp")),
]
SFTP = [
    param("proftpd", proftpd.missing("sftp"), lambda root: proftpd_server(root, "sftp")),
    param("rclone", rclone.missing("sftp"), lambda root: rclone_server(root, "sftp")),
]


def ftp(server: Any) -> ftplib.FTP:
    certificate = getattr(server, "certificate", None)
    if certificate is None:
        client = ftplib.FTP()
        client.connect(server.host, server.port, timeout=20)
        client.login(server.user, server.password)
        return client
    secure = ftplib.FTP_TLS(context=ssl.create_default_context(cafile=str(certificate.file)))
    secure.connect(server.host, server.port, timeout=20)
    secure.login(server.user, server.password)
    secure.prot_p()
    return secure


def put(client: ftplib.FTP, name: str, data: bytes) -> None:
    """As ``storbinary``; over TLS with the session of the control connection, which proftpd demands, and no wait for a goodbye."""
    if not isinstance(client, ftplib.FTP_TLS):
        client.storbinary(f"STOR {name}", io.BytesIO(data))
        return
    client.voidcmd("TYPE I")
    link, _ = ftplib.FTP.ntransfercmd(client, f"STOR {name}")
    assert isinstance(client.sock, ssl.SSLSocket)
    with client.context.wrap_socket(link, server_hostname=client.host, session=client.sock.session) as secure:
        secure.sendall(data)
        with contextlib.suppress(OSError):
            secure.unwrap()
    client.voidresp()


def sftp(server: Any, batch: str) -> subprocess.CompletedProcess[str]:
    program = find_program("sftp")
    assert program is not None
    words = [
        program,
        "-q",
        "-F",
        "none",
        "-b",
        "-",
        "-i",
        str(server.key_file),
        "-o",
        "IdentitiesOnly=yes",
        "-o",
        f'UserKnownHostsFile="{server.known_hosts}"',
        "-P",
        str(server.port),
        f"{server.user}@127.0.0.1",
    ]
    return subprocess.run(words, input=batch, capture_output=True, text=True, timeout=60, check=False)


def living(pids: list[int]) -> list[int]:
    def runs(pid: int) -> bool:
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
        except OSError:
            return False

    return [pid for pid in pids if runs(pid)]


@pytest.mark.slow
@pytest.mark.parametrize("make", FTP)
def test_ftp_is_served(tmp_path: Path, make: Make):
    with make(tmp_path / "a server") as server:
        client = ftp(server)
        client.mkd("f")
        client.cwd("f")
        put(client, ".a", b"12345")
        client.rename(".a", "a b")
        assert client.size("a b") == 5
        client.close()
        assert (server.files / "f" / "a b").read_bytes() == b"12345"


@pytest.mark.slow
@pytest.mark.parametrize("make", [one for one in FTP if "pure-ftpd" not in str(one.id)])  # which thinks for five seconds
def test_a_wrong_password_is_refused(tmp_path: Path, make: Make):
    with make(tmp_path / "server") as server:
        server.password = "another"
        with pytest.raises(ftplib.error_perm, match="530"):
            ftp(server)


@pytest.mark.slow
@pytest.mark.parametrize("make", SFTP)
def test_sftp_is_served(tmp_path: Path, make: Make):
    source = tmp_path / "source"
    source.write_bytes(b"12345")
    with make(tmp_path / "server") as server:
        done = sftp(server, f"mkdir f\nput {source} f/.a\nrename f/.a f/a\n")
        assert done.returncode == 0, done.stderr + server.log()
        assert (server.files / "f" / "a").read_bytes() == b"12345"


@pytest.mark.slow
@pytest.mark.parametrize("make", SFTP)
def test_another_key_is_refused(tmp_path: Path, make: Make):
    with make(tmp_path / "server") as server:
        os.unlink(server.key_file)
        assert sftp(server, "pwd\n").returncode != 0


@pytest.mark.slow
@pytest.mark.parametrize("how", ["stop", "kill"])
@pytest.mark.parametrize("make", FTP)
def test_it_ends_with_all_it_serves_and_starts_again_on_its_port(tmp_path: Path, make: Make, how: str):
    with make(tmp_path / "server") as server:
        client = ftp(server)
        pids = [*(process.pid for process in server._processes), *server.session_pids()]
        getattr(server, how)()
        wait_until(lambda: not living(pids), what="the end of its processes")
        with pytest.raises((OSError, EOFError, ftplib.Error)):
            client.voidcmd("NOOP")
        client.close()
        port = server.port
        server.start()
        assert server.port == port
        ftp(server).close()


@pytest.mark.skipif(proftpd.missing() is not None, reason=str(proftpd.missing()))
def test_directives_and_lines_of_proftpd(tmp_path: Path):
    lines = ("<Limit SIZE>", "DenyAll", "</Limit>")
    with proftpd_server(tmp_path / "server", lines=lines, AllowOverwrite="off") as server:
        client = ftp(server)
        client.storbinary("STOR a", io.BytesIO(b"one"))
        with pytest.raises(ftplib.error_perm, match="550"):
            client.storbinary("STOR a", io.BytesIO(b"two"))
        with pytest.raises(ftplib.error_perm, match="550"):
            client.size("a")


@pytest.mark.skipif(pureftpd.missing() is not None, reason=str(pureftpd.missing()))
def test_flags_of_pureftpd(tmp_path: Path):
    with pureftpd_server(tmp_path / "server", flags=("--norename",)) as server:
        client = ftp(server)
        client.storbinary("STOR a", io.BytesIO(b"one"))
        with pytest.raises(ftplib.error_perm):
            client.rename("a", "b")


@pytest.mark.skipif(rclone.missing("sftp") is not None, reason=str(rclone.missing("sftp")))
def test_flags_of_rclone(tmp_path: Path):
    source = tmp_path / "source"
    source.write_bytes(b"12345")
    with rclone_server(tmp_path / "server", flags=("--read-only",)) as server:
        assert sftp(server, f"put {source} a\n").returncode != 0


@pytest.mark.skipif(proftpd.missing() is not None, reason=str(proftpd.missing()))
def test_it_does_not_outlive_a_killed_test(tmp_path: Path):
    code = (
        "import sys, time\nfrom pysubtask.testing import proftpd_server\n"
        "with proftpd_server(sys.argv[1]) as server:\n print(server._processes[0].pid, flush=True)\n time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        pid = int(holder.stdout.readline())
        holder.kill()
    wait_until(lambda: not living([pid]), what="the end of proftpd")


def test_unpacked_servers_go_before_installed_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    program, library = tmp_path / "usr/sbin/rclone", tmp_path / "usr/lib/some-linux-gnu"
    program.parent.mkdir(parents=True)
    library.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    (tmp_path / "usr/lib/proftpd").mkdir()
    monkeypatch.setenv("PYSUBTASK_SERVERS", str(tmp_path))
    monkeypatch.setenv("LD_LIBRARY_PATH", "/elsewhere")
    assert _programs.find_server("rclone") == str(program)
    assert _programs.environment()["LD_LIBRARY_PATH"] == f"{library}:/elsewhere"
    assert _programs.modules("proftpd") == tmp_path / "usr/lib/proftpd"
    monkeypatch.delenv("PYSUBTASK_SERVERS")
    assert _programs.find_server("rclone") != str(program)
    assert _programs.environment()["LD_LIBRARY_PATH"] == "/elsewhere"


def test_what_is_not_there_is_reported_with_its_package(monkeypatch: pytest.MonkeyPatch):
    for module in (proftpd, pureftpd, rclone):
        monkeypatch.setattr(module, "find_server", lambda name: None)
    rclone.missing.cache_clear()
    try:
        for absent in (proftpd.missing(), pureftpd.missing(), rclone.missing()):
            assert absent is not None and "apt-get install" in absent and "PYSUBTASK_SERVERS=" in absent
    finally:
        rclone.missing.cache_clear()
