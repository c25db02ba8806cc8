"""``pysubtask run``: run the tasks of a config in the foreground."""

from __future__ import annotations

import os
from collections.abc import Sequence

import click

from ..config_file import load
from ..config_task import TaskConfig
from ..runner import Runner
from ..sd_notify import VARIABLES, Notifier
from ..task_values import forget_secrets


@click.command(short_help="Run the tasks of a config in the foreground.")
@click.argument("config", required=False, metavar="[CONFIG]")
@click.option("-t", "--task", "names", multiple=True, metavar="NAME", help="Only this task of the config (may be given again).")
def command(config: str | None, names: tuple[str, ...]) -> int:
    """Run the tasks of CONFIG, a TOML file or a folder with pysubtask.toml and conf.d/*.toml. Without CONFIG the folder is
    $PYSUBTASK_CONFIG_DIR, else /etc/pysubtask, else ~/.config/pysubtask.

    Ctrl-C or SIGTERM delivers what is due and ends; a second one hurries, a third ends at once. SIGHUP or 'pysubtask
    reload' takes up what was changed in the config. It also ends when all its children were stopped by 'pysubtask stop'.

    \b
    pysubtask run station.toml
    pysubtask run --task roof           one task of the config folder
    """
    environ = dict(os.environ)
    told: set[str] = set()

    def read() -> Sequence[TaskConfig]:
        found = load(config, environ)
        tasks = found.named(names)
        for note in found.notes:
            if note not in told:
                told.add(note)
                click.echo(f"pysubtask: {note}", err=True)
        return tasks

    notifier = Notifier(environ)
    for name in VARIABLES:
        os.environ.pop(name, None)
    forget_secrets(os.environ)
    return Runner(read, notifier).run()
