"""A skipped test is reported at the end, and is a failure where skips are forbidden."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = """
import pytest

def test_runs(): pass

def test_skips(): pytest.skip("no such server")

@pytest.mark.skipif(True, reason="not today")
def test_marked(): pass

@pytest.fixture
def absent(): pytest.skip("no such server")

def test_setup(absent): pass

@pytest.mark.xfail(strict=True)
def test_known(): assert False
"""

ROOT = Path(__file__).parents[2]


def run(tmp_path: Path, forbid: str, module: str) -> subprocess.CompletedProcess[str]:
    (tmp_path / "tests").mkdir()
    shutil.copy(ROOT / "tests" / "conftest.py", tmp_path / "tests" / "conftest.py")
    (tmp_path / "tests" / "test_some.py").write_text(module)
    env = {
        **os.environ,
        "PYSUBTASK_FORBID_SKIPS": forbid,
        "PYTHONPATH": str(ROOT),
        "PYTEST_ADDOPTS": "",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    }
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "tests"],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
        timeout=100,
    )


@pytest.mark.slow
def test_skips_are_reported_at_the_end(tmp_path: Path):
    done = run(tmp_path, "", TESTS)
    assert done.returncode == 0, done.stdout
    assert "skipped: 3, because: no such server (2); not today (1)" in done.stdout.splitlines()


@pytest.mark.slow
def test_forbidden_skips_fail_and_say_why(tmp_path: Path):
    done = run(tmp_path, "1", TESTS)
    assert done.returncode == 1
    assert "1 passed" in done.stdout and "1 xfailed" in done.stdout
    assert done.stdout.count("skipped, which PYSUBTASK_FORBID_SKIPS forbids: no such server") >= 2
    assert "skipped, which PYSUBTASK_FORBID_SKIPS forbids: not today" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(("forbid", "code"), [("0", 5), ("1", 2)])
def test_a_module_skipped_whole(tmp_path: Path, forbid: str, code: int):
    done = run(tmp_path, forbid, 'import pytest\npytest.importorskip("a_library_that_is_not_there")\n')
    assert done.returncode == code, done.stdout
    assert "a_library_that_is_not_there" in done.stdout
    assert "skipped: 1, because: " in done.stdout
