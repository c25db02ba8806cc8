"""The entries and the config of an app, checked in one pass, so that one error has everything that is wrong."""

from collections.abc import Mapping
from typing import Any

from ..common.entries import Entry, filled_in_where_right, first_folder, numbered_entries
from ..common.problem import Problems
from .child_config import Plan, check_config, plan, switched_on


def entries_and_plans(
    watchfilesdirs: Any,
    config: Any,
    modules: Mapping[str, str] | None = None,
    config_file: str = "",
    *,
    need_one: bool = True,
    cwd: str | None = None,
) -> tuple[list[Entry], list[Plan]]:
    """The entries, as ``read_entries`` reads them, and the plan of each child.

    ``modules``: the children, from extension to module (None: those that the config switches on); ``config_file``: the file that
    the config was read from; ``need_one``: an empty list of entries is refused; ``cwd``: where relative paths start (None: the
    working directory). ConfigError has all problems of all settings and entries.
    """
    problems = Problems()
    entries = numbered_entries(watchfilesdirs, problems, need_one=need_one, cwd=cwd)
    with problems:
        check_config(config, problems)
    if problems.doubts("config"):
        problems.raise_all()  # there are no settings that could be checked
    if modules is None:
        modules = {name: f"pysubtask.{name}" for name in switched_on(config, problems)}
    folder = first_folder(list(entries.values()))
    plans = [plan(name, module, config, folder, config_file, problems) for name, module in modules.items()]
    if plans:
        filled_in_where_right(entries, plans[0].label, problems)
    problems.raise_all()
    return list(entries.values()), plans
