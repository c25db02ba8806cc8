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
# Which rooms each room may import, besides itself. A room is a folder of the package, or a module at its top; a folder does not
# stand for those in it. Below each other: whatever stands further down is further from the bottom.
DATA_FLOW = ("subtask/platform", "subtask/delta", "subtask/watch", "subtask/spool", "subtask/status", "subtask/snapshot")
WIRES = ("transports", "transports/shared", "transports/ssh", "transports/sftp", "transports/ftp", "transports/dropbox")
PROTOCOLS = (*WIRES, "transports/pysftp", "transports/folder")
MAY_IMPORT: dict[str, tuple[str, ...]] = {
    "common": (),
    "_config": ("common",),
    "_version": (),
    "defaults_config": ("common",),
    "master": ("common", "defaults_config"),
    "transports": ("common",),
    "transports/shared": ("common", "transports"),
    "transports/folder": ("common", "transports", "transports/shared"),
    "transports/ssh": ("common", "transports", "transports/shared"),
    "transports/sftp": ("common", "transports", "transports/shared", "transports/ssh"),
    "transports/ftp": ("common", "transports", "transports/shared"),
    "transports/pysftp": ("common", "transports", "transports/shared"),
    "transports/dropbox": ("common", "transports", "transports/shared"),
    "delivery_rules": ("common", "transports"),
    "subtask/platform": ("common",),
    "subtask/watch": ("common", "subtask/platform"),
    "subtask/delta": ("common", "transports", "delivery_rules"),
    "subtask/spool": ("common", "transports", "delivery_rules", "subtask/platform", "subtask/delta"),
    "subtask/status": ("common", "subtask/spool"),
    "subtask/snapshot": ("common", *DATA_FLOW),
    "subtask/requests": ("common", "defaults_config", *DATA_FLOW),
    "subtask/delivery": ("common", "transports", "delivery_rules", *DATA_FLOW),
    "subtask": ("common", *DATA_FLOW),
    "subtask/engine": (
        "common",
        "transports",
        "transports/dropbox",
        "delivery_rules",
        "subtask",
        *DATA_FLOW,
        "subtask/requests",
        "subtask/delivery",
    ),
    "subtask/offline": ("common", "subtask", *DATA_FLOW, "subtask/requests"),
    "daemon": ("common", "_version"),
    "compat": ("daemon",),
    "base": ("common", "master", "subtask", "subtask/engine"),
    "ftp": ("common", "master", "subtask", "subtask/engine"),
    "dropbox": ("common", "master", "subtask", "subtask/engine"),
    "freeze": ("common", "subtask"),
    "testing/servers": ("common",),
    "testing/link": ("common", "testing/servers"),
    "testing": ("common", "testing/servers", "testing/link"),
    "control": ("common", "control/commands"),
    "control/config": ("common", "defaults_config", "master", "control"),
    "control/tasks": ("common", "subtask/offline", "control", "control/config", "control/run"),
    "control/daemons": ("common", "daemon", "control", "control/tasks"),
    "control/setup": ("common", "defaults_config", "control", "control/config", "control/tasks"),
    "control/view": ("common", "subtask/offline", "control", "control/tasks"),
    "control/alerts": ("common", "master", "control", "control/config", "control/tasks", "control/view"),
    "control/doctor": (
        "common",
        "defaults_config",
        "master",
        *PROTOCOLS,
        "control",
        "control/config",
        "control/tasks",
        "control/run",
    ),
    "control/preview": ("common", "master", "subtask/offline", *WIRES, "control", "control/config", "control/doctor"),
    "control/run": (
        "common",
        "defaults_config",
        "master",
        "subtask/offline",
        "control",
        "control/alerts",
        "control/config",
        "control/preview",
        "control/tasks",
    ),
    "control/push": (
        "common",
        "master",
        "transports",
        "transports/shared",
        "delivery_rules",
        "control",
        "control/config",
        "control/doctor",
    ),
    "control/selftest": (
        "common",
        "master",
        "transports",
        "transports/shared",
        "control/doctor",
        "testing/servers",
        "testing/link",
    ),
    "control/commands": (
        "common",
        "daemon",
        "defaults_config",
        "master",
        "subtask/offline",
        "transports",
        "transports/shared",
        "control",
        "control/alerts",
        "control/config",
        "control/daemons",
        "control/doctor",
        "control/preview",
        "control/push",
        "control/run",
        "control/selftest",
        "control/setup",
        "control/tasks",
        "control/view",
    ),
    "alerts": ("common", "control/alerts"),
    "__main__": ("control",),
    "": ("common", "_version", "daemon", "freeze", "master", "subtask"),
    "__pyinstaller": (),
}
# Imported inside functions only: the process that imports the module at the top must not pay for it.
LATE = {
    *((door, room) for door in ("base", "ftp", "dropbox") for room in ("subtask", "subtask/engine")),
    ("freeze", "subtask"),
    ("alerts", "control/alerts"),
}
# Of other people's modules: none in the app's half.
THIRD_PARTY: dict[str, tuple[str, ...]] = {
    "control": ("click",),  # arguments of the command line
    "subtask": ("watchdog", "pyfastcdc"),
    "transports": ("asyncssh", "pysftp", "paramiko", "dropbox", "stone", "requests", "urllib3"),
    "testing": ("asyncssh", "pytest", "pyftpdlib", "OpenSSL", "cryptography"),
    "__pyinstaller": ("PyInstaller",),
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
    parts = name.split(".")[1:]
    folder = parts if PACKAGE.joinpath(*parts).is_dir() else parts[:-1]
    return "/".join(folder) or "".join(parts)


def allowed(own, name, top):
    """Whether the module ``own`` (its parts) may import ``name``."""
    mine = room(".".join(("pysubtask", *own)))
    if not name.startswith("pysubtask"):
        first = name.split(".")[0]
        return first in sys.stdlib_module_names or first in THIRD_PARTY.get(mine.partition("/")[0], ())
    other = room(name)
    if other == mine or other == "":
        return True  # the package's own names, such as its version, are loaded when they are asked for
    return other in MAY_IMPORT[mine] and not (top and (mine, other) in LATE)


def test_each_room_stands_in_the_table():
    assert {room(".".join(("pysubtask", *own))) for _, own in modules()} == set(MAY_IMPORT)


@pytest.mark.slow
def test_each_module_keeps_to_its_rooms():
    found = list(modules())
    assert len(found) > 100
    broken = [f"{'.'.join(own)}: {name}" for path, own in found for name, top in imports(path, own) if not allowed(own, name, top)]
    assert broken == []


@pytest.mark.parametrize(
    ("own", "name", "top"),
    [
        (("common", "clock"), "pysubtask.master", True),
        (("common", "clock"), "pysubtask.defaults_config", True),
        (("common", "clock"), "watchdog", False),
        (("common", "clock"), "PyInstaller", False),
        (("common", "program"), "pysubtask.freeze", False),
        (("master", "child"), "pysubtask.subtask.spool.queue", False),
        (("master", "child"), "pysubtask.transports", False),
        (("master", "child"), "asyncssh", False),
        (("master", "child"), "dropbox", False),
        (("transports", "pysftp", "link"), "pysubtask.transports.sftp.client", False),
        (("delivery_rules", "retry"), "pysubtask.subtask.spool.queue", False),
        (("delivery_rules", "retry"), "pysubtask.transports.shared.pace", False),
        (("transports", "sftp", "client"), "pysubtask.delivery_rules.retry", False),
        (("control", "push", "sender"), "pysubtask.subtask.delivery.uploads", False),
        (("subtask", "engine", "cli"), "pysubtask.master.child", False),
        (("subtask", "engine", "cli"), "pysubtask.transports.folder.transport", False),
        (("subtask", "engine", "cli"), "pysubtask.control", False),
        (("subtask", "engine", "cli"), "numpy", False),
        (("subtask", "watch", "watcher"), "pysubtask.subtask.spool.queue", False),
        (("subtask", "spool", "queue"), "pysubtask.subtask.snapshot.snapshotter", False),
        (("transports", "folder", "transport"), "pysubtask.transports.sftp", False),
        (("transports", "folder", "transport"), "pysubtask.defaults_config", False),
        (("transports", "sftp", "client"), "pysubtask.subtask.spool.queue", False),
        (("transports", "sftp", "client"), "pysubtask.transports.folder.transport", False),
        (("transports", "ftp", "swap"), "pysubtask.transports.sftp.swap", False),
        (("transports", "ssh", "process"), "pysubtask.transports.sftp.client", False),
        (("transports", "shared", "ssh_login"), "pysubtask.transports.ssh.options", False),
        (("transports", "shared", "swap_record"), "pysubtask.transports.ftp", False),
        (("transports", "ftp", "swap"), "OpenSSL", False),
        (("ftp",), "pysubtask.subtask.base_subtask", True),
        (("dropbox",), "dropbox", False),
        (("testing", "servers", "dropbox"), "requests", False),
        (("freeze",), "pysubtask.master.task_master", False),
        (("freeze",), "pysubtask.subtask.base_subtask", True),
        (("__pyinstaller", "hook-pysubtask"), "pysubtask.ftp", True),
    ],
)
def test_the_law_forbids(own, name, top):
    assert not allowed(own, name, top)


def test_the_reader_of_imports_sees_through_all_their_forms(tmp_path):
    file = tmp_path / "x.py"
    file.write_text(
        "from . import child\nfrom ..common import lock, config as c\nfrom .child import Child\nimport os.path\n"
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import ssl\n"
        "def f():\n    from ..subtask.spool.queue import Spool\n    try:\n        import asyncssh\n    finally:\n        pass\n"
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


def test_the_alerting_process_needs_no_library_and_little_memory():
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
        "common.base_settings",
        "common.config",
        "common.dropbox_settings",
        "common.effective_user",
        "common.entries",
        "common.errors",
        "common.ftp_settings",
        "common.label",
        "common.logs",
        "common.notify",
        "common.own_files",
        "common.own_folders",
        "common.problem",
        "common.process",
        "common.restarts",
        "common.program",
        "common.state_files",
        "defaults_config",
        "master",
        "master.child",
        "master.child_config",
        "master.managed_child",
        "master.state_dir",
        "master.task_master",
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
