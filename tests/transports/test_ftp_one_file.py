"""What an FTP server says about one file is that file's affair: each odd answer against a server that gives it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pysubtask.common.errors import AttemptFailed, FileRefused, TransportLost
from pysubtask.transports.base import Append, RemoteStat, Sent
from pysubtask.transports.ftp import FTPTransport
from pysubtask.transports.ftp.replies import Row, listed, machine_rows, rows_in
from pysubtask.transports.shared.altered_names import changed_to
from tests.support.ftp_work import MTIME, Work
from tests.support.odd_ftp import Ended, OddFTP, Talk


@contextlib.asynccontextmanager
async def connected(tmp_path: Path, talk: type[Talk], **settings: Any) -> AsyncIterator[tuple[Work, OddFTP]]:
    with OddFTP(tmp_path / "files", talk) as server:
        (tmp_path / "work").mkdir(exist_ok=True)
        transport = FTPTransport(server.settings(**settings), str(tmp_path / "work"))
        async with asyncio.timeout(60):
            await transport.connect()
            try:
                yield Work(tmp_path, transport), server
            finally:
                await transport.close()


# --- files that are taken away


class HotFolder(Talk):
    """A job takes each file away as soon as it has its name."""

    def do_RNTO(self, arg: bytes) -> str | None:
        reply = super().do_RNTO(arg)
        os.unlink(self.path(arg))
        return reply


async def test_a_file_that_is_taken_away_at_once_is_delivered(tmp_path: Path):
    async with connected(tmp_path, HotFolder) as (work, server):
        for name in ("a", "b"):
            sent = await work.put(name, b"0123456789")
            assert sent == Sent(RemoteStat(10, None), 10, "taken")
        assert (server.names(), server.logins, server.count("STOR")) == (set(), 1, 2)


class Moved(Talk):
    """Another file stands under the name a moment later."""

    def do_RNTO(self, arg: bytes) -> str | None:
        reply = super().do_RNTO(arg)
        Path(os.fsdecode(self.path(arg))).write_bytes(b"somebody else's")
        return reply


async def test_what_somebody_puts_there_afterwards_is_no_failure(tmp_path: Path):
    async with connected(tmp_path, Moved) as (work, _):
        assert await work.put("a", b"0123456789") == Sent(RemoteStat(10, None), 10, "size")
        with pytest.raises(Exception, match="15 bytes"):  # and so nothing is built upon it
            await work.put("a", b"0123456789ab", replaces=RemoteStat(10, None), append=Append(10, 10))


# --- questions that are refused


class NoSize(Talk):
    """SIZE is forbidden, with the words for a file that is missing."""

    def do_SIZE(self, arg: bytes) -> str | None:
        return "550 Permission denied."


class NoSizeNoList(NoSize):
    def do_LIST(self, arg: bytes) -> str | None:
        return "550 Permission denied."


@pytest.mark.slow
@pytest.mark.parametrize(("talk", "verified"), [(NoSize, "size"), (NoSizeNoList, "reply")])
async def test_a_refused_question_is_no_answer_to_it(tmp_path: Path, talk: type[Talk], verified: str):
    async with connected(tmp_path, talk) as (work, server):
        for number in range(5):
            sent = await work.put(f"f{number}", b"0123456789")
            assert (sent.verified, sent.remote) == (verified, RemoteStat(10, MTIME))
        assert (server.names(), server.logins, server.count("STOR")) == ({f"f{n}" for n in range(5)}, 1, 5)
        assert server.count("SIZE") <= 9, "it is not asked for ever"


class Globs(NoSize):
    """LIST takes a name for a pattern, as some do."""

    def do_LIST(self, arg: bytes) -> str | None:
        return super().do_LIST(b"x.csv" if b"*" in arg else arg)


async def test_a_size_that_a_pattern_finds_is_not_the_files_own(tmp_path: Path):
    async with connected(tmp_path, Globs) as (work, _):
        await work.put("x.csv", b"0123456789")
        assert await work.transport.stat("*.csv") is None
        assert (await work.put("*.csv", b"01234")).remote.size == 5


# --- data connections


class Early(Talk):
    """226 at the first byte; the rest is written by and by."""

    def do_STOR(self, arg: bytes) -> str | None:
        file = open(self.path(arg), "wb")  # noqa: SIM115 - closed by the thread
        self.say("150 go")
        sock = self.data()

        def write() -> None:
            with file, sock:
                while block := sock.recv(65536):
                    file.write(block)
                    file.flush()
                    time.sleep(0.02)

        threading.Thread(target=write, daemon=True).start()
        return "226 done already"


@pytest.mark.slow
async def test_a_server_that_confirms_too_early_is_waited_for(tmp_path: Path):
    data = os.urandom(2_000_000)

    async with connected(tmp_path, Early) as (work, server):
        sent = await work.put("a", data)
        assert (sent.verified, server.count("STOR"), server.logins) == ("size", 1, 1)
        assert (tmp_path / "files" / "a").read_bytes() == data


class Reset(Talk):
    """The data connection ends with a reset when all is written."""

    reset_after = 300_000

    def receive(self, sock: socket.socket, file: Any) -> None:
        left = self.reset_after
        while left:
            block = sock.recv(min(65536, left))
            file.write(block)
            left -= len(block)
        file.flush()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()


@pytest.mark.slow
async def test_a_data_connection_that_is_reset_after_all_bytes(tmp_path: Path):
    async with connected(tmp_path, Reset) as (work, server):
        for number in range(20):
            assert (await work.put(f"f{number}", os.urandom(Reset.reset_after))).verified == "size"
        assert (server.count("STOR"), server.logins) == (20, 1)


class Breaks(Talk):
    """Aborts the transfers of one name, others it takes."""

    def receive(self, sock: socket.socket, file: Any) -> None:
        if os.path.basename(os.fsdecode(file.name)) == ".t1.tmp":
            sock.recv(1000)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.close()
            raise ConnectionError
        super().receive(sock, file)

    def do_STOR(self, arg: bytes) -> str | None:
        try:
            return super().do_STOR(arg)
        except ConnectionError:
            return "426 aborted"


async def test_one_broken_data_connection_costs_that_file_alone(tmp_path: Path):
    async with connected(tmp_path, Breaks, Connections=2) as (work, server):
        jobs = [work.job(f"f{number}", os.urandom(400_000)) for number in range(8)]
        found = await asyncio.gather(*(work.transport.upload(job, lambda done: None) for job in jobs), return_exceptions=True)
        assert isinstance(found[0], AttemptFailed) and "426" in found[0].server_text, found[0]
        assert [type(one) for one in found[1:]] == [Sent] * 7
        assert server.logins <= 2, "no control connection was given up for it"


class Hangs(Talk):
    """Ends the control connection over which one name is asked for."""

    def do_SIZE(self, arg: bytes) -> str | None:
        if arg == b".t1.tmp":
            raise Ended
        time.sleep(0.05)
        return super().do_SIZE(arg)


@pytest.mark.slow
async def test_one_of_several_connections_that_ends_costs_one_file(tmp_path: Path):
    async with connected(tmp_path, Hangs, Connections=3) as (work, _):
        work.count = 100
        await asyncio.gather(*(work.put(f"g{number}", os.urandom(200_000)) for number in range(8)))  # all of them are open
        work.count = 0
        jobs = [work.job(f"f{number}", os.urandom(100_000)) for number in range(8)]
        found = await asyncio.gather(*(work.transport.upload(job, lambda done: None) for job in jobs), return_exceptions=True)
        assert isinstance(found[0], AttemptFailed) and "one of several connections" in str(found[0]), found[0]
        assert [type(one) for one in found[1:]] == [Sent] * 7


async def test_the_only_connection_that_ends_is_the_end_of_all(tmp_path: Path):
    async with connected(tmp_path, Hangs) as (work, _):
        with pytest.raises(TransportLost):
            await work.put("f", b"x")
        with pytest.raises(TransportLost):
            await work.transport.stat("f")


class NeverCloses(NoSize):
    """Leaves the data connection of a listing open when it has replied that all is sent."""

    kept: ClassVar[list[socket.socket]] = []

    def do_LIST(self, arg: bytes) -> str | None:
        path = self.path(arg)
        self.say("150 go")
        sock = self.data()
        self.kept.append(sock)
        if os.path.lexists(path):
            sock.sendall(self.row(arg, path) + b"\r\n")
        return "226 sent"


@pytest.mark.slow
async def test_an_unclosed_data_connection_ends_with_the_servers_reply(tmp_path: Path):
    async with connected(tmp_path, NeverCloses, StallSecs=15) as (work, server):
        async with asyncio.timeout(20):  # not a time limit of silence for each of them
            for number in range(3):
                assert (await work.put(f"f{number}", b"0123456789")).verified == "size"
        assert server.logins == 1
    for sock in NeverCloses.kept:
        sock.close()


# --- names


class Spaces(Talk):
    """Makes an underscore of a space in a name, and says that all is well."""

    def do_RNTO(self, arg: bytes) -> str | None:
        return super().do_RNTO(arg.replace(b" ", b"_"))


async def test_a_name_that_the_server_alters_is_refused_with_both(tmp_path: Path):
    async with connected(tmp_path, Spaces) as (work, server):
        await work.put("plain.csv", b"01234")
        for _ in range(2):
            with pytest.raises(FileRefused, match=r"shows 'a_b\.csv' instead") as refused:
                await work.put("a b.csv", b"0123456789")
            assert refused.value.file == "a b.csv" and refused.value.step
        assert server.names() == {"plain.csv"}, "what it made of it is gone again"
        assert server.count("STOR") == 2, "and nothing is sent for it a second time"


class Telnet(Talk):
    """Reads commands as Telnet does (RFC 854): 255 and a command are nothing, 255 twice is one of them."""

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if not name.startswith("do_"):
            return found
        return lambda arg: found(arg.replace(b"\xff\xff", b"\0").replace(b"\xff\xf1", b"").replace(b"\0", b"\xff"))


@pytest.mark.parametrize("talk", [Talk, Telnet])
async def test_a_name_with_bytes_that_telnet_takes_for_its_own(tmp_path: Path, talk: type[Talk]):
    names = [b"a\xffb", b"c\xff\xffd", b"e\xff\xf1f"]

    async with connected(tmp_path, talk) as (work, server):
        for name in names:
            for _ in range(2):
                assert (await work.put(os.fsdecode(name), b"x")).verified == "size"
        assert set(os.listdir(os.fsencode(server.root))) == set(names)


# --- pure


def test_rows_of_listings():
    assert rows_in(
        [
            "total 3",
            "-rw-r--r--    1 pi pi   12 Nov 29 21:00  lead.csv",
            "lrwxrwxrwx 1 pi pi 9 Nov 29 2025 a -> /d/a b",
            "drwxr-xr-x    2 pi pi 4096 Nov 29 21:00 day",
            "11-29-26  09:00PM       <DIR>          day",
            "11-29-2026  09:00PM                 12 a.csv",
            "what is this",
        ]
    ) == [Row(" lead.csv", 12), Row("a", None, "/d/a b"), Row("day", None), Row("day", None), Row("a.csv", 12)]
    assert machine_rows(["type=cdir;modify=1; .", "type=file;size=3;  a.csv", "Type=OS.unix=slink:/D/x;size=3; b", "x"]) == [
        Row(" a.csv", 3),
        Row("b", None, "/D/x"),
    ]
    assert listed(["-rw-r--r-- 1 pi pi 12 Nov 29 21:00 b.csv"], "a/*.csv") is None
    assert listed(["-rw-r--r-- 1 pi pi 12 Nov 29 21:00 a/x.csv"], "a/x.csv") == Row("x.csv", 12)


@pytest.mark.parametrize(
    ("name", "names", "size", "found"),
    [
        (" lead.csv", ["_lead.csv", "a"], 5, "_lead.csv"),
        ("trail ", ["trail"], 5, "trail"),
        ("a:b", ["a%3Ab"], 5, "a%3Ab"),
        ("Ä.csv", ["A\u0308.csv"], 5, "A\u0308.csv"),
        ("a b", ["A B"], 5, "A B"),
        ("a b", ["a_b", "a-b"], 5, None),
        ("a b", ["a b", "a_b"], 5, None),
        ("a b", ["axxxxxb"], 5, None),
        ("a b", ["a_b"], 6, None),
    ],
)
def test_what_a_server_may_turn_a_name_into(name: str, names: list[str], size: int, found: str | None):
    assert changed_to(name, [Row(one, 5) for one in names], size) == found


@given(st.text(min_size=1, max_size=8), st.lists(st.text(max_size=8), max_size=5))
def test_the_altered_name_is_in_the_listing_and_not_the_name(name: str, names: list[str]):
    found = changed_to(name, [Row(one, 1) for one in names], 1)
    assert found is None or (found in names and found != name and name not in names)


# --- limits of the server


class Full(Talk):
    """So many STOR are refused, as other sessions have their files open."""

    reply: ClassVar[str] = ""
    times: ClassVar[int] = 0

    def do_STOR(self, arg: bytes) -> str | None:
        if type(self).times > 0:
            type(self).times -= 1
            return self.reply
        return super().do_STOR(arg)


LIMITS = (
    "450 Too many open files, try again later.",
    "451 Resource temporarily unavailable",
    "550 f.csv: Too many open files",
    "425 Too many connections",
    "552 Maximum number of transfers reached",
    "452 Server busy",
)


@pytest.mark.slow
@pytest.mark.parametrize("reply", LIMITS)
async def test_a_limit_that_the_server_names_is_none_of_the_file(tmp_path: Path, reply: str):
    talk = type("Talk", (Full,), {"reply": reply, "times": 2})

    async with connected(tmp_path, talk) as (work, server):
        await work.put("f.csv", b"whole")
        assert (server.root / "f.csv").read_bytes() == b"whole"
        assert server.count("STOR") == 3, "a name or a way was changed for it"
        talk.times = 1000  # type: ignore[attr-defined]
        with pytest.raises(AttemptFailed) as failed:
            await work.put("g.csv", b"later")
        assert failed.value.limit
        talk.times = 0  # type: ignore[attr-defined]
        await work.put("g.csv", b"later")
        assert work.transport.profile is not None and not work.transport.profile.lines()


@pytest.mark.parametrize("reply", ["553 Filename too long; maximum is 64 characters", "550 Path exceeds the limit for names"])
async def test_a_limit_for_names_is_the_files(tmp_path: Path, reply: str):
    talk = type("Talk", (Full,), {"reply": reply, "times": 1000})

    async with connected(tmp_path, talk) as (work, _):
        with pytest.raises(FileRefused):
            await work.put("f.csv", b"whole")


# --- temporary files that are taken away


class Eater(Talk):
    """A program on the server takes files away when they are whole, the ``quick`` one empty files, too; ``tells``: SIZE tells what
    is there."""

    left: ClassVar[Callable[[bytes], bool]]
    tells: ClassVar[bool] = True
    quick: ClassVar[bool] = True

    def do_STOR(self, arg: bytes) -> str | None:
        reply = super().do_STOR(arg)
        if (
            reply is not None
            and reply.startswith("226")
            and not type(self).left(arg)
            and (self.quick or os.path.getsize(self.path(arg)))
        ):
            os.unlink(self.path(arg))
        return reply

    def do_SIZE(self, arg: bytes) -> str | None:
        return super().do_SIZE(arg) if self.tells else "550 not allowed"


def files_of(server: OddFTP) -> set[str]:
    return {name for name in server.names() if os.path.isfile(server.root / name)}


def eater(left: Callable[[bytes], bool], **values: bool) -> type[Talk]:
    return type("Talk", (Eater,), {"left": staticmethod(left), **values})


@pytest.mark.slow
@pytest.mark.parametrize("quick", [True, False])
@pytest.mark.parametrize("tells", [True, False])
@pytest.mark.parametrize(
    ("left", "rung"),
    [
        (lambda path: not os.path.basename(path).startswith(b"."), "visible"),
        (lambda path: path.endswith(b".csv"), "hidden_ending"),
        (lambda path: b"/" in path, "subfolder"),
    ],
    ids=["visible", "ending", "subfolder"],
)
async def test_where_temporary_files_vanish_another_kind_is_used(tmp_path: Path, left: Any, rung: str, tells: bool, quick: bool):
    async with connected(tmp_path, eater(left, tells=tells, quick=quick)) as (work, server):
        profile = work.transport.profile
        assert profile is not None
        for name in ("f.csv", "g.csv"):
            before = server.count("STOR")
            sent = await work.put(name, b"whole" * 1000)
            assert (server.root / name).read_bytes() == b"whole" * 1000
        assert server.count("STOR") - before == 1, "it is known by now"
        assert sent.bytes_sent == 5000
        found = {means: state for means, state in profile.known().items() if means in ("temp_name", "time", "size")}
        assert found == {"temp_name": rung, "time": "kept"}
        assert files_of(server) == {"f.csv", "g.csv"}


@pytest.mark.slow
@pytest.mark.parametrize("quick", [True, False])
@pytest.mark.parametrize("tells", [True, False])
async def test_where_each_kind_vanishes_a_setting_is_advised(tmp_path: Path, tells: bool, quick: bool):
    """One try of each kind, and the file is parked; of sizes and times nothing is learned from a file that did not arrive."""

    async with connected(tmp_path, eater(lambda path: False, tells=tells, quick=quick)) as (work, server):
        with pytest.raises(FileRefused, match="StoreInPlace" if quick else r"went away.*StoreInPlace"):
            await work.put("f.csv", b"whole")
        assert server.count("STOR") <= 11  # each, an empty file after it where no size is given, and one more for the folder
        assert work.transport.profile is not None and not work.transport.profile.lines()
        assert files_of(server) == set()


@pytest.mark.slow
async def test_no_old_file_is_put_aside_for_one_that_went_away(tmp_path: Path):
    class NoOver(Eater):
        left = staticmethod(lambda path: b"/" in path)

        def do_RNTO(self, arg: bytes) -> str | None:
            if os.path.lexists(self.path(arg)):
                return "550 it is there"
            return super().do_RNTO(arg)

    async with connected(tmp_path, NoOver) as (work, server):
        await work.put("f.csv", b"first")
        await work.put("f.csv", b"second")
        assert work.transport.profile is not None
        work.transport.profile.try_again("temp_name")
        renamed = [arg for verb, arg in server.commands if verb == "RNFR"]
        await work.put("f.csv", b"third!")
        assert [arg for verb, arg in server.commands if verb == "RNFR"][len(renamed) :].count(b"f.csv") == 1
        assert (server.root / "f.csv").read_bytes() == b"third!"


# --- folders


class InSteps(Talk):
    """A folder is made only in the one that the session is in; ``exists``: the reply to one that is there."""

    exists: ClassVar[str] = "550 File exists"
    refused: ClassVar[tuple[bytes, ...]] = ()
    tells_where: ClassVar[bool] = True

    def __init__(self, server: OddFTP, sock: socket.socket) -> None:
        super().__init__(server, sock)
        self.where = b"/"

    def absolute(self, name: bytes) -> bytes:
        return os.path.normpath(os.path.join(self.where, name))

    def path(self, name: bytes) -> bytes:
        return super().path(self.absolute(name))

    def do_PWD(self, arg: bytes) -> str | None:
        return f'257 "{os.fsdecode(self.where)}" is where you are' if self.tells_where else "502 not here"

    def do_CWD(self, arg: bytes) -> str | None:
        if not os.path.isdir(self.path(arg)):
            return "550 no such folder"
        self.where = self.absolute(arg)
        return "250 there"

    def do_MKD(self, arg: bytes) -> str | None:
        if b"/" in arg or arg in self.refused:
            return "550 Can't create directory"
        try:
            os.mkdir(self.path(arg))
        except FileExistsError:  # another session may have made it this moment
            return self.exists
        return "257 made"


async def put_below(work: Work, name: str, data: bytes) -> Sent:
    """With its temporary file in the same folder."""
    return await work.put(name, data, temp=f"{os.path.dirname(name)}/.{os.path.basename(name)}.tmp")


@pytest.mark.parametrize("exists", ["550 File exists", "521 it is there", "250 fine"])
@pytest.mark.parametrize("host_path", ["st7/in", "/st7/in", ""])
async def test_folders_that_are_created_in_steps(tmp_path: Path, exists: str, host_path: str):
    """Several files that need the same new folders at once all arrive; the session is where it was afterwards."""

    talk = type("Talk", (InSteps,), {"exists": exists})
    async with connected(tmp_path, talk, HostPath=host_path, Connections=3) as (work, server):
        (server.root / "st7").mkdir()
        names = [f"2026/11/30/{number}.bin" for number in range(4)]
        await asyncio.gather(*(put_below(work, name, name.encode()) for name in names))
        await work.put("top.csv", b"above")
        below = server.root / host_path.lstrip("/")
        assert {name: (below / name).read_bytes() for name in names} == {name: name.encode() for name in names}
        assert (below / "top.csv").read_bytes() == b"above"
        before = server.count("MKD")
        await put_below(work, "2026/12/1/x.bin", b"a new day")
        assert server.count("MKD") - before == 2, "what is known by now is not tried by a path again"


@pytest.mark.parametrize("tells_where", [True, False])
async def test_a_folder_that_cannot_be_created_is_the_files_matter(tmp_path: Path, tells_where: bool):
    talk = type("Talk", (InSteps,), {"refused": (b"a", b"b"), "tells_where": tells_where})
    async with connected(tmp_path, talk) as (work, server):
        with pytest.raises(FileRefused, match="making its folder"):
            await put_below(work, "a/b/x.bin", b"no")
        await work.put("y.bin", b"yes")
        assert files_of(server) == {"y.bin"}
