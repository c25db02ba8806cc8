"""``pysubtask get``: the settings that a task has now."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import Any

import click

from ... import defaults_config
from ...common.config import rows_of, unknown_key
from ...common.settings_file import FILE, read_settings_page
from ..daemons import complete, words
from ..daemons.meant import daemons_meant
from ..exit_status import CommandError
from ..tasks.find import Task, names_here
from ..tasks.send_request import tasks_option
from ..tasks.task_choice import meant
from ..terminal import say


@click.command(short_help="Show the settings of a task.")
@tasks_option
@click.option("--all", "everything", is_flag=True, help="Also those that a running task does not take anew.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, for scripts.")
@click.argument("keys", nargs=-1, metavar="[KEY]...", shell_complete=complete.items)
def command(tasks: tuple[str, ...], everything: bool, as_json: bool, keys: tuple[str, ...]) -> None:
    """Show these settings, or all that 'pysubtask set' can change. What is secret is never words. Of a named daemon (-t Dome) its
    items are words.

    \b
    pysubtask get -t roof RateLimit RetryWaitSecs
    pysubtask get -t Dome azimuth
    """
    if names := daemons_meant(tasks):
        _show_items(names, keys, as_json)
        return
    children = meant(tasks)
    found = {name: _settings(child, name) for child, name in zip(children, names_here(children), strict=True)}
    extensions = {name: child.extension for child, name in zip(children, found, strict=True)}
    for label, page in found.items():
        settings = {key: page["settings"][key] for key in _chosen(label, page, keys, everything)}
        if as_json:
            continue
        kept = set(page["kept"])
        width = max(map(len, settings), default=0)
        say([label])
        for key, value in settings.items():
            unit = _units(extensions[label]).get(key, "")
            words = " ".join(filter(None, [_word(value), unit, "(kept by 'set --keep')" if key in kept else ""]))
            say([f"  {key:{width}}  {words}"])
    if as_json:
        chosen = {
            label: {key: page["settings"][key] for key in _chosen(label, page, keys, everything)} for label, page in found.items()
        }
        say(json.dumps(chosen, indent=1).split("\n"))


def _show_items(names: Sequence[str], keys: tuple[str, ...], as_json: bool) -> None:
    """The items of daemons."""
    found = {}
    for name in names:
        with words.asking():
            proxy = words.daemon(name)
            page, description = proxy.page(), proxy.describe()
        for key in keys:
            if key not in page["items"]:
                raise unknown_key(name, key, page["items"])
        found[name] = {key: page["items"][key] for key in keys or page["items"]}
        if not as_json:
            say([name, *words.items(page, description, keys)])
    if as_json:
        say(json.dumps(found, indent=1).split("\n"))


def _settings(child: Task, name: str) -> dict[str, Any]:
    """The settings page that the child wrote last. CommandError where there is none."""
    page = child.ask(lambda: read_settings_page(child.state_dir))
    if isinstance(page.get("settings"), dict) and isinstance(page.get("live"), list) and isinstance(page.get("kept"), list):
        return page
    path = os.path.join(child.state_dir, FILE)
    raise CommandError(f"{name}: {path} cannot be read. The child writes it when it starts.")


def _chosen(label: str, page: dict[str, Any], keys: tuple[str, ...], everything: bool) -> list[str]:
    if not keys:
        return [key for key in page["settings"] if everything or key in page["live"]]
    for key in keys:
        if key not in page["settings"]:
            raise unknown_key(label, key, page["settings"])
    return list(keys)


def _units(extension: str) -> dict[str, str]:
    return {key: row.unit for key, row in rows_of(defaults_config.SETTINGS, extension).items()}


def _word(value: Any) -> str:
    return value if isinstance(value, str) and value else repr(value)
