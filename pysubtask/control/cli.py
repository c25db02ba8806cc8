"""The command ``pysubtask``: it shows tasks, sends them requests, starts them from a config file, and checks a station.

Each command is a module of its own and is imported only when it is called: ``pysubtask status`` must not pay for the imports of
``pysubtask doctor``.
"""

from __future__ import annotations

import io
import pkgutil
import re
import shlex
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

try:
    import click
except ImportError:
    from ..common.advice import install
    from ..common.plain import plain

    print(plain(f"pysubtask: the command needs two libraries. Run:  {install('cli')}"), file=sys.stderr)  # noqa: T201
    raise SystemExit(2) from None

from ..common.errors import ConfigError, PysubtaskError
from . import commands as package
from .exit_status import FAILED, OK, USAGE, CommandError
from .terminal import say

_GROUPS = {
    "Begin": ("init", "doctor", "check", "selftest"),
    "Run": ("run", "service", "push"),
    "See": ("list", "describe", "status", "watch", "events", "receipts", "queue"),
    "Change": ("get", "set", "call", "notify", "reload"),
    "Hold back and take up": ("pause", "resume", "retry", "drop", "stop", "start", "reset"),
    "Look after": ("alerts", "forget", "purge"),
}
_ORDER = tuple(name for names in _GROUPS.values() for name in names)


def commands() -> list[str]:
    """The names of all commands, in the order in which ``--help`` shows them."""
    found = [module.name for module in pkgutil.iter_modules(package.__path__)]
    return sorted(found, key=lambda name: (_ORDER.index(name) if name in _ORDER else len(_ORDER), name))


class _Lazy(click.Group):
    """Loads a command's module when the command is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return commands()

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        known = {name: self.get_command(ctx, name) for name in self.list_commands(ctx)}
        rest = tuple(name for name in known if name not in _ORDER)
        for title, names in {**_GROUPS, "More": rest}.items():
            rows = [(name, command.get_short_help_str(80)) for name in names if (command := known.get(name)) is not None]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in commands():
            return None
        command = import_module(f".{cmd_name}", package.__name__).command
        assert isinstance(command, click.Command)
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as exc:
            from ..common.config import nearest

            near = nearest(args[0], commands()) if args else None
            if near:
                raise click.UsageError(f"{exc.message} Did you mean {near!r}?", ctx) from exc
            raise


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--debug", is_flag=True, help="Show a traceback where something fails.")
@click.version_option(None, "--version", package_name="pysubtask", message="pysubtask %(version)s")
def cli(debug: bool) -> None:
    """Push data files that keep growing to a plain server over a link that cannot be trusted."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with ``argv`` (None: that of the process) and return its exit status, one of ``exit_status.MEANINGS``."""
    args = list(sys.argv[1:] if argv is None else argv)
    try:
        found = cli.main(args, prog_name="pysubtask", standalone_mode=False)
    except click.exceptions.Exit as exc:
        return int(exc.exit_code)
    except click.ClickException as exc:
        _show(exc)
        return USAGE
    except (click.Abort, KeyboardInterrupt):
        return 130
    except BrokenPipeError:
        # The reader of the pipe has closed it (| head). Without this the interpreter complains of the pipe when it flushes at exit.
        sys.stderr.close()
        return OK
    except Exception as exc:
        if "--debug" in args:
            raise
        return _failed(exc)
    return found if isinstance(found, int) else OK


def _show(exc: click.ClickException) -> None:
    buffer = io.StringIO()
    if isinstance(exc, click.UsageError) and _hint(exc):
        exc = click.UsageError(exc.message + _hint(exc), exc.ctx)
    exc.show(buffer)
    say(buffer.getvalue().removesuffix("\n").split("\n"), error=True)


def _hint(exc: click.UsageError) -> str:
    """How to name the task with -t, where click has refused a task's name as an extra argument; '' for any other error."""
    found = re.match(r"Got unexpected extra arguments? \((.*)\)", exc.message)
    if found is None or exc.ctx is None:
        return ""
    if not any("-t" in option.opts for option in exc.ctx.command.params):
        return ""
    named = " ".join(f"-t {shlex.quote(word)}" for word in found[1].split(" "))
    return f". A task is named with -t: {exc.ctx.command_path} {named}"


def _failed(exc: Exception) -> int:
    if not isinstance(exc, (PysubtaskError, OSError)):
        text = f"an error of the program itself: {type(exc).__name__}: {exc}. Run it again with --debug and report what it shows."
    else:
        text = "\n  ".join(exc.lines()) if isinstance(exc, ConfigError) else str(exc)
    say(f"pysubtask: {text}".split("\n"), error=True)
    if isinstance(exc, CommandError):
        return exc.status
    return USAGE if isinstance(exc, ConfigError) else FAILED
