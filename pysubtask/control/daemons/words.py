"""A daemon, its items and its methods in the words of the command line, and the exit status of its errors."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from ...daemon import kinds
from ...daemon.core import method_of
from ...daemon.errors import DaemonError, NoAnswer, NoSuchDaemon, Refused
from ...daemon.find import Known, get
from ...daemon.proxy import Proxy
from ..exit_status import FAILED, NO_ANSWER, NO_TASK, CommandError
from ..tasks.send_request import command_line


@contextlib.contextmanager
def asking() -> Iterator[None]:
    """Give the errors of a daemon their exit status, as CommandError."""
    try:
        yield
    except AttributeError as exc:
        raise CommandError(str(exc), FAILED) from exc
    except DaemonError as exc:
        status = NO_TASK if isinstance(exc, NoSuchDaemon) else NO_ANSWER if isinstance(exc, NoAnswer) else FAILED
        raise CommandError(str(exc), status) from exc


def daemon(name: str) -> Proxy:
    """The daemon of this name, asked in the name of this command line. NoSuchDaemon where none runs."""
    return get(name, command=command_line())


def given(description: Mapping[str, Any], method: str, words: tuple[str, ...]) -> dict[str, Any]:
    """The arguments of a method that the words of a command line give: ``arg=value``, or values in their order. Refused where one
    is none."""
    row = description["methods"].get(method)
    if row is None:
        known = ", ".join(description["methods"]) or "none"
        raise Refused(f"there is no method {method!r}; there is: {known}", daemon=description["name"])
    arguments = {argument.name: argument for argument in method_of(method, row).arguments}
    free = iter(arguments)
    found = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or name not in arguments:
            name, value = next(free, ""), word
        if name not in arguments or name in found:
            known = ", ".join(arguments) or "none"
            raise Refused(f"{word!r} is too much; its arguments are: {known}", daemon=description["name"], part=method)
        try:
            found[name] = kinds.of_text(value, arguments[name].kind)
        except ValueError as exc:
            raise Refused(f"argument {name!r}: {exc}", daemon=description["name"], part=method) from None
    return found


def values_of(description: Mapping[str, Any], words: Mapping[str, str]) -> dict[str, Any]:
    """The values of items that ``item=value`` words mean. Refused where one is none."""
    found = {}
    for name, text in words.items():
        row = description["items"].get(name)
        if row is None:
            known = ", ".join(description["items"])
            raise Refused(f"there is no item {name!r}; there is: {known}", daemon=description["name"])
        try:
            found[name] = kinds.of_text(text, kinds.of_schema(row))
        except ValueError as exc:
            raise Refused(str(exc), daemon=description["name"], part=name) from None
    return found


def value(row: Mapping[str, Any], unit: str = "") -> str:
    """The value of an item with its unit, and its quality where that is not 'ok'."""
    text = row["value"] if isinstance(row["value"], str) and row["value"] else json.dumps(row["value"])
    words = [text, unit if row["value"] is not None else "", "" if row["quality"] == "ok" else f"({row['quality']})"]
    return " ".join(filter(None, words))


def items(page: Mapping[str, Any], description: Mapping[str, Any], names: tuple[str, ...]) -> list[str]:
    """A line for each item."""
    chosen = names or tuple(page["items"])
    width = max(map(len, chosen), default=0)
    return [f"  {name:{width}}  {value(page['items'][name], description['items'][name].get('unit', ''))}" for name in chosen]


def description(found: Mapping[str, Any]) -> list[str]:
    """Items, methods and events of a daemon, with types, units and texts."""
    lines = [f"{found['name']} ({found['type']})" + (f": {found['doc'].splitlines()[0]}" if found["doc"] else "")]
    for name, row in found["items"].items():
        limits = [f"{word} {row[word]:g}" for word in ("low", "high") if row.get(word) is not None]
        flags = [word.replace("_", "-") for word in ("read_only", "keep") if row.get(word)]
        choices = ["one of " + ", ".join(map(str, row["choices"]))] if row.get("choices") else []
        words = [" ".join(filter(None, [row["type"], row.get("unit", "")])), *limits, *choices, *flags]
        lines.append(f"  item    {name}: {', '.join(words)}" + (f". {row['doc']}" if row.get("doc") else ""))
    for name, row in found["methods"].items():
        arguments = ", ".join(
            f"{key}: {argument['type']}" + (f" = {argument['default']!r}" if "default" in argument else "")
            for key, argument in row["arguments"].items()
        )
        doc = f". {row['doc'].splitlines()[0]}" if row["doc"] else ""
        lines.append(f"  method  {name}({arguments}) -> {row['result']['type']}{doc}")
    for name, row in found["events"].items():
        fields = ", ".join(f"{key}: {field['type']}" for key, field in row["fields"].items())
        lines.append(f"  event   {name}({fields})" + (f". {row['doc']}" if row["doc"] else ""))
    return lines


def known(one: Known) -> str:
    """The line of a daemon in a list."""
    kind = "" if one.type == one.name else f" ({one.type})"
    if one.alive:
        return f"{one.name}{kind}  running since {one.since}, PID {one.pid}"
    how = f"ended {one.ended}" if one.ended else f"dead, started {one.since}"
    return f"{one.name}{kind}  {how}" + (f": {one.error}" if one.error else "")
