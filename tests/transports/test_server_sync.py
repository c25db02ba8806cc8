"""ServerSync: whether a real OpenSSH server is asked to write a file to its disk."""

import pytest

from pysubtask.testing.servers.sshd import missing, openssh_server
from pysubtask.transports.base import Job
from pysubtask.transports.pysftp.transport import PySFTPTransport
from pysubtask.transports.sftp import SFTPTransport

pytestmark = [pytest.mark.slow, pytest.mark.skipif(missing() is not None, reason=str(missing()))]


@pytest.mark.parametrize("transport_class", [SFTPTransport, PySFTPTransport])
@pytest.mark.parametrize("syncs", [True, False])
async def test_a_file_is_synced_only_where_it_is_asked_for(tmp_path, transport_class, syncs):
    (tmp_path / "a.csv").write_bytes(b"data" * 1000)
    with openssh_server(tmp_path / "sshd") as server:
        transport = transport_class(server.settings(ServerSync=syncs), str(tmp_path))
        await transport.connect()
        await transport.upload(Job(str(tmp_path / "a.csv"), 4000, None, "a.csv", ".a.tmp"), lambda done: None)
        await transport.close()
        assert (server.files / "a.csv").read_bytes() == b"data" * 1000
        assert ('fsync "' in server.log()) is syncs
