"""The doctor at every kind of server that people push to: what hinders is named at its place, and the healthy ones get no warning.
Of what it has made nothing stays, or it is named."""

from __future__ import annotations

import contextlib
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from pysubtask.control.doctor.finding import Finding
from pysubtask.testing.servers import proftpd, pureftpd, rclone, sshd, vsftpd
from pysubtask.testing.servers.proftpd import proftpd_server
from pysubtask.testing.servers.pureftpd import pureftpd_server
from pysubtask.testing.servers.quirk_ftp import quirk_ftp_server
from pysubtask.testing.servers.quirk_sftp import quirk_sftp_server
from pysubtask.testing.servers.quirks import SWITCHES, Switch, switch
from pysubtask.testing.servers.rclone import rclone_server
from pysubtask.testing.servers.sshd import make_key, openssh_server
from pysubtask.testing.servers.vsftpd import vsftpd_server
from pysubtask.transports.shared.reach import PORTAL
from tests.support import alterations, harm
from tests.support.doctor import Scripted, at, diagnose

needs_sshd = pytest.mark.skipif(sshd.missing() is not None, reason=str(sshd.missing()))


class Expected(NamedTuple):
    """A finding of this state and check, with these words."""

    state: str
    check: str
    words: str


NOTHING: list[Expected] = []
NO_APPEND = Expected("warn", "append", "one that grew is sent whole")
ASIDE = Expected("warn", "rename over", "the old one is put aside first")
IN_ORDER = Expected("note", "resume", "from its beginning to its end only")
LATER = Expected("note", "server", "tells the size of a file only when it is closed")
NO_RENAME = Expected("fail", "rename over", "does not let it be renamed")
NO_TIME = Expected("note", "server", "does not let the time of a file be set")
LEFT = Expected("warn", "cleaned up", "what could not be removed from the server")
REUSED = Expected("ok", "session reuse", "data connections go on with the TLS session")

QUIRKS: dict[str, dict[str, list[Expected]]] = {
    "no rename over a file": {"": [ASIDE]},
    "no rename at all": {"": [NO_RENAME]},
    "no posix-rename": {"": [ASIDE]},
    "slow rename": {"": NOTHING},
    "append refused": {"": [NO_APPEND, Expected("note", "server", "takes no bytes behind the end")]},
    "append refused at the write": {"": [NO_APPEND, Expected("note", "server", "takes no bytes behind the end")]},
    "writes in order only": {"": [IN_ORDER]},
    "no opening for reading and writing": {"": [Expected("note", "resume", "an upload that was cut begins anew")]},
    "reading refused": {
        "sftp": [Expected("note", "copy-data", "this login may not read files")],
        "ftp": [Expected("ok", "append", "this login may not read")],
    },
    "no such file before the close": {"": [LATER]},
    "no size before the close": {"": [LATER]},
    "size 0 before the close": {"": [LATER]},
    "no size ever": {
        "sftp": [Expected("note", "server", "does not tell the size of a file")],
        "ftp": [Expected("note", "server", "does not tell the size of a file"), NO_APPEND],
    },
    "SIZE denied": {"": [NO_APPEND]},
    "size grows late": {"sftp": [Expected("note", "new files", "shows the size of a new file late")], "ftp": NOTHING},
    "nothing visible before the close": {"": NOTHING},
    "times refused": {"": [NO_TIME]},
    "times ignored": {"": [Expected("note", "server", "accepts the time of a file and does not keep it")]},
    "no fsync": {"": [Expected("note", "fsync", "a power cut at the server may take the last files with it")]},
    "delete refused": {"": [LEFT, Expected("note", "server", "lets no file be removed")]},
    "hidden names refused": {"": [Expected("note", "server", "takes no file whose name begins with a dot")]},
    "unknown endings refused": {"": [Expected("note", "server", "takes certain endings of names only")]},
    "odd names renamed": {"": [Expected("note", "names", "a name with a colon")]},
    "taken away": {"": [Expected("note", "new files", "files are taken away on this server as soon as they are there")]},
    "hidden after the publication": {
        "": [
            Expected("note", "new files", "does not show a file that it has taken"),
            Expected("note", "server", "does not show a file that it has taken"),
        ]
    },
    "names in any case": {"": NOTHING},
    "names in small letters": {"": NOTHING},
    "accents composed": {"": NOTHING},
    "ends of names trimmed": {"": NOTHING},
    "times of two seconds": {"": NOTHING},
    "times of a minute": {"": NOTHING},
    "local times": {"": [Expected("warn", "clock", "or a time zone is")]},
    "no writing over a file": {"": NOTHING},
    "stored beside the name": {"": NOTHING},
    "no passive ports": {"": [Expected("note", "server", "no data connection to this server can be opened from here")]},
    "links refused": {"": NOTHING},
    "links replaced": {"": NOTHING},
    "one open file": {
        "sftp": [
            Expected("note", "server", "allows about 1 at once"),
            Expected("note", "copy-data", "lets one file be open at a time"),
        ],
        "ftp": NOTHING,
    },
    "three open files": {"sftp": [Expected("note", "server", "allows about 3 at once")], "ftp": NOTHING},
    "one connection": {"": NOTHING},
    "six logins a minute": {"": NOTHING},
    "EPSV refused": {"": [Expected("note", "server", "has no EPSV")]},
    "wrong address in PASV": {"": [Expected("note", "server", "the address that this server names for data cannot be reached")]},
    "TLS 1.2 session reuse demanded": {"": [REUSED]},
    "TLS session reuse demanded": {"": [REUSED]},
    "early 226": {"": NOTHING},
    "reset after the last byte": {"": NOTHING},
    "data connection never closed": {"": NOTHING},
    "data connection closed without a goodbye": {"": NOTHING},
    "the client's end is waited for": {"": NOTHING},
    "object store": {"": [ASIDE, LATER, NO_TIME, IN_ORDER]},
}
"""What is to be told of each, by protocol where that matters. Nothing is told of what makes no difference to whoever sends files
(a slow rename, an end of a data connection), shows with StoreInPlace alone, or only at names that this config may not have (links,
odd signs, capital letters: the child says so at the name itself)."""

MAY_BE_FOUND = {"one open file", "three open files", "one connection"}
"""What shows only while several files are under way, which with FTP is a matter of moments."""
SLOW = {"slow rename", "object store", "size grows late"}


def at_quirks() -> Iterator[Any]:
    for one in SWITCHES:
        for protocol in ("sftp", "ftp", "ftps"):
            if protocol in one.protocols and (protocol != "ftps" or "ftp" not in one.protocols):
                needs = [pytest.mark.slow] if one.name in SLOW else []
                yield pytest.param(protocol, one, id=f"{protocol}-{one.name}", marks=needs)


def is_in(found: list[Finding], expected: Expected) -> bool:
    return any((one.state, one.check) == expected[:2] and expected.words in one.text for one in found)


def problems(found: list[Finding]) -> list[Finding]:
    return [one for one in found if one.state in ("warn", "fail")]


def harmless(found: list[Finding]) -> None:
    assert [why for one in found for line in one.remedy.commands if (why := harm.in_line(line))] == []


def check(found: list[Finding], expected: list[Expected], files: Path, *, notes: bool = True) -> None:
    """All that is expected is found and nothing else is a warning; what is left is named. ``notes``: nothing else of the server."""
    assert [one for one in expected if not is_in(found, one)] == [], found
    for one in problems(found):
        assert any(is_in([one], each) for each in expected), one
    assert [one for one in found if one.check in ("new files", "names") and not any(is_in([one], each) for each in expected)] == []
    if not expected and notes:
        assert [one for one in found if one.check in ("server", "resume") and one.state == "note"] == []
    left = sorted(path.name for path in files.rglob("*"))
    named = " ".join(one.text for one in found if one.cause == "left-behind")
    assert all(name in named for name in left) and len(left) <= 1, (left, named)
    harmless(found)


def test_the_findings_of_each_quirk_are_listed():
    assert QUIRKS.keys() == {one.name for one in SWITCHES}


@pytest.mark.slow
@pytest.mark.parametrize(("protocol", "one"), list(at_quirks()))
def test_what_a_server_refuses_is_named(tmp_path: Path, protocol: str, one: Switch):
    expected = QUIRKS[one.name].get("ftp" if protocol == "ftps" else protocol, QUIRKS[one.name].get("", NOTHING))
    with at_server(protocol, tmp_path) as server:
        one.turn_on(server.quirks)
        found = diagnose(server.settings(HostPath=""), tmp_path)
        check(found, expected, Path(server.root) if protocol == "sftp" else server.files, notes=one.name not in MAY_BE_FOUND)


def at_server(protocol: str, tmp_path: Path) -> AbstractContextManager[Any]:
    if protocol == "sftp":
        return quirk_sftp_server(tmp_path / "remote")
    return quirk_ftp_server(tmp_path / "remote", tls="explicit" if protocol == "ftps" else None)


@pytest.mark.parametrize("protocol", ["sftp", "ftp"])
def test_its_advice_where_nothing_can_be_renamed_mends_it(tmp_path: Path, protocol: str):
    with at_server(protocol, tmp_path) as server:
        switch("no rename at all").turn_on(server.quirks)
        [failed] = problems(diagnose(server.settings(HostPath=""), tmp_path))
        found = diagnose(server.settings(HostPath="", **dict(failed.remedy.settings)), tmp_path)
        assert problems(found) == [], "no line takes back what the last one said"
        assert is_in(found, Expected("ok", "write", "a small file arrived whole"))
        assert is_in(found, Expected("note", "rename over", "This server takes nothing else"))


@pytest.mark.parametrize("protocol", ["sftp", "ftp"])
def test_temporary_files_that_vanish_are_not_blamed_on_renaming(tmp_path: Path, protocol: str):
    with at_server(protocol, tmp_path) as server:
        for name in ("hidden names refused", "taken away"):
            switch(name).turn_on(server.quirks)
        [failed] = problems(diagnose(server.settings(HostPath=""), tmp_path))
        assert failed.cause == "temp-taken" and failed.remedy.settings == (("StoreInPlace", True),)
        found = diagnose(server.settings(HostPath="", StoreInPlace=True), tmp_path)
        assert problems(found) == [] and is_in(found, Expected("note", "new files", "files are taken away"))


@pytest.mark.slow
def test_a_promise_given_away_without_need_is_a_warning(tmp_path: Path):
    with at_server("ftp", tmp_path) as server:
        [warning] = problems(diagnose(server.settings(HostPath="", StoreInPlace=True), tmp_path))
        assert warning.cause == "stored-in-place" and warning.remedy.settings == (("StoreInPlace", False),)
        assert list(server.files.iterdir()) == []
    with at_server("sftp", tmp_path / "sftp") as server:  # there it is allowed, and not done
        found = diagnose(server.settings(HostPath="", StoreInPlace=True), tmp_path)
        assert problems(found) == [] and is_in(found, Expected("ok", "rename over", "in one step"))


# --- real servers


class Other(NamedTuple):
    make: Callable[[Path], AbstractContextManager[Any]]
    missing: str | None
    expected: list[Expected]
    slow: bool = True


NO_TLS = Expected("warn", "TLS", "the server offers it and it is not used")
NO_COPY = Expected("note", "copy-data", "not offered")
OTHERS = {
    "OpenSSH": Other(openssh_server, sshd.missing(), NOTHING, slow=False),
    "OpenSSH without posix-rename": Other(
        lambda root: openssh_server(root, deny=("posix-rename",)), sshd.missing(), [ASIDE], slow=False
    ),
    "OpenSSH without remove": Other(lambda root: openssh_server(root, deny=("remove",)), sshd.missing(), [LEFT], slow=False),
    "OpenSSH without setstat": Other(
        lambda root: openssh_server(root, deny=("setstat", "fsetstat")), sshd.missing(), [NO_TIME], slow=False
    ),
    "OpenSSH without rename": Other(
        lambda root: openssh_server(root, deny=("rename", "posix-rename")), sshd.missing(), [NO_RENAME], slow=False
    ),
    "OpenSSH without read": Other(
        lambda root: openssh_server(root, deny=("read",)),
        sshd.missing(),
        [Expected("ok", "append", "this login may not read"), Expected("note", "resume", "an upload that was cut begins anew")],
        slow=False,
    ),
    "vsftpd": Other(vsftpd_server, vsftpd.missing(), NOTHING, slow=False),
    "vsftpd with TLS": Other(lambda root: vsftpd_server(root, tls="explicit"), vsftpd.missing(), NOTHING, slow=False),
    "ProFTPD": Other(proftpd_server, proftpd.missing(), NOTHING),
    "ProFTPD with TLS": Other(lambda root: proftpd_server(root, "ftps"), proftpd.missing("ftps"), NOTHING),
    "ProFTPD mod_sftp": Other(lambda root: proftpd_server(root, "sftp"), proftpd.missing("sftp"), NOTHING),
    "Pure-FTPd": Other(pureftpd_server, pureftpd.missing(), [NO_APPEND, NO_TLS]),
    "Pure-FTPd with TLS": Other(lambda root: pureftpd_server(root, tls="explicit"), pureftpd.missing(), [NO_APPEND]),
    "rclone serve sftp": Other(lambda root: rclone_server(root, "sftp"), rclone.missing("sftp"), [NO_APPEND, IN_ORDER, NO_COPY]),
    "rclone serve ftp": Other(
        lambda root: rclone_server(root, "ftp"),
        rclone.missing("ftp"),
        [Expected("note", "append", "a file that grew is sent whole")],
    ),
}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(
            name,
            marks=[
                pytest.mark.skipif(other.missing is not None, reason=str(other.missing)),
                *([pytest.mark.slow] if other.slow else []),
            ],
        )
        for name, other in OTHERS.items()
    ],
)
def test_other_servers(tmp_path: Path, name: str):
    with OTHERS[name].make(tmp_path / "server") as server:
        found = diagnose(server.settings(HostPath=""), tmp_path)
        check(found, OTHERS[name].expected, server.files)


# --- what stands before a server


@pytest.mark.parametrize("sftp", [True, False])
def test_a_network_that_wants_a_login_on_a_page_first(tmp_path: Path, sftp: bool):
    with Scripted(b"HTTP/1.1 302 Found\r\nLocation: http://login.example/") as portal:
        [failed] = problems(diagnose(at(portal.port, UseSFTP=sftp, Password="x"), tmp_path))
    assert failed.cause == "wrong-protocol" and PORTAL in failed.remedy.words and failed.remedy.commands == ()


# --- keys as people have them


@pytest.fixture(scope="module")
def openssh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sshd.OpenSSHServer]:
    with openssh_server(tmp_path_factory.mktemp("sshd")) as running:
        yield running


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)


QUICK = {"crlf", "notepad"}
ALTERED = [pytest.param(name, marks=[] if name in QUICK else [pytest.mark.slow]) for name, _ in alterations.cases("")]


@needs_sshd
@pytest.mark.parametrize("name", ALTERED)
def test_an_altered_key_is_mended_by_the_line_that_is_printed(openssh: sshd.OpenSSHServer, tmp_path: Path, alone: None, name: str):
    key = tmp_path / "id_roof"
    before = dict(alterations.cases(openssh.key_file.read_text()))[name]
    key.write_bytes(before)
    key.chmod(0o600)
    found = diagnose(openssh.settings(KeyFile=str(key)), tmp_path)
    [failed] = problems(found)
    assert (failed.check, failed.cause) == ("key file", "key-file-altered")
    harmless(found)
    for line in failed.remedy.commands:
        subprocess.run(["sh", "-c", line], check=True, timeout=30)
    assert key.read_bytes() == before, "what was not made by us stays as it is"
    again = diagnose(openssh.settings(**{"KeyFile": str(key), **dict(failed.remedy.settings)}), tmp_path)
    assert problems(again) == []


@needs_sshd
def test_a_key_that_others_may_read(openssh: sshd.OpenSSHServer, tmp_path: Path, alone: None):
    key = tmp_path / "id_roof"
    shutil.copy(openssh.key_file, key)
    key.chmod(0o644)
    found = diagnose(openssh.settings(KeyFile=str(key)), tmp_path)
    [failed] = problems(found)
    assert failed.cause == "key-file-open"
    harmless(found)
    for line in failed.remedy.commands:
        subprocess.run(shlex.split(line), check=True, timeout=30)
    assert problems(diagnose(openssh.settings(KeyFile=str(key)), tmp_path)) == []


@needs_sshd
@pytest.mark.parametrize(
    ("kind", "cause"),
    [
        ("public", "key-file-public"),
        ("putty", "key-file-putty"),
        ("cut", "key-file-unusable"),
        ("other", "key-file-wrong"),
        ("passphrase", "key-has-passphrase"),
        ("folder", "key-file-missing"),
        ("ended", "certificate-ended"),
        ("early", "certificate-early"),
    ],
)
def test_keys_that_do_not_do(openssh: sshd.OpenSSHServer, tmp_path: Path, alone: None, kind: str, cause: str):
    key, private = tmp_path / "id_roof", openssh.key_file.read_text()
    if kind == "passphrase":
        make_key(key, passphrase="secret")
    elif kind == "folder":
        key.mkdir()
    elif kind in ("ended", "early"):
        (tmp_path / "own").mkdir()
        shutil.copy(openssh.key_file, tmp_path / "own" / "key")
        shutil.copy(f"{openssh.key_file}.pub", tmp_path / "own" / "key.pub")
        alterations.certified(tmp_path / "own" / "key", key, "-20d:-10d" if kind == "ended" else "+10d:+20d", "somebody")
    else:
        texts = {
            "public": Path(f"{openssh.key_file}.pub").read_text(),
            "cut": private[:200],
            "other": "hello",
            "putty": "PuTTY-User-Key-File-3: ssh-ed25519\n",
        }
        key.write_text(texts[kind])
        key.chmod(0o600)
    found = diagnose(openssh.settings(KeyFile=str(key)), tmp_path)
    named = problems(found)
    assert [one.cause for one in named] == [cause] and named[0].check == "key file", found
    assert named[0].state == ("warn" if kind in ("ended", "early") else "fail"), "the server takes the key itself"
    harmless(found)


@pytest.mark.slow
@needs_sshd
@pytest.mark.skipif(shutil.which("ssh-agent") is None, reason="ssh-agent is not installed")
def test_an_agent_full_of_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The server ends the login before the right one is offered."""
    agent = tmp_path / "agent"
    with openssh_server(tmp_path / "sshd", lines=("MaxAuthTries 3",)) as server, agent_at(agent) as ready:
        for number in range(8):
            make_key(tmp_path / f"k{number}")
            subprocess.run([*ready, "ssh-add", "-q", tmp_path / f"k{number}"], check=True, timeout=30)
        monkeypatch.setenv("SSH_AUTH_SOCK", str(agent))
        settings = {key: value for key, value in server.settings(HostPath="").items() if key != "KeyFile"}
        found = diagnose(settings, tmp_path)
        [failed] = problems(found)
        assert failed.cause == "too-many-keys" and [key for key, _ in failed.remedy.settings] == ["KeyFile"]
        assert "refuses" not in failed.text
        assert problems(diagnose({**settings, "KeyFile": str(server.key_file)}, tmp_path)) == []


@contextlib.contextmanager
def agent_at(path: Path) -> Iterator[list[str]]:
    """An agent that listens there; the words before a command that is to use it."""
    with subprocess.Popen(["ssh-agent", "-D", "-a", path], stdout=subprocess.DEVNULL) as agent:
        try:
            subprocess.run(["sh", "-c", f"until [ -S {shlex.quote(str(path))} ]; do sleep 0.05; done"], check=True, timeout=30)
            yield ["env", f"SSH_AUTH_SOCK={path}"]
        finally:
            agent.terminate()
