"""The doctor's remedies where Host is a URL: the URL is mended, and nothing beside it contradicts it."""

from __future__ import annotations

import asyncio
import itertools
import socket
from pathlib import Path

import pytest

from pysubtask.common import address
from pysubtask.common.remedy import in_words_of
from pysubtask.control.doctor import in_secret_file, in_url
from pysubtask.control.doctor.examine import examine
from pysubtask.control.doctor.finding import fail, remedy_lines
from pysubtask.control.doctor.rounds import of_word
from pysubtask.master.child_config import plan
from pysubtask.testing.servers.ftp import ftp_server
from tests.support.doctor import TIMES, Scripted, failures


@pytest.mark.parametrize(
    ("host", "settings", "expected"),
    [
        ("ftp://me@h:2121/in", {"UseSFTP": True, "HostPort": 2121}, {"Host": "sftp://me@h:2121/in"}),
        ("ftp://me@h/in", {"UseSFTP": True, "HostPort": 22}, {"Host": "sftp://me@h/in"}),
        ("ftp://me@h:21/in", {"UseSFTP": True, "HostPort": 22}, {"Host": "sftp://me@h/in"}),
        ("ftp://me@h/in", {"UseSFTP": True, "HostPort": 21}, {"Host": "sftp://me@h:21/in"}),
        ("ftp://me@h:21/in", {"PassiveMode": False, "UseSFTP": True}, {"PassiveMode": False, "Host": "sftp://me@h/in"}),
        ("sftp://me@h/in", {"UseSFTP": False, "UseTLS": None, "HostPort": 21}, {"Host": "ftp://me@h/in"}),
        ("me@h:in/x y", {"UseSFTP": False, "UseTLS": "explicit", "HostPort": 22}, {"Host": "ftps://me@h:22/in/x%20y"}),
        ("ftp://me@h/in", {"UseTLS": "explicit"}, {"Host": "ftps://me@h/in"}),
        ("ftps://me@h/in", {"UseTLS": None}, {"Host": "ftp://me@h/in"}),
        ("ftp://me@h/in", {"UseTLS": "implicit", "HostPort": 990}, {"Host": "ftps://me@h:990/in"}),
        (
            "ftp://me@h:2121",
            {"UseSFTP": False, "UseTLS": "implicit", "HostPort": 2121},
            {"Host": "ftps://me@h:2121", "UseTLS": "implicit"},
        ),
        ("ftps://me@h:990", {"UseTLS": "explicit"}, {"Host": "ftps://me@h:990", "UseTLS": "explicit"}),
        ("ftp://me@h:2121//in", {"HostPort": in_url.RIGHT_PORT}, {"Host": "ftp://me@h:PORT//in"}),
        ("ftp://me@h/in", {"Host": in_url.RIGHT_NAME}, {"Host": "ftp://me@NAME/in"}),
        (
            "ftps://me@h:2121/in",
            {"Host": "web.example", "TLSFingerprint": "AA"},
            {"Host": "ftps://me@web.example:2121/in", "TLSFingerprint": "AA"},
        ),
        ("ftp://me@h/in", {"HostPath": ""}, {"Host": "ftp://me@h"}),
        ("ftp://me@h", {"HostPath": "in"}, {"HostPath": "in"}),
        ("h", {"UseSFTP": True, "HostPort": 22}, {"UseSFTP": True, "HostPort": 22}),
        ("", {"HostPort": 22}, {"HostPort": 22}),
        ("dropbox:/x", {"HostPort": 22}, {"HostPort": 22}),
        ("ftp://me@h/in", {"Connections": 1}, {"Connections": 1}),
    ],
)
def test_the_url_is_mended_and_the_rest_of_it_stays(host, settings, expected):
    found = in_url.remedied(fail("x", "y", "z", *settings.items()), host)
    assert dict(found.remedy.settings) == expected and len(found.remedy.settings) == len(expected)


def settings_of(given):
    return plan("ftp", "pysubtask.ftp", {"ftp": given}, "/srv").settings


def test_whatever_is_mended_the_config_is_valid_and_says_it():
    """Each URL and each protocol that the doctor may find at a port."""
    meant = {
        "sftp": {"UseSFTP": True},
        "ftp": {"UseSFTP": False, "UseTLS": None},
        "ftps": {"UseSFTP": False, "UseTLS": "explicit"},
        "implicit": {"UseSFTP": False, "UseTLS": "implicit"},
    }
    for scheme, port, now, spoken in itertools.product(
        ("sftp", "ftp", "ftps"), ("", ":21", ":22", ":990", ":2121"), meant, (21, 22, 990, 2222)
    ):
        host = f"{scheme}://me@h{port}/in"
        changes = {**meant[now], "HostPort": spoken}
        found = dict(in_url.remedied(fail("x", "y", "z", *changes.items()), host).remedy.settings)
        mended = settings_of(found)
        usual = 22 if mended["UseSFTP"] else 990 if mended["UseTLS"] == "implicit" else 21
        assert (mended["UseSFTP"], mended["HostPath"], mended["User"], mended["Host"]) == (changes["UseSFTP"], "in", "me", "h")
        assert (mended["HostPort"] if mended["HostPort"] > 0 else usual) == spoken, (host, changes, found)
        if not mended["UseSFTP"]:
            assert mended["UseTLS"] == changes["UseTLS"], (host, changes, found)


def diagnose(config: Path):
    async def findings():
        return [finding async for finding in examine(of_word(str(config))[0][0], TIMES)]

    [found] = failures(asyncio.run(findings()))
    return found


def config_of(folder: Path, host: str) -> Path:
    (folder / "data").mkdir(exist_ok=True)
    config = folder / "station.toml"
    config.write_text(f'[ftp]\nHost = "{host}"\nPassword = "x"\n[[watch]]\ndir = "data"\n')
    config.chmod(0o600)
    return config


def test_another_protocol_at_the_port_of_a_url(tmp_path):
    with ftp_server(tmp_path / "files") as server:
        config = config_of(tmp_path, f"sftp://me@127.0.0.1:{server.port}/in")
        found = diagnose(config)
        lines = remedy_lines(found, "ftp", "toml")
        assert found.cause == "wrong-protocol" and f'Host = "ftp://me@127.0.0.1:{server.port}/in"' in "\n".join(lines)
        assert "UseSFTP" not in "".join(lines) and "HostPort" not in "".join(lines)
        config_of(tmp_path, dict(found.remedy.settings)["Host"])
        assert diagnose(config).cause == "password-refused"  # the line was right


def test_a_server_that_is_down_is_named_before_another_protocol(tmp_path, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    config = config_of(tmp_path, f"ftp://me@127.0.0.1:{port}/in")
    monkeypatch.setattr("pysubtask.control.doctor.endpoint_checks._OTHER_SECS", 0.0)
    found = diagnose(config)
    assert found.cause == "port-closed" and found.remedy.words.startswith("Is the server up?")
    assert found.remedy.settings == (("Host", "ftp://me@127.0.0.1:PORT/in"),)

    with Scripted(b"SSH-2.0-x") as other:

        async def elsewhere(self):
            return other.port, (await in_network(other.port))

        monkeypatch.setattr("pysubtask.control.doctor.endpoint_checks.EndpointChecks._elsewhere", elsewhere)
        found = diagnose(config)
    words = found.remedy.words
    assert words.startswith("Is the server up?") and words.index("Only if") < words.index(f"port {other.port} of it speaks SSH")
    assert found.remedy.settings == (("Host", f"sftp://me@127.0.0.1:{other.port}/in"),)
    assert address.is_address(found.remedy.settings[0][1])


async def in_network(port):
    from pysubtask.control.doctor import network

    sock, _ = await network.connect([(socket.AF_INET, ("127.0.0.1", port))], 1.0)
    return await network.hear(sock, 1.0)


def test_a_refused_password_is_sought_where_the_config_has_it(tmp_path):
    with ftp_server(tmp_path / "files") as server:
        (tmp_path / "data").mkdir()
        secret = tmp_path / "station.password"
        secret.write_text("wrong\n")
        secret.chmod(0o600)
        config = tmp_path / "station.toml"
        config.write_text(
            f'[ftp]\nHost = "ftp://me@127.0.0.1:{server.port}/in"\nPasswordFile = "station.password"\n[[watch]]\ndir = "data"\n'
        )
        found = diagnose(config)
        assert found.cause == "password-refused"
        assert f"the user name in Host and the password in the first line of {secret} (PasswordFile)" in found.remedy.words
        config.write_text(config.read_text().replace("me@", "").replace("[ftp]", '[ftp]\nUser = "me"'))
        assert f"Check User and the password in the first line of {secret}" in diagnose(config).remedy.words


def test_a_secret_in_a_file_gets_no_second_place():
    finding = fail("login", "x", "y", ("RefreshToken", "..."), ("AccessToken", None), words="All of it.")
    found = in_secret_file.remedied(finding, {"RefreshToken": "/srv/box.token"})
    assert found.remedy.settings == (("AccessToken", None),)
    assert found.remedy.words == "All of it. It belongs into the first line of /srv/box.token (RefreshTokenFile)."
    found = in_secret_file.remedied(fail("login", "x", "y", ("KeyFile", "k"), ("Password", None)), {"Password": "/p"})
    assert remedy_lines(found, "ftp", "toml")[1] == "in the config:  remove the line PasswordFile from [ftp]"
    assert in_secret_file.remedied(finding, {"Password": "/p"}) == finding


@pytest.mark.parametrize("message", ["Check ftp.User and ftp.Password, and the account", "Check User, KeyFile or Password, and it"])
def test_a_log_names_the_file_that_may_hold_the_password(message):
    assert "PasswordFile" in in_words_of("/srv/st.toml", message) and in_words_of("", message) == message
