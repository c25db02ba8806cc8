"""Open files on the server: when a refused OPEN is the server's limit, and when it is the file."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import Any, cast

from pysubtask.transports.sftp import packets
from pysubtask.transports.sftp.handles import FIRST, KIND, Handles
from pysubtask.transports.sftp.packets import Handle, Reply, Status
from pysubtask.transports.shared.allowance import Allowance
from pysubtask.transports.shared.profile import Profile

NAMED, BARE = Status(packets.FAILURE, "Too many open files"), Status(packets.FAILURE, "Failure")


class Line:
    """A connection of which only CLOSE is asked: it is answered when the test says so."""

    def __init__(self) -> None:
        self.closing: list[asyncio.Future[Reply]] = []

    def request(self, kind: int, body: bytes) -> asyncio.Future[Reply]:
        assert kind == packets.CLOSE
        self.closing.append(asyncio.get_running_loop().create_future())
        return self.closing[-1]


def handles(most: int = 64) -> tuple[Handles, Line]:
    line, profile = Line(), Profile(time.time)
    profile.opened[KIND] = Allowance(most)
    return Handles(cast(Any, line), profile, profile.opened[KIND]), line


def answers(*replies: Reply) -> Callable[[], asyncio.Future[Reply]]:
    """What the server says to one try after the other."""
    rest = iter(replies)

    def again() -> asyncio.Future[Reply]:
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        future.set_result(next(rest))
        return future

    return again


async def opened(one: Handles, name: bytes, first: Reply | None = None, more: Iterable[Reply] = ()) -> Reply:
    await one.enter()
    return await one.granted(first or Handle(name), answers(*more))


async def test_a_limit_that_the_server_names_is_never_the_files_fault():
    one, line = handles()
    for name in (b"a", b"b"):
        assert isinstance(await opened(one, name), Handle)
    late = asyncio.create_task(opened(one, b"c", NAMED, (NAMED, NAMED, Handle(b"c"))))
    for name in (b"a", b"b", b"d", b"e", b"f"):
        # One ends, and another file takes its place at once: as many as before were granted, and this one was not.
        await asyncio.sleep(0)
        one.close(name)
        line.closing[-1].set_result(Status(packets.OK, ""))
        await asyncio.sleep(0)
        if not late.done():
            asyncio.create_task(opened(one, name + b"2"))  # noqa: RUF006 - ends with the loop
        await asyncio.sleep(0.01)
    assert isinstance(await asyncio.wait_for(late, 10), Handle)


async def test_a_bare_failure_is_the_files_where_as_many_were_granted():
    one, line = handles()
    for name in (b"a", b"b"):
        await opened(one, name)
    late = asyncio.create_task(opened(one, b"c", BARE, (BARE,)))
    await asyncio.sleep(0)
    one.close(b"a")
    line.closing[-1].set_result(Status(packets.OK, ""))
    await opened(one, b"d")
    assert await asyncio.wait_for(late, 10) == BARE


def test_little_is_asked_of_a_server_that_nothing_is_known_of():
    unknown = Allowance(64, FIRST)
    assert unknown.limit == FIRST and unknown.worth_asking == 64 and not unknown.learned
    rounds = 0
    while unknown.limit < 64:
        for number in range(unknown.limit):
            unknown.worked(number + 1)
        rounds += 1
    assert rounds == 3, "it doubles with each round"
    low = Allowance(64, FIRST)
    low.refused(1)
    assert low.limit == 1 and low.worth_asking == 1 and low.learned
    assert Allowance(3, FIRST).limit == 3
