"""The command line of a child: ``python -m pysubtask.base``, ``python -m pysubtask.ftp`` and ``python -m pysubtask.dropbox``.

A master gives its child everything through the hand-off (``--handoff``). The other options are for people who
start a child by hand. A password or token is never an option: a command line can be read by everybody on the machine.
"""

from __future__ import annotations

import argparse
import gc
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from ...common import effective_user, handoff, secret_file
from ...common.advice import keep_private
from ...common.cores import forbid_cores, holds_secret
from ...common.entries import Entry, first_folder, read_entries
from ...common.errors import ConfigError
from ...common.handoff import Handoff
from ...common.never_sent import of_task
from ...common.place import near
from ...common.plain import plain
from ...common.run_as import BY_HAND, BY_RUN, check_folders, check_process
from ...common.secret_file import NotPrivate
from ..base_subtask import BaseSubtask
from .child_process import ChildProcess
from .exit_status import EXIT_CONFIG

PASSWORD_VARIABLE = "PYSUBTASK_PASSWORD"
TOKEN_VARIABLES = {"RefreshToken": "PYSUBTASK_REFRESH_TOKEN", "AccessToken": "PYSUBTASK_ACCESS_TOKEN"}


class Plan(Protocol):
    """What a hand-off needs of a checked config."""

    @property
    def task(self) -> str:
        """The name of the task, as in registry and log lines."""

    @property
    def settings(self) -> dict[str, Any]:
        """The settings of the child by their keys, checked and complete."""

    @property
    def burst(self) -> dict[str, Any]:
        """The rules of the burst mode, as the hand-off has them."""

    @property
    def state_dir(self) -> str:
        """Absolute path of the state folder."""

    @property
    def bak_dir(self) -> str | None:
        """Absolute path of the folder of the snapshots; None where the data files themselves are sent."""

    @property
    def label(self) -> str:
        """The task as people know it."""

    @property
    def own(self) -> Mapping[str, str]:
        """Files that are never sent, each with the reason (this program's files, secrets)."""

    @property
    def state_why(self) -> str:
        """Why the state is kept outside the watched folder; empty where it is inside."""

    @property
    def state_elsewhere(self) -> tuple[str, ...]:
        """State folders that this task may have used before, whose queue is moved to ``state_dir``."""


Planner = Callable[[str, str, Any, str], Plan]
"""(extension, module, config, first folder) -> the checked plan of a child."""


def run(subtask: type[BaseSubtask], extension: str, plan: Planner, argv: Sequence[str] | None = None) -> int:
    """Be a child until stopped; the exit status: 0 stopped, 1 failed, 2 wrong settings, 3 another child has the lock."""
    parser = make_parser(extension)
    args = parser.parse_args(argv)
    if extension == "dropbox" and args.store is not None and not args.login:
        parser.error("--store goes with --login")
    if extension == "dropbox" and args.login:
        from ...transports.dropbox.login import login

        return login(args.AppKey, args.store, args.Proxy, args.CAFile)
    _forget_the_apps_signals()
    try:
        task_handoff = handoff.read() if args.handoff else by_hand(args, extension, plan)
        if holds_secret(task_handoff.settings):
            forbid_cores()
        if not args.handoff:
            _check_folder(task_handoff.entries)
            check_process([task_handoff.settings["RunAs"]])
        check_folders(task_handoff.entries, BY_RUN if args.handoff else BY_HAND)
        effective_user.keep()
        _collect_less()
        return ChildProcess(subtask(task_handoff)).run()
    except ConfigError as exc:
        print(f"pysubtask: {plain(str(exc))}", file=sys.stderr)  # noqa: T201 - a message of the command line
        return EXIT_CONFIG


def _collect_less() -> None:
    """Collect garbage less often. Objects loaded by now stay to the end, and an upload leaves no reference cycles: collecting as
    often as Python does by default would be a tenth of the work for a small file."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_GARBAGE, 20, 20)


def _forget_the_apps_signals() -> None:
    """Undo signal settings of the app: it may block signals or ignore the end of its children, and both outlive the exec that
    started this process."""
    if sys.platform != "win32":
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGQUIT, signal.SIG_DFL)  # a guard, which is a shell, has it ignored
        # A stop signal may be pending already; the child unblocks it once its handlers are installed.
        signal.pthread_sigmask(signal.SIG_SETMASK, [signal.SIGTERM])


def make_parser(extension: str) -> argparse.ArgumentParser:
    """The options of a child's command line, those of version 1 among them."""
    parser = argparse.ArgumentParser(
        prog=f"python -m pysubtask.{extension}",
        description="Watch data files and "
        + ("upload each one that is notified." if extension in _EPILOGS else "log each one that is notified.")
        + " Touch FILE.notify to notify FILE.",
        allow_abbrev=False,
        epilog=_EPILOGS.get(extension),
    )
    add = parser.add_argument
    add("--handoff", action="store_true", help="read everything from stdin, as a master gives it (not for people)")
    add("--label", metavar="LABEL", help="with --handoff: what tells children apart in a list of processes (it is not read)")
    add("-w", "-wf", "--watch-file-list", nargs="+", default=[], dest="files", metavar="FILE", help="data files to watch")
    add("-wd", "--watch-dir-list", nargs="+", default=[], dest="dirs", metavar="DIR", help="folders to watch for files")
    add("-task", "--task-name", dest="TaskName", metavar="NAME", help="name of the task (default: main)")
    add("-i", "--interval-secs", type=float, dest="TimerIntervalSecs", metavar="SECS", help="seconds between looks (default: 2)")
    add("-hb", "--heartbeat-interval-secs", type=float, dest="HeartbeatIntervalSecs", metavar="SECS", help="0 sends no heartbeat")
    add("-hbname", "--heartbeat-name", dest="HeartbeatName", metavar="NAME", help="name of the heartbeat file (default: host name)")
    add("-bakto", "--bak-to-folder", dest="BakToFolder", metavar="DIR", help="folder of the snapshots")
    add("-log", "--log-file", dest="Subtask_Log_FileName", metavar="FILE", help="log file")
    add("-noconsole", "--noconsole", action="store_true", dest="quiet", help="log to the file only")
    if extension == "ftp":
        _add_ftp(add)
    elif extension == "dropbox":
        _add_dropbox(add)
    return parser


def _add_ftp(add: Callable[..., object]) -> None:
    add("-host", "--hostname", dest="Host", metavar="HOST", help="the server")
    add("-port", "--port", type=int, dest="HostPort", metavar="PORT", help="its port (default: 22, with FTP 21)")
    add("-path", "--path", dest="HostPath", metavar="DIR", help="folder on the server")
    add("-u", "--user", "--username", dest="User", metavar="NAME", help="login name")
    add("-key", "--key-file", dest="KeyFile", metavar="FILE", help="private key")
    add("-hostkey", "--host-key", dest="HostKey", metavar="SHA256:...", help="the server's pinned key")
    add("-x", "--dead-time", "--expired-time", type=float, dest="DeadTimeMilli", metavar="MS", help="quiet time until it rests")
    add("-sftp", "--sftp", type=_switch, dest="UseSFTP", metavar="True|False", help="True: SFTP (default); False: FTP")
    add("-tls", "--tls", dest="UseTLS", choices=("explicit", "implicit"), help="FTPS (with --sftp False)")
    add("-ca", "--ca-file", dest="CAFile", metavar="FILE", help="FTPS: certificates that may vouch for the server's")
    add("-pin", "--tls-fingerprint", dest="TLSFingerprint", metavar="HEX", help="FTPS: SHA-256 of the server's own certificate")
    add("-p", "--password", type=_no_password, help=argparse.SUPPRESS)
    add("--password-file", metavar="FILE", help="file whose first line is the password; only you may be able to read it")


def _add_dropbox(add: Callable[..., object]) -> None:
    add("--login", action="store_true", help="log in to Dropbox, show the lines for the config, and end")
    add("--store", metavar="FILE", help="with --login: write the token to FILE, for you alone, and do not show it")
    add("--app-key", dest="AppKey", metavar="KEY", help="app key of your Dropbox app")
    add("--refresh-token-file", dest="RefreshTokenFile", metavar="FILE", help="the file that --login --store has made")
    add("-path", "--path", dest="HostPath", metavar="DIR", help="folder in Dropbox")
    add("-x", "--dead-time", "--expired-time", type=float, dest="DeadTimeMilli", metavar="MS", help="quiet time until it rests")
    add("--proxy", type=_proxy, dest="Proxy", metavar="URL", help="http://host:port (default: what HTTPS_PROXY says)")
    add("-ca", "--ca-file", dest="CAFile", metavar="FILE", help="certificates (PEM) that may vouch for Dropbox")
    add("-dtoken", "--dtoken", type=_no_token, help=argparse.SUPPRESS)


_GARBAGE = 10_000  # container objects allocated between two collections
_BASE_KEYS = ("TaskName", "TimerIntervalSecs", "HeartbeatIntervalSecs", "HeartbeatName", "BakToFolder", "Subtask_Log_FileName")
_FTP_KEYS = (
    "Host",
    "HostPort",
    "HostPath",
    "User",
    "KeyFile",
    "HostKey",
    "DeadTimeMilli",
    "UseSFTP",
    "UseTLS",
    "CAFile",
    "TLSFingerprint",
)
_DROPBOX_KEYS = ("AppKey", "RefreshTokenFile", "HostPath", "DeadTimeMilli", "Proxy", "CAFile")
_EPILOGS = {
    "ftp": f"A password comes from the environment ({PASSWORD_VARIABLE}) or from --password-file, never from an option.",
    "dropbox": f"A token comes from --refresh-token-file or from the environment ({' or '.join(TOKEN_VARIABLES.values())}), "
    "never from an option.",
}


def by_hand(args: argparse.Namespace, extension: str, plan: Planner) -> Handoff:
    """The hand-off of a child that a person starts. Raises ConfigError."""
    entries: list[Entry] = read_entries([*({"file": path} for path in args.files), *({"dir": path} for path in args.dirs)])
    given = {key: value for key, value in vars(args).items() if value is not None}
    config: dict[str, Any] = {"base": {key: given[key] for key in _BASE_KEYS if key in given}}
    if extension == "ftp":
        section = {key: given[key] for key in _FTP_KEYS if key in given}
        password = _password(args.password_file)
        config["ftp"] = {**section, "UseFTP": True} | ({"Password": password} if password else {})
    elif extension == "dropbox":
        tokens = {key: os.environ.pop(name, None) for key, name in TOKEN_VARIABLES.items()}
        section = {key: given[key] for key in _DROPBOX_KEYS if key in given}
        config["dropbox"] = {**section, "UseDropbox": True} | {key: token for key, token in tokens.items() if token}
    planned = plan(extension, f"pysubtask.{extension}", config, first_folder(entries))
    log_file = planned.settings["Subtask_Log_FileName"]
    own = dict(planned.own)
    if extension == "ftp" and args.password_file is not None:
        own[os.path.abspath(args.password_file)] = "named by --password-file"
    guard = of_task(own, entries)
    for entry in entries:
        if entry.kind == "file" and (why := guard.why_named(entry.path)):
            raise ConfigError("-w", f"{entry.path} is never sent: it is {why}", "Leave it out; name the files with your data.")
    return Handoff(
        planned.task,
        extension,
        f"pysubtask.{extension}",
        entries,
        planned.settings,
        planned.burst,
        planned.state_dir,
        planned.bak_dir,
        None if log_file is None else os.path.abspath(log_file),
        not args.quiet,
        None,
        None,
        [],
        label=planned.label,
        own=own,
        state_why=planned.state_why,
        state_elsewhere=planned.state_elsewhere,
    )


def _check_folder(entries: Sequence[Entry]) -> None:
    """Raise ConfigError where there is no folder for the state: a person at the command line gets the error at once, while a
    child of a master waits."""
    folder = first_folder(entries)
    if entries and not os.path.isdir(folder):
        raise ConfigError(
            "-wd" if entries[0].kind == "dir" else "-w",
            f"there is no folder {folder}{near(folder)}",
            "Name the folder that the data is in, or make it before.",
        )


def _password(path: str | None) -> str | None:
    if path is None:
        return os.environ.pop(PASSWORD_VARIABLE, None)
    try:
        return secret_file.first_line(secret_file.read(path))
    except NotPrivate as exc:
        if exc.is_foreign:
            raise ConfigError("--password-file", f"{path} belongs to another user", "Name a text file of yours.") from exc
        raise ConfigError("--password-file", f"{path} can be read by others", f"Run: {keep_private(path)}") from exc
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError("--password-file", f"{path} cannot be read ({exc})", "Name a text file of yours.") from exc


def _no_password(text: str) -> str:
    """Reject an option of version 1. The error does not repeat its value, which is a secret."""
    raise argparse.ArgumentTypeError(f"a password is never an option: use {PASSWORD_VARIABLE} or --password-file")


def _no_token(text: str) -> str:
    """Reject an option of version 1. The error does not repeat its value, which is a secret."""
    words = " or ".join(TOKEN_VARIABLES.values())
    raise argparse.ArgumentTypeError(f"a token is never an option: use {words} or --refresh-token-file (--login --store makes one)")


def _proxy(text: str) -> str:
    if "@" in text:
        raise argparse.ArgumentTypeError("a password is never an option: put the whole URL into the environment (HTTPS_PROXY)")
    return text


def _switch(text: str) -> bool:
    words = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    if text.lower() not in words:
        raise argparse.ArgumentTypeError(f"{text!r} is neither True nor False")
    return words[text.lower()]
