"""Against a real sshd: full disks, frozen servers, interrupted swaps, and the life of the ssh child."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pysubtask.common.errors import FileRefused, TransportLost
from pysubtask.common.process import process_start
from pysubtask.testing import Relay
from pysubtask.testing.servers.sshd import OpenSSHServer, missing, openssh_server
from pysubtask.transports.sftp import SFTPTransport
from pysubtask.transports.shared.ssh_login import login_of
from pysubtask.transports.ssh.options import ssh_argv
from pysubtask.transports.ssh.process_record import end_leftover
from tests.support.delivery_context import LIMIT, DeliveryContext
from tests.support.helpers import wait_until

pytestmark = pytest.mark.skipif(missing() is not None, reason=str(missing()))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenSSHServer]:
    with openssh_server(tmp_path_factory.mktemp("sshd")) as running:
        yield running


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenSSHServer]:
    with openssh_server(tmp_path_factory.mktemp("sshd"), deny=("posix-rename",)) as running:
        yield running


@pytest.fixture
def context(server: OpenSSHServer, tmp_path: Path) -> DeliveryContext:
    return DeliveryContext(server, tmp_path)


@pytest.mark.parametrize("deny", [(), ("fsync",), ("fsync", "posix-rename", "limits")])
async def test_a_full_disk_never_costs_the_good_copy(deny: tuple[str, ...], tmp_path: Path):
    with openssh_server(tmp_path / "sshd", deny=deny, file_limit=500_000) as server:
        context = DeliveryContext(server, tmp_path)

        transport = context.transport(Concurrency=200)
        await transport.connect()
        # One that does not say how many it takes is asked for less.
        assert transport.traits.concurrency == (64 if "limits" in deny else 200)
        await context.put(transport, context.job("a", b"good"))
        with pytest.raises(FileRefused, match=r"writing: server said: Failure$"):
            await context.put(transport, context.job("a", os.urandom(3_000_000)))
        assert context.read("a") == b"good"
        assert context.names() == ["a"]
        await context.put(transport, context.job("b", b"fits"))
        await transport.close()
        assert context.read("b") == b"fits"


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["in the middle", "at the rename"])
async def test_a_thawed_server_puts_no_old_version_over_a_newer_one(context: DeliveryContext, server: OpenSSHServer, moment: str):
    """The server process stops with requests queued, our side dies, another uploads something newer; then it wakes."""
    older, newer = os.urandom(2_000_000), os.urandom(40_000)
    frozen: list[int] = []

    try:
        first = context.transport(StallSecs=2)
        await first.connect()
        await context.put(first, context.job("a", b"first"))

        def freeze(*_: Any) -> None:
            if not frozen:
                frozen.extend(server.freeze())

        old = context.job("a", older)
        if moment == "at the rename":
            old = old._replace(confirm=freeze)
        with pytest.raises(TransportLost, match="no answer"):
            async with asyncio.timeout(LIMIT):
                await first.upload(old, freeze if moment == "in the middle" else lambda done: None)
        assert frozen
        await first.close()
        second = context.transport()
        await second.connect()
        await context.put(second, context.job("a", newer, stale=(old.temp,)))
        assert context.read("a") == newer
        server.thaw(frozen)
        await asyncio.to_thread(wait_until, lambda: not set(frozen) & set(server.sftp_pids()), 30, "the end of the thawed server")
        assert context.read("a") == newer
        await second.remove([old.temp])
        assert context.names() == ["a"]
        await second.close()
    finally:
        server.thaw(frozen)


class TestSwap:
    """No posix-rename."""

    @pytest.mark.parametrize("recorded", [True, False])
    async def test_an_interrupted_swap_is_mended(self, plain: OpenSSHServer, recorded: bool, tmp_path: Path):
        """By the next connect from the record; without one by the next upload, which gets the earlier temp names."""
        context = DeliveryContext(plain, tmp_path)
        (context.folder / ".a.9.tmp").write_bytes(b"new, whole, not in yet")
        (context.folder / ".a.9.tmp.old").write_bytes(b"old")
        if recorded:
            path = str(context.folder / "a")
            asides = {f"{context.folder}/.a.9.tmp.old": [path, 1e9]}
            (tmp_path / "work").mkdir()
            identity = SFTPTransport.identity(plain.settings(HostPath=str(context.folder)))
            (tmp_path / "work" / "swaps.json").write_text(json.dumps({"identity": identity, "asides": asides}))

        transport = context.transport()
        await transport.connect()
        if recorded:
            assert context.read("a") == b"old"
        else:
            assert await transport.remove([".a.8.tmp"]) == set()
            assert context.names() == [".a.9.tmp", ".a.9.tmp.old"]
        newer = context.job("a", b"newer", stale=(".a.9.tmp",))
        seen: list[bytes] = []
        await context.put(transport, newer._replace(confirm=lambda: seen.append(context.read("a"))))
        assert seen == [b"old"]
        await transport.close()
        assert context.read("a") == b"newer"
        assert context.names() == ["a"]

    async def test_an_aside_is_not_removed_while_its_name_is_missing(self, plain: OpenSSHServer, tmp_path: Path):
        context = DeliveryContext(plain, tmp_path)

        transport = context.transport()
        await transport.connect()
        (context.folder / ".a.9.tmp.old").write_bytes(b"the only copy")
        await transport.remove([".a.9.tmp"])
        assert context.read(".a.9.tmp.old") == b"the only copy"
        await transport.close()

    @pytest.mark.slow
    async def test_a_late_move_aside_is_mended_by_the_next_connect(self, plain: OpenSSHServer, tmp_path: Path):
        """The one request that a stalled server may hold against us: it moves the newer version aside."""
        context = DeliveryContext(plain, tmp_path)
        frozen: list[int] = []

        try:
            first = context.transport(StallSecs=2)
            await first.connect()
            await context.put(first, context.job("a", b"first"))
            swaps = first._swaps
            assert swaps is not None
            lstat = swaps._lstat

            async def lstat_then_freeze(path: bytes) -> Any:
                found = await lstat(path)
                frozen.extend(plain.freeze())
                return found

            swaps._lstat = lstat_then_freeze  # type: ignore[method-assign]
            old = context.job("a", b"older")
            with pytest.raises(TransportLost):
                await context.put(first, old)
            await first.close()
            second = context.transport()
            await second.connect()
            await context.put(second, context.job("a", b"newer", stale=(old.temp,)))
            plain.thaw(frozen)
            await asyncio.to_thread(wait_until, lambda: not set(frozen) & set(plain.sftp_pids()), 30, "the thawed server's end")
            await second.close()
            await second.connect()
            assert context.read("a") == b"newer"
            assert context.names() == ["a"]
            await second.close()
        finally:
            plain.thaw(frozen)


@pytest.mark.slow
async def test_a_small_file_does_not_wait_for_a_large_one_when_slow(server: OpenSSHServer, context: DeliveryContext):
    rate = 400_000
    with Relay("127.0.0.1", server.port, buffer=16 * 1024) as relay:
        transport = context.transport(HostPort=relay.port, HostKey=server.host_key)
        await transport.connect()
        relay.throttle(rate)
        moved = asyncio.Event()
        large = asyncio.create_task(
            transport.upload(context.job("large", os.urandom(rate * 60)), lambda done: moved.set() if done > rate * 2 else None)
        )
        await moved.wait()
        loop = asyncio.get_running_loop()
        started = loop.time()
        await context.put(transport, context.job("small", b"x" * 1000))
        took = loop.time() - started
        assert not large.done()
        large.cancel()
        await asyncio.gather(large, return_exceptions=True)
        await transport.close()
        assert took < 8, "three round trips behind half a second of data each, and time for a busy machine"


class TestChild:
    """The ssh process."""

    @staticmethod
    def pid_of(context: DeliveryContext) -> int:
        return int(json.loads((context.place / "work" / "ssh.json").read_text())["pid"])

    async def test_it_has_no_terminal_and_ends_with_close(self, context: DeliveryContext):
        transport = context.transport()
        await transport.connect()
        pid = self.pid_of(context)
        assert session_of(pid) == (pid, 0), "a session of its own, no terminal"
        await transport.close()
        assert process_start(pid) is None
        assert not (context.place / "work" / "ssh.json").exists()

    @pytest.mark.slow
    async def test_close_is_quick_even_when_nothing_answers(self, server: OpenSSHServer, context: DeliveryContext):
        with Relay("127.0.0.1", server.port) as relay:
            transport = context.transport(HostPort=relay.port, HostKey=server.host_key)
            await transport.connect()
            pid = self.pid_of(context)
            relay.stall()
            started = asyncio.get_running_loop().time()
            await transport.close()
            assert asyncio.get_running_loop().time() - started < 10
            assert process_start(pid) is None

    def test_nothing_stays_open(self, context: DeliveryContext):
        async def case() -> None:
            transport = context.transport()
            before = left_open()
            for _ in range(2):
                await transport.connect()
                await context.put(transport, context.job("a", b"x"))
                await transport.close()
                assert left_open() == before

        def left_open() -> list[str]:
            """All but our own folder, which own_files keeps open once it was found to be ours, so long as there are few of them."""
            found = []
            for number in os.listdir("/proc/self/fd"):
                with contextlib.suppress(FileNotFoundError):
                    if os.readlink(f"/proc/self/fd/{number}") != str(context.place / "work"):
                        found.append(number)
            return sorted(found)

        asyncio.run(case())

    def test_it_works_in_another_thread(self, context: DeliveryContext):
        """Where the courier lives: no signal, no child watcher of the main thread is needed."""
        ends: list[BaseException | None] = []

        def work() -> None:
            async def case() -> None:
                transport = context.transport()
                await transport.connect()
                await context.put(transport, context.job("a", b"x"))
                await transport.close()

            try:
                asyncio.run(case())
                ends.append(None)
            except BaseException as exc:
                ends.append(exc)

        thread = threading.Thread(target=work)
        thread.start()
        thread.join(LIMIT)
        assert ends == [None]

    @pytest.mark.slow
    @pytest.mark.parametrize("by", ["the kernel", "the next connect"])
    def test_it_does_not_outlive_us(self, server: OpenSSHServer, context: DeliveryContext, by: str):
        with Relay("127.0.0.1", server.port) as relay:
            settings = server.settings(HostPath=str(context.folder), HostPort=relay.port, HostKey=server.host_key)
            holder = subprocess.Popen(
                [sys.executable, "-c", HOLDER, json.dumps(settings), str(context.place / "work"), by],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
            )
            try:
                assert holder.stdout is not None
                assert holder.stdout.readline() == b"connected\n"
                pid = self.pid_of(context)
                assert process_start(pid) is not None
                relay.stall()  # so that ssh cannot say goodbye to the server
            finally:
                holder.kill()
                holder.communicate()
            if by == "the next connect":
                assert process_start(pid) is not None
                relay.heal()
                relay.stall("down")
                asyncio.run(connect_in_vain(context.transport(HostPort=relay.port, HostKey=server.host_key, ConnectTimeoutSecs=1)))
            wait_until(lambda: process_start(pid) is None, what="the end of ssh")

    def test_only_the_recorded_one_is_ended(self, context: DeliveryContext):
        (context.place / "work").mkdir()
        record = context.place / "work" / "ssh.json"
        # What an ssh of ours has on its command line, in a process that stays.
        words = ssh_argv("ssh", login_of({"Host": "h"}))[1:]
        one = [sys.executable, "-c", "import time; time.sleep(600)", *words]
        with subprocess.Popen(one, start_new_session=True) as ours, subprocess.Popen(["sleep", "600"]) as other:
            try:
                for start in ("1-1", "", None, 5):
                    record.write_text(json.dumps({"pid": ours.pid, "start": start}))
                    assert not end_leftover(str(record))
                record.write_text("{")
                assert not end_leftover(str(record))
                record.write_text(json.dumps({"pid": other.pid, "start": process_start(other.pid)}))
                assert not end_leftover(str(record)), "it has no command line of ours"
                assert ours.poll() is None and other.poll() is None
                record.write_text(json.dumps({"pid": ours.pid, "start": process_start(ours.pid)}))
                assert end_leftover(str(record))
                assert ours.wait(20) == -signal.SIGKILL
            finally:
                ours.kill()
                other.kill()

    def test_a_record_that_is_a_link_names_nobody(self, context: DeliveryContext):
        (context.place / "work").mkdir()
        record = context.place / "work" / "ssh.json"
        one = [sys.executable, "-c", "import time; time.sleep(600)", *ssh_argv("ssh", login_of({"Host": "h"}))[1:]]
        with subprocess.Popen(one, start_new_session=True) as ours:
            try:
                (context.place / "elsewhere").write_text(json.dumps({"pid": ours.pid, "start": process_start(ours.pid)}))
                record.symlink_to(context.place / "elsewhere")
                assert not end_leftover(str(record))
                assert ours.poll() is None
            finally:
                ours.kill()

    @pytest.mark.slow
    async def test_the_reason_is_reported_when_ssh_dies(self, context: DeliveryContext):
        transport = context.transport()
        await transport.connect()
        moving = asyncio.Event()
        running = asyncio.create_task(transport.upload(context.job("a", os.urandom(50_000_000)), lambda done: moving.set()))
        await moving.wait()
        os.kill(self.pid_of(context), signal.SIGKILL)
        with pytest.raises(TransportLost, match="signal 9"):
            await running
        with pytest.raises(TransportLost):
            await transport.stat("a")
        await transport.close()
        await transport.connect()
        await context.put(transport, context.job("a", b"x"))
        await transport.close()


def session_of(pid: int) -> tuple[int, int]:
    """Session and terminal of a process: fields 6 and 7 of /proc/pid/stat."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[3]), int(fields[4])


async def connect_in_vain(transport: SFTPTransport) -> None:
    with pytest.raises(TransportLost):
        await transport.connect()


HOLDER = """
import asyncio, json, sys
from pysubtask.transports.sftp import SFTPTransport
from pysubtask.transports.ssh import process

async def main(settings, workdir, by):
    if by != "the kernel":
        process._dies_with_us = lambda: ()
    transport = SFTPTransport(json.loads(settings), workdir)
    await transport.connect()
    print("connected", flush=True)
    await asyncio.sleep(600)

asyncio.run(main(*sys.argv[1:]))
"""


async def test_the_log_has_one_open_and_one_rename_for_each_upload(tmp_path: Path):
    with openssh_server(tmp_path / "sshd") as server:
        context = DeliveryContext(server, tmp_path)

        transport = context.transport()
        await transport.connect()
        await asyncio.gather(*(context.put(transport, context.job(f"f{i}", b"x" * i)) for i in range(20)))
        await transport.close()
        events = server.events()
        for what in ("open", "close", "posix-rename"):
            assert sum(event.startswith(f"{what} ") for event in events) == 20
        assert len(context.names()) == 20
