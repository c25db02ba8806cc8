"""A command line of pysubtask, run in this process."""

from __future__ import annotations

import contextlib
import io
from types import SimpleNamespace

from pysubtask.control.cli import main


def command(*words):
    """A command line, in this process: a start of Python costs more than the command."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        returncode = main(list(words))
    return SimpleNamespace(returncode=returncode, stdout=out.getvalue(), stderr=err.getvalue())
