"""A task that was stopped: its replies are true, and a request to start it is for the master that runs then, for no later one."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pysubtask.common import registry, requests
from pysubtask.common.process import process_start
from pysubtask.common.status import write_status
from pysubtask.control.exit_status import FAILED, CommandError
from pysubtask.control.tasks.find import Task
from tests.support.helpers import wait_until
from tests.support.run_station import TERM, Run, child, state_dir


@pytest.mark.parametrize("op", ["start", "reset"])
def test_a_start_request_is_withdrawn_when_its_master_ends(tmp_path: Path, op: str):
    master = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    try:
        state = tmp_path / ".pysubtask" / "main" / "ftp"
        state.mkdir(parents=True, mode=0o700)
        wait_until(lambda: process_start(master.pid), 20)
        write_status(str(state), {"state": "stopped", "master_pid": master.pid, "master_start": process_start(master.pid)})
        task = Task(registry.Record("main", "ftp", "", str(state), "data", str(tmp_path), "/etc/st.toml"))
        assert task.master() == master.pid

        def end() -> None:
            wait_until(lambda: requests.waiting(str(state)), 20, "the order")
            master.kill()
            master.wait()

        thread = threading.Thread(target=end)
        thread.start()
        with pytest.raises(CommandError, match="nobody is there to start one, so nothing was ordered") as caught:
            task.request(op, {}, "pysubtask start", patience=60, may_be_dead=True)
        thread.join()
        assert caught.value.status == FAILED and "pysubtask run /etc/st.toml" in str(caught.value)
        assert requests.waiting(str(state)) == []
    finally:
        master.kill()
        master.wait()


@pytest.mark.slow
def test_the_only_task_of_a_run_is_stopped_and_started_again(tmp_path: Path):
    (tmp_path / "data").mkdir()
    config = tmp_path / "st.toml"
    config.write_text(
        '[ftp]\nHost = "127.0.0.1"\nHostPort = 1\nUser = "u"\nUseSFTP = false\nTimerIntervalSecs = 0.3\n[[watch]]\ndir = "data"\n'
    )
    config.chmod(0o600)
    run = Run(tmp_path, config)
    try:
        pid = child(tmp_path / "data")
        assert run.command("stop").returncode == 0
        run.says("Every child was stopped by an order: 'pysubtask start' starts one again")
        assert "stopped" in run.command("status").stdout and run.process.poll() is None
        # From afar it is no one-way street, as often as one likes.
        for round in (1, 2):
            assert run.command("start").returncode == 0
            again = child(tmp_path / "data")
            assert again != pid
            pid = again
            assert run.command("stop").returncode == 0
            run.says("Every child was stopped by an order", round + 1)
        run.signal(TERM)
        assert run.status() == 0
        assert "'pysubtask start' starts it again as long as 'pysubtask run' goes on" in run.text() and "reset()" not in run.text()
        done = run.command("start")
        assert done.returncode == 1 and f"pysubtask run {config}" in done.stderr
        assert requests.waiting(str(state_dir(tmp_path / "data"))) == [] and "stopped" in run.command("status").stdout
    finally:
        if run.process.poll() is None:
            run.signal(TERM)
        run.end()
