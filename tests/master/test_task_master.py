"""The master's life with a real child."""

import json
import os
import signal
import stat
import subprocess
import sys
import threading
import time

import pytest

from pysubtask.common.notify import read_stamp
from pysubtask.common.process import process_start
from pysubtask.master.launcher import Launcher
from tests.master.conftest import gone
from tests.support.helpers import wait_until

NEVER_RUN = "No child has run here yet. Its app or 'pysubtask run' starts it."
SECRET = "correct horse battery staple"


def log_of(app, name="base_taskmaster"):
    return (app.folder / "logs" / f"{name}.log.txt").read_text()


def test_start_hands_over_everything_and_the_child_is_on_its_own(app):
    master = app.master(LogToConsole=False)
    assert not (app.folder / ".pysubtask").exists()
    master.start()
    page = app.page(master).page
    state = app.folder / ".pysubtask" / "main" / "tiny_child"
    assert page["folder"] == str(state)
    assert page["same"]
    assert page["master_pid"] == os.getpid()
    assert page["argv"][1:] == ["--handoff", f"--label={app.folder.name}"]
    assert page["session"] != os.getsid(0)
    assert page["cwd"] == str(app.folder)
    assert page["bak"] == app.path("upload")
    assert page["log"] == app.path("logs/base_subtask.log.txt")
    record = master._supervisor.children[0].child.guard.fd
    assert set(page["fds"]) <= {0, 1, 2, 3, record}
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    assert f"BaseTaskMaster PID = [{os.getpid()}] BaseSubtask PID = [{page['pid']}]" in log_of(app)
    assert f"[base.BaseTaskMaster.{os.getpid()}]: INFO: START!" in log_of(app)


def test_strange_umask_leaves_the_state_folder_usable(app):
    before = os.umask(0o777)
    try:
        app.master(LogFileName=None).start()
    finally:
        os.umask(before)
    for folder in (".pysubtask", ".pysubtask/main", ".pysubtask/main/tiny_child"):
        assert stat.S_IMODE((app.folder / folder).stat().st_mode) == 0o700


def test_state_folder_that_others_can_read_is_closed(app):
    (app.folder / ".pysubtask/main/tiny_child").mkdir(parents=True)
    (app.folder / ".pysubtask/main/tiny_child").chmod(0o777)
    app.master().start()
    assert stat.S_IMODE((app.folder / ".pysubtask/main/tiny_child").stat().st_mode) == 0o700


def test_second_start_starts_nothing(app):
    master = app.master()
    master.start()
    first = app.page(master)
    master.start()
    assert master.status().children[0].pid == first.pid
    assert "running already" in log_of(app)
    with master as same:
        assert same is master
        assert master.status().children[0].pid == first.pid
    assert gone(first.pid)


def test_forced_stop_kills_reaps_and_leaves_the_notifies(app):
    master = app.master()
    master.start()
    pid = app.page(master).pid
    app.order(handle=[app.path("a.csv.notify")])
    assert master.notify_file_by_index(0)
    master.stop()
    assert gone(pid)
    assert os.path.exists("a.csv.notify")
    text = log_of(app)
    assert f"STOP!: BaseTaskMaster attempting to stop BaseSubtask [{pid}]..." in text
    assert text.splitlines()[-1].endswith("***** GOODBYE!: [BaseSubtask Scheduler] *****")
    assert master.status().children[0].last_exit == "signal SIGKILL"
    master.stop()
    master.stop(forcekill=False)
    assert text == log_of(app)


def test_stop_before_start_is_fine(app):
    master = app.master()
    master.stop()
    master.stop(forcekill=False)
    assert "STOP" not in log_of(app)


def test_graceful_stop_removes_only_what_is_handled_as_it_stands(app):
    outside = app.folder / "outside.csv.notify"
    data = app.folder / "in" / "data.csv"
    for path in (outside, data):
        path.write_text("")
    names = ["a.csv.notify", "in/x.notify", "in/y.notify"]
    app.order(
        handle=[app.path(name) for name in [*names, "in/data.csv"]] + [str(outside)],
        touch_after=[app.path("in/y.notify")],
        claim={app.path("b.csv.notify"): [1, 2, 3], app.path("in/never.notify"): [1, 0, 1], app.path("in/bad.notify"): "x"},
    )
    with app.master(LogToConsole=False) as master:
        assert master.notify_all_files()
        assert master.notify_file("in/x")
        assert master.notify_file(app.path("in/y"))
        pid = app.page(master).pid
    assert gone(pid)
    assert not os.path.exists("a.csv.notify")
    assert not os.path.exists("in/x.notify")
    assert os.path.exists("b.csv.notify"), "its stamp is another one"
    assert os.path.exists("in/y.notify"), "it was touched after it was handled"
    assert data.exists(), "only notify files are removed"
    assert outside.exists(), "only watched ones are removed"
    assert master.status().children[0].last_exit == "exit status 0"


@pytest.mark.parametrize("content", ["", "[]", "{", '{"a": 1}', "\0"])
def test_garbled_list_of_handled_stamps_removes_nothing(app, content):
    """The list of a child that ended, read by a master that reaps it."""
    app.order(deaf=True)
    master = app.master(config={"StopWaitSecs": 0})
    master.start()
    app.page(master)
    master.notify_all_files()
    (app.folder / ".pysubtask/main/tiny_child/handled.json").write_text(content)
    os.kill(master.status().children[0].pid, signal.SIGKILL)
    master.stop(forcekill=False)
    assert os.path.exists("a.csv.notify")


def test_list_of_an_earlier_run_is_never_used(app):
    master = app.master()
    master.start()
    app.page(master)
    master.notify_all_files()
    listed = {app.path(name): list(read_stamp(app.path(name))) for name in ("a.csv.notify", "b.csv.notify")}
    master.stop()
    handled = app.folder / ".pysubtask/main/tiny_child/handled.json"
    handled.write_text(json.dumps(listed))
    app.order(deaf=True)
    master = app.master(config={"StopWaitSecs": 0})
    master.start()
    assert not app.page(master).page["handled_there"]
    os.kill(master.status().children[0].pid, signal.SIGKILL)
    master.stop(forcekill=False)
    assert os.path.exists("a.csv.notify")


def test_child_that_does_not_stop_is_killed_at_the_limit(app, monkeypatch):
    monkeypatch.setattr("pysubtask.master.supervisor.STOP_MARGIN_SECS", 0.2)
    app.order(deaf=True)
    master = app.master(config={"StopWaitSecs": 0.2})
    master.start()
    pid = app.page(master).pid
    master.stop(forcekill=False)
    assert gone(pid)
    assert "did not stop in time" in log_of(app)
    assert master.status().children[0].last_exit == "signal SIGKILL"


@pytest.mark.slow
def test_killed_child_comes_back_by_any_call_with_backoff(app):
    master = app.master(config={"Guard": False})
    master.start()
    first = app.page(master)
    os.kill(first.pid, signal.SIGKILL)
    wait_until(lambda: master.check_pending_notifications() or master.status().children[0].last_exit)
    dead = master.status().children[0]
    assert (dead.alive, dead.pid, dead.last_exit, dead.restarts) == (False, None, "signal SIGKILL", 1)
    assert 0 < dead.next_restart_in <= 1
    assert gone(first.pid)
    second = app.page(master, other_than=first.pid)
    assert second.pid != first.pid
    assert second.next_restart_in is None
    assert f"BaseSubtask [{first.pid}] ended by itself (signal SIGKILL): next start in [1] secs." in log_of(app)


@pytest.mark.slow
def test_child_that_always_dies_is_started_ever_more_seldom(app):
    app.order(die=3)
    master = app.master(LogToConsole=False)
    master.start()
    wait_until(lambda: master.notify_file_by_index(0) and master.status().children[0].restarts >= 2, 60)
    status = master.status().children[0]
    assert status.last_exit == "exit status 3"
    assert 1 < status.next_restart_in <= 2
    assert (app.folder / "logs/base_subtask.log.txt").read_text().count("a last word") == 2


@pytest.mark.slow
def test_interpreter_that_is_gone_is_logged_and_tried_again(app, monkeypatch):
    program = sys.executable
    monkeypatch.setattr(sys, "executable", app.path("no-such-python"))
    master = app.master()
    master.start()
    assert master.status().children[0].last_exit.startswith("not started")
    assert master.notify_file_by_index(0)
    monkeypatch.setattr(sys, "executable", program)
    assert app.page(master).alive


@pytest.mark.slow
def test_state_folder_that_cannot_be_created_hurts_no_app(app):
    (app.folder / ".pysubtask").write_text("in the way")
    master = app.master()
    master.start()
    assert master.notify_file_by_index(0)
    assert "cannot be started" in log_of(app)
    (app.folder / ".pysubtask").unlink()
    assert app.page(master).alive


@pytest.mark.slow
def test_app_that_changes_folder_and_path_before_a_restart(app, monkeypatch):
    master = app.master()
    master.start()
    first = app.page(master)
    (app.folder / "elsewhere").mkdir()
    monkeypatch.chdir(app.folder / "elsewhere")
    sys.path.remove(str(app.folder))
    os.kill(first.pid, signal.SIGKILL)
    second = app.page(master, other_than=first.pid)
    assert second.page["cwd"] == str(app.folder)
    assert master.notify_file(app.path("a.csv"))
    assert os.path.exists(app.path("a.csv.notify"))


def test_reset_is_another_child(app):
    master = app.master()
    master.start()
    first = app.page(master).pid
    master.notify_all_files()
    master.reset()
    assert app.page(master, other_than=first).pid != first
    assert gone(first)
    assert os.path.exists("a.csv.notify")
    assert "RESET: BaseTaskMaster and BaseSubtask (Timer)!" in log_of(app)


def test_no_threads_and_no_open_files_are_left(app):
    tasks = f"/proc/{os.getpid()}/task"
    before = threading.active_count(), len(os.listdir("/proc/self/fd")), len(os.listdir(tasks))
    with app.master(LogFileName=None) as master:
        app.page(master)
        master.notify_all_files()
        assert threading.active_count() == before[0]
        assert len(os.listdir(tasks)) <= before[2]
    assert len(os.listdir("/proc/self/fd")) <= before[1]


@pytest.mark.slow
def test_calls_from_many_threads_make_one_child(app):
    app.order(die=5)
    master = app.master(config={"Guard": False}, LogToConsole=False)
    master.start()
    stop = time.monotonic() + 2
    problems = []

    def call():
        try:
            while time.monotonic() < stop:
                master._supervisor.next_check = 0
                master.notify_file_by_index(0)
                master.status()
        except Exception as exc:
            problems.append(exc)

    threads = [threading.Thread(target=call) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    starts = log_of(app).count(" BaseSubtask PID = [")
    ends = log_of(app).count("ended by itself")
    assert starts - ends in (0, 1)
    assert starts <= 4


def test_stop_in_a_signal_handler_while_the_child_is_starting(app, monkeypatch):
    master = app.master()
    pids = []
    launch = Launcher.start

    def interrupted(self, *args, **options):
        child = launch(self, *args, **options)
        pids.append(child.pid)
        os.kill(os.getpid(), signal.SIGUSR1)
        return child

    monkeypatch.setattr(Launcher, "start", interrupted)
    before = signal.signal(signal.SIGUSR1, lambda *_: master.stop())
    try:
        master.start()
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert len(pids) == 1
    assert gone(pids[0])
    assert not master.status().running


def test_interrupted_stop_can_be_repeated(app, monkeypatch):
    app.order(deaf=True)
    master = app.master(config={"StopWaitSecs": 60})
    master.start()
    pid = app.page(master).pid

    def interrupt(*_):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        with pytest.raises(KeyboardInterrupt):
            master.stop(forcekill=False)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert not gone(pid)
    master.stop()
    assert gone(pid)


def in_a_copy(act):
    """Do it in a forked copy of this process; whether it was true there."""
    pid = os.fork()
    if pid == 0:
        try:
            os._exit(0 if act() else 1)
        finally:
            os._exit(2)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


@pytest.mark.slow
def test_forked_copy_notifies_but_leaves_the_children_alone(app):
    master = app.master()
    master.start()
    pid = app.page(master).pid

    def act():
        stamped = master.notify_file_by_index(1)
        master._supervisor.next_check = 0
        master.check_pending_notifications()
        master.stop()
        master.stop(forcekill=False)
        master.reset()
        master.start()
        child = master.status().children[0]
        return stamped and child.alive and child.pid == pid

    assert in_a_copy(act)
    assert not gone(pid)
    assert os.path.exists("b.csv.notify")
    assert log_of(app).count("is a copy of") == 1

    os.kill(pid, signal.SIGKILL)

    def idle():
        master._supervisor.next_check = 0
        master.check_pending_notifications()
        return log_of(app).count(" BaseSubtask PID = [") == 1

    assert in_a_copy(idle)
    assert app.page(master, other_than=pid).alive


DAEMON = """
import os, sys, time
from pysubtask import BaseMaster
master = BaseMaster([{"file": "a.csv"}], None, "tiny_child", LogToConsole=False)
master.start()
first = master.status().children[0].pid
read, write = os.pipe()
if os.fork():
    os.close(read)
    os._exit(0)
os.close(write)
os.read(read, 1)  # until the original is gone
deadline = time.monotonic() + 60
while not master.status().running or master.status().children[0].pid in (None, first):
    master.start()
    assert time.monotonic() < deadline
with open("report", "w") as file:
    file.write(f"{first} {os.getpid()} {master.status().children[0].pid}")
os.rename("report", "done")
master.stop()
"""


def test_program_that_turns_into_a_daemon_takes_over(app):
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([str(app.folder), *filter(None, sys.path)])}
    subprocess.run([sys.executable, "-c", DAEMON], check=True, timeout=60, env=environ)
    wait_until((app.folder / "done").exists, 90)
    first, daemon, second = map(int, (app.folder / "done").read_text().split())
    os.kill(first, signal.SIGKILL)  # a real child would have been ended by the lock
    assert f"BaseTaskMaster PID = [{daemon}] BaseSubtask PID = [{second}]" in log_of(app)


def as_daemon(app, leaves_session):
    """An app that starts its master and turns into a daemon then, without another start()."""
    code = DAEMON.replace("not master.status().running or", "time.monotonic() < deadline and")
    code = code.replace("    master.start()\n", "    master.check_pending_notifications()\n    time.sleep(0.05)\n")
    code = code.replace("os.close(write)\n", f"os.close(write)\n{'os.setsid()' if leaves_session else ''}\n", 1)
    code = code.replace("monotonic() + 60", "monotonic() + (60 if LEAVES else 3)").replace("LEAVES", str(leaves_session))
    code = code.replace("    assert time.monotonic() < deadline\n", "")
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([str(app.folder), *filter(None, sys.path)])}
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60, env=environ)
    wait_until((app.folder / "done").exists, 90)
    first, daemon, second = (app.folder / "done").read_text().split()
    os.kill(int(first), signal.SIGKILL)  # a real child would have been ended by the lock
    return first, daemon, second


def test_an_app_that_becomes_a_daemon_after_its_start_goes_on(app):
    first, daemon, second = as_daemon(app, True)
    assert second not in ("None", first) and f"BaseTaskMaster PID = [{daemon}] BaseSubtask PID = [{second}]" in log_of(app)


@pytest.mark.slow
def test_a_worker_that_outlives_its_app_takes_nothing_over(app):
    first, daemon, second = as_daemon(app, False)
    assert second in ("None", first) and f"BaseTaskMaster PID = [{daemon}]" not in log_of(app)


def test_password_is_handed_over_and_printed_nowhere(app):
    from pysubtask.ftp import FTPTaskMaster

    master = FTPTaskMaster([{"file": "a.csv"}], {"ftp": {"Host": "h", "Password": SECRET}}, LogToConsole=False)
    app.masters.append(master)
    # The real child is not needed here: the same hand-off goes to the small one.
    managed = master._supervisor.children[0]
    managed.plan = managed.plan._replace(module="tiny_child")
    managed.folders = (str(app.folder), *managed.folders)
    master.start()
    child = app.page(master)
    assert child.page["password"] == SECRET
    assert "FTPTaskMaster PID" in log_of(app, "ftp_taskmaster")
    assert "FTPSubtask PID" in log_of(app, "ftp_taskmaster")
    with open(f"/proc/{child.pid}/cmdline") as file:
        assert SECRET not in file.read()
    with open(f"/proc/{child.pid}/environ", errors="replace") as file:
        assert SECRET not in file.read()
    assert SECRET not in child.page["repr"]
    os.unlink(os.path.join(child.page["folder"], "status.json"))  # where the test's own child put it
    master.stop(forcekill=False)
    for folder, _, files in os.walk(app.folder):
        for name in files:
            with open(os.path.join(folder, name), "rb") as file:
                assert SECRET.encode() not in file.read(), name


def test_status_is_typed_and_tolerates_a_missing_or_torn_page(app):
    app.order(die=1)
    master = app.master()
    assert master.status() == (False, 0, (("tiny_child", None, False, 0, None, None, None, "", NEVER_RUN),), 0)
    master.start()
    page = app.folder / ".pysubtask/main/tiny_child/status.json"
    wait_until(page.exists)
    wait_until(lambda: master.status().children[0].last_exit)
    for torn in ("", '{"format": 1', "[]", "\0"):
        page.write_text(torn)
        assert master.status().children[0].page is None


def test_real_child_of_an_app_with_odd_signals_stops_when_asked(app):
    """What the app blocks and ignores is inherited; the child has to shake it off to hear SIGTERM and reap its own."""
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN), signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    try:
        master = app.master(config={"MinFreeBytes": 0}, module="pysubtask.base")
        master.start()
        page = app.page(master)
    finally:
        signal.signal(signal.SIGCHLD, before[0])
        signal.pthread_sigmask(signal.SIG_SETMASK, before[1])
    with open(f"/proc/{page.pid}/status") as file:
        fields = dict(line.split(":", 1) for line in file)
    assert int(fields["SigBlk"], 16) & 1 << (signal.SIGTERM - 1) == 0
    assert int(fields["SigIgn"], 16) & 1 << (signal.SIGCHLD - 1) == 0
    master.stop(forcekill=False)
    assert master.status().children[0].last_exit == "exit status 0"


@pytest.mark.slow
def test_real_child_handles_what_was_notified(app):
    (app.folder / "a.csv").write_text("1\n")
    with app.master(config={"MinFreeBytes": 0}, module="pysubtask.base") as master:
        app.page(master)
        assert master.notify_file_by_index(0)
    assert not os.path.exists("a.csv.notify")
    copies = [path.read_text() for path in (app.folder / "upload").rglob("*a.csv")]
    assert "Copying" in log_of(app, "base_subtask")
    assert copies in ([], ["1\n"])


APP = """
import sys, time
from pysubtask import BaseMaster
master = BaseMaster([{"file": "a.csv"}], {"MinFreeBytes": 0, "OrphanLingerSecs": 600}, LogToConsole=False)
master.start()
while not (page := master.status().children[0].page) or page["pid"] != master.status().children[0].pid:
    time.sleep(0.01)
print(page["pid"], flush=True)
sys.stdin.read()
"""


@pytest.mark.slow
def test_child_of_a_killed_app_yields_to_the_next_one(app):
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    first = subprocess.Popen(
        [sys.executable, "-c", APP], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environ, cwd=app.folder
    )
    try:
        orphan = int(first.stdout.readline())
        master = app.master([{"file": "a.csv"}], config={"MinFreeBytes": 0}, module="pysubtask.base", LogToConsole=False)
        master.start()
        wait_until(lambda: master.status().children[0].last_exit, 60)
        assert master.status().children[0].last_exit == "exit status 3", "the other master lives"
        assert f"child {orphan} of master {first.pid}" in log_of(app, "base_subtask")
        assert not gone(orphan)
        first.kill()
        first.wait()
        second = app.page(master, other_than=orphan)
        assert second.pid != orphan
        wait_until(lambda: process_start(orphan) is None, 60)  # whether its new parent has reaped it is not ours
    finally:
        first.kill()
        first.communicate()
