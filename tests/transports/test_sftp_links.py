"""Names on the server that are symbolic links, and paths that mean another file to a shell there; against a real sshd."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pysubtask.common.errors import NotAsLeft, TransportLost
from pysubtask.testing.servers.sshd import OpenSSHServer, missing, openssh_server
from pysubtask.transports.base import Append, Link
from tests.support.delivery_context import DeliveryContext

pytestmark = pytest.mark.skipif(missing() is not None, reason=str(missing()))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenSSHServer]:
    with openssh_server(tmp_path_factory.mktemp("sshd")) as running:
        yield running


@pytest.fixture
def context(server: OpenSSHServer, tmp_path: Path) -> DeliveryContext:
    (tmp_path / "disk2").mkdir()
    return DeliveryContext(server, tmp_path)


def link(context: DeliveryContext, name: str, target: str) -> Path:
    """A link under a name; where it leads."""
    os.symlink(target, context.folder / name)
    return context.folder / target


class TestFollow:
    @pytest.mark.parametrize("target", ["../disk2/a", "{disk2}/a", "b"])
    async def test_a_link_stays_and_the_file_is_written_in_one_step(self, context: DeliveryContext, target: str):
        place = link(context, "a", target.format(disk2=context.place / "disk2"))
        place.write_bytes(b"old")
        os.link(place, context.place / "as a reader has it open")

        transport = context.transport()
        await transport.connect()
        sent = await context.put(transport, context.job("a", b"new"))
        assert sent.link == Link("followed", target.format(disk2=context.place / "disk2"))
        grown = context.job("a", b"newer", replaces=sent.remote, append=Append(3, 3))
        assert (await context.put(transport, grown)).bytes_sent == 2
        await context.put(transport, context.job("a", b"again"))
        assert transport.profile.pending == set()
        await transport.close()
        assert (context.folder / "a").is_symlink() and place.read_bytes() == b"again"
        assert (context.place / "as a reader has it open").read_bytes() == b"old"
        assert not [
            name for folder in (context.folder, context.place / "disk2") for name in os.listdir(folder) if name.endswith(".tmp")
        ]

    async def test_a_chain_of_links_and_a_folder_that_is_one(self, context: DeliveryContext):
        (context.place / "disk2" / "day").mkdir()
        os.symlink(context.place / "disk2" / "day", context.folder / "day")
        os.symlink("two", context.folder / "one")
        os.symlink("../disk2/three", context.folder / "two")
        (context.place / "disk2" / "three").write_bytes(b"old")

        transport = context.transport()
        await transport.connect()
        assert (await context.put(transport, context.job("one", b"new"))).link == Link("followed", "two")
        sent = await context.put(transport, context.job("x", b"in")._replace(name="day/x", temp="day/.x.tmp"))
        assert sent.link is None
        await transport.close()
        assert (context.place / "disk2" / "three").read_bytes() == b"new" and (context.folder / "one").is_symlink()
        assert (context.place / "disk2" / "day" / "x").read_bytes() == b"in"

    @pytest.mark.parametrize(("target", "why"), [("nowhere/x", "leads to nothing"), ("a", "circle"), ("../disk2", "no file")])
    async def test_what_cannot_be_followed_is_replaced_and_reported(self, context: DeliveryContext, target: str, why: str):
        link(context, "a", target)

        transport = context.transport()
        await transport.connect()
        sent = await context.put(transport, context.job("a", b"new"))
        assert sent.link is not None and (sent.link.done, sent.link.target) == ("replaced", target)
        assert why in sent.link.why
        assert (await context.put(transport, context.job("a", b"newer"))).link is None
        await transport.close()
        assert not (context.folder / "a").is_symlink() and context.read("a") == b"newer" and context.names() == ["a"]

    async def test_a_temporary_in_another_folder_goes_at_the_next_connect(self, context: DeliveryContext):
        """No other program would read it there."""
        place = link(context, "a", "../disk2/a")
        place.write_bytes(b"old")

        transport = context.transport()
        await transport.connect()

        def cut() -> None:
            client = transport._client
            assert client is not None
            client.fail(TransportLost("cut"))

        def ends() -> None:
            cut()
            raise RuntimeError("the process ends here")

        with pytest.raises((RuntimeError, TransportLost)):
            await context.put(transport, context.job("a", os.urandom(2_000_000), confirm=ends))
        kept = transport.profile.to_json()
        await transport.close()
        again = context.transport()
        again.profile.load(kept)
        await again.connect()
        await again.close()
        assert os.listdir(context.place / "disk2") == ["a"] and place.read_bytes() == b"old"


class TestReplace:
    async def test_a_link_is_replaced_by_an_append_as_by_any_other_version(self, context: DeliveryContext):
        place = link(context, "a", "../disk2/a")
        place.write_bytes(b"theirs")

        transport = context.transport(RemoteLinks="replace")
        await transport.connect()
        stat = await transport.stat("a")
        with pytest.raises(NotAsLeft, match="link"):
            await context.put(transport, context.job("a", b"theirs, and more", replaces=stat, append=Append(6, 6)))
        sent = await context.put(transport, context.job("a", b"ours"))
        assert sent.link == Link("replaced", "../disk2/a")
        await transport.close()
        assert place.read_bytes() == b"theirs" and context.read("a") == b"ours" and not (context.folder / "a").is_symlink()


class OtherRoot:
    """A shell on the server for which paths begin somewhere else."""

    def __init__(self, root: Path, seen: Path) -> None:
        self.root, self.seen = root, seen
        self.asked: list[str] = []

    async def sha256(self, path: bytes, patience: float) -> tuple[tuple[str, str] | None, str]:
        self.asked.append(os.path.basename(os.fsdecode(path)))
        place = self.root / Path(os.fsdecode(path)).relative_to(self.seen)
        return (("sha256", hashlib.sha256(place.read_bytes()).hexdigest()), "") if place.exists() else (None, "no such file")

    async def close(self) -> None:
        return


@pytest.mark.parametrize("same", [True, False])
async def test_a_shell_is_asked_for_a_name_only_if_it_saw_a_new_file(context: DeliveryContext, same: bool):
    """Else it may have another file of that name, which then would count as what was delivered."""
    other = context.folder if same else context.place / "other"
    other.mkdir(exist_ok=True)
    (other / "a").write_bytes(b"quite another file")
    data = b"a line\n" * 20
    (context.folder / "a").write_bytes(data)
    os.utime(context.folder / "a", (1_600_000_000, 1_600_000_000))

    transport: Any = context.transport(VerifyChecksum="shell")
    await transport.connect()
    shell = OtherRoot(other, context.folder)
    transport._publisher._checksums._shell = shell
    left = await transport.stat("a")
    grown = context.job("a", data + b"more\n", replaces=left, append=Append(len(data), len(data)))
    sent = await context.put(transport, grown)
    assert sent.verified == ("hash" if same else "size")
    assert ("a" in shell.asked) == same
    sent = await context.put(transport, context.job("b", b"new"))
    assert sent.verified == ("hash" if same else "size")
    transport._publisher._checksums._shell = None
    await transport.close()
    assert context.names() == ["a", "b"]
