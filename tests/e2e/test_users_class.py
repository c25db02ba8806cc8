"""A user's class and the engine of its child: none of its methods but the hooks changes what the engine does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pysubtask import BaseMaster, BaseSubtask
from tests.support.helpers import wait_until
from tests.support.own_methods_child import NAMES
from tests.support.station import Station


class OwnStation(Station):
    def make(self) -> BaseMaster:
        os.environ["TEST_SERVER_FOLDER"] = str(self.server)
        return BaseMaster(self.entries, self.base, f"tests.support.{self.extension}", LogToConsole=False)


class OwnMethodsStation(OwnStation):
    extension = "own_methods_child"


class DisabledStation(OwnStation):
    extension = "disabled_child"


@pytest.mark.slow
@pytest.mark.parametrize("plain", ["0", "1"])
def test_methods_of_ones_own_do_not_change_the_engine(plain: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    called = tmp_path / "called"
    called.mkdir()
    monkeypatch.setenv("TEST_CALLED", str(called))
    monkeypatch.setenv("TEST_PLAIN", plain)
    one = OwnMethodsStation(tmp_path, HeartbeatIntervalSecs=0.5)
    try:
        one.master.start()
        for text in ("1\n", "2\n"):
            one.write("a.csv", text, "a")
            one.notify("a.csv")
            one.arrived("a.csv")
        (one.data / "a.csv").unlink()
        one.write("box/b.csv", "3\n")
        one.arrived("box/b.csv")
        one.idle()
        one.master.stop(forcekill=False)
        assert "stopped" in one.kinds() and "hook_failed" not in one.kinds()
    finally:
        one.close()
    assert list(called.iterdir()) == []


def test_none_of_these_names_is_the_classes():
    assert [name for name in NAMES if hasattr(BaseSubtask, name) and name != "__call__"] == []


@pytest.mark.slow
def test_a_disabled_child_ends_with_its_app(tmp_path: Path):
    one = DisabledStation(tmp_path, OrphanLingerSecs=1)
    one.write("a.csv", "1\n")
    code = f"""
import os, sys
from pysubtask import BaseMaster
master = BaseMaster({one.entries!r}, {one.base!r}, 'tests.support.disabled_child', LogToConsole=False)
master.start()
sys.stdin.readline()
"""
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE) as app:
        pid = wait_until(lambda: one.page().get("state") == "watching" and one.page()["pid"], what="the child")
        app.kill()
    try:
        wait_until(lambda: not os.path.exists(f"/proc/{pid}"), what="the child's end")
    except BaseException:
        os.kill(pid, signal.SIGKILL)
        raise
    assert "orphaned" in one.kinds()
    assert list(one.server.iterdir()) == []
