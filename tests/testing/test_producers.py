"""A sample of the programs that produce files (``proofs.producers``), and proof that its checks find what they are for. A full run:

python -m proofs.producers --seconds 600 --seed 1
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from proofs.producers.editors import Editor
from proofs.producers.loggers import Copying, Renaming
from proofs.producers.model import HEAD, NOTHING, Model, Seen, State, grown
from proofs.producers.program import Pace, Place
from proofs.producers.reader import Reader
from proofs.torture.content import LINE, Streams, whole
from pysubtask.testing.servers.sshd import missing
from tests.support.helpers import wait_until

needs_sshd = pytest.mark.skipif(missing() is not None, reason=missing() or "")
STREAMS = Streams()


def run_producers(*words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    command = (sys.executable, "-m", "proofs.producers", *words)
    return subprocess.run(command, capture_output=True, text=True, timeout=300, env={**os.environ, **environ})


@pytest.mark.slow
@needs_sshd
def test_a_short_run_with_kills_and_a_bad_link():
    done = run_producers("--seconds", "12", "--seed", str(seed := random.randrange(10**6)), "--link", "bad", "--kills")
    print(seed, done.stdout, done.stderr)
    assert done.returncode == 0 and "no problems" in done.stdout


@pytest.mark.slow
@needs_sshd
def test_a_child_that_takes_unsettled_files_is_found_out(tmp_path: Path):
    """The product without its check whether a file settles: half written versions reach the server."""
    (tmp_path / "sitecustomize.py").write_text(
        "from pysubtask.subtask.watch.settle_queue import SettlingFile\n"
        "SettlingFile.quiet_at = property(lambda found: found.since)\n"
    )
    done = run_producers("--seconds", "10", "--seed", "1", PYTHONPATH=str(tmp_path))
    assert done.returncode == 1 and "that are no version of it" in done.stdout, done.stdout + done.stderr


class TestTheModel:
    def judged(self, model: Model, data: bytes, last: Seen = NOTHING) -> tuple[bool, int]:
        verdict = model.judge("a", data, last, STREAMS)
        return not verdict.wrong, verdict.seen[0]

    def test_complete_versions(self):
        model, chance = Model(), random.Random(1)
        versions = [whole(number, 500, chance) for number in range(3)]
        for number in (0, 1):
            model.record_state("a", State(number))
        assert self.judged(model, versions[0]) == (True, 0)
        assert self.judged(model, versions[1], (0, 580)) == (True, 1)
        assert self.judged(model, versions[0], (1, 580)) == (False, 1), "an older one again"
        assert not self.judged(model, versions[2])[0], "it never was here"
        assert not self.judged(model, versions[1][:300])[0], "half of it"
        assert not self.judged(model, versions[0][:300] + versions[1][300:])[0]
        assert not self.judged(model, b"")[0]
        assert model.judge("b", versions[0], NOTHING, STREAMS).wrong == "this name never stood in a watched folder"
        model.record_state("a", State(0))
        assert self.judged(model, versions[0], (1, 580)) == (True, 2), "it came back here, too"

    @pytest.mark.parametrize("headed", [False, True])
    def test_growing_files(self, headed: bool):
        model = Model()
        sizes = [(len(HEAD) if headed else 0) + lines * LINE for lines in (10, 20, 30)]
        for size in sizes:
            model.record_state("a", State(3, size, headed))
        model.record_state("a", State(4, sizes[0], headed))
        three, four = (grown(STREAMS, generation, sizes[2], headed) for generation in (3, 4))
        assert [self.judged(model, three[:size]) for size in (*sizes, sizes[1] + 5)] == [(True, 0), (True, 1), (True, 2), (True, 2)]
        assert self.judged(model, three[: sizes[1]], (2, sizes[2])) == (False, 2), "it was longer"
        assert self.judged(model, four[: sizes[0]], (2, sizes[2])) == (True, 3)
        assert not self.judged(model, four)[0], "it is not so long yet"
        assert not self.judged(model, three[: sizes[0]] + four[sizes[0] : sizes[1]])[0], "the old beginning and a new end"
        assert not self.judged(model, three[: sizes[0]] + bytes(57))[0]

    def test_a_copy_is_no_growing_file(self):
        model, data = Model(), grown(STREAMS, 5, 20 * LINE, False)
        model.record_state("a", State(5, 20 * LINE, copied=True))
        assert self.judged(model, data) == (True, 0)
        assert not self.judged(model, data[: 10 * LINE])[0], "half a copy"
        model.record_state("a", State(5, 10 * LINE))
        model.record_state("a", State(5, 20 * LINE, copied=True))
        assert self.judged(model, data[: 12 * LINE], (1, 10 * LINE)) == (True, 2), "on the way from one state to the next"

    def test_what_is_owed_until_another_one_comes(self):
        model = Model()
        model.record_state("a", State(1))
        model.owes("a", State(1))
        assert model.owed == {"a": State(1)}
        model.record_state("a", State(2))
        assert model.owed == {}


@pytest.fixture
def eyes(tmp_path: Path) -> Iterator[tuple[Path, Model, Reader]]:
    for name in ("server", "kept"):
        (tmp_path / name).mkdir()
    model = Model()
    reader = Reader(str(tmp_path / "server"), model, str(tmp_path / "kept"))
    reader.start()
    yield tmp_path, model, reader
    reader.stop()


def show(folder: Path, reader: Reader, name: str, data: bytes) -> None:
    contents_read = reader.contents_read
    (folder / "server" / name).parent.mkdir(exist_ok=True)
    (folder / "server" / ".pysubtask-x.part").write_bytes(data)
    os.replace(folder / "server" / ".pysubtask-x.part", folder / "server" / name)
    wait_until(lambda: reader.contents_read > contents_read, what="a reading")


def test_the_reader_sees_what_is_wrong(eyes: tuple[Path, Model, Reader]):
    folder, model, reader = eyes
    versions = [whole(number, 800, random.Random(number)) for number in range(3)]
    for version in (0, 1):
        model.record_state("x/a", State(version))
        show(folder, reader, "x/a", versions[version])
    assert reader.wrong() == []
    show(folder, reader, "x/a", versions[0])
    show(folder, reader, "x/a", versions[1][:100])
    show(folder, reader, "x/a.part", versions[1])
    (folder / "server" / "x" / "a").unlink()
    wait_until(lambda: reader.gone, what="seen")
    assert [one.partition(" at ")[0] for one in reader.wrong()] == ["x/a", "x/a", "x/a.part", "x/a went away"]
    assert len(list((folder / "kept").iterdir())) == 3
    model.allow("x/a", versions[1][:100])
    assert len(reader.wrong()) == 3, "it stood for so long that it counts as complete"


@pytest.mark.slow
@pytest.mark.parametrize("kind", [Editor, Renaming, Copying])
def test_programs_tell_what_they_write(tmp_path: Path, kind: type[Editor | Renaming | Copying]):
    """After each act every file holds the state that was recorded last for it, and the same seed makes the same acts."""
    done = []
    for number in range(2):
        folder = tmp_path / str(number)
        (folder / "d").mkdir(parents=True)
        model, pace = Model(), Pace()
        program = kind(1, Place(str(folder / "d"), "", 0.002, str(folder)), model, 7, pace)
        program.begin()
        chosen = []
        for _ in range(40):
            act = program.chance.choices(program._acts, program._weights)[0]
            act()
            chosen.append(act.__name__)
            for path in (folder / "d").iterdir():
                state = model.last(path.name)
                if state is None:
                    continue
                verdict = model.judge(path.name, path.read_bytes(), NOTHING, STREAMS)
                assert verdict.wrong == "" and path.stat().st_size in (state.size, path.stat().st_size if state.size < 0 else -1)
        done.append(chosen)
    assert done[0] == done[1] and len(set(done[0])) > 2
