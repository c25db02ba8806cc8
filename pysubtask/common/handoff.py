"""Settings to the child: a JSON text in a file that has no name, given to it as its stdin.

Nothing of it is ever in an argv, an environment or a folder, and it can be read again: a child that
replaces itself by exec finds it where it was.
"""

import json
import os
import sys
from collections.abc import Mapping
from typing import Any, NamedTuple

from .config import masked
from .entries import Entry, from_json, to_json
from .errors import ConfigError
from .redact import know_settings

_FORMAT = 1
_LONGEST = 256 * 1024 * 1024  # bytes; far above any real list, so that a wrong stdin is not read without end
_REMEDY = "A child gets this from its master; to start one by hand, leave --handoff out (see --help)."


class Handoff(NamedTuple):
    """The settings and the state that a child gets from its master at its start.

    ``entries``: what is watched. ``log_file``: absolute path of the child's log, None for no file; ``log_to_console``: whether
    lines go to the console, too. ``task`` and ``extension`` ('base', 'ftp', 'dropbox' or a name of one's own) name the child,
    ``module`` is what runs it. ``settings`` are resolved and flat, secrets included; ``burst`` the burst_mode values.
    ``state_dir`` and ``bak_dir`` are absolute folders (``bak_dir`` None: live files are uploaded). ``master_pid`` and
    ``master_start`` are the master's identity (see ``process_start``), None by hand. ``residual``: paths of files of earlier runs
    to deliver too. ``owns_heartbeat``: of several children one keeps the local heartbeat file. ``mark``: fingerprint of the
    settings; the child repeats it in its status, so that a master knows which settings that was written under. ``left_out``:
    absolute paths of what is not watched where it lies inside a recursive folder. ``label``: what people call the task.
    ``config_file``: the file its config was read from, '' for an app's own. ``own``: files that are no data wherever they are
    found (absolute path -> what it is), see ``never_sent``. ``state_why``: why the state is not kept in the first folder, ''
    where it is; ``state_elsewhere``: other state folders that may hold a queue of this child. ``log_lines``: the master reads the
    lines of its log, see ``app_log``.
    """

    task: str
    extension: str
    module: str
    entries: list[Entry]
    settings: dict[str, Any]
    burst: dict[str, Any]
    state_dir: str
    bak_dir: str | None
    log_file: str | None
    log_to_console: bool
    master_pid: int | None
    master_start: str | None
    residual: list[str]
    owns_heartbeat: bool = True
    mark: str = ""
    left_out: tuple[str, ...] = ()
    label: str = ""
    config_file: str = ""
    own: Mapping[str, str] = {}
    state_why: str = ""
    state_elsewhere: tuple[str, ...] = ()
    log_lines: bool = False

    def __repr__(self) -> str:
        fields = self._asdict() | {"settings": masked(self.settings)}
        return f"Handoff({', '.join(f'{key}={value!r}' for key, value in fields.items())})"


_KINDS: dict[str, tuple[type, ...]] = {
    "task": (str,),
    "extension": (str,),
    "module": (str,),
    "entries": (list,),
    "settings": (dict,),
    "burst": (dict,),
    "state_dir": (str,),
    "bak_dir": (str, type(None)),
    "log_file": (str, type(None)),
    "log_to_console": (bool,),
    "master_pid": (int, type(None)),
    "master_start": (str, type(None)),
    "residual": (list,),
    "owns_heartbeat": (bool,),
    "mark": (str,),
    "left_out": (list,),
    "label": (str,),
    "config_file": (str,),
    "own": (dict,),
    "state_why": (str,),
    "state_elsewhere": (list,),
    "log_lines": (bool,),
}
_LATER: dict[str, Any] = {"own": {}, "state_why": "", "state_elsewhere": [], "log_lines": False}
"""What a hand-off of a version before does not have: a child that replaces itself reads the one it was started with."""


def write(handoff: Handoff) -> int:
    """A descriptor of a nameless file that holds the hand-off; the caller closes it.

    Memory where the system offers that (memfd), else an unlinked temporary file of mode 0600.
    OSError where neither can be made.
    """
    fields = handoff._asdict() | {"format": _FORMAT, "entries": to_json(handoff.entries)}
    # ASCII with escapes carries any file name, also one that is not valid UTF-8.
    return nameless(json.dumps(fields, ensure_ascii=True).encode("ascii"))


def nameless(data: bytes) -> int:
    """A descriptor, at its beginning, of a nameless file of these bytes; the caller closes it. OSError."""
    fd = _nameless_file()
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(fd, rest) :]
        os.lseek(fd, 0, os.SEEK_SET)
    except BaseException:
        os.close(fd)
        raise
    return fd


def read(fd: int = 0) -> Handoff:
    """The hand-off in this descriptor, read from its beginning; the descriptor stays open.

    ConfigError where it holds anything else.
    """
    try:
        os.lseek(fd, 0, os.SEEK_SET)
        parts, size = [], 0
        while block := os.read(fd, 1 << 20):
            parts.append(block)
            size += len(block)
            if size > _LONGEST:
                raise ConfigError("handoff", "stdin is too long to be one", _REMEDY)
        os.lseek(fd, 0, os.SEEK_SET)
    except OSError as exc:
        raise ConfigError("handoff", f"stdin cannot be read from its beginning ({exc.strerror})", _REMEDY) from exc
    try:
        fields = json.loads(b"".join(parts))
    except (ValueError, RecursionError) as exc:
        # The error's own text may quote the contents: it is left out, and not chained.
        raise ConfigError("handoff", f"stdin does not hold one ({type(exc).__name__})", _REMEDY) from None
    if type(fields) is not dict or fields.pop("format", None) != _FORMAT:
        raise ConfigError("handoff", "stdin does not hold one of this version", _REMEDY)
    fields = _LATER | fields
    for key, kinds in _KINDS.items():
        if type(fields.get(key, ...)) not in kinds:
            raise ConfigError(f"handoff.{key}", "it is missing or of a wrong type", _REMEDY)
    texts = [*fields["residual"], *fields["left_out"], *fields["own"].values(), *fields["state_elsewhere"]]
    if set(fields) != set(_KINDS) or not all(type(text) is str for text in texts):
        raise ConfigError("handoff", "it holds something unknown", _REMEDY)
    try:
        fields["entries"] = from_json(fields["entries"])
        fields["left_out"] = tuple(fields["left_out"])
        fields["state_elsewhere"] = tuple(fields["state_elsewhere"])
    except (LookupError, TypeError, ValueError) as exc:
        raise ConfigError("handoff.entries", f"they cannot be read ({type(exc).__name__})", _REMEDY) from exc
    know_settings(fields["settings"])
    return Handoff(**fields)


def _nameless_file() -> int:
    if sys.platform == "linux":
        try:
            fd = os.memfd_create("pysubtask-handoff", os.MFD_CLOEXEC)
            os.fchmod(fd, 0o600)
            return fd
        except (AttributeError, OSError):
            pass  # an old kernel or C library or a sandbox: the temporary file does as well
    import tempfile  # not for everybody: it costs as much as the rest of this module

    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
