"""Lets a frozen app (PyInstaller, Nuitka, cx_Freeze) serve as its own child: see docs/frozen-apps.md."""

from __future__ import annotations

import sys
from importlib import import_module, util

from .common import program

__all__ = ["freeze_support"]

_DOORS = ("pysubtask.base", "pysubtask.ftp", "pysubtask.dropbox", "pysubtask.alerts")
_EXIT_CONFIG = 2


def freeze_support() -> None:
    """Make a frozen program serve as the child of its masters. Call it in the first line of the program's main.

    Where a master has started the program, this is that child: it does not return, and raises SystemExit at its end.
    In any other case, an ordinary Python among them, it returns at once. Without
    it a master in a frozen program raises ConfigError.
    """
    found = program.note_start()
    if not found.frozen and not program.is_taken_for_python(sys.argv):
        return
    module = program.asked(sys.argv)
    if not module and program.is_taken_for_python(sys.argv):  # a program that nobody knew to be frozen
        at = sys.argv.index("--handoff")
        module, sys.argv[1:at] = sys.argv[at - 1], [""]
    if module:
        del sys.argv[1]
        sys.exit(_run(module))


def _run(module: str) -> int | None:
    """Run a child's module as ``python -m`` would; the exit status."""
    try:
        if module in _DOORS:
            status: int | None = import_module(module).main()
            return status
        spec = util.find_spec(module)
        if hasattr(getattr(spec, "loader", None), "get_code"):
            import runpy

            runpy.run_module(module, run_name="__main__", alter_sys=True)
            return 0
        return _run_compiled(module)
    except ModuleNotFoundError as exc:
        print(f"pysubtask: this program has no module {exc.name}: see {program.HOW}", file=sys.stderr)  # noqa: T201
        return _EXIT_CONFIG


def _run_compiled(module: str) -> int | None:
    """Nuitka has nothing to run as ``__main__``: the module's own subtask is run by the door that it is made for."""
    from .subtask.base_subtask import BaseSubtask
    from .subtask.upload_subtask import UploadSubtask

    loaded = import_module(module)
    own = [
        thing
        for thing in vars(loaded).values()
        if isinstance(thing, type) and issubclass(thing, BaseSubtask) and thing.__module__ == module
    ]
    own = [one for one in own if not any(one is not other and issubclass(other, one) for other in own)]
    if len(own) != 1:
        print(f"pysubtask: {module} has {len(own)} subtasks of its own, one is needed: see {program.HOW}", file=sys.stderr)  # noqa: T201
        return _EXIT_CONFIG
    door = "base"
    if issubclass(own[0], UploadSubtask):
        door = "dropbox" if own[0].transport == "dropbox" else "ftp"
    status: int | None = import_module(f"pysubtask.{door}").main(own[0])
    return status
