"""Dropbox keeps the contract: the official SDK against the stand-in, through the relay."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pysubtask.common.errors import FileRefused
from pysubtask.testing import Relay
from pysubtask.testing.servers.dropbox import DropboxServer, dropbox_server
from pysubtask.transports.dropbox import DropboxTransport
from tests.transports.contract import NetworkContract, Site

BUFFER = 16 * 1024  # so that a slow link is slow, and not hidden in socket buffers
IMPOSSIBLE = frozenset({"spaces", "backslash", "not UTF-8", "folders of all kinds"})
_folders = itertools.count()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DropboxServer]:
    with dropbox_server(tmp_path_factory.mktemp("dropbox")) as running:
        yield running


@pytest.fixture
def site(server: DropboxServer, tmp_path: Path) -> Iterator[Site]:
    name = f"folder {next(_folders)}"
    folder, work = server.folder / name, tmp_path / "work"
    folder.mkdir()
    work.mkdir()
    with Relay(server.host, server.port, buffer=BUFFER) as relay:
        settings = server.settings(HostPath=f"/{name}", Proxy=f"http://{relay.host}:{relay.port}", ChunkBytes=256 * 1024)
        yield Site(DropboxTransport, settings, str(work), str(folder), relay, IMPOSSIBLE, temps=False)


@pytest.mark.slow
class TestDropbox(NetworkContract):
    @pytest.fixture
    def site(self, site: Site) -> Iterator[Site]:
        yield site

    def test_stale_temps_are_gone_before_the_name_changes(self, site: Site, run: Any):
        """There are no temp files: a late attempt is known by its revision (see the late ones)."""

        async def case(transport: Any, at_work: Any) -> None:
            await at_work.put(transport, "f/a", b"old")
            await at_work.put(transport, "f/a", b"new", stale=("f/.stale.tmp",))
            with pytest.raises(FileRefused):
                await at_work.put(transport, "f/a", b"x", stale=("../a",))

        run(case)
        assert (site.files(), site.read("f/a")) == ({"f/a"}, b"new")

    @pytest.mark.slow
    def test_a_slow_link_is_not_a_dead_one(self, site: Site, run: Any):
        """A call is answered when all of its body is there, TLS and the relay's own buffers included: so with more room."""
        data = os.urandom(300_000)

        async def case(transport: Any, at_work: Any) -> None:
            assert site.relay is not None
            site.relay.throttle(60_000, "up")
            await at_work.put(transport, "a", data)

        started = time.monotonic()
        run(case, StallSecs=4, ChunkBytes=1024 * 1024)
        assert site.read("a") == data
        assert time.monotonic() - started > 4, "it took longer than the limit of a standstill"

    def test_a_link_cut_while_idle(self, site: Site, run: Any):
        """Connections are opened as they are needed: one that was cut while nobody used it is not missed."""

        async def case(transport: Any, at_work: Any) -> None:
            await at_work.put(transport, "a", b"old")
            assert site.relay is not None
            site.relay.cut_all()
            assert (await transport.stat("a")).size == 3
            await at_work.put(transport, "a", b"new")

        run(case)
        assert site.read("a") == b"new"

    def test_remove_names_those_that_were_there(self, site: Site, server: DropboxServer, run: Any):
        """None ever is; saying so takes no call."""

        async def case(transport: Any, at_work: Any) -> None:
            before = len(server.calls)
            assert await transport.remove([]) == set()
            assert await transport.remove(["f/.one.tmp", ".two.tmp"]) == {"f/.one.tmp", ".two.tmp"}
            assert len(server.calls) == before

        run(case)
