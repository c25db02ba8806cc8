"""What a master tells the process that alerts: a JSON text in a file that has no name, given to it as its stdin.

The command of a user may hold a secret, as the address of a hook, so nothing of it is ever in an argv or an environment.
"""

import json
import os
from typing import Any, NamedTuple

from .errors import ConfigError
from .handoff import nameless

MODULE = "pysubtask.alerts"
"""What runs it."""
_FORMAT = 1
_LONGEST = 1024 * 1024  # bytes; far above any real one, so that a wrong stdin is not read without end
_REMEDY = "This process is started by a master; 'pysubtask alerts test' tries the command."


class Watched(NamedTuple):
    """One child of the task: ``task``, ``extension``, ``state_dir``, ``label``, ``folder`` and ``config_file`` as in a record of
    the registry (see :class:`~pysubtask.common.registry.Record`)."""

    task: str
    extension: str
    state_dir: str
    label: str
    folder: str
    config_file: str


class AlertHandoff(NamedTuple):
    """``settings``: the section ``alerts``. ``children``: the children to watch. ``log_file``: absolute path of the log, None for
    no file; ``log_to_console``: whether lines go to the console, too; ``log``: the settings LogFormat, LogMaxBytes, LogKeep and
    LogLevel. ``master_pid`` and ``master_start``: see ``process_start``. ``python_path``: PYTHONPATH of the app, None where it
    was not set."""

    settings: dict[str, Any]
    children: list[Watched]
    log_file: str | None
    log_to_console: bool
    log: dict[str, Any]
    master_pid: int
    master_start: str
    python_path: str | None

    def __repr__(self) -> str:
        return f"AlertHandoff({self.children!r}, master_pid={self.master_pid})"


def write(handoff: AlertHandoff) -> int:
    """A descriptor of a nameless file that holds it; the caller closes it. OSError where none can be made."""
    fields = {**handoff._asdict(), "format": _FORMAT, "children": [child._asdict() for child in handoff.children]}
    return nameless(json.dumps(fields, ensure_ascii=True).encode("ascii"))


def read(fd: int = 0) -> AlertHandoff:
    """The hand-off in this descriptor. ConfigError where it holds anything else (the ValueError of another format becomes one)."""
    try:
        os.lseek(fd, 0, os.SEEK_SET)
        fields = json.loads(os.read(fd, _LONGEST))
        if fields.pop("format") != _FORMAT:
            raise ValueError("another format")
        fields["children"] = [Watched(**child) for child in fields["children"]]
        return AlertHandoff(**fields)
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as exc:
        # The error's own text may quote the contents: it is left out, and not chained.
        raise ConfigError("handoff", f"stdin does not hold one ({type(exc).__name__})", _REMEDY) from None
