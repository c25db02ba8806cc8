"""Root in the place of another user: with his rights and no more."""

import os
import signal
import stat
import time
from pathlib import Path

import pytest

from pysubtask.common import as_user
from tests.support.other_user import HIM, needs_root, open_folder

pytestmark = needs_root


@pytest.fixture
def tmp_path():
    with open_folder() as folder:
        yield folder


@pytest.fixture
def his(tmp_path):
    """A folder of another user, with those above it open to him."""
    folder = tmp_path / "his"
    folder.mkdir(mode=0o700)
    os.chown(folder, HIM, HIM)
    return folder


def test_what_is_created_is_his(his):
    as_user.run(HIM, lambda: os.mkdir(his / "new", 0o700))
    assert (his / "new").stat().st_uid == HIM and os.geteuid() == 0


def test_he_has_no_group_of_roots(his):
    as_user.run(HIM, lambda: (his / "said").write_text(f"{os.getresuid()} {os.getgroups()} {0 in os.getresgid()}") and None)
    assert (his / "said").read_text() == f"{(HIM, HIM, HIM)} [] False"


def test_a_user_of_the_system_has_his_groups(tmp_path):
    import pwd

    user = pwd.getpwnam("daemon")
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(0o777)
    as_user.run(user.pw_uid, lambda: (folder / "said").write_text(f"{os.getgid()} {sorted(os.getgroups())}") and None)
    assert (folder / "said").read_text() == f"{user.pw_gid} {sorted(os.getgrouplist('daemon', user.pw_gid))}"


def test_what_he_may_not_do_is_not_done(tmp_path, his):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    (his / "way").symlink_to(closed)
    with pytest.raises(PermissionError) as caught:
        as_user.run(HIM, lambda: os.mkdir(his / "way" / "new"))
    assert caught.value.filename == str(his / "way" / "new")
    assert list(closed.iterdir()) == []


def test_errors_come_back():
    with pytest.raises(FileNotFoundError, match="nowhere"):
        as_user.run(HIM, lambda: os.stat("/nowhere"))

    def bad():
        raise ValueError("so it is")

    with pytest.raises(ValueError, match="so it is"):
        as_user.run(HIM, bad)
    with pytest.raises(OSError, match="ZeroDivisionError"):
        as_user.run(HIM, lambda: 1 // 0 and None)


def test_one_that_is_ended_is_an_error():
    with pytest.raises(OSError, match="was ended"):
        as_user.run(HIM, lambda: os.kill(os.getpid(), signal.SIGKILL))


@pytest.mark.slow
def test_one_that_he_stops_does_not_hold_root(monkeypatch):
    monkeypatch.setattr(as_user, "MOST_SECS", 0.2)
    with pytest.raises(OSError, match="was ended"):
        as_user.run(HIM, lambda: os.kill(os.getpid(), signal.SIGSTOP))


def test_he_cannot_read_its_memory(tmp_path, his):
    """Root's memory is in it, and root's open files."""
    secret = tmp_path / "secret"
    secret.write_text("root's own")
    secret.chmod(0o600)
    with open(secret, "rb") as file:

        def read_of_memory():
            # Another process of his, beside that one.
            inner = os.fork()
            if inner == 0:
                try:
                    os.setresuid(HIM, HIM, HIM)
                    (his / "got").write_bytes(Path(f"/proc/{os.getppid()}/fd/{file.fileno()}").read_bytes())
                finally:
                    os._exit(0)
            os.waitpid(inner, 0)

        as_user.run(HIM, read_of_memory)
    assert not (his / "got").exists()
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600


def test_what_is_answered_comes_back(his):
    (his / "own").write_text("x")
    os.chown(his / "own", HIM, HIM)
    found = as_user.ask(HIM, lambda: {"uid": os.getuid(), "names": os.listdir(his), "long": "y" * 300_000})
    assert found == {"uid": HIM, "names": ["own"], "long": "y" * 300_000} and os.geteuid() == 0


def test_no_answer_in_time_and_one_that_is_too_long_are_errors(monkeypatch):
    with pytest.raises(OSError, match="gave no answer in time"):
        as_user.ask(HIM, lambda: time.sleep(60), patience=0.2)
    monkeypatch.setattr(as_user, "MOST_BYTES", 1000)
    with pytest.raises(OSError, match="gave no answer"):
        as_user.ask(HIM, lambda: "x" * 500_000)


def test_a_stream_gives_what_comes_until_it_ends_or_is_closed():
    def count():
        for number in range(3):
            yield [os.getuid(), number]

    stream = as_user.Stream(HIM, count)
    found: list[object] = []
    while not stream.ended:
        found += stream.take(20)
    assert found == [[HIM, 0], [HIM, 1], [HIM, 2]]

    def endless():
        yield os.getpid()
        time.sleep(600)
        yield "never"

    stream = as_user.Stream(HIM, endless)
    (pid,) = stream.take(20)
    assert stream.take() == [] and not stream.ended
    stream.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert stream.take(20) == []
