"""Files with a secret: whose they are and who else may read them is looked at once they are open."""

from __future__ import annotations

import os

import pytest

from pysubtask.common import secret_file
from pysubtask.common.secret_file import NotPrivate


def test_the_text_of_a_private_file(tmp_path):
    path = tmp_path / "secret"
    path.write_bytes(b"hunter2\r\nmore\n")
    path.chmod(0o600)
    assert secret_file.read(str(path)) == "hunter2\r\nmore\n"
    assert secret_file.first_line(secret_file.read(str(path))) == "hunter2"
    path.write_bytes(b"\xff\n")
    with pytest.raises(UnicodeDecodeError):
        secret_file.read(str(path))
    path.write_bytes(b"x" * (secret_file.MOST_BYTES + 1))
    assert len(secret_file.read(str(path))) == secret_file.MOST_BYTES
    with pytest.raises(FileNotFoundError):
        secret_file.read(str(tmp_path / "missing"))


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_what_others_may_read_is_refused_without_its_text(tmp_path, mode):
    path = tmp_path / "secret"
    path.write_text("hunter2")
    path.chmod(mode)
    with pytest.raises(NotPrivate) as caught:
        secret_file.read(str(path))
    assert not caught.value.is_foreign and caught.value.mode == mode and "hunter2" not in str(caught.value)
    assert secret_file.read(str(path), guarded=False) == "hunter2"


def test_what_belongs_to_another_user_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "secret"
    path.write_text("hunter2")
    path.chmod(0o600)
    monkeypatch.setattr(secret_file, "owners", lambda: frozenset({path.stat().st_uid + 1}))
    with pytest.raises(NotPrivate) as caught:
        secret_file.read(str(path))
    assert caught.value.is_foreign and caught.value.uid == path.stat().st_uid


def test_a_pipe_passes_where_that_is_allowed(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    path.chmod(0o644)
    secret_file.check(path.stat(), pipes=True)
    with pytest.raises(NotPrivate):
        secret_file.check(path.stat(), pipes=False)
