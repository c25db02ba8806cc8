"""What a platform is asked: starting, looking, signalling, reaping."""

import os
import signal
import subprocess
import sys
import sysconfig
import threading
import time

import pytest

import pysubtask
from pysubtask.common.program import Host, for_child
from pysubtask.common.restarts import Restarts, next_wait
from pysubtask.master.child import Child, Launch, folders_for, wait
from tests.support.helpers import wait_until


def test_waits_double_to_a_minute_and_reset_after_a_minute():
    waits, last = [], 0.0
    for _ in range(9):
        last = next_wait(last, 59.9)
        waits.append(last)
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert next_wait(60, 60) == 1
    assert next_wait(16, 3600) == 1


def test_restarts_by_the_clock_they_are_given():
    state = Restarts().began(100)
    assert state.due is None
    state = state.ended(101)
    assert (state.wait, state.due, state.times) == (1, 102, 1)
    state = state.began(102).ended(103)
    assert (state.wait, state.due, state.times) == (2, 105, 2)
    state = state.began(105).ended(165)
    assert (state.wait, state.due, state.times) == (1, 166, 3)


def test_environment_puts_folders_in_front_and_keeps_the_apps():
    def environment(now, folders):
        return for_child(Host("", "/usr/bin/python3", "/usr/bin/python3", ""), now, folders)

    mine = {"PYTHONPATH": "/x", "A": "b"}
    assert environment(mine, ("/y", "/z")) == {"PYTHONPATH": os.pathsep.join(["/y", "/z", "/x"]), "A": "b"}
    assert environment({"PYTHONPATH": ""}, ("/y",))["PYTHONPATH"] == "/y"
    assert environment({"A": "b"}, ()) == {"A": "b"}
    assert mine == {"PYTHONPATH": "/x", "A": "b"}


def test_folders_a_child_needs():
    standard, packages = sysconfig.get_path("stdlib"), sysconfig.get_path("purelib")
    search = ["/app", standard, standard + "/lib-dynload", packages, "/lib2"]
    assert folders_for("pysubtask.ftp", "/vendor/pysubtask/__init__.py", search) == ("/vendor",)
    assert folders_for("pysubtask.ftp", packages + "/pysubtask/__init__.py", search) == ()
    assert folders_for("mine", packages + "/pysubtask/__init__.py", search) == ("/app", "/lib2")
    assert folders_for("mine.sub", "/vendor/pysubtask/__init__.py", search) == ("/vendor", "/app", "/lib2")


@pytest.fixture
def launch(tmp_path, monkeypatch):
    """Start a module of this text."""
    started = []
    package = os.path.dirname(os.path.dirname(os.path.abspath(pysubtask.__file__)))

    def start(text, **changes):
        (tmp_path / "some_child.py").write_text(text)
        how = Launch("some_child", (str(tmp_path), package), str(tmp_path), False, str(tmp_path / "child.log"))
        fd = os.memfd_create("test")
        try:
            child = Child(how._replace(**changes), fd)
        finally:
            os.close(fd)
        started.append(child)
        return child

    yield start
    for child in started:
        child.kill()
        assert wait([child], 60) == []


# A child is born with SIGTERM held until it listens.
SLEEP = (
    "import signal, time\nsignal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])\n"
    "print('up', flush=True)\nwhile True: time.sleep(60)"
)
DEAF = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + SLEEP


def up(child, tmp_path):
    wait_until(lambda: "up" in (tmp_path / "child.log").read_text(), 60)
    return child


@pytest.mark.parametrize(
    ("text", "ending"),
    [
        ("import sys; sys.exit(3)", "exit status 3"),
        ("pass", "exit status 0"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "signal SIGSEGV"),
    ],
)
def test_how_it_ended(launch, text, ending):
    child = launch(text)
    assert wait([child], 60) == []
    assert child.exit == child.poll() == ending


def test_ask_then_wait_then_kill(launch, tmp_path):
    child = up(launch(DEAF), tmp_path)
    child.terminate()
    assert wait([child], 0.3) == [child]
    assert child.poll() is None
    child.kill()
    assert wait([child], 60) == []
    assert child.exit == "signal SIGKILL"
    child.kill()
    child.terminate()
    with pytest.raises(ChildProcessError):
        os.waitpid(child.pid, os.WNOHANG)


def test_output_goes_to_the_log_file_and_stdin_can_be_read_again(launch, tmp_path):
    child = launch("import os, sys\nos.lseek(0, 0, 0)\nprint('out')\nsys.stdout.flush()\nraise SystemError('last word')")
    assert wait([child], 60) == []
    text = (tmp_path / "child.log").read_text()
    assert "out" in text
    assert "last word" in text


def test_an_unopenable_log_and_a_missing_folder_do_not_matter(launch, tmp_path):
    child = launch("import sys; print('nowhere'); sys.exit(4)", log_file="/proc/no/such", cwd=str(tmp_path / "gone"))
    assert wait([child], 60) == []
    assert child.exit == "exit status 4"


def test_working_folder_is_not_searched_for_modules(launch, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    (data / "colorsys.py").write_text("raise SystemExit(9)")
    child = launch("import colorsys, os, sys; sys.exit(5 if os.getcwd().endswith('data') else 6)", cwd=str(data))
    assert wait([child], 60) == []
    assert child.exit == "exit status 5"


def test_app_that_ignores_sigchld(launch, tmp_path):
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        child = up(launch(SLEEP), tmp_path)
        assert child.poll() is None
        child.kill()
        assert wait([child], 60) == []
        assert child.exit == "unknown exit status"
    finally:
        signal.signal(signal.SIGCHLD, before)


def test_app_that_reaps_every_child_itself(launch, tmp_path):
    child = up(launch(SLEEP), tmp_path)
    os.kill(child.pid, signal.SIGKILL)
    assert os.waitpid(-1, 0)[0] == child.pid
    assert child.poll() == "unknown exit status"
    child.kill()


def test_without_pidfd(launch, tmp_path, monkeypatch):
    monkeypatch.delattr(os, "pidfd_open")
    child = up(launch(SLEEP), tmp_path)
    assert child.poll() is None
    child.terminate()
    assert wait([child], 60) == []
    assert child.exit == "signal SIGTERM"


def test_started_in_a_thread_and_looked_at_by_many(launch, tmp_path):
    started = []
    thread = threading.Thread(target=lambda: started.append(launch(SLEEP)))
    thread.start()
    thread.join()
    child = up(started[0], tmp_path)
    child.kill()
    endings = set()
    threads = [threading.Thread(target=lambda: endings.update([wait([child], 60) == [] and child.exit])) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert endings == {"signal SIGKILL"}


def test_forked_copy_neither_kills_nor_reaps(launch, tmp_path):
    child = up(launch(SLEEP), tmp_path)
    pid = os.fork()
    if pid == 0:
        child.kill()
        child.terminate()
        os._exit(0 if child.poll() is None else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert wait([child], 0.3) == [child]


CLOSED_STDIN = """
import os, sys
os.close(0)
from pysubtask.master.child import Child, Launch, wait
sys.path.insert(0, sys.argv[1])
fd = os.memfd_create("test")
os.write(fd, b"hello")
child = Child(Launch("reads", (sys.argv[1],), sys.argv[1], True, None), fd)
os.close(fd)
assert wait([child], 60) == []
print(fd, child.exit)
"""


def test_app_that_has_closed_its_stdin(tmp_path):
    (tmp_path / "reads.py").write_text("import os, sys; sys.exit(7 if os.pread(0, 9, 0) == b'hello' else 8)")
    command = [sys.executable, "-c", CLOSED_STDIN, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=90)
    assert done.stdout == "0 exit status 7\n"


def test_program_that_is_not_known_is_an_os_error(launch, monkeypatch):
    monkeypatch.setattr(sys, "executable", "")
    with pytest.raises(OSError, match=r"sys\.executable"):
        launch(SLEEP)


@pytest.mark.slow
def test_wait_keeps_its_limit_for_several(launch, tmp_path):
    children = [up(launch(DEAF), tmp_path) for _ in range(2)]
    begin = time.monotonic()
    assert wait(children, 0.5) == children
    assert 0.5 <= time.monotonic() - begin < 20


def used_by_the_app(number, tmp_path):
    """The app has closed a descriptor of ours, as a daemon closes all it has, and has a file of its own by that number."""
    opened = os.open(tmp_path / "precious.dat", os.O_RDWR | os.O_CREAT)
    os.dup2(opened, number)
    os.close(opened)
    return number


def test_a_descriptor_that_the_app_closed_and_reused_is_the_apps(launch, tmp_path):
    child = up(launch(SLEEP), tmp_path)
    fd = used_by_the_app(child.pidfd, tmp_path)
    assert child.poll() is None and child.pidfd not in (None, fd)
    child.kill()
    assert wait([child], 60) == [] and child.exit == "signal SIGKILL"
    del child
    os.write(fd, b"data")
    os.close(fd)


def test_nor_is_it_closed_with_the_child(launch, tmp_path):
    child = up(launch(SLEEP), tmp_path)
    fd = used_by_the_app(child.pidfd, tmp_path)
    child.__del__()
    os.write(fd, b"data")
    os.close(fd)


CLOSED_OUTPUTS = """
import os, sys
os.closerange(0, 3)
files = [os.open(name, os.O_RDWR | os.O_CREAT) for name in ("zero.dat", "one.dat", "two.dat")]
from pysubtask.master.child import Child, Launch, wait
sys.path.insert(0, sys.argv[1])
fd = os.memfd_create("test")
child = Child(Launch("says", (sys.argv[1],), sys.argv[1], True, sys.argv[1] + "/log.txt"), fd)
os.close(fd)
assert wait([child], 60) == []
sys.exit(child.exit != "exit status 0")
"""


def test_app_whose_files_have_the_numbers_of_outputs(tmp_path):
    """A daemon closes its outputs and opens its data; the child must not inherit these as what it may print to."""
    (tmp_path / "says.py").write_text("import os; os.write(1, b'out\\n'); os.write(2, b'error\\n')")
    done = subprocess.run([sys.executable, "-c", CLOSED_OUTPUTS, str(tmp_path)], cwd=tmp_path, timeout=90, check=False)
    assert [(tmp_path / f"{name}.dat").read_bytes() for name in ("zero", "one", "two")] == [b"", b"", b""]
    assert done.returncode == 0 and (tmp_path / "log.txt").read_text() == "out\nerror\n"
