"""A real child of a few lines, so that the master meets real processes."""

import json
import os
import textwrap

import pytest

from pysubtask import BaseMaster
from tests.support.helpers import wait_until

CHILD = textwrap.dedent(
    """
    import json, os, signal, sys, threading, time
    from pysubtask.common import handoff

    given = handoff.read()
    again = handoff.read()
    orders = json.load(open("orders.json"))
    stopped = []

    def stop(number, frame):
        stopped.append(number)

    if orders.get("deaf"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    else:
        signal.signal(signal.SIGTERM, stop)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
    page = {
        "format": 1, "pid": os.getpid(), "argv": sys.argv, "orig_argv": sys.orig_argv, "cwd": os.getcwd(),
        "repr": repr(given), "same": given == again, "session": os.getsid(0), "folder": given.state_dir,
        "fds": sorted(int(fd) for fd in os.listdir("/proc/self/fd")), "state_mode": os.stat(given.state_dir).st_mode & 0o777,
        "master_pid": given.master_pid, "handled_there": os.path.exists(given.state_dir + "/handled.json"),
        "password": given.settings.get("Password"), "bak": given.bak_dir, "log": given.log_file,
        "env_path": os.environ.get("PYTHONPATH"), "path": sys.path,
    }
    with open(given.state_dir + "/page.part", "w") as file:
        json.dump(page, file)
    os.rename(given.state_dir + "/page.part", given.state_dir + "/status.json")
    if "die" in orders:
        sys.stderr.write("a last word\\n")
        sys.stderr.flush()
        os._exit(orders["die"])
    while not stopped:
        signal.pause()
    handled = {}
    for path in orders.get("handle", []):
        found = os.stat(path)
        handled[path] = [found.st_mtime_ns, found.st_size, found.st_ino]
    handled.update(orders.get("claim", {}))
    with open(given.state_dir + "/handled.json", "w") as file:
        json.dump(handled, file)
    for path in orders.get("touch_after", []):
        os.utime(path, ns=(1, 1))
    """
)


class App:
    """A folder with data, a child module, and the masters made in it."""

    def __init__(self, folder):
        self.folder = folder
        self.masters = []
        self.order()

    def order(self, **orders):
        (self.folder / "orders.json").write_text(json.dumps(orders))

    def path(self, name):
        return str(self.folder / name)

    def master(self, entries=None, config=None, module="tiny_child", **more):
        master = BaseMaster(entries or [{"file": "a.csv"}, {"file": "b.csv"}, {"dir": "in"}], config, module, **more)
        self.masters.append(master)
        return master

    def page(self, master, other_than=None):
        """The status of the running child, once it has written one."""

        def running_child():
            child = master.status().children[0]
            return child if child.page and child.alive and child.page["pid"] == child.pid != other_than else None

        return wait_until(running_child, 60)


@pytest.fixture
def app(tmp_path, monkeypatch):
    (tmp_path / "tiny_child.py").write_text(CHILD)
    (tmp_path / "in").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    app = App(tmp_path)
    yield app
    for master in app.masters:
        master.stop()


def gone(pid):
    """Ended and reaped: a zombie still answers signal 0."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False
