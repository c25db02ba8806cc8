"""Which program is started: an interpreter that runs a module, or this very program where it is frozen.

A program made by PyInstaller, Nuitka or cx_Freeze is one file or folder with the interpreter in it; sys.executable
is then the app itself (or, with Nuitka, no file at all). Whatever would be started by ``python -m`` is started as
this program with an argument of this package in front, which ``pysubtask.freeze_support()`` recognises.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from .errors import ConfigError

CHILD = "--pysubtask-child="
HOW = "docs/frozen-apps.md"
_NAMES = ("python", "pypy", "graalpy")
# What the starters of frozen programs put into the environment, for themselves.
_PREFIXES = ("_PYI_", "_MEIPASS", "NUITKA_")
_SEARCH_PATHS = ("LD_LIBRARY_PATH", "LIBPATH")
_SAVED = "_ORIG"


class Host(NamedTuple):
    """What runs this code. ``frozen``: '' in an ordinary interpreter, else what made the program.

    ``file``: what starts it from outside (the interpreter; a frozen app); ``inner``: what replaces this process by exec,
    which differs where a one-file program unpacks itself first. ``python``: where this environment's interpreter would be.
    """

    frozen: str
    file: str
    inner: str
    python: str


class _Started:
    """What ``freeze_support`` has noted at the program's start, before anything can have changed it."""

    host: Host | None = None


def host(system: Any = sys, compiled: Any = None) -> Host:
    """What ``system`` (sys) says of the program; ``compiled`` is Nuitka's ``__compiled__``."""
    name = "python.exe" if system.platform == "win32" else "bin/python{}.{}".format(*system.version_info[:2])
    python = os.path.join(system.exec_prefix, name)
    file = system.executable or ""
    if getattr(system, "frozen", False):
        return Host("PyInstaller" if hasattr(system, "_MEIPASS") else "a freezer", file, file, python)
    if compiled is not None and getattr(compiled, "standalone", not os.path.isfile(file)):
        outer = os.path.abspath(system.orig_argv[0])
        inner = getattr(compiled, "process_exe", None) or outer
        return Host("Nuitka", outer if getattr(compiled, "onefile", False) else inner, inner, python)
    return Host("", file, file, python)


def here() -> Host:
    """The program that runs this code."""
    if _Started.host is not None and _Started.host.frozen:
        return _Started.host
    main = sys.modules.get("__main__")
    return host(sys, globals().get("__compiled__") or getattr(main, "__compiled__", None))


def note_start() -> Host:
    """Keep what the program is now, for all its life; masters may start it as a child from here on."""
    _Started.host = here()
    return _Started.host


def interpreter(found: Host, is_file: Callable[[str], bool] = os.path.isfile) -> str:
    """The interpreter that runs modules for this program; ConfigError where there is none.

    A file that is not there now is named all the same: it may be one that is being replaced.
    """
    if found.frozen:
        problem = f"this program was frozen by {found.frozen} and has no 'python -m'"
        raise ConfigError("sys.executable", problem, f"Do this with an ordinary Python instead ({HOW}).")
    remedy = "Set sys.executable to this environment's Python before anything of pysubtask is made"
    remedy += f" (sys.executable = {found.python!r})." if is_file(found.python) else "."
    if not found.file:
        raise ConfigError("sys.executable", "it is empty: this interpreter does not know its own program", remedy)
    if is_python(found.file) or not is_file(found.file):
        return found.file
    # The interpreter is part of another program (uWSGI, an editor): that one must never be started.
    if is_file(found.python):
        return found.python
    raise ConfigError("sys.executable", f"{found.file} is not a Python but the program that has one built in", remedy)


def is_python(file: str) -> bool:
    """Whether a program is an interpreter, by its name or that of the file that it is a link to."""
    return any(os.path.basename(path).lower().startswith(_NAMES) for path in (file, os.path.realpath(file)))


def child_words(found: Host, module: str, supported: bool, is_file: Callable[[str], bool] = os.path.isfile) -> list[str]:
    """The command line that runs ``module`` as a child, without the module's own arguments.

    -P keeps the working folder out of the search for modules: it may well be the folder the data is written to.
    ConfigError where that would not be a child. ``supported``: freeze_support was called.
    """
    if not found.frozen:
        return [interpreter(found, is_file), "-P", "-m", module]
    if not supported:
        problem = f"it was not called, and in a program frozen by {found.frozen} only that makes a child"
        remedy = "Make 'import pysubtask; pysubtask.freeze_support()' the first lines of the program's main"
        raise ConfigError("pysubtask.freeze_support()", problem, f"{remedy} ({HOW}).")
    return [found.file, CHILD + module]


def is_taken_for_python(argv: Sequence[str]) -> bool:
    """Whether this program was started with the words of a child and did not become one: then it is no Python, whatever it
    is called, and what it starts would be this program again, without end. An interpreter keeps '-m' out of ``sys.argv``."""
    if "--handoff" not in argv:
        return False
    at = argv.index("--handoff")
    return at > 1 and argv[at - 2] == "-m"


def start_words(module: str) -> list[str]:
    """``child_words`` of this program, as it is now. ConfigError where it was itself started by such words."""
    if is_taken_for_python(sys.argv):
        problem = f"{sys.executable or sys.argv[0]} was started as a child and ran as the app again: it is not a Python"
        remedy = "Make 'import pysubtask; pysubtask.freeze_support()' the first lines of the program's main, or set sys.executable"
        raise ConfigError("sys.executable", problem, f"{remedy} to this environment's Python ({HOW}).")
    return child_words(here(), module, _Started.host is not None)


def again_words(found: Host, original: Sequence[str]) -> list[str]:
    """The program and arguments by which a child replaces itself; ``original`` is sys.orig_argv."""
    return [found.inner if found.frozen else interpreter(found), *original[1:]]


def asked(argv: Sequence[str]) -> str:
    """The module that a frozen program was started to run as a child; '' where it was started for itself."""
    first, second = (*argv[1:3], "", "")[:2]
    return first.removeprefix(CHILD) if first.startswith(CHILD) and second == "--handoff" else ""


def outside(found: Host, environment: Mapping[str, str]) -> dict[str, str]:
    """The environment for another program: without what the start of a frozen program put in.

    PyInstaller has its libraries found first by LD_LIBRARY_PATH and keeps the user's own value beside it; ssh must
    not get the bundle's libraries.
    """
    if not found.frozen:
        return dict(environment)
    kept = {key: value for key, value in environment.items() if not key.startswith(_PREFIXES)}
    if found.frozen == "PyInstaller":
        for key in _SEARCH_PATHS:
            users = kept.pop(key + _SAVED, None)
            kept.pop(key, None)
            if users is not None:
                kept[key] = users
    return kept


def for_others(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """``outside`` of this program, without the variables that may hold a secret of this package: another program has no use for
    them, and may hand them on (ssh's SendEnv, a report of an error)."""
    from .config import is_secret  # the first line of a frozen app loads this module, and nothing more

    found = outside(here(), environment)
    return {key: value for key, value in found.items() if not (key.startswith("PYSUBTASK_") and is_secret(key))}


def for_child(found: Host, environment: Mapping[str, str], folders: Sequence[str]) -> dict[str, str]:
    """The child's environment: the app's, with ``folders`` in front of its PYTHONPATH; of a frozen app, as it was started.

    A one-file child unpacks for itself: the app's files are removed when the app ends, and a child may outlive it.
    """
    variables = outside(found, environment)
    if found.frozen:
        return {**variables, "PYINSTALLER_RESET_ENVIRONMENT": "1", "PYINSTALLER_SUPPRESS_SPLASH_SCREEN": "1"}
    parts = [*folders, *filter(None, [variables.get("PYTHONPATH")])]
    return {**variables, **({"PYTHONPATH": os.pathsep.join(parts)} if parts else {})}
