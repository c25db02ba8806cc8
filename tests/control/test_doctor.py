"""The doctor at real servers: it names what is wrong with each broken one, with the line that mends it, and finds nothing
wrong with the healthy ones."""

import asyncio
import os
import socket
import subprocess
import time
from contextlib import ExitStack, nullcontext
from pathlib import Path

import pytest

from pysubtask.common.errors import LoginRefused
from pysubtask.control.doctor import namespace, probe, rounds
from pysubtask.control.doctor.causes import login_finding
from pysubtask.control.doctor.finding import remedy_lines
from pysubtask.control.doctor.server_checks import ServerChecks
from pysubtask.testing import ftp_server, sftp_server
from pysubtask.testing.link.ftp_relay import FTPRelay
from pysubtask.testing.servers import sshd, vsftpd
from pysubtask.testing.servers._certificate import make_certificate
from pysubtask.testing.servers.dropbox import dropbox_server
from pysubtask.testing.servers.ftp import FTPServer, Oddities
from pysubtask.testing.servers.sshd import OpenSSHServer, make_key, openssh_server
from pysubtask.testing.servers.vsftpd import vsftpd_server
from tests.support import dead_addresses
from tests.support.doctor import TIMES, Scripted, at, diagnose, failures, target
from tests.support.helpers import wait_until

needs_sshd = pytest.mark.skipif(sshd.missing() is not None, reason=str(sshd.missing()))
needs_vsftpd = pytest.mark.skipif(vsftpd.missing() is not None, reason=str(vsftpd.missing()))
needs_ssh = needs_sshd  # the same packages
PLAIN = {"Password": None, "KeyFile": None, "KnownHostsFile": None, "HostKey": None, "CAFile": None}


def names(found, cause, *lines):
    """That there is one failure, the last finding, of this cause, and that its remedy has these lines."""
    assert [finding.cause for finding in failures(found)] == [cause], found
    remedies = remedy_lines(failures(found)[0], "ftp", "python")
    for line in lines:
        assert any(line in words for words in remedies), remedies


class Worlds:
    """Servers that many cases share, each started when the first one asks for it."""

    def __init__(self, root):
        self.root, self.stack, self.servers = root, ExitStack(), {}

    def get(self, name, make):
        if name not in self.servers:
            self.servers[name] = self.stack.enter_context(make(self.root / name))
        return self.servers[name]

    @property
    def openssh(self):
        return self.get("openssh", openssh_server)

    @property
    def vsftpd(self):
        return self.get("vsftpd", vsftpd_server)

    @property
    def vsftpd_tls(self):
        return self.get("vsftpd_tls", lambda root: vsftpd_server(root, tls="explicit"))

    @property
    def pyftpdlib(self):
        return self.get("pyftpdlib", ftp_server)

    @property
    def asyncssh(self):
        return self.get("asyncssh", lambda root: sftp_server(root, password="right", keys=root / "keys"))

    @property
    def dropbox(self):
        return self.get("dropbox", dropbox_server)


@pytest.fixture(scope="module")
def worlds(tmp_path_factory):
    found = Worlds(tmp_path_factory.mktemp("worlds"))
    with found.stack:
        yield found


# --- healthy ones


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("openssh", marks=needs_sshd),
        pytest.param("vsftpd", marks=needs_vsftpd),
        pytest.param("vsftpd_tls", marks=needs_vsftpd),
        "pyftpdlib",
        "dropbox",
    ],
)
def test_a_healthy_server_has_no_problem_and_no_leftovers(worlds, name, tmp_path):
    server = getattr(worlds, name)
    files = server.folder if name == "dropbox" else server.files
    folder = {"dropbox": "/in/new", "vsftpd": f"{files}/in/new", "vsftpd_tls": f"{files}/in/new"}.get(name, "in/new")
    files.joinpath("kept.txt").write_text("somebody else's")
    found = diagnose(server.settings(HostPath=folder), tmp_path, "dropbox" if name == "dropbox" else "ftp", speed=True)
    assert [finding for finding in found if finding.state in ("warn", "fail")] == []
    done = {finding.check for finding in found if finding.state == "ok"}
    assert {"name", "port", "login", "write", "rename over", "clock", "round trip", "speed up"} <= done
    extra = {
        "openssh": {"host key", "append", "copy-data", "fsync", "free space"},
        "vsftpd": {"append", "passive mode"},
        "vsftpd_tls": {"TLS", "append", "passive mode", "session reuse"},
        "pyftpdlib": {"append", "passive mode"},
        "dropbox": {"free space"},
    }[name]
    assert extra <= done
    assert [path.name for path in files.rglob("*")] == ["kept.txt"]


# --- the way there


@needs_ssh
def test_an_ftp_server_at_the_port_of_an_sftp_config(worlds, tmp_path):
    found = diagnose(at(worlds.pyftpdlib.port), tmp_path)
    names(found, "wrong-protocol", "ftp.UseSFTP = False")
    assert "speaks FTP" in found[-1].text and found[-1].remedy.settings == (("UseSFTP", False),)


@needs_ssh
@needs_vsftpd
def test_an_ftp_server_with_tls_at_the_port_of_an_sftp_config(worlds, tmp_path):
    names(diagnose(at(worlds.vsftpd_tls.port), tmp_path), "wrong-protocol", "ftp.UseSFTP = False", "ftp.UseTLS = 'explicit'")


@needs_sshd
def test_an_ssh_server_at_the_port_of_an_ftp_config(worlds, tmp_path):
    found = diagnose(at(worlds.openssh.port, UseSFTP=False, Password="x"), tmp_path)
    names(found, "wrong-protocol", "ftp.UseSFTP = True")


@pytest.mark.slow
def test_tls_from_the_start_where_plain_ftp_is_asked_for(tmp_path):
    with ftp_server(tmp_path / "implicit", tls="implicit") as server:
        names(diagnose(at(server.port, UseSFTP=False), tmp_path), "wrong-protocol", "ftp.UseTLS = 'implicit'")


def test_names_that_do_not_resolve(tmp_path):
    def unknown(*args, **more):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    def nobody(*args, **more):
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    head = "Iface Destination\n"
    online, offline = (lambda path: head + "eth0 00000000\n"), (lambda path: head if path.endswith("net/route") else "")
    settings = at(22, Host="station.example", UseSFTP=False)
    names(diagnose(settings, tmp_path, resolve=unknown, read=online), "name-unknown", "ftp.Host = ", "getent hosts station.example")
    names(diagnose(settings, tmp_path, resolve=nobody, read=online), "no-name-service", "/etc/resolv.conf")
    names(diagnose(settings, tmp_path, resolve=nobody, read=offline), "no-network", "ip route")


@pytest.mark.slow
def test_a_closed_port_and_one_that_a_firewall_swallows(tmp_path, monkeypatch):
    # Whoever runs this may have a server at one of the usual ports, and it would be found.
    monkeypatch.setattr("pysubtask.control.doctor.endpoint_checks._OTHER_SECS", 0.0)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    names(diagnose(at(port, UseSFTP=False), tmp_path), "port-closed", "ftp.HostPort = ", f"nc -vz -w 5 127.0.0.1 {port}")
    with ExitStack() as stack:
        # A full backlog: the kernel drops what comes, as a firewall does.
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            one = stack.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(listener.getsockname())
        time.sleep(0.05)
        names(diagnose(at(listener.getsockname()[1], UseSFTP=False), tmp_path), "port-filtered", "firewall")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("server", "cause", "line"),
    [
        ({}, "server-silent", "restarted"),
        ({"hang_up": True}, "hangs-up", "ban after wrong logins"),
        ({"lines": [b"421 Too many connections"]}, "server-full", "ftp.Connections = 1"),
        ({"lines": [b"HTTP/1.1 400 Bad Request"]}, "wrong-protocol", "ftp.HostPort = 21"),
        ({"lines": [b"220 hello, FTP", b"331 the password, please", b"530 This account is locked"]}, "account-locked", "unlocked"),
        ({"lines": [b"220 hello, FTP", b"331 the password, please"]}, "server-silent", "ConnectTimeoutSecs"),
    ],
)
def test_servers_that_do_not_serve(tmp_path, server, cause, line):
    with Scripted(*server.get("lines", ()), hang_up=server.get("hang_up", False)) as listener:
        settings = at(listener.port, UseSFTP=False, Password="secret word", ConnectTimeoutSecs=1)
        found = diagnose(settings, tmp_path)
    names(found, cause, line)
    assert "secret word" not in repr(found)


# --- host keys, keys, passwords


@pytest.mark.slow
@needs_sshd
def test_host_keys(worlds, tmp_path):
    server = worlds.openssh
    empty = tmp_path / "empty"
    empty.touch()
    found = diagnose(server.settings(KnownHostsFile=str(empty)), tmp_path)
    names(found, "host-key-unknown", f"ftp.HostKey = '{server.host_key}'", "ssh-keyscan")
    make_key(tmp_path / "another")
    kind, key = (tmp_path / "another.pub").read_text().split()[:2]
    changed = tmp_path / "changed"
    changed.write_text(f"[127.0.0.1]:{server.port} {kind} {key}\n")
    found = diagnose(server.settings(KnownHostsFile=str(changed)), tmp_path)
    names(
        found, "host-key-changed", f"ftp.HostKey = '{server.host_key}'", f"ssh-keygen -f {changed} -R '[127.0.0.1]:{server.port}'"
    )
    found = diagnose(server.settings(KnownHostsFile=None, HostKey=sshd.fingerprint(tmp_path / "another.pub")), tmp_path)
    names(found, "host-key-not-pinned", f"ftp.HostKey = '{server.host_key}'")
    # And the line does mend it.
    found = diagnose(server.settings(KnownHostsFile=None, HostKey=server.host_key), tmp_path)
    assert failures(found) == []


@pytest.mark.slow
@needs_sshd
def test_a_fresh_account_has_no_known_hosts_and_no_key(worlds, tmp_path, monkeypatch):
    """The lines of the remedy work there, one by one."""
    server = worlds.openssh
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    # ssh takes its user's home from the system's list; its files are named here as it would find them in this one.
    config = tmp_path / "ssh_config"
    config.write_text(
        f"IdentityFile {home}/.ssh/id_ecdsa\nIdentityFile {home}/.ssh/id_ed25519\nIdentitiesOnly yes\n"
        f"UserKnownHostsFile {home}/.ssh/known_hosts\nGlobalKnownHostsFile none\n"
    )
    settings = {"Host": server.host, "HostPort": server.port, "User": server.user, "SSHConfigFile": str(config)}
    found = diagnose(settings, tmp_path)
    names(found, "host-key-unknown", "mkdir -m 700 ~/.ssh && ssh-keyscan")
    [learn] = failures(found)[0].remedy.commands
    subprocess.run(["sh", "-c", learn], check=True, timeout=60, stderr=subprocess.DEVNULL)
    assert (home / ".ssh").stat().st_mode & 0o777 == 0o700 and (home / ".ssh" / "known_hosts").stat().st_size > 0
    found = diagnose(settings, tmp_path)
    names(found, "no-key", "ssh-keygen -t ed25519", "authorized_keys")
    assert failures(found)[0].remedy.settings == ()  # this server takes no passwords
    [make] = failures(found)[0].remedy.commands
    subprocess.run(["sh", "-c", make], check=True, timeout=60, stdout=subprocess.DEVNULL)
    assert (home / ".ssh" / "id_ed25519.pub").exists()
    names(diagnose(settings, tmp_path), "no-key-accepted", "ssh -v")


def test_without_a_known_key_the_lines_that_add_one_are_printed():
    message = "the login was refused. ssh said: 'pi@h: Permission denied (publickey,password).'"
    found = login_finding(LoginRefused(message), {"User": "pi", "Host": "h"}, missing_key="~/.ssh/id_ed25519")
    assert found.cause == "no-key" and found.remedy.commands == (
        "ssh-keygen -t ed25519 -N '' -f ~/.ssh/id_ed25519",
        "ssh-copy-id -f -i ~/.ssh/id_ed25519.pub pi@h",
    )
    assert found.remedy.settings == (("Password", "..."),)


@needs_sshd
def test_keys_and_passwords_that_a_server_does_not_take(worlds, tmp_path):
    server = worlds.openssh
    make_key(tmp_path / "another")
    found = diagnose(server.settings(KeyFile=str(tmp_path / "another")), tmp_path)
    names(found, "key-refused", f"ssh-copy-id -f -i {tmp_path}/another.pub -p {server.port}")
    names(
        diagnose(server.settings(KeyFile=None, Password="secret word"), tmp_path),
        "server-takes-keys-only",
        "ftp.KeyFile = ",
        "ftp.Password = None",
    )
    demo = worlds.asyncssh
    found = diagnose(demo.settings(password=True) | {"Password": "secret word"}, tmp_path)
    names(found, "password-refused", f"sftp -P {demo.port} demo@127.0.0.1")
    assert "secret word" not in repr(found)
    wait_until(lambda: demo.failed_logins, what="the server's end of that login")
    assert demo.failed_logins == 1  # an account is not locked by looking
    assert failures(diagnose(demo.settings(password=True), tmp_path)) == []


@pytest.mark.slow
@needs_ssh
def test_files_of_the_login_that_do_not_do(worlds, tmp_path):
    server, nowhere = worlds.openssh, str(tmp_path / "nowhere")
    names(diagnose(server.settings(KeyFile=nowhere), tmp_path), "key-file-missing", f"ssh-keygen -t ed25519 -N '' -f {nowhere}")
    make_key(tmp_path / "open")
    os.chmod(tmp_path / "open", 0o644)
    names(diagnose(server.settings(KeyFile=str(tmp_path / "open")), tmp_path), "key-file-open", f"chmod 600 {tmp_path}/open")
    make_key(tmp_path / "shut", passphrase="secret word")
    names(
        diagnose(server.settings(KeyFile=str(tmp_path / "shut")), tmp_path),
        "key-has-passphrase",
        f"ssh-keygen -t ed25519 -N '' -f {tmp_path}/shut_pysubtask",
        f"ftp.KeyFile = '{tmp_path}/shut_pysubtask'",
    )
    os.chmod(tmp_path / "shut.pub", 0o600)
    names(
        diagnose(server.settings(KeyFile=str(tmp_path / "shut.pub")), tmp_path),
        "key-file-public",
        f"ftp.KeyFile = '{tmp_path}/shut'",
    )
    found = diagnose(server.settings(KnownHostsFile=nowhere), tmp_path)
    names(found, "host-key-unknown", f"ftp.HostKey = '{server.host_key}'", f">> {nowhere}")
    assert [finding.cause for finding in found if finding.state == "warn"] == ["known-hosts-missing"]


@needs_ssh
def test_no_program_that_speaks_ssh(worlds, tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name, package=None: None)
    names(
        diagnose(worlds.openssh.settings(SSHProgram="no-such-ssh"), tmp_path),
        "ssh-missing",
        "ftp.SSHProgram = 'ssh'",
        "apt-get install openssh-client",
    )


class OddSSH(OpenSSHServer):
    """Without sftp, or with an account whose login prints."""

    subsystem = ""

    def _write_config(self, port):
        super()._write_config(port)
        path = self.root / "sshd_config"
        lines = [line for line in path.read_text().splitlines() if not line.startswith("Subsystem")]
        path.write_text("\n".join([*lines, *([f"Subsystem sftp {self.subsystem}"] if self.subsystem else [])]) + "\n")


@pytest.mark.slow
@needs_sshd
@pytest.mark.parametrize(
    ("subsystem", "cause", "line"),
    [
        ("", "no-sftp", "Subsystem sftp internal-sftp"),
        ("/bin/echo Welcome to the station, have a nice day!", "login-script-prints", ".bashrc"),
        ("/bin/sleep 60", "server-silent", "ConnectTimeoutSecs"),
    ],
)
def test_ssh_servers_that_let_in_and_serve_no_files(tmp_path, subsystem, cause, line):
    server = OddSSH(tmp_path / "odd", internal=False, deny=(), file_limit=None, max_sessions=10, host="127.0.0.1", within=())
    server.subsystem = subsystem
    try:
        server.start()
        names(diagnose(server.settings(ConnectTimeoutSecs=2), tmp_path), cause, line)
    finally:
        server.stop()


# --- TLS


@pytest.mark.slow
@needs_vsftpd
@pytest.mark.parametrize("silent", [True, False])
def test_an_address_that_is_dead_is_named(worlds, tmp_path, silent):
    """Uploads go on by the other one, so it is no failure; an address that refuses costs nothing."""
    server = worlds.vsftpd
    places = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, server.port)) for address in ("127.0.0.9", "127.0.0.1")]
    with dead_addresses.silent("127.0.0.9", server.port) if silent else nullcontext():
        found = diagnose(server.settings(Host="localhost"), tmp_path, resolve=lambda *_, **__: places)
    assert failures(found) == []
    [finding] = [one for one in found if one.check == "addresses"]
    assert "127.0.0.9" in finding.text and finding.state == ("warn" if silent else "note"), finding
    assert finding.cause == ("address-dead" if silent else "") and "1 of the 2 addresses of localhost" in finding.text


@needs_vsftpd
def test_tls_that_is_required_and_tls_that_is_not_there(worlds, tmp_path):
    names(diagnose(worlds.vsftpd_tls.settings(UseTLS=None, CAFile=None), tmp_path), "tls-wanted", "ftp.UseTLS = 'explicit'")
    names(diagnose(worlds.vsftpd.settings(UseTLS="explicit"), tmp_path), "tls-not-offered", "ftp.UseTLS = None")
    names(diagnose(worlds.vsftpd.settings(UseTLS="implicit"), tmp_path), "wrong-protocol", "ftp.UseTLS = None")
    names(diagnose(worlds.vsftpd_tls.settings(UseTLS="implicit"), tmp_path), "wrong-protocol", "ftp.UseTLS = 'explicit'")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "days", "vouched", "cause"),
    [
        ("nas.example", (-1, 10), True, "certificate-name"),
        ("localhost", (-30, -2), True, "certificate-expired"),
        ("localhost", (2, 10), True, "certificate-early"),
        ("localhost", (-1, 10), False, "certificate-untrusted"),
    ],
)
def test_certificates(tmp_path, name, days, vouched, cause):
    server = FTPServer(tmp_path / "files", "127.0.0.1", "explicit", None, Oddities())
    addresses = ("10.9.9.9",) if name != "localhost" else ("127.0.0.1",)
    certificate = server.certificate = make_certificate(tmp_path / "tls", name, addresses, days)
    try:
        server.start()
        found = diagnose(server.settings(CAFile=str(certificate.file) if vouched else None), tmp_path)
        pin = f"ftp.TLSFingerprint = '{certificate.fingerprint}'"
        names(found, cause, "date -u" if cause == "certificate-early" else pin)
        if cause == "certificate-name":
            names(found, cause, "ftp.Host = 'nas.example'")
        found = diagnose(server.settings(CAFile=None, TLSFingerprint=certificate.fingerprint), tmp_path)
        assert failures(found) == []
        found = diagnose(server.settings(CAFile=None, TLSFingerprint="0" * 64), tmp_path)
        names(found, "certificate-not-pinned", pin)
    finally:
        server.close()


# --- folders, files, data connections


@pytest.mark.parametrize(("speed", "most"), [(False, 2000), (True, 1_002_000)])
def test_what_the_doctor_costs_on_a_link_that_is_paid_for(worlds, tmp_path, monkeypatch, speed, most):
    sent = []
    put = probe._put
    monkeypatch.setattr(probe, "_put", lambda path, data: (sent.append(len(data)), put(path, data)))
    found = diagnose(worlds.pyftpdlib.settings(), tmp_path, speed=speed)
    assert ("speed up" in {finding.check for finding in found}) == speed
    assert 0 < sum(sent) <= most and (sum(sent) > 64 * 1024) == speed


@pytest.mark.parametrize(
    ("path", "near"),
    [
        ("/volume1/data/roof", "/data/roof"),
        ("/volume1/home/x/data", "/home/x/data"),
        ("/srv/nas/volume1/data/roof", "/data/roof"),
        ("/volume1/other/roof", ""),
        ("/roof", ""),
    ],
)
def test_a_path_of_the_shell_that_this_login_does_not_know(tmp_path, path, near):
    """SFTP's root is another than the shell's: where a login begins and what stands there is reported, and no folder is to be
    created that the shell has."""
    with sftp_server(tmp_path / "sftp") as server:
        for folder in ("data", "home/x", ".hidden"):
            (tmp_path / "sftp" / folder).mkdir(parents=True)
        found = diagnose(server.settings(HostPath=path), tmp_path)
        finding = next(one for one in found if one.check == "folder")
        assert "login begins in" in finding.text and "data, home" in finding.text and ".hidden" not in finding.text, finding
        assert finding.remedy.settings == ((("HostPath", near),) if near else ())
        assert finding.state == ("warn" if near else "note") and "mkdir" not in repr(found)
        assert not (tmp_path / "sftp" / "volume1").exists()  # the doctor has taken away what it made


@pytest.mark.parametrize(("path", "ends"), [("/a/b/c", ["/b/c", "/c"]), ("/a", []), ("a/b", []), ("/", []), ("", [])])
def test_a_path_without_its_top(path, ends):
    assert namespace.without_its_top(path) == ends


def test_names_in_words():
    assert namespace.in_words(["b", "a", ".c"]) == "a, b" and namespace.in_words([".c"]) == "nothing that is shown"
    assert namespace.in_words([f"n{number}" for number in range(12)]).endswith("and 4 more")


@needs_sshd
def test_folders_of_an_sftp_server(worlds, tmp_path):
    server = worlds.openssh
    # Nobody, not even root, can make anything in there.
    found = diagnose(server.settings(HostPath="/sys/incoming"), tmp_path)
    names(found, "folder-missing", "make it for", "ftp.HostPath = ''")
    names(diagnose(server.settings(HostPath="/sys/kernel"), tmp_path), "no-permission", "allow writing there", "ftp.HostPath = ''")
    names(diagnose(server.settings(HostPath="/proc/incoming"), tmp_path), "folder-missing", "make it for")
    (server.files / "plain").write_text("x")
    names(diagnose(server.settings(HostPath="plain"), tmp_path), "folder-is-file", "ftp.HostPath = 'plain.d'")
    (server.files / "plain").unlink()
    assert {path.name for path in server.files.rglob("*")} <= {"kept.txt"}


@needs_vsftpd
def test_553_and_a_server_that_is_read_only(worlds, tmp_path):
    found = diagnose(worlds.vsftpd.settings(HostPath="/sys/kernel"), tmp_path)
    names(found, "no-permission", "allow writing there")
    assert "553" in failures(found)[0].text
    with vsftpd_server(tmp_path / "v", write_enable="NO") as server:
        names(diagnose(server.settings(), tmp_path), "no-permission", "read-only")


def test_a_folder_that_may_not_be_created_on_an_ftp_server(tmp_path):
    with ftp_server(tmp_path / "files", without=("MKD",)) as server:
        (server.files / "incoming").mkdir()
        found = diagnose(server.settings(HostPath="/incoming/station"), tmp_path)
        names(found, "folder-missing", "make it for", "ftp.HostPath = '/incoming'")
        assert server.names() == set()


def test_no_room(worlds, tmp_path):
    with ftp_server(tmp_path / "files", file_limit=10) as server:
        names(diagnose(server.settings(), tmp_path), "transfer-broken-off", "full disk")  # it says no more than 426
        assert server.names() == set()
    with ftp_server(tmp_path / "quota", file_limit=10, full_reply="552 Disk quota exceeded.") as server:
        names(diagnose(server.settings(), tmp_path), "no-room", "quota raised")
        assert server.names() == set()
    worlds.asyncssh.room = 0
    try:
        names(diagnose(worlds.asyncssh.settings(), tmp_path), "no-room", "quota raised")
    finally:
        worlds.asyncssh.heal()


@pytest.mark.slow
def test_renames_that_are_refused_and_that_cannot_replace(tmp_path):
    with ftp_server(tmp_path / "files", rename=False) as server:
        names(diagnose(server.settings(), tmp_path), "rename-refused", "ftp.StoreInPlace = True")
        assert failures(diagnose(server.settings(StoreInPlace=True), tmp_path)) == []
        assert server.names() == set()
    with ftp_server(tmp_path / "swap", rename_over=False) as server:
        found = diagnose(server.settings(), tmp_path)
        assert [finding.cause for finding in found if finding.state in ("warn", "fail")] == ["rename-not-over"]
        assert server.names() == set()


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [pytest.param("openssh", marks=needs_sshd), pytest.param("vsftpd", marks=needs_vsftpd), "pyftpdlib"]
)
def test_a_mistyped_remote_folder_is_named_with_the_nearest(worlds, name, tmp_path):
    server = getattr(worlds, name)
    place = server.files if hasattr(server, "files") else server.root
    (place / "web" / "public_html").mkdir(parents=True, exist_ok=True)
    (place / "web" / "station6").mkdir(exist_ok=True)

    def folder(path):
        found = diagnose(server.settings(HostPath=path), tmp_path)
        assert failures(found) == [], found
        return next(finding for finding in found if finding.check == "folder")

    found = folder("web/public_hmtl/today")
    assert (found.state, found.cause) == ("warn", "folder-mistyped") and "did you mean 'web/public_html/today'?" in found.text
    assert found.remedy.settings == (("HostPath", "web/public_html/today"),)
    # Another number is another station, and what is like nothing is new.
    assert [folder(path).state for path in ("web/station7", "web/pictures", "web/public_html")] == ["note", "note", "ok"]


def test_a_wrong_ftp_password(worlds, tmp_path):
    found = diagnose(worlds.pyftpdlib.settings(Password="secret word"), tmp_path)
    names(found, "password-refused", "ftp.Password")
    assert "secret word" not in repr(found)


@pytest.mark.slow
def test_data_connections_that_do_not_come_through(worlds, tmp_path):
    server = worlds.pyftpdlib
    with FTPRelay(server.port, []) as relay:  # the control port is open, the passive ports are not
        settings = server.settings(Host=relay.host, HostPort=relay.port, StallSecs=1)
        names(diagnose(settings, tmp_path), "data-blocked", "passive ports", "ftp.UseSFTP = True")
        # The server's own connection comes from another address than we talk to: as behind NAT.
        names(diagnose({**settings, "PassiveMode": False}, tmp_path), "active-blocked", "ftp.PassiveMode = True")


async def test_what_was_created_is_removed_on_an_interrupt(worlds, tmp_path):
    server = worlds.pyftpdlib
    before = server.names()

    # Slow, so that it is broken off in the middle.
    found = target(server.settings(HostPath="in/new", RateLimit=20_000), tmp_path)
    task = asyncio.ensure_future(rounds.run([found], lambda *findings: None, TIMES))
    deadline = time.monotonic() + 20
    while server.names() == before and time.monotonic() < deadline:  # noqa: ASYNC110 - a server has no event for it
        await asyncio.sleep(0.002)
    assert server.names() != before and not task.done()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert task.cancelled()
    assert server.names() == before and not (server.files / "in").exists()


# --- Dropbox


def test_dropbox(worlds, tmp_path):
    server = worlds.dropbox
    names(diagnose(server.settings(CAFile=None), tmp_path, "dropbox"), "certificate-untrusted", "CAFile")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    names(diagnose(server.settings(Proxy=f"http://127.0.0.1:{port}"), tmp_path, "dropbox"), "port-closed", "Proxy")
    server.space(0)
    try:
        names(diagnose(server.settings(), tmp_path, "dropbox"), "no-room", "quota")
    finally:
        server.space(None)
    token = server.access_token()
    server.expire_tokens()
    found = diagnose(server.settings(RefreshToken=None, AccessToken=token), tmp_path, "dropbox")
    names(found, "token-expired", "RefreshToken", "pysubtask.dropbox --login")
    assert token not in repr(found)
    server.revoke()
    try:
        names(diagnose(server.settings(), tmp_path, "dropbox"), "token-refused", "pysubtask.dropbox --login")
    finally:
        server.restore()


# --- a clock that is wrong


def test_a_server_whose_clock_is_a_day_off(worlds, tmp_path):
    async def findings_of_clock():
        from pysubtask.control.doctor.remote import open_remote

        server = worlds.asyncssh
        settings = target(server.settings(), tmp_path).settings
        remote = open_remote("sftp", settings, str(tmp_path / "work"))
        await remote.connect()
        try:
            visit = ServerChecks(remote, settings, time.monotonic() + 20, wall=lambda: time.time() + 86400)
            return [finding async for finding in visit.findings()]
        finally:
            await remote.close()

    found = [finding for finding in asyncio.run(findings_of_clock()) if finding.state == "warn"]
    assert [finding.cause for finding in found] == ["clock-apart"]
    assert "86,40" in found[0].text and "behind" in found[0].text
    assert [path.name for path in Path(worlds.asyncssh.root).iterdir()] == ["keys"]
