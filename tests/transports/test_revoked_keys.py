"""``@revoked`` in a known_hosts file: the key is refused by ssh and by asyncssh alike, on any port, whatever else stands there."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from pysubtask.common.errors import LoginRefused
from pysubtask.testing.servers.sshd import OpenSSHServer, missing, openssh_server
from pysubtask.transports.sftp import SFTPTransport

pytestmark = pytest.mark.skipif(missing() is not None, reason=str(missing()))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenSSHServer]:
    with openssh_server(tmp_path_factory.mktemp("sshd")) as running:
        yield running


def attempt(server: OpenSSHServer, known: Path, place: Path, program: str, policy: str) -> str:
    """Why it was refused; empty where it was not."""

    async def whole() -> str:
        settings = server.settings(SSHProgram=program, KnownHostsFile=str(known), HostKeyPolicy=policy)
        transport = SFTPTransport(settings, str(place / "work"))
        try:
            await transport.connect()
        except LoginRefused as exc:
            return str(exc)
        finally:
            await transport.close()
        return ""

    return asyncio.run(whole())


def keys(server: OpenSSHServer) -> list[str]:
    return [line.split(maxsplit=1)[1] for line in server.known_hosts.read_text().splitlines()]


@pytest.mark.parametrize("program", ["ssh", "no-such-ssh-program"])
@pytest.mark.parametrize("policy", ["strict", "accept-new"])
@pytest.mark.parametrize("form", ["{host}", "{host} and trusted", "*", "* and trusted"])
def test_a_revoked_key_is_refused(server: OpenSSHServer, program: str, policy: str, form: str, tmp_path: Path):
    host = f"[127.0.0.1]:{server.port}"
    pattern = form.removesuffix(" and trusted").format(host=host)
    lines = [f"@revoked {pattern} {key}\n" for key in keys(server)]
    if form.endswith("trusted"):
        lines += [f"{host} {key}\n" for key in keys(server)]
    known = tmp_path / "known"
    known.write_text("".join(lines))
    assert attempt(server, known, tmp_path, program, policy)
    assert known.read_text() == "".join(lines), "nothing is written down"


@pytest.mark.parametrize("policy", ["strict", "accept-new"])
@pytest.mark.parametrize("trusted", [True, False])
def test_without_its_port_it_is_revoked_on_every_port(server: OpenSSHServer, policy: str, trusted: bool, tmp_path: Path):
    known = tmp_path / "known"
    lines = [f"@revoked 127.0.0.1 {key}\n" for key in keys(server)]
    lines += [f"[127.0.0.1]:{server.port} {key}\n" for key in keys(server)] if trusted else []
    known.write_text("".join(lines))
    reason = attempt(server, known, tmp_path, "no-such-ssh-program", policy)
    assert "revoked" in reason
    assert known.read_text() == "".join(lines)


@pytest.mark.parametrize("program", ["ssh", "no-such-ssh-program"])
def test_another_revoked_key_says_nothing(server: OpenSSHServer, program: str, tmp_path: Path):
    first, second = keys(server)
    known = tmp_path / "known"
    known.write_text(f"@revoked * {first}\n[127.0.0.1]:{server.port} {second}\n")
    reason = attempt(server, known, tmp_path, program, "strict")
    assert not reason, reason
