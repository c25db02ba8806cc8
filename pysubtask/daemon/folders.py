"""Where the files of daemons are: what lives as long as the machine runs, what is kept, and who is there."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from ..common import own_folders, registry
from ..common.errors import ConfigError

NAME = re.compile(r"[A-Za-z0-9_.-]{1,63}")
RESERVED = ("state", "reply", "want", "_all")
"""Names that no daemon has: the fleet's topics have them."""
SOCKET = "socket"
DESCRIPTION = "describe.json"
JOURNAL = "calls.jsonl"


def check_name(name: object) -> str:
    """The name of a daemon. ConfigError where it cannot be one."""
    if not isinstance(name, str) or NAME.fullmatch(name) is None or name.startswith("."):
        raise ConfigError(
            "name", f"{name!r} cannot be the name of a daemon", "Give 1 to 63 letters, digits, '_', '-' and '.', no '.' first."
        )
    if name in RESERVED:
        raise ConfigError("name", f"{name!r} is reserved", f"Give another one than {', '.join(RESERVED)}.")
    return name


def runtime_base(environ: Mapping[str, str] = os.environ) -> str:
    """The folder for what lives as long as the machine runs: ``$RUNTIME_DIRECTORY`` (of a systemd unit), ``pysubtask`` in
    ``$XDG_RUNTIME_DIR``, else ``/tmp/pysubtask-UID``."""
    unit = environ.get("RUNTIME_DIRECTORY", "").split(":")[0]
    if unit:
        return os.path.realpath(unit)
    user = environ.get("XDG_RUNTIME_DIR", "")
    if user and os.path.isdir(user):
        return os.path.join(os.path.realpath(user), "pysubtask")
    import tempfile

    temporary = "/tmp" if os.path.isdir("/tmp") else tempfile.gettempdir()
    return os.path.join(os.path.realpath(temporary), f"pysubtask-{os.geteuid() if hasattr(os, 'geteuid') else os.getlogin()}")


def make_runtime(name: str, environ: Mapping[str, str] = os.environ) -> str:
    """Make the folder of a daemon for what lives as long as the machine runs; its path. Raises OSError, NotOurs where somebody else
    has made it."""
    base = runtime_base(environ)
    own_folders.make_folder(base)
    place = os.path.join(base, name)
    own_folders.make_folder(place, deep=False)
    return place


def kept_folder() -> str:
    """Make the folder for what daemons keep; its path. Raises OSError."""
    return registry.make_folder("kept")


def records_folder() -> str:
    """The path of the folder with a record and a lock for each daemon."""
    return os.path.join(os.path.realpath(registry.folder()), "daemons")
