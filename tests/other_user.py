"""A second user for tests that run as root: somebody who may do anything in his own folders."""

import contextlib
import os
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
