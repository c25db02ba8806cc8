"""Each quirk of the FTP server, seen by ftplib as the client: not there, there, and gone again while the server runs."""

from __future__ import annotations

import contextlib
import ftplib
import io
import os
import re
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pysubtask.testing.servers.quirk_ftp import QuirkFTPServer, quirk_ftp_server
from pysubtask.testing.servers.quirks import switch, switches

pytestmark = pytest.mark.slow

pytest.importorskip("pyftpdlib")

Case = Callable[[Any, QuirkFTPServer, str], None]
CASES: dict[str, Case] = {}


def shows(name: str) -> Callable[[Case], Case]:
    """What follows holds where this switch is on, and nowhere else."""

    def kept(case: Case) -> Case:
        CASES[name] = case
        return case

    return kept


def put(client: ftplib.FTP, path: str, data: bytes = b"one", command: str = "STOR", rest: int | None = None) -> str:
    if rest is not None:
        client.voidcmd("TYPE I")
        client.sendcmd(f"REST {rest}")
    return client.storbinary(f"{command} {path}", io.BytesIO(data))


def get(client: ftplib.FTP, path: str) -> bytes:
    blocks: list[bytes] = []
    client.retrbinary(f"RETR {path}", blocks.append)
    return b"".join(blocks)


def refuses(code: str, what: Callable[[], Any]) -> None:
    """It is refused with such a reply."""
    try:
        what()
    except ftplib.Error as exc:
        assert str(exc).startswith(code), repr(exc)
        return
    raise AssertionError("it was not refused")


@contextlib.contextmanager
def session(server: QuirkFTPServer) -> Iterator[ftplib.FTP]:
    """A login; over TLS with sessions that are reused for data."""
    if server.tls is None:
        client = ftplib.FTP()
    else:
        assert server.certificate is not None
        context = ssl.create_default_context(cafile=str(server.certificate.file))
        if server.quirks.reuse == ("1.2",):
            context.maximum_version = ssl.TLSVersion.TLSv1_2
        client = Reusing(context=context)
    client.connect(server.host, server.port, timeout=20)
    try:
        client.login(server.user, server.password)
        if isinstance(client, Reusing):
            client.prot_p()
        yield client
    finally:
        client.close()


class Reusing(ftplib.FTP_TLS):
    """ftplib's own makes a new TLS session for each data connection."""

    reuses = True

    def ntransfercmd(self, cmd: str, rest: Any = None) -> Any:
        link, size = ftplib.FTP.ntransfercmd(self, cmd, rest)
        assert isinstance(self.sock, ssl.SSLSocket)
        link = self.context.wrap_socket(link, server_hostname=self.host, session=self.sock.session if self.reuses else None)
        return link, size


def local(server: QuirkFTPServer, path: str) -> Path:
    return server.files / path


@shows("no rename over a file")
def _(client: ftplib.FTP, server: QuirkFTPServer, at: str) -> None:
    put(client, f"{at}/a")
    put(client, f"{at}/b")
    client.rename(f"{at}/b", f"{at}/new")
    refuses("550", lambda: client.rename(f"{at}/a", f"{at}/new"))


@shows("no rename at all")
def _(client: ftplib.FTP, server: QuirkFTPServer, at: str) -> None:
    put(client, f"{at}/a")
    refuses("550", lambda: client.rename(f"{at}/a", f"{at}/new"))


@shows("append refused")
def _(client: ftplib.FTP, server: QuirkFTPServer, at: str) -> None:
    put(client, f"{at}/a")
    put(client, f"{at}/a", b"another")
    refuses("550", lambda: put(client, f"{at}/a", b"more", "APPE"))
    refuses("502", lambda: put(client, f"{at}/a", b"more", rest=7))
    assert local(server, f"{at}/a").read_bytes() == b"another"


@shows("append refused at the write")
def _(client: ftplib.FTP, server: QuirkFTPServer, at: str) -> None:
    put(client, f"{at}/a")
    refuses("451", lambda: put(client, f"{at}/a", b"more", rest=3))
    assert local(server, f"{at}/a").read_bytes() == b"one"


@shows("reading refused")
def _(client: ftplib.FTP, server: QuirkFTPServer, at: str) -> None:
    put(client, f"{at}/a")
    refuses("550", lambda: get(client, f"{at}/a"))


@shows("no size ever")
def _(client: ftplib.FTP, server: QuirkFTPServer, at: str) -> None:
    put(client, f"{at}/a")
    client.voidcmd("TYPE I")
    for command in ("SIZE", "MLST"):
        refuses("550", lambda command=command: client.sendcmd(f"{command} {at}/a"))
    refuses("550", lambda: client.retrlines(f"LIST {at}", lambda line: None))


@shows("SIZE denied")
def _(client: ftplib.FTP, server: QuirkFTPServer, at: str) -> None:
    put(client, f"{at}/a")
    client.voidcmd("TYPE I")
    refuses("550", lambda: client.size(f"{at}/a"))
    assert "size=3;" in client.sendcmd(f"MLST {at}/a")


@shows("size grows late")
def _(client: ftplib.FTP, server: QuirkFTPServer, at: str) -> None:
    put(client, f"{at}/a", b"x" * 10_000)
    client.voidcmd("TYPE I")
    seen: list[int] = []
    while not seen or (seen[-1] < 10_000 and len(seen) < 1000):
        seen.append(client.size(f"{at}/a") or 0)
        time.sleep(0.02)
    assert seen[0] < 10_000 and seen == sorted(seen) and seen[-1] == 10_000


@shows("times refused")
def _(client: ftplib.FTP, server: QuirkFTPServer, at: str) -> None:
    put(client, f"{at}/a")
    refuses("550", lambda: client.voidcmd(f"MFMT 20200913122640 {at}/a"))


@shows("times ignored")
def _(client: ftplib.FTP, server: QuirkFTPServer, at: str) -> None:
    put(client, f"{at}/a")
    client.voidcmd(f"MFMT 20200913122640 {at}/a")
    assert local(server, f"{at}/a").stat().st_mtime > 1_700_000_000


@shows("delete refused")
def _(client: ftplib.FTP, server: QuirkFTPServer, at: str) -> None:
    put(client, f"{at}/a")
    refuses("550", lambda: client.delete(f"{at}/a"))
    assert local(server, f"{at}/a").exists()


@shows("hidden names refused")
def _(client: ftplib.FTP, server: QuirkFTPServer, at: str) -> None:
    put(client, f"{at}/a")
    refuses("550", lambda: put(client, f"{at}/.b"))
    refuses("550", lambda: client.rename(f"{at}/a", f"{at}/.b"))
    refuses("550", lambda: client.mkd(f"{at}/.folder"))


@shows("unknown endings refused")
def _(client: ftplib.FTP, server: QuirkFTPServer, at: str) -> None:
    put(client, f"{at}/a.csv")
    refuses("550", lambda: put(client, f"{at}/a.part"))
    refuses("550", lambda: client.rename(f"{at}/a.csv", f"{at}/a.exe"))


@shows("odd names renamed")
def _(client: ftplib.FTP, server: QuirkFTPServer, at: str) -> None:
    assert put(client, f"{at}/ a*b.csv").startswith("226")
    client.rename(f"{at}/_a_b.csv", f"{at}/[x].csv")
    assert os.listdir(local(server, at)) == ["_x_.csv"]


@shows("names in any case")
def _(client: ftplib.FTP, server: QuirkFTPServer, at: str) -> None:
    put(client, f"{at}/CAM.csv")
    put(client, f"{at}/cam.csv", b"two")
    assert [os.listdir(local(server, at)), get(client, f"{at}/Cam.csv")] == [["CAM.csv"], b"two"]


@shows("names in small letters")
def _(client: ftplib.FTP, server: QuirkFTPServer, at: str) -> None:
    put(client, f"{at}/CAM.csv")
    assert client.nlst(at) == ["cam.csv"]
    client.delete(f"{at}/CAM.csv")


@shows("accents composed")
def _(client: ftplib.FTP, server: QuirkFTPServer, at: str) -> None:
    put(client, f"{at}/a\u0308.csv")
    assert os.listdir(local(server, at)) == ["\u00e4.csv"]
    assert client.size(f"{at}/a\u0308.csv") == 3


@shows("ends of names trimmed")
def _(client: ftplib.FTP, server: QuirkFTPServer, at: str) -> None:
    put(client, f"{at}/a.csv. ")
    assert os.listdir(local(server, at)) == ["a.csv"]


def reported_time(client: ftplib.FTP, at: str, stamp: str) -> str:
    """What the server says of a time that a file was given."""
    put(client, f"{at}/a")
    client.sendcmd(f"MFMT {stamp} {at}/a")
    [(_, facts)] = [one for one in client.mlsd(at) if one[0] == "a"]
    reported = client.sendcmd(f"MDTM {at}/a").split()[1]
    assert facts["modify"] == reported
    return reported


@shows("times of two seconds")
def _(client: ftplib.FTP, server: QuirkFTPServer, at: str) -> None:
    assert reported_time(client, at, "20250102030405") == "20250102030404"


@shows("times of a minute")
def _(client: ftplib.FTP, server: QuirkFTPServer, at: str) -> None:
    assert reported_time(client, at, "20250102030459") == "20250102030400"


@shows("local times")
def _(client: ftplib.FTP, server: QuirkFTPServer, at: str) -> None:
    assert reported_time(client, at, "20250102030405") == "20250102050405"


@shows("taken away")
def _(client: ftplib.FTP, server: QuirkFTPServer, at: str) -> None:
    before = len(server.taken)
    put(client, f"{at}/.t")
    client.rename(f"{at}/.t", f"{at}/a")
    put(client, f"{at}/b", b"two")
    refuses("550", lambda: client.sendcmd(f"MLST {at}/b"))
    assert server.taken[before:] == [(f"{at}/a", b"one"), (f"{at}/b", b"two")]


@shows("hidden after the publication")
def _(client: ftplib.FTP, server: QuirkFTPServer, at: str) -> None:
    put(client, f"{at}/.t")
    client.rename(f"{at}/.t", f"{at}/a")
    client.voidcmd("TYPE I")
    for command in ("SIZE", "MLST", "MDTM"):
        refuses("550", lambda command=command: client.sendcmd(f"{command} {at}/a"))
    assert client.nlst(at) == []
    client.rename(f"{at}/a", f"{at}/b")
    assert local(server, f"{at}/b").read_bytes() == b"one"


@shows("links refused")
def _(client: ftplib.FTP, server: QuirkFTPServer, at: str) -> None:
    local(server, f"{at}/link").symlink_to("target")
    refuses("550", lambda: put(client, f"{at}/link"))
    assert not local(server, f"{at}/target").exists()


@shows("links replaced")
def _(client: ftplib.FTP, server: QuirkFTPServer, at: str) -> None:
    local(server, f"{at}/link").symlink_to("target")
    put(client, f"{at}/link")
    assert not local(server, f"{at}/link").is_symlink() and local(server, f"{at}/link").read_bytes() == b"one"


def transfers(client: ftplib.FTP, server: QuirkFTPServer, at: str, count: int) -> None:
    """So many files can be on their way at a time, and not one more."""
    with contextlib.ExitStack() as stack:
        for number in range(count):
            other = stack.enter_context(session(server))
            stack.enter_context(other.transfercmd(f"STOR {at}/{number}"))
        refuses("450", lambda: put(client, f"{at}/more"))


@shows("one open file")
def _(client: ftplib.FTP, server: QuirkFTPServer, at: str) -> None:
    transfers(client, server, at, 1)


@shows("three open files")
def _(client: ftplib.FTP, server: QuirkFTPServer, at: str) -> None:
    transfers(client, server, at, 3)


@shows("one connection")
def _(client: ftplib.FTP, server: QuirkFTPServer, at: str) -> None:
    before = server.turned_away

    def another() -> None:
        with session(server):
            pass

    refuses("421", another)
    assert server.turned_away == before + 1
    put(client, f"{at}/a")


@shows("six logins a minute")
def _(client: ftplib.FTP, server: QuirkFTPServer, at: str) -> None:
    def several() -> None:
        for _ in range(8):
            with session(server):
                pass

    refuses("421", several)
    put(client, f"{at}/a")


@shows("no writing over a file")
def _(client: ftplib.FTP, server: QuirkFTPServer, at: str) -> None:
    put(client, f"{at}/a")
    refuses("550", lambda: put(client, f"{at}/a", b"another"))
    assert local(server, f"{at}/a").read_bytes() == b"one"


@shows("stored beside the name")
def _(client: ftplib.FTP, server: QuirkFTPServer, at: str) -> None:
    put(client, f"{at}/a")
    put(client, f"{at}/a", b"another")
    put(client, f"{at}/a", b"a third")
    found = {path.name: path.read_bytes() for path in local(server, at).iterdir()}
    assert found == {"a": b"one", "a.1": b"another", "a.2": b"a third"}


@shows("no passive ports")
def _(client: ftplib.FTP, server: QuirkFTPServer, at: str) -> None:
    refuses("500", lambda: client.sendcmd("EPSV"))
    refuses("500", lambda: client.sendcmd("PASV"))
    client.set_pasv(False)
    put(client, f"{at}/a")


@shows("EPSV refused")
def _(client: ftplib.FTP, server: QuirkFTPServer, at: str) -> None:
    refuses("502", lambda: client.sendcmd("EPSV"))
    put(client, f"{at}/a")


@shows("wrong address in PASV")
def _(client: ftplib.FTP, server: QuirkFTPServer, at: str) -> None:
    refuses("502", lambda: client.sendcmd("EPSV"))
    assert "(10,255,255,1," in client.sendcmd("PASV")


@shows("TLS 1.2 session reuse demanded")
def _(client: Reusing, server: QuirkFTPServer, at: str) -> None:
    demands_reuse(server, at, "TLSv1.2")


@shows("TLS session reuse demanded")
def _(client: Reusing, server: QuirkFTPServer, at: str) -> None:
    demands_reuse(server, at, "TLSv1.3")


def demands_reuse(server: QuirkFTPServer, at: str, version: str) -> None:
    with session(server) as client:
        assert isinstance(client, Reusing) and isinstance(client.sock, ssl.SSLSocket)
        put(client, f"{at}/a")
        assert client.sock.version() == version
        client.reuses = False
        try:
            put(client, f"{at}/b")
        except (ftplib.Error, OSError) as exc:
            assert isinstance(exc, OSError) or str(exc).startswith("522"), repr(exc)
        else:
            raise AssertionError("it was not refused")
    assert local(server, f"{at}/a").read_bytes() == b"one"


def begun(client: ftplib.FTP, path: str) -> socket.socket:
    client.voidcmd("TYPE I")
    return client.transfercmd(f"STOR {path}")


@shows("early 226")
def _(client: ftplib.FTP, server: QuirkFTPServer, at: str) -> None:
    client.sock.settimeout(20 if server.quirks.data_end else 0.3)  # type: ignore[union-attr]
    with begun(client, f"{at}/a") as data:
        data.sendall(b"x" * 100_000)
        try:
            assert client.getresp().startswith("226")  # and the data has not ended yet
        except TimeoutError as exc:
            raise AssertionError("no reply before the end") from exc
        data.sendall(b"x" * 1_000_000)
        if isinstance(data, ssl.SSLSocket):
            data.unwrap()
    deadline = time.monotonic() + 20
    while local(server, f"{at}/a").stat().st_size < 1_100_000:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def end(client: ftplib.FTP, data: socket.socket) -> bytes | str:
    """End the data as a client does that waits for the other end, and say what comes."""
    data.settimeout(2)
    try:
        if isinstance(data, ssl.SSLSocket):
            data = data.unwrap()
        data.shutdown(socket.SHUT_WR)
        return data.recv(1)
    except ConnectionError:
        return "reset"
    except TimeoutError:
        return "open"
    finally:
        data.close()


@shows("reset after the last byte")
def _(client: ftplib.FTP, server: QuirkFTPServer, at: str) -> None:
    data = begun(client, f"{at}/a")
    data.sendall(b"one")
    assert end(client, data) == "reset"
    assert client.getresp().startswith("226")
    assert local(server, f"{at}/a").read_bytes() == b"one"


@shows("data connection closed without a goodbye")
def _(client: ftplib.FTP, server: QuirkFTPServer, at: str) -> None:
    data = begun(client, f"{at}/a")
    data.sendall(b"one")
    assert isinstance(data, ssl.SSLSocket)
    with pytest.raises(ssl.SSLEOFError):
        data.unwrap()
    assert client.getresp().startswith("226")
    assert local(server, f"{at}/a").read_bytes() == b"one"


@shows("the client's end is waited for")
def _(client: ftplib.FTP, server: QuirkFTPServer, at: str) -> None:
    data = begun(client, f"{at}/a")
    data.sendall(b"one")
    assert isinstance(data, ssl.SSLSocket)
    data.settimeout(0.5)
    with pytest.raises(TimeoutError):
        data.unwrap()
    data.close()
    assert client.getresp().startswith("226")
    assert local(server, f"{at}/a").read_bytes() == b"one"


@shows("data connection never closed")
def _(client: ftplib.FTP, server: QuirkFTPServer, at: str) -> None:
    data = begun(client, f"{at}/a")
    data.sendall(b"one")
    assert end(client, data) == "open"
    assert client.getresp().startswith("226")
    assert local(server, f"{at}/a").read_bytes() == b"one"
    client.voidcmd("NOOP")


def all_of(protocol: str) -> list[str]:
    """FTP over TLS is tried where TLS makes a difference."""
    names = [one.name for one in switches(protocol)]
    return names if protocol == "ftp" else [name for name in names if re.search("226|reset|data|TLS|size|connection|end", name)]


def test_every_quirk_has_a_test():
    assert set(CASES) == {one.name for one in switches("ftp")} | {one.name for one in switches("ftps")}


@pytest.mark.parametrize(("protocol", "name"), [(one, name) for one in ("ftp", "ftps") for name in all_of(one)])
def test_a_quirk_comes_and_goes_while_the_server_runs(tmp_path: Path, protocol: str, name: str):
    with quirk_ftp_server(tmp_path / "root", tls="explicit" if protocol == "ftps" else None) as server:
        for phase, there in (("before", False), ("during", True), ("after", False)):
            local(server, phase).mkdir()
            server.quirks.reset()
            server.disk.forget_logins()
            with session(server) as client:
                if there:
                    switch(name).turn_on(server.quirks)
                try:
                    CASES[name](client, server, phase)
                except (AssertionError, ftplib.Error, OSError, pytest.fail.Exception):
                    if there:
                        raise
                else:
                    assert there, f"{phase}: it is there though it was not switched on"


def test_what_came_by_data_connections_is_counted(tmp_path: Path):
    with quirk_ftp_server(tmp_path / "root") as server, session(server) as client:
        put(client, "a", b"x" * 100_000)
        put(client, "b", b"x" * 23)
        assert server.stored == 100_023
