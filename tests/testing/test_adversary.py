"""A sample of the adversary, and that its checks see what they are for."""

from __future__ import annotations

import os
import random
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from proofs.adversary.acts import Acts
from proofs.adversary.run import CannotRun, interpreter, run
from proofs.adversary.world import CASES, World
from tests.support.other_user import needs_root, open_folder

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="renameat2 and what else it does is Linux's")
SEED = 20261129


@pytest.fixture
def able() -> None:
    try:
        interpreter()
    except CannotRun as exc:
        pytest.skip(str(exc))


@needs_root
@pytest.mark.slow
@pytest.mark.parametrize(
    ("case", "base"), [*((case, {}) for case in CASES), ("group", {"BakToFolder": None})], ids=[*CASES, "group, without copies"]
)
def test_a_writer_of_the_folder_gets_and_changes_nothing_else(case: str, base: dict[str, Any], able: None):
    result = run(case, 6.0, SEED, base=base)
    assert not result.problems, "\n".join(result.problems)
    assert result.arrived == result.own > 10 and sum(result.done.values()) > 100


@pytest.fixture(params=CASES)
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    with open_folder() as folder:
        yield World(str(folder), request.param)


@needs_root
class TestItsEyes:
    def test_nothing_is_found_where_nothing_happened(self, world: World):
        assert world.leaked() == [] and world.changed() == []

    def test_a_copy_of_the_canary(self, world: World):
        for top in (world.data, world.state, world.mine, world.server):
            path = Path(top) / "deep" / "copy"
            path.parent.mkdir()
            shutil.copy(Path(world.home) / "canary.txt", path)
            assert world.leaked() == [str(path)]
            shutil.rmtree(path.parent)
        os.symlink(Path(world.home) / "canary.txt", Path(world.data) / "link")
        assert world.leaked() == [], "a link is no copy"

    def test_any_change_outside(self, world: World):
        file = Path(world.home) / "precious" / "a.csv"
        for change in (lambda: os.utime(file), lambda: file.chmod(0o644), lambda: file.write_text("x"), file.unlink):
            before = world.changed()
            change()
            assert str(file) in world.changed()
            assert before == [] or str(file) in before
        (Path(world.home) / "new").write_text("")
        assert str(Path(world.home) / "new") in world.changed()


@needs_root
def test_the_same_seed_makes_the_same_acts():
    done = []
    for _ in range(2):
        with open_folder() as folder:
            world = World(str(folder), "group")
            acts = Acts(world.data, world.mine, world.victims, random.Random(7))
            for _ in range(300):
                acts.one()
            done.append((acts.done, acts.refused))
    assert done[0] == done[1] and len(done[0][0]) > 12


@pytest.mark.slow
@needs_root
def test_what_is_to_arrive_is_left_alone():
    with open_folder() as folder:
        world = World(str(folder), "group")
        for path in ("own-1.csv", "own-1.csv.notify", "quiet/own-2.csv"):
            (Path(world.data) / path).write_text("own")
        acts = Acts(world.data, world.mine, world.victims, random.Random(8))
        for _ in range(2000):
            acts.one()
        for path in ("own-1.csv", "own-1.csv.notify", "quiet/own-2.csv"):
            assert (Path(world.data) / path).read_text() == "own"
