"""known_hosts files, those that ssh-keygen makes among them."""

from __future__ import annotations

import base64
import subprocess
from pathlib import Path

import pytest

from pysubtask.testing.servers.sshd import find_program
from pysubtask.transports.shared.known_hosts import keys_on_file, remember

_HEAD = bytes([0, 0, 0, 11]) + b"ssh-ed25519" + bytes([0, 0, 0, 32])
KEY, OTHER = (base64.b64encode(_HEAD + sign * 32).decode() for sign in (b"k", b"o"))


def found(text: str, host: str, port: int, tmp_path: Path) -> set[str]:
    (tmp_path / "known").write_text(text)
    return {base64.b64encode(key).decode() for _, key in keys_on_file([str(tmp_path / "known")], host, port).keys}


@pytest.mark.parametrize(
    ("name", "host", "port", "known"),
    [
        ("h", "h", 22, True),
        ("h", "H", 22, True),
        ("h", "h", 2222, False),
        ("[h]:2222", "h", 2222, True),
        ("[h]:2222", "h", 22, False),
        ("[h]:22222", "h", 2222, False),
        ("[h]:*", "h", 2222, True),
        ("a,h,::1", "::1", 22, True),
        ("[::1]:2222", "::1", 2222, True),
        ("*.example.org", "a.example.org", 22, True),
        ("*.example.org", "aXexample.org", 22, False),
        ("h?", "h1", 22, True),
        ("h?", "h", 22, False),
        ("*.example.org,!bad.example.org", "bad.example.org", 22, False),
        ("!bad.example.org,*.example.org", "bad.example.org", 22, False),
        ("!bad.example.org", "good.example.org", 22, False),
        ("@cert-authority h", "h", 22, False),
        ("@strange h", "h", 22, False),
        ("# h", "h", 22, False),
        ("|1|no|hash", "h", 22, False),
        ("|1|", "h", 22, False),
    ],
)
def test_names(name: str, host: str, port: int, known: bool, tmp_path: Path):
    assert found(f"\n# more\n{name} ssh-ed25519 {KEY} a comment\n", host, port, tmp_path) == ({KEY} if known else set())


def test_several_keys_of_a_host_all_count(tmp_path: Path):
    """A server changes its key by showing two for a while."""
    text = f"h ssh-ed25519 {KEY}\nh ssh-ed25519 {OTHER}\nh ssh-ed25519 no=base64\nh ssh-ed25519\nä ssh-ed25519 {OTHER}\n"
    assert found(text, "h", 22, tmp_path) == {KEY, OTHER}


def test_revoked_keys_are_distinguished(tmp_path: Path):
    (tmp_path / "known").write_text(f"h ssh-ed25519 {KEY}\n@revoked * ssh-ed25519 {OTHER}\n")
    on_file = keys_on_file([str(tmp_path / "absent"), str(tmp_path / "known")], "h", 22)
    assert on_file.keys == {("ssh-ed25519", base64.b64decode(KEY))}
    assert on_file.revoked == {base64.b64decode(OTHER)}


@pytest.mark.skipif(find_program("ssh-keygen") is None, reason="ssh-keygen is not installed (apt-get install openssh-client)")
def test_hashed_by_ssh_keygen(tmp_path: Path):
    known = tmp_path / "known"
    known.write_text(f"h ssh-ed25519 {KEY}\n[h]:2222 ssh-ed25519 {OTHER}\n")
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", str(known)], check=True, capture_output=True, timeout=60)
    text = known.read_text()
    assert "[h]" not in text
    assert found(text, "h", 22, tmp_path) == {KEY}
    assert found(text, "H", 2222, tmp_path) == {OTHER}
    assert found(text, "h", 2223, tmp_path) == set()


def test_what_is_remembered_is_found(tmp_path: Path):
    known = tmp_path / "new" / "known"
    assert remember(str(known), "h", 22, "ssh-ed25519", KEY)
    known.write_text(known.read_text() + "# a line without an end")
    assert remember(str(known), "h", 2222, "ssh-ed25519", OTHER)
    assert found(known.read_text(), "h", 22, tmp_path) == {KEY}
    assert found(known.read_text(), "h", 2222, tmp_path) == {OTHER}
    assert len(known.read_text().splitlines()) == 3
    assert not remember(str(known / "below"), "h", 22, "ssh-ed25519", KEY)


def test_a_file_that_cannot_be_read(tmp_path: Path):
    with pytest.raises(OSError):
        keys_on_file([str(tmp_path)], "h", 22)
