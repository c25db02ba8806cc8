"""A sample of the crash points and their pairs, and proof that the check of what is left finds a loss or a torn file."""

from __future__ import annotations

import subprocess
import sys

import pytest

# Defects put into the child, as source, and the words by which they must be found.
SABOTAGE = {
    "a delivery that never happened": (
        """
from pysubtask.subtask.delivery.upload_attempt import UploadAttempts
from pysubtask.subtask.spool.jobs import DeliveryResult
from pysubtask.transports.base import RemoteStat
async def put(self, version):
    return DeliveryResult(version.id, RemoteStat(version.size, 0), version.size, "size")
UploadAttempts._deliver = put
""",
        "torn or old",
    ),
    "a file written in place": (
        """
from pysubtask.transports.sftp.publish import Publisher
async def always(self, attempt):
    return True
Publisher._is_in_place = always
""",
        "must never be seen",
    ),
    "a snapshot that is left": (
        """
from pysubtask.subtask.snapshot.snapshotter import Snapshotter
Snapshotter.drop = lambda self, path: None
Snapshotter.sweep = lambda self, keep: None
""",
        "left behind",
    ),
}

# The same for the FTP client: source, kind, change, and the words.
FTP_SABOTAGE = {
    "a file written in place": (
        """
from pysubtask.transports.ftp.transport import FTPTransport
init = FTPTransport.__init__
def in_place(self, settings, workdir):
    init(self, settings, workdir)
    self._in_place = True
FTPTransport.__init__ = in_place
""",
        "ftp whole",
        "rewritten",
        "must never be seen",
    ),
    "a rename before the size is confirmed": (
        """
from pysubtask.transports.ftp.publish import Publisher
Publisher._check_size = lambda self, session, attempt, source: None
""",
        "ftp short transfer",
        "rewritten",
        "must never be seen",
    ),
    "bytes appended where the file ends, not where they belong": (
        """
from pysubtask.transports.ftp.transfers import Transfers
begin = Transfers._transfer
def appended(self, command, start=0, walk=None):
    if start and command == "STOR a.csv":
        return begin(self, command.replace("STOR", "APPE"), 0, walk)
    return begin(self, command, start, walk)
Transfers._transfer = appended
""",
        "ftp append",
        "grown",
        "must never be seen",
    ),
    "a temporary file of an earlier attempt that stays": (
        """
from pysubtask.transports.ftp import transport
from pysubtask.transports.ftp.temps import Temps
Temps.clear = lambda self, session, path: None
transport.remove = lambda session, paths, swaps, temps: set(paths)
""",
        "ftp whole",
        "rewritten",
        "left behind",
    ),
}

# The same for the snapshots that are continued, in a life without a kill.
GROWING_SABOTAGE = {
    "a snapshot continued without a comparison": (
        """
from pysubtask.subtask.snapshot import copier
kept = copier.GrowingCopy
class AnyDigest(str):
    __eq__ = lambda self, other: True
    __ne__ = lambda self, other: False
    __hash__ = str.__hash__
copier.GrowingCopy = lambda path, base, size, digest, name: kept(path, base, size, AnyDigest(digest), name)
from pysubtask.subtask.engine.upload_client import UploadClient
UploadClient.snapshot_lost = lambda self, path: self._child.retakes.ask(path)
""",
        ("must never be seen", "torn or old", "the queue is not empty"),
    ),
    "a standing claim whose jobs nobody gets": (
        """
from pysubtask.subtask.spool.standing_claim import StandingClaim
StandingClaim.settle = lambda self, terms, claimed: None
""",
        ("the queue is not empty",),
    ),
    "a kept snapshot that is left at the end": (
        """
from pysubtask.subtask.snapshot.pipeline import SnapshotPipeline
SnapshotPipeline.close = lambda self: None
""",
        ("left behind",),
    ),
}

_RUN_GROWING = """
import tempfile
from proofs.crash.explore import Explorer, Trial
with tempfile.TemporaryDirectory() as folder:
    explorer = Explorer(folder)
    explorer._template(__import__("proofs.crash.child", fromlist=["KINDS"]).KINDS["growing file"], "growing")
{sabotage}
    print(explorer.run(Trial("growing file", "growing", ())).problem)
"""

_RUN = """
import tempfile
from proofs.crash.explore import Explorer, Trial
with tempfile.TemporaryDirectory() as folder:
    explorer = Explorer(folder)
    explorer._template(__import__("proofs.crash.child", fromlist=["KINDS"]).KINDS["atomic replace"], "rewritten")
{sabotage}
    print(explorer.run(Trial("atomic replace", "rewritten", (40,))).problem)
"""

# A kill before each step, from the last one on, until one tells; the server is frozen until the new bytes are published.
_RUN_FTP = """
import tempfile
from proofs.crash.explore import Explorer, Trial
with tempfile.TemporaryDirectory() as folder:
    explorer = Explorer(folder)
    steps = explorer.count({kind!r}, {change!r}, slow=True)
{sabotage}
    for step in range(steps, 30, -1):
        problem = explorer.run(Trial({kind!r}, {change!r}, (step,), True, "rename")).problem
        if problem:
            break
    print(problem)
"""

# All pairs after the kills of one life, until one tells.
_RUN_PAIRS = """
import tempfile
from proofs.crash import cases
from proofs.crash.explore import Explorer
with tempfile.TemporaryDirectory() as folder:
    explorer = Explorer(folder)
    explorer.count("atomic replace", "rewritten")
{sabotage}
    problems = (outcome.problem for outcome in cases.pairs(explorer, {{"atomic replace": ("rewritten",)}}, lambda number: True))
    print(next(filter(None, problems), ""))
"""

# What a kill before a step leaves, and what was saved before that step in a life that went on: names and bytes of the folders
# that others see, names alone of the rest.
_RUN_STATES = """
import os, re, tempfile
from proofs.crash import cases
from proofs.crash.explore import Explorer, Trial
from proofs.crash.child import KINDS

def seen(root):
    for folder, _, names in sorted(os.walk(root)):
        for name in sorted(names):
            path = os.path.join(folder, name)
            outside = os.path.relpath(folder, root).split(os.sep)[0] == "server" or folder.endswith("bak")
            name = re.sub("[0-9a-f]{{12,16}}", "X", os.path.relpath(path, root))  # a time or a random number
            yield name, outside and open(path, "rb").read()

with tempfile.TemporaryDirectory() as folder:
    explorer = Explorer(folder)
    trial = Trial({kind!r}, {change!r}, ())
    states = cases._first_states(explorer, trial)
    saved = {{step: dict(seen(state.path)) for state in states for step in range(state.begin, state.end)}}
    wrong = []
    for step in sorted(saved)[::9]:
        station, versions = explorer._fresh(trial)
        explorer._life(station, KINDS[trial.kind], versions, step, trial)
        if dict(seen(station.root)) != saved[step]:
            wrong.append(step)
    print(len(saved), wrong)
"""


def indented(source):
    return "\n".join("    " + line for line in source.strip().splitlines())


def command(*words):
    return subprocess.run([sys.executable, *words], capture_output=True, text=True, timeout=110)


@pytest.mark.slow
def test_a_sample_of_crash_points_and_pairs_loses_nothing():
    done = command("-m", "proofs.crash", "--sample", "6", "--pairs", "--seed", "7")
    assert done.returncode == 0, done.stdout + done.stderr
    totals = [line.split() for line in done.stdout.splitlines() if line.startswith("all ")]
    assert [(row[1], row[2]) for row in totals] == [("6", "0"), ("6", "0")]


@pytest.mark.slow
def test_a_sample_of_the_crash_points_of_ftp_loses_nothing():
    done = command("-m", "proofs.crash", "--kind", "ftp", "--sample", "12", "--pairs", "--seed", "11")
    assert done.returncode == 0, done.stdout + done.stderr
    totals = [line.split() for line in done.stdout.splitlines() if line.startswith("all ")]
    assert [row[1:] for row in totals] == [["12", "0", "0"], ["12", "0", "0"]]


@pytest.mark.slow
def test_a_state_is_moved_through_any_kill():
    """What waits is in the queue of the old place alone."""
    done = command("-m", "proofs.crash", "--kind", "moved state", "--sample", "24", "--pairs", "--seed", "3")
    assert done.returncode == 0, done.stdout + done.stderr
    totals = [line.split() for line in done.stdout.splitlines() if line.startswith("all ")]
    assert [row[1:] for row in totals] == [["24", "0", "0"], ["24", "0", "0"]]


@pytest.mark.slow
def test_a_move_in_a_wrong_order_is_found_out():
    """The old queue goes before the new one has its name."""
    source = """
from pysubtask.subtask import state_migration
fold = state_migration.StateMigration._copy_files
def early(self, old, new):
    self._tag_here = lambda: state_migration.tag_of(old)
    self._bury(old)
    return fold(self, old, new)
state_migration.StateMigration._copy_files = early
"""
    run = _RUN.replace('"atomic replace"', '"moved state"').replace('"rewritten"', '"first"').replace("(40,)", "(55,)")
    done = command("-c", run.format(sabotage=indented(source)))
    assert "lost" in done.stdout, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("wrong", SABOTAGE)
def test_a_child_that_does_it_wrong_is_found_out(wrong):
    source, words = SABOTAGE[wrong]
    done = command("-c", _RUN.format(sabotage=indented(source)))
    assert words in done.stdout, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("wrong", FTP_SABOTAGE)
def test_an_ftp_client_that_does_it_wrong_is_found_out(wrong):
    source, kind, change, words = FTP_SABOTAGE[wrong]
    done = command("-c", _RUN_FTP.format(sabotage=indented(source), kind=kind, change=change))
    assert words in done.stdout, done.stdout + done.stderr


@pytest.mark.slow
def test_all_pairs_find_a_child_that_does_it_wrong():
    source, words = SABOTAGE["a snapshot that is left"]
    done = command("-c", _RUN_PAIRS.format(sabotage=indented(source)))
    assert words in done.stdout, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "change"), [("swap", "rewritten"), ("ftp append", "grown"), ("Dropbox session", "middle")])
def test_a_saved_state_is_what_a_kill_leaves(kind, change):
    done = command("-c", _RUN_STATES.format(kind=kind, change=change))
    count, _, wrong = done.stdout.strip().partition(" ")
    assert int(count) > 40, done.stdout + done.stderr
    assert wrong == "[]", done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("wrong", GROWING_SABOTAGE)
def test_a_growing_snapshot_done_wrong_is_found_out(wrong):
    source, words = GROWING_SABOTAGE[wrong]
    done = command("-c", _RUN_GROWING.format(sabotage=indented(source)))
    assert any(word in done.stdout for word in words), done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["growing file", "growing append"])
def test_a_file_that_grows_and_rotates_arrives(kind):
    """Each version is written between the snapshot of the one before and its upload."""
    done = command("-m", "proofs.crash", "--kind", kind, "--sample", "40", "--pairs", "--seed", "5")
    assert done.returncode == 0, done.stdout + done.stderr
    totals = [line.split() for line in done.stdout.splitlines() if line.startswith("all ")]
    assert [row[1:3] for row in totals] == [["40", "0"], ["40", "0"]]
