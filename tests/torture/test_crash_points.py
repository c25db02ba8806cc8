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

_RUN = """
import tempfile
from proofs.crash.explore import Explorer, Trial
with tempfile.TemporaryDirectory() as folder:
    explorer = Explorer(folder)
    explorer._template(__import__("proofs.crash.child", fromlist=["KINDS"]).KINDS["atomic replace"], "rewritten")
{sabotage}
    print(explorer.run(Trial("atomic replace", "rewritten", (40,))).problem)
"""


def command(*words):
    return subprocess.run([sys.executable, *words], capture_output=True, text=True, timeout=110)


@pytest.mark.slow
def test_a_sample_of_crash_points_and_pairs_loses_nothing():
    done = command("-m", "proofs.crash", "--sample", "6", "--pairs", "--seed", "7")
    assert done.returncode == 0, done.stdout + done.stderr
    totals = [line.split() for line in done.stdout.splitlines() if line.startswith("all ")]
    assert [(row[1], row[2]) for row in totals] == [("6", "0"), ("6", "0")]


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
    done = command("-c", run.format(sabotage="\n".join("    " + line for line in source.strip().splitlines())))
    assert "lost" in done.stdout, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("wrong", SABOTAGE)
def test_a_child_that_does_it_wrong_is_found_out(wrong):
    source, words = SABOTAGE[wrong]
    lines = "\n".join("    " + line for line in source.strip().splitlines())
    done = command("-c", _RUN.format(sabotage=lines))
    assert words in done.stdout, done.stdout + done.stderr
