"""An app, its real child, the library pysftp, and a real OpenSSH server."""

import os

import pytest

from pysubtask.testing.link.relay import Relay
from pysubtask.testing.servers.sshd import missing, openssh_server
from tests.support.helpers import wait_until
from tests.support.station import SFTPStation

pytestmark = pytest.mark.skipif(missing() is not None, reason=missing() or "")


@pytest.mark.slow
def test_it_delivers_through_a_cut_and_a_kill(tmp_path):
    with openssh_server(tmp_path / "sshd") as sshd, Relay("127.0.0.1", sshd.port) as relay:
        known = tmp_path / "known_hosts"
        known.write_text(sshd.known_hosts.read_text().replace(f":{sshd.port} ", f":{relay.port} "))
        settings = sshd.settings(
            HostPort=relay.port, KnownHostsFile=str(known), SFTPLibrary="pysftp", SSHProgram="ssh", SSHConfigFile=None
        )
        one = SFTPStation(tmp_path, sshd.files, settings, [{"file": str(tmp_path / "data" / name)} for name in ("a.bin", "b.bin")])
        try:
            relay.drop("up", 500_000)
            one.write("a.bin", os.urandom(1_000_000))
            one.write("b.bin", os.urandom(300_000))
            one.master.start()
            for name in ("a.bin", "b.bin"):
                one.notify(name)
            one.arrived("a.bin", "b.bin", secs=60)
            assert relay.drops == 1
            relay.throttle(1_000_000, "up")
            up = relay.up
            one.write("a.bin", os.urandom(2_000_000))
            one.notify("a.bin")
            wait_until(lambda: relay.up > up + 200_000, what="bytes on the way")
            one.kill()
            relay.throttle(None, "up")
            one.notify("b.bin")
            one.arrived("a.bin", "b.bin", secs=60)
            one.master.stop(forcekill=False)
            assert sorted(os.listdir(sshd.files)) == ["a.bin", "b.bin"]
            assert not (one.state / "ssh.json").exists(), "no ssh was started"
        finally:
            one.close()
