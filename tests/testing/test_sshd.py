"""The real sshd for tests: it starts, freezes, thaws, comes back on its port, and leaves nothing running."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pysubtask.testing.servers.sshd import OpenSSHServer, find_program, missing, openssh_server
from tests.support.helpers import wait_until

pytestmark = pytest.mark.skipif(missing() is not None, reason=str(missing()))


def sftp(server: OpenSSHServer, batch: str) -> subprocess.Popen[str]:
    """The system's own client, reading commands from a pipe."""
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
    client = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert client.stdin is not None
    client.stdin.write(batch)
    client.stdin.flush()
    return client


def states(pids: list[int]) -> set[str]:
    return {Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] for pid in pids}


def test_the_log_names_files_and_the_login_starts_in_its_folder(tmp_path: Path):
    source = tmp_path / "source"
    source.write_bytes(b"12345")
    with openssh_server(tmp_path / "a place") as server:
        client = sftp(server, f"put {source} a\nrename a b\n")
        output, _ = client.communicate(timeout=60)
        assert client.returncode == 0, output
        assert (server.files / "b").read_bytes() == b"12345"
        events = "\n".join(server.events())
        assert 'open "' in events and 'close "' in events and "written 5" in events and "rename old" in events


def test_freezing_and_thawing(tmp_path: Path):
    with openssh_server(tmp_path) as server:
        client = sftp(server, "mkdir one\n")
        try:
            wait_until((server.files / "one").exists, what="the first folder")
            [pid] = server.freeze()
            assert client.stdin is not None
            client.stdin.write("mkdir two\n")
            client.stdin.flush()
            wait_until(lambda: states([pid]) == {"T"}, what="the standstill")
            assert not (server.files / "two").exists()
            server.thaw([pid])
            wait_until((server.files / "two").exists, what="the second folder")
        finally:
            client.kill()
            client.communicate()


@pytest.mark.slow
@pytest.mark.parametrize("how", ["stop", "kill"])
def test_it_ends_with_all_it_serves_and_starts_again_on_its_port(tmp_path: Path, how: str):
    with openssh_server(tmp_path) as server:
        client = sftp(server, "mkdir one\n")
        try:
            wait_until((server.files / "one").exists, what="the folder")
            pids = [server.pid, *server.session_pids(), *server.freeze()]
            getattr(server, how)()
            assert not [pid for pid in pids if os.path.exists(f"/proc/{pid}") and states([pid]) != {"Z"}]
        finally:
            client.kill()
            client.communicate()
        port = server.port
        server.start()
        assert server.port == port
        again = sftp(server, "mkdir two\n")
        again.communicate(timeout=60)
        assert again.returncode == 0


def test_denied_requests_are_not_offered_and_files_are_limited(tmp_path: Path):
    source = tmp_path / "source"
    source.write_bytes(b"x" * 300_000)
    with openssh_server(tmp_path / "sshd", deny=("mkdir",), file_limit=100_000) as server:
        for batch in ("mkdir one\n", f"put {source} a\n"):
            client = sftp(server, batch)
            client.communicate(timeout=60)
            assert client.returncode != 0
        assert (server.files / "a").stat().st_size <= 100_000


def test_it_does_not_outlive_a_killed_test(tmp_path: Path):
    code = (
        "import sys, time\nfrom pysubtask.testing.servers.sshd import openssh_server\n"
        "with openssh_server(sys.argv[1]) as server:\n print(server.pid, flush=True)\n time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        pid = int(holder.stdout.readline())
        holder.send_signal(signal.SIGKILL)
    wait_until(lambda: not os.path.exists(f"/proc/{pid}") or states([pid]) == {"Z"}, what="the end of sshd")
