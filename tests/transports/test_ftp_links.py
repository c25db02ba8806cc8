"""A name that is a symbolic link on an FTP server: one rule (``RemoteLinks``) for the first send, a rewrite and an append."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from pysubtask.common.errors import AttemptFailed, NotAsLeft
from pysubtask.testing import vsftpd_server
from pysubtask.testing.servers.vsftpd import missing
from pysubtask.transports.base import Append, Link, Sent
from pysubtask.transports.ftp import FTPTransport
from tests.support.ftp_work import Work
from tests.support.odd_ftp import Ended, OddFTP, Talk

needs_vsftpd = pytest.mark.skipif(missing() is not None, reason=str(missing()))


class Silent(Talk):
    """STAT of a file is not known, and shows nothing of one."""

    def do_STAT(self, arg: bytes) -> str | None:
        return "213-Status:\r\n213 End"


class Unknown(Talk):
    def do_STAT(self, arg: bytes) -> str | None:
        return "502 not here"


class Locked(Talk):
    """Nothing new may be put into one folder."""

    def do_STOR(self, arg: bytes) -> str | None:
        return "553 Permission denied" if arg.startswith(b"other/") and arg != b"other/real.csv" else super().do_STOR(arg)


def run(
    tmp_path: Path,
    case: Callable[[Work, Path], Awaitable[None]],
    talk: type[Talk] = Talk,
    keep: dict[str, Any] | None = None,
    **settings: Any,
) -> OddFTP:
    """``keep`` gets the settings of the transport."""

    async def whole(server: OddFTP) -> None:
        (tmp_path / "work").mkdir(exist_ok=True)
        (server.root / "other").mkdir(exist_ok=True)
        transport = FTPTransport(server.settings(**settings), str(tmp_path / "work"))
        async with asyncio.timeout(60):
            await transport.connect()
            try:
                await case(Work(tmp_path, transport), server.root)
            finally:
                await transport.close()

    with OddFTP(tmp_path / "files", talk) as server:
        if keep is not None:
            keep.update(server.settings(**settings))
        asyncio.run(whole(server))
    return server


def left(folder: Path) -> list[str]:
    """Temporary names that stay."""
    return [name for name in [*os.listdir(folder), *os.listdir(folder / "other")] if name.startswith(".t")]


async def all_steps(work: Work, files: Path) -> list[Sent]:
    """The first send upon a link that stands there already, a rewrite, an append."""
    first = await work.put("a.csv", b"first\n")
    second = await work.put("a.csv", b"second\n", replaces=first.remote)
    third = await work.put("a.csv", b"second\nthird\n", replaces=second.remote, append=Append(7, 7))
    return [first, second, third]


@pytest.mark.parametrize("talk", [Talk, Silent, Unknown])
def test_a_link_is_kept_and_what_it_points_to_is_replaced_whole(tmp_path: Path, talk: type[Talk]):
    async def case(work: Work, files: Path) -> None:
        (files / "other" / "real.csv").write_text("somebody's\n")
        (files / "a.csv").symlink_to("other/real.csv")
        first, second, third = await all_steps(work, files)
        assert first.link == second.link == Link("followed", "other/real.csv") and third.link is None
        assert os.readlink(files / "a.csv") == "other/real.csv"
        assert (files / "other" / "real.csv").read_text() == "second\nthird\n"
        assert left(files) == [] and json.loads((work.place / "work" / "elsewhere.json").read_text())["temps"] == {}

    server = run(tmp_path, case, talk)
    assert server.commands.count(("RNTO", b"other/real.csv")) == 2, "so that no reader finds half of it"


def test_a_chain_of_links_and_a_link_that_came_later(tmp_path: Path):
    async def case(work: Work, files: Path) -> None:
        sent = await work.put("a.csv", b"first\n")
        (files / "a.csv").rename(files / "other" / "moved.csv")
        (files / "other" / "b.csv").symlink_to("moved.csv")
        (files / "a.csv").symlink_to("other/b.csv")
        sent = await work.put("a.csv", b"second\n", replaces=sent.remote)
        assert sent.link == Link("followed", "other/b.csv")
        assert (files / "a.csv").is_symlink() and (files / "other" / "b.csv").is_symlink()
        assert (files / "other" / "moved.csv").read_text() == "second\n" and left(files) == []

    run(tmp_path, case)


@pytest.mark.parametrize(
    ("target", "why"), [("other/none.csv", "no file"), ("a.csv", "round and round"), ("other/x\ty\rz", "no path")]
)
def test_a_link_that_cannot_be_followed_is_replaced_and_reported(tmp_path: Path, target: str, why: str):
    async def case(work: Work, files: Path) -> None:
        sent = await work.put("a.csv", b"first\n")
        (files / "a.csv").unlink()
        (files / "a.csv").symlink_to(target)
        sent = await work.put("a.csv", b"first\n", replaces=sent.remote)
        assert sent.link is not None and sent.link.done == "replaced" and why in sent.link.why
        assert not (files / "a.csv").is_symlink() and (files / "a.csv").read_text() == "first\n"

    run(tmp_path, case)


def test_what_may_not_be_written_beside_is_replaced_next_attempt(tmp_path: Path):
    async def case(work: Work, files: Path) -> None:
        (files / "other" / "real.csv").write_text("somebody's\n")
        (files / "a.csv").symlink_to("other/real.csv")
        with pytest.raises(AttemptFailed, match="which is replaced now"):
            await work.put("a.csv", b"first\n")
        sent = await work.put("a.csv", b"first\n")
        assert sent.link is not None and sent.link.done == "replaced" and "Permission denied" in sent.link.why
        assert (files / "other" / "real.csv").read_text() == "somebody's\n" and left(files) == []

    run(tmp_path, case, Locked)


def test_replace_is_the_same_for_each_step(tmp_path: Path):
    async def case(work: Work, files: Path) -> None:
        (files / "other" / "real.csv").write_text("somebody's\n")
        (files / "a.csv").symlink_to("other/real.csv")
        sent = await work.put("a.csv", b"first\n")
        assert sent.link == Link("replaced", "other/real.csv") and not (files / "a.csv").is_symlink()
        (files / "a.csv").rename(files / "other" / "moved.csv")
        (files / "a.csv").symlink_to("other/moved.csv")
        with pytest.raises(NotAsLeft, match="is a link"):
            await work.put("a.csv", b"first\nsecond\n", replaces=sent.remote, append=Append(6, 6))
        await work.put("a.csv", b"first\nsecond\n", replaces=sent.remote)
        assert not (files / "a.csv").is_symlink() and (files / "other" / "moved.csv").read_text() == "first\n"
        assert (files / "other" / "real.csv").read_text() == "somebody's\n"

    run(tmp_path, case, RemoteLinks="replace")


class Cut(Talk):
    """Ends the connection when the name shall be given."""

    def do_RNFR(self, arg: bytes) -> str | None:
        if self.server.logins == 1:
            raise Ended
        return super().do_RNFR(arg)


def test_a_leftover_in_the_other_folder_goes_with_a_new_process(tmp_path: Path):
    (tmp_path / "files" / "other").mkdir(parents=True)
    (tmp_path / "files" / "other" / "real.csv").write_text("somebody's\n")
    (tmp_path / "files" / "a.csv").symlink_to("other/real.csv")

    async def case(work: Work, files: Path) -> None:
        with pytest.raises(Exception, match="closed the connection"):
            await work.put("a.csv", b"first\n")
        assert left(files) == [".t1.tmp"] and (files / "other" / ".t1.tmp").exists()

        await work.transport.close()
        again = FTPTransport(settings, str(work.place / "work"))
        await again.connect()
        assert await again.remove([".t1.tmp"]) == {".t1.tmp"}
        assert left(files) == []
        await again.close()

    settings: dict[str, Any] = {}
    run(tmp_path, case, Cut, keep=settings)


@pytest.mark.slow
def test_a_new_name_costs_one_question(tmp_path: Path):
    async def case(work: Work, files: Path) -> None:
        for number in range(20):
            await work.put(f"f{number}", b"x")

    server = run(tmp_path, case)
    assert (server.count("LIST"), server.count("STAT"), server.count("SIZE")) == (0, 0, 60)


@needs_vsftpd
async def test_a_link_to_a_file_of_the_same_name_on_vsftpd(tmp_path: Path):
    """vsftpd lists nothing when it is asked for such a link by its name."""
    (tmp_path / "disk2").mkdir()
    with vsftpd_server(tmp_path / "vsftpd") as server:
        transport = FTPTransport(server.settings(), str(tmp_path / "work"))
        await transport.connect()
        work = Work(tmp_path, transport)
        sent = await work.put("a.csv", b"first\n")
        os.rename(os.path.join(server.files, "a.csv"), tmp_path / "disk2" / "a.csv")
        os.symlink(tmp_path / "disk2" / "a.csv", os.path.join(server.files, "a.csv"))
        sent = await work.put("a.csv", b"second\n", replaces=sent.remote)
        assert sent.link == Link("followed", str(tmp_path / "disk2" / "a.csv"))
        await transport.close()
        assert os.path.islink(os.path.join(server.files, "a.csv"))
        assert (tmp_path / "disk2" / "a.csv").read_text() == "second\n" and os.listdir(tmp_path / "disk2") == ["a.csv"]
