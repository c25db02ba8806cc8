"""For every test: what was skipped and why stands at the end; PYSUBTASK_FORBID_SKIPS=1 makes a skip a failure."""

from __future__ import annotations

import asyncio
import gc
import importlib.util
import inspect
import itertools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from pysubtask.common.redact import forget_all

if os.environ.pop("PYTHONDONTWRITEBYTECODE", ""):
    # Hundreds of children are started here: what they import is compiled once, outside the tree.
    sys.dont_write_bytecode = False
    sys.pycache_prefix = os.path.join(tempfile.gettempdir(), f"pysubtask-pycache-{os.getuid() if hasattr(os, 'getuid') else ''}")
    os.environ["PYTHONPYCACHEPREFIX"] = sys.pycache_prefix

# How long an example takes says more of what else runs on the machine than of what is tested.
settings.register_profile("pysubtask", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("pysubtask")

# In the background of a shell without job control Ctrl-C is ignored, and whatever is started here would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# What runs here is not to be found by the commands of whoever runs the tests.
_REGISTRY = os.environ.setdefault("PYSUBTASK_REGISTRY", os.path.join(tempfile.gettempdir(), f"pysubtask-tests-{os.getpid()}"))
_numbers = (f"{os.getpid()}-{number}" for number in itertools.count())

pytest.register_assert_rewrite("tests.support")
pytest_plugins = ["pysubtask.testing.pytest_plugin"]

# What children and test servers import is compiled before the first of them is waited for: on a small machine that takes
# several at once longer than a test would wait.
_COMPILE = """
import contextlib, importlib, pkgutil, pysubtask
for found in pkgutil.walk_packages(pysubtask.__path__, "pysubtask.", onerror=lambda name: None):
    if not found.name.endswith("__main__") and "__pyinstaller" not in found.name:
        with contextlib.suppress(Exception):
            importlib.import_module(found.name)
"""

_FORBIDDEN = os.environ.get("PYSUBTASK_FORBID_SKIPS", "") not in ("", "0")
_skipped: Counter[str] = Counter()


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    found = report.longrepr
    text = str(found[2]) if isinstance(found, tuple) else str(found)
    return text.removeprefix("Skipped: ")


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        _compile()
    gc.disable()  # nothing is garbage while thousands of tests are collected


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Two for each core: most of the time a test waits for a child, a server or a disk."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(2, 2 * cores)


def _compile() -> None:
    found = importlib.util.find_spec("pysubtask.subtask")
    source = os.path.join(os.path.dirname(str(found and found.origin)), "base_subtask.py")
    try:
        compiled = os.stat(importlib.util.cache_from_source(source)).st_mtime >= os.stat(source).st_mtime
    except OSError:
        compiled = False
    if not compiled:
        subprocess.run([sys.executable, "-c", _COMPILE], stdin=subprocess.DEVNULL, capture_output=True, check=False)


def pytest_collection_finish() -> None:
    # The objects of the collection stay: no garbage collection, here or in a test, needs to visit them.
    gc.enable()
    gc.freeze()


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """A test that is a coroutine runs on an event loop of its own, which is closed before the fixtures end."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    given = {name: pyfuncitem.funcargs[name] for name in inspect.signature(pyfuncitem.obj).parameters}
    asyncio.run(pyfuncitem.obj(**given))
    return True


@pytest.fixture(autouse=True)
def _no_secrets_of_other_tests() -> Iterator[None]:
    """A process masks every secret that it knows; here one test's password may be another one's word."""
    yield
    forget_all()


@pytest.fixture(autouse=True)
def _registry_of_its_own() -> Iterator[None]:
    """A server's port may be one that an earlier test had: what was sent to that one is another task's."""
    os.environ["PYSUBTASK_REGISTRY"] = os.path.join(_REGISTRY, next(_numbers))
    yield
    os.environ["PYSUBTASK_REGISTRY"] = _REGISTRY


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Iterator[None]:
    report: pytest.TestReport = yield
    # An expected failure also reports itself as skipped; it ran, so it is none.
    if report.skipped and not hasattr(report, "wasxfail"):
        _note(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Iterator[None]:
    report: pytest.CollectReport = yield
    if report.skipped:  # a whole module, by importorskip
        _note(report)
    return report


def _note(report: pytest.TestReport | pytest.CollectReport) -> None:
    reason = _reason(report)
    _skipped[reason] += 1
    if _FORBIDDEN:
        report.outcome = "failed"
        report.longrepr = f"skipped, which PYSUBTASK_FORBID_SKIPS forbids: {reason}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    why = "; ".join(f"{reason} ({count})" for reason, count in sorted(_skipped.items()))
    terminalreporter.write_line(f"skipped: {_skipped.total()}" + (f", because: {why}" if why else ""))


def pytest_unconfigure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        shutil.rmtree(_REGISTRY, ignore_errors=True)
