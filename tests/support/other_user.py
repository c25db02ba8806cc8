"""A second user for tests that run as root: somebody who may do anything in his own folders."""

import contextlib
import os
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path

import pytest

HIM = 12345
needs_root = pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="acts as another user too: needs root")


@contextlib.contextmanager
def open_folder():
    """A new folder that he can come to. Those of pytest are closed to others, and closed again by each pytest that starts."""
    with tempfile.TemporaryDirectory(prefix="other-user-") as folder:
        os.chmod(folder, 0o755)
        yield Path(os.path.realpath(folder))


def give_him(*folders):
    """Folders, with what is in them, become his."""
    for folder in folders:
        for path in (folder, *folder.rglob("*")):
            os.chown(path, HIM, HIM, follow_symlinks=False)


def as_him(action):
    """Call something as that user; what it raises fails the test."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.setgroups([])
            os.setgid(HIM)
            os.setuid(HIM)
            action()
            status = 0
        except BaseException:  # the test's own process tells of it
            traceback.print_exc()
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def his_python():
    """The words of an interpreter that he may run, and its environment with this package and click in it; a skip where there is
    none. One below the home of root is closed to him."""
    import importlib.util

    found = importlib.util.find_spec("click")
    folders = [str(Path(__file__).resolve().parents[2]), str(Path(found.origin).resolve().parent.parent)]
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(folders), "PYTHONDONTWRITEBYTECODE": "1"}
    environ.pop("PYTHONPYCACHEPREFIX", None)
    for program in dict.fromkeys([sys.executable, "/usr/bin/python3"]):
        try:
            words = [program, "-P", "-c", "import click, tomllib, pysubtask.control.cli"]
            done = subprocess.run(
                words, env=environ, user=HIM, group=HIM, extra_groups=[], cwd="/", capture_output=True, check=False
            )
        except OSError:
            continue
        if done.returncode == 0:
            return program, environ
    pytest.skip("no interpreter of Python 3.11 or later that an ordinary user may run (apt-get install python3)")
