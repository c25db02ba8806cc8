"""A second user for tests that run as root: somebody who may do anything in his own folders."""

import os
import tempfile
import traceback

import pytest

HIM = 12345
needs_root = pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="acts as another user too: needs root")


def let_him_in(folder):
    """Let him come as far as a folder of the test: those above it are closed to others by pytest."""
    top = os.path.realpath(tempfile.gettempdir())
    at = os.path.realpath(folder)
    while at not in (top, os.sep):
        os.chmod(at, os.stat(at).st_mode | 0o055)
        at = os.path.dirname(at)


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
