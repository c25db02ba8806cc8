"""No file is opened, made, renamed or removed by its path but where that is right: every other module goes through a door that
looks at what is there (``own_files``, ``own_folders``, ``beneath``, ``log_place``, ``sources``, ``bak_folder``, ``mover``)."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import pysubtask

PACKAGE = Path(pysubtask.__file__).parent
OS = {
    "open",
    "replace",
    "rename",
    "renames",
    "makedirs",
    "mkdir",
    "chown",
    "lchown",
    "chmod",
    "lchmod",
    "unlink",
    "remove",
    "rmdir",
    "removedirs",
    "link",
    "symlink",
    "truncate",
    "utime",
    "mkfifo",
    "mknod",
    "popen",
}
OTHERS = {
    "io": {"open", "FileIO", "open_code"},
    "codecs": {"open"},
    "sqlite3": {"connect"},
    "tempfile": {"mktemp"},
    "logging": {"FileHandler"},
    "builtins": {"open"},
}
"""Of other modules than os; of shutil everything but questions, of pathlib everything."""
QUESTIONS = {"which", "disk_usage", "get_terminal_size"}

ALLOWED: dict[str, tuple[set[str], str]] = {
    # The doors.
    "common/own_files.py": ({"os.open", "os.replace", "os.rename", "os.unlink"}, "the door to our own files"),
    "common/own_folders.py": (
        {"os.open", "os.makedirs", "os.mkdir", "os.chmod", "os.rmdir", "shutil.rmtree"},
        "the door to our own folders",
    ),
    "common/beneath.py": ({"os.open", "os.mkdir"}, "goes a watched path by its parts, relative to descriptors"),
    "common/log_place.py": (
        {"os.open", "os.makedirs", "os.mkdir", "os.replace", "os.rename", "os.unlink"},
        "opens logs by the parts of their path",
    ),
    "common/notify.py": ({"os.open", "os.replace", "os.unlink", "os.utime"}, "signal files, relative to the folder of the data"),
    "subtask/snapshot/sources.py": ({"os.open"}, "opens data files"),
    "subtask/snapshot/bak_folder.py": (
        {"os.open", "os.rename", "os.rmdir", "os.unlink"},
        "snapshots, relative to a folder that was looked at",
    ),
    "subtask/watch/folder.py": ({"os.open"}, "lists the names in a watched folder, following no link inside it"),
    "subtask/snapshot/file_copies.py": ({"os.utime"}, "of the descriptor of a copy"),
    "subtask/snapshot/snapshotter.py": ({"os.utime"}, "of the descriptor of a copy"),
    "subtask/snapshot/extra_copy.py": (
        {"os.open", "os.replace", "os.unlink", "os.chmod", "os.utime"},
        "relative to the folder that is meant, for subtasks of people's own",
    ),
    "master/mover.py": ({"os.open", "os.mkdir", "os.makedirs", "os.link", "os.unlink", "os.replace"}, "moves data by descriptors"),
    "transports/shared/source.py": ({"os.open"}, "opens what is sent: a copy relative to its folder, else as its caller says"),
    # Databases: SQLite opens by path, what is there is looked at before.
    "subtask/spool/database.py": ({"sqlite3.connect"}, "the file was made and looked at through own_files"),
    "subtask/spool/claims_file.py": ({"sqlite3.connect"}, "the file was made and looked at through own_files"),
    # Folders above ours, of the user's own home.
    "common/registry.py": ({"os.makedirs"}, "the folders above the registry, in the user's home"),
    # Files that the system keeps.
    "common/limits.py": ({"open"}, "reads /proc and /sys"),
    "common/lock.py": ({"open"}, "reads /proc/PID/cmdline"),
    "common/place.py": ({"open"}, "reads the table of mounts"),
    "common/process.py": ({"open"}, "reads /proc/PID/stat"),
    "control/doctor/bbr.py": ({"open"}, "reads /proc/sys"),
    "subtask/watch/unmounted_folders.py": ({"os.open"}, "listens to the table of mounts"),
    "common/mount_table.py": ({"open"}, "reads the table of mounts"),
    "control/tasks/owners.py": ({"open"}, "reads /proc/PID/cmdline and environ"),
    "common/present.py": ({"open"}, "reads /proc/PID/stat"),
    "master/child.py": ({"open"}, "reads /proc/PID/children"),
    "transports/ssh/tcp_latency.py": ({"open"}, "reads /proc/self/status"),
    "transports/ssh/orphans.py": ({"open"}, "reads /proc/PID/environ"),
    "transports/ssh/process_record.py": ({"open"}, "reads /proc/PID/cmdline"),
    "transports/ssh/sockets.py": ({"open"}, "reads /proc/PID/children"),
    "control/run/unit_install.py": (
        {"open", "os.makedirs", "os.chmod", "os.replace", "os.rmdir", "os.unlink"},
        "systemd's folder for units, root's or the user's own; the registry as that user",
    ),
    "control/run/program_runner.py": (
        {"open"},
        "the source of a module that the command names, with the rights of whose service it is",
    ),
    "control/run/unit_files.py": (
        {"os.open", "os.unlink"},
        "systemd's folder for units, root's or the user's own; what is opened is looked at",
    ),
    "daemon/programs.py": ({"os.open"}, "the null device"),
    # Files that a person names, and those of his own home.
    "common/heartbeat.py": ({"open"}, "a file that a monitor names"),
    "common/secret_file.py": ({"open"}, "secret files that a config or a command names; the opened file is looked at"),
    "common/other_configs.py": ({"os.open"}, "configs of others: no link is followed, a descriptor is looked at"),
    "control/config/config_file.py": ({"open"}, "the config; the opened file is looked at"),
    "control/doctor/local.py": ({"open"}, "the config"),
    "control/doctor/state_folder.py": ({"os.open", "os.unlink"}, "a new file in the folder that is tried"),
    "control/doctor/login_files.py": ({"open"}, "keys that the config names"),
    "control/doctor/probe.py": ({"open"}, "a file in a new temporary folder"),
    "control/doctor/source.py": ({"open"}, "a config that is a module; the opened file is looked at"),
    "control/run/exposure.py": ({"open"}, "a new temporary folder"),
    "control/setup/first_config.py": (
        {"os.open", "os.unlink", "os.makedirs"},
        "the config that a person has written; a new file alone",
    ),
    "control/commands/init.py": ({"os.makedirs"}, "the folder of a password file that a person names"),
    "control/push/files.py": ({"open", "os.open"}, "files that the command names"),
    "control/selftest/feed.py": ({"open", "os.makedirs"}, "a new temporary folder"),
    "control/selftest/link.py": ({"open"}, "a new temporary folder"),
    "control/selftest/run.py": ({"shutil.rmtree"}, "a new temporary folder"),
    "master/excluded_files.py": ({"open", "os.open"}, "modules of the app, looked at for secrets"),
    "transports/dropbox/login.py": ({"open", "os.replace", "os.unlink"}, "the token file that the command names, by mkstemp"),
    "subtask/delta/signature.py": ({"io.FileIO", "os.open"}, "reads for digests alone, which only compare"),
    "subtask/snapshot/append_tracker.py": ({"os.open"}, "reads for digests alone, which only compare"),
    "transports/dropbox/http_session.py": ({"open"}, "the CA file that the config names"),
    "transports/shared/key_file.py": ({"open"}, "the key that the config names"),
    "transports/shared/known_hosts.py": ({"open", "os.makedirs"}, "the user's known_hosts"),
    "control/run/purging.py": ({"os.unlink"}, "logs and notify files, relative to a folder that was gone to by its parts"),
    # Others.
    "transports/ssh/socket_handover.py": ({"shutil.rmtree"}, "a new private folder by mkdtemp"),
    "transports/folder/transport.py": (
        {"open", "os.open", "os.mkdir", "os.replace", "os.unlink", "os.utime"},
        "its destination is a folder that the config names",
    ),
    "transports/ssh/askpass.py": ({"os.open", "shutil.rmtree"}, "a new private folder by mkdtemp"),
    "transports/ssh/askpass_pipes.py": ({"os.open", "os.mkfifo"}, "in the private folder of askpass"),
}


def uses(source: str) -> Iterator[tuple[int, str]]:
    """Where a source uses what opens or changes files by path: line, and what."""
    named: dict[str, str] = {}
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.partition(".")[0] == "pathlib":
                    yield node.lineno, "pathlib"
                named[alias.asname or alias.name] = alias.name
        elif isinstance(node, ast.ImportFrom) and not node.level:
            for alias in node.names:
                if node.module == "pathlib":
                    yield node.lineno, "pathlib"
                elif _is_one(str(node.module), alias.name):
                    yield node.lineno, f"{node.module}.{alias.name}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id == "open" and isinstance(node.ctx, ast.Load):
            yield node.lineno, "open"
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            module = named.get(node.value.id, "")
            if _is_one(module, node.attr) and not _is_asked_about(node, tree):
                yield node.lineno, f"{module}.{node.attr}"
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "getattr" and len(node.args) > 1:
            target, name = node.args[:2]
            module = named.get(target.id, "") if isinstance(target, ast.Name) else ""
            if isinstance(name, ast.Constant) and _is_one(module, str(name.value)):
                yield node.lineno, f"{module}.{name.value}"


def _is_one(module: str, name: str) -> bool:
    if module == "shutil":
        return name not in QUESTIONS
    return name in (OS if module == "os" else OTHERS.get(module, set()))


def _is_asked_about(node: ast.Attribute, tree: ast.AST) -> bool:
    """``os.open in os.supports_dir_fd`` opens nothing."""
    return any(
        isinstance(one, ast.Compare)
        and node is one.left
        and isinstance(one.ops[0], ast.In)
        and ast.unparse(one.comparators[0]).startswith("os.supports_")
        for one in ast.walk(tree)
    )


def modules() -> list[str]:
    found = [path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py")]
    return sorted(name for name in found if not name.startswith("testing/"))


@pytest.mark.parametrize("module", modules())
def test_no_module_goes_by_path(module: str):
    allowed, _ = ALLOWED.get(module, (set(), ""))
    wrong = [f"line {line}: {what}" for line, what in uses((PACKAGE / module).read_text()) if what not in allowed]
    assert not wrong, (
        f"{module}, {'; '.join(wrong)}: use common/own_files for a file of ours, common/beneath in a folder of the "
        "user's; else say in ALLOWED why a path is right here"
    )


@pytest.mark.slow
def test_what_is_allowed_is_used_and_has_a_reason():
    for module, (allowed, reason) in ALLOWED.items():
        used = {what for _, what in uses((PACKAGE / module).read_text())}
        assert allowed == used, module
        assert reason, module


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("def f(state_dir):\n    open(state_dir + '/status.json')", ["open"]),
        ("import os\nwith open(os.path.join(state_dir, 'x'), 'w') as file:\n    pass", ["open"]),
        ("import os\nos.open(path, 0)", ["os.open"]),
        ("import os as system\nsystem.replace(a, b)", ["os.replace"]),
        ("from os import makedirs\nmakedirs(a)", ["os.makedirs"]),
        ("from os import chown as give\ngive(a, 1, 1)", ["os.chown"]),
        ("import os\nlist(map(os.unlink, names))", ["os.unlink"]),
        ("import os\nos.rename(a, b); os.mkdir(a); os.chmod(a, 0)", ["os.rename", "os.mkdir", "os.chmod"]),
        ("import os\ngetattr(os, 'chown')(a, 1, 1)", ["os.chown"]),
        ("import shutil\nshutil.copy2(a, b)", ["shutil.copy2"]),
        ("from shutil import rmtree", ["shutil.rmtree"]),
        ("from pathlib import Path\nPath(a).write_text('')", ["pathlib"]),
        ("import pathlib", ["pathlib"]),
        ("import io\nio.open(a)", ["io.open"]),
        ("import sqlite3\nsqlite3.connect(a)", ["sqlite3.connect"]),
        ("import functools\nfunctools.partial(open, a)", ["open"]),
        ("import logging\nlogging.FileHandler(a)", ["logging.FileHandler"]),
        # Nothing by path:
        ("import os\nos.stat(a); os.listdir(a); os.fstat(1); os.close(os.dup(1)); os.fdopen(3)", []),
        ("import os\nBY = os.open in os.supports_dir_fd", []),
        ("import shutil\nshutil.which('ssh')", []),
        ("session.open(context)\nclass A:\n    def open(self): ...", []),
        ("from .own_files import open_read\nopen_read(a, b)", []),
    ],
)
def test_the_test_sees_it(source: str, found: list[str]):
    assert [what for _, what in uses(source)] == found
