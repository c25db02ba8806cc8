"""Servers that refuse a part of what an upload wants: a sample of kills, crash points and cuts of the power with each, and proof
that the eyes see what must not be. At length:

    python -m proofs.torture --server 'object store' --kills 300
    python -m proofs.crash --kind 'object store' --pairs
    python -m proofs.crash --kind 'object store' --power
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from proofs.profiles import PROFILES
from proofs.torture.__main__ import main
from proofs.torture.compare import Difference, without_reported
from proofs.torture.content import whole
from proofs.torture.plan import WITH_QUIRKS, rounds
from proofs.torture.reader import Reader
from pysubtask.testing.servers.quirks import Quirks
from pysubtask.testing.servers.sshd import missing
from tests.support.helpers import wait_until

KINDS = sorted(PROFILES)


def command(*words: str, secs: float = 150) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *words], capture_output=True, text=True, timeout=secs)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.skipif(missing() is not None, reason=missing() or "")
def test_a_few_random_kills(kind: str):
    seed = str(random.randrange(10**6))
    done = command("-m", "proofs.torture", "--server", kind, "--kills", "5", "--seed", seed)
    print(seed, done.stdout, done.stderr)
    # Of so few calls a single slow one is more than a hundredth: what is judged here is what was sent.
    assert "0 lost, 0 torn" in done.stdout or "p99" in done.stdout
    assert "WRONG: sent twice" not in done.stdout
    row = next(line for line in done.stdout.splitlines() if line.startswith("| all kills"))
    assert [cell.strip() for cell in row.split("|")[2:7]] == ["5", "5", "0", "0", "0"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_sample_of_crash_points_and_pairs(kind: str):
    done = command("-m", "proofs.crash", "--kind", kind, "--sample", "8", "--pairs", "--seed", "5")
    assert done.returncode == 0, done.stdout + done.stderr
    totals = [line.split() for line in done.stdout.splitlines() if line.startswith("all ")]
    assert [(row[1], row[2]) for row in totals] == [("8", "0"), ("8", "0")]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.skipif(shutil.which("strace") is None, reason="there is no strace here (apt-get install strace)")
def test_a_sample_of_power_cuts(kind: str):
    done = command("-m", "proofs.crash", "--power", "--kind", kind, "--change", "rewritten", "--sample", "16")
    assert done.returncode == 0, done.stdout + done.stderr
    assert [line.split()[1:3] for line in done.stdout.splitlines() if line.startswith("all ")] == [["16", "0"]]


RUN = """
import json, os, sqlite3, sys, tempfile
from proofs.crash.explore import Explorer, Trial
with tempfile.TemporaryDirectory() as folder:
    explorer = Explorer(folder)
    explorer._template(__import__("proofs.crash.child", fromlist=["KINDS"]).KINDS[sys.argv[1]], "rewritten")
    {sabotage}
    outcome = explorer.run(Trial(sys.argv[1], "rewritten", (int(sys.argv[2]),)))
    with sqlite3.connect(os.path.join(folder, "run", "data", ".pysubtask", "main", "ftp", "spool.db")) as db:
        kept = json.loads(db.execute("SELECT data FROM profile").fetchone()[0])
    print(json.dumps([outcome.problem, {{name: state["rung"] for name, state in kept["means"].items()}}, kept["left"]]))
"""


def explored(kind: str, step: int, sabotage: str = "pass") -> tuple[str, dict[str, str], dict[str, bool]]:
    done = command("-c", RUN.format(sabotage=sabotage), kind, str(step))
    assert done.returncode == 0, done.stderr
    problem, rungs, left = json.loads(done.stdout)
    return problem, rungs, left


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "learned"),
    [
        ("no rename over", {"publish": "aside", "size": "before_close", "time": "kept"}),
        ("object store", {"publish": "aside", "size": "after_close", "time": "refused"}),
        ("delete refused", {"publish": "posix_rename", "delete": "refused"}),
    ],
)
def test_the_model_is_such_a_server(kind: str, learned: dict[str, str]):
    problem, rungs, left = explored(kind, 45)
    assert problem == "" and learned.items() <= rungs.items()
    assert len(left) == (kind == "delete refused")


@pytest.mark.slow
def test_what_is_left_and_not_reported_is_found_out():
    """A child that keeps no record of what it could not remove."""
    source = "from pysubtask.transports.shared.profile import Profile; Profile.leave = lambda self, path, **more: None"
    assert "left behind and not told" in explored("delete refused", 45, source)[0]


@pytest.mark.slow
def test_what_was_put_aside_at_a_kill_and_forgotten_is_found_out():
    source = (
        "from pysubtask.transports.sftp.swap import Swaps; Swaps.mend_all = Swaps.mend = "
        "Swaps.mend_recorded = lambda *a: __import__('asyncio').sleep(0)"
    )
    problems = [explored("no rename over", step, source)[0] for step in range(68, 77, 3)]
    assert any("left behind" in problem and ".part.old" in problem for problem in problems), problems


# --- the eyes of the torture


def test_a_name_may_briefly_lack_its_file_but_never_has_half(tmp_path: Path):
    server, state = tmp_path / "server", tmp_path / "state"
    server.mkdir()
    state.mkdir()
    reader, versions = Reader(str(server), str(state), gap=True), [whole(number, 500, random.Random(1)) for number in range(3)]

    def show(data: bytes) -> None:
        contents_read = reader.contents_read
        (server / ".pysubtask-x").write_bytes(data)
        os.replace(server / ".pysubtask-x", server / "whole-a.bin")
        wait_until(lambda: reader.contents_read > contents_read, what="a reading")

    reader.start()
    show(versions[1])
    (server / "whole-a.bin").rename(server / ".pysubtask-x.old")
    wait_until(lambda: reader.gaps == 1, what="the gap")
    (server / ".pysubtask-x.old").rename(server / "whole-a.bin")
    show(versions[2])
    time.sleep(0.05)
    assert (reader.torn, reader.twice, reader.gaps) == ([], {}, 1)
    show(versions[0])
    show(versions[2][:100])
    reader.stop()
    assert len(reader.torn) == 2


def test_unremovable_files_count_where_unreported_or_too_many():
    left = [f".pysubtask-{number}.part.left on the server" for number in range(3)]
    other = "something else on the server"
    page = {"server": ["this server ...", "3 temporary files could not be removed there: in/.pysubtask-0.part.left, ..."]}
    assert without_reported(Difference([], left, []), page, 3) == (Difference([], [], []), 3)
    assert without_reported(Difference([], [*left, other], []), page, 3) == (Difference([], [other], []), 3)
    assert without_reported(Difference([], left[:2], []), page, 3)[0].left[:2] == left[:2], "it counts more than there are"
    assert without_reported(Difference([], left, []), {}, 3)[0].left[:3] == left
    assert without_reported(Difference([], left, []), page, 2)[0].left == left
    one = {"server": ["1 temporary file could not be removed there: x"]}
    assert without_reported(Difference([], left[:1], []), one, 3) == (Difference([], [], []), 1)


def test_a_server_that_is_one_process_has_its_own_kills(capsys: pytest.CaptureFixture[str]):
    drawn = [fault.kind for _, faults in zip(range(40), rounds(3, WITH_QUIRKS), strict=False) for fault in faults]
    assert set(drawn) == set(WITH_QUIRKS) and "kill server" in drawn and "kill sshd" not in drawn
    assert main(["--server", "object store", "--only", "disk"]) == 2
    assert "servers of their own" in capsys.readouterr().err


def test_what_a_profile_promises_is_in_words():
    for profile in PROFILES.values():
        assert profile.quirks() != Quirks()
        assert ("without its file" in profile.promises) == profile.gap
        assert ("sent again" in profile.promises) == profile.sends_again
        assert ("temporary files stay" in profile.promises) == bool(profile.litter)
