"""What a shell may complete: names of tasks and daemons, methods with their arguments, items.

click makes the scripts for bash, zsh and fish: ``eval "$(_PYSUBTASK_COMPLETE=bash_source pysubtask)"``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import Any

import click

from ...daemon.errors import DaemonError
from ...daemon.find import daemons, get
from ..tasks.find import find, names_here


def names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Tasks and daemons."""
    return _fitting([*daemon_names(ctx, param, ""), *names_here(find([]))], incomplete)


def daemon_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """The daemons that run."""
    return _fitting((one.name for one in daemons()), incomplete)


def methods(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """The methods of the daemon that stands before."""
    return _fitting(_described(ctx)["methods"], incomplete)


def arguments(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """The arguments of the method that stands before, each with its '='."""
    method = _described(ctx)["methods"].get(ctx.params.get("method"), {})
    return _fitting((f"{name}=" for name in method.get("arguments", {})), incomplete)


def items(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """The items of the daemons that -t names."""
    return _fitting(_of_option(ctx), incomplete)


def items_to_set(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """The items of the daemons that -t names, each with its '='."""
    return _fitting((f"{name}=" for name in _of_option(ctx)), incomplete)


def _of_option(ctx: click.Context) -> list[str]:
    return [name for word in ctx.params.get("tasks") or () for name in _description(word)["items"]]


def _described(ctx: click.Context) -> dict[str, Any]:
    return _description(str(ctx.params.get("name") or ""))


def _description(name: str) -> dict[str, Any]:
    with contextlib.suppress(DaemonError, OSError):  # a shell must not be disturbed by what is wrong
        return get(name).describe()
    return {"items": {}, "methods": {}}


def _fitting(words: Iterable[str], incomplete: str) -> list[str]:
    return [word for word in words if word.startswith(incomplete)]
