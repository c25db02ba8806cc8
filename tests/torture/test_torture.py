"""A short sample of the torture, and proof that its eyes see. A full run is a command:

python -m proofs.torture --minutes 30 --seed 1
"""

from __future__ import annotations

import itertools
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from proofs.torture.__main__ import main
from proofs.torture.calls import Recorder, percentile, read_calls
from proofs.torture.compare import Digests, compare, data_files
from proofs.torture.content import LINE, Streams, number_of, whole
from proofs.torture.faults_stick import why_not_here
from proofs.torture.plan import KILLS, rounds
from proofs.torture.reader import Reader
from proofs.torture.report import Row, table
from pysubtask.common.receipts import Receipt, append
from pysubtask.testing.servers.sshd import missing
from tests.support.helpers import wait_until

needs_sshd = pytest.mark.skipif(missing() is not None, reason=missing() or "")


def torture(*words: str) -> subprocess.CompletedProcess[str]:
    words = (sys.executable, "-m", "proofs.torture", *words)
    return subprocess.run(words, capture_output=True, text=True, timeout=100)


@pytest.mark.slow
@needs_sshd
def test_a_few_random_kills():
    done = torture("--only", "random", "--kills", "5", "--seed", str(seed := random.randrange(10**6)))
    print(seed, done.stdout, done.stderr)
    # Of so few calls a single slow one is more than a hundredth: what is judged here is what was sent.
    assert "0 lost, 0 torn" in done.stdout or "p99" in done.stdout
    row = next(line for line in done.stdout.splitlines() if line.startswith("| all kills"))
    assert [cell.strip() for cell in row.split("|")[2:7]] == ["5", "5", "0", "0", "0"]


@pytest.mark.slow
@needs_sshd
def test_one_fault_by_name():
    done = torture("--only", "fifo", "--seed", "1")
    print(done.stdout, done.stderr)
    assert done.returncode == 0
    row = next(line for line in done.stdout.splitlines() if line.startswith("| input: fifo"))
    assert [cell.strip() for cell in row.split("|")[4:8]] == ["0"] * 4


@pytest.mark.slow
@needs_sshd
@pytest.mark.parametrize("fault", ["disk pulled and put back", "disk turns read-only", "no inodes left", "full, and what is said"])
def test_a_sample_of_the_disks_faults(fault: str):
    """0 lost, 0 twice, no second child, and the words are right: see faults_stick."""
    why = why_not_here()
    if why:
        pytest.skip(why)
    done = torture("--only", fault, "--seed", str(seed := random.randrange(10**6)), "--sample")
    print(seed, done.stdout, done.stderr)
    row = next(line for line in done.stdout.splitlines() if line.startswith(f"| disk: {fault}"))
    tried, survived, *rest = (cell.strip() for cell in row.split("|")[2:8])
    assert (tried, rest) == (survived, ["0"] * 4) and int(tried) > 0
    assert done.returncode == 0


def test_the_faults_are_named(capsys: pytest.CaptureFixture[str]):
    assert main(["--list"]) == 0
    groups = {line.partition(":")[0] for line in capsys.readouterr().out.splitlines()}
    assert groups == {"random", "disk", "network", "server", "input", "stall"}
    assert main(["--only", "no such word"]) == 2


def test_the_seed_decides():
    first, again, other = (list(itertools.islice(rounds(seed), 20)) for seed in (5, 5, 6))
    assert first == again != other
    assert all(9 <= sum(fault.is_kill for fault in faults) <= 13 for faults in first)
    assert {fault.kind for faults in first for fault in faults} > set(KILLS)


def test_contents_tell_whether_they_are_whole():
    chance, streams = random.Random(1), Streams()
    data = whole(7, 1000, chance)
    assert number_of(data) == 7
    assert number_of(data[:-1]) is None
    assert number_of(b"8" + data[1:]) is None
    stream = streams.of(3).upto(10 * LINE)
    assert [streams.generation_of(stream[:size]) for size in (6, 100, len(stream))] == [3, 3, 3]
    assert streams.generation_of(stream[:100] + stream[101:]) is None
    assert streams.generation_of(stream[:LINE] + b"\0" * LINE) is None


class Server:
    """A folder with a reader before it."""

    def __init__(self, root: Path) -> None:
        self.folder, self.state = root / "server", root / "state"
        self.folder.mkdir()
        self.state.mkdir()
        self.reader = Reader(str(self.folder), str(self.state))

    def show(self, name: str, data: bytes) -> None:
        """Under the name by a rename, and read."""
        fresh = self.folder / ".pysubtask-x.part"
        fresh.write_bytes(data)
        contents_read = self.reader.contents_read
        os.replace(fresh, self.folder / name)
        wait_until(lambda: self.reader.contents_read > contents_read, what="a reading")


@pytest.mark.parametrize("wrong", ["torn", "back", "gone", "hole", "shrunk"])
def test_the_reader_sees_what_is_wrong(tmp_path: Path, wrong: str):
    server, chance, streams = Server(tmp_path), random.Random(1), Streams()
    versions = [whole(number, 500, chance) for number in range(3)]
    server.reader.start()
    server.show("whole-a.bin", versions[1])
    server.show("grow-a.csv", streams.of(0).upto(5000))
    server.show("grow-a.csv", streams.of(0).upto(9000))
    server.show("grow-a.csv", streams.of(1).upto(100))
    assert (server.reader.torn, server.reader.twice) == ([], {})
    if wrong == "torn":
        server.show("whole-a.bin", versions[2][:300])
    elif wrong == "back":
        server.show("whole-a.bin", versions[0])
    elif wrong == "gone":
        (server.folder / "whole-a.bin").unlink()
        wait_until(lambda: server.reader.torn, what="seen")
    elif wrong == "hole":
        server.show("grow-a.csv", streams.of(1).upto(100) + b"\0" * 100)
    else:
        server.show("grow-a.csv", streams.of(1).upto(70))
    server.reader.stop()
    assert len(server.reader.torn) == 1


def test_the_reader_sees_what_is_sent_twice(tmp_path: Path):
    server, data = Server(tmp_path), whole(0, 500, random.Random(1))
    receipts = [
        Receipt(seq, "2026-11-22T00:00:00Z", "/x", "x", "d", 1, 1, digest, sent, "size")
        for seq, digest, sent in [(1, "a", 1), (2, "b", 1), (3, "b", 0), (4, "a", 1)]
    ]
    server.reader.start()
    server.show("drop-1.bin", data)
    server.show("drop-1.bin", data)
    append(str(server.state), receipts[:3])
    append(str(server.state), receipts[3:])
    wait_until(lambda: len(server.reader.twice) == 2, what="both")
    server.reader.stop()
    assert {(one.name, one.how) for one in server.reader.twice.values()} == {
        ("drop-1.bin", "published again"),
        ("x", "a second receipt with bytes"),
    }
    assert (server.reader.deliveries, server.reader.torn) == (3, [])


def test_what_is_not_there_or_left_over_is_named(tmp_path: Path):
    data, server, bak, state = (tmp_path / name for name in ("data", "server", "bak", "state"))
    for folder in (data, server, bak, state):
        folder.mkdir()
    (data / "a").write_bytes(b"1")
    (data / "b").write_bytes(b"2")
    (data / "b.notify").touch()
    shutil.copy(data / "a", server / "a")
    (server / "b").write_bytes(b"3")
    (server / ".pysubtask-1.part").touch()
    (bak / "x").touch()
    digests = Digests()
    one = digests.of(str(data / "a"))
    append(
        str(state),
        [
            Receipt(1, "2026-11-22T00:00:00Z", str(data / "a"), "a", "d", 1, 1, one, 1, "size"),
            Receipt(2, "2026-11-22T00:00:00Z", str(data / "b"), "b", "d", 1, 1, "other", 1, "size"),
        ],
    )
    found = compare(data_files([str(data)]), str(server), str(bak), str(state), digests)
    assert found.missing == ["b"]
    assert found.left == [".pysubtask-1.part on the server", "x in the bak folder"]
    assert found.receipts == ["the last receipt of b is of another content"]


def test_calls_are_timed_and_what_raises_is_written_down(tmp_path: Path):
    recorder = Recorder(str(tmp_path))
    assert recorder.time("notify", lambda: 5) == 5
    assert recorder.time("status", lambda: 1 / 0) is None
    recorder.close()
    with open(tmp_path / "calls.bin", "ab") as file:
        file.write(b"cut")
    assert [(call.kind, call.raised) for call in read_calls(str(tmp_path))] == [("notify", False), ("status", True)]
    assert [percentile(range(100), part) for part in (0.0, 0.5, 0.99, 1.0)] == [0, 50, 99, 99]


def test_the_table():
    rows = [Row("kill", 1000, 999, 1), Row("x", 0, 0, note="not tried: needs root")]
    assert [row.ok for row in rows] == [False, True]
    lines = table(rows).splitlines()
    assert len({line.count("|") for line in lines}) == 1
    assert lines[2].split("|")[1:4] == [" kill  ", " 1,000 ", "      999 "]
