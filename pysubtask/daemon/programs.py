"""The ``main`` of a person's own program: options, a log, one line instead of a traceback, and daemons that run till they end."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable, Sequence

from ..common import own_files
from ..common.errors import ConfigError, PysubtaskError
from ..common.logs import setup_logging
from ..common.plain import plain
from . import records
from .daemon import Daemon
from .host import Host
from .life import Life
from .settings import Settings

LEVELS = ("debug", "info", "warning", "error", "critical")
FAILED, USAGE, LOCKED = 1, 2, 5


def main(
    *kinds: type[Daemon],
    argv: Sequence[str] | None = None,
    settings: Callable[[], Settings] = Settings.of_environment,
    description: str = "",
) -> int:
    """Run daemons of these classes in this process and return the exit status: ``raise SystemExit(main(Dome))``.

    Options: ``--name`` (of a single one), ``--unique`` (a number is put behind a name that runs already), ``--set ITEM=VALUE``,
    ``-l``/``--log-level``, ``-lf``/``--log-file``, ``--pid-file``, ``--traceback``. ``config_variable``: the environment variable
    that names the config folder, whose values are in ``self.settings``. An error is one line on stderr.
    """
    parser = _parser(description or (kinds[0].__doc__ or "") if kinds else "")
    options = parser.parse_args(argv)
    try:
        return _run(kinds, options, settings)
    except (PysubtaskError, OSError) as exc:
        if options.traceback:
            raise
        lines = exc.lines() if isinstance(exc, ConfigError) else [str(exc)]
        print(plain(f"{os.path.basename(sys.argv[0])}: {' '.join(lines)}"), file=sys.stderr)  # noqa: T201
        return USAGE if isinstance(exc, ConfigError) else LOCKED if type(exc).__name__ == "AlreadyRunning" else FAILED


def _parser(description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--name", help="the name by which clients find it")
    parser.add_argument("--unique", action="store_true", help="put a number behind a name that runs already")
    parser.add_argument(
        "--set", dest="values", action="append", default=[], metavar="ITEM=VALUE", help="the first value of an item"
    )
    parser.add_argument("-l", "--log-level", default="info", choices=LEVELS)
    parser.add_argument("-lf", "--log-file", metavar="FILE", help="write the log there, too")
    parser.add_argument("--pid-file", metavar="FILE", help="write the process id there, and remove the file at the end")
    parser.add_argument("--traceback", action="store_true", help="show a traceback where something fails")
    return parser


def _run(kinds: Sequence[type[Daemon]], options: argparse.Namespace, read: Callable[[], Settings]) -> int:
    if not kinds:
        raise ConfigError("main", "no class of a daemon was given", "Call main(Dome).")
    if options.name and len(kinds) > 1:
        raise ConfigError("--name", f"there are {len(kinds)} daemons", "Leave it out: each has the name of its class.")
    settings = read()
    values = dict(_pair(word) for word in options.values)
    lives, unknown = [], set(values)
    for kind in kinds:
        daemon: Daemon = kind()
        daemon._core.settings = settings
        name = options.name or getattr(kind, "daemon_name", None) or kind.__name__
        name = records.free_name(name) if options.unique else name
        log = setup_logging(f"daemon.{name}.{os.getpid()}", options.log_file, True)
        log.setLevel(getattr(logging, options.log_level.upper()))
        own = values if len(kinds) == 1 else {key: value for key, value in values.items() if key in daemon._core.items}
        unknown -= own.keys()
        lives.append(Life(daemon, name, log, own))
    if unknown:
        raise ConfigError("--set", f"no daemon has an item {min(unknown)!r}", "Name one that is declared.")
    null_input_without_terminal()
    if not options.pid_file:
        return Host(lives).run()
    folder, name = os.path.split(os.path.abspath(options.pid_file))
    own_files.replace(folder, name, f"{os.getpid()}\n".encode("ascii"))
    try:
        return Host(lives).run()
    finally:
        own_files.remove(folder, name)


def _pair(word: str) -> tuple[str, str]:
    name, equals, value = word.partition("=")
    if not equals or not name:
        raise ConfigError("--set", f"{word!r} is no ITEM=VALUE", "Write it as in --set azimuth=180.")
    return name, value


def null_input_without_terminal() -> None:
    """Without a terminal read nothing: a daemon must not take the input of what has started it."""
    if sys.stdin is not None and not sys.stdin.isatty():
        handle = os.open(os.devnull, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        os.dup2(handle, 0)
        os.close(handle)
