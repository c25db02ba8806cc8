"""The files that a config names: keys, known_hosts, certificates; by the doctor and by check, with real keys."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from pysubtask.common import account
from pysubtask.control.commands import check
from pysubtask.control.doctor import local, login_files
from pysubtask.control.doctor.finding import remedy_lines, setting_line
from pysubtask.control.doctor.source import load_python, of_config
from pysubtask.testing.servers.sshd import make_key

needs_keygen = pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="ssh-keygen is not installed")


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    folder = tmp_path / "keys"
    folder.mkdir()
    make_key(folder / "id_station")
    return folder


def first(path: Path | str) -> tuple[str, list[str]]:
    """The cause of the first finding, and what to do."""
    [found] = login_files.key_file(str(path))
    return found.cause, [found.text, *remedy_lines(found, "ftp", "toml")]


@needs_keygen
def test_a_good_key(keys: Path):
    assert first(keys / "id_station")[0] == ""


@needs_keygen
@pytest.mark.parametrize("mode", [0o600, 0o644, 0o666])
def test_the_public_half_is_called_that_whatever_its_mode(keys: Path, mode: int):
    (keys / "id_station.pub").chmod(mode)
    cause, lines = first(keys / "id_station.pub")
    assert cause == "key-file-public" and not any("chmod" in line for line in lines)
    assert f'in the config:  KeyFile = "{keys}/id_station"    (in the section [ftp])' in lines


@needs_keygen
@pytest.mark.parametrize("typed", ["id_staton", "id_stat", "ID_STATION", "id_rsa", "id_station.pem"])
def test_a_mistyped_name_is_no_reason_for_a_new_key(keys: Path, typed: str):
    cause, lines = first(keys / typed)
    assert cause == "key-file-missing" and "did you mean" in lines[0] and str(keys / "id_station") in lines[0]
    assert not any("ssh-keygen" in line for line in lines)


@needs_keygen
def test_the_likeliest_of_several_keys_comes_first(keys: Path):
    for name in ("aaa", "zzz"):
        make_key(keys / name)
    (keys / "config").write_text("no key")
    assert f"did you mean {keys}/id_station?" in first(keys / "id_sation")[1][0]
    assert login_files.keys_in(str(keys)) == [f"{keys}/{name}" for name in ("aaa", "id_station", "zzz")]


def test_where_there_is_no_key_a_new_one_is_offered(tmp_path: Path):
    cause, lines = first(tmp_path / "id_new")
    assert cause == "key-file-missing" and f"run:  ssh-keygen -t ed25519 -N '' -f {tmp_path}/id_new" in lines
    cause, lines = first(tmp_path / "nowhere" / "id_new")
    assert cause == "key-file-missing" and not any("ssh-keygen" in line for line in lines)


@needs_keygen
def test_other_files_that_are_no_private_key(keys: Path):
    (keys / "putty.ppk").write_text("PuTTY-User-Key-File-3: ssh-ed25519\n")
    (keys / "notes").write_text("hello\n")
    (keys / "lost.pub").write_text((keys / "id_station.pub").read_text())
    assert first(keys / "putty.ppk")[0] == "key-file-putty"
    assert first(keys / "notes")[0] == "key-file-wrong"
    assert first(keys)[0] == "key-file-missing"
    assert first(keys / "lost.pub")[0] == "key-file-public"


@needs_keygen
def test_a_key_of_somebody_else_is_never_changed(keys: Path, monkeypatch: pytest.MonkeyPatch):
    """ssh minds the mode of the user's own files only; root's key given to another user would lock root out."""
    (keys / "id_station").chmod(0o644)
    assert first(keys / "id_station")[0] == "key-file-open"
    monkeypatch.setattr(account, "uid", lambda: os.getuid() + 1)
    assert first(keys / "id_station")[0] == ""
    monkeypatch.undo()

    def denied(*words, **more):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", denied)
    cause, lines = first(keys / "id_station")
    assert cause == "key-file-unreadable" and not any("chown" in line or "chmod" in line for line in lines)


@needs_keygen
@pytest.mark.skipif(shutil.which("ssh-agent") is None, reason="ssh-agent is not installed")
def test_a_passphrase_is_no_fault_while_an_agent_has_the_key(keys: Path, monkeypatch: pytest.MonkeyPatch):
    make_key(keys / "shut", passphrase="secret word")
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    cause, lines = first(keys / "shut")
    assert cause == "key-has-passphrase" and not any("-p " in line for line in lines)
    # The same key without its passphrase is what the agent gets, so that nobody has to type.
    shutil.copy(keys / "shut", keys / "open")
    subprocess.run(["ssh-keygen", "-q", "-p", "-P", "secret word", "-N", "", "-f", keys / "open"], check=True, timeout=60)
    socket = keys / "agent"
    with subprocess.Popen(["ssh-agent", "-D", "-a", socket], stdout=subprocess.DEVNULL) as agent:
        try:
            monkeypatch.setenv("SSH_AUTH_SOCK", str(socket))
            ready = f"until [ -S {socket} ]; do sleep 0.05; done; ssh-add -q {keys}/open"
            subprocess.run(["sh", "-c", ready], check=True, timeout=60)
            assert first(keys / "shut")[0] == "key-in-agent"
            assert first(keys / "id_station")[0] == ""
        finally:
            agent.terminate()


def checked(folder: Path, section: str) -> tuple[int, str]:
    (folder / "data").mkdir(exist_ok=True)
    config = folder / "station.toml"
    config.write_text(f'[ftp]\n{section}\n[[watch]]\ndir = "data"\n')
    config.chmod(0o600)
    done = CliRunner().invoke(check.command, [str(config)], standalone_mode=False)
    assert done.exception is None, done.exception
    return int(done.return_value), done.output


@needs_keygen
@pytest.mark.parametrize(
    ("section", "words"),
    [
        ('KeyFile = "keys/id_staton"', "did you mean"),
        ('KeyFile = "keys/id_station.pub"', "is the public half"),
        ('KeyFile = "keys/shut"', "locked by a passphrase"),
        ('KeyFile = "keys/win"', "tr -d"),
        ('KeyFile = "keys"', "is a folder"),
        ('KeyFile = "keys/open"', "chmod 600"),
        ('KeyFile = "keys/id_station"\nSSHConfigFile = "nowhere"', "there is no file"),
        ('UseSFTP = false\nUseTLS = "explicit"\nCAFile = "nowhere.pem"', 'CAFile = "none"'),
        ('UseSFTP = false\nUseTLS = "explicit"\nCAFile = "keys/id_station"', "holds no certificate"),
    ],
)
def test_check_reads_the_files_that_are_named(
    tmp_path: Path, keys: Path, section: str, words: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    make_key(keys / "shut", passphrase="secret word")
    make_key(keys / "open")
    (keys / "open").chmod(0o644)
    (keys / "win").write_text((keys / "id_station").read_text().replace("\n", "\r\n"))
    (keys / "win").chmod(0o600)
    status, output = checked(tmp_path, f'Host = "h"\n{section}')
    assert status == 1 and words in output and "all right" not in output, output
    assert "what they name is not" in output and "would be sent" in output  # and the rest is reported as well


@needs_keygen
def test_a_password_besides_an_unusable_key_is_a_warning(keys: Path, monkeypatch: pytest.MonkeyPatch):
    """ssh passes over the key and uses the password: uploads work."""
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    (keys / "id_station").chmod(0o644)
    settings = {"Host": "h", "KeyFile": str(keys / "id_station"), "Password": "x"}
    assert [one.state for one in login_files.check(settings)] == ["warn"]
    assert [one.state for one in login_files.check({**settings, "Password": None})] == ["fail"]


@needs_keygen
@pytest.mark.skipif(shutil.which("ssh") is None or shutil.which("ssh-agent") is None, reason="ssh or ssh-agent is not installed")
def test_the_agent_that_the_configuration_of_ssh_names_is_asked(keys: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    make_key(keys / "shut", passphrase="secret")
    shutil.copy(keys / "shut", keys / "open")
    subprocess.run(["ssh-keygen", "-q", "-p", "-P", "secret", "-N", "", "-f", keys / "open"], check=True, timeout=60)
    (keys / "config").write_text(f"Host h\n    IdentityAgent {keys}/agent\n")
    settings = {"Host": "h", "KeyFile": str(keys / "shut"), "SSHConfigFile": str(keys / "config")}
    assert login_files.check(settings)[0].cause == "key-has-passphrase"
    with subprocess.Popen(["ssh-agent", "-D", "-a", keys / "agent"], stdout=subprocess.DEVNULL) as agent:
        try:
            ready = f"until [ -S {keys}/agent ]; do sleep 0.05; done; SSH_AUTH_SOCK={keys}/agent ssh-add -q {keys}/open"
            subprocess.run(["sh", "-c", ready], check=True, timeout=60)
            assert (login_files.check(settings)[0].state, login_files.check(settings)[0].cause) == ("warn", "key-in-agent")
        finally:
            agent.terminate()


@needs_keygen
def test_check_is_content_with_good_files(tmp_path: Path, keys: Path):
    (tmp_path / "known").touch()
    status, output = checked(tmp_path, 'Host = "h"\nKeyFile = "keys/id_station"\nKnownHostsFile = "known"')
    assert status == 0 and "station.toml: all right" in output and "FAIL" not in output
    status, output = checked(tmp_path, 'Host = "h"\nKeyFile = "keys/id_station"\nKnownHostsFile = "unknown"')
    assert status == 0 and "so no server is known" in output


@pytest.mark.parametrize(
    ("mode", "text", "noted"),
    [
        (0o644, "Password = 'hunter2'", True),
        (0o640, "Password = 'hunter2'", True),
        (0o600, "Password = 'hunter2'", False),
        (0o644, "Password = ''.join(['hun', 'ter2'])", False),
        (0o644, "User = 'pi'", False),
    ],
)
def test_a_python_config_with_a_readable_password_is_noted(tmp_path: Path, mode: int, text: str, noted: bool):
    config = tmp_path / "my config.py"
    config.write_text(f"class ftp:\n    Host = 'h'\n    UseSFTP = False\n    {text}\n")
    config.chmod(mode)
    [target] = of_config(load_python(str(config)))
    found = [one for one in local.check([target]) if one.check == "config"]
    assert [(one.state, one.cause) for one in found] == ([("warn", "config-open")] if noted else [])
    if noted:
        assert found[0].remedy.commands == (f"chmod 600 '{config}'",) and "hunter2" not in repr(found)


def test_a_setting_is_written_as_its_config_takes_it():
    assert setting_line("ftp", "UseSFTP", True, "toml") == "UseSFTP = true    (in the section [ftp])"
    assert setting_line("ftp", "UseTLS", None, "toml") == 'UseTLS = "none"    (in the section [ftp])'
    assert setting_line("ftp", "UseTLS", None, "python") == "ftp.UseTLS = None"
    assert setting_line("ftp", "SSHConfigFile", None, "toml") == "remove the line SSHConfigFile from [ftp]"
