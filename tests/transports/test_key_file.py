"""Key files as people have them: each fault is named with a line that mends it, and that line is run here."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from pysubtask.common import account, key_text
from pysubtask.common.errors import LoginRefused, ServerNotTrusted
from pysubtask.common.ssh_certificate import certificate_of
from pysubtask.testing.servers.sshd import make_key, missing
from pysubtask.transports.shared import key_file
from tests.support import alterations, harm

pytestmark = pytest.mark.skipif(missing() is not None, reason=str(missing()))
PRIVATE = "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n"
NAMES = [name for name, _ in alterations.cases(PRIVATE)]


@pytest.fixture
def key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    (tmp_path / "my keys").mkdir()
    make_key(tmp_path / "my keys" / "it's")
    return tmp_path / "my keys" / "it's"


def written(path: Path, data: bytes, mode: int = 0o600) -> Path:
    path.write_bytes(data)
    path.chmod(mode)
    return path


def trouble(path: Path, **how) -> key_file.KeyFault:
    found = key_file.check(str(path), **how)
    assert found is not None
    return found


@pytest.mark.parametrize("mode", [0o600, 0o644])
@pytest.mark.parametrize("name", NAMES)
def test_what_an_editor_did_is_named_and_the_line_undoes_it(key: Path, name: str, mode: int):
    data = dict(alterations.cases(key.read_text()))[name]
    altered = written(key.parent / name, data, mode)
    found = trouble(altered)
    assert found.cause == "key-file-altered" and str(altered) in found.text
    word = {
        "crlf": "CRLF",
        "newline": "newline",
        "bom": "BOM",
        "notepad": "BOM",
        "utf16": "UTF-16",
        "indented": "blanks",
        "mail": "above",
        "mac": "line ends",
        "blank line above": "above",
    }[name]
    assert word in found.text
    [line] = found.commands
    assert harm.in_line(line) == ""
    subprocess.run(["sh", "-c", line], check=True, timeout=60)
    mended = Path(found.key)
    assert key_file.check(str(mended)) is None and stat.S_IMODE(mended.stat().st_mode) == 0o600
    assert (
        subprocess.run(["ssh-keygen", "-y", "-P", "", "-f", mended], check=True, capture_output=True, timeout=60).stdout.split()[1]
        == key.with_name(f"{key.name}.pub").read_bytes().split()[1]
    )
    assert altered.read_bytes() == data and stat.S_IMODE(altered.stat().st_mode) == mode
    # Once more the line overwrites nothing, and another name is given.
    assert subprocess.run(["sh", "-c", line], capture_output=True, timeout=60, check=False).returncode != 0
    assert trouble(altered).key != str(mended)


def test_other_formats_may_be_written_so_or_so(key: Path):
    """ssh leaves the older formats to OpenSSL, which takes line ends as they come: such a key works."""
    argv = ["ssh-keygen", "-q", "-t", "rsa", "-b", "2048", "-m", "PEM", "-N", "", "-f", key.parent / "pem"]
    subprocess.run(argv, check=True, timeout=60)
    windows = written(key.parent / "win", (key.parent / "pem").read_bytes().replace(b"\n", b"\r\n"))
    loaded = subprocess.run(["ssh-keygen", "-y", "-P", "", "-f", windows], capture_output=True, timeout=60, check=False)
    assert (key_file.check(str(windows)) is None) == (loaded.returncode == 0)


def test_a_library_reads_what_ssh_does_not(key: Path):
    altered = written(key.parent / "crlf", key.read_bytes().replace(b"\n", b"\r\n"), 0o644)
    assert key_file.check(str(altered), by_ssh=False) is None and key_file.check(str(altered)) is not None


@pytest.mark.parametrize("private", [True, False])
def test_a_key_that_is_not_whole_is_copied_anew(key: Path, private: bool):
    data = key.read_bytes()
    cut = written(key.parent / "cut", data[: len(data) // 2] if private else data[: len(data) // 2].replace(b"\n", b"\r\n"))
    found = trouble(cut)
    assert found.cause == "key-file-unusable" and "anew" in found.words and harm.in_line(found.commands[0]) == ""


def test_without_ssh_keygen_the_text_alone_tells(key: Path, monkeypatch: pytest.MonkeyPatch):
    altered = written(key.parent / "bom", b"\xef\xbb\xbf" + key.read_bytes())
    make_key(key.parent / "shut", passphrase="secret")
    monkeypatch.setattr(key_file.shutil, "which", lambda name: None)
    assert trouble(altered).cause == "key-file-altered"
    assert trouble(key.parent / "shut").cause == "key-has-passphrase"
    assert key_file.check(str(key)) is None


def test_putty_in_either_version(key: Path):
    for version in (2, 3):
        ppk = written(key.parent / f"k{version}.ppk", f"PuTTY-User-Key-File-{version}: ssh-ed25519\r\n".encode())
        found = trouble(ppk)
        assert found.cause == "key-file-putty" and ".ppk" in found.text
        assert found.commands == (
            f"puttygen {key_file.advice.word(str(ppk))} -O private-openssh -o {key_file.advice.word(found.key)}",
        )
        assert harm.in_line(found.commands[0]) == "" and found.key == str(key.parent / f"k{version}_openssh")


@pytest.mark.parametrize("mode", [0o400, 0o600, 0o440, 0o644, 0o666])
def test_the_mode_counts_for_the_users_own_files_only(key: Path, mode: int, monkeypatch: pytest.MonkeyPatch):
    key.chmod(mode)
    assert (key_file.check(str(key)) is None) == (mode & 0o077 == 0)
    monkeypatch.setattr(account, "uid", lambda: os.getuid() + 1)
    assert key_file.check(str(key)) is None


def test_no_remedy_changes_a_mode_that_cannot_be_changed(key: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    key.chmod(0o444)
    assert trouble(key).commands == (f"chmod 600 {key_file.advice.word(str(key))}",)
    monkeypatch.setattr(key_file, "why_mode_is_fixed", lambda path: "it is on a file system that is mounted read-only")
    monkeypatch.setenv("HOME", str(tmp_path))
    found = trouble(key)
    assert found.cause == "key-file-open-fixed" and "read-only" in found.text and "chmod" not in str(found)
    assert harm.in_line(found.commands[0]) == "" and found.key == str(tmp_path / ".ssh" / key.name)
    subprocess.run(["sh", "-c", found.commands[0]], check=True, timeout=60)
    assert stat.S_IMODE(os.stat(found.key).st_mode) == 0o400 or stat.S_IMODE(os.stat(found.key).st_mode) == 0o600
    assert key_file.check(found.key) is None and stat.S_IMODE((tmp_path / ".ssh").stat().st_mode) == 0o700
    monkeypatch.setenv("HOME", str(tmp_path / "no home"))
    assert trouble(key).commands == ()


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/media/my stick/key", "vfat"),
        ("/media/my stick", "vfat"),
        ("/media/my", "ext4"),
        ("/run/secrets/key", "tmpfs"),
        ("/x", "ext4"),
    ],
)
def test_the_file_system_of_a_path(path: str, kind: str):
    mounts = (
        "22 1 8:1 / / rw shared:1 - ext4 /dev/sda1 rw\n30 22 8:17 / /media/my\\040stick rw shared:2 - vfat /dev/sdb1 "
        "rw,uid=1000\n31 22 0:9 / /run rw - tmpfs tmpfs rw\nnonsense\n"
    )
    assert key_text.kind_of_mount(path, mounts) == kind


def test_a_file_system_that_keeps_no_modes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    mounts = tmp_path / "mounts"
    mounts.write_text("22 1 8:1 / / rw - vfat /dev/sda1 rw\n")
    assert "vfat" in key_file.why_mode_is_fixed(str(tmp_path), str(mounts))
    mounts.write_text("22 1 8:1 / / rw - ext4 /dev/sda1 rw\n")
    assert key_file.why_mode_is_fixed(str(tmp_path), str(mounts)) == ""
    assert key_file.why_mode_is_fixed(str(tmp_path), str(tmp_path / "none")) == ""


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("ssh-agent") is None, reason="ssh-agent is not installed")
@pytest.mark.parametrize("kind", ["own", "PEM", "public"])
def test_a_key_that_an_agent_holds_works(key: Path, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    words = ["-t", "rsa", "-b", "2048", "-m", "PEM"] if kind == "PEM" else ["-t", "ed25519"]
    shut = key.parent / "shut"
    subprocess.run(["ssh-keygen", "-q", *words, "-N", "secret", "-f", shut], check=True, timeout=60)
    named = shut.with_name("shut.pub") if kind == "public" else shut
    assert not trouble(named).works
    ask = written(tmp_path / "ask", b"#!/bin/sh\necho secret\n", 0o700)
    socket = tmp_path / "agent"
    with subprocess.Popen(["ssh-agent", "-D", "-a", socket], stdout=subprocess.DEVNULL) as agent:
        try:
            added = f"until [ -S {socket} ]; do sleep 0.05; done; ssh-add -q '{shut}'"
            subprocess.run(
                ["sh", "-c", added],
                check=True,
                timeout=60,
                stdin=subprocess.DEVNULL,
                env={**os.environ, "SSH_AUTH_SOCK": str(socket), "SSH_ASKPASS": str(ask), "SSH_ASKPASS_REQUIRE": "force"},
            )
            found = trouble(named, agent=str(socket))
            assert found.works and found.cause == "key-in-agent"
            monkeypatch.setenv("SSH_AUTH_SOCK", str(socket))
            assert trouble(named).works
        finally:
            agent.terminate()


@pytest.mark.parametrize(
    ("valid", "name", "cause"),
    [
        ("-20d:-10d", "pi", "certificate-ended"),
        ("+10d:+20d", "pi", "certificate-early"),
        ("-1d:+20d", "bob", "certificate-user"),
        ("-1d:+20d", "pi", ""),
        ("always:forever", "pi", ""),
    ],
)
def test_a_certificate_beside_the_key(key: Path, valid: str, name: str, cause: str):
    to = key.parent / "certified"
    alterations.certified(key, to, valid, name)
    exc = key_file.explained(LoginRefused("the login was refused. ssh said: 'no'", "Check User"), str(to), "pi")
    assert (exc.seen.cause if isinstance(exc.seen, key_file.KeyFault) else "") == cause
    if cause:
        assert f"{to}-cert.pub" in exc.cause and "the login was refused" in exc.cause and "ssh-keygen -L" in exc.remedy
        assert exc.cause.startswith("the certificate") and "Check User" not in exc.remedy
    # Without a refusal, whose names it has is the server's affair.
    assert (key_file.certificate_trouble(str(to)) is not None) == (cause in ("certificate-ended", "certificate-early"))


def test_what_is_no_fault_of_the_key_stays_as_it_is(key: Path):
    altered = written(key.parent / "crlf", key.read_bytes().replace(b"\n", b"\r\n"))
    for exc in (ServerNotTrusted("host key not known", "the login was refused"), LoginRefused("they share no algorithm")):
        assert key_file.explained(exc, str(altered), "pi") is exc
    plain = LoginRefused("the login was refused")
    assert key_file.explained(plain, None, "pi") is plain and key_file.explained(plain, str(key), "pi") is plain
    both = key_file.explained(plain, str(altered), "pi", password=True)
    assert both.cause.startswith("the login was refused; and ") and "CRLF" in both.cause


def test_what_ssh_keygen_says_of_a_certificate():
    listing = (
        'x-cert.pub:\n  Key ID: "a"\n  Valid: from 2026-11-09T21:43:20 to 2026-11-19T21:43:20\n  Principals: \n'
        "    root\n    pi\n  Critical Options: (none)\n  Extensions: \n  permit-pty\n"
    )
    found = certificate_of(listing)
    assert found == ("2026-11-09T21:43:20", "2026-11-19T21:43:20", ("root", "pi"))
    assert certificate_of("Valid: forever\nPrincipals: (none)\nCritical Options: (none)").names == ()
    assert certificate_of("Valid: before 2020-01-01T00:00:00").is_over() and not certificate_of("Valid: forever").is_over()
    assert certificate_of("nothing") == ("", "", ())
