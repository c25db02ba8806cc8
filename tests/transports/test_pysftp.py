"""pysftp keeps the contract against a real sshd, knows its server, and says what it cannot do."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from pysubtask.common.errors import ConfigError, FileRefused, LoginRefused, ServerNotTrusted, TransportLost
from pysubtask.testing import Relay, sftp_server
from pysubtask.testing.servers.quirk_sftp import quirk_sftp_server
from pysubtask.testing.servers.quirks import switch
from pysubtask.testing.servers.sshd import OpenSSHServer, fingerprint, make_key, missing, openssh_server
from pysubtask.transports import transport_class
from pysubtask.transports.base import Job
from pysubtask.transports.pysftp import PySFTPTransport
from pysubtask.transports.sftp import SFTPTransport
from tests.support.helpers import wait_until
from tests.transports.contract import NetworkContract, Site

pytestmark = pytest.mark.skipif(missing() is not None, reason=str(missing()))

SECRET = f"Hunter2 {os.urandom(8).hex()} $'\"%h pä"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenSSHServer]:
    with openssh_server(tmp_path_factory.mktemp("sshd")) as running:
        yield running


@pytest.mark.slow
class TestContract(NetworkContract):
    @pytest.fixture
    def site(self, server: OpenSSHServer, tmp_path: Path) -> Iterator[Site]:
        folder, work = tmp_path / "remote", tmp_path / "work"
        folder.mkdir()
        work.mkdir()
        with Relay("127.0.0.1", server.port) as relay:
            known = tmp_path / "known_hosts"
            known.write_text(server.known_hosts.read_text().replace(f":{server.port} ", f":{relay.port} "))
            whole = server.settings(HostPort=relay.port, HostPath=str(folder), KnownHostsFile=str(known))
            yield Site(PySFTPTransport, whole, str(work), str(folder), relay)

    # Fewer of the cases that differ in where the link breaks: each request here waits for its answer, but for the WRITEs.

    test_a_late_upload_does_not_touch_a_newer_version = None  # type: ignore[assignment]

    @pytest.mark.parametrize(("percent", "how"), [(1, "rst"), (50, "fin"), (99, "rst")])
    def test_a_link_cut_while_the_bytes_go_up(self, broken: Any, relay: Relay, percent: int, how: Any):
        super().test_a_link_cut_while_the_bytes_go_up(broken, relay, percent, how)

    @pytest.mark.parametrize("after", [40, 150])
    def test_a_link_cut_among_the_last_answers(self, broken: Any, relay: Relay, after: int):
        super().test_a_link_cut_among_the_last_answers(broken, relay, after)

    @pytest.mark.slow
    @pytest.mark.parametrize("direction", ["both"])
    def test_a_link_that_freezes(self, broken: Any, relay: Relay, direction: Any):
        super().test_a_link_that_freezes(broken, relay, direction)


def using(settings: dict[str, Any], tmp_path: Path, *files: tuple[str, bytes]) -> None:
    """Logs in; sends files."""

    async def whole() -> None:
        transport = PySFTPTransport(settings, str(tmp_path))
        await transport.connect()
        try:
            assert await transport.stat("not there") is None
            for number, (name, data) in enumerate(files):
                source = tmp_path / f"source {number}"
                source.write_bytes(data)
                sent = await transport.upload(Job(str(source), len(data), 10**18, name, f".{number}.tmp"), lambda done: None)
                assert sent.remote.size == len(data)
        finally:
            await transport.close()

    asyncio.run(whole())


def refused(settings: dict[str, Any], tmp_path: Path, *files: tuple[str, bytes], kind: type[Exception] = LoginRefused) -> str:
    with pytest.raises(kind) as caught:
        using(settings, tmp_path, *files)
    assert type(caught.value) is kind
    assert SECRET not in str(caught.value)
    return str(caught.value)


class TestHostKey:
    @pytest.mark.parametrize("there", [True, False])
    def test_unknown(self, server: OpenSSHServer, there: bool, tmp_path: Path):
        """The same key under another port, or without one, is another host."""
        known = tmp_path / "known"
        if there:
            lines = server.known_hosts.read_text()
            known.write_text(lines.replace(f":{server.port} ", ":1 ") + lines.replace(f"[127.0.0.1]:{server.port} ", "127.0.0.1 "))
        assert "not known here" in refused(server.settings(KnownHostsFile=str(known)), tmp_path, kind=ServerNotTrusted)
        assert known.exists() == there

    @pytest.mark.parametrize("policy", ["strict", "accept-new"])
    def test_changed(self, server: OpenSSHServer, policy: str, tmp_path: Path):
        make_key(tmp_path / "other")
        kind, key, _ = (tmp_path / "other.pub").read_text().split()
        known = tmp_path / "known"
        known.write_text(f"[127.0.0.1]:{server.port} {kind} {key}\n")
        before = known.read_text()
        settings = server.settings(KnownHostsFile=str(known), HostKeyPolicy=policy)
        assert "on file" in refused(settings, tmp_path, kind=ServerNotTrusted)
        assert known.read_text() == before

    def test_accepted_once_is_known_from_then_on(self, server: OpenSSHServer, tmp_path: Path):
        known = tmp_path / "new folder" / "known"
        settings = server.settings(KnownHostsFile=str(known))
        for _ in range(2):
            using({**settings, "HostKeyPolicy": "accept-new"}, tmp_path)
            [line] = known.read_text().splitlines()
            assert line.startswith(f"[127.0.0.1]:{server.port} ")
        using(settings, tmp_path)

    @pytest.mark.parametrize("kind", ["ed25519", "ecdsa"])
    def test_pinned(self, server: OpenSSHServer, kind: str, tmp_path: Path):
        """The server has keys of several kinds; whichever is pinned, or on file, is asked for."""
        pinned = fingerprint(server.root / f"host_{kind}.pub")
        using(server.settings(KnownHostsFile=str(tmp_path / "none"), HostKey=pinned), tmp_path)
        [line] = [line for line in server.known_hosts.read_text().splitlines() if kind in line]
        (tmp_path / "known").write_text(line + "\n")
        using(server.settings(KnownHostsFile=str(tmp_path / "known")), tmp_path)

    def test_pinned_to_another(self, server: OpenSSHServer, tmp_path: Path):
        make_key(tmp_path / "other")
        pinned = fingerprint(tmp_path / "other.pub")
        message = refused(server.settings(HostKey=pinned, HostKeyPolicy="accept-new"), tmp_path, kind=ServerNotTrusted)
        assert "pinned" in message
        for kind in ("ed25519", "ecdsa"):
            assert fingerprint(server.root / f"host_{kind}.pub") in message

    def test_revoked(self, server: OpenSSHServer, tmp_path: Path):
        known = tmp_path / "known"
        lines = server.known_hosts.read_text()
        known.write_text(lines + "".join(f"@revoked * {line.partition(' ')[2]}\n" for line in lines.splitlines()))
        settings = server.settings(KnownHostsFile=str(known), HostKeyPolicy="accept-new")
        assert "revoked" in refused(settings, tmp_path, kind=ServerNotTrusted)


class TestLogin:
    def test_a_password(self, tmp_path: Path):
        with sftp_server(tmp_path / "files", user="demo", password=SECRET) as running:
            settings = running.settings(password=True)
            using(settings, tmp_path, ("a", b"x"))
            assert (tmp_path / "files" / "a").read_bytes() == b"x"
            assert "the login was refused" in refused(settings | {"Password": "wrong"}, tmp_path)
            wait_until(lambda: running.failed_logins, what="the end of the refused login")
            assert (running.logins, running.failed_logins) == (1, 1)

    @pytest.mark.parametrize("question", ["Password: ", "Verification code: "])
    def test_only_a_question_for_the_password_is_answered(self, question: str, tmp_path: Path):
        heard: list[Any] = []

        class Asking(asyncssh.SSHServer):
            def begin_auth(self, username: str) -> bool:
                return True

            def kbdint_auth_supported(self) -> bool:
                return True

            def get_kbdint_challenge(self, username: str, lang: str, submethods: str) -> Any:
                return "", "", "", [(question, False)]

            def validate_kbdint_response(self, username: str, responses: Any) -> bool:
                heard.extend(responses)
                return bool(heard == [SECRET])

        async def whole() -> None:
            key = asyncssh.generate_private_key("ssh-ed25519")
            options = {"server_factory": Asking, "server_host_keys": [key], "sftp_factory": True}
            async with asyncssh.listen("127.0.0.1", 0, **options) as acceptor:
                settings = {
                    "Host": "127.0.0.1",
                    "HostPort": acceptor.get_port(),
                    "User": "demo",
                    "Password": SECRET,
                    "HostKey": key.get_fingerprint(),
                }
                transport = PySFTPTransport(settings, str(tmp_path))
                try:
                    await transport.connect()
                finally:
                    await transport.close()

        # This server ends a connection whose client asks for the login service twice, so a second attempt is a second connection.
        if question == "Password: ":
            asyncio.run(whole())
            assert heard == [SECRET]
        else:
            with pytest.raises(LoginRefused, match=question):
                asyncio.run(whole())
            assert heard == []

    def test_keys_that_do_not_open(self, server: OpenSSHServer, tmp_path: Path):
        make_key(tmp_path / "stranger")
        make_key(tmp_path / "locked", passphrase="five or more")
        for name, expected in (("stranger", "the login was refused"), ("locked", "cannot be used"), ("absent", "cannot be used")):
            assert expected in refused(server.settings(KeyFile=str(tmp_path / name)), tmp_path)

    def test_the_agent(self, server: OpenSSHServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "agent"))
        agent = subprocess.Popen(["ssh-agent", "-D", "-a", str(tmp_path / "agent")], stdout=subprocess.DEVNULL)
        try:
            assert "refused" in refused(server.settings(KeyFile=None), tmp_path)
            for _ in range(100):
                added = subprocess.run(["ssh-add", "-q", str(server.key_file)], check=False, stderr=subprocess.PIPE, timeout=20)
                if added.returncode == 0:
                    break
            using(server.settings(KeyFile=None), tmp_path)
        finally:
            agent.terminate()
            agent.wait()

    def test_nobody_listens(self, server: OpenSSHServer, tmp_path: Path):
        with Relay("127.0.0.1", server.port) as relay:
            relay.refuse()
            refused(server.settings(HostPort=relay.port), tmp_path, kind=TransportLost)

    def test_without_the_library(self, server: OpenSSHServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.delitem(sys.modules, "pysubtask.transports.pysftp.connection", raising=False)
        monkeypatch.setitem(sys.modules, "pysftp", None)
        assert "pip install 'pysubtask[pysftp]'" in refused(server.settings(), tmp_path, kind=ConfigError)

    def test_nothing_is_loaded_before_a_connect(self):
        code = (
            "import sys; from pysubtask.transports import open_transport; open_transport('pysftp', {'Host': 'h'}, '.')\n"
            "assert not {'pysftp', 'paramiko'} & set(sys.modules)\n"
            # Without a filter, what the library itself prints or warns of would be seen.
            "from pysubtask.transports.pysftp import connection; assert connection.pysftp.__version__ == '0.2.9'"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_it_is_the_same_destination_as_with_the_default_client(server: OpenSSHServer):
    settings = server.settings(HostPath="~/in")
    assert transport_class("pysftp") is PySFTPTransport
    assert PySFTPTransport.identity(settings) == SFTPTransport.identity(settings)


def test_a_server_that_cannot_rename_over_a_file(tmp_path: Path):
    with sftp_server(tmp_path / "files", posix_rename=False) as running:
        assert "Leave SFTPLibrary unset" in refused(running.settings(), tmp_path, ("a", b"x"))
    assert list((tmp_path / "files").iterdir()) == []


@pytest.mark.slow
def test_a_full_disk_condemns_one_file(tmp_path: Path):
    """Each WRITE is answered for: among those under way, and not by the next file."""
    with openssh_server(tmp_path / "sshd", file_limit=300_000) as running:
        settings = running.settings()
        using(settings, tmp_path, ("a", b"old"))
        message = refused(settings, tmp_path, ("b", b"fits"), ("a", os.urandom(3_000_000)), kind=FileRefused)
        assert "writing" in message and "Failure" in message

        async def next_one() -> None:
            transport = PySFTPTransport(settings, str(tmp_path))
            await transport.connect()
            big, small = tmp_path / "big", tmp_path / "small"
            big.write_bytes(os.urandom(3_000_000))
            small.write_bytes(b"x" * 100_000)
            kept = []
            for number in range(3):
                with pytest.raises(FileRefused) as caught:
                    await transport.upload(Job(str(big), 3_000_000, None, "a", f".a{number}.tmp"), lambda done: None)
                kept.append(caught)
                await transport.upload(Job(str(small), 100_000, None, f"c{number}", f".c{number}.tmp"), lambda done: None)
            await transport.close()

        asyncio.run(next_one())
        assert {path.name: path.stat().st_size for path in running.files.iterdir()} == {
            "a": 3,
            "b": 4,
            "c0": 100_000,
            "c1": 100_000,
            "c2": 100_000,
        }
        assert 'fsync "' in running.log()


@pytest.mark.parametrize(("quirk", "rung"), [("hidden names refused", "visible"), ("unknown endings refused", "hidden_ending")])
async def test_a_temporary_name_that_is_refused_gets_another_form(tmp_path: Path, quirk: str, rung: str):
    with quirk_sftp_server(tmp_path / "remote", user="pi") as server:
        switch(quirk).turn_on(server.quirks)
        transport = PySFTPTransport(server.settings(), str(tmp_path))
        steps: list[str] = []
        transport.profile.on_step = lambda step: steps.append(f"{step.means}: {step.rung}")

        await transport.connect()
        try:
            for number in range(3):
                source = tmp_path / f"source{number}"
                source.write_bytes(b"whole")
                job = Job(str(source), 5, 10**18, f"f{number}.csv", f".pysubtask-{number}.part")
                assert (await transport.upload(job, lambda done: None)).remote.size == 5
        finally:
            await transport.close()
        assert sorted(os.listdir(server.root)) == ["f0.csv", "f1.csv", "f2.csv"]
        assert steps == [f"temp_name: {rung}"] and not transport.profile.pending


async def test_an_unremovable_earlier_temporary_file_is_renamed(tmp_path: Path):
    with quirk_sftp_server(tmp_path / "remote", user="pi", delete=False) as server:
        transport = PySFTPTransport(server.settings(), str(tmp_path))
        (Path(server.root) / ".pysubtask-old.part").write_bytes(b"half")
        (tmp_path / "source").write_bytes(b"whole")
        job = Job(str(tmp_path / "source"), 5, 10**18, "f.csv", ".pysubtask-new.part", (".pysubtask-old.part",))

        await transport.connect()
        try:
            await transport.upload(job, lambda done: None)
        finally:
            await transport.close()
        assert (Path(server.root) / "f.csv").read_bytes() == b"whole"
        assert list(transport.profile.left) == [".pysubtask-old.part.left"]
        assert any("lets no file be removed" in line for line in transport.profile.lines())
