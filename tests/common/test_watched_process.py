"""Whether a process that is asked for often lives: by a descriptor of it, and by pid and start."""

import os
import subprocess
import sys

import pytest

from pysubtask.common import process
from pysubtask.common.process import WatchedProcess, process_start
from tests.support.helpers import wait_until


@pytest.fixture(params=["by a descriptor", "by pid and start"])
def _means(request, monkeypatch):
    if request.param == "by pid and start":
        monkeypatch.delattr(os, "pidfd_open", raising=False)


@pytest.mark.usefixtures("_means")
class TestBoth:
    def started(self):
        return subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)

    def test_it_lives_until_it_ends(self):
        child = self.started()
        watched = WatchedProcess(child.pid, process_start(child.pid) or "")
        assert watched.is_alive() and watched.is_alive()
        child.kill()
        wait_until(lambda: not watched.is_alive(), what="seen to be gone, though nobody has waited for it")
        child.wait()
        assert not watched.is_alive()

    def test_another_process_with_its_pid_is_not_it(self):
        child = self.started()
        try:
            assert not WatchedProcess(child.pid, "1234abcd-1").is_alive()
        finally:
            child.kill()
            child.wait()

    def test_one_that_is_gone_is_not_alive(self):
        child = self.started()
        start = process_start(child.pid) or ""
        child.kill()
        child.wait()
        assert not WatchedProcess(child.pid, start).is_alive()


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="this system has no descriptors of processes")
def test_a_living_one_costs_no_file_of_proc(monkeypatch):
    watched = WatchedProcess(os.getpid(), process_start(os.getpid()) or "")
    monkeypatch.setattr(process, "process_start", lambda pid: pytest.fail("read /proc"))
    assert watched.is_alive()
