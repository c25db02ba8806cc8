"""The report on a folder for copies that others may write."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pysubtask.subtask.snapshot.bak_folder import warning_about
from tests.support.other_user import needs_root, open_folder


def test_nothing_is_reported_of_an_ordinary_one(tmp_path: Path):
    tmp_path.chmod(0o755)
    assert warning_about(str(tmp_path / "upload" / "ftp")) == ""


@needs_root
@pytest.mark.parametrize(
    ("mode", "created", "warned"),
    [(0o2775, False, True), (0o2775, True, True), (0o1777, True, False), (0o1777, False, False), (0o777, True, True)],
)
def test_one_that_another_can_replace(mode: int, created: bool, warned: bool):
    with open_folder() as folder:
        os.chown(folder, 0, 12348)
        folder.chmod(mode)
        if created:
            (folder / "upload").mkdir(0o700)
        words = warning_about(str(folder / "upload"))
        assert bool(words) == warned
        assert not warned or (str(folder) in words and "BakToFolder" in words)
