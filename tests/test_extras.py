"""Without a library that is an extra: every module of a command loads, its help works, and what needs the library says in one
line how it is installed. The whole of it, in fresh environments, is .ci/extras."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pysubtask.control.cli import commands

LIBRARIES = (
    "dropbox",
    "requests",
    "asyncssh",
    "cryptography",
    "paramiko",
    "pysftp",
    "pyfastcdc",
    "pyftpdlib",
    "OpenSSL",
    "watchdog",
)
BLOCKER = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] in {names!r}:
            raise ModuleNotFoundError(f'No module named {{name!r}}', name=name)
sys.meta_path.insert(0, Blocker())
import importlib.util as util
real = util.find_spec
util.find_spec = lambda name, package=None: None if name.partition('.')[0] in {names!r} else real(name, package)
"""
HELP = """
import contextlib, io
from importlib import import_module
from pysubtask.control.cli import commands, main
failed = []
for name in commands():
    output = io.StringIO()
    try:
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
            status = main([name, '--help'])
        if status or 'Usage' not in output.getvalue():
            failed.append((name, status, output.getvalue()))
    except BaseException as exc:
        failed.append((name, repr(exc)))
print(failed)
"""
MODULES = """
import pkgutil, pysubtask
from importlib import import_module
failed = []
for module in pkgutil.walk_packages(pysubtask.__path__, 'pysubtask.'):
    name = module.name
    if name.startswith(('pysubtask.testing', 'pysubtask.transports', 'pysubtask.__pyinstaller')):
        continue
    if name.endswith(('__main__', 'watchdog_events')):
        continue
    try:
        import_module(name)
    except ImportError as exc:
        failed.append(name)
print(failed)
"""


def blocked(names, code, *argv, **more):
    """A program in an interpreter that has not these libraries."""
    return subprocess.run(
        [sys.executable, "-c", BLOCKER.format(names=set(names)) + code, *argv],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        stdin=subprocess.DEVNULL,
        **more,
    )


@pytest.mark.slow
@pytest.mark.parametrize("missing", [LIBRARIES, ("dropbox",)], ids=["everything but click", "dropbox"])
def test_the_help_of_every_command(missing):
    done = blocked(missing, HELP)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


@pytest.mark.slow
def test_only_services_and_tables_need_a_library_at_import():
    done = blocked(LIBRARIES, MODULES)
    needs = {"pysubtask.control.doctor.remote_dropbox"}
    assert done.returncode == 0, done.stderr
    assert set(json.loads(done.stdout.replace("'", '"'))) == needs


def test_without_the_command_lines_libraries_one_line_says_so():
    done = blocked(("click",), "import pysubtask.control.cli")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines() == ["pysubtask: the command needs two libraries. Run:  pip install 'pysubtask[cli]'"]


COMMAND = "import sys\nfrom pysubtask.control.cli import main\nsys.exit(main(sys.argv[1:]))"


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        ("check", "box.toml"),
        ("run", "box.toml"),
        ("selftest", "box.toml", "--secs", "5"),
        ("push", "a.txt", "main", "-c", "box.toml"),
    ],
)
def test_a_command_that_needs_a_library_names_the_extra(tmp_path, words):
    (tmp_path / "data").mkdir()
    (tmp_path / "a.txt").write_text("a")
    config = tmp_path / "box.toml"
    config.write_text('[dropbox]\nAppKey = "k"\nRefreshToken = "r"\n[[watch]]\ndir = "data"\n')
    config.chmod(0o600)
    done = blocked(
        LIBRARIES,
        COMMAND,
        *words,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), "PYSUBTASK_REGISTRY": str(tmp_path / "tasks")},
    )
    output = done.stdout + done.stderr
    assert done.returncode != 0 and output.count("pip install 'pysubtask[dropbox]'") == 1, output
    assert "Traceback" not in output and "error of the program" not in output, output
    assert len([line for line in output.splitlines() if "pip install" in line]) == 1


@pytest.mark.slow
def test_the_doctor_checks_everything_else_without_the_library(tmp_path):
    (tmp_path / "data").mkdir()
    config = tmp_path / "box.toml"
    config.write_text(
        '[dropbox]\nAppKey = "k"\nRefreshToken = "r"\nProxy = "http://127.0.0.1:9"\n[ftp]\nHost = "127.0.0.1"\n'
        'HostPort = 9\nUseSFTP = false\n[[watch]]\ndir = "data"\n'
    )
    config.chmod(0o600)
    done = blocked(LIBRARIES, COMMAND, "doctor", str(config), "--json")
    page = json.loads(done.stdout)
    found = [finding for group in page["groups"].values() for finding in group]
    assert {"port-closed"} <= {finding["cause"] for finding in found} and "bug" not in {finding["cause"] for finding in found}
    assert len(page["groups"]) >= 3


@pytest.mark.parametrize("server", ["sftp_server", "ftp_server", "dropbox_server"])
def test_a_test_server_names_its_extra(server, tmp_path):
    code = (
        f"from pysubtask import ConfigError\nfrom pysubtask.testing import {server}\ntry:\n"
        f"    with {server}({str(tmp_path / 'x')!r}):\n        print('runs')\nexcept ConfigError as exc:\n    print(exc)\n"
    )
    done = blocked(LIBRARIES, code)
    assert "pip install 'pysubtask[testing]'" in done.stdout, done.stdout + done.stderr


def test_every_command_is_tried_in_the_fresh_environments_too():
    text = (Path(__file__).parents[1] / ".ci" / "extras").read_text()
    assert importlib.util.find_spec("click") and len(commands()) > 15
    tried = {name for name in commands() if f'"pysubtask", "{name}"' in text or f'"{name}"' in text.replace('"pysubtask", ', "")}
    assert set(commands()) - tried == set()
