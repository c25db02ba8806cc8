import json
import os
import stat
import subprocess
import sys

import pytest

from pysubtask.common import handoff
from pysubtask.common.entries import Entry
from pysubtask.common.errors import ConfigError

SECRET = "correct horse battery staple"


def make(**changes):
    fields = {
        "task": "main",
        "extension": "ftp",
        "module": "pysubtask.ftp",
        "entries": [
            Entry("file", '/data/a,b "c" é\udcff.csv', "x/y", True),
            Entry("dir", "/data/-in", settle_secs=0.0, include=("*.csv",), recursive=True),
        ],
        "settings": {"Host": "h", "Password": SECRET, "TimerIntervalSecs": 0.5, "KeyFile": None},
        "burst": {"expire_milli": 5000},
        "state_dir": "/data/.pysubtask/main/ftp",
        "bak_dir": None,
        "log_file": "/logs/x.txt",
        "log_to_console": False,
        "master_pid": 4711,
        "master_start": "abc-1",
        "residual": ["/data/old\udcfe.csv"],
        "left_out": ("/data/upload\udcfd",),
    }
    return handoff.Handoff(**(fields | changes))


@pytest.fixture
def opened():
    fds = []
    yield lambda fd: fds.append(fd) or fd
    for fd in fds:
        os.close(fd)


def nameless(data: bytes, opened):
    fd = opened(os.memfd_create("test"))
    os.write(fd, data)
    return fd


def test_comes_back_as_it_went_and_can_be_read_again(opened):
    fd = opened(handoff.write(make()))
    assert handoff.read(fd) == make()
    assert handoff.read(fd) == make()


def test_temporary_file_where_there_is_no_memfd(opened, monkeypatch, tmp_path):
    monkeypatch.delattr(os, "memfd_create")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    fd = opened(handoff.write(make()))
    assert handoff.read(fd) == make()
    assert os.path.dirname(os.readlink(f"/proc/self/fd/{fd}")) == str(tmp_path)
    assert os.fstat(fd).st_nlink == 0
    assert list(tmp_path.iterdir()) == []
    assert stat.S_IMODE(os.fstat(fd).st_mode) == 0o600


def test_only_the_owner_may_open_the_memory_file(opened):
    fd = opened(handoff.write(make()))
    assert stat.S_IMODE(os.fstat(fd).st_mode) == 0o600
    assert not os.get_inheritable(fd)


def test_one_of_a_version_before_can_be_read(opened):
    """A child that replaces itself reads the one it was started with, and the package may be newer by then."""
    fields = json.loads(os.pread(opened(handoff.write(make())), 1 << 20, 0))
    del fields["own"]
    assert handoff.read(nameless(json.dumps(fields).encode(), opened)) == make(own={})
    assert handoff.read(opened(handoff.write(make(own={"/d/x\udcfe.toml": "the config itself"})))).own == {
        "/d/x\udcfe.toml": "the config itself"
    }
    fields["own"] = {"/d/x": 7}
    with pytest.raises(ConfigError):
        handoff.read(nameless(json.dumps(fields).encode(), opened))


def test_a_child_reads_its_stdin_also_after_exec(opened):
    again = "import sys; from pysubtask.common import handoff; sys.stdout.write(handoff.read().settings['Password'])"
    first = (
        "import os, sys; from pysubtask.common import handoff; handoff.read(); "
        f"os.execv(sys.executable, [sys.executable, '-c', {again!r}])"
    )
    fd = opened(handoff.write(make()))
    done = subprocess.run([sys.executable, "-c", first], stdin=fd, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == SECRET
    assert SECRET not in "".join(done.args)


def test_repr_and_str_mask_secrets():
    for text in (repr(make()), str(make()), f"{make()}", repr([make()])):
        assert SECRET not in text
        assert "Host" in text


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b"{}",
        b'{"format": 2}',
        b"[" * 100_000,
        json.dumps({"format": 1, "task": "main"}).encode(),
        json.dumps({"Password": SECRET}).encode()[:-1],
    ],
)
def test_garbage_is_a_config_error_that_quotes_nothing(opened, data):
    with pytest.raises(ConfigError) as error:
        handoff.read(nameless(data, opened))
    assert error.value.key.startswith("handoff")
    assert "--help" in error.value.remedy
    assert SECRET not in str(error.value)
    assert error.value.__cause__ is None


@pytest.mark.parametrize(
    ("key", "value"),
    [("entries", [{"colour": 1}]), ("entries", [3]), ("entries", None), ("log_to_console", 1), ("residual", [1]), ("more", 1)],
)
def test_wrong_fields_are_named(opened, key, value):
    fd = opened(handoff.write(make()))
    fields = json.loads(os.pread(fd, 1 << 20, 0))
    fields[key] = value
    with pytest.raises(ConfigError, match="handoff"):
        handoff.read(nameless(json.dumps(fields).encode(), opened))


def test_pipe_terminal_and_closed_descriptor_are_config_errors(opened):
    reader, writer = os.pipe()
    opened(reader)
    opened(writer)
    with pytest.raises(ConfigError, match="cannot be read from its beginning"):
        handoff.read(reader)
    gone = os.dup(reader)
    os.close(gone)
    with pytest.raises(ConfigError, match="cannot be read from its beginning"):
        handoff.read(gone)
