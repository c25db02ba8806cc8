"""All checks of this machine. Those of its clock, processes, config, programs and versions stand here."""

from __future__ import annotations

import os
import platform
import re
import shutil
import stat
import subprocess
import threading
import time
from collections.abc import Callable, Iterable
from importlib import metadata
from typing import Any

from ... import __version__
from ...common import advice, clock, limits
from ...common.config import is_secret
from ...common.program import for_others
from ...common.run_as import BY_RUN, stranger
from . import inotify, state_folder, watch_paths
from .bbr import Read, read
from .finding import SKIP, Finding, fail, ok, warn
from .source import Target

_ROOM_FOR_A_CHILD = 16  # processes and threads: a child has about ten, and ssh some
_LIBRARIES = ("asyncssh", "dropbox", "pysftp", "pyfastcdc")


def check(
    targets: Iterable[Target],
    *,
    read: Read = read,
    wall: Callable[[], float] = time.time,
    disk: Callable[[str], Any] = shutil.disk_usage,
) -> list[Finding]:
    """All local checks, for all destinations. ``read`` reads files of /proc, ``disk`` is shutil.disk_usage; tests replace both."""
    targets = list(targets)
    found = [versions()]
    wrong = clock.blame(wall())
    if wrong:
        found.append(
            warn(
                "this clock",
                "clock-not-set",
                f"{wrong}, which cannot be right",
                commands=[advice.SET_CLOCK],
                words="Certificates look not yet valid or out of date, and files get wrong times. pysubtask goes on by "
                "itself when it is right.",
            )
        )
    found += processes(read)
    known = [target.entries for target in targets if target.entries is not None]
    entries = list(dict.fromkeys(entry for some in known for entry in some))
    if any(target.remembered for target in targets):
        found.append(Finding("watch paths", SKIP, "what is watched stands in the config, which was not read", "config-not-read"))
    elif not known:
        found.append(Finding("watch paths", SKIP, "the config names none: they are the app's own"))
    else:
        named = {entry.path for entry in entries}
        found += [watch_paths.check(entry, named) for entry in entries]
        found += inotify.check(entries, read)
        found += _rights(targets)
    for target in targets:
        found += [*config_file(target), state_folder.check(target), *state_folder.free_disk(target, disk)]
    return list(dict.fromkeys(found))


def _rights(targets: Iterable[Target]) -> list[Finding]:
    """For root alone: a folder over which a run as root is refused."""
    strange = stranger(entry for target in targets if target.settings.get("RunAs") is None for entry in target.entries or ())
    if strange is None:
        return []
    return [
        warn("rights", "folder-of-another-user", f"started by root it is refused: {strange.problem}", words=strange.remedy(BY_RUN))
    ]


def config_file(target: Target) -> list[Finding]:
    """Whether other users may read a Python config with a secret in it (a TOML config is refused then). Empty where they may
    not."""
    path = target.config_file
    secrets = [value for key, value in target.settings.items() if is_secret(key) and isinstance(value, str) and value]
    if path is None or not secrets or os.name != "posix":
        return []
    try:
        mode = os.stat(path).st_mode
        with open(path, encoding="utf-8", errors="replace") as file:
            text = file.read()
    except OSError:
        return []  # the config was loaded a moment ago, so its file is not the problem
    if not mode & 0o077 or not any(secret in text for secret in secrets):
        return []
    return [
        warn(
            "config",
            "config-open",
            f"{path} has a password in it and can be read by others (mode {stat.S_IMODE(mode):04o})",
            commands=[advice.keep_private(path)],
        )
    ]


def processes(read: Read = read) -> list[Finding]:
    """Whether the system can start another thread, and ``_ROOM_FOR_A_CHILD`` more: a child needs about ten, and ssh some. Empty
    where it can."""
    try:
        one = threading.Thread(target=int, name="probe", daemon=True)
        one.start()
        one.join()
    except RuntimeError as exc:
        if not limits.is_limit(exc):
            raise
        return [no_more(read)]
    near = [one for one in limits.limits(read) if one.used is not None and one.most - one.used < _ROOM_FOR_A_CHILD]
    if near:
        return [
            warn("processes", "process-limit-near", f"soon no more of them can be started: {near[0]}", words=f"{limits.REMEDY}.")
        ]
    return []


def no_more(read: Read = read) -> Finding:
    """The system cannot start a single thread more."""
    return fail("processes", "process-limit", limits.reached(read), words=f"{limits.REMEDY}.")


def versions() -> Finding:
    """The versions of every program and library that may matter in a bug report."""
    words = [f"pysubtask {__version__}", f"Python {platform.python_version()}", f"{platform.system()} {platform.release()}"]
    ssh = shutil.which("ssh")
    if ssh is not None:
        try:
            result = subprocess.run(
                [ssh, "-V"], stdin=subprocess.DEVNULL, capture_output=True, timeout=5, check=False, env=for_others()
            )
            version = re.match(r"\S*SSH_\S+", result.stderr.decode("utf-8", "replace"))  # other output is an error message
            words.append(version[0].rstrip(",") if version else "ssh does not start")
        except (OSError, subprocess.TimeoutExpired):
            words.append("ssh does not start")
    for name in _LIBRARIES:
        try:
            words.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            continue
    return ok("versions", ", ".join(words))
