"""``pysubtask run``: run the tasks of a config, or a program of one's own, in the foreground.

UsageError where an option does not fit a config or a MODULE:CLASS; ConfigError and CommandError as :class:`TaskRunner` and
:class:`ProgramRun` raise them.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence

import click

from ...common.alert_command import check_command
from ...common.cores import forbid_cores, holds_secret
from ...common.named_files import check_files
from ...common.run_as import BY_RUN, check_folders
from ...daemon.daemon import Daemon
from ..config.config_file import load
from ..config.setting_values import forget_secrets
from ..config.task_config import TaskConfig
from ..daemons.items_file import daemon_of_file
from ..exit_status import LOCKED, CommandError
from ..run import program_runner, run_as
from ..run.sd_notify import VARIABLES, Notifier
from ..run.task_runner import TaskRunner
from ..tasks.find import forget_never_run
from ..terminal import say


@click.command(short_help="Run the tasks of a config, or a program of your own.")
@click.argument("config", required=False, metavar="[CONFIG|MODULE:CLASS]")
@click.option("-t", "--task", "names", multiple=True, metavar="NAME", help="Only this task of the config (may be given again).")
@click.option("--name", metavar="NAME", help="With MODULE:CLASS: what it is called; only one of a name runs.")
@click.option("--items", metavar="FILE", help="A daemon without code, that has the items of this TOML file; --name says its name.")
@click.option("--set", "values", multiple=True, metavar="ITEM=VALUE", help="With a daemon: a first value, over the kept one.")
@click.option("--run-as", "user", metavar="USER", help="Have the rights of this user, or of 'uid:gid' (only root can choose).")
def command(
    config: str | None, names: tuple[str, ...], name: str | None, items: str | None, values: tuple[str, ...], user: str | None
) -> int:
    """Run the tasks of CONFIG, a TOML file or a folder with pysubtask.toml and conf.d/*.toml. Without CONFIG the folder is
    $PYSUBTASK_CONFIG_DIR, else /etc/pysubtask, else ~/.config/pysubtask.

    Ctrl-C or SIGTERM delivers what is due and ends; a second one hurries, a third ends at once. SIGHUP or 'pysubtask
    reload' takes up what was changed in the config. It goes on when all its children were stopped by 'pysubtask stop', so that
    'pysubtask start' can start them again.

    MODULE:CLASS is a program of your own, found from the folder you are in: a class made from BaseMaster, or any object with
    start and stop. What it has of setup, restore, setup_final, start, announce is called in this order, then loop again and
    again until it returns False or a signal comes, then stop and, once whatever happened, cleanup. A class made from
    pysubtask.Daemon becomes a named daemon, which 'pysubtask list', get, set, call and describe know.

    Root does not work over a folder of another user. With --run-as, or RunAs in the config, the whole run becomes that user
    before it opens anything but the config, which he must be able to read.

    \b
    pysubtask run station.toml
    pysubtask run --task roof           one task of the config folder
    pysubtask run station:Station       the class Station in station.py
    pysubtask run dome:Dome --set azimuth=90
    pysubtask run --items weather.toml --name Weather
    """
    environ = dict(os.environ)
    option = run_as.of_option(user)
    if items is not None:
        if config is not None or names or not name:
            raise click.UsageError("--items is for a daemon without code: give it a --name, and no CONFIG or --task.")
        notifier = Notifier(environ)
        if option is not None:
            run_as.turn_into(option)
        return _run_daemon(daemon_of_file(items), name, values, notifier)
    if config is not None and program_runner.is_meant(config):
        if names:
            raise click.UsageError("--task is for a config; what MODULE:CLASS is called says --name.")
        notifier = Notifier(environ)
        if option is not None:
            run_as.turn_into(option)
        return _run_program(config, name, values, notifier)
    if values:
        raise click.UsageError("--set is for a class made from pysubtask.Daemon; a setting of a config stands in the file.")
    if name is not None:
        raise click.UsageError("--name is for MODULE:CLASS; a task of a config is chosen with --task.")
    from ...transports import check_library
    from ..preview.dry_run import transport_of

    noted: set[str] = set()
    config = run_as.turn_into_users_of(config, environ, names, option)

    def read() -> Sequence[TaskConfig]:
        found = load(config, environ, names)
        tasks = found.named(names)
        one = run_as.of_tasks(tasks, option)
        if one is not None:
            run_as.turn_into(one)  # at a reload: does nothing for the same user, and raises for another one
        for task in tasks:
            check_folders(task.entries, BY_RUN)
            for plan in task.plans:
                if holds_secret(plan.settings):
                    forbid_cores()
                check_files(plan.extension, plan.settings)
                check_library(transport_of(plan))  # here once; otherwise each start of each child fails with it
            check_command(task.plans[0].alerts["Command"])
        with contextlib.suppress(OSError):  # a superfluous row in 'status' must not keep the run from starting
            forget_never_run(found.files, {plan.state_dir for task in found.tasks for plan in task.plans})
        for note in found.notes:
            if note not in noted:
                noted.add(note)
                say([f"pysubtask: {note}"], error=True)
        return tasks

    notifier = Notifier(environ)
    for variable in VARIABLES:
        os.environ.pop(variable, None)
    forget_secrets(os.environ)
    return TaskRunner(read, notifier).run()


def _run_program(word: str, name: str | None, values: tuple[str, ...], notifier: Notifier) -> int:
    for variable in VARIABLES:
        os.environ.pop(variable, None)
    program = program_runner.load(word)
    if isinstance(program, type) and issubclass(program, Daemon):
        return _run_daemon(program, name, values, notifier)
    if values:
        raise click.UsageError("--set is for a class made from pysubtask.Daemon.")
    return program_runner.ProgramRun(word, program, name, notifier).run()


def _run_daemon(kind: type[Daemon], name: str | None, values: tuple[str, ...], notifier: Notifier) -> int:
    from ...common.errors import AlreadyRunning
    from ...daemon.host import Host
    from ...daemon.life import Life

    initial = {}
    for word in values:
        item, equals, value = word.partition("=")
        if not equals or not item:
            raise click.UsageError(f"--set {word!r}: write it as ITEM=VALUE.")
        initial[item] = value
    try:
        return Host([Life(kind(), name, initial=initial)], notifier.say, notifier.watchdog_secs).run()
    except AlreadyRunning as exc:
        raise CommandError(str(exc), LOCKED) from exc
