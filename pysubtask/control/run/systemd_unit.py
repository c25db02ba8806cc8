"""A systemd unit for a config: pure, from tasks to text. See systemd.service(5), systemd.exec(5)."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from ...common import registry
from ...common.entries import first_folder

if TYPE_CHECKING:
    from ..config.task_config import TaskConfig

GENERATED_BY = "# Made by 'pysubtask service'"
WATCHDOG_SECS = 30
_STOP_MARGIN_SECS = 20
_HOOKS_SECS = 300
"""The start and stop timeout of a MODULE:CLASS, whose hooks may take long; systemd's default of 90 s would kill them."""
_SHARED_TMP = ("/tmp", "/var/tmp")
# Restrictions that need no privileges, so that a user's own manager can apply them too.
_ANYWHERE = (
    "LimitCORE=0",
    "NoNewPrivileges=yes",
    "RestrictSUIDSGID=yes",
    "RestrictRealtime=yes",
    "LockPersonality=yes",
    "SystemCallArchitectures=native",
    "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6",
)
_BY_ROOT = (
    "PrivateDevices=yes",
    "ProtectClock=yes",
    "ProtectHostname=yes",
    "ProtectKernelLogs=yes",
    "ProtectKernelModules=yes",
    "ProtectKernelTunables=yes",
    "ProtectControlGroups=yes",
    "RestrictNamespaces=yes",
    # No PrivateUsers: it maps every other user to nobody, and the owners of files are checked.
    "ProtectProc=invisible",
    "PrivateMounts=yes",
    # pidfd_getfd reads the byte counts of the TCP connection that the ssh program holds.
    "SystemCallFilter=@system-service pidfd_getfd",
)
# Root without capabilities could not read the files of other users.
_OF_ROOT = "CAP_CHOWN CAP_DAC_OVERRIDE CAP_DAC_READ_SEARCH CAP_FOWNER CAP_KILL CAP_SETGID CAP_SETUID"


class Service(NamedTuple):
    """What a unit is written from. ``name``: of the service, without ``.service``; ``config``: what ``pysubtask run`` is given;
    ``names``: the tasks of the config that it runs (none: all). ``user``: whose rights it has ('' in that user's own manager),
    ``home``: the home of the user; ``registry``: the folder where commands find the tasks of the user. ``program``: the words that
    start Python with the package. ``group``: '' for the user's own. ``is_homeless``: the registry is where the service keeps its
    state, as the user has no home."""

    name: str
    config: str
    names: tuple[str, ...]
    user: str
    home: str
    registry: str
    program: tuple[str, ...]
    group: str = ""
    is_homeless: bool = False


def unit(service: Service, tasks: Sequence[TaskConfig]) -> str:
    """The text of the unit for tasks of a config."""
    watched = list(
        dict.fromkeys(
            entry.path if entry.kind == "dir" else os.path.dirname(entry.path) for task in tasks for entry in task.entries
        )
    )
    stop = max(plan.settings["StopWaitSecs"] for task in tasks for plan in task.plans)
    shared = any(plan.settings["StatusGroup"] is not None for task in tasks for plan in task.plans)
    head = f"{GENERATED_BY} from {_plain(service.config)}; make it again when the config names other folders or secrets."
    more = (*(word for name in service.names for word in ("--task", name)),)
    return _text(
        service,
        head,
        f"pysubtask: {_plain(', '.join(task.name for task in tasks))}",
        watched,
        more,
        (
            f"WorkingDirectory=%S/{service.name}",
            f"TimeoutStopSec={int(stop) + _STOP_MARGIN_SECS}",
            *(f"LoadCredential={_plain(name)}:{_plain(path)}" for name, path in credentials(tasks)),
        ),
        _sandbox(service, tasks, watched),
        shared,
    )


def unit_of_program(service: Service, folder: str, writable: Sequence[str]) -> str:
    """The text of the unit for a MODULE:CLASS (``service.config``) that is found from ``folder``. The service may write to that
    folder and to those in ``writable``."""
    folders = list(dict.fromkeys([folder, *writable]))
    head = f"{GENERATED_BY} from {_plain(service.config)} in {_plain(folder)}; make it again when it is to write other folders."
    return _text(
        service,
        head,
        f"pysubtask: {_plain(service.config)}",
        folders,
        (),
        (
            f"WorkingDirectory={quoted(folder)}",
            # For the socket and page of a named daemon: clients outside of the service see no private /tmp.
            f"RuntimeDirectory={service.name}",
            "RuntimeDirectoryMode=0700",
            "RuntimeDirectoryPreserve=yes",
            f"TimeoutStartSec={_HOOKS_SECS}",
            f"TimeoutStopSec={_HOOKS_SECS}",
        ),
        _closed_off(service, folders, _of_registry(service)),
        False,
    )


def _text(
    service: Service,
    head: str,
    description: str,
    mounts: Sequence[str],
    more: Sequence[str],
    own: Sequence[str],
    sandbox: Sequence[str],
    shared: bool,
) -> str:
    """``more``: further words of the command; ``own``: lines that differ from unit to unit; ``shared``: a group sees a task."""
    words = [*service.program, "run", service.config, *more]
    lines = [
        head,
        "[Unit]",
        f"Description={description}",
        # A user's own manager has no network-online.target: the service would never start, or systemd would complain.
        *(["Wants=network-online.target", "After=network-online.target"] if service.user else []),
        f"RequiresMountsFor={' '.join(map(quoted, mounts))}",
        "StartLimitIntervalSec=0",
        "",
        "[Service]",
        "Type=notify",
        "ExecStart=" + " ".join(quoted(word, command=True) for word in words),
        "ExecReload=/bin/kill -HUP $MAINPID",
        *([f"User={_plain(service.user)}"] if service.user else []),
        *([f"Group={_plain(service.group)}"] if service.group else []),
        f"StateDirectory={service.name}",
        # 0711: a StatusGroup may open the status page by its path, and still nobody else can list the folder.
        f"StateDirectoryMode={'0711' if shared else '0700'}",
        *own[:1],
        "UMask=0077",
        "# The filters below let this call pass: ssh's logins are faster by it, and what they cost is counted.",
        "Environment=PYSUBTASK_PIDFD_GETFD=1",
        *(
            [
                "# The user has no home of his own to keep the records in that commands find the tasks by.",
                f"Environment={quoted(f'{registry.VARIABLE}={service.registry}')}",
            ]
            if service.is_homeless
            else []
        ),
        "# The runner stops its children itself, and gives them time to deliver.",
        "KillMode=mixed",
        *own[1:],
        f"WatchdogSec={WATCHDOG_SECS}",
        "Restart=on-failure",
        "RestartSec=5",
        "# A wrong config does not get better by itself.",
        "RestartPreventExitStatus=2",
        "",
        "# What it may touch.",
        *sandbox,
        "",
        "[Install]",
        f"WantedBy={'multi-user' if service.user else 'default'}.target",
    ]
    return "\n".join(lines) + "\n"


def credentials(tasks: Iterable[TaskConfig]) -> list[tuple[str, str]]:
    """(name of the credential, path) of each secret file that the configs name; private keys are among them."""
    found = []
    for task in tasks:
        found += [(f"{task.name}.{key}", path) for key, path in sorted(task.secret_files.items())]
        key_file = task.config.get("ftp", {}).get("KeyFile")
        if key_file:
            found.append((f"{task.name}.ftp.KeyFile", key_file))
    return found


def _sandbox(service: Service, tasks: Sequence[TaskConfig], watched: Sequence[str]) -> list[str]:
    own = os.path.join(service.home, ".ssh")
    more = _of_registry(service)
    for task in tasks:
        for plan in task.plans:
            if plan.bak_dir is not None and not _is_in(plan.bak_dir, plan.state_dir):
                more.add(plan.bak_dir)
            if plan.settings["StateFolder"] is not None:
                more.add(plan.settings["StateFolder"])
            if task.archives:
                more.add(os.path.normpath(os.path.join(first_folder(task.entries), plan.settings["ArchiveToFolder"])))
            logs = (plan.settings[key] for key in ("Master_Log_FileName", "Subtask_Log_FileName"))
            more |= {os.path.dirname(log) for log in logs if log is not None and os.path.isabs(log)}
            if plan.settings.get("HostKeyPolicy") == "accept-new" and plan.extension == "ftp":
                known = plan.settings["KnownHostsFile"]
                more.add(os.path.dirname(known) if known else own)
    return _closed_off(service, watched, more)


def _of_registry(service: Service) -> set[str]:
    """The folder of the records, and beside it the folder for the state of tasks that were run by hand first and whose watched
    folder others may write."""
    return {service.registry, os.path.join(os.path.dirname(service.registry), "state")}


def _closed_off(service: Service, watched: Sequence[str], more: Iterable[str]) -> list[str]:
    """The lines that restrict the service: it may write to the ``watched`` folders, and to those of ``more`` that exist."""
    if not service.user:
        return ["# (A user's own manager may not close off the file system.)", *_ANYWHERE]
    # With a minus sign systemd starts the service even where the path does not exist.
    rest = sorted(path for path in more if not any(_is_in(path, folder) for folder in watched))
    shared = any(_is_in(path, folder) for path in (*watched, *rest) for folder in _SHARED_TMP)
    return [
        "ProtectSystem=strict",
        "ProtectHome=read-only",
        *(f"ReadWritePaths={quoted(path)}" for path in watched),
        *(f"ReadWritePaths=-{quoted(path)}" for path in rest),
        *(
            ["# Files in the common /tmp are watched, so it cannot be one of its own.", "PrivateTmp=no"]
            if shared
            else ["PrivateTmp=yes"]
        ),
        *_ANYWHERE,
        f"CapabilityBoundingSet={_OF_ROOT if service.user == 'root' else ''}",
        *_BY_ROOT,
    ]


def quoted(word: str, *, command: bool = False) -> str:
    """A word quoted for a unit, by systemd.syntax(7): a percent sign begins a specifier, and in a command a dollar sign a
    variable."""
    text = _plain(word)
    if command:
        text = text.replace("$", "$$")
    if any(sign in text for sign in " \t\"'\\;"):
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return text


def _plain(text: str) -> str:
    """Text for one line of a unit: unprintable characters become ``?``, and percent signs are doubled."""
    return "".join(sign if sign.isprintable() else "?" for sign in text).replace("%", "%%")


def _is_in(path: str, folder: str) -> bool:
    return f"{path}/".startswith(f"{folder.rstrip('/')}/")


def unquoted(text: str) -> str:
    """The inverse of :func:`quoted`, for printable words outside a command."""
    if text.startswith('"') and text.endswith('"') and len(text) > 1:
        text = re.sub(r"\\(.)", r"\1", text[1:-1])
    return text.replace("%%", "%")


def words_of(text: str) -> list[str]:
    """The words of a line of a unit, each without the quoting of :func:`quoted`."""
    return [unquoted(word) for word in re.findall(r'"(?:[^"\\]|\\.)*"|\S+', text)]
