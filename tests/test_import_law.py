"""Who may import whom, read from the source, and what an app loads with it, seen in bare interpreters."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import pysubtask

PACKAGE = Path(pysubtask.__file__).parent
FORBIDDEN = ("asyncio", "ssl", "sqlite3", "http", "ftplib", "dataclasses", "shutil", "tempfile")
DOORS = ("base", "ftp", "dropbox")
OPTIONAL = {"watchdog", "asyncssh", "pytest", "pysftp", "paramiko", "pyfastcdc"}
LEARNED = {f"pysubtask.transports.{name}" for name in ("allowance", "left", "means", "profile")}  # pure, one thing
LIBRARIES = {"dropbox", "stone", "requests", "urllib3"}  # what speaks to a service, in the child alone
TERMINAL = {"click", "rich"}  # arguments and tables of the command line
SERVERS = {"pyftpdlib", "OpenSSL", "cryptography"}  # what the test servers are made of
NEUTRAL = {
    f"pysubtask.transports.{name}"
    for name in (
        "allowance",
        "base",
        "calls",
        "checksum",
        "dial",
        "key_file",
        "known_hosts",
        "left",
        "means",
        "meter",
        "pace",
        "profile",
        "proxy_url",
        "reach",
        "sent_hash",
        "server_limit",
        "sftp_names",
        "shown_names",
        "source",
        "ssh_login",
        "standstill",
        "swap_record",
        "temp_names",
        "turns",
        "workdir",
    )
}


def modules():
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        yield path, parts[:-1] if parts[-1] == "__init__" else parts


def imports(path, own):
    """(dotted name, at the top of the module) for each import of the file, relative ones resolved; not those for type checkers."""
    package = own if path.name == "__init__.py" else own[:-1]
    found = []

    def visit(node, top):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
                continue
            if isinstance(child, ast.Import):
                found.extend((alias.name, top) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                base = ["pysubtask", *package[: len(package) - child.level + 1]] if child.level else []
                module = [*base, *(child.module.split(".") if child.module else [])]
                for alias in child.names:
                    longer = PACKAGE.parent.joinpath(*module, alias.name)
                    deeper = longer.with_suffix(".py").exists() or longer.is_dir()
                    found.append((".".join([*module, alias.name] if deeper else module), top))
            if isinstance(child, (ast.stmt, ast.ExceptHandler, ast.match_case)):  # no import stands in an expression
                visit(child, top and not isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)))

    visit(ast.parse(path.read_text()), True)
    return found


def room(name):
    """The room of a dotted name inside the package: its folder, or the module itself at the top."""
    return name.split(".")[1] if name.count(".") else "pysubtask"


def allowed(own, name, top):
    """Whether the module ``own`` (its parts) may import ``name``."""
    if not name.startswith("pysubtask"):
        first = name.split(".")[0]
        if first in sys.stdlib_module_names:
            return True
        if own[:1] == ("__pyinstaller",):
            return first == "PyInstaller"
        if first in SERVERS:
            return own[:1] == ("testing",)
        if first in TERMINAL:
            return own[:1] == ("control",)
        if first in LIBRARIES:
            # The model of Dropbox stands in the place of the SDK's way out.
            return own[:1] in (("subtask",), ("transports",)) or own == ("testing", "crash", "dropbox_model")
        # Third-party modules: never in the app's half, and where they are wanted only when they are wanted.
        return first in OPTIONAL and own[:1] in (("subtask",), ("transports",), ("testing",))
    mine, other = own[0] if own else "", room(name)
    if mine in ("common", "_config", "defaults_config"):
        return other in ("common",)
    if mine == "master":
        return other in ("master", "common", "defaults_config", "pysubtask")
    if own == ("subtask", "dropbox_login") and name.startswith("pysubtask.transports.dropbox."):
        return True  # the login is that protocol too, and goes the same way through proxies
    if own == ("subtask", "live") and name.startswith("pysubtask.defaults_config"):
        return True  # a setting that comes while the child runs is checked by the same table
    if mine == "subtask":
        return other in ("subtask", "common", "pysubtask") or name in ("pysubtask.transports", "pysubtask.transports.base")
    if mine == "transports":
        if not own[1:] or ".".join(("pysubtask", *own)) in NEUTRAL:
            return (
                other == "common"
                or name == "pysubtask.transports.base"
                or (name in LEARNED and ".".join(("pysubtask", *own)) in LEARNED)
            )
        mates = f"pysubtask.transports.{own[1]}"
        return other == "common" or name in NEUTRAL or name == mates or name.startswith(mates + ".")
    if mine == "alerts":  # the door of the process that alerts: it judges as the command does, which the master does not know
        return other == "common" or (name.startswith("pysubtask.control.alerts") and not top)
    if mine in DOORS:
        return other in ("common", "master") or (other == "subtask" and not top)
    if mine == "control":
        # A test of the whole way needs a link that it can cut; the queue of a dead child is read as that child would.
        return other in ("control", "master", "common", "transports", "defaults_config", "testing", "pysubtask") or name.startswith(
            "pysubtask.subtask.offline.offline_queue"
        )
    if mine == "__main__":
        return other == "control"
    if mine == "freeze":  # the door of a frozen program: it becomes a child only inside a function
        return other == "common" or (other == "subtask" and not top)
    return mine == "testing"


@pytest.mark.slow
def test_each_module_keeps_to_its_rooms():
    found = list(modules())
    assert len(found) > 100
    broken = [f"{'.'.join(own)}: {name}" for path, own in found for name, top in imports(path, own) if not allowed(own, name, top)]
    assert broken == []


@pytest.mark.parametrize(
    ("own", "name", "top"),
    [
        (("common", "x"), "pysubtask.master", True),
        (("common", "x"), "pysubtask.defaults_config", True),
        (("common", "x"), "watchdog", False),
        (("master", "x"), "pysubtask.subtask.spool.queue", False),
        (("master", "x"), "pysubtask.transports", False),
        (("master", "x"), "asyncssh", False),
        (("master", "x"), "pysftp", False),
        (("transports", "pysftp", "link"), "pysubtask.transports.sftp.client", False),
        (("subtask", "x"), "pysubtask.master.child", False),
        (("subtask", "x"), "pysubtask.transports.folder", False),
        (("subtask", "x"), "pysubtask.control", False),
        (("transports", "folder"), "pysubtask.transports.sftp", False),
        (("transports", "sftp", "client"), "pysubtask.subtask.spool.queue", False),
        (("transports", "sftp", "client"), "pysubtask.transports.folder", False),
        (("transports", "folder"), "pysubtask.defaults_config", False),
        (("transports", "ftp", "swap"), "pysubtask.transports.sftp.swap", False),
        (("transports", "ssh_login"), "pysubtask.transports.ssh.options", False),
        (("transports", "swap_record"), "pysubtask.transports.ftp", False),
        (("transports", "ftp", "wire"), "OpenSSL", False),
        (("ftp",), "pysubtask.subtask.base_subtask", True),
        (("dropbox",), "dropbox", False),
        (("master", "x"), "dropbox", False),
        (("testing", "dropbox"), "requests", False),
        (("subtask", "command"), "pysubtask.transports.dropbox.http_session", False),
        ((), "pysubtask.base", True),
        (("freeze",), "pysubtask.master.task_master", False),
        (("freeze",), "pysubtask.subtask.base_subtask", True),
        (("common", "program"), "pysubtask.freeze", False),
        (("__pyinstaller", "hook-pysubtask"), "pysubtask.ftp", True),
        (("common", "x"), "PyInstaller", False),
        (("subtask", "x"), "numpy", False),
    ],
)
def test_the_law_forbids(own, name, top):
    assert not allowed(own, name, top)


def test_the_reader_of_imports_sees_through_all_their_forms(tmp_path):
    file = tmp_path / "x.py"
    file.write_text(
        "from . import child\nfrom ..common import lock, config as c\nfrom .child import Child\nimport os.path\n"
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import ssl\n"
        "def f():\n    from ..subtask.spool import Spool\n    try:\n        import asyncssh\n    finally:\n        pass\n"
    )
    assert imports(file, ("master", "x")) == [
        ("pysubtask.master.child", True),
        ("pysubtask.common.lock", True),
        ("pysubtask.common.config", True),
        ("pysubtask.master.child", True),
        ("os.path", True),
        ("typing", True),
        ("pysubtask.subtask.spool.queue", False),
        ("asyncssh", False),
    ]


LOAD = """
import sys
sys.path.append({folder!r})
before = set(sys.modules)
{statement}
loaded = sorted(set(sys.modules) - before)
import json
print(json.dumps(loaded))
"""


def load(statement):
    """The modules that a statement newly loads in a bare interpreter of this environment."""
    code = LOAD.format(folder=str(PACKAGE.parent), statement=statement)
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def foreign(names):
    tops = {name.partition(".")[0] for name in names}
    return {top for top in tops if top not in sys.stdlib_module_names and top != "pysubtask"}


@pytest.mark.parametrize(
    "statement",
    [
        "import pysubtask.ftp",
        "import pysubtask.base",
        "import pysubtask.dropbox",
        "from pysubtask import TaskMaster, BaseMaster, Section, ConfigError",
        "from pysubtask import TaskMaster; TaskMaster([{'file': 'a'}], {'ftp': {'Host': 'h'}, 'alerts': {'Command': '/bin/true'}},"
        " None, False)",
        "from pysubtask import FTPTaskMaster; FTPTaskMaster([{'file': 'a'}], {'ftp': {'Host': 'h'}}, None, False)",
        "from pysubtask import TaskMaster; TaskMaster([{'file': 'a'}], {'dropbox': {'AccessToken': 't', 'Proxy': 'http://h:1'}},"
        " None, False)",
    ],
)
def test_the_apps_half_loads_nothing_it_should_not(statement):
    names = load(statement)
    assert [name for name in names if name.partition(".")[0] in FORBIDDEN] == []
    assert foreign(names) == set()
    assert [name for name in names if name.startswith(("pysubtask.subtask", "pysubtask.transports", "pysubtask.testing"))] == []
    assert "pysubtask.master.task_master" in names


def test_who_alerts_nobody_pays_nothing_for_it():
    names = load("from pysubtask import TaskMaster; TaskMaster([{'file': 'a'}], {'ftp': {'Host': 'h'}}, None, False)")
    assert [name for name in names if "alert" in name] == []


def test_the_process_that_alerts_needs_no_library_and_little_memory():
    """The command's libraries may well be missing where an app runs."""
    names = load("import pysubtask.control.alerts.watch")
    assert foreign(names) == set()
    heavy = [name for name in names if name in ("asyncio", "ssl", "sqlite3", "http", "ftplib", "dataclasses", "tempfile")]
    assert heavy == []
    assert [name for name in names if name.startswith(("pysubtask.subtask", "pysubtask.transports", "pysubtask.testing"))] == []


def test_the_package_alone_loads_nothing():
    names = load("import pysubtask; dir(pysubtask)")
    assert [name for name in names if name.startswith("pysubtask")] == ["pysubtask"]
    assert set(names) <= {"pysubtask", "__future__", "typing", *load("import typing, __future__")}


# What an app pays for importing this package: these modules and no other. How long that takes is benchmarks/master.
THE_APPS_HALF = {"pysubtask"} | {
    f"pysubtask.{name}"
    for name in (
        "common",
        "common.config",
        "common.effective_user",
        "common.entries",
        "common.errors",
        "common.label",
        "common.logs",
        "common.notify",
        "common.own_files",
        "common.place",
        "common.process",
        "common.program",
        "common.watched",
        "defaults_config",
        "master",
        "master.child",
        "master.destinations",
        "master.seat",
        "master.stamps",
        "master.state",
        "master.task_master",
        "master.voice",
    )
}
PARTS = "import collections.abc, fcntl, json, logging, math, select, signal, subprocess, threading, traceback, typing, zlib"


@pytest.mark.parametrize(
    ("statement", "door"),
    [
        ("import pysubtask.ftp", "ftp"),
        ("import pysubtask.base", "base"),
        ("import pysubtask.dropbox", "dropbox"),
        ("from pysubtask import TaskMaster, BaseMaster, Section, ConfigError", None),
    ],
)
def test_an_import_loads_exactly_these_modules(statement, door):
    names = set(load(statement))
    ours = {name for name in names if name.partition(".")[0] == "pysubtask"}
    assert ours == THE_APPS_HALF | ({f"pysubtask.{door}"} if door else set())
    # Any version of Python has its own modules behind these.
    assert names - ours <= set(load(PARTS))


def test_a_frozen_apps_first_line_loads_next_to_nothing():
    names = load("import pysubtask; pysubtask.freeze_support()")
    assert {name for name in names if name.startswith("pysubtask")} == {
        "pysubtask",
        "pysubtask.freeze",
        "pysubtask.common",
        "pysubtask.common.program",
        "pysubtask.common.errors",
    }
